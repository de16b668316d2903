//! Names and values (FastCGI Specification 1.0, 3.4).
//!
//! ```text
//!   length of the name, 1 or 4 | length of the value, 1 or 4 | name | value
//! ```
//!
//! Rule: of a length below 128 both forms are read, for the specification forbids neither.

use crate::wire::{Refusal, Span};

/// The next pair of `bytes`, which begins at `at`; that then is behind it. `None` at the end.
///
/// # Errors
/// When it reaches beyond the end.
pub fn next(bytes: &[u8], at: &mut usize) -> Result<Option<(Span, Span)>, Refusal> {
    if *at == bytes.len() {
        return Ok(None);
    }
    let name = length(bytes, at)?;
    let value = length(bytes, at)?;
    let left = bytes.len() - *at;
    if name > left || value > left - name {
        return Err(CUT);
    }
    let middle = *at + name;
    let start = std::mem::replace(at, middle + value);
    Ok(Some((Span::new(start, middle), Span::new(middle, *at))))
}

/// Writes a pair.
pub fn write(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    for part in [name, value] {
        match u8::try_from(part.len()) {
            Ok(length @ 0..0x80) => out.push(length),
            Ok(_) | Err(_) => out.extend_from_slice(&(part.len() as u32 | LONG).to_be_bytes()),
        }
    }
    out.extend_from_slice(name);
    out.extend_from_slice(value);
}

const CUT: Refusal = Refusal { status: 400, why: "a pair is longer than what it stands in" };

/// The bit by which a length of four bytes is known.
const LONG: u32 = 1 << 31;

fn length(bytes: &[u8], at: &mut usize) -> Result<usize, Refusal> {
    let rest = &bytes[*at..];
    let &first = rest.first().ok_or(CUT)?;
    if first < 0x80 {
        *at += 1;
        return Ok(first.into());
    }
    let &long = rest.first_chunk().ok_or(CUT)?;
    *at += 4;
    Ok((u32::from_be_bytes(long) & !LONG) as usize)
}
