//! A case: one rule, the bytes that try it, and every reaction that the text allows.
//!
//! A case is data. Who is asked, and over which socket, is the judge's business.

use Check::{Closes, Nothing, Rejected, StatusOf};

/// How binding the text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// MUST and MUST NOT, or a rule of a PEP.
    Must,
    /// SHOULD, where not following it harms somebody.
    Should,
}

/// A rule, tried once.
#[derive(Clone, Debug)]
pub struct Case {
    /// Where the rule stands, such as `RFC 9112 6.3`.
    pub section: &'static str,
    /// How binding it is there.
    pub level: Level,
    /// What is tried.
    pub name: String,
    /// The conversation.
    pub talk: Vec<Step>,
}

/// What the client does next.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends bytes.
    Send(Vec<u8>),
    /// Sends bytes one by one.
    Trickle(Vec<u8>),
    /// Says that it will send no more, and goes on reading.
    Finish,
    /// Reads an answer, to which one of these sets of checks must fit.
    Hear(Allowed),
    /// Reads a 100, or a final answer, which ends the case well too (RFC 9110 10.1.1).
    BeInvited,
    /// Reads until these bytes have come, though the answer may not be complete.
    Part(&'static str),
    /// Makes a file of this name beside the application, which waits for it.
    Touch(&'static str),
    /// Goes away without a word.
    Vanish,
    /// Waits until the application has recorded exactly these lines.
    Recorded(&'static [&'static str]),
    /// Waits until another client is served.
    Alive,
}

/// Reactions, each a set of checks that hold together.
pub type Allowed = &'static [&'static [Check]];

/// What can be seen of a reaction.
#[derive(Clone, Copy, Debug)]
pub enum Check {
    /// The status is this one, though the rest of the answer may be missing.
    Status(u16),
    /// The status is one of these.
    StatusOf(&'static [u16]),
    /// The status is one that refuses the request: 4xx, or 501, or 505.
    Rejected,
    /// No answer at all, and the connection has ended.
    Nothing,
    /// The answer begins, and the connection ends before the answer does.
    Cut,
    /// After this answer nothing comes, and the connection ends.
    Closes,
    /// After this answer the connection takes another request.
    Stays,
    /// The mirror saw this in its environ.
    Environ(&'static str, &'static str),
    /// The mirror saw no such variable.
    NoEnviron(&'static str),
    /// The mirror saw something under this name that is not empty.
    HasEnviron(&'static str),
    /// The mirror saw such a variable that is no string; its `repr`.
    Other(&'static str, &'static str),
    /// The mirror read this body.
    Received(&'static str),
    /// The content is this.
    Body(&'static str),
    /// The content is so many bytes, each of which is right by its place (`apps/conformance.py`).
    Counted(usize, usize),
    /// The content has nothing of this.
    NoText(&'static str),
    /// There is one such field, and this is its value.
    Field(&'static str, &'static str),
    /// There is no such field.
    NoField(&'static str),
    /// These are the values of the fields of that name, in order.
    Values(&'static str, &'static [&'static str]),
    /// The answer's reason phrase.
    Reason(&'static str),
    /// The answer is in HTTP/1.1.
    Speaks11,
    /// The content is not chunked.
    Unchunked,
    /// There is one Date, an IMF-fixdate.
    Dated,
    /// The head keeps the grammar of RFC 9112, and frames the content in one way.
    WellFormed,
    /// The client is told that the connection goes on.
    SaysKeepAlive,
    /// A 100 came before the answer.
    Invited,
    /// No 100 came before the answer.
    Uninvited,
}

/// The message is no HTTP that a server must understand: 400 or a more precise error and the connection ends (RFC 9112 2.2); or it just ends.
pub const REFUSED: Allowed = &[&[Rejected, Closes], &[Nothing]];
/// The text names the status and demands the close.
pub const BAD: Allowed = &[&[StatusOf(&[400]), Closes]];
/// The same where 501 is as good (RFC 9112 6.1).
pub const BAD_CODING: Allowed = &[&[StatusOf(&[400, 501]), Closes]];
/// The text names the status, and no close.
pub const BAD_REQUEST: Allowed = &[&[StatusOf(&[400])]];
/// An error, after which the connection may go on.
pub const REJECTED: Allowed = &[&[Rejected], &[Nothing]];

/// A MUST.
pub fn must(section: &'static str, name: impl Into<String>, bytes: impl AsRef<[u8]>, allowed: Allowed) -> Case {
    Case::new(section, name).demand(Level::Must).send(bytes).hear(allowed)
}

/// A SHOULD.
pub fn should(section: &'static str, name: impl Into<String>, bytes: impl AsRef<[u8]>, allowed: Allowed) -> Case {
    Case::new(section, name).demand(Level::Should).send(bytes).hear(allowed)
}

impl Case {
    /// A conversation still to be told; a MUST until said otherwise.
    pub fn new(section: &'static str, name: impl Into<String>) -> Case {
        Case { section, level: Level::Must, name: name.into(), talk: Vec::new() }
    }

    /// Says how binding the rule is.
    pub fn demand(self, level: Level) -> Case {
        Case { level, ..self }
    }

    /// Then does this.
    pub fn then(mut self, step: Step) -> Case {
        self.talk.push(step);
        self
    }

    /// Then sends bytes.
    pub fn send(self, bytes: impl AsRef<[u8]>) -> Case {
        self.then(Step::Send(bytes.as_ref().to_vec()))
    }

    /// Then reads an answer.
    pub fn hear(self, allowed: Allowed) -> Case {
        self.then(Step::Hear(allowed))
    }

    /// Then waits for what the application has recorded.
    pub fn recorded(self, lines: &'static [&'static str]) -> Case {
        self.then(Step::Recorded(lines))
    }

    /// Then is over, whatever becomes of the connection.
    pub fn over(self) -> Case {
        self.then(Step::Vanish)
    }

    /// Half-closes before it reads.
    pub fn half_closed(self) -> Case {
        self.before_last(Step::Finish)
    }

    /// Does this before its last step.
    pub fn before_last(mut self, step: Step) -> Case {
        let last = self.talk.len() - 1;
        self.talk.insert(last, step);
        self
    }
}

/// A `GET`.
pub fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()
}

/// A `HEAD`.
pub fn head(target: &str) -> Vec<u8> {
    format!("HEAD {target} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()
}

/// A head with this request line.
pub fn line(line: impl AsRef<[u8]>) -> Vec<u8> {
    [line.as_ref(), b"\r\nHost: h\r\n\r\n"].concat()
}

/// A `GET` with these field lines.
pub fn field(lines: impl AsRef<[u8]>) -> Vec<u8> {
    [b"GET / HTTP/1.1\r\nHost: h\r\n", lines.as_ref(), b"\r\n\r\n"].concat()
}

/// A `POST` with these field lines and what follows the head.
pub fn post(lines: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Vec<u8> {
    [b"POST / HTTP/1.1\r\nHost: h\r\n", lines.as_ref(), b"\r\n\r\n", body.as_ref()].concat()
}

/// A `POST` in chunks.
pub fn chunks(body: impl AsRef<[u8]>) -> Vec<u8> {
    post("Transfer-Encoding: chunked", body)
}
