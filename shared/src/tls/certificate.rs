//! What a certificate says (RFC 5280), as far as a server wants to know it.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_cert::der::Decode;
use x509_cert::der::asn1::OctetString;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::{DirectoryString, GeneralName};
use x509_cert::time::Time;

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is, as RFC 4514 writes names: the last part first.
    pub subject: String,
    /// The common name of that, if it has one.
    pub common_name: Option<String>,
    /// Who signed it.
    pub issuer: String,
    /// The common name of that.
    pub issuer_common_name: Option<String>,
    /// Its number, in upper-case hexadecimal digits.
    pub serial: String,
    /// 1 to 3.
    pub version: u8,
    /// When it is valid.
    pub valid: Span,
    /// The hosts that it is for, in lower case; `*.example.com` for any one label.
    pub hosts: Vec<String>,
    /// The addresses that it is for.
    pub addresses: Vec<IpAddr>,
}

/// From when until when, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From this second on,
    pub from: u64,
    /// until this one's end.
    pub until: u64,
}

impl Certificate {
    /// Reads DER.
    ///
    /// # Errors
    /// In words, when it is none.
    pub fn read(der: &[u8]) -> Result<Certificate, String> {
        let wrong = |why: x509_cert::der::Error| format!("a certificate cannot be read: {why}");
        let read = x509_cert::Certificate::from_der(der).map_err(wrong)?;
        let body = read.tbs_certificate();
        let common_name = |name: &x509_cert::name::Name| {
            let name: Option<DirectoryString> = name.common_name().ok().flatten();
            name.map(|name| name.value().into_owned())
        };
        let validity = body.validity();
        let names = body.get_extension::<SubjectAltName>().ok().flatten().map_or_else(Vec::new, |(_, names)| names.0);
        Ok(Certificate {
            subject: body.subject().to_string(),
            common_name: common_name(body.subject()),
            issuer: body.issuer().to_string(),
            issuer_common_name: common_name(body.issuer()),
            serial: hex(body.serial_number().as_bytes()),
            version: body.version() as u8 + 1,
            valid: Span { from: seconds(&validity.not_before), until: seconds(&validity.not_after) },
            hosts: names.iter().filter_map(host).collect(),
            addresses: names.iter().filter_map(address).collect(),
        })
    }
}

impl Span {
    /// Why it is not now; `None` when it is.
    pub fn excludes(&self, now: SystemTime) -> Option<&'static str> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        match () {
            () if now < self.from => Some("is not yet valid"),
            () if now > self.until => Some("has expired"),
            () => None,
        }
    }
}

fn host(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
        _ => None,
    }
}

fn address(name: &GeneralName) -> Option<IpAddr> {
    let GeneralName::IpAddress(bytes) = name else { return None };
    let bytes: &[u8] = OctetString::as_bytes(bytes);
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

fn seconds(time: &Time) -> u64 {
    time.to_unix_duration().as_secs()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}
