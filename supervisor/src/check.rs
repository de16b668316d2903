//! `supervisor check`: would it run? Reads the config, then asks a worker of each application to import it.
//!
//! A worker is given no listeners and never told to serve, so a check beside a running server disturbs nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use monoceros_shared::config::{self, App, Config, Error};
use monoceros_shared::exit;
use monoceros_shared::link::{Failure, Part, Purpose};
use monoceros_shared::log::Outlet;

use crate::command::What;
use crate::core::line::span;
use crate::core::plan::{AppPlan, Manner, Plan};
use crate::core::{Event, Exit, Recruit, Stop, Wish, WorkerId};
use crate::effects::{Means, Workers};
use crate::printed::print;
use crate::sources::{Sources, Stir};
use crate::spawn::Program;
use crate::stdio::Outputs;

/// What is to be right, and whether to print it.
#[derive(Debug, Args)]
pub struct Check {
    /// What it is.
    #[command(flatten)]
    pub what: What,
    /// Print every value as it is run, and where it came from, as a file that means the same.
    #[arg(long)]
    pub print: bool,
}

/// Checks a config and its applications, and prints what is wrong with them, and all that it comes to if that is asked.
pub fn check(asked: Check) -> i32 {
    let file = asked.what.file();
    let checked = match asked.what.read() {
        Ok(checked) => checked,
        Err(error) => {
            eprintln!("{error}");
            return exit::USAGE;
        }
    };
    checked.remarks().for_each(|remark| eprintln!("{remark}"));
    // What is printed is YAML to its end.
    let comment = if asked.print { "# " } else { "" };
    if asked.print && print(&config::resolved(&checked)) != exit::DONE {
        return exit::FAILED;
    }
    if !checked.overdue.is_empty() {
        return exit::USAGE;
    }
    let failed = try_apps(&checked.config).map(|tried| {
        let failures = tried.into_iter().filter_map(|(app, verdict)| Some((app, verdict.err()?)));
        failures.inspect(|(app, failure)| tell(file.as_deref(), app, failure)).count()
    });
    match failed {
        Ok(0) => {
            let name = file.map_or_else(|| "command line".into(), |file| file.display().to_string());
            print(&format!("{comment}{name}: ok\n"))
        }
        Ok(_) => exit::USAGE,
        Err(why) => {
            eprintln!("supervisor: {why}");
            exit::FAILED
        }
    }
}

fn tell(file: Option<&Path>, app: &App, failure: &Failure) {
    let place = match failure.part {
        Part::Application => app.wsgi_place,
        Part::Hooks => app.hooks_place,
    };
    eprintln!("{}", Error::new(file, place, &failure.why));
    for line in failure.detail.lines() {
        eprintln!("    {line}");
    }
}

/// Whether each of them can be imported. What they print meanwhile goes where what we print goes.
///
/// # Errors
/// Why nobody can tell: there is no worker, or it was interrupted.
pub fn try_apps(config: &Config) -> Result<Vec<(Arc<App>, Verdict)>, String> {
    let sources = Sources::new().map_err(|error| format!("cannot take over signals: {error}"))?;
    let watch = sources.watch().map_err(|error| format!("cannot watch processes: {error}"))?;
    let outlet = Outlet::stderr().map_err(|error| format!("cannot log to standard error: {error}"))?;
    let program = Program::find()?;
    let outputs = Outputs::inherited();
    let means = Means { program, post: sources.post(), watch, outlet, outputs, adoptions: None };
    let mut trial = Trial { sources, workers: Workers::new(means) };
    let plans = (1..).zip(Plan::of(config, Manner::Production).apps);
    plans.map(|(worker, plan)| Ok((plan.app.clone(), trial.of(worker, plan)?))).collect()
}

struct Trial {
    sources: Sources,
    workers: Workers,
}

impl Trial {
    /// Whether a worker can load an application. The outer error is that nobody can tell.
    fn of(&mut self, worker: WorkerId, plan: AppPlan) -> Result<Verdict, String> {
        let app = plan.app.clone();
        let recruit = Recruit { worker, generation: 1, app: plan, purpose: Purpose::Check, siblings: app.workers };
        let deadline = Instant::now() + app.timeouts.boot;
        let mut events = vec![self.workers.spawn(&recruit, &[])];
        let verdict = loop {
            if let Some(verdict) = events.into_iter().find_map(|event| verdict(event, worker, &app)) {
                break verdict;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let why = format!("cannot import {}: not done within {}", app.wsgi, span(app.timeouts.boot));
                break Ok(Err(Failure::new(why, "")));
            }
            match self.next(left) {
                Ok(next) => events = next,
                Err(why) => break Err(why),
            }
        };
        self.workers.kill(worker);
        verdict
    }

    fn next(&mut self, left: Duration) -> Result<Vec<Event>, String> {
        let farewell = self.workers.deadline().map(|at| at.saturating_duration_since(Instant::now()));
        let stirs = self.sources.wait(Some(farewell.map_or(left, |farewell| farewell.min(left))));
        let mut events = Vec::new();
        for stir in stirs.map_err(|error| format!("cannot wait for events: {error}"))? {
            match stir {
                Stir::Signal(event) => events.push(event),
                Stir::Gone(worker) => events.extend(self.workers.gone(worker)),
                Stir::News(worker, news) => events.extend(self.workers.hear(worker, news)),
                // A check has no control socket, no log and no pipes, is nobody's init, and leaves to nobody.
                Stir::Control(_) | Stir::Watcher(_) | Stir::Child | Stir::Reopen | Stir::Output(_) | Stir::Preflown => {
                }
            }
        }
        events.extend(self.workers.farewells());
        Ok(events)
    }
}

/// Whether an application can be imported.
pub type Verdict = Result<(), Failure>;

/// What an event says of the application that this worker was to import, if anything. The outer error ends the check.
fn verdict(event: Event, of: WorkerId, app: &App) -> Option<Result<Verdict, String>> {
    let cannot = |why: String| Some(Ok(Err(Failure::new(format!("cannot import {}: {why}", app.wsgi), ""))));
    match event {
        Event::Loaded { worker } if worker == of => Some(Ok(Ok(()))),
        Event::Failed { worker, failure } if worker == of => Some(Ok(Err(failure))),
        Event::Exited { worker, exit, .. } if worker == of => match exit {
            Exit::Code(code) => cannot(format!("the worker exited with code {code}")),
            Exit::Signal(_) | Exit::Dumped(_) => cannot(format!("the worker died of {}", exit)),
            Exit::Unknown => cannot("the worker is gone".into()),
        },
        Event::Unreachable { worker, why } if worker == of => cannot(format!("the worker cannot be reached: {why}")),
        Event::NotSpawned { why, .. } => Some(Err(why)),
        Event::Wanted { wish: Wish::Stop(Stop::Graceful | Stop::Quick), .. } => {
            Some(Err("the check was interrupted".into()))
        }
        Event::Loaded { .. }
        | Event::Left { .. }
        | Event::Failed { .. }
        | Event::Exited { .. }
        | Event::Unreachable { .. }
        | Event::Start
        | Event::Spawned { .. }
        | Event::Observed { .. }
        | Event::Stuck { .. }
        | Event::Silent { .. }
        | Event::Beats { .. }
        | Event::Stacks { .. }
        | Event::Resized
        | Event::ConfigRead(_)
        | Event::Bound
        | Event::NotBound { .. }
        | Event::Wanted { .. }
        | Event::Preflown(_)
        | Event::Tick => None,
    }
}
