//! Stories of workers that ail, of applications that lose too many of them, and of servers that are parked.

use std::time::Duration;

use monoceros_shared::exit;
use monoceros_shared::link::Purpose;

use super::super::event::{Cause, Event, Exit, LastSeen, Scale, Stop, Wish};
use super::super::line::Value;
use super::super::plan::Plan;
use super::super::status::{AppState, ServerState};
use super::super::{Answer, Core, Effect, Organ, Restarts, Silence, WorkerId};
use super::cases::{NOW, answers, exits, fails, load, messages, moves, one, recruits, reload, serving, spawned, want};
use super::story::{app, plan_of};

fn stuck(core: &mut Core, worker: WorkerId) -> Vec<Effect> {
    core.handle(NOW, Event::Stuck { worker, why: "GET /report HTTP/1.1".into() })
}

fn silent(core: &mut Core, worker: WorkerId, organ: Organ) -> Vec<Effect> {
    let silence = Silence { organ, length: Duration::from_secs(31), running: vec!["GET / (for 31.0s)".into()] };
    core.handle(NOW, Event::Silent { worker, silence })
}

#[test]
fn a_stuck_worker_is_replaced_before_it_hands_over_and_goes() {
    let mut core = serving(&one(2));
    let effects = stuck(&mut core, 1);
    assert_eq!((spawned(&effects), moves(&effects).len()), (vec![3], 0), "it serves on with its other threads");
    assert!(spawned(&stuck(&mut core, 1)).is_empty(), "it says so again");
    let moved = moves(&load(&mut core, &effects));
    assert!(moved[0] == "serve 3" && moved[1].starts_with("1 to ") && moved[2] == "drain 1", "{moved:?}");
    assert_eq!(core.deadline(), Some(NOW + super::DRAIN), "its other requests may end");
    assert!(spawned(&exits(&mut core, 1, Exit::Code(0))).is_empty());
    assert_eq!(core.status(NOW).apps[0].restarts, Restarts { stuck: 1, ..Restarts::default() });
}

#[test]
fn all_who_are_stuck_are_replaced_at_once_up_to_the_surge() {
    for (surge, expected) in [(None, 3), (Some(2), 2)] {
        let mut app = app("a", 3, &[1]);
        app.reload.surge = surge;
        let mut core = serving_all(&plan_of(vec![app]));
        let spawned: Vec<WorkerId> = (1..=3).flat_map(|worker| spawned(&stuck(&mut core, worker))).collect();
        assert_eq!(spawned.len(), expected, "{surge:?}");
        let effects = core.handle(NOW, Event::Loaded { worker: spawned[0] });
        assert_eq!(recruits(&effects).len(), 3 - expected, "the next in its turn");
    }
}

/// As `serving`, where workers boot a few at a time.
fn serving_all(plan: &Plan) -> Core {
    let mut core = Core::new(plan.clone(), 1);
    let mut effects = core.handle(NOW, Event::Start);
    while !spawned(&effects).is_empty() {
        effects = load(&mut core, &effects);
    }
    core
}

#[test]
fn a_stuck_worker_stays_while_its_replacement_cannot_boot() {
    let mut core = serving(&one(1));
    let _ = stuck(&mut core, 1);
    let _ = fails(&mut core, 2);
    let effects = exits(&mut core, 2, Exit::Code(1));
    assert!(spawned(&effects).is_empty() && moves(&effects).is_empty());
    let again = core.deadline().unwrap();
    assert!(again > NOW);
    assert_eq!(spawned(&core.handle(again, Event::Tick)), [3]);
}

#[test]
fn who_holds_the_gil_is_asked_for_its_stacks_and_replaced_with_a_shorter_grace() {
    let mut core = serving(&one(1));
    let effects = silent(&mut core, 1, Organ::Python);
    assert!(effects.contains(&Effect::Inspect { worker: 1 }), "{effects:?}");
    let Effect::Log(line) = &effects[0] else { panic!("{effects:?}") };
    assert!(
        line.keys.contains(&("silent", "Python".into())) && line.keys.contains(&("for", "31.0s".into())),
        "{line:?}"
    );
    let told = core.handle(NOW, Event::Stacks { worker: 1, stacks: "Thread 1".into() });
    assert_eq!(messages(&told), ["stacks of a silent worker"]);
    assert!(core.handle(NOW, Event::Stacks { worker: 1, stacks: "Thread 1".into() }).is_empty(), "nobody asked");
    assert_eq!(moves(&load(&mut core, &effects)), ["serve 2", "1 to 2", "drain 1"]);
    let killed = core.deadline().unwrap();
    assert_eq!(killed, NOW + super::DRAIN.min(Duration::from_secs(5)));
    assert_eq!(moves(&core.handle(killed, Event::Tick)), ["kill 1"]);
    assert_eq!(core.status(NOW).apps[0].restarts.silent, 1);
}

#[test]
fn who_stands_still_is_given_a_second() {
    let mut core = serving(&one(1));
    let effects = silent(&mut core, 1, Organ::Io);
    let _ = load(&mut core, &effects);
    assert_eq!(core.deadline(), Some(NOW + Duration::from_secs(1)));
}

#[test]
fn who_beats_again_before_a_spare_could_boot_stays() {
    let mut core = serving(&one(1));
    let _ = silent(&mut core, 1, Organ::Io);
    let _ = fails(&mut core, 2);
    let _ = exits(&mut core, 2, Exit::Code(1));
    assert_eq!(messages(&core.handle(NOW, Event::Beats { worker: 1 })), ["worker beats again"]);
    assert_eq!(core.deadline(), None);
    assert_eq!(core.status(NOW).apps[0].restarts.silent, 0);
}

#[test]
fn who_dies_while_it_ails_is_counted_as_that_and_leaves_its_place_to_its_spare() {
    let mut core = serving(&one(1));
    let _ = stuck(&mut core, 1);
    assert!(spawned(&exits(&mut core, 1, Exit::Signal("SIGKILL"))).is_empty());
    assert_eq!(moves(&core.handle(NOW, Event::Loaded { worker: 2 })), ["serve 2"]);
    assert_eq!(core.status(NOW).apps[0].restarts, Restarts { stuck: 1, ..Restarts::default() });
}

#[test]
fn an_apologist_that_stands_still_is_killed_and_another_apologises() {
    let mut core = Core::new(one(1), 1);
    let _ = core.handle(NOW, Event::Start);
    let _ = fails(&mut core, 1);
    let _ = core.handle(NOW, Event::Loaded { worker: 2 });
    let effects = silent(&mut core, 2, Organ::Io);
    assert!(matches!(recruits(&effects)[0].purpose, Purpose::Apologise(_)));
    assert_eq!(moves(&effects), ["drain 2"]);
}

/// Ends the worker of every slot again and again, as soon as there is one; the moments of the spawns in these seconds.
fn crashing(core: &mut Core, seconds: u64) -> Vec<Duration> {
    let (mut now, mut spawns) = (NOW, Vec::new());
    while now < NOW + Duration::from_secs(seconds) {
        let serving: Vec<WorkerId> = core.serving(0);
        let mut effects: Vec<Effect> = Vec::new();
        for worker in serving {
            let last =
                LastSeen { requests: 1, running: vec!["GET /poison HTTP/1.1 (for 1ms)".into()], ..LastSeen::default() };
            effects.extend(core.handle(now, Event::Exited { worker, exit: Exit::Dumped("SIGSEGV"), last }));
        }
        while !spawned(&effects).is_empty() {
            spawns.extend(spawned(&effects).iter().map(|_| now));
            effects =
                spawned(&effects).into_iter().flat_map(|worker| core.handle(now, Event::Loaded { worker })).collect();
        }
        if core.serving(0).is_empty() {
            now = core.deadline().unwrap();
            let effects = core.handle(now, Event::Tick);
            spawns.extend(spawned(&effects).iter().map(|_| now));
            for worker in spawned(&effects) {
                let _ = core.handle(now, Event::Loaded { worker });
            }
        }
    }
    spawns
}

#[test]
fn an_application_that_loses_too_many_workers_is_degraded_and_tried_slowly_and_alone() {
    let mut core = serving(&plan_of(vec![app("a", 3, &[1]), app("b", 1, &[2])]));
    let spawns = crashing(&mut core, 300);
    let status = core.status(NOW + Duration::from_secs(300));
    assert_eq!((status.apps[0].state, status.apps[1].state), (AppState::Degraded, AppState::Serving));
    let why = &status.apps[0].why;
    assert!(
        why.starts_with("11 workers lost within 60.0s; the last: worker ") && why.contains("SIGSEGV, core dumped"),
        "{why}"
    );
    assert!(status.apps[0].degraded_for > Some(Duration::from_secs(200)), "{status:?}");
    let late = spawns.iter().filter(|at| **at > NOW + Duration::from_secs(100)).count();
    assert!((3 * 200 / 36..=3 * 200 / 10).contains(&late), "{late} spawns in 200 s of three places");
}

#[test]
fn a_degraded_application_is_tried_slowly_though_each_of_its_workers_serves_for_a_while() {
    // Long enough for its place to forget, so that it is the application that remembers.
    let (life, end) = (Duration::from_secs(11), NOW + Duration::from_secs(300));
    let mut core = serving(&one(4));
    let mut deaths: Vec<(Duration, WorkerId)> = (1..=4).map(|worker| (NOW + life, worker)).collect();
    let mut late = 0;
    while let Some(now) = deaths.iter().map(|death| death.0).chain(core.deadline()).min().filter(|now| *now < end) {
        let (dead, living): (Vec<_>, Vec<_>) = deaths.into_iter().partition(|death| death.0 <= now);
        deaths = living;
        let exited = |(_, worker)| Event::Exited { worker, exit: Exit::Code(1), last: LastSeen::default() };
        let events = dead.into_iter().map(exited).chain([Event::Tick]);
        let effects: Vec<Effect> = events.flat_map(|event| core.handle(now, event)).collect();
        for worker in spawned(&effects) {
            let _ = core.handle(now, Event::Loaded { worker });
            deaths.push((now + life, worker));
            late += usize::from(now > NOW + Duration::from_secs(100));
        }
    }
    assert!((4 * 200 / 41..=4 * 200 / 21 + 4).contains(&late), "{late} spawns in 200 s of four places");
}

#[test]
fn a_degraded_application_is_well_after_a_minute_without_a_loss() {
    let mut core = serving(&one(1));
    crashing(&mut core, 60);
    assert!(core.status(NOW).apps[0].degraded_for.is_some());
    let well = core.deadline().unwrap();
    let effects = core.handle(well, Event::Tick);
    assert_eq!(messages(&effects), ["application not degraded any more"]);
    assert_eq!((core.status(well).apps[0].state, core.deadline()), (AppState::Serving, None));
}

#[test]
fn a_reload_has_a_degraded_application_judged_afresh() {
    let mut core = serving(&one(1));
    crashing(&mut core, 60);
    let effects = reload(&mut core, Cause::Signal, &one(1));
    assert!(messages(&load(&mut core, &effects)).contains(&"application not degraded any more"));
    assert!(core.status(NOW).apps[0].restarts.crash > 10, "what was is still counted");
}

#[test]
fn an_exit_says_what_it_was_of_and_a_boot_that_failed_is_told_from_it() {
    let mut core = serving(&one(1));
    let last = LastSeen { requests: 7, running: vec!["GET /poison HTTP/1.1 (for 1ms)".into()], ..LastSeen::default() };
    let effects = core.handle(NOW, Event::Exited { worker: 1, exit: Exit::Code(3), last });
    let Effect::Log(line) = &effects[0] else { panic!("{effects:?}") };
    assert_eq!(line.message, "worker exited");
    for key in [("exit", "code 3".into()), ("requests", 7_u64.into()), ("next", "replaced at once".into())] {
        assert!(line.keys.contains(&key), "{key:?} is not in {line:?}");
    }
    assert!(
        line.keys
            .iter()
            .any(|(key, value)| *key == "running" && matches!(value, Value::Text(text) if text.contains("/poison")))
    );
    let effects = exits(&mut core, 2, Exit::Code(1));
    assert!(messages(&effects).contains(&"worker exited before it served"), "{effects:?}");
    assert_eq!(core.status(NOW).apps[0].restarts, Restarts { crash: 1, boot_failure: 1, ..Restarts::default() });
    let effects =
        serving(&one(1)).handle(NOW, Event::Exited { worker: 1, exit: Exit::Code(0), last: LastSeen::default() });
    assert_eq!(spawned(&effects), [2], "what ends well and unasked is replaced too");
}

#[test]
fn a_parked_server_keeps_its_listeners_and_the_next_reload_brings_workers() {
    let mut core = serving(&one(2));
    let effects = core.handle(NOW, Event::Wanted { wish: Wish::Park, asker: None });
    assert_eq!(moves(&effects), ["drain 1", "drain 2"]);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::CloseListeners | Effect::Unbind { .. })));
    for worker in [1, 2] {
        assert!(spawned(&exits(&mut core, worker, Exit::Code(0))).is_empty());
    }
    assert_eq!((core.status(NOW).state, core.deadline()), (ServerState::Parked, None));
    assert!(matches!(answers(&want(&mut core, Wish::ScaleAll { to: Scale::More }))[..], [Answer::Failed { .. }]));
    let code = Cause::CodeChanged { app: "a".into(), path: "a.py".into() };
    assert!(spawned(&want(&mut core, Wish::Reload { cause: code })).is_empty(), "a file brings it back");
    let effects = reload(&mut core, Cause::Signal, &one(2));
    assert_eq!(moves(&load(&mut core, &effects)), ["serve 3", "serve 4"]);
    assert_eq!(core.status(NOW).state, ServerState::Up);
}

#[test]
fn a_parked_server_whose_reload_fails_is_brought_back_as_it_was() {
    let mut core = serving(&one(2));
    let _ = core.handle(NOW, Event::Wanted { wish: Wish::Park, asker: None });
    let _ = want(&mut core, Wish::Reload { cause: Cause::Command });
    let effects = core.handle(NOW, Event::ConfigRead(Err("no".into())));
    assert_eq!(spawned(&effects).len(), 2);
    assert_eq!(moves(&load(&mut core, &effects)), ["serve 3", "serve 4"]);
}

#[test]
fn a_parked_server_is_stopped_as_any_other() {
    let mut core = serving(&one(1));
    let _ = core.handle(NOW, Event::Wanted { wish: Wish::Park, asker: None });
    let _ = exits(&mut core, 1, Exit::Code(0));
    assert_eq!(want(&mut core, Wish::Stop(Stop::Graceful)).last(), Some(&Effect::Exit(exit::DONE)));
}

#[test]
fn a_terminal_that_is_resized_is_told_of_once() {
    let mut core = serving(&one(1));
    assert_eq!(messages(&core.handle(NOW, Event::Resized)).len(), 1);
    assert!(core.handle(NOW, Event::Resized).is_empty());
}

#[test]
fn who_waits_can_see_how_far_it_is() {
    let told = |core: &Core| core.progress(7).map(|progress| progress.to_string()).unwrap_or_default();
    let mut core = serving(&one(2));
    let _ = want(&mut core, Wish::Reload { cause: Cause::Command });
    assert_eq!(told(&core), "reading the file");
    let _ = core.handle(NOW, Event::ConfigRead(Ok(one(2))));
    assert_eq!(told(&core), "loading: 0 of 2 workers");
    let _ = core.handle(NOW, Event::Loaded { worker: 3 });
    assert_eq!(told(&core), "loading: 1 of 2 workers");
    assert_eq!(core.progress(8), None);
    let _ = core.handle(NOW, Event::Wanted { wish: Wish::Reload { cause: Cause::Command }, asker: Some(8) });
    assert_eq!(core.progress(8).unwrap().to_string(), "waiting for the reload that runs");
    let _ = core.handle(NOW, Event::Loaded { worker: 4 });
    assert_eq!(told(&core), "relieving: 2 old workers left");
    let _ = core.handle(NOW, Event::Left { worker: 1 });
    assert_eq!(told(&core), "relieving: 1 old worker left");
    let _ = core.handle(NOW, Event::Left { worker: 2 });
    assert_eq!(told(&core), "");
    let _ = core.handle(NOW, Event::ConfigRead(Err("no".into())));
    let effects = want(&mut core, Wish::Scale { app: "a".into(), to: Scale::To(3) });
    assert_eq!(told(&core), "scaling: 2 of 3 workers serve");
    let _ = load(&mut core, &effects);
    assert_eq!(told(&core), "");
    let _ = want(&mut core, Wish::Stop(Stop::Graceful));
    assert_eq!(told(&core), "draining: 5 workers left");
}
