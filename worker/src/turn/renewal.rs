//! What an ended connection leaves for the next one: its buffers, and nothing that was in them.
//!
//! A connection for each request asked the heap for a dozen blocks, and gave them back. The lengths are 0 here, and safe code reads nothing behind
//! a length, so nobody sees what somebody else has sent.

use super::{Turn, Wire};
use crate::heap::empty;
use crate::wire::Head;
use crate::wire::gateway::head::Meta;
use crate::wire::gateway::{self, Protocol};

/// What of a gateway's turn the next one can use.
pub(super) struct Spare {
    reader: Box<gateway::Reader>,
    meta: Option<Box<Meta>>,
}

impl Turn {
    /// The first turn of another connection, with the memory of this one.
    pub fn renew(self) -> Turn {
        let keep = self.limits.idle_buffer_max;
        let (mut input, mut output, mut reply) = (self.input, self.output, self.reply);
        let Head { mut fields, meta, .. } = self.head;
        empty(&mut input, keep);
        empty(&mut fields, keep);
        output.empty(keep);
        reply.empty(keep);
        let spare = match self.wire {
            Wire::Http(_) => self.spare,
            Wire::Gateway(reader) => Some(Spare { reader, meta }),
        };
        Turn { input, head: Head { fields, ..Head::default() }, reply, output, spare, ..Turn::new(self.limits) }
    }

    /// A gateway sends its requests, and speaks this.
    pub fn speak(&mut self, protocol: Protocol) {
        debug_assert!(self.is_idle() && self.input.is_empty());
        let limits = gateway::Limits { head: self.limits.head, body: self.limits.body };
        self.wire = Wire::Gateway(match self.spare.take() {
            None => Box::new(gateway::Reader::new(protocol, limits)),
            Some(spare) => {
                self.head.meta = spare.meta;
                spare.reader.renew(protocol, limits, self.limits.idle_buffer_max)
            }
        });
    }
}
