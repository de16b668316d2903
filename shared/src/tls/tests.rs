//! Certificates as others make them, and parcels on their way.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, DnType, KeyPair, SanType};

use super::*;

fn params() -> CertificateParams {
    let mut params = CertificateParams::new(["Shop.example".to_owned(), "*.shop.example".to_owned()]).unwrap();
    params.subject_alt_names.push(SanType::IpAddress("127.0.0.1".parse().unwrap()));
    params.distinguished_name.push(DnType::CommonName, "Käse, Brot");
    params.distinguished_name.push(DnType::OrganizationName, "Shop");
    params.serial_number = Some(rcgen::SerialNumber::from(vec![1, 0xab, 0xcd]));
    params.not_before = rcgen::date_time_ymd(2026, 6, 1);
    params.not_after = rcgen::date_time_ymd(2027, 6, 1);
    params
}

fn credential() -> Credential {
    let key = KeyPair::generate().unwrap();
    let certificate = params().self_signed(&key).unwrap();
    Credential { chain: vec![certificate.der().to_vec()], key: Zeroizing::new(key.serialize_der()) }
}

#[test]
fn a_certificate_says_what_was_written_into_it() {
    let said = Certificate::read(&credential().chain[0]).unwrap();
    assert_eq!(said.common_name.as_deref(), Some("Käse, Brot"));
    assert!(said.subject.contains("O=Shop") && said.subject.contains("CN=Käse\\, Brot"), "{}", said.subject);
    assert_eq!(said.issuer, said.subject);
    assert_eq!((said.serial.as_str(), said.version), ("01ABCD", 3));
    assert_eq!(said.hosts, ["shop.example", "*.shop.example"]);
    assert_eq!(said.addresses, ["127.0.0.1".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(said.valid, Span { from: 1_780_272_000, until: 1_811_808_000 });
}

#[test]
fn a_span_has_both_its_ends() {
    let span = Span { from: 10, until: 20 };
    let at = |second| span.excludes(UNIX_EPOCH + Duration::from_secs(second));
    assert_eq!([at(9), at(10), at(20), at(21)], [Some("is not yet valid"), None, None, Some("has expired")]);
    assert_eq!(span.excludes(UNIX_EPOCH - Duration::from_secs(1)), Some("is not yet valid"));
}

#[test]
fn what_is_no_certificate_is_an_error_wherever_it_is_cut() {
    let der = &credential().chain[0];
    for length in 0..der.len() {
        Certificate::read(&der[..length]).unwrap_err();
    }
    for at in 0..der.len() {
        let mut touched = der.clone();
        touched[at] ^= 0x55;
        // It may be another certificate by that, and never ends the program.
        let _ = Certificate::read(&touched);
    }
}

#[test]
fn a_key_of_another_certificate_is_told() {
    let mixed = Credential { key: credential().key, ..credential() };
    assert_eq!(mixed.certified().unwrap_err(), "the key is another certificate's");
    credential().certified().unwrap();
    let none = Credential { key: Zeroizing::new(vec![1, 2, 3]), ..credential() };
    assert!(none.certified().unwrap_err().starts_with("the key cannot be used: "));
}

#[test]
fn a_parcel_arrives_as_it_was_sealed_and_nobody_can_change_it() {
    let held = Held { credentials: vec![credential(), credential()], authorities: vec![vec![1, 2], vec![3]] };
    let material = Material::new(held);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let parcel = Parcel { material: material.clone(), ratchet: Ratchet::new(now).unwrap() };
    let key = parcel.ratchet.key(Ratchet::period(now), b"a");
    let sealed = parcel.seal().unwrap();
    let mut file = std::fs::File::from(sealed.try_clone().unwrap());
    std::io::Write::write_all(&mut file, b"x").unwrap_err();
    file.set_len(1).unwrap_err();
    let opened = Parcel::open(sealed).unwrap();
    assert!(opened.material.is_same(&material));
    assert_eq!(opened.ratchet.key(Ratchet::period(now), b"a"), key);
}

#[test]
fn what_is_no_parcel_is_an_error() {
    let file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut &file, &[7; 100]).unwrap();
    assert!(Parcel::open(file.into()).is_err());
    let empty = Parcel { material: Material::default(), ratchet: Ratchet::new(Duration::ZERO).unwrap() };
    assert!(empty.seal().is_err());
}

#[test]
fn nothing_of_a_key_is_shown() {
    let held = Held { credentials: vec![credential()], authorities: vec![] };
    assert_eq!(format!("{:?}", Material::new(held)), "Material");
}

#[test]
fn the_name_of_a_parcel_is_its_listeners() {
    assert_eq!(Parcel::listener(&Parcel::name("unix:@a b")), Some("unix:@a b"));
    assert_eq!(Parcel::listener("127.0.0.1:8000"), None);
}
