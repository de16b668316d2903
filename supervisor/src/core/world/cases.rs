//! Stories that are told one by one.

use std::sync::Arc;
use std::time::Duration;

use monoceros_shared::config::{App, BrokenStart, ClientCertificates, Tls, TlsVersion};
use monoceros_shared::exit;
use monoceros_shared::link::{Failure, Purpose};
use monoceros_shared::tls::{Held, Material};

use super::super::event::{Cause, Event, Exit, LastSeen, Scale, Stop, Wish};
use super::super::line::Value;
use super::super::plan::Plan;
use super::super::status::{AppState, Outcome, ServerState};
use super::super::{Answer, Core, Effect, Recruit, Word, WorkerId};
use super::story::{app, plan_of};

pub const NOW: Duration = Duration::from_secs(1);

/// A server whose workers have all loaded at once.
pub fn serving(plan: &Plan) -> Core {
    let mut core = Core::new(plan.clone(), 1);
    let effects = core.handle(NOW, Event::Start);
    load(&mut core, &effects);
    core
}

pub fn recruits(effects: &[Effect]) -> Vec<Recruit> {
    let recruit = |effect: &Effect| if let Effect::Spawn(recruit) = effect { Some(recruit.clone()) } else { None };
    effects.iter().filter_map(recruit).collect()
}

pub fn spawned(effects: &[Effect]) -> Vec<WorkerId> {
    recruits(effects).into_iter().map(|recruit| recruit.worker).collect()
}

/// Lets all load that were spawned; what the core answers.
pub fn load(core: &mut Core, effects: &[Effect]) -> Vec<Effect> {
    spawned(effects).into_iter().flat_map(|worker| core.handle(NOW, Event::Loaded { worker })).collect()
}

pub fn want(core: &mut Core, wish: Wish) -> Vec<Effect> {
    core.handle(NOW, Event::Wanted { wish, asker: Some(7) })
}

/// Reloads with this file, up to the spawns.
pub fn reload(core: &mut Core, cause: Cause, plan: &Plan) -> Vec<Effect> {
    let effects = want(core, Wish::Reload { cause });
    assert!(effects.contains(&Effect::ReadConfig), "{effects:?}");
    core.handle(NOW, Event::ConfigRead(Ok(plan.clone())))
}

pub fn exits(core: &mut Core, worker: WorkerId, exit: Exit) -> Vec<Effect> {
    core.handle(NOW, Event::Exited { worker, exit, last: LastSeen::default() })
}

pub fn fails(core: &mut Core, worker: WorkerId) -> Vec<Effect> {
    core.handle(NOW, Event::Failed { worker, failure: Failure::new("cannot import a:b", "Traceback") })
}

/// What is done to workers, in order, in short: `serve 3`, `1 to 3`, `drain 1`, `kill 2`.
pub fn moves(effects: &[Effect]) -> Vec<String> {
    let told = |effect: &Effect| match effect {
        Effect::Say { worker, word: Word::Serve } => Some(format!("serve {worker}")),
        Effect::Say { worker, word: Word::Drain } => Some(format!("drain {worker}")),
        Effect::Introduce { from, to } => Some(format!("{from} to {to}")),
        Effect::Kill { worker } => Some(format!("kill {worker}")),
        _ => None,
    };
    effects.iter().filter_map(told).collect()
}

pub fn answers(effects: &[Effect]) -> Vec<Answer> {
    let answer =
        |effect: &Effect| if let Effect::Answer { asker: 7, answer } = effect { Some(answer.clone()) } else { None };
    effects.iter().filter_map(answer).collect()
}

pub fn messages(effects: &[Effect]) -> Vec<&'static str> {
    let message = |effect: &Effect| if let Effect::Log(line) = effect { Some(line.message) } else { None };
    effects.iter().filter_map(message).collect()
}

pub fn one(workers: usize) -> Plan {
    plan_of(vec![app("a", workers, &[1])])
}

#[test]
fn an_application_is_announced_once_when_all_its_workers_serve() {
    let mut core = Core::new(one(2), 1);
    let _ = core.handle(NOW, Event::Start);
    assert!(!messages(&core.handle(NOW, Event::Loaded { worker: 1 })).contains(&"serving"));
    assert!(messages(&core.handle(NOW, Event::Loaded { worker: 2 })).contains(&"serving"));
    let effects = exits(&mut core, 1, Exit::Signal("SIGKILL"));
    assert_eq!(spawned(&effects), [3], "what served is replaced at once");
    assert_eq!(messages(&load(&mut core, &effects)), ["worker serving"]);
}

#[test]
fn a_failed_boot_says_why_and_what_comes_next() {
    let mut core = Core::new(one(1), 1);
    let _ = core.handle(NOW, Event::Start);
    let effects = fails(&mut core, 1);
    let Effect::Log(line) = &effects[0] else { panic!("{effects:?}") };
    assert!(
        line.keys.contains(&("why", "cannot import a:b".into())) && line.keys.contains(&("detail", "Traceback".into()))
    );
    let effects = exits(&mut core, 1, Exit::Code(1));
    let Effect::Log(line) = &effects[0] else { panic!("{effects:?}") };
    let next = |(key, value): &(&str, Value)| {
        *key == "next" && matches!(value, Value::Text(text) if text.starts_with("next try in "))
    };
    assert!(line.keys.iter().any(next), "{line:?}");
    assert!(core.deadline().is_some());
}

#[test]
fn a_boot_that_fails_as_the_one_before_is_told_without_its_traceback() {
    let mut core = Core::new(one(2), 1);
    let _ = core.handle(NOW, Event::Start);
    let keys = |effects: &[Effect]| {
        let Effect::Log(line) = &effects[0] else { panic!("{effects:?}") };
        line.keys
            .iter()
            .map(|(key, _)| *key)
            .filter(|key| ["detail", "same_as_worker"].contains(key))
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&fails(&mut core, 1)), ["detail"]);
    assert_eq!(keys(&fails(&mut core, 2)), ["same_as_worker"]);
    let _ = exits(&mut core, 1, Exit::Code(1));
    let next = spawned(&core.handle(core.deadline().unwrap(), Event::Tick))[0];
    let other = Failure::new("cannot import a:b", "another traceback");
    assert_eq!(keys(&core.handle(NOW, Event::Failed { worker: next, failure: other })), ["detail"]);
    let _ = exits(&mut core, 2, Exit::Code(1));
    let effects = core.handle(core.deadline().unwrap(), Event::Tick);
    let _ = load(&mut core, &effects);
    let effects = exits(&mut core, spawned(&effects)[0], Exit::Code(1));
    assert_eq!(keys(&fails(&mut core, spawned(&effects)[0])), ["detail"], "it has served meanwhile");
}

#[test]
fn a_drain_that_words_cannot_ask_for_is_asked_for_by_signal() {
    let mut core = serving(&one(1));
    let _ = want(&mut core, Wish::Stop(Stop::Graceful));
    let effects = core.handle(NOW, Event::Unreachable { worker: 1, why: String::new() });
    assert!(effects.contains(&Effect::Terminate { worker: 1 }));
}

#[test]
fn a_server_without_workers_stops_at_once() {
    let mut core = Core::new(one(1), 1);
    let _ = core.handle(NOW, Event::Start);
    let _ = core.handle(NOW, Event::NotSpawned { worker: 1, why: String::new() });
    let _ = core.handle(NOW, Event::NotSpawned { worker: 2, why: String::new() });
    let effects = want(&mut core, Wish::Stop(Stop::Graceful));
    assert_eq!(effects.last(), Some(&Effect::Exit(0)));
    assert_eq!(answers(&effects), [Answer::Done("stopped".into())]);
    assert_eq!(core.deadline(), None);
}

#[test]
fn new_workers_serve_before_old_ones_are_introduced_to_them_and_drain() {
    let mut core = serving(&one(2));
    let effects = reload(&mut core, Cause::Signal, &one(2));
    assert_eq!(spawned(&effects), [3, 4]);
    assert!(moves(&core.handle(NOW, Event::Loaded { worker: 4 })).is_empty(), "adopted before all have loaded");
    let effects = core.handle(NOW, Event::Loaded { worker: 3 });
    assert_eq!(moves(&effects), ["serve 3", "serve 4", "1 to 4", "drain 1", "2 to 3", "drain 2"]);
    assert_eq!(answers(&effects), [], "an old worker may still accept");
    assert_eq!(core.status(NOW).state, ServerState::Relieving);
    assert_eq!(answers(&core.handle(NOW, Event::Left { worker: 1 })), []);
    let effects = core.handle(NOW, Event::Left { worker: 2 });
    assert_eq!(answers(&effects), [Answer::Done("generation 2 serves".into())]);
    assert_eq!(messages(&effects), ["reloaded"]);
    assert_eq!(core.status(NOW).state, ServerState::Draining);
    let _ = exits(&mut core, 1, Exit::Code(0));
    assert!(spawned(&exits(&mut core, 2, Exit::Code(0))).is_empty(), "an old worker is replaced");
    assert_eq!(core.status(NOW).state, ServerState::Up);
}

#[test]
fn a_file_that_cannot_be_read_changes_nothing_and_is_told() {
    let mut core = serving(&one(1));
    let _ = want(&mut core, Wish::Reload { cause: Cause::Command });
    let effects = core.handle(NOW, Event::ConfigRead(Err("server.yaml:1:1: no".into())));
    let expected = Answer::Failed { why: "server.yaml:1:1: no".into(), detail: String::new() };
    assert_eq!((answers(&effects), effects.len()), (vec![expected], 2), "{effects:?}");
    let last = core.status(NOW).last_reload.unwrap();
    assert_eq!(
        (last.outcome, last.why.as_str(), last.cause),
        (Outcome::Abandoned, "server.yaml:1:1: no", Cause::Command)
    );
}

#[test]
fn a_failed_worker_ends_the_reload_with_its_traceback_and_the_other_new_workers() {
    let mut core = serving(&one(2));
    let _ = reload(&mut core, Cause::Signal, &one(2));
    let effects = fails(&mut core, 3);
    assert_eq!(answers(&effects), [Answer::Failed { why: "cannot import a:b".into(), detail: "Traceback".into() }]);
    assert_eq!(moves(&effects), ["kill 4"]);
    assert!(spawned(&exits(&mut core, 3, Exit::Code(1))).is_empty(), "a worker of an abandoned reload is replaced");
    let effects = reload(&mut core, Cause::Signal, &one(1));
    assert_eq!(recruits(&effects)[0].generation, 3, "a generation's number is used again");
}

#[test]
fn a_new_worker_that_dies_loaded_and_not_adopted_ends_the_reload() {
    let mut core = serving(&one(2));
    let _ = reload(&mut core, Cause::Signal, &one(2));
    let _ = core.handle(NOW, Event::Loaded { worker: 3 });
    let effects = exits(&mut core, 3, Exit::Signal("SIGKILL"));
    let why = "worker 3 exited before it was ready: SIGKILL".to_owned();
    assert_eq!(answers(&effects), [Answer::Failed { why, detail: String::new() }]);
}

#[test]
fn wishes_that_come_while_a_reload_runs_fold_into_one_that_answers_all() {
    let mut core = serving(&one(1));
    let first = reload(&mut core, Cause::Signal, &one(1));
    for asker in [8, 9] {
        let wish = Wish::Reload { cause: Cause::FileChanged };
        assert!(core.handle(NOW, Event::Wanted { wish, asker: Some(asker) }).is_empty());
    }
    let effects = load(&mut core, &first);
    assert_eq!(effects.iter().filter(|effect| **effect == Effect::ReadConfig).count(), 1);
    let effects = core.handle(NOW, Event::ConfigRead(Err("no".into())));
    assert_eq!(effects.iter().filter(|effect| matches!(effect, Effect::Answer { asker: 8 | 9, .. })).count(), 2);
    assert!(!effects.contains(&Effect::ReadConfig));
}

#[test]
fn a_reload_waits_while_too_many_generations_drain() {
    let mut core = serving(&one(1));
    for worker in 2..6 {
        let effects = reload(&mut core, Cause::Signal, &one(1));
        assert_eq!(spawned(&effects), [worker]);
        let _ = load(&mut core, &effects);
    }
    assert!(want(&mut core, Wish::Reload { cause: Cause::Signal }).is_empty());
    assert!(exits(&mut core, 1, Exit::Code(0)).contains(&Effect::ReadConfig));
}

#[test]
fn a_changed_file_replaces_only_what_differs_in_it_and_scales_what_has_another_number() {
    let old = vec![app("a", 1, &[1]), app("b", 1, &[2]), app("c", 1, &[3])];
    let mut core = serving(&plan_of(old.clone()));
    let environment = [("COLOUR".to_owned(), "blue".to_owned())].into();
    let new = vec![old[0].clone(), App { environment, ..old[1].clone() }, App { workers: 2, ..old[2].clone() }];
    let effects = reload(&mut core, Cause::FileChanged, &plan_of(new));
    assert_eq!(recruits(&effects).iter().map(|recruit| recruit.app.name()).collect::<Vec<_>>(), ["b"]);
    let effects = load(&mut core, &effects);
    assert_eq!(moves(&effects), ["serve 4", "2 to 4", "drain 2"]);
    let more = recruits(&effects);
    assert_eq!((more.len(), more[0].app.name(), more[0].generation), (1, "c", 1));
}

#[test]
fn changed_code_takes_the_config_that_the_application_has() {
    let mut core = serving(&plan_of(vec![app("a", 1, &[1]), app("b", 1, &[2])]));
    let code = |app: &str| Wish::Reload { cause: Cause::CodeChanged { app: app.into(), path: "b.py".into() } };
    let effects = want(&mut core, code("b"));
    assert!(!effects.contains(&Effect::ReadConfig));
    assert_eq!(recruits(&effects).iter().map(|recruit| recruit.app.name()).collect::<Vec<_>>(), ["b"]);
    let _ = load(&mut core, &effects);
    assert!(matches!(answers(&want(&mut core, code("x")))[..], [Answer::Failed { .. }]));
}

#[test]
fn listeners_are_bound_before_workers_are_spawned_and_closed_after_the_drain() {
    let mut core = serving(&one(1));
    let new = plan_of(vec![app("a", 1, &[2])]);
    let effects = reload(&mut core, Cause::Signal, &new);
    let listeners = new.apps[0].app.listen.clone();
    assert_eq!(effects, [Effect::Bind { listeners }]);
    let effects = core.handle(NOW, Event::Bound);
    let effects = load(&mut core, &effects);
    let closed = |effects: &[Effect]| effects.iter().any(|effect| matches!(effect, Effect::Unbind { .. }));
    assert!(!closed(&effects), "closed before the drain");
    assert!(closed(&exits(&mut core, 1, Exit::Code(0))));
}

#[test]
fn an_address_that_is_taken_changes_nothing() {
    let mut core = serving(&one(1));
    let _ = reload(&mut core, Cause::Signal, &plan_of(vec![app("a", 1, &[1, 2])]));
    let effects = core.handle(NOW, Event::NotBound { why: "cannot bind".into() });
    assert!(matches!(answers(&effects)[..], [Answer::Failed { .. }]));
    assert!(spawned(&effects).is_empty() && moves(&effects).is_empty());
}

#[test]
fn what_was_bound_for_a_reload_that_fails_is_closed() {
    let mut core = serving(&one(1));
    let _ = reload(&mut core, Cause::Signal, &plan_of(vec![app("a", 1, &[1, 2])]));
    let _ = core.handle(NOW, Event::Bound);
    let effects = fails(&mut core, 2);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Unbind { addresses } if addresses.len() == 1)));
}

#[test]
fn a_listener_that_stays_takes_its_new_backlog_at_the_adoption() {
    let mut core = serving(&one(1));
    let mut changed = app("a", 1, &[1]);
    changed.listen[0].backlog = 77;
    let effects = reload(&mut core, Cause::FileChanged, &plan_of(vec![changed]));
    let adjusts = |effects: &[Effect]| effects.iter().any(|effect| matches!(effect, Effect::Adjust { .. }));
    assert!(!adjusts(&effects));
    assert!(adjusts(&load(&mut core, &effects)));
}

#[test]
fn a_renewed_certificate_reaches_the_workers_that_stay_and_replaces_none() {
    let sealed = |serial: u8| {
        let mut app = app("a", 2, &[1]);
        let material = Material::new(Held { credentials: Vec::new(), authorities: vec![vec![serial]] });
        let files = vec![("a.pem".into(), "a.key".into())];
        app.listen[0].tls = Some(Tls {
            certificates: files,
            client_certificates: ClientCertificates::None,
            client_authorities: Vec::new(),
            min_version: TlsVersion::Tls12,
            material,
        });
        plan_of(vec![app])
    };
    let mut core = serving(&sealed(1));
    let effects = reload(&mut core, Cause::FileChanged, &sealed(1));
    let certified = |effects: &[Effect]| -> Vec<WorkerId> {
        let worker = |effect: &Effect| if let Effect::Certify { worker, .. } = effect { Some(*worker) } else { None };
        effects.iter().filter_map(worker).collect()
    };
    assert_eq!(certified(&effects), Vec::<WorkerId>::new(), "they are the same");
    let effects = reload(&mut core, Cause::FileChanged, &sealed(2));
    assert_eq!(certified(&effects), [1, 2]);
    assert!(spawned(&effects).is_empty() && moves(&effects).is_empty());
    let _ = exits(&mut core, 1, Exit::Signal("SIGKILL"));
    let effects = reload(&mut core, Cause::Signal, &sealed(3));
    assert_eq!(certified(&effects), Vec::<WorkerId>::new(), "all are replaced, with the new one");
    let held =
        |recruit: &Recruit| recruit.app.app.listen[0].tls.as_ref().unwrap().material.held().unwrap().authorities[0][0];
    assert!(recruits(&effects).iter().all(|recruit| held(recruit) == 3));
}

#[test]
fn an_application_that_is_added_or_removed_touches_no_other() {
    let (a, b) = (app("a", 1, &[1]), app("b", 1, &[2]));
    let mut core = serving(&plan_of(vec![a.clone(), b.clone()]));
    let effects = reload(&mut core, Cause::FileChanged, &plan_of(vec![a.clone()]));
    assert_eq!(moves(&effects), ["drain 2"]);
    let _ = exits(&mut core, 2, Exit::Code(0));
    let _ = reload(&mut core, Cause::FileChanged, &plan_of(vec![a, b]));
    let effects = core.handle(NOW, Event::Bound);
    assert_eq!(spawned(&effects), [3]);
    assert_eq!(moves(&load(&mut core, &effects)), ["serve 3"]);
}

#[test]
fn a_surge_replaces_workers_one_by_one() {
    let mut rolling = app("a", 3, &[1]);
    rolling.reload.surge = Some(1);
    let plan = plan_of(vec![rolling]);
    let mut core = Core::new(plan.clone(), 1);
    let mut effects = core.handle(NOW, Event::Start);
    for worker in [1, 2, 3] {
        assert_eq!(spawned(&effects), [worker], "one at a time");
        effects = load(&mut core, &effects);
    }
    let mut effects = reload(&mut core, Cause::Signal, &plan);
    for (new, old) in [(4, 1), (5, 2), (6, 3)] {
        assert_eq!(spawned(&effects), [new]);
        effects = load(&mut core, &effects);
        let moved = moves(&effects);
        assert_eq!(
            (moved[0].as_str(), moved[2].as_str()),
            (format!("serve {new}").as_str(), format!("drain {old}").as_str())
        );
    }
    assert!(spawned(&effects).is_empty());
}

#[test]
fn a_scale_outlives_reloads_until_the_file_says_another_number() {
    let mut core = serving(&one(1));
    let effects = want(&mut core, Wish::Scale { app: "a".into(), to: Scale::To(3) });
    assert!(answers(&effects).is_empty(), "answered before it has happened");
    assert_eq!(answers(&load(&mut core, &effects)), [Answer::Done("a: 3 workers".into())]);
    let effects = reload(&mut core, Cause::Signal, &one(1));
    assert_eq!(spawned(&effects).len(), 3);
    let _ = load(&mut core, &effects);
    let effects = reload(&mut core, Cause::Signal, &one(2));
    assert_eq!(spawned(&effects).len(), 2);
}

#[test]
fn scaling_down_hands_over_to_one_that_stays_and_never_ends_the_last() {
    let mut core = serving(&one(2));
    let effects = want(&mut core, Wish::ScaleAll { to: Scale::Less });
    assert_eq!(moves(&effects), ["2 to 1", "drain 2"]);
    assert_eq!(answers(&effects), [Answer::Done("a: 1 worker".into())]);
    let effects = want(&mut core, Wish::ScaleAll { to: Scale::Less });
    assert!(moves(&effects).is_empty() && matches!(answers(&effects)[..], [Answer::Failed { .. }]));
}

#[test]
fn a_scale_whose_worker_fails_is_answered_with_its_traceback() {
    let mut core = serving(&one(1));
    let _ = want(&mut core, Wish::ScaleAll { to: Scale::More });
    let effects = fails(&mut core, 2);
    assert_eq!(answers(&effects), [Answer::Failed { why: "cannot import a:b".into(), detail: "Traceback".into() }]);
}

#[test]
fn a_first_boot_that_fails_is_apologised_for_until_one_succeeds() {
    let mut core = Core::new(one(1), 1);
    let _ = core.handle(NOW, Event::Start);
    let apology = recruits(&fails(&mut core, 1));
    let Purpose::Apologise(page) = &apology[0].purpose else { panic!("{apology:?}") };
    assert!(page.contains("Traceback"), "{page}");
    let _ = core.handle(NOW, Event::Loaded { worker: 2 });
    let _ = exits(&mut core, 1, Exit::Code(1));
    assert_eq!(core.status(NOW).apps[0].state, AppState::Broken);
    let retry = core.deadline().unwrap();
    let effects = core.handle(retry, Event::Tick);
    assert_eq!(spawned(&effects), [3]);
    assert_eq!(moves(&load(&mut core, &effects)), ["serve 3", "2 to 3", "drain 2"]);
}

#[test]
fn an_apology_tells_the_newest_traceback() {
    let mut core = Core::new(one(2), 1);
    let _ = core.handle(NOW, Event::Start);
    let _ = fails(&mut core, 1);
    let _ = core.handle(NOW, Event::Loaded { worker: 3 });
    let effects = core.handle(NOW, Event::Failed { worker: 2, failure: Failure::new("cannot import a:b", "Newer") });
    assert_eq!(moves(&effects), ["drain 3"]);
    let Purpose::Apologise(text) = &recruits(&effects)[0].purpose else { panic!("{effects:?}") };
    assert!(text.contains("Newer"), "{text}");
}

#[test]
fn a_reload_heals_an_application_that_never_served() {
    let mut core = Core::new(one(1), 1);
    let _ = core.handle(NOW, Event::Start);
    let _ = fails(&mut core, 1);
    let _ = core.handle(NOW, Event::Loaded { worker: 2 });
    let effects = reload(&mut core, Cause::Signal, &one(1));
    assert_eq!(moves(&load(&mut core, &effects)), ["serve 3", "2 to 3", "drain 2"]);
}

#[test]
fn strangers_are_not_shown_the_traceback() {
    let mut plan = one(1);
    plan.manner = super::super::plan::Manner::Production;
    let mut core = Core::new(plan, 1);
    let _ = core.handle(NOW, Event::Start);
    assert_eq!(recruits(&fails(&mut core, 1))[0].purpose, Purpose::Apologise(String::new()));
}

#[test]
fn who_asks_for_it_has_the_server_end_when_the_first_boot_fails() {
    let mut app = app("a", 2, &[1]);
    app.on_broken_start = BrokenStart::Exit;
    let mut core = Core::new(plan_of(vec![app]), 1);
    let _ = core.handle(NOW, Event::Start);
    assert_eq!(moves(&fails(&mut core, 1)), ["kill 2"]);
    let _ = exits(&mut core, 1, Exit::Code(1));
    assert_eq!(exits(&mut core, 2, Exit::Signal("SIGKILL")).last(), Some(&Effect::Exit(exit::FAILED)));
}

#[test]
fn a_worn_worker_is_replaced_before_it_goes_and_one_at_a_time() {
    let mut app = app("a", 2, &[1]);
    app.recycle.requests = Some(100);
    let mut core = serving(&plan_of(vec![app]));
    assert!(core.handle(NOW, Event::Observed { worker: 1, requests: 89, memory: 0 }).is_empty());
    let effects = core.handle(NOW, Event::Observed { worker: 1, requests: 111, memory: 0 });
    assert_eq!(spawned(&effects), [3]);
    assert!(moves(&effects).is_empty());
    assert!(spawned(&core.handle(NOW, Event::Observed { worker: 2, requests: 111, memory: 0 })).is_empty());
    let effects = load(&mut core, &effects);
    let moved = moves(&effects);
    assert!(moved[0] == "serve 3" && moved[1].starts_with("1 to ") && moved[2] == "drain 1", "{moved:?}");
    assert_eq!(spawned(&effects), [4], "the next in its turn");
}

#[test]
fn a_spare_that_fails_costs_nobody_and_is_tried_again_later() {
    let mut app = app("a", 1, &[1]);
    app.recycle.age = Some(Duration::from_secs(100));
    let mut core = serving(&plan_of(vec![app]));
    let due = core.deadline().unwrap();
    assert!((90..=112).contains(&due.as_secs()), "{due:?}");
    assert_eq!(spawned(&core.handle(due, Event::Tick)), [2]);
    let _ = core.handle(due, Event::Failed { worker: 2, failure: Failure::new("no", "") });
    let effects = core.handle(due, Event::Exited { worker: 2, exit: Exit::Code(1), last: LastSeen::default() });
    assert!(spawned(&effects).is_empty() && moves(&effects).is_empty());
    let again = core.deadline().unwrap();
    assert!(again > due);
    assert_eq!(spawned(&core.handle(again, Event::Tick)), [3]);
}

#[test]
fn a_worn_worker_that_dies_leaves_its_place_to_its_spare() {
    let mut app = app("a", 1, &[1]);
    app.recycle.requests = Some(100);
    let mut core = serving(&plan_of(vec![app]));
    let _ = core.handle(NOW, Event::Observed { worker: 1, requests: 200, memory: 0 });
    assert!(spawned(&exits(&mut core, 1, Exit::Signal("SIGKILL"))).is_empty());
    assert_eq!(moves(&core.handle(NOW, Event::Loaded { worker: 2 })), ["serve 2"]);
}

#[test]
fn a_stop_serves_on_for_the_longest_delay_unless_it_is_asked_for_again() {
    let mut delayed = app("a", 1, &[1]);
    delayed.timeouts.drain_delay = Duration::from_secs(9);
    let plan = plan_of(vec![delayed, app("b", 1, &[2])]);
    for again in [false, true] {
        let mut core = serving(&plan);
        let stop = || Event::Wanted { wish: Wish::Stop(Stop::Graceful), asker: None };
        assert!(moves(&core.handle(NOW, stop())).is_empty());
        assert_eq!(core.status(NOW).state, ServerState::Lingering);
        assert_eq!(spawned(&exits(&mut core, 1, Exit::Signal("SIGKILL"))).len(), 1, "it serves as ever");
        assert!(matches!(
            answers(&want(&mut core, Wish::Reload { cause: Cause::Command }))[..],
            [Answer::Failed { .. }]
        ));
        let _ = core.handle(NOW, Event::Loaded { worker: 3 });
        assert_eq!(core.deadline(), Some(NOW + Duration::from_secs(9)));
        let effects = if again { core.handle(NOW, stop()) } else { core.handle(core.deadline().unwrap(), Event::Tick) };
        assert_eq!(moves(&effects), ["drain 2", "drain 3"]);
    }
}

#[test]
fn a_stop_ends_the_reload_that_runs_and_the_one_that_waits() {
    let mut core = serving(&one(1));
    let _ = reload(&mut core, Cause::Signal, &one(1));
    let _ = want(&mut core, Wish::Reload { cause: Cause::Signal });
    let effects = want(&mut core, Wish::Stop(Stop::Graceful));
    assert_eq!(answers(&effects).len(), 2);
    assert_eq!(moves(&effects), ["kill 2", "drain 1"]);
}

#[test]
fn a_place_in_the_file_is_no_difference() {
    let plan = one(1);
    let mut moved = App::clone(&plan.apps[0].app);
    moved.hooks_place = Some(monoceros_shared::config::Place { line: 9, column: 9 });
    moved.wsgi_place = Some(monoceros_shared::config::Place { line: 9, column: 9 });
    let mut core = serving(&plan);
    let mut new = plan;
    new.apps[0].app = Arc::new(moved);
    let effects = reload(&mut core, Cause::FileChanged, &new);
    assert!(spawned(&effects).is_empty());
    assert!(matches!(answers(&effects)[..], [Answer::Done(_)]));
}
