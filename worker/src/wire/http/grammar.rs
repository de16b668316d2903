//! Which bytes may stand where: tokens, field values, lists, numbers (RFC 9110 5.5, 5.6; RFC 5234 for the digits).
//!
//! Rule: white space is SP and HTAB and nothing else, digits are ASCII and nothing else.

/// The bytes of a token: letters, digits and fifteen marks (RFC 9110 5.6.2).
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let marks = b"!#$%&'*+-.^_`|~";
    let mut i = 0;
    while i < marks.len() {
        table[marks[i] as usize] = true;
        i += 1;
    }
    let mut byte = 0;
    while byte < 128 {
        table[byte] |= (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    table
};

/// Whether this byte may be part of a token (RFC 9110 5.6.2, tchar).
pub fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// Whether this is a token: not empty, and nothing but token bytes (RFC 9110 5.6.2).
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

/// Whether this byte may be part of a field value or a reason phrase: no control character but HTAB, 8-bit allowed
/// (RFC 9110 5.5, obs-text).
pub fn is_text_byte(byte: u8) -> bool {
    (byte >= b' ' || byte == b'\t') & (byte != 0x7f)
}

/// Whether all of this may stand in a field value (RFC 9110 5.5). Without an early exit, so that it runs by vectors.
pub fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |fine, &byte| fine & is_text_byte(byte))
}

/// The bytes without the SP and HTAB around them (RFC 9110 5.6.3, OWS).
pub fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The members of a list without the white space around them, the empty ones included (RFC 9110 5.6.1).
pub fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim)
}

/// Why bytes are no number of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotANumber {
    /// They are not 1*DIGIT.
    Malformed,
    /// They are, of a number above 2^64 - 1.
    TooLarge,
}

/// The number that 1*DIGIT stands for, leading zeros allowed (RFC 9110 8.6).
///
/// # Errors
/// When there is anything but digits or nothing at all, and when the number does not fit.
pub fn decimal(bytes: &[u8]) -> Result<u64, NotANumber> {
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return Err(NotANumber::Malformed);
    }
    let add = |number: u64, &digit: &u8| number.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    bytes.iter().try_fold(0, add).ok_or(NotANumber::TooLarge)
}
