//! `wsgi.file_wrapper`, and what of it goes by sendfile.

use std::io::Write;

use super::*;

/// An application that answers with this expression wrapped; FILE is the path of a file with ten digits.
fn wrapped(expression: &str, headers: &str) -> Exchange {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"0123456789").unwrap();
    let path = file.path().to_str().unwrap();
    let source = format!(
        "import gzip, io, os\nFILE = {path:?}\nclosed = 0\nclass Counted(io.FileIO):\n    pass\ndef pipe():\n    r, w = os.pipe()\n    os.write(w, b'piped')\n    os.close(w)\n    return open(r, 'rb')\ndef behind(f, n):\n    f.read(n)\n    return f\ndef gz():\n    with gzip.open(FILE + '.gz', 'wb') as f: f.write(b'unpacked')\n    return gzip.open(FILE + '.gz')\ndef application(environ, start_response):\n    global f\n    f = {expression}\n    start_response('200 OK', {headers})\n    return environ['wsgi.file_wrapper'](f, 4)\n"
    );
    let exchange = exchange(&source, GET);
    let _ = std::fs::remove_file(format!("{path}.gz"));
    exchange
}

#[test]
fn a_plain_file_goes_from_its_position_with_its_length() {
    for (expression, content) in [
        ("open(FILE, 'rb')", "0123456789"),
        ("open(FILE, 'rb', buffering=0)", "0123456789"),
        ("open(FILE, 'r+b')", "0123456789"),
        ("behind(open(FILE, 'rb'), 3)", "3456789"),
    ] {
        let exchange = wrapped(expression, "[]");
        assert_eq!(exchange.content(), content, "{expression}: {}", exchange.log);
        let length = format!("Content-Length: {}\r\n", content.len());
        assert!(exchange.answer().contains(&length), "{expression}: {}", exchange.answer());
        assert_eq!((exchange.steps.len(), exchange.value("f.closed")), (2, "True".to_owned()), "{expression}");
    }
}

#[test]
fn content_length_bounds_a_file_and_cuts_what_is_missing() {
    let shorter = wrapped("behind(open(FILE, 'rb'), 2)", "[('Content-Length', '3')]");
    assert_eq!((shorter.content().as_str(), shorter.next), ("234", Next::Wait));
    let longer = wrapped("open(FILE, 'rb')", "[('Content-Length', '12')]");
    assert!(longer.is_cut());
    assert!(longer.log.contains("missing=2"), "{}", longer.log);
}

#[test]
fn anything_else_is_read_in_blocks() {
    for (expression, content) in [
        ("io.BytesIO(b'in memory')", "in memory"),
        ("pipe()", "piped"),
        ("gz()", "unpacked"),
        ("io.BufferedReader(gz())", "unpacked"),
        ("Counted(FILE)", "0123456789"),
        ("open('/proc/self/stat', 'rb')", &std::process::id().to_string()),
    ] {
        let exchange = wrapped(expression, "[]");
        let chunks: String = exchange.content().split("\r\n").skip(1).step_by(2).collect();
        assert!(chunks.starts_with(content), "{expression}: {chunks} {}", exchange.log);
        assert_eq!(exchange.value("f.closed"), "True", "{expression}");
    }
}

#[test]
fn a_text_file_is_an_error() {
    let exchange = wrapped("open(FILE)", "[]");
    assert!(exchange.answer().starts_with("HTTP/1.1 500 "), "{}", exchange.answer());
    assert!(exchange.log.contains("read() gave str, not bytes"), "{}", exchange.log);
}
