//! Requests that come by web servers: SCGI, uwsgi, FastCGI and AJP, asked by clients that were written from the specifications.

mod ajp;
mod cgi;
mod engines;
mod environs;
mod fastcgi;
mod hostile;
mod reload;
mod streamed;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::harness::gateway::{self, Asked, Wire, scgi, uwsgi};
use crate::harness::{Answer, Client, Ending, Server, Site};

/// Those by which a web server asks.
const GATEWAYS: &[Wire] = &[Wire::Scgi, Wire::Uwsgi, Wire::FastCgi, Wire::Ajp];

/// A site of this application with a listener for each wire, and these lines more.
fn site(wsgi: &str, lines: &str) -> (Site, BTreeMap<&'static str, SocketAddr>) {
    let site = Site::new(wsgi);
    let addresses: BTreeMap<_, _> = Wire::ALL.iter().map(|wire| (wire.name(), site.another_address())).collect();
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

    /// The same by each kind of engine, with what each is.
    fn by_each_engine(wsgi: &str, lines: &str) -> impl Iterator<Item = (&'static str, Gateways)> {
        ["threads", "gevent", "eventlet", "tornado"].into_iter().map(move |engine| {
            let (site, addresses) = site(wsgi, lines);
            (engine, Gateways { server: site.engine(engine).serve(), addresses })
        })
    }

    fn address(&self, wire: Wire) -> SocketAddr {
        self.addresses[wire.name()]
    }

    #[track_caller]
    fn asked(&self, wire: Wire, asked: &Asked) -> Answer {
        wire.asked(self.address(wire), asked)
    }

    /// Whether the one worker is in a call.
    fn is_in_a_call(&self) -> bool {
        crate::timeouts::is_busy(&self.server, 1)
    }

    /// The same by every gateway.
    #[track_caller]
    fn each(&self, asked: &Asked) -> Vec<(Wire, Answer)> {
        GATEWAYS.iter().map(|wire| (*wire, self.asked(*wire, asked))).collect()
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
fn a_gateway_says_where_the_application_stands_and_what_it_leaves_out_is_found_in_the_uri() {
    let gateways = Gateways::serve("mirror:application", "");
    let get = || Asked::get("/app/caf%C3%A9%2541?q=1");
    let bare = || get().without("SCRIPT_NAME").without("PATH_INFO").without("QUERY_STRING");
    let cases: &[(&str, Asked, &str)] = &[
        ("it divides", get().variable("SCRIPT_NAME", "/app").variable("PATH_INFO", "/x%41"), "/app /x%41 q=1"),
        ("it tells no PATH_INFO", bare().variable("SCRIPT_NAME", "/app"), "/app /caf\u{c3}\u{a9}%41 q=1"),
        ("it tells neither", bare(), " /app/caf\u{c3}\u{a9}%41 q=1"),
        (
            "nginx names the whole document as the script",
            bare().variable("SCRIPT_NAME", "/app/café%41").variable("DOCUMENT_URI", "/app/café%41"),
            " /app/caf\u{c3}\u{a9}%41 q=1",
        ),
        (
            "mod_proxy does, and says that it is a proxy",
            bare().variable("SCRIPT_NAME", "/app/café%41").variable("SCRIPT_FILENAME", "proxy:fcgi://127.0.0.1:1/app"),
            " /app/caf\u{c3}\u{a9}%41 q=1",
        ),
        (
            "a script that is asked for without more",
            bare().variable("SCRIPT_NAME", "/app/café%41"),
            "/app/caf\u{c3}\u{a9}%41  q=1",
        ),
        ("it rewrote the URI", bare().variable("SCRIPT_NAME", "/index.py"), "/index.py  q=1"),
        (
            "it tells no URI",
            get().without("REQUEST_URI").variable("SCRIPT_NAME", "/a").variable("PATH_INFO", "/b c"),
            "/a /b c q=1",
        ),
    ];
    for (why, asked, expected) in cases {
        for (wire, answer) in gateways.each(asked).into_iter().filter(|(wire, _)| *wire != Wire::Ajp) {
            assert_eq!(told(&answer, "SCRIPT_NAME PATH_INFO QUERY_STRING"), *expected, "{why}, by {wire:?}");
        }
    }
    let asked = get().without("REQUEST_URI").variable("SCRIPT_NAME", "/a").variable("PATH_INFO", "/b c%");
    for (wire, answer) in gateways.each(&asked).into_iter().filter(|(wire, _)| *wire != Wire::Ajp) {
        assert_eq!(told(&answer, "REQUEST_URI"), "/a/b%20c%25?q=1", "{wire:?}");
    }
}

#[test]
fn the_mount_divides_the_path_where_the_gateway_does_not() {
    let gateways = Gateways::serve("mirror:application", "mount: /app");
    let paths = |answer: Answer| told(&answer.expect_status(200), "SCRIPT_NAME PATH_INFO");
    for wire in GATEWAYS {
        assert_eq!(paths(gateways.asked(*wire, &Asked::get("/app/x"))), "/app /x", "{wire:?}");
        assert_eq!(paths(gateways.asked(*wire, &Asked::get("/app"))), "/app ", "{wire:?}");
        gateways.asked(*wire, &Asked::get("/apple")).expect_status(404);
        if *wire != Wire::Ajp {
            let deeper = Asked::get("/app/deep/x").variable("SCRIPT_NAME", "/app/deep").variable("PATH_INFO", "/x");
            assert_eq!(paths(gateways.asked(*wire, &deeper)), "/app/deep /x", "{wire:?}");
        }
    }
}

#[test]
fn https_is_what_the_gateway_says_it_is() {
    let gateways = Gateways::serve("mirror:application", "");
    for (value, scheme) in [("on", "https"), ("1", "https"), ("ON", "https"), ("off", "http"), ("", "http")] {
        let asked = Asked::get("/").variable("HTTPS", value);
        for (wire, answer) in gateways.each(&asked).into_iter().filter(|(wire, _)| *wire != Wire::Ajp) {
            assert_eq!(told(&answer, "wsgi.url_scheme"), scheme, "{value:?} by {wire:?}");
        }
    }
}

#[test]
fn answers_of_every_kind_reach_the_gateway_whole() {
    let gateways = Gateways::serve("answers:application", "");
    let big: Vec<u8> = (0..4_000_000_u32).map(|number| (number % 251) as u8).collect();
    std::fs::write(gateways.server.site().path("big"), &big).expect("a file can be written");
    assert!(gateways.asked(Wire::Http, &Asked::get("/file_plain")).expect_status(200).body == big);
    let same = |asked: Asked| {
        let expected = gateways.asked(Wire::Http, &asked);
        for (wire, answer) in gateways.each(&asked) {
            let what = format!("{} {} by {wire:?}", asked.method, asked.target);
            assert_eq!((answer.status, &answer.reason), (expected.status, &expected.reason), "{what}: {answer}");
            assert!(answer.body == expected.body, "{what}: {answer}\n{expected}");
            // How it is framed, dated and kept is between the web server and its client.
            let own = ["date", "connection", "transfer-encoding", "content-length"];
            let fields = |answer: &Answer| {
                let mut fields = answer.fields.clone();
                fields.retain(|(name, _)| !own.contains(&name.to_lowercase().as_str()));
                fields
            };
            assert_eq!(fields(&answer), fields(&expected), "{what}");
        }
    };
    for path in
        ["plain", "pieces", "single", "nothing", "lazy", "closed", "written", "custom_iterable", "repeated_fields"]
    {
        same(Asked::get(&format!("/{path}")));
        same(Asked::get(&format!("/{path}")).method("HEAD"));
    }
    for path in ["no_content", "not_modified", "too_long", "raises_before", "raises_in_first", "never_starts"] {
        same(Asked::get(&format!("/{path}")));
    }
    for path in ["file_plain", "file_from_the_middle", "file_pipe", "file_in_memory"] {
        same(Asked::get(&format!("/{path}")));
    }
}

#[test]
fn what_is_refused_is_said_in_the_gateways_own_words() {
    let limits = "limits: {body_bytes_max: 1KiB, header_count_max: 16, request_line_max: 256B}";
    let gateways = Gateways::serve("mirror:application", limits);
    let many = (0..20).fold(Asked::get("/"), |asked, number| asked.field(&format!("X-{number}"), "x"));
    for (asked, status) in [
        (Asked::post("/", &[b'x'; 1025]), 413),
        (many, 431),
        (Asked::get(&format!("/{}", "x".repeat(300))), 414),
        (Asked::get("/").method("NO TOKEN"), 400),
        (Asked::get("/").field("Host", "a b"), 400),
    ] {
        for (wire, answer) in gateways.each(&asked) {
            assert_eq!(answer.status, status, "by {wire:?}: {answer}");
        }
    }
}

#[test]
fn a_request_that_takes_too_long_is_answered_504_by_every_wire() {
    let gateways = Gateways::serve("calls:application", "threads: 2\ntimeouts: {request: 300ms}");
    for (wire, answer) in gateways.each(&Asked::get("/raised")) {
        assert_eq!(answer.status, 504, "{wire:?}: {answer}");
        assert_eq!(answer.text(), "the application did not answer in time\n", "{wire:?}");
    }
    for (wire, answer) in gateways.each(&Asked::get("/raised").method("HEAD")) {
        assert_eq!((answer.status, answer.text()), (504, ""), "{wire:?}: {answer}");
    }
}

#[test]
fn bodies_of_every_length_arrive_whole() {
    let gateways = Gateways::serve("mirror:counted", "limits: {body_memory_max: 64KiB}");
    for length in [0, 1, 8185, 8186, 8187, 65_535, 65_536, 1_000_000] {
        let asked = Asked::post("/", &vec![b'x'; length]);
        for (wire, answer) in gateways.each(&asked) {
            assert_eq!(answer.text(), length.to_string(), "{wire:?}");
        }
    }
}

#[test]
fn static_files_are_served_by_every_wire() {
    let (site, addresses) = site("mirror:application", "static: {/static: .}");
    let server = site.file("page.txt", &"page\n".repeat(30_000)).serve();
    let gateways = Gateways { server, addresses };
    for (wire, answer) in gateways.each(&Asked::get("/static/page.txt")) {
        let answer = answer.expect_status(200);
        assert!(answer.text() == "page\n".repeat(30_000), "{wire:?}");
        let again = Asked::get("/static/page.txt").field("If-None-Match", answer.field("ETag").unwrap());
        gateways.asked(wire, &again).expect_status(304);
    }
}

#[test]
fn a_connection_that_can_be_kept_serves_request_after_request() {
    let gateways = Gateways::serve("mirror:counted", "");
    for wire in Wire::ALL.into_iter().filter(|wire| wire.keeps_alive()) {
        let mut client = Client::connect(gateways.address(wire));
        for length in [3, 0, 9000, 1] {
            let asked = if length == 0 { Asked::get("/") } else { Asked::post("/", &vec![b'x'; length]) };
            let answer = wire.ask(&mut client, &asked).unwrap_or_else(|broken| panic!("{wire:?}: {broken}"));
            assert_eq!(answer.text(), length.to_string(), "{wire:?}");
        }
        assert_eq!(client.pause(Duration::from_millis(50)), Ok(()), "{wire:?}");
    }
}

#[test]
fn an_answer_that_breaks_off_never_looks_complete() {
    let gateways = Gateways::serve("answers:application", "");
    for path in ["/raises_after", "/too_short"] {
        let asked = Asked::get(path);
        for wire in GATEWAYS {
            let mut client = Client::connect(gateways.address(*wire));
            let broken = wire.ask(&mut client, &asked).expect_err("it is not complete").to_string();
            // By AJP alone does every web server know where an answer ends.
            let expected = if *wire == Wire::Ajp { "" } else { "Reset after" };
            assert!(broken.starts_with(expected), "{path} by {wire:?}: {broken}");
        }
    }
}

#[test]
fn an_answer_whose_time_is_over_never_looks_complete() {
    let gateways = Gateways::serve("calls:application", "threads: 4\ntimeouts: {request: 300ms}");
    for wire in GATEWAYS {
        let mut client = Client::connect(gateways.address(*wire));
        let broken = wire.ask(&mut client, &Asked::get("/chunks")).expect_err("it is not complete").to_string();
        let expected = if *wire == Wire::Ajp { "" } else { "Reset after" };
        assert!(broken.starts_with(expected), "{wire:?}: {broken}");
    }
}

#[test]
fn a_listener_may_choose_its_peers() {
    let site = Site::new("mirror:counted");
    let (open, closed) = (site.listen(), site.another_address());
    let listeners = format!("[\"{open}\", {{address: \"{closed}\", protocol: scgi, allow: 10.0.0.0/8}}]");
    let server = site.listen_at(&listeners).serve();
    let mut client = Client::connect(closed);
    let (seen, ending) = client.ending();
    assert_eq!((seen.as_slice(), ending), (&b""[..], Ending::Eof));
    server.logged("its listener lets only known peers in");
    server.get("/").expect_status(200);
}

#[test]
fn a_head_that_does_not_come_and_a_body_that_stops_are_ended() {
    let gateways = Gateways::serve("mirror:counted", "timeouts: {head: 300ms, body: 300ms, keepalive: 300ms}");
    let asked = Asked::post("/", b"four");
    let begun: [(Wire, Vec<u8>, usize); 4] = [
        (Wire::Scgi, scgi(&asked), 20),
        (Wire::Uwsgi, uwsgi(&asked), 20),
        (Wire::FastCgi, gateway::fastcgi::head(1, 1, &asked), 40),
        (Wire::Ajp, gateway::ajp::forward(&asked, None), 40),
    ];
    for (wire, bytes, cut) in begun {
        for part in [&bytes[..cut], &bytes] {
            let mut client = Client::connect(gateways.address(wire));
            client.send(part);
            let (seen, _) = client.ending();
            assert!(
                String::from_utf8_lossy(&seen).contains("did not come in time"),
                "{wire:?}: {}",
                seen.escape_ascii()
            );
        }
        // Nobody waits for ever for a request that does not begin.
        Client::connect(gateways.address(wire)).expect_close();
    }
}
