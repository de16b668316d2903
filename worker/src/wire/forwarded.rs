//! Who sent a request, by what proxies say: lists such as X-Forwarded-For's, and Forwarded (RFC 7239 4 to 6).
//!
//! Rule: of a list every member that is no address is nobody known, but a Forwarded that breaks its grammar is wrong as a whole: a quote
//! that a client leaves open would swallow what its proxy adds behind.
//! One leniency: white space around `;`, which some proxies write.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::http::grammar::{is_text_byte, is_token, is_token_byte, members, trim};

/// Elements of a Forwarded; no request passes so many proxies. More would be work for strangers to give.
const ELEMENTS_MAX: usize = 64;
/// Pairs of an element; the registry knows four names. More would be work too, for each is compared with the others.
const PAIRS_MAX: usize = 16;

/// The word of one proxy on who sent it the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element<'a> {
    /// `for`: the address and, where it is told, the port. `None`: nobody known (`unknown`, `_hidden`, or not told).
    pub client: Option<(IpAddr, Option<u16>)>,
    /// `proto`: the scheme that it was asked by.
    pub scheme: Option<Cow<'a, [u8]>>,
    /// `host`: the Host field that it got.
    pub host: Option<Cow<'a, [u8]>>,
}

/// Why a Forwarded field is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The member of a list in the manner of X-Forwarded-For: `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711`.
pub fn member(text: &[u8]) -> Element<'_> {
    Element { client: node(text).or_else(|| bare_ipv6(text)), ..Element::default() }
}

/// The last member of a list that is not empty (RFC 9110 5.6.1).
pub fn last(value: &[u8]) -> Option<&[u8]> {
    members(value).filter(|member| !member.is_empty()).last()
}

/// Adds the elements of a Forwarded field, each proxy's behind that of the one before it.
///
/// # Errors
/// When it breaks the grammar of RFC 7239 4, or has more than any request needs.
pub fn elements<'a>(value: &'a [u8], into: &mut Vec<Element<'a>>) -> Result<(), Malformed> {
    let mut rest = value;
    loop {
        let mut element = Element::default();
        let mut seen = Vec::new();
        let separator = loop {
            rest = trim_start(rest);
            let separator = match rest.first() {
                None | Some(b',' | b';') => rest.first(),
                Some(_) => {
                    rest = pair(rest, &mut element, &mut seen)?;
                    rest.first()
                }
            };
            rest = rest.get(1..).unwrap_or_default();
            if separator != Some(&b';') {
                break separator;
            }
        };
        // Empty members of a list are to be ignored (RFC 9110 5.6.1).
        if !seen.is_empty() {
            if into.len() == ELEMENTS_MAX {
                return Err(Malformed);
            }
            into.push(element);
        }
        if separator.is_none() {
            return Ok(());
        }
    }
}

/// Reads one `token=value`, up to a separator or the end.
fn pair<'a>(text: &'a [u8], element: &mut Element<'a>, seen: &mut Vec<&'a [u8]>) -> Result<&'a [u8], Malformed> {
    let end = text.iter().position(|&byte| !is_token_byte(byte)).ok_or(Malformed)?;
    let (name, rest) = text.split_at(end);
    let rest = rest.strip_prefix(b"=").ok_or(Malformed)?;
    let (value, rest) = value(rest)?;
    // Each once in an element (RFC 7239 4).
    if !is_token(name) || seen.len() == PAIRS_MAX || seen.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return Err(Malformed);
    }
    seen.push(name);
    if name.eq_ignore_ascii_case(b"for") {
        element.client = node(&value);
        if element.client.is_none() && !is_hidden(&value) {
            return Err(Malformed);
        }
    } else if name.eq_ignore_ascii_case(b"proto") {
        element.scheme = Some(value);
    } else if name.eq_ignore_ascii_case(b"host") {
        element.host = Some(value);
    }
    let rest = trim_start(rest);
    if matches!(rest.first(), None | Some(b',' | b';')) { Ok(rest) } else { Err(Malformed) }
}

/// A token or a quoted string (RFC 9110 5.6.4), and what follows.
fn value(text: &[u8]) -> Result<(Cow<'_, [u8]>, &[u8]), Malformed> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|&byte| !is_token_byte(byte)).unwrap_or(text.len());
        let (token, rest) = text.split_at(end);
        return if token.is_empty() { Err(Malformed) } else { Ok((Cow::Borrowed(token), rest)) };
    };
    let mut plain: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    let mut at = 0;
    loop {
        match quoted.get(at).ok_or(Malformed)? {
            b'"' => return Ok((plain, &quoted[at + 1..])),
            b'\\' => {
                let escaped = *quoted.get(at + 1).filter(|byte| is_text_byte(**byte)).ok_or(Malformed)?;
                plain.to_mut().push(escaped);
                at += 2;
            }
            &byte if is_text_byte(byte) => {
                match &mut plain {
                    Cow::Borrowed(_) => plain = Cow::Borrowed(&quoted[..=at]),
                    Cow::Owned(bytes) => bytes.push(byte),
                }
                at += 1;
            }
            _ => return Err(Malformed),
        }
    }
}

/// `192.0.2.1`, `[2001:db8::1]`, each perhaps with a port (RFC 7239 6).
fn node(text: &[u8]) -> Option<(IpAddr, Option<u16>)> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        let address = address.parse::<Ipv6Addr>().ok()?;
        return Some((address.into(), port(rest)?));
    }
    let end = text.find(':').unwrap_or(text.len());
    let (address, rest) = text.split_at(end);
    Some((address.parse::<Ipv4Addr>().ok()?.into(), port(rest)?))
}

/// Nothing, or a colon and a port: its number, or a name that hides it. `None` when it is neither.
fn port(text: &str) -> Option<Option<u16>> {
    match text.strip_prefix(':') {
        None if text.is_empty() => Some(None),
        None => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok().map(Some),
        Some(name) => is_name(name.as_bytes()).then_some(None),
    }
}

/// As X-Forwarded-For has them, without brackets and so without a port.
fn bare_ipv6(text: &[u8]) -> Option<(IpAddr, Option<u16>)> {
    Some((std::str::from_utf8(text).ok()?.parse::<Ipv6Addr>().ok()?.into(), None))
}

/// `unknown` or an obfuscated name, each perhaps with a port (RFC 7239 6.2, 6.3).
fn is_hidden(text: &[u8]) -> bool {
    let end = text.iter().position(|&byte| byte == b':').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let is_port = std::str::from_utf8(rest).ok().and_then(port).is_some();
    is_port && (name.eq_ignore_ascii_case(b"unknown") || is_name(name))
}

/// `_` and at least one of ALPHA, DIGIT, `.`, `_`, `-` (RFC 7239 6.3).
fn is_name(text: &[u8]) -> bool {
    let rest = text.strip_prefix(b"_").unwrap_or_default();
    !rest.is_empty() && rest.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn trim_start(text: &[u8]) -> &[u8] {
    let trimmed = trim(text);
    // Only the front: what is behind belongs to the next pair or is nothing.
    text.iter().position(|byte| !b" \t".contains(byte)).map_or(trimmed, |start| &text[start..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<Vec<String>, Malformed> {
        let mut read = Vec::new();
        elements(value.as_bytes(), &mut read)?;
        Ok(read.iter().map(told).collect())
    }

    fn told(element: &Element<'_>) -> String {
        let text = |value: &Option<Cow<'_, [u8]>>| {
            value.as_ref().map_or("-".to_owned(), |value| String::from_utf8_lossy(value).into_owned())
        };
        let client = element.client.map_or("-".to_owned(), |(address, port)| match port {
            Some(port) => format!("{address} {port}"),
            None => address.to_string(),
        });
        format!("{client}|{}|{}", text(&element.scheme), text(&element.host))
    }

    #[test]
    fn the_grammar_of_rfc_7239_is_read_to_the_letter() {
        for (value, expected) in [
            ("for=\"_gazonk\"", &["-|-|-"][..]),
            ("For=\"[2001:db8:cafe::17]:4711\"", &["2001:db8:cafe::17 4711|-|-"]),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", &["192.0.2.60|http|-"]),
            ("for=192.0.2.43, for=198.51.100.17", &["192.0.2.43|-|-", "198.51.100.17|-|-"]),
            ("for=192.0.2.43,for=\"[2001:db8::1]\",for=unknown", &["192.0.2.43|-|-", "2001:db8::1|-|-", "-|-|-"]),
            ("for=_mdn", &["-|-|-"]),
            ("for=\"192.0.2.43:47011\"", &["192.0.2.43 47011|-|-"]),
            ("for=\"192.0.2.43:_port\"", &["192.0.2.43|-|-"]),
            ("for=\"unknown:80\"", &["-|-|-"]),
            ("PROTO=https;HOST=\"a.example:81\"", &["-|https|a.example:81"]),
            ("host=\"a\\.b\\\"c, for=9.9.9.9\"", &["-|-|a.b\"c, for=9.9.9.9"]),
            ("host=\"\"", &["-|-|"]),
            ("for=192.0.2.1 ; proto=https ,\t for=192.0.2.2", &["192.0.2.1|https|-", "192.0.2.2|-|-"]),
            (";for=192.0.2.1;;", &["192.0.2.1|-|-"]),
            (", ,for=192.0.2.1,,", &["192.0.2.1|-|-"]),
            ("x-own=1;for=192.0.2.1", &["192.0.2.1|-|-"]),
            ("", &[]),
        ] {
            assert_eq!(read(value), Ok(expected.iter().map(|text| (*text).to_owned()).collect()), "{value}");
        }
    }

    #[test]
    fn what_breaks_it_is_none() {
        let many = "for=_a,".repeat(65);
        let long: String = (0..17).map(|number| format!("x{number}=1;")).collect();
        assert_eq!((read(&many), read(&long)), (Err(Malformed), Err(Malformed)));
        for value in [
            "for",
            "for=",
            "=192.0.2.1",
            "for =192.0.2.1",
            "for= 192.0.2.1",
            "for=192.0.2.1;for=192.0.2.2",
            "for=192.0.2.1 proto=https",
            "for=2001:db8::1",
            "for=[2001:db8::1]",
            "for=\"2001:db8::1\"",
            "for=\"[192.0.2.1]\"",
            "for=\"[2001:db8::1\"",
            "for=\"[2001:db8::1]x\"",
            "for=256.0.0.1",
            "for=192.0.2.01",
            "for=\"192.0.2.1:\"",
            "for=\"192.0.2.1:65536\"",
            "for=\"192.0.2.1:+1\"",
            "for=_",
            "for=example.com",
            "for=\"192.0.2.1",
            "for=\"a\", for=192.0.2.1",
            "host=\"open, for=192.0.2.1",
            "x=\", for=\"[2001:db8::1]\"",
            "host=\"a\\",
            "host=\"a\"b",
            "host=a:81",
            "for=192.0.2.1;=",
            "f\u{e9}r=1",
        ] {
            assert_eq!(read(value), Err(Malformed), "{value}");
        }
    }

    #[test]
    fn a_list_has_addresses_with_and_without_ports() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1|-|-"),
            ("192.0.2.1:81", "192.0.2.1 81|-|-"),
            ("2001:db8::1", "2001:db8::1|-|-"),
            ("[2001:db8::1]", "2001:db8::1|-|-"),
            ("[2001:db8::1]:81", "2001:db8::1 81|-|-"),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.1|-|-"),
            ("unknown", "-|-|-"),
            ("192.0.2", "-|-|-"),
            ("192.0.2.1:x", "-|-|-"),
            ("192.0.2.1 ", "-|-|-"),
            ("localhost", "-|-|-"),
            ("", "-|-|-"),
        ] {
            assert_eq!(told(&member(text.as_bytes())), expected, "{text}");
        }
        assert_eq!(last(b"a, b ,, "), Some(&b"b"[..]));
        assert_eq!(last(b" , "), None);
    }
}
