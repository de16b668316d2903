//! What a worker gets of a listener's TLS, as a sealed memfd that travels beside the listener.
//!
//! Not in a message, which is copied through buffers that nobody wipes; not in a file, which somebody else may read.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Held, Material, Ratchet};

/// Bytes of a parcel. Dozens of chains and the bundle of every public authority have less; more is no parcel of ours.
const BYTES_MAX: u64 = 16 << 20;

/// What a worker gets of a listener's TLS.
pub struct Parcel {
    /// Certificates, keys, authorities.
    pub material: Material,
    /// What tickets are sealed with.
    pub ratchet: Ratchet,
}

#[derive(Serialize)]
struct Sent<'a>(&'a Held, &'a Ratchet);

#[derive(Deserialize)]
struct Received(Held, Ratchet);

impl Parcel {
    /// A name for its descriptor, by that of its listener.
    pub fn name(listener: &str) -> String {
        format!("tls {listener}")
    }

    /// The listener of a descriptor's name, if it is that of a parcel.
    pub fn listener(name: &str) -> Option<&str> {
        name.strip_prefix("tls ")
    }

    /// Puts it into a memfd that nobody can change.
    ///
    /// # Errors
    /// When the material is missing, or the kernel has no memory.
    pub fn seal(&self) -> io::Result<OwnedFd> {
        let held = self.material.held().ok_or_else(|| io::Error::other("the certificates were not read"))?;
        let bytes = postcard::to_stdvec(&Sent(held, &self.ratchet)).map(Zeroizing::new);
        let bytes = bytes.map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let mut file = File::from(memfd_create(c"tls", flags)?);
        file.write_all(&bytes)?;
        let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        Ok(file.into())
    }

    /// Takes it out.
    ///
    /// # Errors
    /// When the descriptor holds no parcel.
    pub fn open(descriptor: OwnedFd) -> io::Result<Parcel> {
        let wrong = |why: &dyn std::fmt::Display| io::Error::other(format!("cannot take certificates: {why}"));
        let mut file = File::from(descriptor);
        let length = file.metadata()?.len();
        if length > BYTES_MAX {
            return Err(wrong(&"there are too many of them"));
        }
        file.rewind()?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(length as usize + 1));
        file.take(BYTES_MAX).read_to_end(&mut bytes)?;
        let Received(held, ratchet) = postcard::from_bytes(&bytes).map_err(|why| wrong(&why))?;
        Ok(Parcel { material: Material::new(held), ratchet })
    }
}
