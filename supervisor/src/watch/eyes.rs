//! Looks at folders, by the kernel's word where it has one and by looking again where it has none.
//!
//! ```text
//!   local folder --inotify------------------> Basket
//!   network or VM mount, or no watch left
//!                --look again every second--> Basket
//! ```
//!
//! Rule: nothing runs, no thread and no timer, while no folder is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::statfs::{FsType, statfs};
use notify::{Config, Event, PollWatcher, RecommendedWatcher, RecursiveMode, Watcher};
use slog::{Logger, warn};

use super::basket::Basket;

/// How often a folder is looked at of which the kernel does not tell. More often loads a network file system for every
/// file in it, more rarely is felt.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// File systems whose files are changed by other machines, of which inotify does not hear: NFS, SMB (old and new),
/// 9P, FUSE (virtiofs is one too), VirtualBox's, AFS, Ceph. The numbers are those of statfs(2).
const REMOTE: [i64; 9] =
    [0x6969, 0x517B, 0xFE53_4D42, 0xFF53_4D42, 0x0102_1997, 0x6573_5546, 0x786F_4256, 0x5346_414F, 0x00C3_6400];

/// What looks.
pub struct Eyes {
    log: Logger,
    basket: Basket,
    told: Option<RecommendedWatcher>,
    looking: Option<PollWatcher>,
    folders: BTreeMap<PathBuf, By>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Word,
    Looking,
}

impl Eyes {
    /// Closed ones.
    pub fn new(basket: Basket, log: &Logger) -> Eyes {
        Eyes { log: log.clone(), basket, told: None, looking: None, folders: BTreeMap::new() }
    }

    /// Looks at these folders and no others; those that were not looked at before.
    pub fn look_at(&mut self, wanted: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
        let gone = self.folders.keys().filter(|folder| !wanted.contains(*folder)).cloned().collect::<Vec<_>>();
        gone.iter().for_each(|folder| self.forget(folder));
        let new = wanted.iter().filter(|folder| !self.folders.contains_key(*folder)).cloned().collect::<Vec<_>>();
        new.iter().for_each(|folder| self.begin(folder));
        if self.folders.is_empty() {
            (self.told, self.looking) = (None, None);
        }
        new
    }

    /// Whether this folder is looked at.
    pub fn see(&self, folder: &Path) -> bool {
        self.folders.contains_key(folder)
    }

    /// Forgets a folder, for it is gone, and whatever comes in its place is another.
    pub fn forget(&mut self, folder: &Path) {
        // Both fail when the folder is gone already.
        match self.folders.remove(folder) {
            Some(By::Word) => drop(self.told.as_mut().map(|eye| eye.unwatch(folder))),
            Some(By::Looking) => drop(self.looking.as_mut().map(|eye| eye.unwatch(folder))),
            None => {}
        }
    }

    fn begin(&mut self, folder: &Path) {
        if !is_remote(folder) {
            match self.be_told_of(folder) {
                Ok(()) => {
                    self.folders.insert(folder.to_owned(), By::Word);
                    return;
                }
                // It is gone between its walk and now; its parent tells when it comes back.
                Err(_) if !folder.is_dir() => return,
                Err(error) => warn!(self.log, "a folder is looked at every second, for the kernel does not watch it";
                    "folder" => folder.display().to_string(), "why" => error.to_string()),
            }
        }
        match self.look_again_at(folder) {
            Ok(()) => {
                self.folders.insert(folder.to_owned(), By::Looking);
            }
            Err(error) => warn!(self.log, "changes in a folder are not noticed";
                "folder" => folder.display().to_string(), "why" => error.to_string()),
        }
    }

    fn be_told_of(&mut self, folder: &Path) -> notify::Result<()> {
        let eye = match &mut self.told {
            Some(eye) => eye,
            none => none.insert(RecommendedWatcher::new(into(&self.basket), Config::default())?),
        };
        eye.watch(folder, RecursiveMode::NonRecursive)
    }

    pub(super) fn look_again_at(&mut self, folder: &Path) -> notify::Result<()> {
        let config = Config::default().with_poll_interval(LOOK_AGAIN);
        let eye = match &mut self.looking {
            Some(eye) => eye,
            none => none.insert(PollWatcher::new(into(&self.basket), config)?),
        };
        eye.watch(folder, RecursiveMode::NonRecursive)
    }
}

/// What a watching thread does with what it sees.
fn into(basket: &Basket) -> impl Fn(notify::Result<Event>) + Send + 'static {
    let basket = basket.clone();
    move |seen| match seen {
        // Reading changes nothing, and our own reading would wake us for ever.
        Ok(event) if event.kind.is_access() => {}
        Ok(event) if event.need_rescan() => basket.put_unknown(Instant::now()),
        Ok(event) => basket.put(Instant::now(), event.paths),
        Err(error) => basket.put(Instant::now(), error.paths),
    }
}

fn is_remote(folder: &Path) -> bool {
    statfs(folder).is_ok_and(|found| REMOTE.into_iter().map(FsType).any(|remote| remote == found.filesystem_type()))
}
