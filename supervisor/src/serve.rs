//! From a config to the end of the server: begins afresh or where another program has ended, and ends for good or in the next one.
//!
//! ```text
//!   arrival -> config -> log -> run -> (the log is flushed) -> exit status, or an exec
//! ```

use std::fmt::Display;
use std::path::PathBuf;

use monoceros_shared::config::Checked;
use monoceros_shared::exit;

use crate::core::plan::Manner;
use crate::run::{self, Beginning, Ended};
use crate::sources;
use crate::succession::arrival::{Arrival, arrive};
use crate::succession::departure::Programs;

/// Serves until it is asked to stop; the exit status. `file` is as the user named it; `read` reads the config, if this is not what
/// another program has become.
pub fn serve<E: Display>(file: Option<PathBuf>, manner: Manner, read: impl FnOnce() -> Result<Checked, E>) -> i32 {
    let programs = match Programs::find() {
        Ok(programs) => programs,
        Err(why) => return refuse(&why, exit::FAILED),
    };
    let (config, luggage) = match arrive() {
        Arrival::Ended(status) => return status,
        Arrival::With(luggage) => match luggage.config.clone() {
            Some(mut config) => {
                config.read_certificates();
                (Ok(Checked::inherited(config)), Some(*luggage))
            }
            None => (read(), Some(*luggage)),
        },
        Arrival::Fresh => (read(), None),
    };
    let checked = match (config, &luggage) {
        (Ok(checked), _) => checked,
        (Err(error), Some(luggage)) => return luggage.back(&error.to_string()),
        (Err(error), None) => return refuse(&error, exit::USAGE),
    };
    // Before the first thread is made.
    if let Err(error) = sources::hold_signals() {
        return refuse(&format!("cannot hold signals back: {error}"), exit::FAILED);
    }
    match run::run(Beginning { checked, file, manner, programs, luggage }) {
        Ended::With(status) => status,
        Ended::Departing(departure) => departure.go(),
    }
}

fn refuse(why: &impl Display, status: i32) -> i32 {
    eprintln!("{why}");
    status
}
