//! A listener's TLS: which files are taken, and what is said of those that are not.

use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};

use super::*;

/// A certificate and its key, in PEM.
pub(super) struct Made {
    pub certificate: String,
    pub key: String,
}

/// A self-signed certificate for a host.
pub(super) fn made(host: &str) -> Made {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([host.to_owned()]).unwrap().self_signed(&key).unwrap();
    Made { certificate: certificate.pem(), key: key.serialize_pem() }
}

/// A folder with two certificates and their keys, and some files that are none.
fn folder() -> Folder {
    let folder = Folder::new();
    let [one, two] = [made("one.example"), made("two.example")];
    folder.write("a.pem", &one.certificate).write("a.key", &one.key);
    folder.write("b.pem", &two.certificate).write("b.key", &two.key);
    folder.write("empty", "").write("text", "hello\n");
    folder.write("garbage.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    folder.write("broken.pem", "-----BEGIN CERTIFICATE-----\n(((\n-----END CERTIFICATE-----\n");
    let encrypted = one.key.replace("PRIVATE", "ENCRYPTED PRIVATE");
    folder.write("encrypted.key", &encrypted);
    folder.write(
        "old.key",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
    );
    folder.write("both.pem", &format!("{}{}", one.certificate, one.key));
    folder
}

fn listener(tls: &str) -> String {
    format!("apps:\n  a:\n    wsgi: a:b\n    listen:\n      address: localhost:1\n      tls: {{{tls}}}\n")
}

#[test]
fn a_certificate_and_its_key_are_enough_and_may_be_one_file() {
    for tls in ["certificate: a.pem, key: a.key", "certificate: both.pem"] {
        let config = folder().check(&listener(tls)).unwrap();
        let tls = config.apps[0].listen[0].tls.clone().unwrap();
        let held = tls.material.held().unwrap();
        assert_eq!((held.credentials.len(), held.authorities.len()), (1, 0));
        assert_eq!(tls.files().count(), 2);
    }
}

/// What is in a listener's `tls: {`, from line 6 and column 13 on, and what is said of it.
const REFUSED: &[(&str, &str)] = &[
    ("key: a.key", "6:7: missing key `certificate`: add it, with a path, or a list of them"),
    ("certificate: no.pem", "6:26: `certificate`: cannot read `~/no.pem`: it does not exist"),
    ("certificate: .", "6:26: `certificate`: cannot read `~`: it is a folder"),
    (
        "certificate: text",
        "6:26: `certificate`: `~/text` is no PEM file of certificates: there is no `BEGIN CERTIFICATE` in it",
    ),
    (
        "certificate: empty",
        "6:26: `certificate`: `~/empty` is no PEM file of certificates: there is no `BEGIN CERTIFICATE` in it",
    ),
    ("certificate: a.pem", "6:26: `key`: `~/a.pem` is no PEM file of a key: there is no `BEGIN PRIVATE KEY` in it"),
    ("certificate: a.pem, key: no.key", "6:38: `key`: cannot read `~/no.key`: it does not exist"),
    (
        "certificate: a.pem, key: b.key",
        "6:38: `key`: `~/b.key` does not go with `~/a.pem`: the key is another certificate's",
    ),
    (
        "certificate: a.pem, key: encrypted.key",
        "6:38: `key`: the key in `~/encrypted.key` is encrypted, and nobody is asked for its passphrase: store it plain, mode 0600 (openssl pkey -in … -out …)",
    ),
    (
        "certificate: a.pem, key: old.key",
        "6:38: `key`: the key in `~/old.key` is encrypted, and nobody is asked for its passphrase: store it plain, mode 0600 (openssl pkey -in … -out …)",
    ),
    ("certificate: [a.pem, b.pem], key: a.key", "6:47: `key`: there are 1 for 2 certificates: write one for each"),
    (
        "certificate: both.pem, client_certificates: required",
        "6:57: `client_certificates`: it needs `client_authorities` beside it: those who sign clients' certificates",
    ),
    (
        "certificate: both.pem, client_authorities: a.pem",
        "6:56: `client_authorities`: clients are not asked for certificates: write `client_certificates: required`, or remove it",
    ),
    (
        "certificate: both.pem, client_certificates: optional, client_authorities: no.pem",
        "6:87: `client_authorities`: cannot read `~/no.pem`: it does not exist",
    ),
    (
        "certificate: both.pem, client_certificates: maybe",
        "6:57: `client_certificates`: unknown value `maybe`: expected one of `none`, `optional`, `required`",
    ),
    ("certificate: both.pem, min_version: 1.1", "6:49: `min_version`: expected 1.2 or 1.3, found the number `1.1`"),
    ("certificate: both.pem, min_version: tls", "6:49: `min_version`: expected 1.2 or 1.3, found the text `tls`"),
    (
        "certificate: both.pem, ciphers: x",
        "6:36: unknown key `ciphers`: expected one of `certificate`, `key`, `client_certificates`, `client_authorities`, `min_version`",
    ),
];

#[test]
fn what_cannot_be_served_is_refused_where_it_stands() {
    for (tls, told) in REFUSED {
        let folder = folder();
        let root = folder.path().display().to_string();
        let error = folder.check(&listener(tls)).unwrap_err().replace(&root, "~");
        assert_eq!(error, format!("f:{told}"), "{tls}");
    }
}

#[test]
fn what_only_looks_like_a_certificate_is_refused() {
    for name in ["garbage.pem", "broken.pem"] {
        let error = folder().check(&listener(&format!("certificate: {name}, key: a.key"))).unwrap_err();
        assert!(error.starts_with("f:6:"), "{error}");
        let asked = format!("certificate: both.pem, client_certificates: required, client_authorities: {name}");
        let error = folder().check(&listener(&asked)).unwrap_err();
        assert!(error.starts_with("f:6:") && error.contains("`client_authorities`"), "{error}");
    }
}

#[test]
fn a_certificate_whose_time_is_not_now_is_told_apart() {
    let folder = folder();
    let year = Duration::from_secs(365 * 24 * 3600);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["c.example".to_owned()]).unwrap();
    let days = |days: i64| rcgen::date_time_ymd(2026, 6, 1) + Duration::from_secs(days as u64 * 24 * 3600);
    (params.not_before, params.not_after) = (days(0), days(30));
    folder.write("c.pem", &params.self_signed(&key).unwrap().pem()).write("c.key", &key.serialize_pem());
    let at = |now: SystemTime| {
        let machine = Machine { now, ..folder.machine() };
        let outcome = check_text(&listener("certificate: c.pem, key: c.key"), &environment, &machine).unwrap();
        let overdue = outcome.overdue.into_iter();
        overdue.map(|(_, fault)| fault.in_file(Some(Path::new("f"))).to_string()).collect::<Vec<_>>()
    };
    // 2026-06-01T00:00:00Z
    let june = SystemTime::UNIX_EPOCH + Duration::from_secs(1_780_272_000);
    assert_eq!(at(june), Vec::<String>::new());
    let told = |why: &str| {
        let path = folder.path().join("c.pem");
        vec![format!(
            "f:6:26: `certificate`: the certificate of `CN=rcgen self signed cert` in `{}` {why}",
            path.display()
        )]
    };
    assert_eq!(at(june - year), told("is not yet valid"));
    assert_eq!(at(june + year), told("has expired"));
}
