//! SCGI (<https://python.ca/scgi/protocol.txt>): a request's variables in one netstring, then its body.
//!
//! ```text
//!   length in digits | : | name | NUL | value | NUL …  of that length | , | body
//! ```
//!
//! The body has as many bytes as CONTENT_LENGTH says, which comes first and always. One connection carries one request, and the answer is
//! as a CGI program's: its head begins with `Status:`, and its content ends with the connection.
//!
//! Rules: the length is written in the one way that netstrings have; the variable SCGI is `1`; no name comes twice. What can be
//! refused early (another protocol, a length above the limit) is refused before the netstring is whole.

use memchr::memchr;

use super::variables::{self, Limits, bad};
use super::{Field, Refusal, Span};

#[cfg(test)]
mod tests;

/// Digits of a length. No limit allows more.
const DIGITS_MAX: usize = 9;

/// Looks for a netstring at the start of `input`, which begins where the connection begins and is the same bytes as in the call before
/// plus more. `None`: more is needed. `Some(n)`: `variables` are those of the request, as spans of `input`, and its body begins behind
/// `n` bytes.
///
/// # Errors
/// When it is no request, or one above the limits; nothing that follows can be trusted.
pub fn read(input: &[u8], limits: Limits, variables: &mut Vec<Field>) -> Result<Option<usize>, Refusal> {
    let Some((start, length)) = read_length(input)? else { return Ok(None) };
    if length > limits.bytes_max {
        return Err(variables::TOO_LONG);
    }
    let end = start + length;
    match input.get(end) {
        None => return Ok(None),
        Some(b',') => {}
        Some(_) => return Err(bad("the netstring has no comma at its end")),
    }
    variables.clear();
    let mut at = start;
    while at < end {
        let name = text(&input[..end], &mut at)?;
        let value = text(&input[..end], &mut at)?;
        variables::add(input, (name, value), limits, variables)?;
    }
    check(input, variables)?;
    Ok(Some(end + 1))
}

/// The length of the netstring, and where it begins.
fn read_length(input: &[u8]) -> Result<Option<(usize, usize)>, Refusal> {
    let digits = input.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match (input.first(), input.get(digits)) {
        (None, _) => return Ok(None),
        (Some(b'0'), _) => return Err(bad("the netstring is empty, or its length has zeros in front")),
        (Some(_), _) if digits > DIGITS_MAX => return Err(variables::TOO_LONG),
        (Some(_), None) => return Ok(None),
        (Some(_), Some(b':')) if digits > 0 => {}
        (Some(_), Some(_)) => return Err(bad("the request does not begin with the length of a netstring")),
    }
    let length = input[..digits].iter().fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    Ok(Some((digits + 1, length)))
}

/// The bytes up to the next NUL.
fn text(netstring: &[u8], at: &mut usize) -> Result<Span, Refusal> {
    let start = *at;
    let length = memchr(0, &netstring[start..]).ok_or(bad("a variable does not end within the netstring"))?;
    *at = start + length + 1;
    Ok(Span::new(start, start + length))
}

/// What the specification wants of the variables together.
fn check(input: &[u8], variables: &[Field]) -> Result<(), Refusal> {
    let name = |field: &Field| field.name.of(input);
    if variables.first().map(name) != Some(b"CONTENT_LENGTH") {
        return Err(bad("the first variable is not CONTENT_LENGTH"));
    }
    let mut names: Vec<&[u8]> = variables.iter().map(name).collect();
    names.sort_unstable();
    // nginx (before 1.23) makes a variable of each field, of repeated ones too, which mean what they do in HTTP.
    if names.windows(2).any(|pair| pair[0] == pair[1] && !pair[0].starts_with(b"HTTP_")) {
        return Err(bad("there are two variables of one name"));
    }
    let is_scgi = variables.iter().any(|field| name(field) == b"SCGI" && field.value.of(input) == b"1");
    if is_scgi { Ok(()) } else { Err(bad("the variable SCGI is not 1")) }
}
