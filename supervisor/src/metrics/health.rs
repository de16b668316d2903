//! Whether the server lives, and whether it is to be sent requests.
//!
//! It lives while it answers. It is ready while each of its applications is served by a worker at least: one that is degraded serves, and
//! whoever took it out of a balancer for that would lose what still works. From the first word to stop it is not ready any more, though
//! it serves on for `timeouts.drain_delay`: that is when a balancer is to notice.

use crate::status::{App, Report, State};

/// Why it is not ready, a line each; none if it is.
pub fn obstacles(report: &Report) -> Vec<String> {
    match report.state {
        State::Stopping => vec!["the server stops".to_owned()],
        State::Parked => vec!["the server is parked: its workers were drained by WINCH".to_owned()],
        State::Serving | State::Degraded | State::Reloading => report.apps.iter().filter_map(obstacle).collect(),
    }
}

fn obstacle(app: &App) -> Option<String> {
    if app.workers.iter().any(|worker| worker.state == "serving") {
        return None;
    }
    let why = app.why.lines().next().map_or_else(String::new, |why| format!(": {why}"));
    Some(format!("{}: {}{why}", app.name, app.state))
}
