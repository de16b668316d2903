//! How many connections each worker of an application holds, in memory that the workers share: so that one that is ahead leaves the next
//! client to another.
//!
//! ```text
//!   | places ever taken | place | place | ...      (a memfd)
//!   place: 0, or the process in the upper half and its connections in the lower
//! ```
//!
//! Every word is an atomic that its worker alone writes, but to take a place that is free. The size is sealed, as the scoreboard's. What
//! an application scribbles into it makes numbers wrong, which costs a client some milliseconds at most, see the worker's `engine::siblings`.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use crate::sealed;

/// Workers that can be at it, of all generations: twice the most that a config can ask for. One that finds no place does without.
const PLACES: usize = 1024;

const BYTES: usize = (PLACES + 1) * size_of::<AtomicU64>();

/// The memory of a table, to be passed to each worker.
///
/// # Errors
/// When the kernel gives none.
pub fn create() -> io::Result<OwnedFd> {
    Ok(sealed::create("monoceros-table", BYTES)?.into())
}

/// A worker's view of the table.
pub struct Table {
    map: MmapRaw,
}

/// What somebody else holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Other {
    /// Its place.
    pub place: usize,
    /// Its process.
    pub pid: u32,
    /// Its connections.
    pub open: u32,
}

impl Table {
    /// Takes up one that was passed.
    ///
    /// # Errors
    /// When it is no table.
    pub fn open(memory: OwnedFd) -> io::Result<Table> {
        let file = File::from(memory);
        if !sealed::is_sealed(&file)? || file.metadata()?.len() != BYTES as u64 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "cannot open the table: its size is not what it should be",
            ));
        }
        Ok(Table { map: MmapOptions::new().len(BYTES).map_raw(&file)? })
    }

    /// Takes a free place for this process; `None` when there is none.
    pub fn take(&self, pid: u32) -> Option<usize> {
        let taken = u64::from(pid) << 32;
        let places = self.words()[1..].iter();
        let free = |word: &AtomicU64| word.compare_exchange(0, taken, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        let place = places.enumerate().find(|(_, word)| free(word))?.0;
        self.words()[0].fetch_max(place as u64 + 1, Ordering::AcqRel);
        Some(place)
    }

    /// Says how many connections its process holds at this place.
    pub fn say(&self, place: usize, pid: u32, open: usize) {
        let open = u32::try_from(open).unwrap_or(u32::MAX);
        self.words()[place + 1].store(u64::from(pid) << 32 | u64::from(open), Ordering::Release);
    }

    /// Gives a place back.
    pub fn leave(&self, place: usize) {
        self.words()[place + 1].store(0, Ordering::Release);
    }

    /// Who else is there, and holds least.
    pub fn least_of_others(&self, own: usize) -> Option<Other> {
        let used = usize::try_from(self.words()[0].load(Ordering::Acquire)).unwrap_or(PLACES).min(PLACES);
        let others = (0..used).filter(|place| *place != own).filter_map(|place| {
            let word = self.words()[place + 1].load(Ordering::Acquire);
            (word != 0).then_some(Other { place, pid: (word >> 32) as u32, open: word as u32 })
        });
        others.min_by_key(|other| other.open)
    }

    #[expect(unsafe_code, reason = "a typed view of shared memory")]
    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping starts on a page, is `BYTES` long, which its sealed size covers, and lives as long as `self`; any bits are
        // a valid AtomicU64, and everybody who shares the memory writes it by atomics alone or is an application that scribbles, which
        // can change values and nothing else.
        unsafe { slice::from_raw_parts(self.map.as_ptr().cast::<AtomicU64>(), PLACES + 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sees_the_least_of_the_others() {
        let memory = create().unwrap();
        let view = || Table::open(memory.try_clone().unwrap()).unwrap();
        let (one, two) = (view(), view());
        let first = one.take(11).unwrap();
        assert_eq!(one.least_of_others(first), None);
        let (second, third) = (two.take(22).unwrap(), two.take(33).unwrap());
        two.say(second, 22, 5);
        two.say(third, 33, 4);
        one.say(first, 11, 1);
        assert_eq!(one.least_of_others(first), Some(Other { place: third, pid: 33, open: 4 }));
        assert_eq!(two.least_of_others(second), Some(Other { place: first, pid: 11, open: 1 }));
        one.leave(first);
        assert_eq!(two.least_of_others(second).unwrap().pid, 33);
        assert_eq!(two.take(44), Some(first), "a place is taken again");
    }

    #[test]
    fn what_is_no_table_is_refused() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(BYTES as u64).unwrap();
        assert!(Table::open(file.into()).is_err());
    }
}
