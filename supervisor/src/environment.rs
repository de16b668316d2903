//! The environment of a worker: ours, without what the service manager said to us alone, with what the config adds.
//!
//! Who is given a `user` finds its own home: `HOME`, `USER` and `LOGNAME` are that user's, as after a login, and not root's,
//! whose home it may not even look into. What the config says stands above that.

use std::collections::BTreeMap;

use monoceros_shared::config::App;

use crate::succession::departure::{FAILED, SUCCESSION};

/// What is said to the supervisor and to nobody else, by the service manager or by the program before. A library in an application that finds one of these would tell the service
/// manager in our name that it is ready, or take our descriptors for its own.
pub const NOT_INHERITED: [&str; 11] = [
    SUCCESSION,
    FAILED,
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "FDSTORE",
    "MAINPID",
];

/// What an application's workers get on top of what we have.
pub fn of(app: &App) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    if let Some(run_as) = &app.run_as {
        all.insert("USER".to_owned(), run_as.user.clone());
        all.insert("LOGNAME".to_owned(), run_as.user.clone());
        all.insert("HOME".to_owned(), run_as.home.to_string_lossy().into_owned());
    }
    all.extend(app.environment.clone());
    all
}

#[cfg(test)]
mod tests {
    use monoceros_shared::config::{CommandLine, RunAs, from_command_line};

    use super::*;

    fn app(run_as: Option<RunAs>) -> App {
        let line = CommandLine { wsgi: "shop:app".into(), ..CommandLine::default() };
        let mut app = from_command_line(line).unwrap().config.apps.remove(0);
        app.run_as = run_as;
        app.environment = BTreeMap::from([("LOGNAME".into(), "from the file".into()), ("A".into(), "b".into())]);
        app
    }

    #[test]
    fn a_user_is_at_home_unless_the_file_says_otherwise() {
        let shop = RunAs { user: "shop".into(), uid: 7, gid: 7, groups: None, home: "/srv/shop".into() };
        let expected = [("A", "b"), ("HOME", "/srv/shop"), ("LOGNAME", "from the file"), ("USER", "shop")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(of(&app(Some(shop))), BTreeMap::from(expected));
    }

    #[test]
    fn who_stays_who_it_was_keeps_what_it_had() {
        assert_eq!(of(&app(None)), app(None).environment);
    }
}
