//! Early hints: fields of an answer before it (RFC 8297).

use super::answer::{Fault, check, push, special};

/// Fields of an answer to come (RFC 8297).
#[derive(Clone, Debug, Default)]
pub struct Hints {
    text: Vec<u8>,
}

impl Hints {
    /// Adds a field; one that frames a message, dates it or is hop-by-hop is left out.
    ///
    /// # Errors
    /// When the name is no token, or the value has a control character.
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        check(name, value)?;
        if special(name).is_none() {
            push(name, value, &mut self.text);
        }
        Ok(())
    }

    /// Writes them as an answer of their own.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\n");
        out.extend_from_slice(&self.text);
        out.extend_from_slice(b"\r\n");
    }
}
