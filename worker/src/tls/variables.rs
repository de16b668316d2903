//! What an application is told of a connection's TLS, under the names that Apache's mod_ssl gives it.
//!
//! `HTTPS`, `SSL_PROTOCOL`, `SSL_CIPHER`, `SSL_CIPHER_USEKEYSIZE`, `SSL_SESSION_RESUMED`, `SSL_TLS_SNI`, `SSL_CLIENT_VERIFY`, and of a
//! client that showed a certificate `SSL_CLIENT_CERT`, `SSL_CLIENT_M_VERSION`, `SSL_CLIENT_M_SERIAL`, `SSL_CLIENT_S_DN`,
//! `SSL_CLIENT_S_DN_CN`, `SSL_CLIENT_I_DN`, `SSL_CLIENT_I_DN_CN`, `SSL_CLIENT_V_START`, `SSL_CLIENT_V_END`.

use std::time::{Duration, UNIX_EPOCH};

use monoceros_shared::tls::Certificate;
use rustls::{CipherSuite, HandshakeKind, ProtocolVersion, ServerConnection};

/// Names and values, in UTF-8.
pub type Variables = Vec<(&'static str, String)>;

/// Those of a connection whose handshake is complete.
pub fn variables(connection: &ServerConnection) -> Variables {
    let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
    let mut all = vec![("SSL_SESSION_RESUMED", if resumed { "Resumed" } else { "Initial" }.to_owned())];
    all.extend(connection.protocol_version().map(|version| ("SSL_PROTOCOL", protocol(version))));
    if let Some(suite) = connection.negotiated_cipher_suite() {
        all.push(("SSL_CIPHER", cipher(suite.suite())));
        all.push(("SSL_CIPHER_USEKEYSIZE", key_bits(suite.suite()).to_owned()));
    }
    all.extend(connection.server_name().map(|name| ("SSL_TLS_SNI", name.to_owned())));
    let shown = connection.peer_certificates().and_then(<[_]>::first);
    all.push(("SSL_CLIENT_VERIFY", if shown.is_some() { "SUCCESS" } else { "NONE" }.to_owned()));
    if let Some(der) = shown {
        all.push(("SSL_CLIENT_CERT", pem(der)));
        all.extend(Certificate::read(der).into_iter().flat_map(of_client));
    }
    all
}

fn of_client(said: Certificate) -> Variables {
    let named = [("SSL_CLIENT_S_DN_CN", said.common_name), ("SSL_CLIENT_I_DN_CN", said.issuer_common_name)];
    let mut all = vec![
        ("SSL_CLIENT_M_VERSION", said.version.to_string()),
        ("SSL_CLIENT_M_SERIAL", said.serial),
        ("SSL_CLIENT_S_DN", said.subject),
        ("SSL_CLIENT_I_DN", said.issuer),
        ("SSL_CLIENT_V_START", date(said.valid.from)),
        ("SSL_CLIENT_V_END", date(said.valid.until)),
    ];
    all.extend(named.into_iter().filter_map(|(name, value)| Some((name, value?))));
    all
}

/// `Jun  1 12:00:00 2026 GMT`, as OpenSSL writes dates.
fn date(seconds: u64) -> String {
    // `Mon, 01 Jun 2026 12:00:00 GMT`; the largest time that has such a form is the year 9999's end.
    const LAST: u64 = 253_402_300_799;
    let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds.min(LAST)));
    let words: Vec<&str> = text.split(' ').collect();
    match words[..] {
        [_, day, month, year, time, zone] => {
            let day = day.trim_start_matches('0');
            format!("{month} {day:>2} {time} {year} {zone}")
        }
        _ => text,
    }
}

fn protocol(version: ProtocolVersion) -> String {
    match version {
        ProtocolVersion::TLSv1_2 => "TLSv1.2".to_owned(),
        ProtocolVersion::TLSv1_3 => "TLSv1.3".to_owned(),
        other => format!("{other:?}"),
    }
}

/// OpenSSL's name: `TLS_AES_128_GCM_SHA256` in TLS 1.3, `ECDHE-RSA-AES128-GCM-SHA256` before.
fn cipher(suite: CipherSuite) -> String {
    let name = format!("{suite:?}");
    if let Some(rest) = name.strip_prefix("TLS13_") {
        return format!("TLS_{rest}");
    }
    let name = name.trim_start_matches("TLS_").replace("_WITH_", "_").replace("AES_", "AES");
    // OpenSSL leaves the hash out here: the suite has no other.
    name.trim_end_matches(if name.contains("POLY1305") { "_SHA256" } else { "\0" }).replace('_', "-")
}

fn key_bits(suite: CipherSuite) -> &'static str {
    if format!("{suite:?}").contains("AES_128") { "128" } else { "256" }
}

/// RFC 7468.
fn pem(der: &[u8]) -> String {
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in base64(der).as_bytes().chunks(64) {
        text.extend(line.iter().map(|&byte| char::from(byte)));
        text.push('\n');
    }
    text + "-----END CERTIFICATE-----\n"
}

/// RFC 4648 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for part in bytes.chunks(3) {
        let word = part.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        for place in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= part.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ciphers_have_the_names_that_openssl_gives_them() {
        for (suite, name) in [
            (CipherSuite::TLS13_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384"),
            (CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, "TLS_CHACHA20_POLY1305_SHA256"),
            (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ECDHE-ECDSA-AES128-GCM-SHA256"),
            (CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "ECDHE-RSA-AES256-GCM-SHA384"),
            (CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-RSA-CHACHA20-POLY1305"),
        ] {
            assert_eq!(cipher(suite), name);
        }
    }

    #[test]
    fn dates_and_base64_are_as_their_programs_write_them() {
        assert_eq!(date(1_780_315_200), "Jun  1 12:00:00 2026 GMT");
        assert_eq!(date(u64::MAX), "Dec 31 23:59:59 9999 GMT");
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text, "RFC 4648 10");
        }
    }
}
