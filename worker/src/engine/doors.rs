//! How connections come in by each listener: who may, what they speak, whether a PROXY header comes first, and whose word counts.

use std::sync::Arc;

use monoceros_shared::config::{self, App, Proxies};

use super::estate::Relayed;
use crate::conn::Connection;
use crate::origin::{Policy, Scheme, Way};
use crate::relay::{Relay, address_of};
use crate::wire::fastcgi::answer::Values;
use crate::wire::gateway::{Guard, Protocol};
use crate::wire::proxy::Reader;

/// The doors of one application.
pub struct Doors {
    policy: Arc<Policy>,
    /// For each listener.
    doors: Vec<Option<Door>>,
    /// Whether connections can carry requests beside each other.
    pub have_trunks: bool,
    /// What web servers are told of us that ask.
    values: Values,
}

/// How connections come in by one listener.
struct Door {
    /// Who alone may come; `None`: everybody.
    allow: Option<Proxies>,
    /// Who alone may come, with a PROXY header; `None`: everybody, and without.
    proxies: Option<Proxies>,
    /// What is spoken there.
    protocol: config::Protocol,
    /// What AJP requests must bring.
    secret: Option<Arc<str>>,
}

impl Doors {
    /// Those of these listeners, by their names.
    pub fn new(app: &App, policy: Arc<Policy>, listeners: &[String]) -> Doors {
        let of = |name: &String| {
            let listener = app.listen.iter().find(|listener| listener.address.to_string() == *name);
            listener.map(|listener| Door {
                allow: listener.allow.clone(),
                proxies: listener.proxy_protocol.clone(),
                protocol: listener.protocol,
                secret: listener.secret.as_deref().map(Arc::from),
            })
        };
        let doors: Vec<Option<Door>> = listeners.iter().map(of).collect();
        let have_trunks = doors.iter().flatten().any(|door| door.protocol == config::Protocol::FastCgi);
        let requests_max = app.limits.connections_max.min(app.calls_max() + app.limits.queue_max) as u64;
        let values = Values { connections_max: app.limits.connections_max as u64, requests_max, multiplexes: 1 };
        Doors { policy, doors, have_trunks, values }
    }

    /// Prepares a new connection for its first byte. False: it is not let in.
    pub fn let_in(&self, connection: &mut Connection) -> bool {
        let address = address_of(&connection.peer);
        connection.turn.come_by(self.policy.way(address));
        let Some(door) = self.door(connection.listener) else { return true };
        self.speak(connection, door);
        if door.proxies.is_some() {
            connection.relay = Some(Box::new(Relay::Awaited(Reader::default())));
        }
        let has = |proxies: &Proxies| address.map_or(proxies.unix, |address| proxies.contain(address));
        door.allow.as_ref().is_none_or(has) && door.proxies.as_ref().is_none_or(has)
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
        if let Some(door) = self.door(connection.listener) {
            self.speak(connection, door);
        }
    }

    /// What is spoken at this listener.
    pub fn protocol(&self, listener: usize) -> config::Protocol {
        self.door(listener).map_or(config::Protocol::Http, |door| door.protocol)
    }

    fn door(&self, listener: usize) -> Option<&Door> {
        self.doors.get(listener)?.as_ref()
    }

    /// The connection's requests are read as the protocol of this door has them.
    fn speak(&self, connection: &mut Connection, door: &Door) {
        let protocol = match door.protocol {
            config::Protocol::Http => return,
            config::Protocol::FastCgi => return connection.speak_fastcgi(self.values),
            config::Protocol::Scgi => Protocol::Scgi,
            config::Protocol::Uwsgi => Protocol::Uwsgi,
            config::Protocol::Ajp => Protocol::Ajp(match &door.secret {
                Some(secret) => Guard::Secret(secret.clone()),
                None if connection.turn.way().is_some_and(Way::is_trusted) => Guard::Open,
                None => Guard::Closed,
            }),
        };
        connection.turn.speak(protocol);
    }
}
