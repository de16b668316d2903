//! Variables, as gateway protocols carry a request: names and values that the web server before us made of it (RFC 3875 4.1).
//!
//! Rule: a name is one that an environ can have, and a value that was a field's is one that a field can have (RFC 9110 5.5). Values
//! that the web server decoded, such as PATH_INFO, may hold any byte: as an HTTP client's path does once it is decoded.

use super::http::grammar::is_text;
use super::{Field, Refusal, Span};

/// What the variables of a request may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many. Above it: 431.
    pub count_max: usize,
    /// Bytes of all names and values as they are sent, with their lengths. Above it: 431.
    pub bytes_max: usize,
}

/// There are more variables than the limit.
pub const TOO_MANY: Refusal = Refusal { status: 431, why: "there are more variables than the limit" };

/// The variables are longer than the limit.
pub const TOO_LONG: Refusal = Refusal { status: 431, why: "the variables are longer than the limit" };

/// Adds the variable that stands in `bytes` at these places.
///
/// # Errors
/// 400 when the name or the value cannot be one, 431 when it is one too many.
pub fn add(bytes: &[u8], (name, value): (Span, Span), limits: Limits, to: &mut Vec<Field>) -> Result<(), Refusal> {
    check(name.of(bytes), value.of(bytes))?;
    if to.len() == limits.count_max {
        return Err(TOO_MANY);
    }
    to.push(Field { name, value });
    Ok(())
}

/// Whether a request can have this variable.
///
/// # Errors
/// 400 when it cannot.
pub fn check(name: &[u8], value: &[u8]) -> Result<(), Refusal> {
    if name.is_empty() || name == b"HTTP_" {
        return Err(bad("a variable has no name"));
    }
    if !name.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'=') {
        return Err(bad("the name of a variable has a byte that no name has"));
    }
    if is_of_field(name) && !is_text(value) {
        return Err(bad("a field value has a control character"));
    }
    Ok(())
}

/// Whether a variable is made of a field.
fn is_of_field(name: &[u8]) -> bool {
    name.starts_with(b"HTTP_") || matches!(name, b"CONTENT_TYPE" | b"CONTENT_LENGTH")
}

/// A message that is not as its protocol has it.
pub fn bad(why: &'static str) -> Refusal {
    Refusal { status: 400, why }
}
