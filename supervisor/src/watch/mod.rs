//! Watches files, so that a change is a reload: the config file and the certificates that it names where `watch: true` asks
//! for it, and the code where `reload.on_change` does.
//!
//! ```text
//!   Eyes --paths--> Basket --settled--> one of its files has another content? -> Wish::Reload{FileChanged}
//!                                       a path is some application's code?    -> Wish::Reload{CodeChanged}
//! ```
//!
//! Rules
//! * Folders are watched, not files: editors replace a file rather than write to it.
//! * What is watched follows what is there: a folder that appears is watched, and what is in it has changed.
//! * Nothing here knows whether the last reload went well. So the save after a broken one is a change like any other.
//! * The loop does the looking up; the threads of `notify` only put paths into the basket.

mod basket;
mod code;
mod eyes;
mod file;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use monoceros_shared::config::{App, Tls};
use slog::{Logger, warn};

use crate::core::{Cause, Wish};
use basket::{Basket, Batch};
use code::Code;
use eyes::Eyes;
use file::ConfigFile;

/// The one watcher of a server.
pub struct Watch {
    log: Logger,
    basket: Basket,
    eyes: Eyes,
    /// The config's, and those that it names.
    files: Vec<ConfigFile>,
    codes: Vec<Code>,
}

impl Watch {
    /// One that watches nothing yet; `wake` makes the loop call [`Watch::take`].
    pub fn new(wake: impl Fn() + Send + Sync + 'static, log: &Logger) -> Watch {
        let basket = Basket::new(wake);
        let eyes = Eyes::new(basket.clone(), log);
        Watch { log: log.clone(), basket, eyes, files: Vec::new(), codes: Vec::new() }
    }

    /// Watches what the running config asks for: the file, if it is given (as the user named it, but absolute), with the
    /// certificates, and the applications' code. To be called at the start and when another config was adopted.
    pub fn aim(&mut self, file: Option<&Path>, apps: &[App]) {
        let tls = apps.iter().flat_map(|app| &app.listen).filter_map(|listener| listener.tls.as_ref());
        let certificates = tls.flat_map(Tls::files).filter(|_| file.is_some());
        let wanted: BTreeSet<&Path> = file.into_iter().chain(certificates).collect();
        self.files.retain(|kept| wanted.contains(kept.path()));
        for path in wanted {
            if !self.files.iter().any(|kept| kept.path() == path) {
                self.files.push(ConfigFile::new(path.to_owned()));
            }
        }
        let mut before = std::mem::take(&mut self.codes);
        for app in apps {
            match Code::of(app) {
                Ok(None) => {}
                Ok(Some(mut code)) => {
                    if let Some(at) = before.iter().position(|before| before.app == code.app) {
                        code.inherit(before.swap_remove(at));
                    }
                    self.codes.push(code);
                }
                Err(why) => warn!(self.log, "changes of code are not noticed"; "app" => &app.name, "why" => why),
            }
        }
        self.look();
    }

    /// A worker has loaded these files. An empty list says nothing: it was not asked.
    pub fn loaded(&mut self, app: &str, files: Vec<PathBuf>) {
        let code = self.codes.iter_mut().find(|code| code.app == app);
        if !files.is_empty() && code.is_some_and(|code| code.load(files)) {
            self.look();
        }
    }

    /// What has settled, as wishes.
    pub fn take(&mut self, now: Instant) -> Vec<Wish> {
        let Some(mut batch) = self.basket.take(now) else {
            return Vec::new();
        };
        if batch.is_incomplete || self.changes_folders(&batch) {
            let new = self.look();
            batch.paths.extend(new.iter().flat_map(|folder| files_in(folder)));
        }
        let changed = self.files.iter_mut().filter_map(|file| file.has_changed().then_some(())).count() > 0;
        let file = changed.then_some(Cause::FileChanged);
        let codes = self.codes.iter().filter_map(|code| change_of(code, &batch));
        file.into_iter().chain(codes).map(|cause| Wish::Reload { cause }).collect()
    }

    /// When [`Watch::take`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.basket.due()
    }

    /// Looks at every folder that matters now; those that did not before.
    fn look(&mut self) -> Vec<PathBuf> {
        let mut folders: BTreeSet<PathBuf> = self.codes.iter().flat_map(Code::folders).collect();
        folders.extend(self.files.iter().flat_map(ConfigFile::folders));
        self.eyes.look_at(&folders)
    }

    /// Whether folders came or went, or links were turned. One that did is forgotten: under its name there is nothing
    /// now, or another.
    fn changes_folders(&mut self, batch: &Batch) -> bool {
        let mut changes = false;
        for path in &batch.paths {
            if self.eyes.see(path) {
                self.eyes.forget(path);
                changes = true;
            }
            changes |= path.is_symlink() || path.is_dir();
        }
        changes
    }
}

/// Whether a batch changes an application's code, and where. What nobody could count may be anything.
fn change_of(code: &Code, batch: &Batch) -> Option<Cause> {
    let path = match batch.paths.iter().find(|path| code.contains(path)) {
        Some(path) => path.display().to_string(),
        None if batch.is_incomplete => "more files than can be counted".to_owned(),
        None => return None,
    };
    Some(Cause::CodeChanged { app: code.app.clone(), path })
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
