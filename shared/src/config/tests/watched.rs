//! Where the server is watched, and where it sends numbers to.

use std::time::Duration;

use super::*;

/// What is refused, and what is said of it.
const REFUSED: &[(&str, &str)] = &[
    (
        "metrics: 9100",
        "1:10: `metrics`: expected an address such as `127.0.0.1:8000` or `unix:/run/shop.sock`, found the number `9100`",
    ),
    (
        "metrics: a\napps: {a: {wsgi: \"a:b\", listen: \":1\"}}",
        "1:10: `metrics`: `a` is no address: it has no port: write `127.0.0.1:8000`, `[::1]:8000`, `localhost:8000`, `:8000`, `unix:/run/shop.sock` or `unix:@name`",
    ),
    (
        "metrics: \":1\"\napps: {a: {wsgi: \"a:b\", listen: \":1\"}}",
        "2:33: `listen`: duplicate address `0.0.0.0:1`: it is already on line 1",
    ),
    ("statsd: {}", "1:1: missing key `address`: add it, with an address"),
    (
        "statsd: {address: metrics.example:8125}\napps: {a: {wsgi: \"a:b\", listen: \":1\"}}",
        "1:19: `address`: `metrics.example:8125` is no address: host names other than localhost are not looked up: write `127.0.0.1:8000`, `[::1]:8000`, `localhost:8000`, `:8000`, `unix:/run/shop.sock` or `unix:@name`",
    ),
    (
        "statsd: {address: \":8125\"}\napps: {a: {wsgi: \"a:b\", listen: \":1\"}}",
        "1:19: `address`: `:8125` is nowhere to send to",
    ),
    (
        "statsd: {address: \":1\", prefix: a b}",
        "1:33: `prefix`: `a b` cannot begin a name: it is empty, or has one of ` :|@#,`",
    ),
    (
        "statsd: {address: \":1\", prefix: \"..\"}",
        "1:33: `prefix`: `..` cannot begin a name: it is empty, or has one of ` :|@#,`",
    ),
    (
        "statsd: {address: \":1\", prefix: \"a:\"}",
        "1:33: `prefix`: `a:` cannot begin a name: it is empty, or has one of ` :|@#,`",
    ),
    (
        "statsd: {address: \":1\", tags: {\"a:b\": c}}",
        "1:32: `tags`: `a:b` cannot be a tag: neither side has ` |@#,`, and its name no `:`",
    ),
    (
        "statsd: {address: \":1\", tags: {a: \"b,c\"}}",
        "1:32: `tags`: `a` cannot be a tag: neither side has ` |@#,`, and its name no `:`",
    ),
    ("statsd: {address: \":1\", tags: {a: [b]}}", "1:32: `a`: expected text, a number or a boolean, found a list"),
    ("statsd: {address: \":1\", tags: [a]}", "1:25: `tags`: expected a map, found a list"),
];

#[test]
fn what_is_nowhere_and_what_statsd_has_no_way_to_say_is_refused_at_its_place() {
    for (text, told) in REFUSED {
        assert_eq!(error(text), format!("f:{told}"), "for {text:?}");
    }
}

#[test]
fn an_address_alone_is_a_statsd_server() {
    let statsd =
        |text: &str| Folder::new().check(&format!("statsd: {text}\n{}", app_with(""))).unwrap().statsd.unwrap();
    let short = statsd("127.0.0.1:8125");
    assert_eq!(short, statsd("{address: localhost:8125}"));
    assert_eq!((short.prefix.as_str(), short.tags.len(), short.interval), ("", 0, Duration::from_secs(1)));
    assert_eq!(statsd("{address: \"unix:@s\", prefix: a.b}").prefix, "a.b.");
}
