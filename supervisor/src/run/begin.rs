//! How a server begins: afresh, where another program of this process has ended, or where another supervisor has died.
//!
//! ```text
//!   log -> sockets of the service manager -> signals -> what there is (see `passage`) -> bind the rest -> core, register -> loop
//! ```

use std::path::{PathBuf, absolute};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use monoceros_shared::config::{Checked, Config};
use monoceros_shared::exit;
use monoceros_shared::link::Token;
use nix::unistd::geteuid;
use slog::{Logger, error, info, warn};

use super::passage::{self, Origin, Passage};
use super::{Server, Source, watched};
use crate::commands::{Commands, Occasion};
use crate::control::Found;
use crate::core::plan::{Manner, Plan};
use crate::core::{Core, Event};
use crate::effects::{Means, Workers};
use crate::inquiry::Inquiries;
use crate::listen::{Bound, Sockets};
use crate::logs::Logs;
use crate::metrics::statsd::Statsd;
use crate::pid_file::PidFile;
use crate::pulse::Pulse;
use crate::sources::Sources;
use crate::spawn::{Program, keep_strangers_from_workers, raise_descriptor_limit};
use crate::stdio::Outputs;
use crate::succession::arrival::Luggage;
use crate::succession::departure::{Departure, Programs};
use crate::succession::state::Adoptions;
use crate::systemd::given::Taken;
use crate::systemd::{self, Manager};
use crate::watch::Watch;
use crate::{capabilities, standard_input, strangers};

/// What a server begins with.
pub struct Beginning {
    /// What is to run.
    pub checked: Checked,
    /// The file that it was read from, as the user named it; it is read again at each reload.
    pub file: Option<PathBuf>,
    /// Who looks at it.
    pub manner: Manner,
    /// What an upgrade starts.
    pub programs: Programs,
    /// What came through an exec, if this is what another program has become.
    pub luggage: Option<Luggage>,
}

/// How a server has ended.
pub enum Ended {
    /// With this exit status.
    With(i32),
    /// In the next program, which is to be exec'd.
    Departing(Departure),
}

/// Serves until it is asked to stop, or leaves to the next program.
pub fn run(beginning: Beginning) -> Ended {
    // First of all, while nothing else is open.
    let mut taken = systemd::given::take();
    taken.sockets.extend(standard_input::given());
    // While there is one thread: the log's is the second.
    let dropped = capabilities::drop_unneeded(capabilities::Workers::of(&beginning.checked.config));
    let (logs, _guard) = match Logs::start(&beginning.checked.config.log) {
        Ok(started) => started,
        Err(why) => {
            eprintln!("supervisor: {why}");
            return Ended::With(exit::FAILED);
        }
    };
    let log = &logs.logger;
    capabilities::tell(&dropped, log);
    for remark in beginning.checked.remarks() {
        warn!(log, "config"; "why" => remark);
    }
    let server = start(beginning, taken, &logs);
    let ended = server
        .and_then(|(server, first)| server.serve(first).map_err(|error| format!("cannot wait for events: {error}")));
    ended.unwrap_or_else(|why| {
        error!(log, "stopped"; "why" => why);
        Ended::With(exit::FAILED)
    })
}

/// What can be done only while the server is not there yet; what cannot be is warned about.
fn prepare(config: &Config, log: &Logger) {
    info!(log, "starting";
        "version" => env!("CARGO_PKG_VERSION"), "config" => passage::named(config.file.as_deref()));
    if geteuid().is_root() && config.apps.iter().any(|app| app.run_as.is_none()) {
        warn!(log, "applications run as root: set `user` to run them as somebody else");
    }
    if let Err(error) = raise_descriptor_limit() {
        warn!(log, "open files stay limited as they are"; "why" => error.to_string());
    }
    if let Err(error) = keep_strangers_from_workers() {
        warn!(log, "workers inherit what was left open for the supervisor"; "why" => error.to_string());
    }
    if let Err(error) = strangers::adopt_orphans() {
        warn!(log, "orphans of workers go to init"; "why" => error.to_string());
    }
}

/// The service manager, if there is one, and the sockets that it has given, if it has.
fn meet_manager(config: &Config, taken: Taken, log: &Logger) -> (Manager, Sockets) {
    let mut manager = Manager::from_environment(log);
    manager.keeps_already(taken.of_ours());
    let mut listeners = Sockets::default();
    for why in taken.wrong.into_iter().chain(listeners.offer(taken.sockets, &config.apps)) {
        warn!(log, "a socket of the service manager's is not used"; "why" => why);
    }
    (manager, listeners)
}

fn start(beginning: Beginning, taken: Taken, logs: &Logs) -> Result<(Server<'_>, Vec<Event>), String> {
    let Beginning { checked: Checked { config, .. }, file, manner, programs, luggage } = beginning;
    let log = &logs.logger;
    let (manager, mut listeners) = meet_manager(&config, taken, log);
    prepare(&config, log);
    let mut sources = Sources::new().map_err(|error| format!("cannot take over signals: {error}"))?;
    let plan = Plan::of(&config, manner);
    let file = file.map(absolute).transpose().map_err(|error| format!("cannot find the config's folder: {error}"))?;
    let mut watch = Watch::new(sources.wake(), log);
    watch.aim(file.as_deref().filter(|_| config.watch), &config.apps);
    let found = Found { file: file.as_deref(), control: config.control.as_deref() };
    let mut origin = Origin::find(luggage, found, (&plan, &sources, &mut listeners), log)?;
    let (began, token) = origin.identity()?;
    let first = origin.first_events(&plan);
    let mut commands = Commands::new(log, sources.wake());
    let is_first = origin.heritage.is_none() && origin.rest.is_none();
    if is_first {
        run_first(&mut commands, &config, &mut sources)?;
    }
    let programs = passage::programs(programs, origin.rest.as_mut());
    let (pid_file, door) = settle_down(&mut origin, &config, (&plan, &mut listeners), log)?;
    let endpoint = watched::endpoint(&sources, door, log)?;
    let statsd = Statsd::new(config.statsd.as_ref(), log);
    let mut workers = Workers::new(means(&mut origin, &sources, (manner, token), logs)?);
    let core = match origin.heritage.take() {
        Some(heritage) => passage::resume(heritage, &plan, &mut workers)?,
        None => Core::new(plan.clone(), u64::from(std::process::id())),
    };
    if !is_first {
        commands.go_on(&core.status(began.elapsed()));
    }
    let mut server = Server {
        log,
        logs,
        settled: core.last_reload().map(|last| last.at),
        core,
        source: Source { file, plan, config, pending: None },
        sources,
        passage: Passage::new(programs, &origin.control, (began, token), log),
        control: origin.control,
        commands,
        manager,
        watch,
        workers,
        listeners,
        pid_file,
        began,
        observed: Instant::now(),
        pulse: Pulse::default(),
        inquiries: Inquiries::default(),
        endpoint,
        statsd,
        started: unix_seconds().saturating_sub(began.elapsed().as_secs()),
    };
    server.take_up(origin.rest.as_ref());
    Ok((server, first))
}

/// Has the first command run, if there is one: without it there is no server.
fn run_first(commands: &mut Commands, config: &Config, sources: &mut Sources) -> Result<(), String> {
    let Some(pending) = commands.begin(Occasion::Start, config) else { return Ok(()) };
    let outcome = commands.wait(&pending, sources);
    outcome.map_err(|why| format!("cannot start: the command `commands.start` failed: {why}"))
}

/// Binds what is to be bound, unless somebody has done so before us, and writes the pid file. Gives that, and where those who watch are
/// to connect.
fn settle_down(
    origin: &mut Origin,
    config: &Config,
    (plan, listeners): (&Plan, &mut Sockets),
    log: &Logger,
) -> Result<(Option<PidFile>, Option<Bound>), String> {
    let is_first = origin.heritage.is_none();
    if is_first {
        listeners.bind(&plan.listeners().into_values().collect::<Vec<_>>())?;
    }
    listeners.settled();
    let mut settle = || {
        let pid_file = origin.pid_file().or_else(|| config.pid_file.as_deref().map(PidFile::write)).transpose()?;
        Ok((pid_file, watched::door(origin, config, log)?))
    };
    settle().inspect_err(|_| {
        // Where there are workers they serve on, and the files of their sockets stay.
        if is_first {
            listeners.close_all();
        }
    })
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// What all workers share.
fn means(
    origin: &mut Origin,
    sources: &Sources,
    (manner, token): (Manner, Token),
    logs: &Logs,
) -> Result<Means, String> {
    let log = &logs.logger;
    let registry = sources.registry().map_err(|error| format!("cannot watch what workers print: {error}"))?;
    let place = origin.control.place().cloned();
    Ok(Means {
        program: origin.rest.as_mut().and_then(|rest| rest.worker.take()).map_or_else(Program::find, Ok)?,
        post: sources.post(),
        watch: sources.watch().map_err(|error| format!("cannot watch processes: {error}"))?,
        outlet: logs.outlet().clone(),
        outputs: match manner {
            Manner::Production => Outputs::into_log(log, registry),
            Manner::Development => Outputs::inherited(),
        },
        adoptions: place.map(|place| Adoptions { place, token, log: log.clone() }),
    })
}
