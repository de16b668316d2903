//! Certificates and keys from their files, or what is wrong with those, in words.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustls::pki_types::pem::{Error, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::Credential;

/// Bytes of a file of certificates. The bundle of every public authority has a quarter of it; a device or a log taken for one
/// by mistake would fill the memory.
const BYTES_MAX: u64 = 1 << 20;

/// The certificates of a file, DER, in its order. Never empty.
///
/// # Errors
/// In words that begin with the file's name.
pub fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    let text = read(path)?;
    let wrong = |why: &dyn std::fmt::Display| format!("`{}` is no PEM file of certificates: {why}", path.display());
    let found: Result<Vec<_>, Error> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|why| wrong(&why))?;
    if found.is_empty() {
        return Err(wrong(&"there is no `BEGIN CERTIFICATE` in it"));
    }
    Ok(found.into_iter().map(|der| der.as_ref().to_vec()).collect())
}

/// A certificate's chain and its key. Both may be in one file.
///
/// # Errors
/// In words, and which of the two files they are about.
pub fn credential(certificate: &Path, key: &Path) -> Result<Credential, (Which, String)> {
    let chain = certificates(certificate).map_err(|why| (Which::Certificate, why))?;
    let key_der = private_key(key).map_err(|why| (Which::Key, why))?;
    let credential = Credential { chain, key: key_der };
    let named =
        |why: String| (Which::Key, format!("`{}` does not go with `{}`: {why}", key.display(), certificate.display()));
    credential.certified().map_err(named)?;
    Ok(credential)
}

/// Which of two files something is wrong with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// That of the certificate.
    Certificate,
    /// That of the key.
    Key,
}

fn private_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let text = read(path)?;
    let name = path.display();
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => Ok(Zeroizing::new(key.secret_der().to_vec())),
        // PKCS #8 has it in the label, the older form in a line below it (RFC 1421 4.6.1.1).
        Err(_) if contains(&text, b"ENCRYPTED") => Err(format!(
            "the key in `{name}` is encrypted, and nobody is asked for its passphrase: store it plain, mode 0600 (openssl pkey -in … -out …)"
        )),
        Err(Error::NoItemsFound) => {
            Err(format!("`{name}` is no PEM file of a key: there is no `BEGIN PRIVATE KEY` in it"))
        }
        Err(why) => Err(format!("`{name}` is no PEM file of a key: {why}")),
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part == word)
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let cannot = |why: &dyn std::fmt::Display| format!("cannot read `{}`: {why}", path.display());
    let told = |why: io::Error| match why.kind() {
        io::ErrorKind::NotFound => cannot(&"it does not exist"),
        _ => cannot(&why),
    };
    let file = File::open(path).map_err(told)?;
    let found = file.metadata().map_err(told)?;
    if found.is_dir() {
        return Err(cannot(&"it is a folder"));
    }
    if found.len() > BYTES_MAX {
        return Err(cannot(&"it is larger than 1 MiB"));
    }
    // Room from the start: a vector that grows leaves copies behind, which nobody wipes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(found.len() as usize + 1));
    file.take(BYTES_MAX).read_to_end(&mut bytes).map_err(told)?;
    Ok(bytes)
}
