//! The answering half of a turn: what the application sees of it.

use std::fs::File;
use std::sync::Arc;

use super::{Farewell, Moment, Phase, Turn, Wire};
use crate::body::Body;
use crate::identity::{self, DIGITS, Identity};
use crate::origin::{Origin, Way};
use crate::output::{Loan, Stretch};
use crate::wire::fastcgi::answer::{self as fastcgi, Stream};
use crate::wire::gateway::answer::Manner;
use crate::wire::http::answer::{self, Asked, Ending, Fault, Plain};
use crate::wire::http::hints::Hints;
use crate::wire::{Head, Refusal, Span, Version};

impl Turn {
    /// The application takes it from here.
    pub fn run(&mut self, moment: &Moment) {
        debug_assert_eq!(self.phase, Phase::Ready);
        self.phase = Phase::Running;
        self.served += 1;
        let asked = Asked {
            version: self.head.version,
            head: self.text(self.head.method) == b"HEAD",
            keep_alive: self.head.keep_alive,
            manner: self.manner(),
        };
        self.reply.prepare(asked, moment.date);
        if let Some(field) = self.id_field() {
            self.identify(&field, identity::make);
        }
    }

    /// The field that tells the identifiers of requests, if they have one.
    pub(super) fn id_field(&self) -> Option<Arc<str>> {
        self.way.as_ref().and_then(Way::id_field)
    }

    /// Gives the request an identifier: the one that its proxy gave it, else the one that is made. The answer tells it in this field, unless
    /// the application says something else there.
    pub fn identify(&mut self, field: &str, make: impl FnOnce() -> [u8; DIGITS]) {
        self.name_it(make);
        let bytes = match &self.wire {
            Wire::Http(_) => &self.input[self.start..],
            Wire::Gateway(reader) => reader.text(),
        };
        if let Some(id) = self.identity.of(bytes) {
            self.reply.draft().promise(field.as_bytes(), id);
        }
    }

    fn name_it(&mut self, make: impl FnOnce() -> [u8; DIGITS]) {
        self.identity = self.origin.id.map_or_else(|| Identity::Made(make()), Identity::Taken);
    }

    /// Puts the answer to a request that is refused into the output.
    pub(super) fn put_refusal(&mut self, refusal: Refusal, date: &[u8; 29]) {
        let field = self.id_field().filter(|_| self.has_head);
        if field.is_some() && self.identity == Identity::None {
            self.name_it(identity::make);
        }
        let id = self.id().map(<[u8]>::to_vec);
        let id = field.as_deref().zip(id.as_deref());
        answer::refuse(Plain { id, ..refusal.into() }, self.manner(), date, self.output.tail());
        self.refusal = Some(refusal);
    }

    /// The request's identifier, if it was given one.
    pub fn id(&self) -> Option<&[u8]> {
        self.identity.of(self.bytes())
    }

    /// Whether [`Turn::head`] is this request's, and not what is left of the one before.
    pub fn has_head(&self) -> bool {
        self.has_head
    }

    /// The value that the application gave a field of its answer.
    pub fn answer_field(&self, name: &str) -> Option<&[u8]> {
        self.has_reply().then(|| self.reply.field(name.as_bytes()))?
    }

    /// Whether the application was called for this request, so that the reply is not the one before's.
    pub fn has_reply(&self) -> bool {
        self.has_head && matches!(self.phase, Phase::Running | Phase::Answered(_))
    }

    /// The request's head; its spans are of [`Turn::bytes`].
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The bytes that the head's spans are of.
    pub fn bytes(&self) -> &[u8] {
        match &self.wire {
            Wire::Http(_) => &self.input[self.start..],
            Wire::Gateway(reader) => reader.text(),
        }
    }

    /// The same, and nothing behind the head.
    pub fn head_bytes(&self) -> &[u8] {
        match &self.wire {
            Wire::Http(_) => &self.input[self.start..self.body_at.max(self.start)],
            Wire::Gateway(reader) => reader.text(),
        }
    }

    /// What a span of the head stands for.
    pub fn text(&self, span: Span) -> &[u8] {
        span.of(self.bytes())
    }

    /// Where the request comes from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Bytes of its body that have come.
    pub fn body_length(&self) -> u64 {
        self.body.length()
    }

    /// The request's body, once.
    pub fn take_body(&mut self) -> Body {
        std::mem::take(&mut self.body)
    }

    /// The value of the answer's Date field.
    pub fn date(&self) -> &[u8; 29] {
        self.reply.date()
    }

    /// Whether the application has begun a head.
    pub fn has_begun(&self) -> bool {
        self.reply.has_begun()
    }

    /// Whether the answer's head has gone out: it can no longer be replaced.
    pub fn is_head_out(&self) -> bool {
        self.reply.is_head_out()
    }

    /// How a connection is to be cut of whose answer there is no more, so that nothing looks complete; `None` while its head is not
    /// out, for then another answer can take its place.
    pub fn cut(&self) -> Option<Farewell> {
        let farewell = if self.reply.shows_its_end() { Farewell::Close } else { Farewell::Reset };
        self.reply.is_head_out().then_some(farewell)
    }

    /// The status of the answer; 0 before there is one.
    pub fn status(&self) -> u16 {
        self.reply.status()
    }

    /// Bytes of content in the answer so far.
    pub fn content_sent(&self) -> u64 {
        self.reply.sent()
    }

    /// How many bytes the application's Content-Length still allows; `None` when it gave none.
    pub fn remaining(&self) -> Option<u64> {
        self.reply.remaining()
    }

    /// Begins the answer's head with a status line such as `200 OK`, dropping one begun before (PEP 3333, exc_info).
    ///
    /// # Errors
    /// When the status is malformed.
    pub fn begin(&mut self, status: &[u8]) -> Result<(), Fault> {
        self.reply.draft().begin(status)
    }

    /// Adds a field to the answer's head, latin-1 bytes.
    ///
    /// # Errors
    /// When the name is no token, the value has control characters, or the field is hop-by-hop (PEP 3333, Other HTTP Features).
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        self.reply.draft().field(name, value)
    }

    /// Says that the whole content will be so many bytes, which saves a chunked answer where the app gave no Content-Length.
    pub fn total(&mut self, length: u64) {
        self.reply.total(length);
    }

    /// Answers with these bytes next, the head before them if it is not out. More than Content-Length is dropped. Empty: nothing happens.
    pub fn write(&mut self, data: &[u8]) {
        self.hurry();
        self.reply.write(data, &mut self.output);
    }

    /// The same for many bytes, which are sent from where they are.
    pub fn write_lent(&mut self, loan: Loan) {
        self.hurry();
        self.reply.write_lent(loan, &mut self.output);
    }

    /// Answers with `length` bytes of a plain file from `offset` on (sendfile).
    pub fn write_file(&mut self, file: File, offset: u64, length: u64) {
        self.hurry();
        self.reply.write_file(Stretch { file, offset, length }, &mut self.output);
    }

    /// The end of the server may have come since the application was called.
    fn hurry(&mut self) {
        if self.is_last() || self.is_body_lost() {
            self.reply.make_last();
        }
    }

    /// Tells the client fields of the answer to come, if it can read them: not in HTTP/1.0 (RFC 9110 15.2), not by a gateway, and not once
    /// the answer's head is out.
    pub fn hint(&mut self, hints: &Hints) {
        if self.head.version == Version::Http11 && self.manner() == Manner::Http && !self.is_head_out() {
            hints.write(self.output.tail());
        }
    }

    /// Gives the web server this for its log, if it wants such.
    pub fn complain(&mut self, text: &[u8]) {
        if let Manner::FastCgi(id) = self.manner() {
            fastcgi::write(Stream::Stderr, id, text, self.output.tail());
            self.complained |= !text.is_empty();
        }
    }

    /// The answer is complete.
    pub fn finish(&mut self) {
        self.hurry();
        if let (true, Manner::FastCgi(id)) = (std::mem::take(&mut self.complained), self.manner()) {
            fastcgi::close_stream(Stream::Stderr, id, self.output.tail());
        }
        let ending = self.reply.end(&mut self.output);
        let is_kept = ending == Ending::KeepAlive && !self.is_body_lost();
        self.phase = Phase::Answered(if is_kept || ending == Ending::Short { ending } else { Ending::Close });
    }

    /// The application failed: a 500 while the head is not out, or what is wrong with the body that it was reading; else the connection is cut so that nothing looks complete.
    pub fn fail(&mut self) {
        if self.reply.is_head_out() {
            self.output.clear();
            self.phase = Phase::Answered(Ending::Short);
        } else if let Some(refusal) = self.fault {
            let date = *self.reply.date();
            self.put_refusal(refusal, &date);
            self.phase = if matches!(self.manner(), Manner::FastCgi(_)) {
                Phase::Answered(Ending::Close)
            } else {
                Phase::Refused
            };
        } else {
            self.hurry();
            self.reply.apologise(&mut self.output);
            self.finish();
        }
    }

    /// The web server does not want the answer, or what there is of the request, any more: all that it is told is that this was heard.
    pub fn abort(&mut self) {
        self.output.clear();
        self.body = Body::Empty;
        self.unread = self.input.len();
        let (manner, keeps) = match &mut self.wire {
            Wire::Http(_) => (Manner::Http, false),
            Wire::Gateway(reader) => {
                reader.forget();
                (reader.manner(), reader.keeps())
            }
        };
        let ending = if keeps && !self.is_last() { Ending::KeepAlive } else { Ending::Close };
        manner.end(ending, self.output.tail());
        self.phase = Phase::Answered(ending);
    }

    /// Its client was told by somebody else, and nothing more is said.
    pub fn fall_silent(&mut self) {
        self.output.clear();
        self.end_here();
    }

    /// Nothing follows it on this connection, and there is nothing to be said to that.
    pub fn end_here(&mut self) {
        self.phase = Phase::Answered(Ending::Close);
    }

    /// Whether the answer is complete, though some of it may still have to leave.
    pub fn is_answered(&self) -> bool {
        matches!(self.phase, Phase::Answered(_))
    }

    /// Whether the answer could not be completed, so that its connection is cut.
    pub fn is_cut(&self) -> bool {
        self.phase == Phase::Answered(Ending::Short)
    }

    /// Whether the answer is complete and another request may follow.
    pub fn may_restart(&self) -> bool {
        self.phase == Phase::Answered(Ending::KeepAlive)
    }
}
