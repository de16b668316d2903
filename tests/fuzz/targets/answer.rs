//! Whatever an application says, its answer has one head, one framing, and no line that the application made.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use monoceros_fuzz::wire::Version;
use monoceros_fuzz::wire::gateway::answer::Manner;
use monoceros_fuzz::wire::http::answer::{Asked, Draft, Ending};

const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

#[derive(Arbitrary, Debug)]
struct Said {
    is_old: bool,
    is_head: bool,
    keeps_alive: bool,
    status: Vec<u8>,
    fields: Vec<(Name, Vec<u8>)>,
    total: Option<u16>,
    content: Vec<Vec<u8>>,
}

/// Names that mean something, or whatever there is.
#[derive(Arbitrary, Debug)]
enum Name {
    ContentLength,
    TransferEncoding,
    Connection,
    Date,
    SetCookie,
    Other(Vec<u8>),
}

impl Name {
    fn bytes(&self) -> &[u8] {
        match self {
            Name::ContentLength => b"Content-Length",
            Name::TransferEncoding => b"tRANSFER-eNCODING",
            Name::Connection => b"Connection",
            Name::Date => b"Date",
            Name::SetCookie => b"Set-Cookie",
            Name::Other(bytes) => bytes,
        }
    }
}

fuzz_target!(|said: Said| {
    let mut draft = Draft::default();
    let status = [b"200", &said.status[..]].concat();
    if draft.begin(&said.status).is_err() && draft.begin(&status).is_err() {
        return;
    }
    let fine = said.fields.iter().all(|(name, value)| draft.field(name.bytes(), value).is_ok());
    if !fine {
        return;
    }
    let version = if said.is_old { Version::Http10 } else { Version::Http11 };
    let asked = Asked { version, head: said.is_head, keep_alive: said.keeps_alive, manner: Manner::Http };
    let content: Vec<u8> = said.content.concat();
    // A server that says a total keeps to it.
    let total = said.total.map(|_| content.len() as u64);
    let mut out = Vec::new();
    let mut frame = draft.finish(asked, total, DATE, &mut out);
    for part in &said.content {
        let allowed = frame.open(part.len() as u64, &mut out);
        assert!(allowed <= part.len() as u64);
        out.extend_from_slice(&part[..allowed as usize]);
        frame.close(&mut out);
    }
    let ending = frame.end(&mut out);
    judge(&out, &draft, asked, &content, ending);
});

/// Reads the answer by the letter.
fn judge(out: &[u8], draft: &Draft, asked: Asked, content: &[u8], ending: Ending) {
    let end = out.windows(4).position(|window| window == b"\r\n\r\n").expect("a head has an end");
    let (head, body) = (&out[..end], &out[end + 4..]);
    let text: String = head.iter().map(|&byte| char::from(byte)).collect();
    let mut lines = text.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    assert!(status_line.starts_with(&format!("HTTP/1.1 {} ", draft.status())), "{status_line:?}");
    let is_text = |part: &str| part.chars().all(|c| c == '\t' || (c >= ' ' && c != '\x7f'));
    assert!(is_text(status_line));
    let mut fields = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').expect("a field line has a colon");
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        assert!(!name.is_empty() && name.chars().all(is_token) && is_text(value), "{line:?}");
        fields.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
    let values =
        |wanted: &str| fields.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value).collect::<Vec<_>>();
    let (lengths, codings, closes) = (values("content-length"), values("transfer-encoding"), values("connection"));
    assert_eq!(values("date").len(), 1, "one Date");
    assert!(lengths.len() + codings.len() <= 1, "one framing");
    assert!(closes.len() <= 1);
    let says_close = closes.first().is_some_and(|value| *value == "close");
    let is_bare = draft.status() == 204 || draft.status() == 304 || asked.head;
    if is_bare {
        assert!(body.is_empty(), "no content");
        assert!(draft.status() != 204 || lengths.is_empty());
    } else if let Some(length) = lengths.first() {
        let length: u64 = length.parse().expect("a length is a number");
        assert_eq!(body, &content[..content.len().min(length as usize)]);
        assert_eq!(ending == Ending::Short, (content.len() as u64) < length, "too little is never complete");
    } else if codings.is_empty() {
        assert_eq!(body, content);
        assert_eq!(ending, Ending::Close, "only the end of the connection ends it");
    } else {
        assert_eq!(asked.version, Version::Http11, "1.0 cannot read chunks");
        assert_eq!(monoceros_fuzz::oracle::chunked(body, &mut 0).as_deref(), Ok(content));
    }
    assert_eq!(
        says_close,
        ending != Ending::KeepAlive && (ending == Ending::Close || says_close),
        "what is said is done"
    );
}
