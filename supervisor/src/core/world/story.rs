//! What one seed decides: who is served, what goes wrong, what people do.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use monoceros_shared::config::{Address, App, BrokenStart, CommandLine, Config, Listener, from_command_line};
use monoceros_shared::link::Loss;

use super::super::Now;
use super::super::backoff::Jitter;
use super::super::event::{Cause, Scale, Stop, Wish};
use super::super::plan::{AppPlan, Manner, Plan};
use super::succession::Writing;
use super::{BOOT, DRAIN, SLOWEST_BOOT};

/// Ports that applications are given.
const PORTS: u16 = 5;

/// What one seed decides.
#[derive(Debug)]
pub struct Story {
    pub seed: u64,
    pub first: Plan,
    /// Of a hundred things that can go wrong, how many do.
    pub mischief: u64,
    /// How long the slowest import takes.
    pub boot: Duration,
    /// When things stop going wrong.
    pub peace: Now,
    /// What people do to the machine.
    pub deeds: Vec<(Now, Deed)>,
    /// What people want of the server.
    pub wishes: Vec<(Now, Wish)>,
}

/// What people do to the machine, beside asking the server for something.
#[derive(Clone, Debug)]
pub enum Deed {
    /// The file says this now.
    Write(Plan),
    /// The file is no config now.
    Garble,
    /// The code of an application cannot be imported now.
    Break(String),
    /// All code is well now.
    Mend,
    /// Somebody else takes an address, or gives it back.
    Take(Address),
    Release,
    /// The supervisor is killed, and another one comes.
    Kill(Writing),
}

impl Story {
    pub fn of(seed: u64) -> Story {
        let mut dice = Dice(Jitter::new(seed));
        let first = plan(&mut dice);
        let unrest = Duration::from_secs([20, 90, 900][dice.below(3) as usize]);
        let peace = dice.until(unrest);
        let boot = [SLOWEST_BOOT, SLOWEST_BOOT / 200][dice.below(2) as usize];
        let mischief = [0, 5, 30, 95][dice.below(4) as usize];
        let mut story = Story { seed, first, mischief, boot, peace, deeds: Vec::new(), wishes: Vec::new() };
        if dice.percent(80) {
            for _ in 0..dice.below(20) {
                let at = dice.until(unrest + Duration::from_secs(30));
                // Now and then a storm.
                for _ in 0..[1, 1, 1, 5][dice.below(4) as usize] {
                    let at = at + dice.until(Duration::from_secs(8));
                    story.wishes.push((at, wish(&mut dice)));
                }
            }
            for _ in 0..dice.below(12) {
                let at = dice.until(peace);
                story.deeds.push((at, deed(&mut dice)));
            }
            let last = plan(&mut dice);
            story.deeds.extend([(peace, Deed::Write(last)), (peace, Deed::Mend), (peace, Deed::Release)]);
        }
        if dice.percent(40) {
            let how = if dice.percent(70) { Stop::Graceful } else { Stop::Quick };
            let at = dice.until(Duration::from_secs(200));
            story.wishes.push((at, Wish::Stop(how)));
            while dice.percent(30) {
                story.wishes.push((at + dice.until(Duration::from_secs(6)), Wish::Stop(Stop::Graceful)));
            }
        }
        story
    }

    /// Whether supervisors are killed in it.
    pub fn has_kills(&self) -> bool {
        self.deeds.iter().any(|(_, deed)| matches!(deed, Deed::Kill(_)))
    }
}

fn wish(dice: &mut Dice) -> Wish {
    let app = name(dice.below(3));
    let to = [Scale::More, Scale::Less, Scale::To(dice.below(6) as usize)][dice.below(3) as usize];
    match dice.below(13) {
        11 | 12 => Wish::Upgrade,
        10 if dice.percent(50) => Wish::Park,
        0..=2 => Wish::Reload { cause: Cause::Signal },
        3 => Wish::Reload { cause: Cause::Command },
        4 | 5 => Wish::Reload { cause: Cause::FileChanged },
        6 | 7 => Wish::Reload { cause: Cause::CodeChanged { app, path: "a.py".into() } },
        8 => Wish::Scale { app, to },
        _ => Wish::ScaleAll { to },
    }
}

fn deed(dice: &mut Dice) -> Deed {
    match dice.below(9) {
        6 | 7 => Deed::Kill(Writing::Kept),
        8 => Deed::Kill(Writing::Lost),
        0 | 1 => Deed::Write(plan(dice)),
        2 => Deed::Garble,
        3 => Deed::Break(name(dice.below(3))),
        4 => Deed::Mend,
        _ => Deed::Take(port(dice.below(PORTS.into()) as u16).address),
    }
}

fn name(index: u64) -> String {
    ["a", "b", "c"][index as usize].into()
}

fn port(number: u16) -> Listener {
    let address = Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 8000 + number)));
    Listener { address, ..template().apps[0].listen[0].clone() }
}

fn template() -> &'static Config {
    static TEMPLATE: OnceLock<Config> = OnceLock::new();
    let line = || CommandLine { wsgi: "a:b".into(), listen: vec!["127.0.0.1:1".into()], ..CommandLine::default() };
    TEMPLATE.get_or_init(|| from_command_line(line()).unwrap().config)
}

/// An application with nothing strange about it.
pub fn app(name: &str, workers: usize, ports: &[u16]) -> App {
    let mut app = App { name: name.into(), workers, ..template().apps[0].clone() };
    app.listen = ports.iter().map(|number| port(*number)).collect();
    (app.timeouts.boot, app.timeouts.drain) = (BOOT, DRAIN);
    app.timeouts.drain_delay = Duration::ZERO;
    app
}

pub fn plan_of(apps: Vec<App>) -> Plan {
    let log = template().log.clone();
    let loss = Loss { then: template().on_supervisor_loss, patience: template().orphan_timeout };
    let apps = apps.into_iter().map(|app| AppPlan::new(app, log.clone(), loss));
    Plan { apps: apps.collect(), manner: Manner::Development }
}

fn plan(dice: &mut Dice) -> Plan {
    let mut ports: BTreeMap<u64, Vec<u16>> = BTreeMap::new();
    for number in 0..PORTS {
        if number == 0 || dice.percent(60) {
            ports.entry(dice.below(3)).or_default().push(number);
        }
    }
    let one = |(index, ports): (u64, Vec<u16>)| {
        let mut app = app(&name(index), 1 + dice.below(4) as usize, &ports);
        app.reload.surge = [None, None, Some(1), Some(2)][dice.below(4) as usize];
        app.environment.insert("VERSION".into(), dice.below(3).to_string());
        app.listen[0].backlog = [100, 200][dice.below(2) as usize];
        app.timeouts.drain_delay = [Duration::ZERO, super::DRAIN_DELAY][dice.below(2) as usize];
        if dice.percent(20) {
            app.recycle.age = Some(Duration::from_secs(10 + dice.below(100)));
        }
        if dice.percent(20) {
            app.recycle.requests = Some(1000);
        }
        if dice.percent(5) {
            app.on_broken_start = BrokenStart::Exit;
        }
        app
    };
    plan_of(ports.into_iter().map(one).collect())
}

/// Numbers that a seed decides.
pub struct Dice(pub Jitter);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.next() % bound
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub fn until(&mut self, longest: Duration) -> Duration {
        longest.mul_f64(self.0.fraction())
    }
}
