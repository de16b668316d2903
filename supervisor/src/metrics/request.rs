//! A request of somebody who watches: GET or HEAD, a path, no body.
//!
//! Bytes in, a request out. What is no HTTP/1.x, too long or has a body is answered and is the last of its connection, so nothing can be
//! taken for a second request that was none.

/// Bytes of a head. A scraper's has some three hundred; without a bound a stranger's would fill the memory.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Fields of it.
const FIELDS_MAX: usize = 64;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// How.
    pub method: Method,
    /// For what, without a query.
    pub path: String,
    /// What becomes of the connection.
    pub then: Then,
}

/// How it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// With content.
    Get,
    /// Without.
    Head,
    /// In a way that changes something, which nothing here can be.
    Other,
}

/// What becomes of a connection behind an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Another request may follow.
    Keep,
    /// It is the last.
    Close,
}

/// What the bytes so far are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The beginning of a request.
    Part,
    /// A whole one, of so many bytes.
    Whole(Request, usize),
    /// None: this status says so.
    Wrong(u16),
}

/// Takes the first request in these bytes.
pub fn take(bytes: &[u8]) -> Taken {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Request::new(&mut fields);
    let length = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= HEAD_BYTES_MAX => length,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Taken::Part,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Taken::Wrong(431),
        Err(httparse::Error::Version) => return Taken::Wrong(505),
        Err(_) => return Taken::Wrong(400),
    };
    let has = |name: &str, is_so: fn(&[u8]) -> bool| {
        head.headers.iter().any(|field| field.name.eq_ignore_ascii_case(name) && is_so(field.value))
    };
    let has_body = has("transfer-encoding", |_| true) || has("content-length", |value| value != b"0");
    let says_close = has("connection", |value| value.to_ascii_lowercase().windows(5).any(|word| word == b"close"));
    let method = match head.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        Some(_) | None => Method::Other,
    };
    let target = head.path.unwrap_or_default();
    let path = target.split(['?', '#']).next().unwrap_or_default().to_owned();
    let then = if has_body || says_close || head.version != Some(1) { Then::Close } else { Then::Keep };
    Taken::Whole(Request { method, path, then }, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAPE: &str = "GET /metrics?a=b HTTP/1.1\r\nHost: a:9100\r\nUser-Agent: Prometheus/2.42.0\r\n\r\n";

    fn whole(text: &str) -> (Method, String, Then) {
        match take(text.as_bytes()) {
            Taken::Whole(Request { method, path, then }, length) => {
                assert_eq!(length, text.find("\r\n\r\n").unwrap() + 4);
                (method, path, then)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_scrape_is_a_request_wherever_it_is_cut() {
        assert_eq!(whole(SCRAPE), (Method::Get, "/metrics".into(), Then::Keep));
        for cut in 0..SCRAPE.len() {
            assert_eq!(take(&SCRAPE.as_bytes()[..cut]), Taken::Part, "{cut}");
        }
        assert_eq!(whole(&format!("{SCRAPE}GET")), (Method::Get, "/metrics".into(), Then::Keep));
    }

    #[test]
    fn a_connection_is_kept_only_where_nothing_can_be_taken_for_the_next_request() {
        let then = |head: &str| whole(&format!("{head}\r\n\r\n")).2;
        assert_eq!(then("GET / HTTP/1.1\r\nHost: a"), Then::Keep);
        assert_eq!(then("GET / HTTP/1.1\r\nContent-Length: 0"), Then::Keep);
        for head in [
            "GET / HTTP/1.0",
            "GET / HTTP/1.1\r\nConnection: x, Close",
            "GET / HTTP/1.1\r\nContent-Length: 3",
            "GET / HTTP/1.1\r\nContent-Length: +0",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked",
        ] {
            assert_eq!(then(head), Then::Close, "{head}");
        }
        assert_eq!(whole("POST / HTTP/1.1\r\n\r\n").0, Method::Other);
        assert_eq!(whole("HEAD /live HTTP/1.1\r\n\r\n").0, Method::Head);
    }

    #[test]
    fn what_is_no_request_is_told_so() {
        assert_eq!(take(b"GET / HTTP/2.0\r\n\r\n"), Taken::Wrong(505));
        assert_eq!(take(b"\x16\x03\x01\x02\x00\x01\x00"), Taken::Wrong(400));
        assert_eq!(take(b"GET / HTTP/1.1\r\nA B: c\r\n\r\n"), Taken::Wrong(400));
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(HEAD_BYTES_MAX));
        assert_eq!(take(long.as_bytes()), Taken::Wrong(431));
        assert_eq!(take(&long.as_bytes()[..HEAD_BYTES_MAX]), Taken::Wrong(431), "an endless one is not waited for");
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(FIELDS_MAX + 1));
        assert_eq!(take(many.as_bytes()), Taken::Wrong(431));
    }
}
