//! The answer of one turn while it is made: a draft of its head, then content framed as the head says.
//!
//! The head goes out with the first bytes of content, not before, for until then the application may replace it
//! (PEP 3333, start_response).

use crate::output::{Loan, Output, Stretch};
use crate::wire::Version;
use crate::wire::gateway::answer::Manner;
use crate::wire::http::answer::{Asked, Content, Draft, Ending};

/// The answer of one turn.
pub struct Reply {
    asked: Asked,
    date: [u8; 29],
    draft: Draft,
    total: Option<u64>,
    content: Option<Content>,
    sent: u64,
}

impl Default for Reply {
    fn default() -> Reply {
        Reply {
            asked: Asked { version: Version::Http11, head: false, keep_alive: false, manner: Manner::Http },
            date: *b"Thu, 01 Jan 1970 00:00:00 GMT",
            draft: Draft::default(),
            total: None,
            content: None,
            sent: 0,
        }
    }
}

impl Reply {
    /// Forgets the last answer.
    pub(super) fn prepare(&mut self, asked: Asked, date: [u8; 29]) {
        (self.asked, self.date, self.total, self.content, self.sent) = (asked, date, None, None, 0);
        self.draft.renew();
    }

    /// Forgets all of it, and keeps little more than so many bytes of memory.
    pub(super) fn empty(&mut self, keep: usize) {
        (self.total, self.content, self.sent) = (None, None, 0);
        self.draft.empty(keep);
    }

    /// The connection will be closed behind this answer, which says so if its head is not out.
    pub(super) fn make_last(&mut self) {
        self.asked.keep_alive = false;
    }

    pub(super) fn manner(&self) -> Manner {
        self.asked.manner
    }

    pub(super) fn draft(&mut self) -> &mut Draft {
        &mut self.draft
    }

    pub(super) fn total(&mut self, length: u64) {
        self.total = Some(length);
    }

    pub(super) fn write(&mut self, data: &[u8], output: &mut Output) {
        if data.is_empty() {
            return;
        }
        let content = self.open(output);
        let tail = output.tail();
        let mut sent = 0;
        while sent < data.len() {
            let allowed = content.open((data.len() - sent) as u64, tail) as usize;
            if allowed == 0 {
                break;
            }
            tail.extend_from_slice(&data[sent..sent + allowed]);
            content.close(tail);
            sent += allowed;
        }
        content.flush(tail);
        self.sent += sent as u64;
    }

    /// The same for what need not be copied.
    pub(super) fn write_lent(&mut self, loan: Loan, output: &mut Output) {
        let length = (*loan).as_ref().len() as u64;
        if self.asked.manner.is_packed() || length == 0 {
            return self.write((*loan).as_ref(), output);
        }
        self.write_bulk(length, output, |output, allowed| output.push_lent(loan, allowed as usize));
    }

    pub(super) fn write_file(&mut self, stretch: Stretch, output: &mut Output) {
        if stretch.length == 0 {
            return;
        }
        let manner = self.asked.manner;
        if manner.is_packed() {
            let allowed = self.open(output).admit(stretch.length);
            if allowed > 0 {
                output.push_packed(Stretch { length: allowed, ..stretch }, manner);
            }
            self.sent += allowed;
            return;
        }
        self.write_bulk(stretch.length, output, |output, allowed| output.push(Stretch { length: allowed, ..stretch }));
    }

    /// Content of so many bytes that is queued as it is: by `push`, as much as may be sent.
    fn write_bulk(&mut self, length: u64, output: &mut Output, push: impl FnOnce(&mut Output, u64)) {
        let content = self.open(output);
        let allowed = content.open(length, output.tail());
        if allowed > 0 {
            push(output, allowed);
        }
        content.close(output.tail());
        self.sent += allowed;
    }

    pub(super) fn end(&mut self, output: &mut Output) -> Ending {
        // An application may leave the content out for HEAD: then its length is unknown, not 0 (RFC 9110 8.6).
        if !self.is_head_out() && self.total.is_none() && !self.asked.head {
            self.total = Some(0);
        }
        self.open(output).end(output.tail())
    }

    /// Replaces the draft by a 500; the head must not be out.
    pub(super) fn apologise(&mut self, output: &mut Output) {
        const SORRY: &[u8] = b"Internal Server Error\n";
        let drafted = self
            .draft
            .begin(b"500 Internal Server Error")
            .and_then(|()| self.draft.field(b"Content-Type", b"text/plain; charset=utf-8"));
        debug_assert_eq!(drafted, Ok(()));
        self.total = Some(SORRY.len() as u64);
        self.write(SORRY, output);
    }

    fn open(&mut self, output: &mut Output) -> &mut Content {
        self.content.get_or_insert_with(|| self.draft.finish(self.asked, self.total, &self.date, output.tail()))
    }

    /// The value of its Date field.
    pub(super) fn date(&self) -> &[u8; 29] {
        &self.date
    }

    /// Whether the application has begun a head.
    pub(super) fn has_begun(&self) -> bool {
        self.draft.is_begun()
    }

    /// Whether the head has gone out: it can no longer be replaced.
    pub(super) fn is_head_out(&self) -> bool {
        self.content.is_some()
    }

    /// Whether a client can tell a cut from the end.
    pub(super) fn shows_its_end(&self) -> bool {
        self.content.as_ref().is_none_or(Content::shows_its_end)
    }

    /// The value that the application gave a field.
    pub(super) fn field(&self, name: &[u8]) -> Option<&[u8]> {
        self.draft.value(name)
    }

    /// The status; 0 before there is one.
    pub(super) fn status(&self) -> u16 {
        self.draft.status()
    }

    /// Bytes of content so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// How many bytes the application's Content-Length still allows; `None` when it gave none.
    pub(super) fn remaining(&self) -> Option<u64> {
        match &self.content {
            Some(content) => content.remaining(),
            None => self.draft.length(),
        }
    }
}
