//! From the application to the client: start_response, write(), iterables, errors.

use super::*;

/// A request for a connection that is asked to stay, so that `next` tells what the answer did to it.
fn get(source: &str) -> Exchange {
    exchange(source, GET)
}

/// An application whose body is this statement.
fn app(body: &str) -> String {
    format!("def application(environ, start_response):\n    {}\n", body.replace('\n', "\n    "))
}

#[test]
fn a_list_goes_out_whole_with_its_length() {
    let exchange = get(&app("start_response('200 OK', [('X-A', '1'), ('X-A', 'é')])\nreturn [b'hel', b'', b'lo']"));
    let answer = exchange.answer();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\nX-A: 1\r\nX-A: é\r\n"), "{answer}");
    assert!(answer.contains("Content-Length: 5\r\n"), "{answer}");
    assert_eq!((exchange.content().as_str(), exchange.steps.len()), ("hello", 1));
    assert_eq!(exchange.next, Next::Wait);
}

#[test]
fn an_empty_list_has_length_0() {
    let exchange = get(&app("start_response('200 OK', [])\nreturn []"));
    assert!(exchange.answer().contains("Content-Length: 0\r\n"), "{}", exchange.answer());
    assert_eq!(exchange.content(), "");
}

#[test]
fn every_item_reaches_the_client_before_the_next_is_asked_for() {
    let exchange = get(
        "asked = []\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    for i in range(3):\n        asked.append(i)\n        yield b'' if i == 1 else b'item%d' % i\n",
    );
    assert!(exchange.steps[0].ends_with("\r\n\r\n5\r\nitem0\r\n"), "{:?}", exchange.steps);
    assert_eq!(exchange.steps[1..], ["5\r\nitem2\r\n", "0\r\n\r\n", ""]);
    assert_eq!(exchange.value("asked"), "[0, 1, 2]");
}

#[test]
fn the_head_waits_for_the_first_item_that_is_not_empty() {
    let exchange = get(
        "import sys\ndef application(environ, start_response):\n    start_response('200 OK', [('X-Old', 'yes')])\n    yield b''\n    try:\n        1/0\n    except ZeroDivisionError:\n        start_response('418 New', [('X-New', 'yes')], sys.exc_info())\n    yield b'x'\n",
    );
    let answer = exchange.answer();
    assert!(answer.starts_with("HTTP/1.1 418 New\r\nX-New: yes\r\n"), "{answer}");
    assert!(!answer.contains("X-Old"), "{answer}");
}

#[test]
fn a_generator_may_begin_the_answer_in_its_first_next() {
    let exchange = get(
        "def application(environ, start_response):\n    start_response('404 Not Found', [('Content-Length', '2')])\n    yield b'no'\n",
    );
    assert!(exchange.answer().starts_with("HTTP/1.1 404 Not Found\r\n"), "{}", exchange.answer());
    assert_eq!(exchange.content(), "no");
}

#[test]
fn a_generator_that_yields_nothing_gives_an_empty_answer() {
    let exchange = get("def application(environ, start_response):\n    start_response('200 OK', [])\n    yield b''\n");
    assert!(exchange.answer().contains("Content-Length: 0\r\n"), "{}", exchange.answer());
    assert_eq!(exchange.next, Next::Wait);
}

#[test]
fn a_generator_of_nothing_but_empty_items_lets_others_be_served() {
    let exchange = get(
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    for _ in range(200): yield b''\n    yield b'end'\n",
    );
    assert_eq!(exchange.steps[..3], ["", "", ""]);
    assert!(exchange.answer().contains("3\r\nend\r\n"), "{}", exchange.answer());
}

#[test]
fn write_reaches_the_client_at_once_and_before_the_iterable() {
    let exchange =
        get(&app("write = start_response('200 OK', [])\nwrite(b'one')\nwrite(b'')\nwrite(b'two')\nreturn [b'three']"));
    let expected = "3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n";
    assert_eq!(exchange.content(), expected, "{}", exchange.log);
}

/// Arguments of `start_response`, and what its exception says.
const REFUSED: &[(&str, &str)] = &[
    ("b'200 OK', []", "TypeError: status must be a str, not bytes"),
    ("'200 OK', ()", "TypeError: headers must be a list, not tuple"),
    ("'200 OK', [['a', 'b']]", "TypeError: a header must be a tuple of two str, not ['a', 'b']"),
    ("'200 OK', [('a', 1)]", "TypeError: the value of header 'a' must be a str, not int"),
    ("'200 OK', [(b'a', '1')]", "TypeError: a header's name must be a str, not bytes"),
    ("'2000 OK', []", "ValueError: cannot use status \"2000 OK\": "),
    ("'200 O\\nK', []", "ValueError: cannot use status \"200 O\\nK\": "),
    ("'200 O\u{10a}K', []", "ValueError: cannot use status: it is not latin-1"),
    ("'200 OK', [('X-A', 'a\u{10d}\u{10a}b')]", "ValueError: cannot set header 'X-A': it is not latin-1"),
    ("'200 OK', [('X-A', 'a\\r\\nX-B: c')]", "ValueError: cannot set header 'X-A': "),
    ("'200 OK', [('X A', 'a')]", "ValueError: cannot set header 'X A': "),
    (
        "'200 OK', [('Content-Length', '1'), ('Content-Length', '2')]",
        "ValueError: cannot set header 'Content-Length': ",
    ),
];

#[test]
fn arguments_of_start_response_are_checked_within_its_call() {
    for (arguments, expected) in REFUSED {
        let exchange = get(&app(&format!("start_response({arguments})\nreturn [b'x']")));
        assert!(
            exchange.answer().starts_with("HTTP/1.1 500 Internal Server Error\r\n"),
            "{arguments}: {}",
            exchange.answer()
        );
        assert!(exchange.log.contains(expected), "{arguments}: {}", exchange.log);
        assert!(exchange.log.contains("line 2, in application"), "{arguments}: {}", exchange.log);
    }
}

#[test]
fn a_refused_start_response_that_is_swallowed_is_still_a_500() {
    let exchange = get(&app(
        "try:\n    start_response('200 OK', [('X-Secret', '1'), ('X', '\\n')])\nexcept ValueError:\n    pass\nreturn [b'x']",
    ));
    let answer = exchange.answer();
    assert!(answer.starts_with("HTTP/1.1 500 ") && !answer.contains("Secret"), "{answer}");
    assert!(exchange.log.contains("went on although start_response() had refused"), "{}", exchange.log);
}

#[test]
fn start_response_is_called_once_unless_there_is_exc_info() {
    let exchange = get(&app("start_response('200 OK', [])\nstart_response('200 OK', [])\nreturn [b'x']"));
    assert!(exchange.log.contains("AssertionError: start_response() was called a second time"), "{}", exchange.log);
    assert!(exchange.answer().starts_with("HTTP/1.1 500 "));
}

#[test]
fn exc_info_behind_the_head_raises_the_same_exception_again() {
    let exchange = get(
        "import sys\nseen = []\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    yield b'x'\n    first = KeyError('mine')\n    try:\n        raise first\n    except KeyError:\n        info = sys.exc_info()\n    try:\n        start_response('500 No', [], info)\n    except KeyError as again:\n        seen.append(again is first)\n        raise\n",
    );
    assert_eq!(exchange.value("seen"), "[True]");
    assert!(exchange.is_cut());
    assert!(!exchange.answer().contains("0\r\n\r\n"), "{}", exchange.answer());
}

#[test]
fn an_answer_without_start_response_is_a_500() {
    for body in ["return [b'x']", "return iter([b'x'])", "return iter([])", "return []"] {
        let exchange = get(&app(body));
        assert!(exchange.answer().starts_with("HTTP/1.1 500 "), "{body}: {}", exchange.answer());
        assert!(exchange.log.contains("without calling start_response()"), "{body}: {}", exchange.log);
    }
}

#[test]
fn an_exception_before_the_head_is_a_500_without_the_applications_headers() {
    for raised in ["ValueError('bad')", "SystemExit(3)", "KeyboardInterrupt", "GeneratorExit"] {
        let exchange = get(&app(&format!("start_response('200 OK', [('X-Secret', '1')])\nraise {raised}")));
        let answer = exchange.answer();
        assert!(answer.starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{raised}: {answer}");
        assert!(!answer.contains("Secret") && !answer.contains("Traceback"), "{raised}: {answer}");
        for part in ["request=GET / HTTP/1.1", "traceback=Traceback", "in application"] {
            assert!(exchange.log.contains(part), "{raised}: {}", exchange.log);
        }
    }
}

#[test]
fn an_exception_behind_the_head_cuts_the_answer() {
    let exchange = get(
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    yield b'x'\n    raise OSError('disk')\n",
    );
    assert!(exchange.is_cut());
    assert!(exchange.answer().ends_with("1\r\nx\r\n"), "{}", exchange.answer());
    assert!(exchange.log.contains("OSError: disk"), "{}", exchange.log);
}

#[test]
fn results_of_a_wrong_type_are_a_500_that_names_it() {
    for (result, expected) in [
        ("None", "'NoneType' object is not iterable"),
        ("b'bytes'", "gave int, not bytes"),
        ("'text'", "gave str, not bytes"),
        ("['text']", "gave str, not bytes"),
        ("iter([bytearray(b'x')])", "gave bytearray, not bytes"),
    ] {
        let exchange = get(&app(&format!("start_response('200 OK', [])\nreturn {result}")));
        assert!(exchange.answer().starts_with("HTTP/1.1 500 "), "{result}: {}", exchange.answer());
        assert!(exchange.log.contains(expected), "{result}: {}", exchange.log);
    }
}

/// An iterable that counts its closes, of these items.
fn closing(items: &str, length: &str) -> String {
    format!(
        "closes = 0\nasked = 0\nclass Body:\n    def __init__(self): self.items = iter({items})\n    def __iter__(self): return self\n    def __next__(self):\n        global asked\n        asked += 1\n        item = next(self.items)\n        if isinstance(item, Exception): raise item\n        return item\n    def close(self):\n        global closes\n        closes += 1\ndef application(environ, start_response):\n    start_response('200 OK', {length})\n    return Body()\n"
    )
}

#[test]
fn close_is_called_once_whatever_happens() {
    let head = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = "[('Content-Length', '2')]";
    let never: fn(&str) -> bool = |_| false;
    let soon: fn(&str) -> bool = |got| got.contains("aa");
    let cases = [
        ("the end", "[b'aa', b'b']", "[]", GET, never),
        ("nothing", "[]", "[]", GET, never),
        ("the length reached", "[b'aa']", length, GET, never),
        ("a surplus", "[b'aa'] * 1000", length, GET, never),
        ("too short", "[b'a']", length, GET, never),
        ("an error at once", "[ValueError()]", "[]", GET, never),
        ("an error later", "[b'aa', ValueError()]", "[]", GET, never),
        ("a wrong type", "[b'aa', 'text']", "[]", GET, never),
        ("HEAD", "[b'aa', b'b']", "[]", head, never),
        ("a client gone", "[b'aa'] * 1000", "[]", GET, soon),
    ];
    for (case, items, headers, request, leaves) in cases {
        let exchange = exchange_until(&closing(items, headers), request, leaves);
        assert_eq!(exchange.value("closes"), "1", "{case}: {}", exchange.log);
    }
}

#[test]
fn an_error_in_close_is_logged_and_harms_nothing() {
    let exchange = get(
        "class Body(list):\n    def close(self): 1/0\ndef application(environ, start_response):\n    start_response('200 OK', [('Content-Length', '1')])\n    return Body([b'x'])\n",
    );
    assert_eq!(exchange.content(), "x");
    assert_eq!(exchange.next, Next::Wait);
    assert!(exchange.log.contains("close() of the application's iterable failed"), "{}", exchange.log);
}

#[test]
fn close_does_not_hold_back_the_last_bytes() {
    let exchange = get(&closing("[b'aa']", "[]"));
    let last = exchange.steps.len() - 1;
    assert_eq!(exchange.steps[last - 1..], ["0\r\n\r\n", ""]);
}

#[test]
fn content_beyond_content_length_is_neither_sent_nor_asked_for_without_end() {
    let exchange = get(&closing("iter(lambda: b'ab', None)", "[('Content-Length', '3')]"));
    assert_eq!(exchange.content(), "aba");
    assert_eq!(exchange.value("asked"), "3");
    assert!(exchange.log.contains("longer than its Content-Length"), "{}", exchange.log);
}

#[test]
fn content_short_of_content_length_is_cut_and_logged() {
    for result in ["[b'ab']", "iter([b'ab'])"] {
        let exchange = get(&app(&format!("start_response('200 OK', [('Content-Length', '5')])\nreturn {result}")));
        assert!(exchange.is_cut(), "{result}");
        assert!(
            exchange.log.contains("shorter than its Content-Length") && exchange.log.contains("missing=3"),
            "{}",
            exchange.log
        );
    }
}

#[test]
fn head_204_and_304_have_no_content_and_end_with_the_first_item() {
    let head = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
    let source = closing("iter(lambda: b'ab', None)", "[('Content-Length', '4')]");
    let answer = exchange(&source, head);
    assert_eq!((answer.content().as_str(), answer.next), ("", Next::Wait));
    assert!(answer.answer().contains("Content-Length: 4\r\n"), "{}", answer.answer());
    assert_eq!(answer.value("asked"), "1");
    for status in ["204 No Content", "304 Not Modified"] {
        let source = closing("iter(lambda: b'ab', None)", "[]").replace("200 OK", status);
        let answer = get(&source);
        assert_eq!((answer.content().as_str(), answer.next), ("", Next::Wait), "{status}: {}", answer.log);
    }
}

#[test]
fn a_call_after_the_request_is_over_raises() {
    let exchange = get(
        "kept = []\ndef application(environ, start_response):\n    kept.append(start_response)\n    kept.append(start_response('200 OK', []))\n    return [b'x']\ndef late(call, *args):\n    try:\n        call(*args)\n    except RuntimeError as e:\n        return str(e)\n",
    );
    assert_eq!(exchange.value("late(kept[0], '200 OK', [])"), "'this request is over'");
    assert_eq!(exchange.value("late(kept[1], b'x')"), "'this request is over'");
}

#[test]
fn a_long_list_is_answered_with_its_length_piece_by_piece() {
    let exchange = get(&app("start_response('200 OK', [])\nreturn [b'x' * 50000] * 3"));
    assert!(exchange.answer().contains("Content-Length: 150000\r\n"));
    assert_eq!(exchange.content().len(), 150_000);
    assert!(exchange.steps.len() >= 3, "{}", exchange.steps.len());
}

#[test]
fn bytes_of_a_subclass_are_bytes() {
    let exchange = get(&app("class B(bytes): pass\nstart_response('200 OK', [])\nreturn [B(b'sub')]"));
    assert_eq!(exchange.content(), "sub");
}

#[test]
fn wsgi_errors_takes_any_text_into_the_log() {
    let exchange = get(&app(
        "e = environ['wsgi.errors']\ne.write('half ')\ne.write('line\\nnext €\\n')\ne.writelines(['a\\n', 'b'])\ne.write('\\udc80')\ne.flush()\nprint('printed', file=e)\nstart_response('200 OK', [])\nreturn []",
    ));
    for expected in ["text=half line\nnext €\n", "text=a\n", "text=b\u{fffd}", "text=printed\n"] {
        assert!(exchange.log.contains(expected), "{expected:?} in {:?}", exchange.log);
    }
}

#[test]
fn wsgiref_validate_finds_nothing() {
    for answer in ["[b'hello']", "iter([b'hello'])", "environ['wsgi.file_wrapper'](__import__('io').BytesIO(b'hello'))"]
    {
        let source = format!(
            "from wsgiref.validate import validator\ndef app(environ, start_response):\n    body = environ['wsgi.input']\n    got = body.read(2) + body.readline() + b''.join(body)\n    environ['wsgi.errors'].write('seen')\n    environ['wsgi.errors'].flush()\n    write = start_response('200 OK', [('Content-Type', 'text/plain'), ('X-Got', repr(got))])\n    return {answer}\napplication = validator(app)\n"
        );
        let exchange = exchange(
            &source,
            "POST /a%20b?c=d HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nContent-Type: text/plain\r\n\r\nab\ncd\nef\n",
        );
        assert!(exchange.answer().starts_with("HTTP/1.1 200 OK\r\n"), "{answer}: {}", exchange.log);
        assert!(exchange.answer().contains("hello"), "{}", exchange.answer());
        assert!(exchange.answer().contains(r"X-Got: b'ab\ncd\nef\n'"), "{}", exchange.answer());
    }
}
