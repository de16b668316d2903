//! One row for each setting of gunicorn's: its flags, and what becomes of it.

use super::super::draft::Draft;
use super::super::said::Said;
use super::{Settings, hooks, limits, logging, mechanics, sockets, workers};

/// A setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Its name in a config file.
    pub name: &'static str,
    /// Its flags on the command line.
    pub flags: &'static [&'static str],
    /// What stands behind a flag.
    pub takes: Takes,
    /// What becomes of it.
    pub fate: Fate,
}

/// What stands behind a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// A value; the last counts.
    One,
    /// A value, as often as wanted.
    Many,
    /// Nothing: it turns something on.
    Nothing,
    /// Nothing: it turns something off.
    Off,
    /// A value, or nothing, which means this one.
    Perhaps(&'static str),
}

/// What becomes of a setting.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// It is written by this.
    Written(fn(&Said, &Settings<'_>, &mut Draft)),
    /// There is nothing like it, and that is well.
    Nothing(&'static str),
    /// There is nothing like it: whoever turned it on has to do something else.
    Open(&'static str),
    /// Code: this is where it goes.
    Hook(&'static str),
}

impl Row {
    /// A setting that a config file and these flags have.
    pub const fn of(name: &'static str, flags: &'static [&'static str], takes: Takes, fate: Fate) -> Row {
        Row { name, flags, takes, fate }
    }

    /// Puts it where it belongs.
    pub fn answer(&self, said: &Said, settings: &Settings<'_>, draft: &mut Draft) {
        let is_nothing = said.is_empty() || said.value == serde_json::Value::Bool(false);
        match self.fate {
            Fate::Written(write) => write(said, settings, draft),
            Fate::Nothing(_) | Fate::Open(_) if is_nothing => draft.leave(said, "it is not done here either"),
            Fate::Nothing(why) => draft.leave(said, why),
            Fate::Open(what) => draft.open(said, what),
            Fate::Hook(_) if said.is_empty() => draft.leave(said, "there is nothing to call"),
            Fate::Hook(whither) => hooks::told(said, whither, draft),
        }
    }
}

/// All of them. What is written first is there for those behind it: who the workers are before the sockets that they own.
pub(super) fn rows() -> Vec<Row> {
    [mechanics::ROWS, sockets::ROWS, workers::ROWS, limits::ROWS, logging::ROWS, hooks::ROWS].concat()
}
