//! Static files: which file a request means, and what is answered (RFC 9110). Python is never entered.
//!
//! ```text
//!   target --path--> names below a folder --Shelf--> a file, or its compressed sibling --condition--> what is answered
//!            pure                           openat2                                      pure
//! ```
//!
//! Rules
//! * A path is decoded once. `.` and `..`, empty names, NUL, `/` and `\` that were encoded: no file has such a name here.
//! * The kernel resolves a path beneath the folder (openat2, RESOLVE_BENEATH): no link leads out. Where it cannot, nothing
//!   is served.
//! * Only plain files are: no listing, no index, no device, no pipe.
//! * What a path begins with decides, the longest first, on the boundaries of `/`. What is not there is 404: the
//!   application is not asked.
//! * A folder is opened once, when the worker starts: another that takes its name is served after the next reload.
//!
//! Known fault: opening a file, and sending one that is not in memory, waits for the disk in the thread that reads.

mod condition;
mod encoding;
mod kind;
mod path;
mod shelf;

use std::io;

use monoceros_shared::config::StaticFiles;

use crate::turn::Turn;
use crate::wire::http::answer::Fault;
use condition::{Facts, Verdict};
use path::Meant;
use shelf::{Found, Shelf};

/// The folders of an application, those with the longest prefix first.
pub struct Statics(Vec<Shelf>);

impl Statics {
    /// Opens the folders.
    ///
    /// # Errors
    /// When one cannot be opened.
    pub fn open(files: &[StaticFiles]) -> io::Result<Statics> {
        let mut shelves = files.iter().map(Shelf::open).collect::<io::Result<Vec<_>>>()?;
        shelves.sort_by_key(|shelf| std::cmp::Reverse(shelf.prefix.len()));
        Ok(Statics(shelves))
    }

    /// Whose files a request is for that stands ready; `None`: the application's.
    pub fn shelf_of(&self, turn: &Turn) -> Option<usize> {
        if self.0.is_empty() {
            return None;
        }
        let decoded = path::decoded(turn.text(turn.head().path));
        self.0.iter().position(|shelf| path::below(&decoded, &shelf.prefix).is_some())
    }

    /// Answers a request that was begun for the files of this shelf.
    ///
    /// # Errors
    /// When a field of ours is malformed, which is a bug.
    pub fn answer(&self, shelf: usize, turn: &mut Turn) -> Result<(), Fault> {
        let shelf = &self.0[shelf];
        let is_head = turn.text(turn.head().method) == b"HEAD";
        if !is_head && turn.text(turn.head().method) != b"GET" {
            return refuse(turn, "405 Method Not Allowed", &[(b"Allow", b"GET, HEAD")]);
        }
        let found = match path::meant(turn.text(turn.head().path), &shelf.prefix) {
            Meant::File(names) => shelf.find(&names, &field(turn, b"accept-encoding")),
            Meant::Nothing => None,
        };
        match found {
            Some(found) => answer_with(found, shelf.cache_control.as_deref(), turn),
            None => refuse(turn, "404 Not Found", &[]),
        }
    }
}

/// Every value of the name, joined (RFC 9110 5.3).
fn field(turn: &Turn, name: &[u8]) -> Vec<u8> {
    let named = turn.head().fields.iter().filter(|field| turn.text(field.name).eq_ignore_ascii_case(name));
    named.map(|field| turn.text(field.value)).collect::<Vec<_>>().join(&b", "[..])
}

fn answer_with(found: Found, cache_control: Option<&str>, turn: &mut Turn) -> Result<(), Fault> {
    let facts = Facts::of(&found.facts);
    let verdict = condition::judge(&facts, |name| field(turn, name));
    let status: &[u8] = match &verdict {
        Verdict::Whole => b"200 OK",
        Verdict::Part(_) => b"206 Partial Content",
        Verdict::NotModified => b"304 Not Modified",
        Verdict::Failed => return refuse(turn, "412 Precondition Failed", &[]),
        Verdict::Unsatisfiable => {
            let range = format!("bytes */{}", facts.length);
            return refuse(turn, "416 Range Not Satisfiable", &[(b"Content-Range", range.as_bytes())]);
        }
    };
    turn.begin(status)?;
    // What a 304 repeats is what a 200 would have said of caching (RFC 9110 15.4.5).
    turn.field(b"ETag", facts.tag.as_bytes())?;
    turn.field(b"Last-Modified", facts.date.as_bytes())?;
    turn.field(b"Vary", b"Accept-Encoding")?;
    if let Some(value) = cache_control {
        turn.field(b"Cache-Control", value.as_bytes())?;
    }
    let range = match verdict {
        Verdict::Part(range) => {
            let text = format!("bytes {}-{}/{}", range.start, range.end - 1, facts.length);
            turn.field(b"Content-Range", text.as_bytes())?;
            range
        }
        Verdict::Whole => 0..facts.length,
        Verdict::NotModified | Verdict::Failed | Verdict::Unsatisfiable => {
            turn.finish();
            return Ok(());
        }
    };
    turn.field(b"Content-Type", found.kind.as_bytes())?;
    if let Some(coding) = found.coding {
        turn.field(b"Content-Encoding", coding.as_bytes())?;
    }
    turn.field(b"Accept-Ranges", b"bytes")?;
    turn.field(b"X-Content-Type-Options", b"nosniff")?;
    turn.total(range.end - range.start);
    if turn.text(turn.head().method) != b"HEAD" {
        turn.write_file(found.file, range.start, range.end - range.start);
    }
    turn.finish();
    Ok(())
}

fn refuse(turn: &mut Turn, status: &str, fields: &[(&[u8], &[u8])]) -> Result<(), Fault> {
    let content = format!("{}\n", status.split_once(' ').map_or(status, |(_, reason)| reason));
    turn.begin(status.as_bytes())?;
    turn.field(b"Content-Type", b"text/plain; charset=utf-8")?;
    for (name, value) in fields {
        turn.field(name, value)?;
    }
    turn.total(content.len() as u64);
    turn.write(content.as_bytes());
    turn.finish();
    Ok(())
}
