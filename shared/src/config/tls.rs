//! From a listener's `tls:` to what it needs: the files read, the keys tried, the certificates' time looked at.
//!
//! A certificate whose time is not now is no fault here but is told apart: a server that starts with one is better than none,
//! while whoever checks, or would put it in the place of a valid one, has to hear of it.

use std::path::{Path, PathBuf, absolute};
use std::time::SystemTime;

use super::fault::{Error, Fault, shown};
use super::raw;
use super::section::At;
use super::value::{Folders, PathText};
use super::{Address, ClientCertificates, Config, Place, Tls};
use crate::tls::{Certificate, Credential, Held, Material, Which, certificates, credential};

/// A certificate whose time is not now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Who is to show it.
    pub listener: Address,
    /// What a check says of it.
    pub error: Error,
}

impl Config {
    /// Reads the certificates of a config that was written down, which has only their names. What cannot be read is missing still.
    pub fn read_certificates(&mut self) {
        let listeners = self.apps.iter_mut().flat_map(|app| &mut app.listen);
        for tls in listeners.filter_map(|listener| listener.tls.as_mut()) {
            tls.material = tls.material().unwrap_or_default();
        }
    }
}

impl Tls {
    /// What the workers need of the files: as it was read with the config, or read now where that was lost.
    ///
    /// # Errors
    /// In words.
    pub fn material(&self) -> Result<Material, String> {
        if self.material.held().is_some() {
            return Ok(self.material.clone());
        }
        let pair = |(certificate, key): &(PathBuf, PathBuf)| credential(certificate, key).map_err(|(_, why)| why);
        let credentials = self.certificates.iter().map(pair).collect::<Result<_, _>>()?;
        let authorities: Result<Vec<_>, _> = self.client_authorities.iter().map(|path| certificates(path)).collect();
        Ok(Material::new(Held { credentials, authorities: authorities?.concat() }))
    }

    /// Every file that it was read from.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let pairs = self.certificates.iter().flat_map(|(certificate, key)| [certificate, key]);
        pairs.chain(&self.client_authorities).map(PathBuf::as_path)
    }
}

/// What the map says, and the faults of certificates whose time is not `now`. Relative paths begin at `folder`.
pub(super) fn check(raw: At<raw::Tls>, folder: &Path, now: SystemTime) -> Result<(Tls, Vec<Fault>), Fault> {
    let raw = raw.value;
    let chains = files("certificate", &raw.certificate.value, folder)?;
    let keys = match &raw.key {
        Some(keys) => files("key", &keys.value, folder)?,
        None => chains.clone(),
    };
    if let (Some(given), true) = (&raw.key, keys.len() != chains.len()) {
        let text = format!("there are {} for {} certificates: write one for each", keys.len(), chains.len());
        return Err(Fault::at(given.place, text).of_key("key"));
    }
    let mut credentials = Vec::new();
    let mut overdue = Vec::new();
    for (chain, key) in chains.iter().zip(&keys) {
        let fault = |(which, why): (Which, String)| match which {
            Which::Certificate => Fault::at(chain.place, why).of_key("certificate"),
            Which::Key => Fault::at(key.place, why).of_key("key"),
        };
        let credential = credential(&chain.path, &key.path).map_err(fault)?;
        overdue.extend(overdue_of(&credential, chain, now)?);
        credentials.push(credential);
    }
    let (client_authorities, authorities) = authorities(&raw, folder)?;
    let paths = |files: Vec<Named>| files.into_iter().map(|file| file.path);
    let tls = Tls {
        certificates: paths(chains).zip(paths(keys)).collect(),
        client_certificates: raw.client_certificates.value,
        client_authorities: paths(client_authorities).collect(),
        min_version: raw.min_version.value,
        material: Material::new(Held { credentials, authorities }),
    };
    Ok((tls, overdue))
}

/// A file and where the config names it.
#[derive(Clone)]
struct Named {
    path: PathBuf,
    place: Place,
}

fn files(key: &str, files: &Folders, folder: &Path) -> Result<Vec<Named>, Fault> {
    let named = |file: &At<PathText>| {
        let path = absolute(folder.join(&file.value.0)).map_err(|why| {
            Fault::at(file.place, format!("cannot make {} absolute: {why}", shown(&file.value.0))).of_key(key)
        })?;
        Ok(Named { path, place: file.place })
    };
    files.0.iter().map(named).collect()
}

/// The fault of a chain of which a certificate's time is not now.
fn overdue_of(credential: &Credential, chain: &Named, now: SystemTime) -> Result<Option<Fault>, Fault> {
    let fault = |text: String| Fault::at(chain.place, text).of_key("certificate");
    for der in &credential.chain {
        let said = Certificate::read(der).map_err(|why| fault(format!("{}: {why}", chain.path.display())))?;
        if let Some(why) = said.valid.excludes(now) {
            let text = format!("the certificate of {} in `{}` {why}", shown(&said.subject), chain.path.display());
            return Ok(Some(fault(text)));
        }
    }
    Ok(None)
}

fn authorities(raw: &raw::Tls, folder: &Path) -> Result<(Vec<Named>, Vec<Vec<u8>>), Fault> {
    let asked = raw.client_certificates.value;
    let Some(given) = &raw.client_authorities else {
        return match asked {
            ClientCertificates::None => Ok(Default::default()),
            ClientCertificates::Optional | ClientCertificates::Required => {
                let text = "it needs `client_authorities` beside it: those who sign clients' certificates";
                Err(Fault::at(raw.client_certificates.place, text).of_key("client_certificates"))
            }
        };
    };
    if asked == ClientCertificates::None {
        let text = "clients are not asked for certificates: write `client_certificates: required`, or remove it";
        return Err(Fault::at(given.place, text).of_key("client_authorities"));
    }
    let files = files("client_authorities", &given.value, folder)?;
    let mut all = Vec::new();
    for file in &files {
        let fault = |why: String| Fault::at(file.place, why).of_key("client_authorities");
        let found = certificates(&file.path).map_err(fault)?;
        for der in &found {
            Certificate::read(der).map_err(|why| fault(format!("{}: {why}", file.path.display())))?;
        }
        all.extend(found);
    }
    Ok((files, all))
}
