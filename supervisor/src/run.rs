//! `supervisor run`: the loop that joins sources, core and effects. It translates and decides nothing.
//!
//! ```text
//!   bind -> Start -> [ wait -> Stir -> Event -> core -> Effect -> done -> Event ... ] -> Exit
//! ```

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use monoceros_shared::config::{App, Config};
use monoceros_shared::exit;
use nix::unistd::geteuid;
use slog::{KV, Logger, Record, Serializer, error, info, warn};

use crate::core::line::{Level, Line, Value};
use crate::core::plan::{Manner, Plan};
use crate::core::{Core, Effect, Event};
use crate::effects::{Means, Workers};
use crate::listen::{Bound, bind_all};
use crate::sources::{Sources, Stir};
use crate::spawn::{Program, keep_strangers_from_workers, raise_descriptor_limit};

/// Serves until it is asked to stop; the exit status.
pub fn run(config: &Config, log: &Logger) -> i32 {
    let server = start(config, log);
    let ended = server.and_then(|server| server.serve().map_err(|error| format!("cannot wait for events: {error}")));
    ended.unwrap_or_else(|why| {
        error!(log, "stopped"; "why" => why);
        exit::FAILED
    })
}

fn start<'a>(config: &'a Config, log: &'a Logger) -> Result<Server<'a>, String> {
    info!(log, "starting";
        "version" => env!("CARGO_PKG_VERSION"),
        "config" => config.file.as_ref().map_or_else(|| "command line".into(), |file| file.display().to_string()));
    if geteuid().is_root() && config.apps.iter().any(|app| app.run_as.is_none()) {
        warn!(log, "applications run as root: set `user` to run them as somebody else");
    }
    if let Err(error) = raise_descriptor_limit() {
        warn!(log, "open files stay limited as they are"; "why" => error.to_string());
    }
    if let Err(error) = keep_strangers_from_workers() {
        warn!(log, "workers inherit what was left open for the supervisor"; "why" => error.to_string());
    }
    let program = Program::find()?;
    let sources = Sources::new().map_err(|error| format!("cannot take over signals: {error}"))?;
    let watch = sources.watch().map_err(|error| format!("cannot watch processes: {error}"))?;
    let listeners = config.apps.iter().map(|app| bind_all(&app.listen)).collect::<Vec<_>>();
    let listeners = all_or_none(listeners)?;
    let means = Means { program, post: sources.post(), watch };
    Ok(Server {
        apps: &config.apps,
        log,
        core: Core::new(Plan::of(config, Manner::Production), u64::from(std::process::id())),
        sources,
        workers: Workers::new(means),
        listeners,
        began: Instant::now(),
    })
}

/// The listeners of each application, or why one of them could not be bound.
fn all_or_none(bound: Vec<Result<Vec<Bound>, String>>) -> Result<Vec<Vec<Bound>>, String> {
    let mut listeners = Vec::new();
    let mut failed = None;
    for result in bound {
        match result {
            Ok(bound) => listeners.push(bound),
            Err(why) => failed = failed.or(Some(why)),
        }
    }
    match failed {
        None => Ok(listeners),
        Some(why) => {
            listeners.into_iter().flatten().for_each(Bound::close);
            Err(why)
        }
    }
}

struct Server<'a> {
    apps: &'a [App],
    log: &'a Logger,
    core: Core,
    sources: Sources,
    workers: Workers,
    /// Those of each application, by its place in the config. Empty once they are closed.
    listeners: Vec<Vec<Bound>>,
    began: Instant,
}

impl Server<'_> {
    fn serve(mut self) -> io::Result<i32> {
        let mut status = self.happen(vec![Event::Start]);
        while status.is_none() {
            let stirs = self.sources.wait(self.patience())?;
            let mut events = Vec::new();
            for stir in stirs {
                match stir {
                    Stir::Signal(event) => events.push(event),
                    Stir::Gone(worker) => events.extend(self.workers.gone(worker)),
                    Stir::News(worker, news) => events.extend(self.workers.hear(worker, news)),
                }
            }
            events.extend(self.workers.farewells());
            events.push(Event::Tick);
            status = self.happen(events);
        }
        Ok(status.unwrap_or(exit::DONE))
    }

    /// How long there is nothing to do, if nothing stirs.
    fn patience(&self) -> Option<Duration> {
        let core = self.core.deadline().map(|at| at.saturating_sub(self.began.elapsed()));
        let workers = self.workers.deadline().map(|at| at.saturating_duration_since(Instant::now()));
        core.into_iter().chain(workers).min()
    }

    /// Tells the core what happened, does what it answers, and tells it what came of that; the exit status if it ends.
    fn happen(&mut self, events: Vec<Event>) -> Option<i32> {
        let mut events = VecDeque::from(events);
        while let Some(event) = events.pop_front() {
            for effect in self.core.handle(self.began.elapsed(), event) {
                if let Effect::Exit(status) = effect {
                    return Some(status);
                }
                events.extend(self.perform(effect));
            }
        }
        None
    }

    fn perform(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Spawn(recruit) => {
                let place = self.apps.iter().position(|app| app.name == recruit.app.name());
                let listeners: Vec<&Bound> = place.iter().flat_map(|place| &self.listeners[*place]).collect();
                Some(self.workers.spawn(&recruit, &listeners))
            }
            Effect::Say { worker, word } => self.workers.say(worker, word),
            Effect::Terminate { worker } => {
                self.workers.terminate(worker);
                None
            }
            Effect::Kill { worker } => {
                self.workers.kill(worker);
                None
            }
            Effect::CloseListeners => {
                self.listeners.iter_mut().flat_map(|bound| bound.drain(..)).for_each(Bound::close);
                None
            }
            Effect::Log(line) => {
                write(self.log, &line);
                None
            }
            Effect::Exit(_)
            | Effect::Introduce { .. }
            | Effect::ReadConfig
            | Effect::Bind { .. }
            | Effect::Adjust { .. }
            | Effect::Unbind { .. }
            | Effect::Answer { .. } => None,
        }
    }
}

fn write(log: &Logger, line: &Line) {
    // slog wants the level at compile time.
    match line.level {
        Level::Error => slog::error!(log, "{}", line.message; Keys(line)),
        Level::Warning => slog::warn!(log, "{}", line.message; Keys(line)),
        Level::Info => slog::info!(log, "{}", line.message; Keys(line)),
        Level::Debug => slog::debug!(log, "{}", line.message; Keys(line)),
    }
}

/// The keys of a line, as slog takes them: the last first.
struct Keys<'a>(&'a Line);

impl KV for Keys<'_> {
    fn serialize(&self, _: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        self.0.keys.iter().rev().try_for_each(|(key, value)| match value {
            Value::Text(text) => serializer.emit_str(key, text),
            Value::Number(number) => serializer.emit_u64(key, *number),
        })
    }
}
