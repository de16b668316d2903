//! A web server's side of AJP 1.3, by Tomcat's description of it.

use super::super::answer::{Answer, Broken};
use super::super::client::Client;
use super::{ABSENT, Asked, CLIENT, whole};

/// Content of one body packet at most: the packet's 8192 bytes without its head and the length.
const BODY_MAX: usize = 8192 - 4 - 2;

const METHODS: &[&str] = &["OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE"];

/// Names of fields that have codes, from 0xA001 on.
const ASKED: &[&str] = &[
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "authorization",
    "connection",
    "content-type",
    "content-length",
    "cookie",
    "cookie2",
    "host",
    "pragma",
    "referer",
    "user-agent",
];

const ANSWERED: &[&str] = &[
    "Content-Type",
    "Content-Language",
    "Content-Length",
    "Date",
    "Last-Modified",
    "Location",
    "Set-Cookie",
    "Set-Cookie2",
    "Servlet-Engine",
    "Status",
    "WWW-Authenticate",
];

/// A packet to the application server.
pub fn packet(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u16).to_be_bytes();
    [&[0x12, 0x34, length[0], length[1]][..], content].concat()
}

fn text(text: &str, to: &mut Vec<u8>) {
    to.extend_from_slice(&(text.len() as u16).to_be_bytes());
    to.extend_from_slice(text.as_bytes());
    to.push(0);
}

/// FORWARD_REQUEST, with a secret if there is one.
pub fn forward(asked: &Asked, secret: Option<&str>) -> Vec<u8> {
    let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
    let mut content = vec![2];
    let method = METHODS.iter().position(|known| *known == asked.method);
    content.push(method.map_or(0xff, |index| index as u8 + 1));
    text("HTTP/1.1", &mut content);
    text(path, &mut content);
    text(CLIENT.0, &mut content);
    text("client.example", &mut content);
    text("www.example", &mut content);
    content.extend_from_slice(&8080u16.to_be_bytes());
    content.push(0);
    let mut fields = asked.fields.clone();
    if !asked.body.is_empty() {
        fields.push(("Content-Length".into(), asked.body.len().to_string()));
    }
    content.extend_from_slice(&(fields.len() as u16).to_be_bytes());
    for (name, value) in &fields {
        match ASKED.iter().position(|known| known.eq_ignore_ascii_case(name)) {
            Some(index) => content.extend_from_slice(&[0xa0, index as u8 + 1]),
            None => text(name, &mut content),
        }
        text(value, &mut content);
    }
    if asked.target.contains('?') {
        content.push(5);
        text(query, &mut content);
    }
    content.push(10);
    text("AJP_REMOTE_PORT", &mut content);
    text(CLIENT.1, &mut content);
    for (name, value) in asked.variables.iter().filter(|(_, value)| value != ABSENT) {
        content.push(10);
        text(name, &mut content);
        text(value, &mut content);
    }
    if method.is_none() {
        content.push(13);
        text(&asked.method, &mut content);
    }
    if let Some(secret) = secret {
        content.push(12);
        text(secret, &mut content);
    }
    content.push(0xff);
    packet(&content)
}

/// The content of the next packet.
pub fn next(client: &mut Client) -> Result<Vec<u8>, Broken> {
    let head = client.take(4)?;
    if &head[..2] != b"AB" {
        return Err(Broken::Rule("a packet begins with AB", head));
    }
    client.take(usize::from(u16::from_be_bytes([head[2], head[3]])))
}

/// Reads numbers and texts off a packet.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> usize {
        let (number, rest) = self.0.split_first_chunk().expect("a packet has its numbers");
        self.0 = rest;
        usize::from(u16::from_be_bytes(*number))
    }

    fn text(&mut self) -> String {
        let length = self.number();
        let (text, rest) = self.0.split_at(length);
        assert_eq!(rest.first(), Some(&0), "a text ends with NUL");
        self.0 = &rest[1..];
        text.iter().map(|byte| char::from(*byte)).collect()
    }

    fn name(&mut self) -> String {
        if self.0.first() == Some(&0xa0) {
            let code = self.number() - 0xa000;
            return ANSWERED[code - 1].to_owned();
        }
        self.text()
    }
}

/// Asks, sends the body as it is asked for, and reads the answer.
pub fn ask(client: &mut Client, asked: &Asked, secret: Option<&str>) -> Result<Answer, Broken> {
    client.send(forward(asked, secret));
    let mut body = asked.body.chunks(BODY_MAX);
    if let Some(first) = body.next() {
        client.send(body_packet(first));
    }
    let (mut bytes, mut seen) = (Vec::new(), Vec::new());
    loop {
        let packet = next(client)?;
        seen.extend_from_slice(&packet);
        let mut rest = Reader(&packet[1..]);
        match packet[0] {
            3 => {
                let length = rest.number();
                bytes.extend_from_slice(&rest.0[..length]);
            }
            4 => bytes.extend_from_slice(&head(&mut rest)),
            5 if matches!(rest.0, [0 | 1]) => return whole(&seen, bytes, &asked.method),
            6 => {
                client.send(body.next().map_or_else(|| self::packet(b""), body_packet));
            }
            _ => return Err(Broken::Rule("a packet has a known type", packet)),
        }
    }
}

/// A packet with a part of the body.
pub fn body_packet(part: &[u8]) -> Vec<u8> {
    packet(&[&(part.len() as u16).to_be_bytes()[..], part].concat())
}

/// SEND_HEADERS as HTTP would have it.
fn head(rest: &mut Reader<'_>) -> Vec<u8> {
    let (status, reason) = (rest.number(), rest.text());
    let mut text = format!("HTTP/1.1 {status} {reason}\r\n");
    for _ in 0..rest.number() {
        let name = rest.name();
        text += &format!("{name}: {}\r\n", rest.text());
    }
    (text + "\r\n").chars().map(|c| c as u8).collect()
}
