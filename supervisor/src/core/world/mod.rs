//! A pretend machine, run by seed: processes that are slow, fail, hang and die at any moment; a file that is rewritten and
//! garbled, code that breaks, addresses that others take; people who reload, scale, upgrade and stop at any time; supervisors
//! that are killed and followed by others. Time jumps from one
//! thing that happens to the next; thousands of lives pass in a second.
//!
//! ```text
//!   agenda (time, happening) -> Event -> Core -> Effect -> processes, which put more on the agenda
//!                                          |
//!                                       laws, after each step
//! ```
//!
//! A seed that fails is printed; `SEED=n` plays it again, aloud; `SEEDS=n` plays so many.

mod cases;
mod ills;
mod laws;
mod reliefs;
mod story;
mod succession;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use monoceros_shared::config::{Address, Listener};
use monoceros_shared::link::{Failure, Purpose};

use super::ailing::{Organ, Silence};
use super::backoff::Jitter;
use super::event::{Asker, Cause, Event, Exit, Wish};
use super::legacy::Legacy;
use super::plan::Plan;
use super::{Answer, Core, Effect, Now, QUIT_GRACE, Recruit, Word, WorkerId};
use laws::Told;
use story::{Deed, Dice, Story};

const BOOT: Duration = Duration::from_secs(5);
const DRAIN: Duration = Duration::from_secs(4);
const DRAIN_DELAY: Duration = Duration::from_secs(3);
const SLOWEST_BOOT: Duration = Duration::from_secs(4);
const SLOWEST_KILL: Duration = Duration::from_millis(50);
/// From peace to the last crash that was decided before it, then the longest retry, then a boot that hung, and one that
/// does not; then a minute without a loss.
const RECOVERY: Duration = Duration::from_secs(21 + 36 + 5 + 4 + 60);
/// From the last wish to the time when what it wanted serves: a reload that runs, four generations' drains, one's own boot,
/// and the rest of it, one after the other; and an upgrade's preflight before it.
const FULFILMENT: Duration = Duration::from_secs(100);

/// What a process is really doing, whatever the core believes.
#[derive(Debug, PartialEq)]
enum Doing {
    Booting,
    Loaded,
    Serving,
    Leaving,
    Hanging,
    Dead,
}

struct Process {
    recruit: Recruit,
    doing: Doing,
    /// Whether a kill is under way.
    killed: bool,
    /// Whether it was told to serve.
    served: bool,
    /// Whether it was told to serve, and not to leave.
    appointed: bool,
    /// Nobody knows what it listens on: what was written of it is lost.
    unknown: bool,
    /// Whether it stands still, and hears nothing.
    deaf: bool,
    /// Whether it has left the listeners.
    left: bool,
    /// Whom it was told to hand its connections to.
    heir: Option<WorkerId>,
}

impl Process {
    fn new(recruit: Recruit, doing: Doing) -> Process {
        Process {
            recruit,
            doing,
            killed: false,
            served: false,
            appointed: false,
            unknown: false,
            deaf: false,
            left: false,
            heir: None,
        }
    }

    fn app(&self) -> &str {
        self.recruit.app.name()
    }

    fn apologises(&self) -> bool {
        matches!(self.recruit.purpose, Purpose::Apologise(_))
    }

    /// Whether a client may come to it.
    fn accepts(&self) -> bool {
        self.served && !self.left && !self.killed && self.doing != Doing::Dead
    }

    /// Whether it serves the application, as far as anybody has been told.
    fn counts_for(&self, app: &str) -> bool {
        self.app() == app && self.appointed && self.doing != Doing::Dead && !self.apologises()
    }
}

/// What happens in the machine, rather than in the core.
#[derive(Debug)]
enum Turn {
    Tell(Event),
    Load(WorkerId),
    Fail(WorkerId),
    Die(WorkerId, Exit),
    /// It leaves the listeners.
    Leave(WorkerId),
    Do(Deed),
    Read,
    Bind(Vec<Listener>),
    Observe,
    /// Another supervisor comes, with what the last one has written down.
    Succeed(Box<Legacy>),
    /// It would have been, but for the end of a supervisor.
    Nothing,
    Ail,
}

struct World {
    story: Story,
    dice: Dice,
    core: Core,
    now: Now,
    agenda: BinaryHeap<Reverse<(Now, u64)>>,
    turns: BTreeMap<u64, Turn>,
    steps: u64,
    processes: BTreeMap<WorkerId, Process>,
    file: Result<Plan, String>,
    broken: BTreeSet<String>,
    taken: BTreeSet<Address>,
    bound: BTreeSet<Address>,
    askers: Asker,
    answers: BTreeMap<Asker, Option<Answer>>,
    stopped: Option<Now>,
    exited: Option<(Now, i32)>,
    told: Told,
    /// Nobody attends to the workers.
    vacant: bool,
    /// The supervisor leaves to another one, for which these wait.
    leaving: Option<Vec<Asker>>,
    /// Whether to say what happens.
    aloud: bool,
}

impl World {
    fn new(story: Story) -> World {
        let mut world = World {
            dice: Dice(Jitter::new(!story.seed)),
            core: Core::new(story.first.clone(), story.seed),
            now: Duration::ZERO,
            agenda: BinaryHeap::new(),
            turns: BTreeMap::new(),
            steps: 0,
            processes: BTreeMap::new(),
            file: Ok(story.first.clone()),
            broken: BTreeSet::new(),
            taken: BTreeSet::new(),
            bound: story.first.listeners().into_keys().collect(),
            askers: 0,
            answers: BTreeMap::new(),
            stopped: None,
            exited: None,
            told: Told::default(),
            vacant: false,
            leaving: None,
            aloud: std::env::var_os("SEED").is_some(),
            story,
        };
        world.after(Duration::ZERO, Turn::Tell(Event::Start));
        for (at, deed) in world.story.deeds.clone() {
            world.after(at, Turn::Do(deed));
        }
        for (at, wish) in world.story.wishes.clone() {
            world.askers += 1;
            let asker = world.dice.percent(60).then_some(world.askers);
            world.after(at, Turn::Tell(Event::Wanted { wish, asker }));
        }
        for _ in 0..world.dice.below(20) {
            let at = world.dice.until(world.story.peace);
            world.after(at, Turn::Observe);
        }
        for _ in 0..world.dice.below(40) {
            let at = world.dice.until(world.story.peace);
            world.after(at, Turn::Ail);
        }
        world
    }

    fn after(&mut self, wait: Duration, turn: Turn) {
        self.steps += 1;
        self.agenda.push(Reverse((self.now + wait, self.steps)));
        self.turns.insert(self.steps, turn);
    }

    /// Whether this time, something goes wrong.
    fn mischief(&mut self) -> bool {
        self.now < self.story.peace && self.dice.percent(self.story.mischief)
    }

    fn run(&mut self, end: Now) {
        let mut idle = 0;
        while self.exited.is_none() {
            let next = self.agenda.peek().map(|Reverse((at, _))| *at);
            let tick =
                self.core.deadline().filter(|_| !self.vacant).filter(|tick| next.is_none_or(|next| *tick <= next));
            let Some(at) = tick.or(next).filter(|at| *at <= end) else {
                break;
            };
            idle = if at > self.now { 0 } else { idle + 1 };
            assert!(idle < 1000, "the core goes round without time passing");
            self.now = self.now.max(at);
            if tick.is_some() {
                self.tell(Event::Tick);
                assert!(self.core.deadline().is_none_or(|next| next > self.now), "a deadline stays in the past");
            } else if let Some(Reverse((_, step))) = self.agenda.pop() {
                let turn = self.turns.remove(&step).unwrap();
                self.play(turn);
            }
        }
        self.now = self.now.max(end);
    }

    fn play(&mut self, turn: Turn) {
        match turn {
            Turn::Tell(event) => self.tell(event),
            Turn::Load(worker) => {
                if self.processes[&worker].doing == Doing::Booting {
                    self.become_(worker, Doing::Loaded);
                    self.tell(Event::Loaded { worker });
                }
            }
            Turn::Fail(worker) => self.fail(worker),
            Turn::Die(worker, exit) => self.die(worker, exit),
            Turn::Leave(worker) => self.left(worker),
            Turn::Succeed(legacy) => self.succeed(*legacy),
            Turn::Nothing => {}
            Turn::Do(deed) => self.do_(deed),
            Turn::Read => self.tell(Event::ConfigRead(self.file.clone())),
            Turn::Bind(listeners) => self.bind(listeners),
            Turn::Observe => {
                if let Some(worker) = self.someone() {
                    let requests = self.dice.below(2000);
                    self.tell(Event::Observed { worker, requests, memory: 0 });
                }
            }
            Turn::Ail => {
                if let Some(worker) = self.someone() {
                    self.ail(worker);
                }
            }
        }
    }

    /// Any process that lives, or none.
    fn someone(&mut self) -> Option<WorkerId> {
        let living = self.processes.iter().filter(|(_, process)| process.doing != Doing::Dead);
        let workers: Vec<WorkerId> = living.map(|(worker, _)| *worker).collect();
        workers.get(self.dice.below(1 + workers.len() as u64) as usize).copied()
    }

    fn ail(&mut self, worker: WorkerId) {
        let silence = |organ| Silence { organ, length: Duration::from_secs(31), running: Vec::new() };
        let event = match self.dice.below(5) {
            0 | 1 => Event::Stuck { worker, why: "GET / HTTP/1.1".into() },
            2 => Event::Silent { worker, silence: silence(Organ::Python) },
            3 => {
                let process = self.processes.get_mut(&worker).unwrap();
                process.deaf |= process.doing == Doing::Serving;
                Event::Silent { worker, silence: silence(Organ::Io) }
            }
            _ if self.processes[&worker].deaf => return,
            _ => Event::Beats { worker },
        };
        self.tell(event);
    }

    fn fail(&mut self, worker: WorkerId) {
        if self.processes[&worker].doing != Doing::Booting {
            return;
        }
        let hangs = self.mischief();
        self.become_(worker, if hangs { Doing::Hanging } else { Doing::Leaving });
        if !hangs {
            let longest = Duration::from_millis(10 << self.dice.below(8));
            self.die_within(worker, longest, Exit::Code(1));
        }
        self.tell(Event::Failed { worker, failure: Failure::new("cannot import", "Traceback") });
    }

    /// A worker leaves the listeners, and says so, be it to a supervisor that is gone by then.
    fn left(&mut self, worker: WorkerId) {
        let process = self.processes.get_mut(&worker).unwrap();
        if process.doing == Doing::Leaving && !process.deaf {
            process.left = true;
            self.tell(Event::Left { worker });
        }
    }

    fn do_(&mut self, deed: Deed) {
        match deed {
            Deed::Write(plan) => self.file = Ok(plan),
            Deed::Garble => self.file = Err("server.yaml:1:1: it is no config".into()),
            Deed::Break(app) => {
                self.broken.insert(app);
            }
            Deed::Mend => self.broken.clear(),
            Deed::Take(address) => {
                self.taken.insert(address);
            }
            Deed::Release => self.taken.clear(),
            Deed::Kill(writing) => self.kill_supervisor(writing),
        }
    }

    fn bind(&mut self, listeners: Vec<Listener>) {
        let mut addresses: Vec<Address> = listeners.into_iter().map(|listener| listener.address).collect();
        if let Some(address) = addresses.iter().find(|address| self.taken.contains(*address)) {
            let why = format!("cannot bind {address}: Address already in use");
            return self.tell(Event::NotBound { why });
        }
        for address in addresses.drain(..) {
            assert!(self.bound.insert(address), "bound twice");
        }
        self.tell(Event::Bound);
    }

    fn become_(&mut self, worker: WorkerId, doing: Doing) {
        self.processes.get_mut(&worker).unwrap().doing = doing;
    }

    fn die_within(&mut self, worker: WorkerId, longest: Duration, exit: Exit) {
        let wait = self.dice.until(longest);
        self.after(wait, Turn::Die(worker, exit));
    }

    fn tell(&mut self, event: Event) {
        if let Event::Wanted { asker: Some(asker), .. } = event {
            assert!(self.answers.insert(asker, None).is_none());
            if self.vacant {
                let why = "no server runs".to_owned();
                self.answers.insert(asker, Some(Answer::Failed { why, detail: String::new() }));
            }
        }
        if self.vacant {
            return;
        }
        if let Event::Wanted { wish: Wish::Stop(_), .. } = event {
            self.stopped.get_or_insert(self.now);
        }
        let before = self.appointed(&event);
        let effects = self.core.handle(self.now, event.clone());
        if self.aloud {
            eprintln!("{:?} {event:?}\n    {effects:?}", self.now);
        }
        self.law_of_abandonment(&event, &effects);
        for effect in effects.clone() {
            self.law_of_effects(&effect);
            self.take(effect);
        }
        self.law_of_relief(&effects);
        if let Some(askers) = self.leaving.take() {
            self.upgrade(askers);
        }
        self.law_of_service(&before);
        self.law_of_numbers();
        self.law_of_patience();
        self.law_of_listeners();
        self.law_of_heirs();
        self.law_of_places();
        let _ = self.core.status(self.now);
    }

    fn take(&mut self, effect: Effect) {
        let short = Duration::from_millis(100);
        match effect {
            Effect::Spawn(recruit) => self.spawn(recruit),
            Effect::Say { worker, word } => self.hear(worker, word),
            Effect::Introduce { from, to } => self.processes.get_mut(&from).unwrap().heir = Some(to),
            Effect::Adjust { .. } | Effect::Certify { .. } => {}
            Effect::Inspect { worker } => {
                let stacks = "Thread 1".to_owned();
                self.after(Duration::ZERO, Turn::Tell(Event::Stacks { worker, stacks }));
            }
            Effect::Terminate { worker } => self.leave(worker, DRAIN),
            Effect::Kill { worker } => {
                let process = self.processes.get_mut(&worker).unwrap();
                (process.killed, process.appointed) = (true, false);
                self.die_within(worker, SLOWEST_KILL, Exit::Signal("SIGKILL"));
            }
            Effect::ReadConfig => {
                let wait = self.dice.until(short);
                self.after(wait, Turn::Read);
            }
            Effect::Bind { listeners } => {
                let wait = self.dice.until(short);
                self.after(wait, Turn::Bind(listeners));
            }
            Effect::Unbind { addresses } => {
                for address in addresses {
                    assert!(self.bound.remove(&address), "{address} is closed and was not bound");
                }
            }
            Effect::CloseListeners => self.bound.clear(),
            Effect::Answer { asker, answer } => {
                let earlier = self.answers.get_mut(&asker).expect("an answer for nobody");
                assert!(earlier.is_none(), "two answers: {earlier:?}, {answer:?}");
                *earlier = Some(answer);
            }
            Effect::Preflight => self.preflight(),
            Effect::EndPreflight => self.end_preflight(),
            Effect::Succeed { askers } => self.leaving = Some(askers),
            Effect::Log(line) => self.told.line(self.now, &line),
            Effect::Exit(status) => self.exited = Some((self.now, status)),
        }
    }

    fn spawn(&mut self, recruit: Recruit) {
        let (worker, app) = (recruit.worker, recruit.app.name().to_owned());
        self.told.spawns.push((self.now, app.clone(), recruit.purpose.clone()));
        if self.mischief() && self.dice.percent(30) {
            let why = "cannot spawn".to_owned();
            self.processes.insert(worker, Process::new(recruit, Doing::Dead));
            return self.after(Duration::ZERO, Turn::Tell(Event::NotSpawned { worker, why }));
        }
        let fails = self.broken.contains(&app) && recruit.purpose == Purpose::Serve;
        self.processes.insert(worker, Process::new(recruit, Doing::Booting));
        self.after(Duration::ZERO, Turn::Tell(Event::Spawned { worker, pid: worker as u32 }));
        let wait = self.dice.until(self.story.boot);
        if fails {
            return self.after(wait, Turn::Fail(worker));
        }
        if !self.mischief() {
            self.after(wait, Turn::Load(worker));
            if self.mischief() {
                // Killed at any moment, be it loaded and not adopted.
                self.die_within(worker, self.story.boot * 2, Exit::Signal("SIGKILL"));
            }
            return;
        }
        match self.dice.below(4) {
            0 => self.after(wait, Turn::Fail(worker)),
            1 => self.after(wait, Turn::Die(worker, Exit::Dumped("SIGSEGV"))),
            // Loads later than it may.
            2 => self.after(wait + BOOT, Turn::Load(worker)),
            _ => self.become_(worker, Doing::Hanging),
        }
    }

    fn hear(&mut self, worker: WorkerId, word: Word) {
        let process = self.processes.get_mut(&worker).unwrap();
        process.appointed = word == Word::Serve;
        process.served |= word == Word::Serve;
        if self.processes[&worker].doing == Doing::Dead || self.mischief() {
            let why = "cannot say".to_owned();
            return self.after(Duration::ZERO, Turn::Tell(Event::Unreachable { worker, why }));
        }
        if self.processes[&worker].deaf {
            return;
        }
        match word {
            Word::Serve => {
                assert_eq!(self.processes[&worker].doing, Doing::Loaded, "Serve before Loaded");
                self.become_(worker, Doing::Serving);
                if self.mischief() {
                    // From a crash at its first request to one after a good while.
                    let longest = Duration::from_millis(10 << self.dice.below(12));
                    self.die_within(worker, longest, Exit::Signal("SIGSEGV"));
                }
            }
            Word::Drain => self.leave(worker, DRAIN.mul_f64(1.5)),
            Word::Quit => self.leave(worker, QUIT_GRACE.mul_f64(1.5)),
        }
    }

    fn leave(&mut self, worker: WorkerId, longest: Duration) {
        if self.processes[&worker].deaf {
            return;
        }
        if self.mischief() {
            self.become_(worker, Doing::Hanging);
        } else if self.processes[&worker].doing != Doing::Dead {
            self.become_(worker, Doing::Leaving);
            let wait = self.dice.until(longest / 4);
            self.after(wait, Turn::Leave(worker));
            self.die_within(worker, longest, Exit::Code(0));
        }
    }
}

fn run(story: Story) {
    let mut world = World::new(story);
    let last_wish = world.story.wishes.iter().map(|(at, _)| *at).max().unwrap_or_default();
    let calm = (world.story.peace + RECOVERY).max(last_wish + FULFILMENT);
    world.run(calm);
    if world.exited.is_some() || world.stopped.is_some() {
        return world.law_of_stopping();
    }
    // One that is parked waits for a person.
    if world.core.phase != super::Phase::Parked {
        world.law_of_recovery();
    }
    world.law_of_answers();
    // The newest good config is what a last reload brings, whatever was before.
    let asker = world.askers + 1;
    world.tell(Event::Wanted { wish: Wish::Reload { cause: Cause::Signal }, asker: Some(asker) });
    world.run(calm + FULFILMENT);
    assert!(matches!(world.answers[&asker], Some(Answer::Done(_))), "the last reload: {:?}", world.answers[&asker]);
    world.law_of_recovery();
    world.law_of_newest();
}

#[test]
fn every_law_holds_for_every_seed() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = number("SEED").map_or(0..number("SEEDS").unwrap_or(600), |seed| seed..seed + 1);
    for seed in seeds {
        let story = Story::of(seed);
        let told = format!("{story:?}");
        let outcome = std::panic::catch_unwind(|| run(story));
        assert!(outcome.is_ok(), "play it again with SEED={seed}: {told}");
    }
}
