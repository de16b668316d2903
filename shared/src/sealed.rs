//! Memory that processes share, whose size is sealed: so that none of them can shorten it under another's mapping, which would be a SIGBUS.

use std::fs::File;
use std::io;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// The seals that keep a mapping valid for as long as anybody has it.
pub const SEALS: SealFlag = SealFlag::F_SEAL_SHRINK.union(SealFlag::F_SEAL_GROW).union(SealFlag::F_SEAL_SEAL);

/// A memfd of so many zero bytes, which stays so long.
///
/// # Errors
/// When the kernel gives none.
pub fn create(name: &str, bytes: usize) -> io::Result<File> {
    let memory = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
    memory.set_len(bytes as u64)?;
    fcntl(&memory, FcntlArg::F_ADD_SEALS(SEALS))?;
    Ok(memory)
}

/// Whether the size of this memory is sealed.
///
/// # Errors
/// When it is a file that cannot be.
pub fn is_sealed(memory: &File) -> io::Result<bool> {
    let seals = fcntl(memory, FcntlArg::F_GET_SEALS)?;
    Ok(SealFlag::from_bits_retain(seals).contains(SEALS))
}
