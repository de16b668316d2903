//! The config file, or one that it names, watched for another content: however an editor, a deployment or Kubernetes puts it there.
//!
//! Not the file is watched but every folder in which the meaning of its path can change: its own, and those of the
//! links on the way. A rename, a turned link (`..data` of a Kubernetes ConfigMap, `current` of a deployment) and a write
//! are then all the same: something happened there; has the content changed?
//!
//! Known fault: a folder on the way that is removed and made anew is not watched any more until the next reload.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// Links on the way; the kernel follows as many.
const LINKS_MAX: usize = 40;

/// Bytes that are compared; a config has fewer (`config::read` says so).
const BYTES_MAX: u64 = (1 << 20) + 1;

/// A config file and what was in it.
#[derive(Debug)]
pub struct ConfigFile {
    path: PathBuf,
    seen: Option<u64>,
}

impl ConfigFile {
    /// The file at an absolute path, with the content that it has now.
    pub fn new(path: PathBuf) -> ConfigFile {
        let seen = content_of(&path);
        ConfigFile { path, seen }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it has another content than when it was last looked at. One that cannot be read now has not: it is
    /// about to be replaced.
    pub fn has_changed(&mut self) -> bool {
        let now = content_of(&self.path);
        let changed = now.is_some() && now != self.seen;
        if changed {
            self.seen = now;
        }
        changed
    }

    /// The folders in which the meaning of its path can change.
    pub fn folders(&self) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        let mut links = 0;
        let mut at = PathBuf::from("/");
        let mut left: Vec<PathBuf> = parts(&self.path);
        while let Some(part) = left.pop() {
            if part == Path::new("..") {
                at.pop();
                continue;
            }
            let next = at.join(&part);
            match fs::read_link(&next) {
                Ok(target) if links < LINKS_MAX => {
                    links += 1;
                    folders.insert(at.clone());
                    if target.is_absolute() {
                        at = PathBuf::from("/");
                    }
                    left.extend(parts(&target));
                }
                Ok(_) | Err(_) => {
                    if left.is_empty() {
                        folders.insert(at.clone());
                    }
                    at = next;
                }
            }
        }
        folders
    }
}

/// The names on a path, the last first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let named = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    let mut parts: Vec<PathBuf> = named.map(|part| PathBuf::from(part.as_os_str())).collect();
    parts.reverse();
    parts
}

fn content_of(path: &Path) -> Option<u64> {
    let file = File::open(path).ok()?;
    // A pipe in its place would keep the loop waiting.
    file.metadata().ok().filter(fs::Metadata::is_file)?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes).ok()?;
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_change_is_another_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.yaml");
        fs::write(&path, "one").unwrap();
        let mut file = ConfigFile::new(path.clone());
        assert!(!file.has_changed());
        fs::write(&path, "one").unwrap();
        assert!(!file.has_changed(), "written again, the same");
        fs::write(&path, "two").unwrap();
        assert!(file.has_changed() && !file.has_changed());
        fs::remove_file(&path).unwrap();
        assert!(!file.has_changed(), "away for a moment");
        fs::write(&path, "two").unwrap();
        assert!(!file.has_changed());
        fs::write(&path, "one").unwrap();
        assert!(file.has_changed(), "back to what it was is a change too");
    }

    #[test]
    fn every_link_on_the_way_is_watched_where_it_can_be_turned() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().canonicalize().unwrap().join(name);
        fs::create_dir_all(at("mount/..2026_a")).unwrap();
        fs::create_dir(at("etc")).unwrap();
        fs::write(at("mount/..2026_a/server.yaml"), "one").unwrap();
        symlink("..2026_a", at("mount/..data")).unwrap();
        symlink("..data/server.yaml", at("mount/server.yaml")).unwrap();
        symlink(at("mount/server.yaml"), at("etc/server.yaml")).unwrap();
        let folders = ConfigFile::new(at("etc/../etc/server.yaml")).folders();
        let expected = [at("etc"), at("mount"), at("mount/..2026_a")];
        assert_eq!(folders, BTreeSet::from(expected));
    }

    #[test]
    fn links_that_go_round_end() {
        let folder = tempfile::tempdir().unwrap();
        symlink("b", folder.path().join("a")).unwrap();
        symlink("a", folder.path().join("b")).unwrap();
        assert!(!ConfigFile::new(folder.path().join("a")).folders().is_empty());
    }
}
