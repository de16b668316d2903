//! Which of a listener's certificates a client is shown: by the host that it names (SNI, RFC 6066 3), and among those by what
//! it can verify.

use std::sync::Arc;

use monoceros_shared::tls::{Certificate, Credential};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// A listener's certificates.
#[derive(Debug)]
pub struct Choice(Vec<Candidate>);

#[derive(Debug)]
struct Candidate {
    hosts: Vec<String>,
    key: Arc<CertifiedKey>,
}

impl Choice {
    /// Among these.
    ///
    /// # Errors
    /// When one cannot be used, in words.
    pub fn among(credentials: &[Credential]) -> Result<Choice, String> {
        let candidate = |credential: &Credential| {
            let own = credential.chain.first().ok_or("a chain is empty")?;
            let Certificate { hosts, common_name, .. } = Certificate::read(own)?;
            // What a certificate without such names is for stands in its subject, as before RFC 6125.
            let hosts = if hosts.is_empty() { common_name.into_iter().collect() } else { hosts };
            Ok(Candidate { hosts, key: Arc::new(credential.certified()?) })
        };
        credentials.iter().map(candidate).collect::<Result<_, String>>().map(Choice)
    }

    /// The first that is for this host, and can sign so; else the first that can; else the first.
    fn of(&self, host: Option<&str>, can_sign: impl Fn(&CertifiedKey) -> bool) -> Option<Arc<CertifiedKey>> {
        let is_for = |candidate: &&Candidate| host.is_some_and(|host| candidate.is_for(host));
        let can = |candidate: &&Candidate| can_sign(&candidate.key);
        let all = || self.0.iter();
        let found = all().filter(is_for).find(can).or_else(|| all().find(is_for)).or_else(|| all().find(can));
        found.or(self.0.first()).map(|candidate| candidate.key.clone())
    }
}

impl Candidate {
    /// RFC 9525 6.3: `*` stands for one whole label, the first.
    fn is_for(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        self.hosts.iter().any(|own| match own.strip_prefix("*.") {
            Some(domain) => host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(domain)),
            None => own.eq_ignore_ascii_case(host),
        })
    }
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.of(hello.server_name(), |key| key.key.choose_scheme(hello.signature_schemes()).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(hosts: &[&str], algorithm: &'static rcgen::SignatureAlgorithm) -> Credential {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let names: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        Credential { chain: vec![certificate.der().to_vec()], key: key.serialize_der().into() }
    }

    #[test]
    fn the_host_chooses_then_what_the_client_can_verify_then_the_order() {
        let p256 = &rcgen::PKCS_ECDSA_P256_SHA256;
        let ed25519 = &rcgen::PKCS_ED25519;
        let credentials = [
            credential(&["first.example"], p256),
            credential(&["*.shop.example", "shop.example"], ed25519),
            credential(&["shop.example"], p256),
        ];
        let choice = Choice::among(&credentials).unwrap();
        let chosen = |host: Option<&str>, can_sign: &dyn Fn(&CertifiedKey) -> bool| {
            let key = choice.of(host, can_sign).unwrap();
            credentials.iter().position(|credential| key.cert[0].as_ref() == credential.chain[0]).unwrap()
        };
        let any = |_: &CertifiedKey| true;
        let none = |_: &CertifiedKey| false;
        let ecdsa = |key: &CertifiedKey| key.key.algorithm() == rustls::SignatureAlgorithm::ECDSA;
        assert_eq!(chosen(None, &any), 0);
        assert_eq!(chosen(Some("nobody.example"), &any), 0);
        assert_eq!(chosen(Some("SHOP.example"), &any), 1);
        assert_eq!(chosen(Some("shop.example"), &ecdsa), 2);
        assert_eq!(chosen(Some("a.shop.example"), &any), 1);
        assert_eq!(chosen(Some("a.b.shop.example"), &any), 0, "a star is one label");
        assert_eq!(chosen(Some("a.shop.example"), &none), 1, "the handshake then says what is missing");
        assert_eq!(chosen(None, &none), 0);
    }
}
