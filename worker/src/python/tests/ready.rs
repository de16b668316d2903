//! Applications asked whether they are ready.

use monoceros_shared::config::Ready;

use super::*;

fn ready() -> Ready {
    Ready { path: "/healthz?deep=1".into(), host: "localhost".into(), scheme: "http".into(), status: None }
}

/// What came of asking.
struct Asked {
    outcome: Result<(), Failure>,
    log: String,
    module: Py<PyModule>,
}

impl Asked {
    fn failure(self) -> Failure {
        self.outcome.expect_err("an application that is not ready")
    }

    fn value(&self, expression: &str) -> String {
        value_of(&self.module, expression)
    }
}

fn ask(source: &str, ready: Ready) -> Asked {
    let records = Records::default();
    let log = Logger::root(records.clone().fuse(), o!());
    // A check has no listeners, and what is asked here needs none.
    let mut assignment = Assignment { listeners: Vec::new(), ..assignment("127.0.0.1:8000") };
    assignment.app.reload.ready = Some(ready);
    let (application, module) = application(source, &assignment, &log);
    let outcome = check(&application, &assignment, &log);
    Asked { outcome, log: records.text(), module }
}

/// An application that answers this status with this content, and keeps the environ.
fn answering(status: &str, content: &str) -> String {
    format!(
        "def application(environ, start_response):\n    global seen\n    seen = environ\n    start_response({status:?}, [])\n    return [{content}]\n"
    )
}

#[test]
fn any_success_is_ready() {
    for status in ["200 OK", "204 No Content", "299 Odd"] {
        assert_eq!(ask(&answering(status, ""), ready()).outcome, Ok(()), "{status}");
    }
}

#[test]
fn the_request_is_what_a_client_would_send() {
    let asked = ask(&answering("200 OK", ""), Ready { host: "shop.example".into(), scheme: "https".into(), ..ready() });
    asked.outcome.as_ref().unwrap();
    for (key, value) in [
        ("REQUEST_METHOD", "GET"),
        ("PATH_INFO", "/healthz"),
        ("QUERY_STRING", "deep=1"),
        ("HTTP_HOST", "shop.example"),
        ("SERVER_NAME", "shop.example"),
        ("SERVER_PORT", "443"),
        ("wsgi.url_scheme", "https"),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
    ] {
        assert_eq!(asked.value(&format!("seen[{key:?}]")), format!("'{value}'"), "{key}");
    }
    assert_eq!(asked.value("seen['wsgi.input'].read()"), "b''");
}

#[test]
fn another_status_is_named_with_what_came_with_it() {
    let source = "def application(environ, start_response):\n    environ['wsgi.errors'].write('no database\\n')\n    start_response('503 Service Unavailable', [('Location', '/x')])\n    yield b'first\\n'\n    yield b'second\\n' * 100\n";
    let asked = ask(source, ready());
    assert!(asked.log.contains("text=no database"), "{}", asked.log);
    let failure = asked.failure();
    assert_eq!(failure.why, "not ready: GET /healthz?deep=1 answered 503 Service Unavailable");
    assert!(failure.detail.starts_with("HTTP/1.1 503 Service Unavailable\nLocation: /x\n"), "{}", failure.detail);
    assert!(failure.detail.contains("\n\nfirst\nsecond\n"), "{}", failure.detail);
    assert_eq!(failure.detail.matches("second").count(), 19, "{}", failure.detail);
    assert!(failure.detail.ends_with("wsgi.errors:\nno database"), "{}", failure.detail);
}

#[test]
fn the_status_that_is_asked_for_is_the_only_one() {
    let unauthorized = || Ready { status: Some(401), ..ready() };
    assert_eq!(ask(&answering("401 Unauthorized", ""), unauthorized()).outcome, Ok(()));
    let failure = ask(&answering("200 OK", ""), unauthorized()).failure();
    assert_eq!(failure.why, "not ready: GET /healthz?deep=1 answered 200 OK, not 401");
}

#[test]
fn an_application_that_raises_is_not_ready_whatever_it_answered_before() {
    let wherever = [
        "def application(environ, start_response):\n    raise KeyError('DB')\n",
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    yield b'x'\n    raise KeyError('DB')\n",
        "def application(environ, start_response):\n    start_response('200 OK', [])(b'x' * 1000000)\n    raise KeyError('DB')\n",
    ];
    for source in wherever {
        for status in [None, Some(500)] {
            let failure = ask(source, Ready { status, ..ready() }).failure();
            assert_eq!(failure.why, "not ready: GET /healthz?deep=1 raised KeyError: 'DB'");
            assert!(failure.detail.starts_with("Traceback "), "{}", failure.detail);
            assert!(failure.detail.ends_with("KeyError: 'DB'"), "{}", failure.detail);
        }
    }
}

#[test]
fn a_long_answer_is_pulled_to_its_end_and_closed() {
    let source = "closed = []\nclass Body:\n    def __init__(self): self.left = 100\n    def __iter__(self): return self\n    def __next__(self):\n        self.left -= 1\n        if not self.left: raise StopIteration\n        return b'x' * 65536\n    def close(self): closed.append(self.left)\ndef application(environ, start_response):\n    write = start_response('200 OK', [])\n    write(b'y' * (1 << 22))\n    return Body()\n";
    let asked = ask(source, ready());
    assert_eq!(asked.outcome, Ok(()));
    assert_eq!(asked.value("closed"), "[0]");
}

#[test]
fn a_failed_close_is_logged_and_no_matter() {
    let source = "class Body(list):\n    def close(self): raise OSError('late')\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return Body([b'x'])\n";
    let asked = ask(source, ready());
    assert_eq!(asked.outcome, Ok(()));
    assert!(asked.log.contains("OSError: late"), "{}", asked.log);
}

#[test]
fn who_is_not_asked_is_ready() {
    let log = Logger::root(slog::Discard, o!());
    let assignment = assignment("127.0.0.1:8000");
    let (application, _) = application("def application(environ, start_response):\n    1/0\n", &assignment, &log);
    assert_eq!(check(&application, &assignment, &log), Ok(()));
}

#[test]
fn a_host_that_is_none_is_told() {
    let failure = ask(&answering("200 OK", ""), Ready { host: "a:b:c".into(), ..ready() }).failure();
    assert!(failure.why.starts_with("cannot ask /healthz?deep=1: "), "{}", failure.why);
}
