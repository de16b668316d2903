//! How a listener speaks TLS: what all its connections share.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use monoceros_shared::config::{ClientCertificates, Listener, Tls, TlsVersion};
use monoceros_shared::tls::{Held, Parcel};
use ring::digest::{Context, SHA256};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::choice::Choice;
use super::tickets::Tickets;

/// What all connections of a listener share.
#[derive(Clone, Debug)]
pub struct Terms(pub(super) Arc<ServerConfig>);

impl Terms {
    /// Those of a listener, if it is encrypted, out of what the supervisor sent for it.
    ///
    /// # Errors
    /// In words, when that cannot be used; the supervisor has tried it, so it is not to be expected.
    pub fn open(listener: &Listener, parcel: OwnedFd) -> Result<Option<Terms>, String> {
        let parcel = Parcel::open(parcel).map_err(|why| why.to_string())?;
        listener.tls.as_ref().map(|tls| Terms::new(listener, tls, parcel)).transpose()
    }

    fn new(listener: &Listener, tls: &Tls, parcel: Parcel) -> Result<Terms, String> {
        let held = parcel.material.held().ok_or("the parcel is empty")?;
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions(tls.min_version))
            .map_err(|why| why.to_string())?;
        let verifier = verifier(tls.client_certificates, held, provider)?;
        let choice = Choice::among(&held.credentials)?;
        let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(choice));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ticketer = Arc::new(Tickets::new(parcel.ratchet, purpose(listener, tls, held)));
        // What one worker remembers would be of no use in the next one.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Terms(Arc::new(config)))
    }
}

fn versions(oldest: TlsVersion) -> Vec<&'static SupportedProtocolVersion> {
    match oldest {
        TlsVersion::Tls12 => vec![&TLS13, &TLS12],
        TlsVersion::Tls13 => vec![&TLS13],
    }
}

fn verifier(
    asked: ClientCertificates,
    held: &Held,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    if asked == ClientCertificates::None {
        return Ok(Arc::new(NoClientAuth));
    }
    let mut roots = RootCertStore::empty();
    for der in &held.authorities {
        let added = roots.add(CertificateDer::from(der.as_slice()));
        added.map_err(|why| format!("an authority of clients cannot be used: {why}"))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match asked {
        ClientCertificates::Optional => builder.allow_unauthenticated(),
        ClientCertificates::None | ClientCertificates::Required => builder,
    };
    builder.build().map(|verifier| verifier as Arc<dyn ClientCertVerifier>).map_err(|why| why.to_string())
}

/// What a session's tickets are for: who gave them, and what it asks of clients.
fn purpose(listener: &Listener, tls: &Tls, held: &Held) -> Vec<u8> {
    let mut authorities = Context::new(&SHA256);
    for der in &held.authorities {
        authorities.update(&(der.len() as u64).to_be_bytes());
        authorities.update(der);
    }
    let asked = match tls.client_certificates {
        ClientCertificates::None => 0,
        ClientCertificates::Optional => 1,
        ClientCertificates::Required => 2,
    };
    [listener.address.to_string().as_bytes(), &[0, asked], authorities.finish().as_ref()].concat()
}
