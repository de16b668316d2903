//! TLS: what clients are shown, what applications are told, what goes on over reloads, and what strangers cannot do.

mod authority;
mod renewed;
mod resumed;
mod strangers;

use std::net::TcpStream;

use serde_json::Value;
use socket2::SockRef;

use crate::harness::{Client, Ending, Framing, Server, Site};
use authority::Authority;

/// A site for `localhost` that is encrypted, with more in its `tls`.
fn site(wsgi: &str, authority: &Authority, more: &str) -> Site {
    let site = Site::new(wsgi).listen_with(&format!("tls: {{certificate: own.pem, key: own.key{more}}}"));
    authority.sign("localhost").lay(site, "own")
}

/// What `mirror` says of a request's environ.
fn environ(client: &mut Client) -> Value {
    let answer = client.get("/").expect_status(200);
    serde_json::from_str::<Value>(answer.text()).expect("mirror answers with JSON")["environ"].clone()
}

fn connect(server: &Server, authority: &Authority) -> Client {
    authority.visitor().connect(server.address(), "localhost")
}

#[test]
fn an_application_is_told_of_its_clients_tls() {
    let authority = Authority::new("Test Authority");
    let server = site("mirror:application", &authority, "").serve();
    let mut client = connect(&server, &authority);
    for _ in 0..2 {
        let environ = environ(&mut client);
        for (name, value) in [
            ("wsgi.url_scheme", "https"),
            ("HTTPS", "on"),
            ("SSL_PROTOCOL", "TLSv1.3"),
            ("SSL_CIPHER", "TLS_AES_256_GCM_SHA384"),
            ("SSL_CIPHER_USEKEYSIZE", "256"),
            ("SSL_SESSION_RESUMED", "Initial"),
            ("SSL_TLS_SNI", "localhost"),
            ("SSL_CLIENT_VERIFY", "NONE"),
        ] {
            assert_eq!(environ[name], value, "{name}");
        }
        assert_eq!(environ.get("SSL_CLIENT_CERT"), None);
        assert_eq!(environ["REMOTE_ADDR"], client.local_address().ip().to_string());
    }
    assert_eq!(client.tls().conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    let mut older = authority.visitor_of(&rustls::version::TLS12).connect(server.address(), "localhost");
    let environ = environ(&mut older);
    assert_eq!(
        (&environ["SSL_PROTOCOL"], &environ["SSL_CIPHER"]),
        (&"TLSv1.2".into(), &"ECDHE-ECDSA-AES256-GCM-SHA384".into())
    );
}

#[test]
fn a_proxy_header_comes_before_the_handshake_and_with_it() {
    /// More is to come: what is sent next goes in the same packet (send(2)).
    const MORE: i32 = 0x8000;
    let authority = Authority::new("Test Authority");
    let listen = "proxy_protocol: true, tls: {certificate: own.pem, key: own.key}";
    let site = Site::new("mirror:application").listen_with(listen).app("trusted_proxies: 127.0.0.0/8");
    let server = authority.sign("localhost").lay(site, "own").serve();
    let header = b"PROXY TCP4 192.0.2.1 198.51.100.7 4711 443\r\n";
    for (cut, flags) in [(header.len(), 0), (header.len(), MORE), (20, MORE)] {
        let stream = TcpStream::connect(server.address()).expect("the server accepts");
        let socket = SockRef::from(&stream);
        for part in [&header[..cut], &header[cut..]] {
            assert_eq!(socket.send_with_flags(part, flags).expect("the header is sent"), part.len());
        }
        let mut client = authority.visitor().over(stream, "localhost");
        for _ in 0..2 {
            let environ = environ(&mut client);
            let told = ["REMOTE_ADDR", "REMOTE_PORT", "PROXY_PORT", "wsgi.url_scheme", "HTTPS", "SSL_PROTOCOL"];
            let told = told.map(|name| environ[name].as_str().unwrap_or("-"));
            assert_eq!(told, ["192.0.2.1", "4711", "443", "https", "on", "TLSv1.3"], "cut at {cut}");
        }
    }
    let mut without = connect(&server, &authority);
    assert!(without.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").is_err() || without.try_answer("GET").is_err());
}

#[test]
fn answers_of_every_kind_arrive_whole() {
    let authority = Authority::new("Test Authority");
    let server = site("answers:application", &authority, "").serve();
    let mut client = connect(&server, &authority);
    assert_eq!(client.get("/plain").text(), "plain");
    assert_eq!(client.get("/pieces").text(), "one two three");
    assert_eq!(client.get("/written").text(), "written before returned");
    client.send("HEAD /plain HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.answer_to_head().framing, Framing::None);
    // Two requests in one record, and then one in many.
    let request = "GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n";
    client.send(request.repeat(2));
    assert_eq!((client.answer().text(), client.answer().text()), ("plain", "plain"));
    client.send_bytewise(request);
    assert_eq!(client.answer().text(), "plain");
    client.send("GET /plain HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(client.answer().says_close());
    client.expect_close();
}

#[test]
fn a_large_upload_and_a_large_file_pass() {
    let authority = Authority::new("Test Authority");
    let site = site("mirror:counted", &authority, "");
    let server = site.serve();
    let upload = vec![b'u'; 20 << 20];
    assert_eq!(connect(&server, &authority).post("/", &upload).expect_status(200).text(), upload.len().to_string());

    let site = self::site("answers:application", &authority, "");
    let large: Vec<u8> = (0..50u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(site.path("big"), &large).expect("a large file can be written");
    let server = site.serve();
    let mut client = connect(&server, &authority);
    for _ in 0..2 {
        let answer = client.get("/file_plain").expect_status(200);
        assert!(answer.body == large, "{} bytes came of {}", answer.body.len(), large.len());
    }
    assert_eq!(client.get("/plain").text(), "plain", "the connection goes on");
}

#[test]
fn a_host_is_shown_its_own_certificate() {
    let authority = Authority::new("Test Authority");
    let tls = "tls: {certificate: [one.pem, two.pem], key: [one.key, two.key]}";
    let site = Site::new("mirror:application").listen_with(tls);
    let site = authority.sign("one.example").lay(site, "one");
    let server = authority.sign("*.two.example").lay(site, "two").serve();
    for host in ["one.example", "www.two.example"] {
        let environ = environ(&mut authority.visitor().connect(server.address(), host));
        assert_eq!(environ["SSL_TLS_SNI"], host);
    }
    let mut other = authority.visitor().connect(server.address(), "other.example");
    let why = other.try_send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap_err().to_string();
    assert!(why.contains("NotValidForName") || why.contains("not valid for name"), "the first was shown: {why}");
}

#[test]
fn a_client_shows_the_certificate_that_is_required() {
    let authority = Authority::new("Test Authority");
    let members = Authority::new("Members");
    let asked = ", client_certificates: required, client_authorities: members.pem";
    let server = site("mirror:application", &authority, asked).file("members.pem", &members.certificate()).serve();
    let member = members.sign("ann.example");
    let environ = environ(&mut authority.visitor_with(&member).connect(server.address(), "localhost"));
    for (name, value) in [
        ("SSL_CLIENT_VERIFY", "SUCCESS"),
        ("SSL_CLIENT_S_DN_CN", "ann.example"),
        ("SSL_CLIENT_S_DN", "CN=ann.example"),
        ("SSL_CLIENT_I_DN", "CN=Members"),
        ("SSL_CLIENT_I_DN_CN", "Members"),
        ("SSL_CLIENT_M_SERIAL", "0A0B"),
        ("SSL_CLIENT_M_VERSION", "3"),
        ("SSL_CLIENT_V_START", "Jan  1 00:00:00 1975 GMT"),
        ("SSL_CLIENT_V_END", "Jan  1 00:00:00 4096 GMT"),
    ] {
        assert_eq!(environ[name], value, "{name}");
    }
    assert_eq!(environ["SSL_CLIENT_CERT"], member.certificate.replace("\r\n", "\n"));
    for visitor in [authority.visitor(), authority.visitor_with(&authority.sign("eve.example"))] {
        let mut client = visitor.connect(server.address(), "localhost");
        let _ = client.try_send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_refused(&mut client);
    }
}

/// A client whose handshake fails on the other side learns of it with what it reads next.
fn assert_refused(client: &mut Client) {
    let stream = client.tls();
    let why = loop {
        match std::io::Read::read(stream, &mut [0; 1024]) {
            Ok(count) => panic!("the server answered, with {count} bytes"),
            Err(why) if why.kind() == std::io::ErrorKind::Interrupted => {}
            Err(why) => break why.to_string(),
        }
    };
    assert!(why.contains("alert"), "an alert says why: {why}");
}

#[test]
fn an_optional_certificate_may_be_missing_but_not_wrong() {
    let authority = Authority::new("Test Authority");
    let asked = ", client_certificates: optional, client_authorities: own-authority.pem";
    let site = site("mirror:application", &authority, asked).file("own-authority.pem", &authority.certificate());
    let server = site.serve();
    assert_eq!(environ(&mut connect(&server, &authority))["SSL_CLIENT_VERIFY"], "NONE");
    let known = authority.visitor_with(&authority.sign("ann.example"));
    assert_eq!(environ(&mut known.connect(server.address(), "localhost"))["SSL_CLIENT_VERIFY"], "SUCCESS");
    let stranger = authority.visitor_with(&Authority::new("Others").sign("eve.example"));
    let mut client = stranger.connect(server.address(), "localhost");
    let _ = client.try_send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_refused(&mut client);
}

#[test]
fn an_older_version_than_the_file_allows_is_refused() {
    let authority = Authority::new("Test Authority");
    let server = site("mirror:application", &authority, ", min_version: 1.3").serve();
    assert_eq!(environ(&mut connect(&server, &authority))["SSL_PROTOCOL"], "TLSv1.3");
    let mut older = authority.visitor_of(&rustls::version::TLS12).connect(server.address(), "localhost");
    let why = older.try_send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap_err().to_string();
    assert!(why.contains("ProtocolVersion"), "{why}");
}

#[test]
fn a_client_that_says_that_it_is_done_still_gets_its_answer() {
    let authority = Authority::new("Test Authority");
    let server = site("answers:application", &authority, "").serve();
    let mut client = connect(&server, &authority);
    client.send("GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n").finish_sending();
    assert_eq!(client.answer().text(), "plain");
    client.expect_close();
}

#[test]
fn a_call_that_takes_too_long_is_told_in_tls_too() {
    let authority = Authority::new("Test Authority");
    let server = site("gate:application", &authority, "").app("timeouts: {request: 300ms}").serve();
    let mut client = connect(&server, &authority);
    client.send("GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let answer = client.answer().expect_status(504);
    assert!(answer.says_close(), "{answer}");
    client.expect_close();
}

#[test]
fn an_application_reads_its_body_itself_in_tls_too() {
    let authority = Authority::new("Test Authority");
    let server = site("uploads:application", &authority, "").app("body: stream").serve();
    let mut client = connect(&server, &authority);
    client.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in ["one", "two"] {
        client.send(format!("3\r\n{piece}\r\n"));
        if piece == "one" {
            client.head().expect_status(200);
        }
        assert_eq!(client.chunk().expect("a piece of the answer"), piece.as_bytes());
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.chunk().expect("the end"), b"");
    let told = client.post("/whole", &vec![b'x'; 3_000_000]).expect_status(200);
    assert!(told.text().starts_with("3000000 3000000 "), "{told}");
}

#[test]
fn a_body_that_ends_without_its_end_is_never_the_applications() {
    let authority = Authority::new("Test Authority");
    let server = site("mirror:counted", &authority, "").serve();
    // Without a close_notify, as by whoever cuts the line; and with one, by a client that lied.
    for announced in [false, true] {
        let mut client = connect(&server, &authority);
        client.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345");
        if announced {
            client.finish_sending();
        } else {
            client.tls().sock.shutdown(std::net::Shutdown::Write).expect("a connected socket can be half closed");
        }
        client.answer().expect_status(400);
        assert_eq!(client.ending(), (vec![], Ending::Eof));
    }
}

#[test]
fn every_engine_sends_and_reads_through_it_without_holding_up_others() {
    for engine in ["gevent", "eventlet", "tornado"] {
        let authority = Authority::new("Test Authority");
        let server = site("greens:application", &authority, "").engine(engine).serve();
        // tornado's loop makes one call at a time, and `write()` is within its call.
        let other = if engine == "tornado" { "/stream?2" } else { "/write?2" };
        let mut slow = ["/stream?1", other].map(|target| {
            let mut client = connect(&server, &authority);
            client.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
            client
        });
        let mut client = connect(&server, &authority);
        assert_eq!(client.get("/nap?0.01").text(), "ok");
        for client in &mut slow {
            assert!(client.answer().expect_status(200).body.len() >= 80 * 65536);
        }
        assert!(client.post("/upload", &vec![b'b'; 1_000_000]).text().starts_with("1000000 "));
    }
}

#[test]
fn a_piece_is_sent_though_the_next_one_takes_its_time() {
    let authority = Authority::new("Test Authority");
    let server = site("pieces:application", &authority, "").serve();
    let mut client = connect(&server, &authority);
    client.send("GET /stall HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.head().expect_status(200);
    assert_eq!(client.chunk().expect("a piece"), b"first ");
    std::fs::write(server.site().path("open"), "").expect("a file can be written");
    assert_eq!(client.chunks().expect("the rest"), b"last");
}
