//! One request, from its first byte to the last of its answer.

use std::fs::File;

use crate::body::Body;
use crate::wire::Head;
use crate::wire::http::answer::Fault;

/// One request's life.
#[derive(Default)]
pub struct Turn {}

impl Turn {
    /// The request's head; its spans are of [`Turn::bytes`].
    pub fn head(&self) -> &Head {
        unimplemented!()
    }

    /// The bytes that the head's spans are of.
    pub fn bytes(&self) -> &[u8] {
        unimplemented!()
    }

    /// The request's body, once.
    pub fn take_body(&mut self) -> Body {
        unimplemented!()
    }

    /// Begins the answer's head with a status line such as `200 OK`, dropping one begun before (PEP 3333, exc_info).
    ///
    /// # Errors
    /// When the status is malformed.
    pub fn begin(&mut self, _status: &[u8]) -> Result<(), Fault> {
        unimplemented!()
    }

    /// Adds a field to the answer's head, latin-1 bytes.
    ///
    /// # Errors
    /// When the name is no token, the value has control characters, or the field is hop-by-hop (PEP 3333, Other HTTP Features).
    pub fn field(&mut self, _name: &[u8], _value: &[u8]) -> Result<(), Fault> {
        unimplemented!()
    }

    /// Whether `begin` was called.
    pub fn has_begun(&self) -> bool {
        unimplemented!()
    }

    /// Whether the answer's head has gone out: it can no longer be replaced.
    pub fn is_head_out(&self) -> bool {
        unimplemented!()
    }

    /// Says that the whole content will be so many bytes, which saves a chunked answer where the app gave no Content-Length.
    pub fn total(&mut self, _length: u64) {
        unimplemented!()
    }

    /// Answers with these bytes next, the head before them if it is not out. More than Content-Length is dropped. Empty: nothing happens.
    pub fn write(&mut self, _data: &[u8]) {
        unimplemented!()
    }

    /// Answers with `length` bytes of a plain file from `offset` on (sendfile).
    pub fn write_file(&mut self, _file: File, _offset: u64, _length: u64) {
        unimplemented!()
    }

    /// How many bytes the app's Content-Length still allows; `None` when it gave none.
    pub fn remaining(&self) -> Option<u64> {
        unimplemented!()
    }

    /// The answer is complete.
    pub fn finish(&mut self) {
        unimplemented!()
    }

    /// The application failed: a 500 while the head is not out, else the connection is cut so that nothing looks complete.
    pub fn fail(&mut self) {
        unimplemented!()
    }
}
