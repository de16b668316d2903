//! From the client to the application: environ and wsgi.input.

use std::net::SocketAddr;

use pyo3::types::PyDict;

use super::*;

/// An application that keeps its environ.
const KEEP: &str = "def application(environ, start_response):\n    global kept\n    kept = dict(environ)\n    start_response('200 OK', [])\n    return []\n";

fn kept(request: &str) -> Exchange {
    exchange(KEEP, request)
}

fn request(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

#[test]
fn a_request_is_told_in_full() {
    let exchange = kept("PURGE /a%2Fb/%C3%A9%zz+?q=%41&r HTTP/1.0\r\nHost: example.com:81\r\nX-One: 1\r\n\r\n");
    let cases = [
        ("REQUEST_METHOD", "'PURGE'"),
        ("SCRIPT_NAME", "''"),
        ("PATH_INFO", "'/a/b/Ã©%zz+'"),
        ("RAW_URI", "'/a%2Fb/%C3%A9%zz+?q=%41&r'"),
        ("REQUEST_URI", "'/a%2Fb/%C3%A9%zz+?q=%41&r'"),
        ("QUERY_STRING", "'q=%41&r'"),
        ("SERVER_PROTOCOL", "'HTTP/1.0'"),
        ("SERVER_NAME", "'127.0.0.1'"),
        ("SERVER_PORT", "'8000'"),
        ("REMOTE_ADDR", "'203.0.113.9'"),
        ("REMOTE_PORT", "'4711'"),
        ("HTTP_HOST", "'example.com:81'"),
        ("HTTP_X_ONE", "'1'"),
        ("wsgi.version", "(1, 0)"),
        ("wsgi.url_scheme", "'http'"),
        ("wsgi.multithread", "False"),
        ("wsgi.multiprocess", "True"),
        ("wsgi.run_once", "False"),
        ("wsgi.input_terminated", "True"),
        ("monoceros.worker", "3"),
        ("monoceros.generation", "2"),
    ];
    for (key, expected) in cases {
        assert_eq!(exchange.value(&format!("kept[{key:?}]")), expected, "{key}");
    }
    assert!(exchange.value("kept['SERVER_SOFTWARE']").starts_with("'monoceros/"));
    assert_eq!(exchange.value("type(kept['wsgi.input']).__name__"), "'BytesIO'");
    assert_eq!(exchange.value("[k for k in kept if k in ('CONTENT_LENGTH', 'CONTENT_TYPE')]"), "[]");
}

#[test]
fn every_target_has_its_path() {
    let cases = [
        ("GET / HTTP/1.1", "'/'", "'/'"),
        ("GET //x HTTP/1.1", "'//x'", "'//x'"),
        ("GET /%25%34%31 HTTP/1.1", "'/%41'", "'/%25%34%31'"),
        ("GET /%4 HTTP/1.1", "'/%4'", "'/%4'"),
        ("OPTIONS * HTTP/1.1", "''", "'*'"),
        ("GET http://b:9 HTTP/1.1", "'/'", "'http://b:9'"),
        ("GET HTTP://b/p?q HTTP/1.1", "'/p'", "'HTTP://b/p?q'"),
    ];
    for (line, path, raw) in cases {
        let exchange = kept(&format!("{line}\r\nHost: a\r\n\r\n"));
        assert_eq!(exchange.value("(kept['PATH_INFO'], kept['RAW_URI'])"), format!("({path}, {raw})"), "{line}");
    }
}

#[test]
fn an_absolute_target_stands_for_the_host() {
    let exchange = kept("GET http://real:9/ HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_eq!(exchange.value("kept['HTTP_HOST']"), "'real:9'");
}

#[test]
fn repeated_fields_are_joined_and_cookies_as_cookies() {
    let exchange = kept(&request("X-A: 1\r\nCookie: a=1\r\nx-a: 2\r\ncookie: b=2\r\nX-A: é\r\n"));
    assert_eq!(exchange.value("(kept['HTTP_X_A'], kept['HTTP_COOKIE'])"), "('1, 2, é', 'a=1; b=2')");
}

#[test]
fn no_field_can_pass_for_another() {
    let exchange = kept(&request("X_Under: 1\r\nX-Under: 2\r\nProxy: evil\r\nRemote_Addr: 3\r\nContent_Length: 9\r\n"));
    assert_eq!(exchange.value("kept['HTTP_X_UNDER']"), "'2'");
    assert_eq!(exchange.value("kept['REMOTE_ADDR']"), "'203.0.113.9'");
    assert_eq!(exchange.value("[k for k in kept if 'PROXY' in k or 'LENGTH' in k or k == 'HTTP_REMOTE_ADDR']"), "[]");
    assert_eq!(exchange.log.matches("underscore").count(), 1, "{}", exchange.log);
}

#[test]
fn a_body_has_its_length_however_it_was_framed() {
    let post = |fields: &str, body: &str| kept(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}"));
    let told = "(kept.get('CONTENT_LENGTH'), kept.get('CONTENT_TYPE'), [k for k in kept if k.startswith('HTTP_')])";
    let length = post("Content-Length: 3\r\nContent-Type: a/b\r\n", "abc");
    assert_eq!(length.value(told), "('3', 'a/b', ['HTTP_HOST'])");
    let chunked = post("Transfer-Encoding: chunked\r\n", "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n");
    assert_eq!(chunked.value(told), "('3', None, ['HTTP_HOST'])");
    assert_eq!(chunked.value("kept['wsgi.input'].read()"), "b'abc'");
    let none = post("Content-Length: 0\r\n", "");
    assert_eq!(none.value(told), "('0', None, ['HTTP_HOST'])");
}

#[test]
fn environ_is_the_applications_own() {
    let source = "def application(environ, start_response):\n    global kept\n    kept = type(environ), 'mine' in environ\n    environ['mine'] = environ['wsgi.version'] = 1\n    environ.clear()\n    start_response('200 OK', [])\n    return []\n";
    assert_eq!(exchange(source, GET).value("kept"), "(<class 'dict'>, False)");
}

#[test]
fn an_input_reads_as_bytes_io_does_from_memory_and_from_a_file() {
    let lines = "first\nsecond\n\nlast without end";
    let ways = "def ways(f):\n    yield f.read(3); yield f.readline(); yield f.readline(2); yield f.readlines(1); yield f.read(0)\n    yield f.read(-1); yield f.read(); yield f.read(5); yield f.readline(); yield f.readlines(); yield list(f); yield f.read(None)\ndef more(f):\n    yield list(f)\n    yield f.read()\n";
    for repeat in [1, 50] {
        let body = lines.repeat(repeat);
        for way in ["ways", "more"] {
            let source = format!(
                "import io\n{ways}def application(environ, start_response):\n    global got, expected, kind\n    f = environ['wsgi.input']\n    kind = type(f).__name__\n    got = list({way}(f))\n    expected = list({way}(io.BytesIO({body:?}.encode())))\n    start_response('200 OK', [])\n    return []\n"
            );
            let request = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let exchange = exchange(&source, &request);
            assert_eq!(exchange.value("got"), exchange.value("expected"));
            let kind = if repeat == 1 { "'BytesIO'" } else { "'Buffered'" };
            assert_eq!(exchange.value("kind"), kind);
        }
    }
}

/// What a listener's environ has for a request with this head, as `NAME PORT`.
fn server_of(listen: &str, head: &str) -> String {
    Python::initialize();
    Python::attach(|py| {
        let log = Logger::root(slog::Discard, o!());
        let environs = environ::Environs::new(py, &assignment(listen), &log).unwrap();
        let (mut connection, _client) = connect(Peer::Unix);
        connection.turn.receive(head.as_bytes(), &MOMENT);
        assert_eq!(connection.turn.next(), Next::Call);
        let request = environ::Request {
            head: connection.turn.head(),
            bytes: connection.turn.bytes(),
            peer: &connection.peer,
            origin: connection.turn.origin(),
            relay: None,
            id: None,
            listener: 0,
            body_length: Some(0),
            tls: None,
        };
        let environ = environs.make(py, &request, py.None().into_bound(py)).unwrap();
        let get = |key: &str| environ.get_item(key).unwrap().map_or("none".to_owned(), |value| value.to_string());
        assert_eq!((get("REMOTE_ADDR"), get("REMOTE_PORT").contains("4711")), (String::new(), false));
        format!("{} {}", get("SERVER_NAME"), get("SERVER_PORT"))
    })
}

#[test]
fn the_server_is_the_listener_or_else_the_host() {
    let host = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let none = "GET / HTTP/1.0\r\n\r\n".to_owned();
    let cases = [
        ("127.0.0.1:8000", host("a:9"), "127.0.0.1 8000"),
        ("[::1]:8000", host("a:9"), "[::1] 8000"),
        ("0.0.0.0:8000", host("a:9"), "a 9"),
        ("[::]:8000", host("[::1]:9"), "[::1] 9"),
        ("0.0.0.0:8000", host("[::1]"), "[::1] 80"),
        ("0.0.0.0:8000", host("a"), "a 80"),
        ("0.0.0.0:8000", none.clone(), "0.0.0.0 8000"),
        ("unix:/run/a.sock", host("a:9"), "a 9"),
        ("unix:/run/a.sock", none, "localhost 80"),
        ("0.0.0.0:8000", "GET http://real:7/ HTTP/1.1\r\nHost: a:9\r\n\r\n".to_owned(), "real 7"),
    ];
    for (listen, head, expected) in cases {
        assert_eq!(server_of(listen, &head), expected, "{listen} {head:?}");
    }
}

#[test]
fn the_copy_of_a_template_has_room_for_a_requests_fields() {
    Python::initialize();
    Python::attach(|py| {
        let log = Logger::root(slog::Discard, o!());
        for listen in ["127.0.0.1:8000", "unix:/run/a.sock"] {
            let environs = environ::Environs::new(py, &assignment(listen), &log).unwrap();
            let (mut connection, _client) = connect(Peer::Unix);
            connection.turn.receive(GET.as_bytes(), &MOMENT);
            let (turn, peer) = (&connection.turn, Peer::Tcp(SocketAddr::from(([192, 0, 2, 1], 1))));
            let request = environ::Request {
                head: turn.head(),
                bytes: turn.bytes(),
                peer: &peer,
                origin: turn.origin(),
                relay: None,
                id: None,
                listener: 0,
                body_length: Some(0),
                tls: None,
            };
            let environ = environs.make(py, &request, py.None().into_bound(py)).unwrap();
            let size =
                |environ: &Bound<'_, PyDict>| environ.call_method0("__sizeof__").unwrap().extract::<usize>().unwrap();
            let before = size(&environ);
            for number in 0..15 {
                environ.set_item(format!("HTTP_X_{number}"), "").unwrap();
            }
            assert_eq!(size(&environ), before, "{listen}: it grew");
        }
    });
}
