//! Requests by bytes, by way of trusted and other peers, and what is believed of them.

use super::*;
use crate::wire::http::head;

/// What a config says of proxies: `lines` of an application.
pub fn config(lines: &str) -> App {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.yaml");
    let lines: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    std::fs::write(&file, format!("apps:\n  hello:\n    wsgi: a:b\n    listen: localhost:1\n{lines}")).unwrap();
    let read = monoceros_shared::config::read(&file).unwrap_or_else(|why| panic!("{why}"));
    read.config.apps[0].clone()
}

const LIMITS: head::Limits =
    head::Limits { request_line_max: 4096, header_count_max: 100, header_bytes_max: 64 * 1024 };

/// What a request with these field lines is told to be, from this peer; or the refusal.
fn judged_on(lines: &str, peer: Option<&str>, request: &str) -> Result<String, Refusal> {
    let policy = Arc::new(Policy::new(&config(lines), &Access::Off));
    let way = policy.way(peer.map(|peer| peer.parse().unwrap()));
    let mut head = Head::default();
    let bytes = request.as_bytes();
    let read = head::Reader::new(LIMITS).read(bytes, &mut head);
    assert!(matches!(read, Ok(Some(_))), "{request}: {read:?}");
    let mut origin = Origin::default();
    way.judge(&head, bytes, &mut origin)?;
    Ok(told(&origin, bytes))
}

fn told(origin: &Origin, bytes: &[u8]) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let client = origin.client.map(|(address, port)| match port {
        Some(port) => format!("client {address} {port}"),
        None => format!("client {address}"),
    });
    let https = origin.https.map(|https| if https { "https" } else { "http" }.to_owned());
    let host = origin.host.as_ref().map(|host| format!("host {}", text(host)));
    let prefix = origin.prefix.as_ref().map(|prefix| format!("prefix {}", text(prefix)));
    let id = origin.id.map(|id| format!("id {}", text(id.of(bytes))));
    [client, https, host, prefix, id].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn request(fields: &[&str]) -> String {
    format!(
        "GET /a HTTP/1.1\r\nHost: a\r\n{}\r\n",
        fields.iter().map(|field| format!("{field}\r\n")).collect::<String>()
    )
}

/// By way of a proxy on this machine that is trusted, as 10.0.0.0/8 is.
fn judged(lines: &str, fields: &[&str]) -> Result<String, Refusal> {
    let lines = format!("trusted_proxies: [127.0.0.1, 10.0.0.0/8, \"2001:db8::/32\", unix]\n{lines}");
    judged_on(&lines, Some("127.0.0.1"), &request(fields))
}

const ALL: &str = "forwarded: {client: X-Forwarded-For, host: X-Forwarded-Host, prefix: X-Forwarded-Prefix}\nrequest_id: X-Request-ID";
const RFC: &str = "forwarded: {client: Forwarded, host: Forwarded}\nscheme_headers: {Forwarded: https}";

#[test]
fn without_a_word_nothing_is_told() {
    for lines in ["", ALL, RFC] {
        assert_eq!(judged(lines, &["Accept: */*", "X-Requested-With: a"]), Ok(String::new()), "{lines}");
    }
}

#[test]
fn only_what_the_config_names_is_believed() {
    let fields = ["X-Forwarded-For: 1.2.3.4", "X-Forwarded-Host: b", "X-Forwarded-Prefix: /p", "X-Real-IP: 1.2.3.4"];
    assert_eq!(judged("", &fields), Ok(String::new()));
    assert_eq!(judged("", &["Forwarded: for=1.2.3.4;host=b;proto=https"]), Ok(String::new()));
    assert_eq!(judged(ALL, &["Forwarded: for=9.9.9.9;host=evil;proto=https"]), Ok(String::new()));
    assert_eq!(judged(RFC, &fields), Ok(String::new()));
    assert_eq!(judged(ALL, &fields), Ok("client 1.2.3.4, host b, prefix /p".into()));
    assert_eq!(judged("forwarded: {client: X-Real-IP}", &fields), Ok("client 1.2.3.4".into()));
}

#[test]
fn nobody_but_a_trusted_proxy_is_believed() {
    let all = ["X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "X-Forwarded-Host: b", "X-Request-ID: 1"];
    let believed = Ok("client 1.2.3.4, https, host b, id 1".to_owned());
    let from = |trusted: &str, peer: Option<&str>| {
        judged_on(&format!("trusted_proxies: {trusted}\n{ALL}"), peer, &request(&all))
    };
    assert_eq!(from("[10.0.0.0/8]", Some("10.1.1.1")), believed);
    assert_eq!(from("[10.0.0.0/8]", Some("::ffff:10.1.1.1")), believed);
    assert_eq!(from("[10.0.0.0/8]", Some("11.1.1.1")), Ok(String::new()));
    assert_eq!(from("[10.0.0.0/8]", None), Ok(String::new()));
    assert_eq!(from("unix", None), believed);
    assert_eq!(from("unix", Some("127.0.0.1")), Ok(String::new()));
    assert_eq!(from("all", Some("8.8.8.8")), believed);
    assert_eq!(from("[]", Some("127.0.0.1")), Ok(String::new()));
    // What would be refused of a proxy is nothing to a stranger.
    assert_eq!(
        judged_on(RFC, Some("8.8.8.8"), &request(&["Forwarded: for=\"", "X-Forwarded-Proto: x"])),
        Ok(String::new())
    );
}

#[test]
fn a_list_is_walked_from_its_end_to_the_first_who_is_no_proxy() {
    for (values, client) in [
        (&["1.2.3.4"][..], "client 1.2.3.4"),
        (&["9.9.9.9, 1.2.3.4"], "client 1.2.3.4"),
        (&["9.9.9.9, 1.2.3.4, 10.0.0.1"], "client 1.2.3.4"),
        (&["9.9.9.9,1.2.3.4,10.0.0.1:81 , 10.0.0.2"], "client 1.2.3.4"),
        (&["9.9.9.9", "1.2.3.4", "10.0.0.1"], "client 1.2.3.4"),
        (&["10.0.0.3, 10.0.0.2"], "client 10.0.0.3"),
        (&["1.2.3.4:5678"], "client 1.2.3.4 5678"),
        (&["2001:db9::1"], "client 2001:db9::1"),
        (&["[2001:db9::1]:81, 2001:db8::1"], "client 2001:db9::1 81"),
        (&["1.2.3.4, unknown"], ""),
        (&["1.2.3.4, unknown, 10.0.0.2"], "client 10.0.0.2"),
        (&["1.2.3.4, <script>, 10.0.0.2"], "client 10.0.0.2"),
        (&["1.2.3.4,,"], "client 1.2.3.4"),
        (&[""], ""),
        (&["::ffff:10.0.0.1", "::ffff:1.2.3.4"], "client ::ffff:1.2.3.4"),
    ] {
        let fields: Vec<String> = values.iter().map(|value| format!("X-Forwarded-For: {value}")).collect();
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        assert_eq!(judged(ALL, &fields), Ok(client.to_owned()), "{values:?}");
    }
}

#[test]
fn of_forwarded_all_that_is_said_of_the_clients_own_hop_counts() {
    for (values, expected) in [
        (&["for=1.2.3.4;proto=https;host=b"][..], "client 1.2.3.4, https, host b"),
        (&["for=1.2.3.4;proto=http"], "client 1.2.3.4, http"),
        (&["for=9.9.9.9;proto=https;host=evil, for=1.2.3.4;proto=http;host=b"], "client 1.2.3.4, http, host b"),
        (&["for=1.2.3.4;proto=https;host=b, for=10.0.0.1;proto=http;host=c"], "client 1.2.3.4, https, host b"),
        (&["for=1.2.3.4;proto=https", "for=10.0.0.1;host=c"], "client 1.2.3.4, https, host c"),
        (&["for=9.9.9.9;proto=https, for=unknown;host=b"], "host b"),
        (&["for=9.9.9.9;proto=https, for=_x, for=10.0.0.1;proto=http"], "client 10.0.0.1, http"),
        (&["for=9.9.9.9, proto=https"], "https"),
        (&["for=\"[2001:db9::1]:81\";host=\"[::1]:8\""], "client 2001:db9::1 81, host [::1]:8"),
    ] {
        let fields: Vec<String> = values.iter().map(|value| format!("Forwarded: {value}")).collect();
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        assert_eq!(judged(RFC, &fields), Ok(expected.to_owned()), "{values:?}");
    }
    let why = "a Forwarded field is malformed";
    assert_eq!(judged(RFC, &["Forwarded: for=\"open, for=1.2.3.4"]), Err(bad(why)));
    assert_eq!(judged(RFC, &["Forwarded: \"", "Forwarded: for=1.2.3.4"]), Err(bad(why)));
}

#[test]
fn the_scheme_is_what_all_its_fields_say() {
    let disagree = Err(bad("the proxy's fields disagree on the scheme"));
    for (fields, expected) in [
        (&["X-Forwarded-Proto: https"][..], Ok("https")),
        (&["X-Forwarded-Proto: HTTPS"], Ok("https")),
        (&["X-Forwarded-Proto: http"], Ok("http")),
        (&["X-Forwarded-Proto: http, https"], Ok("https")),
        (&["X-Forwarded-Proto: https, http"], Ok("http")),
        (&["X-Forwarded-Proto: https", "X-Forwarded-Ssl: on", "X-Forwarded-Protocol: ssl"], Ok("https")),
        (&["X-Forwarded-Proto: http", "X-Forwarded-Ssl: off"], Ok("http")),
        (&["X-Forwarded-Proto: "], Ok("")),
        (&["X-Forwarded-Proto: https", "X-Forwarded-Ssl: off"], disagree),
        (&["X-Forwarded-Proto: https", "X-Forwarded-Proto: http"], disagree),
        (&["X-Forwarded-Proto: http", "X-Forwarded-Protocol: ssl"], disagree),
    ] {
        assert_eq!(judged("", fields), expected.map(str::to_owned), "{fields:?}");
    }
    assert_eq!(judged("scheme_headers: {}", &["X-Forwarded-Proto: https"]), Ok(String::new()));
    assert_eq!(judged("scheme_headers: {X-Own: yep}", &["X-Own: YEP", "X-Forwarded-Proto: http"]), Ok("https".into()));
}

#[test]
fn a_host_or_a_prefix_that_is_none_is_refused() {
    for (field, expected) in [
        ("X-Forwarded-Host: b:81", Ok("host b:81")),
        ("X-Forwarded-Host: evil, b", Ok("host b")),
        ("X-Forwarded-Host: [::1]", Ok("host [::1]")),
        ("X-Forwarded-Host: a b", Err("the proxy's host is no host with or without a port")),
        ("X-Forwarded-Host: a/b", Err("the proxy's host is no host with or without a port")),
        ("X-Forwarded-Host: ", Ok("")),
        ("X-Forwarded-Prefix: /a/b/", Ok("prefix /a/b")),
        ("X-Forwarded-Prefix: /a%20b", Ok("prefix /a b")),
        ("X-Forwarded-Prefix: /", Ok("prefix ")),
        ("X-Forwarded-Prefix: ", Ok("")),
        ("X-Forwarded-Prefix: a", Err("the proxy's prefix is no path")),
        ("X-Forwarded-Prefix: //a", Err("the proxy's prefix is no path")),
        ("X-Forwarded-Prefix: /a%0a", Err("the proxy's prefix is no path")),
        ("X-Forwarded-Prefix: http://a", Err("the proxy's prefix is no path")),
    ] {
        assert_eq!(judged(ALL, &[field]), expected.map(str::to_owned).map_err(bad), "{field}");
    }
}

#[test]
fn an_identifier_is_short_and_harmless_or_made_anew() {
    let longest = format!("X-Request-ID: {}", "a".repeat(128));
    assert_eq!(judged(ALL, &[&longest]), Ok(format!("id {}", "a".repeat(128))));
    for field in ["X-Request-ID: a b", "X-Request-ID: a\"", "X-Request-ID: é", "X-Request-ID: ", "X-Request-ID: $(a)"]
    {
        assert_eq!(judged(ALL, &[field]), Ok(String::new()), "{field}");
    }
    assert_eq!(judged(ALL, &[&format!("{longest}a")]), Ok(String::new()));
    assert_eq!(judged(ALL, &["X-Request-ID: a", "X-Request-ID: a"]), Ok(String::new()));
    assert_eq!(judged(ALL, &["X-Request-ID: 1-67891233-abcdef012345678912345678"]).map(|id| id.len()), Ok(38));
}

#[test]
fn requests_outside_the_mount_are_nobodys() {
    let on = |target: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        judged_on("mount: /a/b", Some("8.8.8.8"), &request).map_err(|refusal| refusal.status)
    };
    for target in ["/a/b", "/a/b/", "/a/b/c", "/a/b?q", "/a/b/../c", "/%61/b", "/a%2Fb/c", "http://x/a/b/c"] {
        assert_eq!(on(target), Ok(String::new()), "{target}");
    }
    for target in ["/", "/a", "/a/bc", "/A/b", "//a/b", "/x/a/b", "http://x", "/a/b%"] {
        assert_eq!(on(target), Err(404), "{target}");
    }
    let star = "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(judged_on("mount: /a/b", None, star), Ok(String::new()));
}

#[test]
fn a_name_with_an_underscore_can_be_a_reason_to_refuse() {
    let refuse = |field: &str| judged_on("underscore_headers: refuse", Some("8.8.8.8"), &request(&[field]));
    assert_eq!(refuse("X_A: 1"), Err(bad("a field has an underscore in its name")));
    assert_eq!(refuse("X-A: _"), Ok(String::new()));
}

#[test]
fn a_client_behind_a_proxy_header_is_no_proxy_by_that() {
    let policy = Arc::new(Policy::new(
        &config("trusted_proxies: [127.0.0.1, 10.0.0.0/8]\nforwarded: {client: X-Forwarded-For}"),
        &Access::Off,
    ));
    let way = policy.way(Some("127.0.0.1".parse().unwrap()));
    let request = request(&["X-Forwarded-For: 9.9.9.9"]);
    let mut head = Head::default();
    head::Reader::new(LIMITS).read(request.as_bytes(), &mut head).unwrap().unwrap();
    let judged = |client: &str, scheme: Scheme| {
        let mut origin = Origin::default();
        way.relayed(Some(client.parse().unwrap()), scheme).judge(&head, request.as_bytes(), &mut origin).unwrap();
        told(&origin, request.as_bytes())
    };
    assert_eq!(judged("1.2.3.4", Scheme::Http), "");
    assert_eq!(judged("1.2.3.4", Scheme::Https), "https");
    assert_eq!(judged("10.0.0.1", Scheme::Http), "client 9.9.9.9");
}
