//! What the service manager is told, by views made by hand.

use super::*;
use crate::core::Cause;
use crate::core::Restarts;
use crate::core::status::{LastReload, Reloads, WorkerStatus};

const S: Duration = Duration::from_secs(1);

fn worker(id: u64, state: &str) -> WorkerStatus {
    WorkerStatus { id, pid: Some(1), generation: 1, state: state.into(), age: S }
}

fn app(state: AppState, workers: &[&str]) -> AppStatus {
    AppStatus {
        name: "shop".into(),
        state,
        generation: 1,
        listen: String::new(),
        wanted: 2,
        workers: (1..).zip(workers).map(|(id, state)| worker(id, state)).collect(),
        restarts: Restarts::default(),
        why: String::new(),
        degraded_for: None,
    }
}

fn status(state: ServerState, app: AppStatus) -> Status {
    Status {
        state,
        generation: 1,
        age: S,
        apps: vec![app],
        last_reload: None,
        reloads: Reloads::default(),
        ended: None,
    }
}

fn up() -> Status {
    status(ServerState::Up, app(AppState::Serving, &["serving", "serving"]))
}

fn starting() -> Status {
    status(ServerState::Up, app(AppState::Starting, &["booting", "booting"]))
}

fn reloading() -> Status {
    Status { state: ServerState::Loading, ..up() }
}

fn decided(status: Status, outcome: Outcome, at: u64) -> Status {
    let why = "cannot import shop:app: SyntaxError\nline 2".to_owned();
    let last = LastReload { outcome, why, detail: String::new(), cause: Cause::Signal, at: S * at as u32 };
    Status { ended: Some(last.at), last_reload: Some(last), ..status }
}

/// Asks for more time.
const MORE: &str = "EXTEND_TIMEOUT_USEC=30000000";

/// What is told of a view, without STATUS and wishes for more time.
fn look(notify: &mut Notify, now: u64, status: &Status) -> Vec<String> {
    let told = notify.look(S * now as u32, &View { status, beats: Beats::default() });
    let is_word = |line: &&str| !line.starts_with("STATUS=") && *line != MORE;
    let bare = |text: &String| text.lines().filter(is_word).collect::<Vec<_>>().join("\n");
    told.iter().map(bare).filter(|text| !text.is_empty()).collect()
}

/// Whether more time is asked for.
fn asks(notify: &mut Notify, now: u64, status: &Status) -> bool {
    let told = notify.look(S * now as u32, &View { status, beats: Beats::default() });
    told.iter().flat_map(|text| text.lines()).any(|line| line == MORE)
}

fn ready() -> Notify {
    let mut notify = Notify::new(S, None);
    assert_eq!(look(&mut notify, 1, &up()), ["READY=1"]);
    notify
}

#[test]
fn ready_is_said_once_and_when_all_serve() {
    let mut notify = Notify::new(S, None);
    assert!(look(&mut notify, 1, &starting()).is_empty());
    let some = status(ServerState::Up, app(AppState::Degraded, &["serving", "booting"]));
    assert!(look(&mut notify, 2, &some).is_empty());
    assert_eq!(look(&mut notify, 3, &up()), ["READY=1"]);
    assert!(look(&mut notify, 4, &up()).is_empty());
    assert!(look(&mut notify, 5, &some).is_empty(), "a worker that is replaced later is nobody's business");
}

#[test]
fn a_broken_application_is_ready_when_somebody_apologises_for_it() {
    let mut notify = Notify::new(S, None);
    let unanswered = status(ServerState::Up, app(AppState::Broken, &["booting"]));
    assert!(look(&mut notify, 1, &unanswered).is_empty());
    let answered = status(ServerState::Up, app(AppState::Broken, &["booting", "apologising"]));
    let told = notify.look(S, &View { status: &answered, beats: Beats::default() });
    let expected = "READY=1\nSTATUS=serving: 0 of 2 workers, generation 1; shop cannot be loaded and answers 503";
    assert_eq!(told, [expected]);
}

#[test]
fn one_worker_that_cannot_be_had_does_not_hold_up_the_others() {
    let mut some = app(AppState::Degraded, &["serving", "booting"]);
    some.restarts.crash = 1;
    assert_eq!(look(&mut Notify::new(S, None), 1, &status(ServerState::Up, some)), ["READY=1"]);
    let waits = app(AppState::Degraded, &["serving"]);
    assert_eq!(look(&mut Notify::new(S, None), 1, &status(ServerState::Up, waits)), ["READY=1"]);
}

#[test]
fn a_reload_is_told_from_its_start_to_its_end() {
    for outcome in [Outcome::Adopted, Outcome::Abandoned] {
        let mut notify = ready();
        assert_eq!(look(&mut notify, 7, &reloading()), ["RELOADING=1\nMONOTONIC_USEC=7000000"]);
        assert!(look(&mut notify, 8, &reloading()).is_empty());
        assert_eq!(look(&mut notify, 9, &decided(up(), outcome, 2)), ["READY=1"]);
        assert!(look(&mut notify, 10, &decided(up(), outcome, 2)).is_empty());
    }
}

#[test]
fn a_reload_is_not_over_before_the_old_workers_have_left() {
    let mut notify = ready();
    look(&mut notify, 7, &reloading());
    let adopted = Status { state: ServerState::Relieving, ended: None, ..decided(up(), Outcome::Adopted, 8) };
    assert!(look(&mut notify, 8, &adopted).is_empty());
    assert_eq!(look(&mut notify, 9, &decided(up(), Outcome::Adopted, 9)), ["READY=1"]);
}

#[test]
fn a_reload_between_two_looks_is_told_too() {
    let mut notify = ready();
    let told = look(&mut notify, 7, &decided(up(), Outcome::Abandoned, 2));
    assert_eq!(told, ["RELOADING=1\nMONOTONIC_USEC=7000000", "READY=1"]);
}

#[test]
fn two_reloads_are_never_told_as_one() {
    let mut notify = ready();
    look(&mut notify, 7, &reloading());
    let told = look(&mut notify, 8, &decided(reloading(), Outcome::Adopted, 2));
    assert_eq!(told, ["READY=1", "RELOADING=1\nMONOTONIC_USEC=8000000"]);
    assert_eq!(look(&mut notify, 9, &decided(up(), Outcome::Adopted, 3)), ["READY=1"]);
}

#[test]
fn a_reload_before_anything_serves_is_part_of_the_start() {
    let mut notify = Notify::new(S, None);
    assert!(look(&mut notify, 1, &Status { state: ServerState::Loading, ..starting() }).is_empty());
    assert!(look(&mut notify, 2, &decided(starting(), Outcome::Abandoned, 1)).is_empty());
    assert_eq!(look(&mut notify, 3, &decided(up(), Outcome::Abandoned, 1)), ["READY=1"]);
}

#[test]
fn the_end_is_told_once_from_wherever_it_comes() {
    for before in [starting(), up(), reloading()] {
        let mut notify = Notify::new(S, None);
        look(&mut notify, 1, &before);
        let lingers = Status { state: ServerState::Lingering, ..before.clone() };
        assert_eq!(look(&mut notify, 2, &lingers), ["STOPPING=1"]);
        let stops = Status { state: ServerState::Stopping, ..decided(before, Outcome::Abandoned, 2) };
        assert!(look(&mut notify, 3, &stops).is_empty());
    }
}

#[test]
fn more_time_is_asked_for_from_the_first_word_on_while_something_lasts() {
    let mut notify = Notify::new(S, None);
    let stopping = Status { state: ServerState::Stopping, ..up() };
    assert!(asks(&mut notify, 1, &starting()));
    assert_eq!(notify.deadline(), Some(S * 11));
    assert!(!asks(&mut notify, 10, &starting()));
    assert!(asks(&mut notify, 11, &starting()));
    assert!(!asks(&mut notify, 12, &up()));
    assert_eq!(notify.deadline(), None);
    assert!(!asks(&mut notify, 1000, &up()), "nothing lasts while it serves");
    assert!(asks(&mut notify, 1001, &reloading()));
    assert!(asks(&mut notify, 1011, &reloading()));
    assert!(asks(&mut notify, 1012, &stopping));
    assert!(asks(&mut notify, 1022, &stopping));
}

#[test]
fn no_more_time_is_asked_for_where_it_would_not_help() {
    let mut notify = Notify::new(S, None);
    let hopeless = status(ServerState::Up, app(AppState::Broken, &[]));
    assert!(!asks(&mut notify, 11, &hopeless));
}

#[test]
fn the_watchdog_is_fed_at_half_its_time_while_half_of_the_workers_beat() {
    let mut notify = Notify::new(S, Some(S * 16));
    let mut fed = |now: u64, serving, beating| {
        let told = notify.look(S * now as u32, &View { status: &up(), beats: Beats { serving, beating } });
        (told.iter().any(|text| text == "WATCHDOG=1"), notify.deadline())
    };
    assert_eq!(fed(1, 2, 2), (true, Some(S * 9)));
    assert_eq!(fed(8, 2, 2), (false, Some(S * 9)), "not yet");
    assert_eq!(fed(9, 2, 1), (true, Some(S * 17)), "half is a quorum");
    assert_eq!(fed(17, 3, 1), (false, Some(S * 19)), "a third is not");
    assert_eq!(fed(19, 1, 0), (false, Some(S * 21)), "a worker that hangs is none");
    assert_eq!(fed(21, 1, 1), (true, Some(S * 29)), "and is back in time");
    assert_eq!(fed(29, 0, 0), (true, Some(S * 37)), "where nobody serves nobody hangs");
}

#[test]
fn people_read_a_line_at_each_change() {
    let line_of = |status: &Status| line(status);
    assert_eq!(line_of(&starting()), "starting: 0 of 2 workers serve");
    assert_eq!(line_of(&up()), "serving: 2 of 2 workers, generation 1");
    assert_eq!(line_of(&reloading()), "reloading: generation 1 serves");
    assert_eq!(line_of(&Status { state: ServerState::Stopping, ..up() }), "stopping: 2 workers finish what they have");
    let failed = line_of(&decided(up(), Outcome::Abandoned, 1));
    let expected = "serving: 2 of 2 workers, generation 1; the last reload was abandoned: cannot import shop:app: SyntaxError line 2";
    assert_eq!(failed, expected);
    assert_eq!(one_line(&"ü\n".repeat(1000)).chars().count(), LINE_MAX);
    let mut notify = ready();
    let view = decided(up(), Outcome::Adopted, 2);
    let draining = Status { state: ServerState::Draining, ..view };
    let told = notify.look(S, &View { status: &draining, beats: Beats::default() });
    assert_eq!(told[1], "READY=1\nSTATUS=serving: 2 of 2 workers, generation 1, old ones drain");
    let told = notify.look(S, &View { status: &decided(up(), Outcome::Adopted, 2), beats: Beats::default() });
    assert_eq!(told, ["STATUS=serving: 2 of 2 workers, generation 1"]);
}
