//! A storm: deploys, one after the other and into one another, while clients ask.
//!
//! ```text
//!   calm ──> deploy ── tell the server ──┬─ wait for what comes of it ─┬──> deploy ... ──> a last good one ──> newest?
//!                                        └─ or only for some answers ──┘
//! ```
//!
//! It ends early, without complaint, when the server has ended or `limit` has passed: peers do.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::clients::{ANNOUNCED, Habit, Idlers, Loss, Tally, Weather, send};
use super::deploys::{Deploy, Ground};
use super::victims::Victim;
use crate::harness::{Client, Dice, Server, within};

/// How long anything may take that ends within moments where it ends at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a storm is like.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// Of all choices.
    pub seed: u64,
    /// Deploys, broken ones included.
    pub reloads: usize,
    /// Connections that ask once before and once after.
    pub idle: usize,
    /// Clients of each other habit.
    pub each: usize,
    /// Clients whose calls take their time.
    pub slow: usize,
    /// Answers before the first deploy.
    pub calm: usize,
    /// Whether a third of the deploys are broken.
    pub broken: bool,
    /// Whether workers that serve are killed.
    pub kills: bool,
    /// No deploy begins after this.
    pub limit: Duration,
}

impl Default for Storm {
    fn default() -> Storm {
        let limit = Duration::from_secs(60);
        Storm { seed: 1, reloads: 20, idle: 50, each: 2, slow: 0, calm: 300, broken: true, kills: false, limit }
    }
}

/// What came of a storm.
#[derive(Debug)]
pub struct Outcome {
    /// What all clients were given and denied.
    pub tally: Tally,
    /// Deploys.
    pub deploys: usize,
    /// Those of them that were broken.
    pub broken: usize,
    /// The server still runs.
    pub alive: bool,
    /// Every new connection gets the newest good deploy.
    pub newest: bool,
    /// Workers that were killed while they served.
    pub victims: Vec<Victim>,
    /// From the first deploy to the last.
    pub took: Duration,
}

impl Outcome {
    /// Losses that no killed worker accounts for, and that were not announced in a whole answer.
    pub fn unaccounted(&self) -> Vec<&Loss> {
        let failed = self.tally.failed.iter();
        let closed = self.tally.closed.iter().filter(|loss| loss.seen != ANNOUNCED);
        failed.chain(closed).filter(|loss| !self.is_accounted(loss)).collect()
    }

    /// Connections that ended with a whole answer that said so, and that no killed worker held. Known fault: an old worker whose
    /// heir is killed has no other, and ends what it still holds.
    pub fn announced(&self) -> usize {
        let closed = self.tally.closed.iter();
        closed.filter(|loss| loss.seen == ANNOUNCED && !self.is_accounted(loss)).count()
    }

    fn is_accounted(&self, loss: &Loss) -> bool {
        self.victims.iter().any(|victim| victim.accounts_for(loss.port, loss.at))
    }
}

impl Storm {
    /// Rages over a server until it is over.
    pub fn rage(self, server: &Server) -> Outcome {
        eprintln!("CHAOS_SEED={}", self.seed);
        raise_the_descriptor_limit();
        let weather = &Weather::default();
        let idlers = Idlers::come(server.address(), self.idle);
        let mut eye = Eye::new(self, server, weather);
        let habits = [Habit::Get, Habit::Halves, Habit::Stream, Habit::Pipeline, Habit::Fresh];
        let tally = thread::scope(|scope| {
            let clients: Vec<_> = habits
                .into_iter()
                .flat_map(|habit| (0..self.each).map(move |_| habit))
                .chain((0..self.slow).map(|_| Habit::Slow))
                .map(|habit| send(scope, server.address(), habit, weather))
                .collect();
            let evening = Evening(weather);
            eye.deploy_all();
            drop(evening);
            clients
                .into_iter()
                .map(|client| client.join().expect("no client panics"))
                .fold(Tally::default(), Tally::add)
        });
        Outcome {
            tally: tally.add(idlers.ask_again()),
            deploys: eye.deploys,
            broken: eye.broken,
            alive: server.process().status().is_none(),
            newest: eye.is_newest_everywhere(),
            victims: eye.victims,
            took: eye.took,
        }
    }
}

/// Sends the clients home when it ends, by a failure too: nobody else would, and they would be waited for.
pub struct Evening<'a>(pub &'a Weather);

impl Drop for Evening<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

/// A thousand connections are more than a shell's usual limit, on both sides.
fn raise_the_descriptor_limit() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit can be read");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("a soft limit can be raised to the hard one");
}

/// Who deploys.
struct Eye<'a> {
    storm: Storm,
    server: &'a Server,
    weather: &'a Weather,
    ground: Ground<'a>,
    dice: Dice,
    /// The newest good version.
    version: usize,
    deploys: usize,
    broken: usize,
    victims: Vec<Victim>,
    took: Duration,
}

impl Eye<'_> {
    fn new<'a>(storm: Storm, server: &'a Server, weather: &'a Weather) -> Eye<'a> {
        Eye {
            storm,
            server,
            weather,
            ground: Ground::of(server),
            dice: Dice::new(storm.seed),
            version: 0,
            deploys: 0,
            broken: 0,
            victims: Vec::new(),
            took: Duration::ZERO,
        }
    }

    fn deploy_all(&mut self) {
        self.let_pass(self.storm.calm);
        let begun = Instant::now();
        self.weather.stormy.store(true, Ordering::Relaxed);
        while self.deploys < self.storm.reloads && self.is_running() && begun.elapsed() < self.storm.limit {
            let answers = self.dice.below(150);
            self.let_pass(answers);
            self.deploy();
            if self.storm.kills && self.dice.below(3) == 0 {
                self.kill_a_worker();
            }
        }
        if self.is_running() {
            self.deploy_good(true);
        }
        self.took = begun.elapsed();
        self.weather.stormy.store(false, Ordering::Relaxed);
    }

    fn is_running(&self) -> bool {
        self.server.process().status().is_none()
    }

    /// Lets so many answers pass.
    fn let_pass(&self, answers: usize) {
        let until = self.weather.answers.load(Ordering::Relaxed) + answers;
        let passed = || (self.weather.answers.load(Ordering::Relaxed) >= until || !self.is_running()).then_some(());
        // A peer that answers nothing any more is not waited for.
        let _ = within(PATIENCE, passed);
    }

    fn deploy(&mut self) {
        self.deploys += 1;
        let waits = self.dice.below(3) > 0;
        if !self.storm.broken || self.dice.below(3) > 0 {
            return self.deploy_good(waits);
        }
        self.broken += 1;
        let kinds = if self.ground.has_yaml() { &Deploy::BROKEN[..] } else { &Deploy::BROKEN[..3] };
        let kind = kinds[self.dice.below(kinds.len())];
        if kind == Deploy::Killed {
            // Only now is it sure that whoever hangs has not been adopted, and is of this deploy.
            self.settle();
            self.ground.forget_hanging();
        }
        let before = self.outcomes();
        self.ground.place(kind, self.version);
        self.server.signal(Signal::SIGHUP);
        if kind == Deploy::Killed {
            self.wait_for("a worker to hang", || !self.ground.hanging().is_empty());
            // All that hang: one may stand in for a worker that was killed while it served, and is not of this reload.
            self.wait_for("the reload to be decided", || {
                let ours = self.server.process().session();
                let hanging: Vec<Pid> =
                    self.ground.hanging().into_iter().filter(|pid| ours.contains(&pid.as_raw())).collect();
                // Each may be gone by now: somebody else has killed it.
                for &pid in &hanging {
                    let _ = kill(pid, Signal::SIGKILL);
                }
                self.outcomes() > before || (!self.ground.has_yaml() && hanging.is_empty())
            });
        } else if waits {
            self.wait_for("the reload to be decided", || self.outcomes() > before);
        }
    }

    fn deploy_good(&mut self, waits: bool) {
        self.version += 1;
        self.ground.place(Deploy::Good, self.version);
        if waits && self.ground.has_yaml() && self.dice.below(2) == 0 {
            let (status, said) = self.server.command(&["reload", "--wait"]);
            assert!(status == 0 || self.storm.kills, "a good deploy was refused: {said}");
            return;
        }
        self.server.signal(Signal::SIGHUP);
        if waits {
            self.wait_for("the newest version to answer", || self.seen_version() == Some(self.version));
        }
    }

    /// Waits for a fact, for as long as a peer may need; ours must not need longer.
    fn wait_for(&self, what: &str, fact: impl Fn() -> bool) {
        let found = within(PATIENCE, || (fact() || !self.is_running()).then_some(()));
        assert!(found.is_ok() || !self.ground.has_yaml(), "waited {PATIENCE:?} in vain for {what}");
    }

    /// Waits until no reload is under way.
    fn settle(&self) {
        if self.ground.has_yaml() {
            self.wait_for("no reload to be under way", || self.server.status()["state"] != "reloading");
        }
    }

    /// How many reloads have been decided, in either way; a peer does not say.
    fn outcomes(&self) -> usize {
        if self.ground.has_yaml() { self.server.count("reloaded") + self.server.count("reload abandoned") } else { 0 }
    }

    fn seen_version(&self) -> Option<usize> {
        let mut client = Client::try_connect(self.server.address()).ok()?;
        client.try_send("GET /version HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").ok()?;
        let answer = client.try_answer("GET").ok()?;
        answer.text().split(' ').nth(1)?.parse().ok()
    }

    /// Whether twenty connections in a row get the newest version, soon.
    fn is_newest_everywhere(&self) -> bool {
        let newest = || (0..20).all(|_| self.seen_version() == Some(self.version)).then_some(());
        self.is_running() && within(PATIENCE, newest).is_ok()
    }

    fn kill_a_worker(&mut self) {
        let workers = self.server.workers();
        if workers.is_empty() {
            return;
        }
        // Whoever is killed can be replaced: without code that works nobody could be served, once all were killed.
        self.ground.place(Deploy::Good, self.version);
        let pid = workers[self.dice.below(workers.len())];
        self.victims.extend(Victim::kill(self.server, pid));
    }
}
