//! Records, of which a connection is made (FastCGI Specification 1.0, 3.3).
//!
//! ```text
//!   version = 1 | type | request id, 2 | content length, 2 | padding length | reserved | content | padding
//! ```

use crate::wire::Refusal;
use crate::wire::variables::bad;

/// Bytes of a header.
pub const HEADER: usize = 8;

/// What a record is (FastCGI 1.0, 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request begins.
    BeginRequest,
    /// A request is no longer wanted.
    AbortRequest,
    /// A request is over.
    EndRequest,
    /// A piece of a request's variables.
    Params,
    /// A piece of its body.
    Stdin,
    /// A piece of its answer.
    Stdout,
    /// A piece of what is for the web server's log.
    Stderr,
    /// A piece of a file, for filters.
    Data,
    /// A question about the program.
    GetValues,
    /// The answer to that.
    GetValuesResult,
    /// The answer to a management record of a type that is unknown.
    UnknownType,
    /// None that the specification has.
    Unknown(u8),
}

impl Kind {
    /// The kind that this number stands for.
    pub fn of(number: u8) -> Kind {
        use Kind::*;
        const KINDS: [Kind; 11] = [
            BeginRequest,
            AbortRequest,
            EndRequest,
            Params,
            Stdin,
            Stdout,
            Stderr,
            Data,
            GetValues,
            GetValuesResult,
            UnknownType,
        ];
        usize::from(number).checked_sub(1).and_then(|at| KINDS.get(at).copied()).unwrap_or(Unknown(number))
    }

    /// The number that stands for this kind.
    pub fn number(self) -> u8 {
        match self {
            Kind::BeginRequest => 1,
            Kind::AbortRequest => 2,
            Kind::EndRequest => 3,
            Kind::Params => 4,
            Kind::Stdin => 5,
            Kind::Stdout => 6,
            Kind::Stderr => 7,
            Kind::Data => 8,
            Kind::GetValues => 9,
            Kind::GetValuesResult => 10,
            Kind::UnknownType => 11,
            Kind::Unknown(number) => number,
        }
    }
}

/// The header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// Whose; 0: of no request.
    pub id: u16,
    /// Bytes of content.
    pub length: u16,
    /// Bytes behind it that stand for nothing.
    pub padding: u8,
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// When it is of another version.
    pub fn read(bytes: [u8; HEADER]) -> Result<Header, Refusal> {
        let [version, kind, id_high, id_low, length_high, length_low, padding, _] = bytes;
        check_version(version)?;
        let (id, length) = (u16::from_be_bytes([id_high, id_low]), u16::from_be_bytes([length_high, length_low]));
        Ok(Header { kind: Kind::of(kind), id, length, padding })
    }

    /// The header of a record with so much content, padded so that the next one begins at a multiple of eight bytes.
    pub fn padded(kind: Kind, id: u16, length: u16) -> Header {
        Header { kind, id, length, padding: (length.wrapping_neg() % 8) as u8 }
    }

    /// Writes it.
    pub fn write(self, out: &mut Vec<u8>) {
        let ([id_high, id_low], [length_high, length_low]) = (self.id.to_be_bytes(), self.length.to_be_bytes());
        out.extend_from_slice(&[1, self.kind.number(), id_high, id_low, length_high, length_low, self.padding, 0]);
    }
}

/// Whether a record's first byte is that of one.
///
/// # Errors
/// When it is not.
pub fn check_version(version: u8) -> Result<(), Refusal> {
    if version == 1 { Ok(()) } else { Err(bad("the record is not of version 1 of FastCGI")) }
}
