//! The same request gives the same environ by every wire, but for what the gateway itself tells.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Gateways, told};
use crate::harness::Answer;
use crate::harness::gateway::{Asked, Wire};

/// What the gateway itself tells, or the connection does. Nothing else may differ, but for a CONTENT_LENGTH of 0: SCGI wants one of each
/// request, and a client need not send it.
const OWN: [&str; 6] = ["SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "REMOTE_PORT", "REMOTE_HOST", "SCGI"];

/// All that the application was given: strings, and what the others are. Where an object lies in memory is left out.
fn all(answer: &Answer) -> BTreeMap<String, String> {
    let told: Value = serde_json::from_str(answer.text()).unwrap_or_else(|why| panic!("{why}: {answer}"));
    let map = |part: &str| told[part].as_object().expect("a map").clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().split(" at 0x").next().unwrap_or_default().to_owned();
    let both = map("environ").into_iter().chain(map("others"));
    let body = [("body".to_owned(), told["body"].clone())];
    let all = both.chain(body).filter(|(key, _)| !OWN.contains(&key.as_str()));
    let all = all.map(|(key, value)| (key, text(&value)));
    all.filter(|(key, value)| key != "CONTENT_LENGTH" || value != "0").collect()
}

/// By every wire: as by HTTP, which is given.
#[track_caller]
fn same(gateways: &Gateways, asked: &Asked) -> BTreeMap<String, String> {
    let by_http = all(&gateways.asked(Wire::Http, asked).expect_status(200));
    for (wire, answer) in gateways.each(asked) {
        assert_eq!(all(&answer.expect_status(200)), by_http, "{wire:?} {} {}", asked.method, asked.target);
    }
    by_http
}

#[test]
fn the_gateway_tells_of_itself_and_its_client_and_of_nothing_else() {
    let gateways = Gateways::serve("mirror:application", "");
    let asked = Asked::post("/caf%C3%A9/a%2Fb+c%20d?q=%41&r=a+b", b"four")
        .field("Cookie", "a=1; b=2")
        .field("User-Agent", "test")
        .field("X-Own-Field", "\u{e9}")
        .field("Proxy", "http://evil.example");
    let environ = same(&gateways, &asked);
    assert_eq!(environ["PATH_INFO"], "/caf\u{c3}\u{a9}/a/b+c d");
    assert_eq!((environ["QUERY_STRING"].as_str(), environ["body"].as_str()), ("q=%41&r=a+b", "four"));
    assert!(!environ.contains_key("HTTP_PROXY"));
    for (wire, answer) in gateways.each(&asked) {
        let way = told(&answer, "SERVER_NAME SERVER_PORT REMOTE_ADDR REMOTE_PORT");
        assert_eq!(way, "www.example 8080 192.0.2.7 4711", "{wire:?}");
    }
    // By HTTP the client is trusted; by a gateway it is another, who is not.
    let asked = Asked::get("/").field("X-Forwarded-For", "203.0.113.9");
    assert_eq!(told(&gateways.asked(Wire::Http, &asked), "HTTP_X_FORWARDED_FOR"), "203.0.113.9");
    for (wire, answer) in gateways.each(&asked) {
        assert_eq!(told(&answer, "HTTP_X_FORWARDED_FOR"), "-", "{wire:?}");
    }
}

#[test]
fn targets_of_every_kind_mean_the_same_by_every_wire() {
    let gateways = Gateways::serve("mirror:application", "");
    for (target, path, query) in [
        ("/", "/", ""),
        ("/?", "/", ""),
        ("/x?", "/x", ""),
        ("/?a", "/", "a"),
        ("/x??y", "/x", "?y"),
        ("/x?a=%00&b=+&c=%C3%A9&d=/", "/x", "a=%00&b=+&c=%C3%A9&d=/"),
        ("//double//slash//", "//double//slash//", ""),
        ("/a/./b/../c", "/a/./b/../c", ""),
        ("/%2e%2e/%2E/x", "/.././x", ""),
        ("/a%2Fb%2fc", "/a/b/c", ""),
        ("/a%252Fb", "/a%2Fb", ""),
        ("/caf%C3%A9/%ff%0a", "/caf\u{c3}\u{a9}/\u{ff}\n", ""),
        ("/a+b;c=d,e:f@g", "/a+b;c=d,e:f@g", ""),
        ("/%3F%23%25", "/?#%", ""),
    ] {
        let environ = same(&gateways, &Asked::get(target));
        let told = [&environ["SCRIPT_NAME"], &environ["PATH_INFO"], &environ["QUERY_STRING"], &environ["REQUEST_URI"]];
        assert_eq!(told, ["", path, query, target]);
    }
}

#[test]
fn fields_of_every_kind_mean_the_same_by_every_wire() {
    let gateways = Gateways::serve("mirror:application", "");
    let bare = |method: &str| Asked::get("/").method(method);
    for (asked, key, value) in [
        (bare("GET"), "CONTENT_TYPE", None),
        (bare("GET").field("Content-Type", "text/x; a=b"), "CONTENT_TYPE", Some("text/x; a=b")),
        (bare("GET").field("X-Empty", ""), "HTTP_X_EMPTY", Some("")),
        (bare("GET").field("X-Two", "1").field("X-Two", "2"), "HTTP_X_TWO", Some("1, 2")),
        (bare("GET").field("X-Two", "").field("x-two", "2"), "HTTP_X_TWO", Some(", 2")),
        (bare("GET").field("Cookie", "a=1").field("Cookie", "b=2"), "HTTP_COOKIE", Some("a=1; b=2")),
        (bare("GET").field("X-Quoted", "\"a, b\\\"\""), "HTTP_X_QUOTED", Some("\"a, b\\\"\"")),
        (bare("GET").field("X-Tab", "a\tb"), "HTTP_X_TAB", Some("a\tb")),
        (bare("PROPFIND"), "REQUEST_METHOD", Some("PROPFIND")),
        (bare("DELETE"), "CONTENT_LENGTH", None),
        (Asked::post("/", b"x").method("PATCH"), "CONTENT_LENGTH", Some("1")),
    ] {
        let environ = same(&gateways, &asked);
        assert_eq!(environ.get(key).map(String::as_str), value, "{key} of {asked:?}");
    }
}

#[test]
fn an_empty_content_type_is_one_by_http_alone_for_web_servers_send_one_always() {
    let gateways = Gateways::serve("mirror:application", "");
    let asked = Asked::get("/").field("Content-Type", "");
    let by = |wire: Wire| told(&gateways.asked(wire, &asked), "CONTENT_TYPE");
    assert_eq!(Wire::ALL.map(by), ["", "-", "-", "-", "-"]);
}

#[test]
fn an_underscore_in_a_name_is_a_hyphen_where_the_web_server_lets_it_through_as_a_variable() {
    let gateways = Gateways::serve("mirror:application", "");
    let asked = Asked::get("/").field("X_Under", "u");
    let by = |wire: Wire| told(&gateways.asked(wire, &asked), "HTTP_X_UNDER");
    assert_eq!(Wire::ALL.map(by), ["-", "u", "u", "u", "-"]);
}

#[test]
fn the_server_has_a_name_without_a_port_and_one_that_is_empty_is_none() {
    let gateways = Gateways::serve("mirror:application", "");
    for wire in [Wire::Scgi, Wire::Uwsgi, Wire::FastCgi] {
        let listener = gateways.address(wire);
        let by = |name: &str, port: &str| {
            let asked = Asked::get("/").variable("SERVER_NAME", name).variable("SERVER_PORT", port);
            // Those behind them are where they were.
            let told = told(&gateways.asked(wire, &asked), "SERVER_NAME SERVER_PORT REMOTE_ADDR REMOTE_PORT");
            told.strip_suffix(" 192.0.2.7 4711").unwrap_or_else(|| panic!("{told}")).to_owned()
        };
        for _ in 0..2 {
            assert_eq!(by("", ""), format!("{} {}", listener.ip(), listener.port()), "{wire:?}");
            for (name, expected) in [
                ("shop.example", "shop.example"),
                ("shop.example:8080", "shop.example"),
                ("192.0.2.1:80", "192.0.2.1"),
                ("[::1]:80", "[::1]"),
                ("[::1]", "[::1]"),
                ("::1", "::1"),
                (":80", ":80"),
            ] {
                assert_eq!(by(name, "81"), format!("{expected} 81"), "{wire:?}");
            }
        }
    }
}

#[test]
fn a_mount_means_the_same_by_every_wire() {
    let gateways = Gateways::serve("mirror:application", "mount: /app");
    for (target, path) in [("/app", ""), ("/app/", "/"), ("/app/a%2Fb", "/a/b"), ("/%61pp/x", "/x")] {
        let environ = same(&gateways, &Asked::get(target));
        assert_eq!([&environ["SCRIPT_NAME"], &environ["PATH_INFO"]], ["/app", path], "{target}");
    }
}
