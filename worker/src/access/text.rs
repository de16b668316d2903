//! A stranger's bytes within a line: nothing of them can end it, or pass for another part of it. And what is hidden in them.

/// As the log's own text lines have values: in quotes where they would not be told apart, control characters escaped.
pub fn push_plain(value: &[u8], line: &mut Vec<u8>) {
    let is_plain = |&byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=');
    if !value.is_empty() && value.iter().all(is_plain) {
        return line.extend_from_slice(value);
    }
    let needs_quotes = value.is_empty() || value.iter().any(|byte| matches!(byte, b' ' | b'"' | b'='));
    let quote: &[u8] = if needs_quotes { b"\"" } else { b"" };
    line.extend_from_slice(quote);
    for letter in String::from_utf8_lossy(value).chars() {
        match letter {
            '"' => line.extend_from_slice(b"\\\""),
            letter if letter.is_control() && letter != '\t' => {
                line.extend(letter.escape_default().map(|escaped| escaped as u8));
            }
            letter => line.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    line.extend_from_slice(quote);
}

/// As a JSON string, with its quotes (RFC 8259 7). Bytes that are no UTF-8 are U+FFFD.
pub fn push_json(value: &[u8], line: &mut Vec<u8>) {
    line.push(b'"');
    let is_plain = |&byte: &u8| (0x20..0x7f).contains(&byte) && !matches!(byte, b'"' | b'\\');
    if value.iter().all(is_plain) {
        line.extend_from_slice(value);
    } else {
        for letter in String::from_utf8_lossy(value).chars() {
            match letter {
                '"' | '\\' => line.extend_from_slice(&[b'\\', letter as u8]),
                letter if letter.is_control() => line.extend_from_slice(format!("\\u{:04x}", letter as u32).as_bytes()),
                letter => line.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }
    line.push(b'"');
}

/// As Apache's logs have it: quotes and backslashes behind a backslash, what is no printable ASCII as `\xHH`.
pub fn push_escaped(value: &[u8], line: &mut Vec<u8>) {
    for &byte in value {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => line.push(byte),
            _ => line.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
}

/// A decimal number.
pub fn push_number(number: u64, line: &mut Vec<u8>) {
    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Whole units and what is behind the point, `digits` of them, the leading zeros included.
pub fn push_decimal(whole: u64, rest: u64, digits: usize, line: &mut Vec<u8>) {
    push_number(whole, line);
    line.push(b'.');
    let mut buffer = itoa::Buffer::new();
    let rest = buffer.format(rest);
    line.extend(std::iter::repeat_n(b'0', digits.saturating_sub(rest.len())));
    line.extend_from_slice(rest.as_bytes());
}

/// RFC 4648 4, padding optional; `None` when it is none.
pub fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_suffix(b"==").or(text.strip_suffix(b"=")).unwrap_or(text);
    let mut bits = 0_u32;
    let mut decoded = Vec::new();
    for (at, &digit) in digits.iter().enumerate() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        if at % 4 > 0 {
            decoded.push((bits >> (6 - 2 * (at % 4))) as u8);
        }
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_with_and_without_its_padding() {
        for (text, expected) in [
            (&b""[..], Some(&b""[..])),
            (b"Zg==", Some(b"f")),
            (b"Zm8=", Some(b"fo")),
            (b"Zm9v", Some(b"foo")),
            (b"Zm9vYg", Some(b"foob")),
            (b"QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Some(b"Aladdin:open sesame")),
            (b"+/8=", Some(b"\xfb\xff")),
            (b"Zm9v!", None),
        ] {
            assert_eq!(base64(text).as_deref(), expected);
        }
    }
}
