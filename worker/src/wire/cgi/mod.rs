//! CGI (RFC 3875): a request's variables are those of the environment, its body is standard input up to CONTENT_LENGTH, and the answer
//! goes to standard output as [`Manner::Cgi`](super::gateway::answer::Manner::Cgi) puts it.
//!
//! Rule: an environment has more in it than a web server's word, so what cannot be a variable, such as an exported function of a
//! shell's, is passed over. A field that cannot be one is refused, for that is the web server's word.

use super::variables::{self, Limits};
use super::{Field, Refusal, Span};

#[cfg(test)]
mod tests;

/// Fills `variables` from an environment, as spans of `text`.
///
/// # Errors
/// 400 when what was a field cannot be one, 431 above the limits.
pub fn read<'a>(
    environment: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    limits: Limits,
    text: &mut Vec<u8>,
    variables: &mut Vec<Field>,
) -> Result<(), Refusal> {
    text.clear();
    variables.clear();
    for (name, value) in environment {
        if let Err(refusal) = variables::check(name, value) {
            if name.starts_with(b"HTTP_") {
                return Err(refusal);
            }
            continue;
        }
        if text.len() + name.len() + value.len() > limits.bytes_max {
            return Err(variables::TOO_LONG);
        }
        let start = text.len();
        text.extend_from_slice(name);
        text.extend_from_slice(value);
        let middle = start + name.len();
        variables::add(text, (Span::new(start, middle), Span::new(middle, text.len())), limits, variables)?;
    }
    Ok(())
}

/// Whether this name in the environment says that a web server has started the program to answer a request (RFC 3875 4.1.4): it must be
/// there, and nobody else sets it.
pub const MARK: &str = "GATEWAY_INTERFACE";

/// Whether a variable is one of a request, and so not to be left in the environment of what answers it: a client's `Proxy` field would
/// be taken for the proxy of whatever the application asks (<https://httpoxy.org>).
pub fn is_of_a_request(name: &[u8]) -> bool {
    name.starts_with(b"HTTP_")
}
