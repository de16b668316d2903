//! A statsd server of our own, which adds up what it is sent as statsd servers do.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::harness::{Server, Site, eventually};

/// What was sent, added up: counters, gauges, and of times how many and how many milliseconds.
#[derive(Debug, Default)]
struct Sums {
    counters: BTreeMap<String, f64>,
    gauges: BTreeMap<String, f64>,
    times: BTreeMap<String, (f64, f64)>,
}

impl Sums {
    fn take(&mut self, datagram: &str) {
        assert!(datagram.len() <= 1432, "{} bytes", datagram.len());
        for line in datagram.lines() {
            let (name, rest) = line.split_once(':').expect("a line has a name");
            let mut parts = rest.split('|');
            let value: f64 = parts.next().and_then(|value| value.parse().ok()).expect("a value");
            let kind = parts.next().expect("a type");
            let (mut stands_for, mut tags) = (1.0, String::new());
            for part in parts {
                match part.split_at(1) {
                    ("@", rate) => stands_for = 1.0 / rate.parse::<f64>().expect("a rate"),
                    ("#", text) => tags = format!("#{text}"),
                    other => panic!("{other:?} in {line}"),
                }
            }
            let key = format!("{name}{tags}");
            match kind {
                "c" => *self.counters.entry(key).or_default() += value * stands_for,
                "g" | "h" => drop(self.gauges.insert(key, value)),
                "ms" => {
                    let (count, sum) = self.times.entry(key).or_default();
                    (*count, *sum) = (*count + stands_for, *sum + value * stands_for);
                }
                other => panic!("{other} in {line}"),
            }
        }
    }

    /// Takes what comes until this holds.
    fn until(
        &mut self,
        what: &str,
        receive: impl Fn(&mut [u8]) -> std::io::Result<usize>,
        holds: impl Fn(&Sums) -> bool,
    ) {
        eventually(what, || {
            let mut bytes = [0; 65536];
            if let Ok(count) = receive(&mut bytes) {
                self.take(std::str::from_utf8(&bytes[..count]).expect("lines are text"));
            }
            if holds(self) { Ok(()) } else { Err(format!("{self:?}")) }
        });
    }
}

fn ask(server: &Server) {
    for _ in 0..20 {
        server.get("/pid").expect_status(200);
    }
    server.get("/busy?60").expect_status(200);
    server.connect().send("GET / HTTP/1.1\r\n\r\n").answer().expect_status(400);
}

#[test]
fn sums_are_what_was_served_over_udp_and_over_a_reload() {
    let site = Site::new("calls:application").app("threads: 2");
    let udp = UdpSocket::bind(site.another_address()).expect("it is ours");
    udp.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout can be set");
    let address = udp.local_addr().expect("it has one");
    let server = site.top(&format!("statsd: {{address: {address}, interval: 100ms, prefix: shop}}")).serve();
    let mut sums = Sums::default();
    let receive = |bytes: &mut [u8]| udp.recv(bytes);
    let count = |sums: &Sums, name: &str| sums.counters.get(name).copied().unwrap_or_default();
    ask(&server);
    assert_eq!(server.command(&["reload", "--wait"]).0, 0);
    super::kill_one(&server);
    eventually("a worker", || (server.status()["apps"][0]["workers"][0]["state"] == "serving").then_some(()));
    ask(&server);
    sums.until("all to be told", receive, |sums| count(sums, "shop.gunicorn.requests") >= 44.0);
    assert_eq!(count(&sums, "shop.gunicorn.request.status.200"), 42.0);
    assert_eq!(count(&sums, "shop.gunicorn.request.status.400"), 2.0);
    let (times, ms) = sums.times["shop.gunicorn.request.duration"];
    assert!((times - 42.0).abs() < 0.01, "{times} times");
    assert!((120.0..20_000.0).contains(&ms), "{ms} ms in all");
    assert!((sums.times["shop.monoceros.request.queue"].0 - 42.0).abs() < 0.01, "{sums:?}");
    sums.until("one worker", receive, |sums| sums.gauges.get("shop.gunicorn.workers") == Some(&1.0));
    assert_eq!(sums.gauges.get("shop.gunicorn.backlog"), Some(&0.0));
    assert!(count(&sums, "shop.gunicorn.log.error") >= 1.0, "a killed worker is an error: {sums:?}");
}

#[test]
fn lines_are_tagged_and_a_server_that_is_away_is_told_later() {
    let site = Site::new("calls:application").app("threads: 2");
    let path = site.path("statsd.sock");
    let server = site.top("statsd: {address: unix:statsd.sock, interval: 100ms, tags: {env: test, canary: }}").serve();
    server.logged("the statsd server is not reached");
    ask(&server);
    let unix = UnixDatagram::bind(&path).expect("a socket can be bound");
    unix.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout can be set");
    let mut sums = Sums::default();
    let key = "gunicorn.requests#canary,env:test,app:main";
    sums.until("all to be told", |bytes| unix.recv(bytes), |sums| sums.counters.get(key) == Some(&22.0));
    server.logged("the statsd server is there again");
    assert_eq!(server.count("the statsd server is not reached"), 1, "said once");
    assert_eq!(sums.gauges.get("gunicorn.workers#canary,env:test,app:main"), Some(&1.0));
    // Nobody reads any more: the socket is full at some time, and nobody waits for it.
    for _ in 0..50 {
        server.get("/pid").expect_status(200);
    }
    let yaml = server.site().read("server.yaml");
    server.site().put("server.yaml", &yaml.replace("statsd: ", "# statsd: "));
    assert_eq!(server.command(&["reload", "--wait"]).0, 0);
}
