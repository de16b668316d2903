//! How connections come in by each listener: who may, whether a PROXY header comes first, and whose word counts.

use std::sync::Arc;

use monoceros_shared::config::{App, Proxies};

use super::estate::Relayed;
use crate::conn::Connection;
use crate::origin::{Policy, Scheme};
use crate::relay::{Relay, address_of};
use crate::wire::proxy::Reader;

/// The doors of one application.
pub struct Doors {
    policy: Arc<Policy>,
    /// For each listener who alone may come, with a PROXY header; `None`: everybody, and without.
    proxies: Vec<Option<Proxies>>,
}

impl Doors {
    /// Those of these listeners, by their names.
    pub fn new(app: &App, policy: Arc<Policy>, listeners: &[String]) -> Doors {
        let of = |name: &String| {
            let listener = app.listen.iter().find(|listener| listener.address.to_string() == *name)?;
            listener.proxy_protocol.clone()
        };
        Doors { policy, proxies: listeners.iter().map(of).collect() }
    }

    /// Prepares a new connection for its first byte. False: it is not let in.
    pub fn let_in(&self, connection: &mut Connection) -> bool {
        let address = address_of(&connection.peer);
        connection.turn.come_by(self.policy.way(address));
        let Some(proxies) = self.proxies.get(connection.listener).and_then(Option::as_ref) else { return true };
        connection.relay = Some(Box::new(Relay::Awaited(Reader::default())));
        address.map_or(proxies.unix, |address| proxies.contain(address))
    }

    /// Prepares a connection that another worker has begun; `kept` is what it has seen of a PROXY header.
    pub fn let_on(&self, connection: &mut Connection, relayed: &Relayed, kept: &[u8]) {
        let way = self.policy.way(address_of(&connection.peer));
        let (relay, way) = match *relayed {
            Relayed::No => (None, way),
            Relayed::Awaited => (Some(Relay::Awaited(Reader::resumed(kept))), way),
            Relayed::Said { server, is_tls } => {
                let scheme = if is_tls { Scheme::Https } else { Scheme::Http };
                (Some(Relay::Said { server, scheme }), way.relayed(address_of(&connection.peer), scheme))
            }
        };
        connection.relay = relay.map(Box::new);
        connection.turn.come_by(way);
    }
}
