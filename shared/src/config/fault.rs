//! What a config can be told: one error that refuses it, or warnings that do not.
//!
//! Rule: whoever finds something wrong knows only the place and the words, a [`Fault`]; the file's name is added once,
//! at the top, where it is known. So no function below carries a path only for its error text.

use std::fmt;
use std::path::{Path, PathBuf};

use super::Place;

/// Why a config is refused. Its text is one line: `FILE:LINE:COLUMN: what is wrong, and what to do`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Remark);

/// What a config does that it likely does not mean, and what happens instead. Its text is one line as an error's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(Remark);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Remark {
    file: Option<PathBuf>,
    place: Option<Place>,
    text: String,
}

impl Error {
    /// An error about `wsgi`, found by whoever imported the application: a check asks a worker to.
    ///
    /// `file` as the user wrote it; both are `None` when the command line described the application.
    pub fn new(file: Option<&Path>, place: Option<Place>, text: impl Into<String>) -> Self {
        Error(Remark { file: file.map(Path::to_owned), place, text: text.into() })
    }

    /// Where in the file, if it is about a place in it.
    pub fn place(&self) -> Option<Place> {
        self.0.place
    }
}

impl Warning {
    pub(super) fn new(file: Option<&Path>, fault: Fault) -> Self {
        let place = file.and(fault.place);
        Warning(Remark { file: file.map(Path::to_owned), place, text: fault.text })
    }

    /// Where in the file, if it is about a place in it.
    pub fn place(&self) -> Option<Place> {
        self.0.place
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}:", file.display())?,
            None => write!(f, "command line:")?,
        }
        if let Some(place) = self.place {
            write!(f, "{}:{}:", place.line, place.column)?;
        }
        write!(f, " {}", self.text)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {}

/// What someone wrote, for an error's one line: in backticks, without line ends and other control characters, cut when it
/// is long.
pub(super) fn shown(text: &str) -> String {
    // Longer than any address or path that is right, short enough for a terminal's line or two.
    const LONGEST: usize = 200;
    let mut shown = String::from("`");
    for (count, letter) in text.chars().enumerate() {
        match letter {
            _ if count == LONGEST => {
                shown.push('…');
                break;
            }
            _ if letter.is_control() => shown.extend(letter.escape_default()),
            _ => shown.push(letter),
        }
    }
    shown.push('`');
    shown
}

/// Something wrong at a place of the text, the file's name not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// `None` when it is about the file as a whole.
    pub place: Option<Place>,
    /// One line, without the place.
    pub text: String,
    /// Whether the text names the key already, so that nobody further out names another.
    named: bool,
}

impl Fault {
    /// Wrong at `place`; the key that it is the value of is still to be named.
    pub fn at(place: Place, text: impl Into<String>) -> Self {
        Fault { place: Some(place), text: text.into(), named: false }
    }

    /// Wrong at `place`, in words that need no key before them.
    pub fn whole(place: impl Into<Option<Place>>, text: impl Into<String>) -> Self {
        Fault { place: place.into(), text: text.into(), named: true }
    }

    /// At `place`, unless it knows a nearer one.
    pub fn or_at(mut self, place: Option<Place>) -> Self {
        self.place = self.place.or(place);
        self
    }

    /// Puts the key before the text, unless a nearer one is there.
    pub fn of_key(mut self, key: &str) -> Self {
        if !self.named {
            self.text = format!("{}: {}", shown(key), self.text);
            self.named = true;
        }
        self
    }

    /// Now that the file is known. The command line has no places.
    pub fn in_file(self, file: Option<&Path>) -> Error {
        Error::new(file, file.and(self.place), self.text)
    }
}
