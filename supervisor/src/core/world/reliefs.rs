//! Stories of how a reload ends: its old workers leave, or cannot.

use super::super::event::{Cause, Event, Exit, Wish};
use super::super::plan::Plan;
use super::super::status::ServerState;
use super::super::{Answer, Core, Effect};
use super::DRAIN;
use super::cases::{NOW, answers, exits, fails, load, messages, moves, one, reload, serving, spawned, want};
use super::story::{app, plan_of};

/// A server whose second generation serves, and whose two old workers have not left.
fn adopted() -> Core {
    let mut core = serving(&one(2));
    let effects = reload(&mut core, Cause::Command, &one(2));
    assert_eq!(answers(&load(&mut core, &effects)), []);
    core
}

fn rolling() -> Plan {
    let mut app = app("a", 2, &[1]);
    app.reload.surge = Some(1);
    plan_of(vec![app])
}

fn done(generation: u64) -> [Answer; 1] {
    [Answer::Done(format!("generation {generation} serves"))]
}

#[test]
fn an_old_worker_that_dies_has_left() {
    let mut core = adopted();
    let _ = core.handle(NOW, Event::Left { worker: 1 });
    assert_eq!(answers(&exits(&mut core, 2, Exit::Signal("SIGKILL"))), done(2));
}

#[test]
fn an_old_worker_that_hangs_holds_the_answer_no_longer_than_its_drain() {
    let mut core = adopted();
    let _ = core.handle(NOW, Event::Left { worker: 1 });
    let until = core.deadline().unwrap();
    assert_eq!(until, NOW + DRAIN);
    let effects = core.handle(until, Event::Tick);
    assert!(effects.contains(&Effect::Kill { worker: 2 }), "{effects:?}");
    assert_eq!(answers(&effects), done(2));
}

#[test]
fn who_rolls_is_answered_when_the_last_old_worker_has_left() {
    let mut core = serving(&one(2));
    let effects = reload(&mut core, Cause::Command, &rolling());
    let effects = load(&mut core, &effects);
    assert_eq!(moves(&effects), ["serve 3", "1 to 3", "drain 1"]);
    assert_eq!(answers(&core.handle(NOW, Event::Left { worker: 1 })), [], "worker 2 serves");
    let effects = load(&mut core, &effects);
    assert_eq!(moves(&effects), ["serve 4", "2 to 3", "drain 2"]);
    assert_eq!(answers(&core.handle(NOW, Event::Left { worker: 2 })), done(2));
}

#[test]
fn a_roll_that_cannot_go_on_is_told_as_that_and_goes_on_when_it_can() {
    let mut core = serving(&one(2));
    let effects = reload(&mut core, Cause::Command, &rolling());
    let effects = load(&mut core, &effects);
    let _ = core.handle(NOW, Event::Left { worker: 1 });
    assert_eq!(spawned(&effects), [4]);
    let effects = fails(&mut core, 4);
    assert_eq!(messages(&effects), ["worker failed to boot", "reload unfinished"]);
    let [Answer::Failed { why, .. }] = &answers(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(why, "generation 2 serves beside old workers: cannot import a:b");
    let _ = exits(&mut core, 4, Exit::Code(1));
    let again = core.handle(core.deadline().unwrap(), Event::Tick);
    assert_eq!(moves(&load(&mut core, &again)), ["serve 5", "2 to 3", "drain 2"]);
}

#[test]
fn the_next_reload_waits_for_no_old_worker() {
    let mut core = adopted();
    let effects = reload(&mut core, Cause::Command, &one(2));
    let _ = load(&mut core, &effects);
    assert_eq!(core.status(NOW).state, ServerState::Relieving);
    let left = |core: &mut Core, worker| answers(&core.handle(NOW, Event::Left { worker }));
    for worker in [3, 4, 1] {
        assert_eq!(left(&mut core, worker), []);
    }
    assert_eq!(left(&mut core, 2), [done(2), done(3)].concat());
}

#[test]
fn an_upgrade_waits_until_who_asked_for_the_reload_is_answered() {
    let mut core = adopted();
    assert!(!want(&mut core, Wish::Upgrade).contains(&Effect::Preflight));
    let _ = core.handle(NOW, Event::Left { worker: 1 });
    let effects = core.handle(NOW, Event::Left { worker: 2 });
    assert!(effects.contains(&Effect::Preflight), "{effects:?}");
}
