//! What an ended connection leaves for the next one: its buffers, and nothing that was in them.
//!
//! A connection for each request asked the heap for a dozen blocks, and gave them back. The lengths are 0 here, and safe code reads nothing behind
//! a length, so nobody sees what somebody else has sent.

use super::{Phase, Turn, Wire};
use crate::body::Body;
use crate::heap::empty;
use crate::identity::Identity;
use crate::origin::Origin;
use crate::wire::Head;
use crate::wire::gateway::head::Meta;
use crate::wire::gateway::{self, Protocol};
use crate::wire::http::head;

/// What of a gateway's turn the next one can use.
pub(super) struct Spare {
    reader: Box<gateway::Reader>,
    meta: Option<Box<Meta>>,
}

impl Turn {
    /// Forgets its connection and keeps the memory: it is the first turn of another.
    pub fn renew(&mut self) {
        // Each field has its line, so that one that is added is not forgotten.
        let Turn {
            limits,
            phase,
            input,
            start,
            unread,
            wire,
            head,
            body_at,
            bodies,
            fed,
            fault,
            body,
            reply,
            output,
            served,
            last,
            refusal,
            way,
            origin,
            identity,
            has_head,
            complained,
            spare,
        } = self;
        let keep = limits.kept_buffer_max;
        empty(input, keep);
        output.empty(keep);
        reply.empty(keep);
        empty(&mut head.fields, keep);
        let Head { fields, meta, .. } = std::mem::take(head);
        head.fields = fields;
        match std::mem::replace(wire, Wire::Http(head::Reader::new(limits.head))) {
            Wire::Http(_) => {}
            Wire::Gateway(reader) => *spare = Some(Spare { reader, meta }),
        }
        (*phase, *start, *unread, *body_at) = (Phase::Head, 0, 0, 0);
        (*bodies, *fed, *fault, *body) = (None, 0, None, Body::Empty);
        (*served, *last, *refusal, *way) = (0, false, None, None);
        (*origin, *identity, *has_head, *complained) = (Origin::default(), Identity::None, false, false);
    }

    /// A gateway sends its requests, and speaks this.
    pub fn speak(&mut self, protocol: Protocol) {
        debug_assert!(self.is_idle() && self.input.is_empty());
        let limits = gateway::Limits { head: self.limits.head, body: self.limits.body };
        self.wire = Wire::Gateway(match self.spare.take() {
            None => Box::new(gateway::Reader::new(protocol, limits)),
            Some(spare) => {
                self.head.meta = spare.meta;
                spare.reader.renew(protocol, limits, self.limits.kept_buffer_max)
            }
        });
    }
}
