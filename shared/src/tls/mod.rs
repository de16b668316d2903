//! What both programs know of TLS: certificates with their keys, read by the supervisor and passed to its workers.
//!
//! ```text
//!   files --pem--> Material (in the config, never written down) --Parcel, a sealed memfd--> the worker's rustls
//! ```
//!
//! Rules
//! * The supervisor reads, before privileges are dropped: a worker need not be able to read a key's file.
//! * A key stands in memory only, is wiped where it is dropped, and appears in no debug output and no message.
//! * What is checked here is what a handshake needs: that there is a chain, that the key is the certificate's, and when the
//!   certificate is valid. Whether a client trusts it is the client's to say.
//!
//! Known fault: what rustls itself keeps of a key is wiped by nobody when it goes.

mod certificate;
mod parcel;
mod pem;
mod ratchet;

use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use certificate::{Certificate, Span};
pub use parcel::Parcel;
pub use pem::{Which, certificates, credential};
pub use ratchet::{PERIOD, Ratchet};

/// A certificate and what is needed to serve it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// DER, the server's own first. Never empty.
    pub chain: Vec<Vec<u8>>,
    /// The private key, DER in one of the forms of [`PrivateKeyDer`].
    pub key: Zeroizing<Vec<u8>>,
}

impl Credential {
    /// As rustls takes it.
    ///
    /// # Errors
    /// In words, when the key is none that can sign, or not the certificate's.
    pub fn certified(&self) -> Result<CertifiedKey, String> {
        let key =
            PrivateKeyDer::try_from(self.key.as_slice()).map_err(|why| format!("the key cannot be used: {why}"))?;
        let chain = self.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
        CertifiedKey::from_der(chain, key.clone_key(), &default_provider()).map_err(|why| match why {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => "the key is another certificate's".to_owned(),
            why => format!("the key cannot be used: {why}"),
        })
    }
}

/// What a listener's TLS needs beside its settings.
///
/// It counts as equal to any other: a certificate that was renewed makes no other plan, and workers take it in while they
/// serve. Where it matters, ask [`Material::is_same`].
#[derive(Clone, Default)]
pub struct Material(Option<Arc<Held>>);

/// What a [`Material`] holds.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The first is for clients that name no host, or one that no certificate is for.
    pub credentials: Vec<Credential>,
    /// DER of those who sign clients' certificates.
    pub authorities: Vec<Vec<u8>>,
}

impl Material {
    /// Of this.
    pub fn new(held: Held) -> Material {
        Material(Some(Arc::new(held)))
    }

    /// What it holds; `None` where it was lost on the way from one program to another, and is to be read again.
    pub fn held(&self) -> Option<&Held> {
        self.0.as_deref()
    }

    /// Whether it is the same to the byte.
    pub fn is_same(&self, other: &Material) -> bool {
        self.0 == other.0
    }
}

impl PartialEq for Material {
    fn eq(&self, _: &Material) -> bool {
        true
    }
}

impl Eq for Material {}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Material")
    }
}

#[cfg(test)]
mod tests;
