//! Whether a user can come to a file or a folder, by the mode bits of all that lies on the way.
//!
//! Known fault: access lists (ACLs) and security modules are not asked, for only the user's own process can.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::listen::cause;

/// Somebody who wants to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// Its uid.
    pub uid: u32,
    /// Its gid.
    pub gid: u32,
    /// Its supplementary groups.
    pub groups: Vec<u32>,
}

/// What lies on a way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where.
    pub path: PathBuf,
    /// Whose it is.
    pub owner: (u32, u32),
    /// Its permission bits.
    pub mode: u32,
}

/// Read and search.
const FOLDER: u32 = 0o5;
/// Search.
const PASSAGE: u32 = 0o1;

/// Why somebody cannot read a folder, if that is so.
pub fn obstacle(who: &Who, folder: &Path) -> Option<String> {
    let shown = folder.display();
    match way(folder) {
        Ok(steps) => stopped_at(who, &steps).map(|path| match path == folder {
            true => format!("{shown} may not be read"),
            false => format!("{shown} cannot be reached: {} is closed", path.display()),
        }),
        Err(why) => Some(format!("{shown} cannot be looked at: {why}")),
    }
}

/// Every step from the root to a folder, links resolved.
fn way(folder: &Path) -> Result<Vec<Step>, String> {
    let real = fs::canonicalize(folder).map_err(|error| cause(&error))?;
    let mut steps = Vec::new();
    for path in real.ancestors() {
        let found = fs::metadata(path).map_err(|error| cause(&error))?;
        steps.push(Step { path: path.to_owned(), owner: (found.uid(), found.gid()), mode: found.mode() & 0o7777 });
    }
    steps.reverse();
    Ok(steps)
}

/// Where somebody is stopped on the way to its last step, if anywhere.
fn stopped_at<'a>(who: &Who, steps: &'a [Step]) -> Option<&'a Path> {
    let last = steps.len().saturating_sub(1);
    let wants = |at: usize| if at == last { FOLDER } else { PASSAGE };
    steps.iter().enumerate().find(|(at, step)| !who.may(wants(*at), step)).map(|(_, step)| step.path.as_path())
}

impl Who {
    /// Whether a step gives it these bits (path_resolution(7): the first class that it is in counts, and no other).
    fn may(&self, wanted: u32, step: &Step) -> bool {
        let (uid, gid) = step.owner;
        let given = match () {
            () if self.uid == 0 => return true,
            () if self.uid == uid => step.mode >> 6,
            () if self.gid == gid || self.groups.contains(&gid) => step.mode >> 3,
            () => step.mode,
        };
        given & wanted == wanted
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn who(uid: u32) -> Who {
        Who { uid, gid: uid, groups: vec![50] }
    }

    fn step(path: &str, owner: (u32, u32), mode: u32) -> Step {
        Step { path: path.into(), owner, mode }
    }

    #[test]
    fn the_first_class_that_one_is_in_counts() {
        let closed_to_its_owner = step("/srv", (7, 7), 0o077);
        assert!(!who(7).may(FOLDER, &closed_to_its_owner) && who(8).may(FOLDER, &closed_to_its_owner));
        let closed_to_its_group = step("/srv", (0, 50), 0o705);
        assert!(!who(8).may(FOLDER, &closed_to_its_group));
        assert!(who(0).may(FOLDER, &closed_to_its_group), "root goes everywhere");
    }

    #[test]
    fn a_closed_folder_on_the_way_is_named() {
        let steps = [step("/", (0, 0), 0o755), step("/root", (0, 0), 0o700), step("/root/shop", (7, 7), 0o755)];
        assert_eq!(stopped_at(&who(7), &steps), Some(Path::new("/root")));
        assert_eq!(stopped_at(&who(0), &steps), None);
        let open = [step("/", (0, 0), 0o711), step("/srv", (0, 0), 0o711), step("/srv/shop", (0, 0), 0o711)];
        assert_eq!(stopped_at(&who(7), &open), Some(Path::new("/srv/shop")), "to pass is not to read");
        assert_eq!(stopped_at(&who(7), &open[..2]), Some(Path::new("/srv")));
    }

    #[test]
    fn a_real_folder_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let stranger = Who { uid: 4_000_000, gid: 4_000_000, groups: Vec::new() };
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(obstacle(&stranger, &inner).unwrap().contains("is closed"));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(obstacle(&stranger, &inner), None);
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o711)).unwrap();
        assert!(obstacle(&stranger, &inner).unwrap().ends_with("may not be read"));
        assert!(obstacle(&stranger, &inner.join("nowhere")).unwrap().contains("No such file"));
    }
}
