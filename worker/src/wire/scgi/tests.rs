//! Bytes by the specification, whole and in pieces.

use super::*;

const LIMITS: Limits = Limits { count_max: 8, bytes_max: 200 };

/// The example of the specification.
const DEEPTHOUGHT: &[u8] = b"70:CONTENT_LENGTH\x0027\x00SCGI\x001\x00REQUEST_METHOD\x00POST\x00REQUEST_URI\x00/deepthought\x00,What is the answer to life?";

/// The variables, and how many bytes they took.
type Taken = (Vec<(String, String)>, usize);

fn pairs(input: &[u8]) -> Result<Option<Taken>, &'static str> {
    let mut variables = Vec::new();
    let taken = read(input, LIMITS, &mut variables).map_err(|refusal| refusal.why)?;
    let text = |span: Span| String::from_utf8_lossy(span.of(input)).into_owned();
    Ok(taken.map(|taken| (variables.iter().map(|field| (text(field.name), text(field.value))).collect(), taken)))
}

fn netstring(pairs: &[(&str, &str)]) -> Vec<u8> {
    let text: String = pairs.iter().map(|(name, value)| format!("{name}\0{value}\0")).collect();
    format!("{}:{text},", text.len()).into_bytes()
}

#[test]
fn the_example_of_the_specification_is_read() {
    let (pairs, taken) = pairs(DEEPTHOUGHT).unwrap().unwrap();
    let expected =
        [("CONTENT_LENGTH", "27"), ("SCGI", "1"), ("REQUEST_METHOD", "POST"), ("REQUEST_URI", "/deepthought")];
    assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(&DEEPTHOUGHT[taken..], b"What is the answer to life?");
}

#[test]
fn wherever_it_is_cut_more_is_waited_for() {
    let end = DEEPTHOUGHT.len() - 27;
    for length in 0..end {
        assert_eq!(pairs(&DEEPTHOUGHT[..length]), Ok(None), "{length} bytes");
    }
    // The comma alone in a packet of its own, too.
    assert_eq!(pairs(&DEEPTHOUGHT[..end]).unwrap().unwrap().1, end);
}

#[test]
fn whatever_is_not_by_the_letter_is_refused() {
    let length = ("CONTENT_LENGTH", "0");
    let scgi = ("SCGI", "1");
    let no_length = "the request does not begin with the length of a netstring";
    let zeros = "the netstring is empty, or its length has zeros in front";
    let cases: &[(&[u8], &str)] = &[
        (b"GET / HTTP/1.1\r\n", no_length),
        (b":", no_length),
        (b"12 :", no_length),
        (b"-1:", no_length),
        (b"0:,", zeros),
        (b"024:CONTENT_LENGTH\x000\x00SCGI\x001\x00,", zeros),
        (b"24:CONTENT_LENGTH\x000\x00SCGI\x001\x00;", "the netstring has no comma at its end"),
        (b"23:CONTENT_LENGTH\x000\x00SCGI\x001,", "a variable does not end within the netstring"),
        (b"29:CONTENT_LENGTH\x000\x00SCGI\x001\x00NAME\x00,", "a variable does not end within the netstring"),
        (&netstring(&[scgi, length]), "the first variable is not CONTENT_LENGTH"),
        (&netstring(&[scgi]), "the first variable is not CONTENT_LENGTH"),
        (&netstring(&[length]), "the variable SCGI is not 1"),
        (&netstring(&[length, ("SCGI", "2")]), "the variable SCGI is not 1"),
        (&netstring(&[length, scgi, ("A", "1"), ("A", "1")]), "there are two variables of one name"),
        (&netstring(&[length, ("HTTP_A", "1"), length, scgi]), "there are two variables of one name"),
        (&netstring(&[length, scgi, ("", "1")]), "a variable has no name"),
        (&netstring(&[length, scgi, ("A B", "1")]), "the name of a variable has a byte that no name has"),
        (&netstring(&[length, scgi, ("HTTP_A", "1\r\n2")]), "a field value has a control character"),
    ];
    for (input, why) in cases {
        assert_eq!(pairs(input), Err(*why), "{}", input.escape_ascii());
    }
}

#[test]
fn limits_are_kept_as_soon_as_they_can_be() {
    let status = |input: &[u8]| read(input, LIMITS, &mut Vec::new()).map_err(|refusal| refusal.status);
    assert_eq!(status(b"201:"), Err(431));
    assert_eq!(status(b"200:"), Ok(None));
    assert_eq!(status(b"999999999:"), Err(431));
    assert_eq!(status(b"9999999999"), Err(431), "digits without an end");
    let many: Vec<String> = (0..7).map(|number| format!("N{number}")).collect();
    let with = |count: usize| {
        let named = many[..count].iter().map(|name| (name.as_str(), ""));
        netstring(&[("CONTENT_LENGTH", "0"), ("SCGI", "1")].into_iter().chain(named).collect::<Vec<_>>())
    };
    assert!(matches!(status(&with(6)), Ok(Some(_))));
    assert_eq!(status(&with(7)), Err(431));
}

/// What a real server sent, by its variables and its body; and that it says nothing before it is whole.
fn sent_by_a_server(bytes: &[u8], expected: &[&str], body: &[u8]) {
    const WIDE: Limits = Limits { count_max: 60, bytes_max: 2000 };
    let outcome = |input: &[u8]| {
        let mut variables = Vec::new();
        let taken = read(input, WIDE, &mut variables).expect("it is by the letter");
        let text = |span: Span| span.of(input).escape_ascii().to_string();
        let line = |field: &Field| format!("{}={}", text(field.name), text(field.value));
        taken.map(|taken| (variables.iter().map(line).collect::<Vec<_>>(), taken))
    };
    let (variables, taken) = outcome(bytes).expect("a whole netstring");
    for expected in expected {
        assert!(variables.iter().any(|variable| variable == expected), "{expected} in {variables:#?}");
    }
    assert_eq!(&bytes[taken..], body);
    for cut in 0..bytes.len() {
        let known = (cut >= taken).then(|| (variables.clone(), taken));
        assert_eq!(outcome(&bytes[..cut]), known, "cut at {cut}");
    }
}

#[test]
fn nginx_is_understood() {
    let expected = [
        "REQUEST_URI=/scgi/caf%C3%A9%20x/%2F/a+b%252F?q=1&r=%20",
        "HTTP_COOKIE=a=1",
        "HTTP_COOKIE=b=2",
        "HTTP_X_TWICE=1",
        "HTTP_X_TWICE=2",
        "HTTP_X_EMPTY=",
    ];
    sent_by_a_server(include_bytes!("../../../../tests/data/nginx/scgi-get"), &expected, b"");
    sent_by_a_server(include_bytes!("../../../../tests/data/nginx/scgi-post"), &["CONTENT_LENGTH=5"], b"hello");
    sent_by_a_server(include_bytes!("../../../../tests/data/nginx/scgi-chunked"), &["CONTENT_LENGTH=5"], b"hello");
    let stream = include_bytes!("../../../../tests/data/nginx/scgi-stream");
    sent_by_a_server(stream, &["CONTENT_LENGTH=5", "HTTP_TRANSFER_ENCODING=chunked"], b"hello");
    sent_by_a_server(include_bytes!("../../../../tests/data/nginx/scgi-head"), &["REQUEST_METHOD=HEAD"], b"");
}

#[test]
fn apache_and_lighttpd_are_understood() {
    let expected = ["REQUEST_URI=/scgi/caf%C3%A9%20x/a+b%252F?q=1&r=%20", "HTTP_COOKIE=a=1, b=2", "HTTP_X_TWICE=1, 2"];
    sent_by_a_server(include_bytes!("../../../../tests/data/apache/scgi-get"), &expected, b"");
    sent_by_a_server(include_bytes!("../../../../tests/data/apache/scgi-post"), &["CONTENT_LENGTH=5"], b"hello");
    sent_by_a_server(include_bytes!("../../../../tests/data/apache/scgi-head"), &["REQUEST_METHOD=HEAD"], b"");
    let expected = ["REQUEST_URI=/scgi/caf%C3%A9%20x/%2F/a+b%252F?q=1&r=%20", "SCRIPT_NAME=/scgi", "HTTP_X_TWICE=1, 2"];
    sent_by_a_server(include_bytes!("../../../../tests/data/lighttpd/scgi-get"), &expected, b"");
    sent_by_a_server(include_bytes!("../../../../tests/data/lighttpd/scgi-post"), &["CONTENT_LENGTH=5"], b"hello");
    sent_by_a_server(include_bytes!("../../../../tests/data/lighttpd/scgi-chunked"), &["CONTENT_LENGTH=5"], b"hello");
    sent_by_a_server(include_bytes!("../../../../tests/data/lighttpd/scgi-head"), &["REQUEST_METHOD=HEAD"], b"");
}
