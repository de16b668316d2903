//! The log while the server runs: opened anew when somebody asks, and moved when a new config says so. The workers follow.

use monoceros_shared::config::Config;
use slog::{info, warn};

use super::Server;
use crate::control::words::Reply;

impl Server<'_> {
    /// Opens the log anew, and has the workers do the same.
    pub(super) fn reopen(&self) -> Reply {
        let reopened = self.logs.reopen().and_then(|file| self.workers.pass_log().map(|()| file));
        match reopened {
            Ok(Some(file)) => {
                info!(self.log, "log reopened"; "file" => file.display().to_string());
                Reply::Done { text: format!("log reopened: {}", file.display()) }
            }
            Ok(None) => Reply::Done { text: "the log is standard error, which stays as it is".into() },
            Err(why) => {
                warn!(self.log, "the log stays as it was"; "why" => &why);
                Reply::Failed { why, detail: String::new() }
            }
        }
    }

    /// Logs as a new config says.
    pub(super) fn follow_log(&self, config: &Config) {
        let followed = self
            .logs
            .follow(&config.log)
            .and_then(|is_elsewhere| if is_elsewhere { self.workers.pass_log() } else { Ok(()) });
        if let Err(why) = followed {
            warn!(self.log, "the log stays as it was"; "why" => why);
        }
    }
}
