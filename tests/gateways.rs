//! Requests that come by web servers: SCGI, uwsgi, FastCGI and AJP, asked by clients that were written from the specifications.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use crate::harness::gateway::{Asked, Wire};
use crate::harness::{Answer, Client, Ending, Server, Site};

/// The wires that are served.
const SERVED: &[Wire] = &[Wire::Http, Wire::Scgi];

/// A site of this application with a listener for each wire, and these lines more.
fn site(wsgi: &str, lines: &str) -> (Site, BTreeMap<&'static str, SocketAddr>) {
    let site = Site::new(wsgi);
    let addresses: BTreeMap<_, _> = SERVED.iter().map(|wire| (wire.name(), site.another_address())).collect();
    let listeners = addresses.iter().map(|(name, address)| format!("{{address: \"{address}\", protocol: {name}}}"));
    let listeners = listeners.collect::<Vec<_>>().join(", ");
    (site.listen_at(&format!("[{listeners}]")).app("trusted_proxies: [127.0.0.0/8]").app(lines), addresses)
}

/// A server of it.
struct Gateways {
    server: Server,
    addresses: BTreeMap<&'static str, SocketAddr>,
}

impl Gateways {
    fn serve(wsgi: &str, lines: &str) -> Gateways {
        let (site, addresses) = site(wsgi, lines);
        Gateways { server: site.serve(), addresses }
    }

    fn address(&self, wire: Wire) -> SocketAddr {
        self.addresses[wire.name()]
    }

    #[track_caller]
    fn asked(&self, wire: Wire, asked: &Asked) -> Answer {
        wire.asked(self.address(wire), asked)
    }

    /// The same by every gateway.
    #[track_caller]
    fn each(&self, asked: &Asked) -> Vec<(Wire, Answer)> {
        SERVED[1..].iter().map(|wire| (*wire, self.asked(*wire, asked))).collect()
    }
}

fn environ(answer: &Answer) -> BTreeMap<String, String> {
    let told: Value = serde_json::from_str(answer.text()).unwrap_or_else(|why| panic!("{why}: {answer}"));
    let environ = told["environ"].as_object().expect("an environ");
    environ.iter().map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

/// The values of these keys, a dash for each that is not there.
fn told(answer: &Answer, keys: &str) -> String {
    let environ = environ(answer);
    keys.split(' ').map(|key| environ.get(key).map_or("-", String::as_str)).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_same_request_gives_the_same_environ_by_every_wire() {
    let gateways = Gateways::serve("mirror:application", "");
    // What the gateway itself tells, or the connection does.
    let own = ["SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "REMOTE_PORT", "REMOTE_HOST", "SCGI"];
    let asked = Asked::post("/caf%C3%A9/a%2Fb+c%20d?q=%41&r=a+b", b"four")
        .field("Cookie", "a=1; b=2")
        .field("User-Agent", "test")
        .field("X-Own-Field", "\u{e9}")
        .field("Proxy", "http://evil.example")
        .field("X-Forwarded-For", "203.0.113.9");
    let same = |answer: &Answer| {
        let mut environ = environ(answer);
        own.iter().for_each(|key| drop(environ.remove(*key)));
        environ
    };
    // By HTTP the client is trusted; by a gateway it is another, who is not.
    let by_http = gateways.asked(Wire::Http, &asked);
    let mut expected = same(&by_http);
    assert_eq!(expected["PATH_INFO"], "/caf\u{c3}\u{a9}/a/b+c d");
    assert_eq!(expected["QUERY_STRING"], "q=%41&r=a+b");
    assert!(expected.remove("HTTP_X_FORWARDED_FOR").is_some() && !expected.contains_key("HTTP_PROXY"));
    for (wire, answer) in gateways.each(&asked) {
        assert_eq!(same(&answer), expected, "{wire:?}");
        let way = told(&answer, "SERVER_NAME SERVER_PORT REMOTE_ADDR REMOTE_PORT");
        assert_eq!(way, "www.example 8080 192.0.2.7 4711", "{wire:?}");
    }
}
