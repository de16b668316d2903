//! Supervisors come and go under clients: killed and followed, upgraded by command and by signal, with deploys between them.
//!
//! ```text
//!   calm ──> deploy | upgrade | USR2 | kill -9, then the next | both at once ──> ... ──> a last good deploy ──> newest?
//! ```

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::clients::{Habit, Idlers, Tally, Weather, send};
use super::deploys::{Deploy, Ground};
use crate::harness::{Client, Dice, Process, Server, eventually, within};

/// How long anything may take that ends within moments where it ends at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// What befalls a supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Deploy,
    Upgrade,
    Signal,
    Death,
    /// Killed in the middle of an upgrade or of a reload.
    DeathInBetween,
}

impl Fate {
    const ALL: [Fate; 5] = [Fate::Deploy, Fate::Upgrade, Fate::Signal, Fate::Death, Fate::DeathInBetween];
}

/// A server, through the hands of its supervisors.
pub struct Reign<'a> {
    server: &'a Server,
    weather: &'a Weather,
    ground: Ground<'a>,
    dice: Dice,
    version: usize,
    /// Those after the first; the workers of one that is killed are in its session, and live on.
    supervisors: Vec<Process>,
}

/// What came of it.
pub struct Outcome {
    /// What all clients were given and denied.
    pub tally: Tally,
    /// Every new connection gets the newest deploy.
    pub newest: bool,
    /// The supervisors after the first.
    pub supervisors: Vec<Process>,
}

/// So many turns of fate; every choice comes from the seed.
pub fn reign(server: &Server, seed: u64, turns: usize) -> Outcome {
    eprintln!("CHAOS_SEED={seed}");
    let weather = &Weather::default();
    let idlers = Idlers::come(server.address(), 30);
    let ground = Ground::of(server);
    let mut reign = Reign { server, weather, ground, dice: Dice::new(seed), version: 0, supervisors: Vec::new() };
    let habits = [Habit::Get, Habit::Halves, Habit::Stream, Habit::Pipeline, Habit::Fresh];
    let tally = thread::scope(|scope| {
        let clients: Vec<_> = habits.map(|habit| send(scope, server.address(), habit, weather)).into_iter().collect();
        let evening = super::storm::Evening(weather);
        reign.pass(turns);
        drop(evening);
        clients.into_iter().map(|client| client.join().expect("no client panics")).fold(Tally::default(), Tally::add)
    });
    let newest = reign.is_newest_everywhere();
    Outcome { tally: tally.add(idlers.ask_again()), newest, supervisors: reign.supervisors }
}

impl Reign<'_> {
    fn pass(&mut self, turns: usize) {
        self.let_pass(200);
        for turn in 0..turns {
            let answers = self.dice.below(100);
            self.let_pass(answers);
            // Each once, then as it comes.
            let fate = Fate::ALL.get(turn).copied().unwrap_or_else(|| Fate::ALL[self.dice.below(Fate::ALL.len())]);
            eprintln!("turn {turn}: {fate:?}");
            self.befall(fate);
        }
        self.deploy();
    }

    fn befall(&mut self, fate: Fate) {
        match fate {
            Fate::Deploy => self.deploy(),
            Fate::Upgrade => {
                let (status, said) = self.server.command(&["upgrade"]);
                assert_eq!(status, 0, "{said}");
            }
            Fate::Signal => {
                let before = self.count("starting");
                self.now().signal(Signal::SIGUSR2);
                eventually("the next program to start", || (self.count("starting") > before).then_some(()));
            }
            Fate::Death => self.die(),
            Fate::DeathInBetween => {
                let signal = [Signal::SIGUSR2, Signal::SIGHUP][self.dice.below(2)];
                self.now().signal(signal);
                let answers = self.dice.below(30);
                self.let_pass(answers);
                self.die();
            }
        }
    }

    /// The supervisor that there is.
    fn now(&self) -> &Process {
        self.supervisors.last().unwrap_or(self.server.process())
    }

    fn count(&self, part: &str) -> usize {
        self.now().output().matches(&format!("\"msg\":\"{part}\"")).count()
    }

    fn die(&mut self) {
        self.now().signal(Signal::SIGKILL);
        self.now().wait("the supervisor to be gone", |_, status| status.map(|_| ()));
        let answers = self.dice.below(100);
        self.let_pass(answers);
        let next = self.server.site().supervisor(&["run", "-c", "server.yaml"]);
        next.line("taken over");
        self.supervisors.push(next);
        eventually("the next supervisor to answer", || (self.server.command(&["status"]).0 == 0).then_some(()));
    }

    fn deploy(&mut self) {
        self.version += 1;
        self.ground.place(Deploy::Good, self.version);
        let (status, said) = self.server.command(&["reload", "--wait"]);
        assert_eq!(status, 0, "{said}");
    }

    fn let_pass(&self, answers: usize) {
        let until = self.weather.answers.load(Ordering::Relaxed) + answers;
        let passed = || (self.weather.answers.load(Ordering::Relaxed) >= until).then_some(());
        within(PATIENCE, passed).unwrap_or_else(|_| panic!("{answers} answers have not come within {PATIENCE:?}"));
    }

    fn is_newest_everywhere(&self) -> bool {
        let seen = || {
            let mut client = Client::try_connect(self.server.address()).ok()?;
            client.get("/version").text().split(' ').nth(1)?.parse::<usize>().ok()
        };
        within(PATIENCE, || (0..20).all(|_| seen() == Some(self.version)).then_some(())).is_ok()
    }
}
