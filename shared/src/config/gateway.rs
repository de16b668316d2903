//! What goes with which protocol on a listener.

use super::Protocol;
use super::fault::Fault;
use super::network::ProxyProtocol;
use super::raw;
use super::section::Read;
use super::tree::Node;

/// What an AJP request must bring.
#[derive(Clone, Debug)]
pub(super) struct SecretText(pub String);

impl Read for SecretText {
    const FORM: &'static str = "text";

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
