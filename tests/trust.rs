//! Whose word counts on where a request comes from: fields of proxies, PROXY headers, the mount; behind real proxies too.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Answer, Broken, Client, Ending, Process, Server, Site, eventually, installed, repository};

/// A site that tells what it was asked, with proxies on every loopback address and in 10.0.0.0/8.
fn site() -> Site {
    Site::new("mirror:application").app("trusted_proxies: [127.0.0.0/8, 10.0.0.0/8, unix]")
}

/// The same on a listener with these keys.
fn site_with(listener: &str) -> Site {
    let source = fs::read_to_string(repository().join("tests/apps/mirror.py")).expect("the app can be read");
    let site = Site::empty().file("mirror.py", &source).app("wsgi: mirror:application");
    let listen = format!("listen: {{address: \"{}\", {listener}}}", site.listen());
    site.app(&listen).app("trusted_proxies: [127.0.0.0/8, 10.0.0.0/8, unix]").top("log: {format: json}")
}

fn get(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: asked.example\r\n{fields}\r\n")
}

fn environ(answer: &Answer) -> Value {
    let told: Value = serde_json::from_str(answer.text()).unwrap_or_else(|why| panic!("{why}: {answer}"));
    told["environ"].clone()
}

/// The values of these keys, a dash for each that is not there.
fn told(environ: &Value, keys: &str) -> String {
    keys.split(' ').map(|key| environ[key].as_str().unwrap_or("-")).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn asked(client: &mut Client, target: &str, fields: &str) -> Value {
    environ(&client.send(get(target, fields)).answer().expect_status(200))
}

const WAY: &str = "REMOTE_ADDR HTTP_HOST SCRIPT_NAME PATH_INFO wsgi.url_scheme";

#[test]
fn a_trusted_proxy_tells_client_host_prefix_and_scheme() {
    let fields = "forwarded: {client: X-Forwarded-For, host: X-Forwarded-Host, prefix: X-Forwarded-Prefix}";
    let server = site().app(fields).serve();
    let mut client = server.connect();
    let all = "X-Forwarded-For: 9.9.9.9, 192.0.2.1, 10.1.1.1\r\nX-Forwarded-Host: shop.example\r\nX-Forwarded-Prefix: /shop\r\nX-Forwarded-Proto: https\r\n";
    let environ = asked(&mut client, "/a", all);
    assert_eq!(told(&environ, WAY), "192.0.2.1 shop.example /shop /a https");
    // The application may look for itself.
    assert_eq!(environ["HTTP_X_FORWARDED_FOR"], "9.9.9.9, 192.0.2.1, 10.1.1.1");
    let own = client.local_address();
    let environ = asked(&mut client, "/a", "");
    assert_eq!(told(&environ, WAY), format!("{} asked.example  /a http", own.ip()));
    assert_eq!(environ["REMOTE_PORT"], own.port().to_string());
    let refused = client.send(get("/", "X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n")).answer();
    assert!(refused.status == 400 && refused.text().contains("disagree on the scheme"), "{refused}");
    client.expect_close();
}

#[test]
fn forwarded_is_read_by_its_grammar() {
    let lines = "forwarded: {client: Forwarded, host: Forwarded}\nscheme_headers: {Forwarded: https}";
    let server = site().app(lines).serve();
    let mut client = server.connect();
    let field = "Forwarded: for=\"[2001:db8::1]:4711\";proto=https;host=\"shop.example:81\"\r\nForwarded: for=10.0.0.1;proto=http\r\n";
    let environ = asked(&mut client, "/a", field);
    assert_eq!(told(&environ, WAY), "2001:db8::1 shop.example:81  /a https");
    assert_eq!(environ["REMOTE_PORT"], "4711");
    let refused = client.send(get("/", "Forwarded: for=\"open\r\n")).answer();
    assert_eq!((refused.status, refused.text()), (400, "a Forwarded field is malformed\n"));
}

#[test]
fn a_strangers_word_reaches_nobody() {
    let lines = "forwarded: {client: X-Forwarded-For, host: X-Own-Host}\nrequest_id: X-Request-ID";
    let server = Site::new("mirror:application").app("trusted_proxies: unix").app(lines).serve();
    let mut client = server.connect();
    let all = "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Own-Host: b\r\nForwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\nX-Request-ID: 1\r\nX-Mine: stays\r\n";
    let own = client.local_address().ip();
    for _ in 0..2 {
        let environ = asked(&mut client, "/a", all);
        assert_eq!(told(&environ, WAY), format!("{own} asked.example  /a http"));
        let names: Vec<&String> = environ.as_object().expect("it is a map").keys().collect();
        let fields: Vec<&&String> = names.iter().filter(|name| name.starts_with("HTTP_")).collect();
        assert_eq!(fields, [&"HTTP_HOST", &"HTTP_X_MINE"], "{names:?}");
    }
    let said = server.logged("only trusted_proxies may send");
    assert_eq!((&said["name"], &said["client"]), (&"X-Forwarded-For".into(), &own.to_string().into()));
    assert_eq!(server.count("only trusted_proxies may send"), 1);
}

#[test]
fn whoever_comes_by_a_unix_socket_is_a_proxy_by_default() {
    let site = Site::empty();
    let source = fs::read_to_string(repository().join("tests/apps/mirror.py")).expect("the app can be read");
    let lines = "wsgi: mirror:application\nlisten: unix:here.sock\nforwarded: {client: X-Forwarded-For}";
    let server = site.file("mirror.py", &source).app(lines).top("log: {format: json}").serve();
    let mut client = Client::connect_unix(&server.site().path("here.sock"));
    let environ = asked(&mut client, "/", "X-Forwarded-For: 192.0.2.1\r\n");
    assert_eq!(told(&environ, "REMOTE_ADDR REMOTE_PORT"), "192.0.2.1 -");
    assert_eq!(asked(&mut client, "/", "")["REMOTE_ADDR"], "");
}

#[test]
fn an_application_under_a_path_sees_what_is_below_it() {
    let server = site().app("mount: /shop\nforwarded: {prefix: X-Forwarded-Prefix}").serve();
    let mut client = server.connect();
    for (target, fields, expected) in [
        ("/shop", "", "/shop |"),
        ("/shop/", "", "/shop | /"),
        ("/shop/a%20b?q", "", "/shop | /a b"),
        ("/sh%6fp/a", "", "/shop | /a"),
        ("/shop/a", "X-Forwarded-Prefix: /outer\r\n", "/outer/shop | /a"),
    ] {
        let environ = asked(&mut client, target, fields);
        let told = format!("{} | {}", told(&environ, "SCRIPT_NAME"), told(&environ, "PATH_INFO"));
        assert_eq!(told.trim_end(), expected, "{target}");
        assert_eq!(environ["RAW_URI"], target);
    }
    for target in ["/", "/shops", "/other/shop"] {
        let mut client = server.connect();
        let answer = client.send(get(target, "")).answer().expect_status(404);
        assert_eq!(answer.text(), "nothing is served under this path\n");
        client.expect_close();
    }
    // Static files are where the file says.
    let statics = site().app("mount: /shop\nstatic: {/files: .}").serve();
    assert!(statics.get("/files/server.yaml").expect_status(200).text().contains("mount: /shop"));
    statics.get("/filesystem").expect_status(404);
    // Before the body is waited for.
    let mut client = server.connect();
    client.send("POST /other HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n");
    client.answer().expect_status(404);
}

#[test]
fn names_with_an_underscore_are_dropped_refused_or_kept() {
    let fields =
        "X_Own: 1\r\nX-Other: 2\r\nX_Other: 3\r\nContent_Length: 4\r\nX_Forwarded_For: 5\r\nProxy: 6\r\nX_Own: 7\r\n";
    let keys = "HTTP_X_OWN HTTP_X_OTHER HTTP_CONTENT_LENGTH CONTENT_LENGTH HTTP_X_FORWARDED_FOR HTTP_PROXY";
    let server = site().serve();
    assert_eq!(told(&asked(&mut server.connect(), "/", fields), keys), "- 2 - - - -");
    assert_eq!(server.logged("underscore")["name"], "X_Own");
    let server = site().app("underscore_headers: keep").serve();
    assert_eq!(told(&asked(&mut server.connect(), "/", fields), keys), "1, 7 2 - - - -");
    let server = site().app("underscore_headers: refuse").serve();
    server.connect().send(get("/", fields)).answer().expect_status(400);
}

const LINE: &str = "PROXY TCP4 192.0.2.1 198.51.100.7 4711 443\r\n";
const PROXIED: &str = "REMOTE_ADDR REMOTE_PORT PROXY_PROTOCOL PROXY_ADDR PROXY_PORT wsgi.url_scheme";

/// A version 2 header for 192.0.2.1 and these TLVs.
fn block(tlvs: &[u8]) -> Vec<u8> {
    let length = u16::try_from(12 + tlvs.len()).expect("TLVs are short").to_be_bytes();
    let fixed = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11"[..], &length].concat();
    [&fixed[..], &[192, 0, 2, 1, 198, 51, 100, 7, 0x12, 0x67, 1, 0xbb], tlvs].concat()
}

#[test]
fn a_proxy_header_tells_the_client_of_every_request_behind_it() {
    let server = site_with("proxy_protocol: true").app("forwarded: {client: X-Forwarded-For}").serve();
    let expected = "192.0.2.1 4711 TCP4 198.51.100.7 443 http";
    let mut client = server.connect();
    client.send(LINE);
    for _ in 0..3 {
        // The client is no proxy, whatever it says.
        let environ = asked(&mut client, "/", "X-Forwarded-For: 9.9.9.9\r\n");
        assert_eq!(told(&environ, PROXIED), expected);
        assert_eq!(environ["HTTP_X_FORWARDED_FOR"], Value::Null);
    }
    let mut client = server.connect();
    client.send_bytewise(LINE).send_bytewise(get("/", ""));
    assert_eq!(told(&environ(&client.answer()), PROXIED), expected);
    let mut client = server.connect();
    client.send([&block(b"\x20\0\x05\x01\0\0\0\0")[..], get("/", "").as_bytes()].concat());
    assert_eq!(told(&environ(&client.answer()), PROXIED), "192.0.2.1 4711 TCP4 198.51.100.7 443 https");
    let mut client = server.connect();
    client.send(LINE.replace("192.0.2.1", "10.0.0.1"));
    let environ = asked(&mut client, "/", "X-Forwarded-For: 9.9.9.9\r\n");
    assert_eq!(environ["REMOTE_ADDR"], "9.9.9.9", "a proxy before the proxy");
    let mut client = server.connect();
    client.send("PROXY UNKNOWN\r\n");
    let own = client.local_address().ip().to_string();
    assert_eq!(asked(&mut client, "/", "")["REMOTE_ADDR"], own);
}

#[test]
fn without_a_proxy_header_nobody_is_served() {
    let server = site_with("proxy_protocol: true").serve();
    let without = get("/", "");
    let twice = [LINE, LINE, &without].concat();
    let wrong = ["PROXY TCP4 256.0.2.10 198.51.100.7 1 2\r\n", &without].concat();
    let no_port = ["PROXY TCP4 192.0.2.1 198.51.100.7 1 65536\r\n", &without].concat();
    for bytes in [without.clone(), wrong, no_port] {
        let mut client = server.connect();
        client.send(&bytes);
        let (seen, ending) = client.ending();
        assert!(seen.is_empty() && ending != Ending::Silence, "{ending:?} after {}", seen.escape_ascii());
    }
    // A second one is a request, and none that can be.
    let mut client = server.connect();
    client.send(twice).answer().expect_status(400);
    assert_eq!(server.status()["apps"][0]["workers"].as_array().map(Vec::len), Some(1), "{}", server.status());
}

#[test]
fn only_proxies_may_send_a_proxy_header() {
    let server = site_with("proxy_protocol: [203.0.113.0/24]").serve();
    let mut client = server.connect();
    let _ = client.try_send(LINE);
    let (seen, ending) = client.ending();
    assert!(seen.is_empty() && ending != Ending::Silence, "{ending:?} after {}", seen.escape_ascii());
    assert_eq!(server.logged("lets only known peers in")["client"], client_address(&server));
}

fn client_address(server: &Server) -> String {
    server.connect().local_address().ip().to_string()
}

#[test]
fn a_proxy_header_that_does_not_come_is_not_waited_for() {
    let server = site_with("proxy_protocol: true").app("timeouts: {head: 200ms}").serve();
    for bytes in ["", "PROXY TCP4 192.", "\r\n\r\n"] {
        let mut client = server.connect();
        client.send(bytes);
        let (seen, ending) = client.ending();
        assert!(seen.is_empty() && ending != Ending::Silence, "{ending:?} after {}", seen.escape_ascii());
    }
}

#[test]
fn what_a_proxy_header_said_outlives_a_reload() {
    let server = site_with("proxy_protocol: true").serve();
    let mut early = server.connect();
    early.send(LINE);
    assert_eq!(asked(&mut early, "/", "")["REMOTE_ADDR"], "192.0.2.1");
    let generation = |answer: &Answer| {
        let told: Value = serde_json::from_str(answer.text()).expect("it is JSON");
        told["others"]["monoceros.generation"].as_str().map(str::to_owned)
    };
    // In the middle of its header, and in the middle of its first head.
    let (mut half, mut head) = (server.connect(), server.connect());
    half.send(&LINE[..20]);
    head.send(LINE).send("GET / HTTP/1.1\r\nHo");
    let (status, said) = server.command(&["reload", "--wait"]);
    assert_eq!(status, 0, "{said}");
    half.send(&LINE[20..]).send(get("/", ""));
    head.send("st: a\r\n\r\n");
    for (name, answer) in [("half", half.answer()), ("head", head.answer())] {
        let environ = environ(&answer);
        assert_eq!(told(&environ, PROXIED), "192.0.2.1 4711 TCP4 198.51.100.7 443 http", "{name}");
        assert!(!answer.says_close(), "{name}: {answer}");
    }
    eventually("the next worker to have the connection", || {
        let answer = early.send(get("/", "")).answer();
        assert_eq!(told(&environ(&answer), PROXIED), "192.0.2.1 4711 TCP4 198.51.100.7 443 http");
        if generation(&answer).as_deref() == Some("2") { Ok(()) } else { Err(generation(&answer)) }
    });
}

/// A proxy of this name before the server, by this config, in which `FRONT` and `BACK` stand for addresses.
fn before(server: &Server, name: &str, config: &str) -> (Process, std::net::SocketAddr) {
    let front = server.site().another_address();
    let config = config.replace("FRONT", &front.to_string()).replace("BACK", &server.address().to_string());
    let folder = server.site().path("");
    let config = config.replace("FOLDER", &folder.to_string_lossy());
    server.site().put("proxy.conf", &config);
    let file = server.site().path("proxy.conf").to_string_lossy().into_owned();
    let arguments = match name {
        "nginx" => vec!["-c".to_owned(), file, "-p".to_owned(), folder.to_string_lossy().into_owned()],
        _ => vec!["-db".to_owned(), "-f".to_owned(), file],
    };
    let process = Process::start(&installed(name), &arguments, &folder, &[]);
    eventually("the proxy to listen", || Client::try_connect(front).map(drop));
    (process, front)
}

const NGINX: &str = "daemon off; worker_processes 1; pid FOLDER/nginx.pid; error_log stderr;
events { worker_connections 64; }
http {
    access_log off; client_body_temp_path FOLDER/body; proxy_temp_path FOLDER/proxy; fastcgi_temp_path FOLDER/f;
    uwsgi_temp_path FOLDER/u; scgi_temp_path FOLDER/s;
    server {
        listen FRONT;
        location / {
            proxy_pass http://BACK; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;
        }
    }
}
";

#[test]
fn behind_nginx_the_client_is_its_client() {
    let server = site().app("forwarded: {client: X-Forwarded-For}").serve();
    let (nginx, front) = before(&server, "nginx", NGINX);
    let mut client = Client::connect(front);
    // What clients make up stands before what nginx knows.
    let environ = asked(&mut client, "/a?b", "X-Forwarded-For: 192.0.2.66\r\nX-Forwarded-Proto: https\r\n");
    assert_eq!(
        told(&environ, WAY),
        "192.0.2.66 asked.example  /a http",
        "127.0.0.0/8 is trusted, the test's own included"
    );
    let environ = asked(&mut client, "/", "");
    assert_eq!(environ["REMOTE_ADDR"], client.local_address().ip().to_string());
    drop(nginx);
}

const HAPROXY: &str = "defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen front
    bind FRONT
    server back BACK SEND
";

#[test]
fn behind_haproxy_both_versions_of_its_header_are_read() {
    for (send, mode) in
        [("send-proxy", "http"), ("send-proxy-v2", "http"), ("send-proxy-v2 crc32c-opt", "tcp"), ("send-proxy", "tcp")]
    {
        let send = send.replace("crc32c-opt", "proxy-v2-options crc32c,unique-id");
        let server = site_with("proxy_protocol: true").serve();
        let config = HAPROXY.replace("SEND", &send).replace("mode http", &format!("mode {mode}"));
        let (haproxy, front) = before(&server, "haproxy", &config);
        let mut client = Client::connect(front);
        let own = client.local_address();
        for _ in 0..3 {
            let environ = asked(&mut client, "/", "");
            let expected = format!("{} {} TCP4 {} {} http", own.ip(), own.port(), front.ip(), front.port());
            assert_eq!(told(&environ, PROXIED), expected, "{send} in mode {mode}");
        }
        drop(haproxy);
    }
}

#[test]
fn a_client_that_leaves_within_its_header_leaves_nothing_behind() {
    let server = site_with("proxy_protocol: true").serve();
    for cut in [0, 1, 20, LINE.len()] {
        let mut client = server.connect();
        client.send(&LINE[..cut]).finish_sending();
        let (seen, ending) = client.ending();
        assert!(seen.is_empty() && ending == Ending::Eof, "{ending:?} after {}", seen.escape_ascii());
    }
    let mut slow = server.connect();
    slow.send(LINE);
    assert!(matches!(slow.pause(Duration::from_millis(50)), Ok(()) | Err(Broken::Ended(Ending::Silence, _))));
    asked(&mut slow, "/", "");
    let open = || server.status()["apps"][0]["workers"][0]["work"]["connections"].as_u64();
    let seen = || open().filter(|open| *open <= 1).ok_or(open());
    eventually("the connections that ended to be gone", seen);
}
