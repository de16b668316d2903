//! What goes with which protocol on a listener.

use super::fault::Fault;
use super::network::{Proxies, ProxyProtocol};
use super::raw;
use super::schema::{self, Range};
use super::section::Read;
use super::tree::Node;
use super::{Address, Config, Listener, Protocol};

/// What an AJP request must bring.
#[derive(Clone, Debug)]
pub(super) struct SecretText(pub String);

impl Read for SecretText {
    const FORM: &'static str = "text";

    fn schema(_: Range) -> serde_json::Value {
        schema::text()
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let text = String::read(node)?;
        // The text itself is not told, for errors are read by more people than the file.
        if text.is_empty() || text.trim() != text || !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            let why = "it must be printable ASCII, with no space at its ends, and not empty";
            return Err(Fault::at(node.place, why.to_owned()));
        }
        Ok(SecretText(text))
    }
}

/// Refuses keys that mean nothing to the protocol of their listener.
pub(super) fn expect_fitting(raw: &raw::Listener) -> Result<(), Fault> {
    let protocol = raw.protocol.value;
    if let (Some(secret), Protocol::Http | Protocol::FastCgi | Protocol::Scgi | Protocol::Uwsgi) =
        (&raw.secret, protocol)
    {
        let text = "only AJP has one: remove it, or write `protocol: ajp`";
        return Err(Fault::at(secret.place, text).of_key("secret"));
    }
    if protocol == Protocol::Http {
        return Ok(());
    }
    if let Some(tls) = &raw.tls {
        let text = "only HTTP is encrypted here: remove it, or write `protocol: http`";
        return Err(Fault::at(tls.place, text).of_key("tls"));
    }
    match &raw.proxy_protocol.value {
        ProxyProtocol::Off => Ok(()),
        ProxyProtocol::On | ProxyProtocol::From(_) => {
            let text = "the web server tells its client by itself: remove it, or write `protocol: http`";
            Err(Fault::at(raw.proxy_protocol.place, text).of_key("proxy_protocol"))
        }
    }
}

impl Config {
    /// Has FastCGI be spoken at this address, for web servers at these addresses (commas between them), if that is told: by the application that
    /// listens there, else by the first one too. What a file says of that address holds.
    ///
    /// # Errors
    /// When the web servers' addresses are none.
    pub fn serve_fastcgi(&mut self, address: Address, web_servers: Option<&str>) -> Result<(), String> {
        let allow = web_servers.map(Proxies::of_web_servers).transpose()?;
        let is_line = self.file.is_none();
        let mut listeners = self.apps.iter_mut().flat_map(|app| &mut app.listen);
        match listeners.find(|listener| listener.address == address) {
            Some(listener) if is_line => (listener.protocol, listener.allow) = (Protocol::FastCgi, allow),
            Some(_) => {}
            None => {
                // Never empty.
                let Some(app) = self.apps.first_mut() else { return Ok(()) };
                let Some(first) = app.listen.first() else { return Ok(()) };
                app.listen.push(Listener {
                    address,
                    protocol: Protocol::FastCgi,
                    backlog: first.backlog,
                    mode: first.mode,
                    owner: (None, None),
                    proxy_protocol: None,
                    allow,
                    secret: None,
                    tls: None,
                });
            }
        }
        Ok(())
    }
}
