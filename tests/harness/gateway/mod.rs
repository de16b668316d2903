//! A web server as an application server sees it: each gateway protocol by its specification, byte by byte, on one connection.
//!
//! It shares no code with the server that it asks, and believes nothing that it gets.

pub mod ajp;
pub mod fastcgi;

use std::net::SocketAddr;

use super::answer::{self, Answer, Broken};
use super::client::Client;

/// A request, as a web server has read it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// Path and query, as the client sent them.
    pub target: String,
    /// The client's fields.
    pub fields: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
    /// Variables that the web server adds, or puts in the place of its own; an empty name there is none.
    pub variables: Vec<(String, String)>,
    /// Variables that come behind all others, whether there is one of their name before or not.
    pub again: Vec<(String, String)>,
}

impl Asked {
    /// A `GET`.
    pub fn get(target: &str) -> Asked {
        let host = ("Host".to_owned(), "asked.example".to_owned());
        let (method, target) = ("GET".to_owned(), target.to_owned());
        Asked { method, target, fields: vec![host], body: Vec::new(), variables: Vec::new(), again: Vec::new() }
    }

    /// A `POST`.
    pub fn post(target: &str, body: &[u8]) -> Asked {
        Asked { method: "POST".to_owned(), body: body.to_vec(), ..Asked::get(target) }
            .field("Content-Type", "text/plain")
    }

    /// The same by another method.
    pub fn method(self, method: &str) -> Asked {
        Asked { method: method.to_owned(), ..self }
    }

    /// With a field more.
    pub fn field(mut self, name: &str, value: &str) -> Asked {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a variable of the web server's own.
    pub fn variable(mut self, name: &str, value: &str) -> Asked {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a variable once more.
    pub fn again(mut self, name: &str, value: &str) -> Asked {
        self.again.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without a variable that the web server would send.
    pub fn without(mut self, name: &str) -> Asked {
        self.variables.push((name.to_owned(), ABSENT.to_owned()));
        self
    }

    /// The variables that a web server makes of it (RFC 3875 4.1), CONTENT_LENGTH first.
    pub fn all_variables(&self) -> Vec<(String, Vec<u8>)> {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let mut all: Vec<(String, Vec<u8>)> = vec![("CONTENT_LENGTH".into(), self.body.len().to_string().into())];
        let mut add = |name: &str, value: &[u8]| all.push((name.to_owned(), value.to_vec()));
        add("REQUEST_METHOD", self.method.as_bytes());
        add("REQUEST_URI", self.target.as_bytes());
        add("QUERY_STRING", query.as_bytes());
        add("SCRIPT_NAME", b"");
        add("PATH_INFO", &decoded(path));
        add("SERVER_PROTOCOL", b"HTTP/1.1");
        add("SERVER_NAME", b"www.example");
        add("SERVER_PORT", b"8080");
        add("REMOTE_ADDR", CLIENT.0.as_bytes());
        add("REMOTE_PORT", CLIENT.1.as_bytes());
        for (name, value) in &self.fields {
            let key = name.to_ascii_uppercase().replace('-', "_");
            let is_type = name.eq_ignore_ascii_case("content-type");
            let key = if is_type { key } else { format!("HTTP_{key}") };
            add(&key, value.as_bytes());
        }
        for (name, value) in &self.variables {
            all.retain(|(known, _)| known != name);
            if value != ABSENT {
                all.push((name.clone(), value.clone().into_bytes()));
            }
        }
        all.extend(self.again.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())));
        all
    }
}

/// The client that web servers here have: its address and port.
pub const CLIENT: (&str, &str) = ("192.0.2.7", "4711");

const ABSENT: &str = "\0";

/// Each `%XX` of a path taken back.
pub fn decoded(path: &str) -> Vec<u8> {
    let mut parts = path.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).expect("the test escapes well"));
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// HTTP, by the client itself.
    Http,
    /// SCGI.
    Scgi,
    /// uwsgi.
    Uwsgi,
    /// FastCGI.
    FastCgi,
    /// AJP.
    Ajp,
}

impl Wire {
    /// All of them.
    pub const ALL: [Wire; 5] = [Wire::Http, Wire::Scgi, Wire::Uwsgi, Wire::FastCgi, Wire::Ajp];

    /// As the YAML names it.
    pub fn name(self) -> &'static str {
        match self {
            Wire::Http => "http",
            Wire::Scgi => "scgi",
            Wire::Uwsgi => "uwsgi",
            Wire::FastCgi => "fastcgi",
            Wire::Ajp => "ajp",
        }
    }

    /// Whether one connection carries more than one request.
    pub fn keeps_alive(self) -> bool {
        match self {
            Wire::Http | Wire::FastCgi | Wire::Ajp => true,
            Wire::Scgi | Wire::Uwsgi => false,
        }
    }

    /// Asks on a connection that is to be kept where it can be.
    pub fn ask(self, client: &mut Client, asked: &Asked) -> Result<Answer, Broken> {
        match self {
            Wire::Http => {
                client.send(http(asked));
                client.try_answer(&asked.method)
            }
            Wire::Scgi => {
                client.send(scgi(asked)).send(&asked.body);
                cgi_answer(&client.rest()?, &asked.method)
            }
            Wire::Uwsgi => {
                client.send(uwsgi(asked)).send(&asked.body);
                let bytes = client.rest()?;
                whole(&bytes, bytes.clone(), &asked.method)
            }
            Wire::FastCgi => {
                client.send(fastcgi::request(1, fastcgi::KEEP_CONN, asked));
                fastcgi::answer(client, 1).and_then(|said| cgi_answer(&said.stdout, &asked.method))
            }
            Wire::Ajp => ajp::ask(client, asked, None),
        }
    }

    /// The same on a connection of its own.
    #[track_caller]
    pub fn asked(self, address: SocketAddr, asked: &Asked) -> Answer {
        let mut client = Client::connect(address);
        self.ask(&mut client, asked).unwrap_or_else(|broken| panic!("no answer by {self:?}: {broken}"))
    }
}

/// By HTTP itself.
fn http(asked: &Asked) -> Vec<u8> {
    let mut bytes = format!("{} {} HTTP/1.1\r\n", asked.method, asked.target).into_bytes();
    for (name, value) in &asked.fields {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if !asked.body.is_empty() {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", asked.body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&asked.body);
    bytes
}

/// The head of an SCGI request: a netstring of names and values that each end with NUL.
pub fn scgi(asked: &Asked) -> Vec<u8> {
    let mut text = Vec::new();
    let mut variables = asked.all_variables();
    variables.insert(1, ("SCGI".into(), b"1".to_vec()));
    for (name, value) in variables {
        text.extend_from_slice(name.as_bytes());
        text.push(0);
        text.extend_from_slice(&value);
        text.push(0);
    }
    [text.len().to_string().as_bytes(), b":", &text, b","].concat()
}

/// The head of a uwsgi request: modifier1, the size, modifier2, then names and values behind their lengths, little-endian.
pub fn uwsgi(asked: &Asked) -> Vec<u8> {
    let mut text = Vec::new();
    for (name, value) in asked.all_variables() {
        for part in [name.as_bytes(), &value] {
            text.extend_from_slice(&(part.len() as u16).to_le_bytes());
            text.extend_from_slice(part);
        }
    }
    let size = (text.len() as u16).to_le_bytes();
    [&[0, size[0], size[1], 0][..], &text].concat()
}

/// A CGI answer (RFC 3875 6): its head begins with `Status`.
pub fn cgi_answer(bytes: &[u8], method: &str) -> Result<Answer, Broken> {
    match bytes.strip_prefix(b"Status: ") {
        Some(rest) => whole(bytes, [b"HTTP/1.1 ", rest].concat(), method),
        None => Err(Broken::Rule("a CGI answer begins with its status", bytes.to_vec())),
    }
}

/// An answer that ends with its bytes, its head as HTTP's; `seen` is what came.
pub fn whole(seen: &[u8], bytes: Vec<u8>, method: &str) -> Result<Answer, Broken> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let Some(end) = end else { return Err(Broken::Rule("a head ends with an empty line", seen.to_vec())) };
    let mut answer = answer::head_for_gateway(&bytes[..end + 4], method)?;
    answer.body = bytes[end + 4..].to_vec();
    match answer.framing {
        answer::Framing::Length(length) if length != answer.body.len() as u64 => {
            Err(Broken::Rule("the content is as long as Content-Length says", seen.to_vec()))
        }
        answer::Framing::None if !answer.body.is_empty() => {
            Err(Broken::Rule("there is no content where there must be none", seen.to_vec()))
        }
        answer::Framing::Chunked => Err(Broken::Rule("a gateway gets no chunks", seen.to_vec())),
        answer::Framing::Length(_) | answer::Framing::None | answer::Framing::Close => Ok(answer),
    }
}
