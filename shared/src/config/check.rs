//! From the file as written to the config that the programs run on.
//!
//! ```text
//!   raw::File --check--> Config     what one key cannot know: other keys, folders, users, the machine
//! ```
//!
//! Rule: this reads the machine but changes nothing, opens no socket and asks no network. Each fault stands at the key
//! that its reader will edit.

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{PathBuf, absolute};
use std::time::SystemTime;

use super::address::address;
use super::callable;
use super::command;
use super::engine;
use super::fault::{Fault, shown};
use super::gateway;
use super::listen::Listeners;
use super::network::Proxies;
use super::origin;
use super::owner;
use super::raw;
use super::section::{At, or_defaults};
use super::statics::{StaticFolder, StaticFolders};
use super::statsd;
use super::tls;
use super::tree;
use super::value::{AddressText, Count, PathText, Principal, Principals, Size, Surge, Workers};
use super::{
    Address, App, Config, Limits, Listener, Log, Place, Ready, Recycle, Reload, RunAs, StaticFiles, Timeouts, Tls,
};

/// What the check knows of the machine.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// Where relative paths begin; absolute.
    pub folder: PathBuf,
    /// `net.core.somaxconn`, above which a backlog is cut; `None` when it cannot be read.
    pub somaxconn: Option<usize>,
    /// Processors that the affinity mask and the CPU quota leave us.
    pub processors: usize,
    /// What time it is there.
    pub now: SystemTime,
}

impl Machine {
    /// The one that we run on.
    pub fn this(folder: PathBuf) -> Self {
        let somaxconn = fs::read_to_string("/proc/sys/net/core/somaxconn").ok();
        Machine {
            folder,
            somaxconn: somaxconn.and_then(|text| text.trim().parse().ok()),
            processors: std::thread::available_parallelism().map_or(1, Into::into),
            now: SystemTime::now(),
        }
    }
}

/// A check under way: what it has seen so far.
struct Check<'a> {
    machine: &'a Machine,
    warnings: Vec<Fault>,
    listeners: HashMap<Address, Place>,
    overdue: Vec<(Address, Fault)>,
}

/// What a check comes to.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The config, without its `file`.
    pub config: Config,
    /// What is odd about it.
    pub warnings: Vec<Fault>,
    /// Certificates that are not valid now, by their listener.
    pub overdue: Vec<(Address, Fault)>,
}

/// The config that `file` describes.
pub(super) fn check(file: raw::File, machine: &Machine) -> Result<Outcome, Fault> {
    let mut check = Check { machine, warnings: Vec::new(), listeners: HashMap::new(), overdue: Vec::new() };
    let log = or_defaults(file.log, file.apps.place)?;
    let log = Log {
        format: log.format.value,
        level: log.level.value,
        access: log.access.value.0,
        file: log.file.map(|path| check.file("file", &path)).transpose()?,
    };
    let control = file.control.map(|path| check.control(&path)).transpose()?;
    let metrics = file.metrics.map(|address| check.metrics(&address)).transpose()?;
    let statsd = file.statsd.map(|statsd| statsd::check(statsd.value.0, &machine.folder)).transpose()?;
    let pid_file = file.pid_file.map(|path| check.file("pid_file", &path)).transpose()?;
    let apps = file.apps.value.0.into_iter().map(|(name, app)| check.app(name, app)).collect::<Result<_, _>>()?;
    let config = Config {
        file: None,
        log,
        watch: file.watch.value,
        control,
        metrics,
        statsd,
        pid_file,
        on_supervisor_loss: file.on_supervisor_loss.value,
        orphan_timeout: file.orphan_timeout.value,
        commands: command::commands(file.commands, &machine.folder, file.apps.place)?,
        apps,
    };
    Ok(Outcome { config, warnings: check.warnings, overdue: check.overdue })
}

impl Check<'_> {
    fn app(&mut self, name: tree::Key, raw: raw::App) -> Result<App, Fault> {
        let (threads_min, threads) = engine::threads(&raw)?;
        let origin = origin::origin(&raw, name.place)?;
        let directory = self.folder("directory", &raw.directory)?;
        let (wsgi, odd) = callable::source(&raw, &directory, name.place)?;
        self.warnings.extend(odd);
        let reload = or_defaults(raw.reload, name.place)?;
        expect_ready_below_mount(&reload, &origin.mount)?;
        let python_path = raw.python_path.map_or_else(Vec::new, |folders| folders.value.0);
        let python_path = python_path.iter().map(|path| self.folder("python_path", path)).collect::<Result<_, _>>()?;
        let workers = match raw.workers.value {
            Workers::Auto => self.machine.processors,
            Workers::Exactly(count) => count.get(),
        };
        Ok(App {
            wsgi: wsgi.value,
            wsgi_place: Some(wsgi.place),
            directory,
            virtualenv: raw.virtualenv.map(|path| self.virtualenv(&path)).transpose()?,
            python_path,
            hooks_place: raw.hooks.as_ref().map(|module| module.place),
            hooks: raw.hooks.map(|module| module.value.0),
            environment: raw.environment.map_or_else(Default::default, |variables| variables.value.0),
            run_as: run_as(raw.user, raw.group, raw.groups)?,
            umask: raw.umask.map(|mode| mode.value.0),
            no_new_privileges: raw.no_new_privileges.value,
            listen: self.listeners(raw.listen.value, &raw.backlog, &origin.proxies)?,
            statics: self.statics(raw.statics)?,
            workers,
            threads,
            threads_min,
            switch_interval: raw.switch_interval.map(|interval| interval.value),
            engine: raw.engine.value.engine(),
            body: raw.body.value,
            limits: limits(or_defaults(raw.limits, name.place)?)?,
            timeouts: timeouts(or_defaults(raw.timeouts, name.place)?),
            reload: self::reload(reload),
            on_broken_start: raw.on_broken_start.value,
            recycle: recycle(or_defaults(raw.recycle, name.place)?),
            origin,
            name: name.text,
        })
    }

    /// An existing folder, absolute. Links stay as they are: a deploy that turns one is meant to be seen.
    fn folder(&self, key: &str, path: &At<PathText>) -> Result<PathBuf, Fault> {
        let fault = |why: String| Fault::at(path.place, why).of_key(key);
        let folder = absolute(self.machine.folder.join(&path.value.0))
            .map_err(|why| fault(format!("cannot make {} absolute: {why}", shown(&path.value.0))))?;
        match fs::metadata(&folder) {
            Ok(found) if found.is_dir() => Ok(folder),
            Ok(_) => Err(fault(format!("{} is not a folder", shown(&folder.to_string_lossy())))),
            Err(why) => {
                Err(fault(format!("cannot find the folder {}: {}", shown(&folder.to_string_lossy()), cause(&why))))
            }
        }
    }

    /// A file that may not be there yet, in a folder that is. Absolute.
    fn file(&self, key: &str, path: &At<PathText>) -> Result<PathBuf, Fault> {
        let fault = |why: String| Fault::at(path.place, why).of_key(key);
        let file = absolute(self.machine.folder.join(&path.value.0))
            .map_err(|why| fault(format!("cannot make {} absolute: {why}", shown(&path.value.0))))?;
        let text = shown(&file.to_string_lossy());
        if file.is_dir() || path.value.0.ends_with('/') {
            return Err(fault(format!("{text} is a folder: name a file in it")));
        }
        match file.parent() {
            Some(folder) if folder.is_dir() => Ok(file),
            Some(_) | None => Err(fault(format!("cannot make {text}: its folder does not exist"))),
        }
    }

    fn statics(&self, raw: Option<At<StaticFolders>>) -> Result<Vec<StaticFiles>, Fault> {
        let files = |(prefix, raw): (tree::Key, StaticFolder)| {
            Ok(StaticFiles {
                folder: self.folder(&prefix.text, &raw.path)?,
                prefix: prefix.text,
                cache_control: raw.cache_control.map(|value| value.value.0),
            })
        };
        raw.map_or_else(Vec::new, |folders| folders.value.0).into_iter().map(files).collect()
    }

    fn virtualenv(&self, path: &At<PathText>) -> Result<PathBuf, Fault> {
        let folder = self.folder("virtualenv", path)?;
        if folder.join("pyvenv.cfg").is_file() {
            return Ok(folder);
        }
        let text = format!("{} is not a virtualenv: it has no pyvenv.cfg", shown(&folder.to_string_lossy()));
        Err(Fault::at(path.place, text).of_key("virtualenv"))
    }

    fn tls(&mut self, address: &Address, raw: At<raw::Tls>) -> Result<Tls, Fault> {
        let folder = &self.machine.folder;
        let (tls, overdue) = tls::check(raw, folder, self.machine.now)?;
        self.overdue.extend(overdue.into_iter().map(|fault| (address.clone(), fault)));
        Ok(tls)
    }

    fn listeners(&mut self, raw: Listeners, backlog: &At<Count>, trusted: &Proxies) -> Result<Vec<Listener>, Fault> {
        raw.0.into_iter().map(|listener| self.listener(listener.value, backlog, trusted)).collect()
    }

    fn listener(&mut self, raw: raw::Listener, backlog: &At<Count>, trusted: &Proxies) -> Result<Listener, Fault> {
        let place = raw.address.place;
        let fault = |text: String| Fault::at(place, text).of_key("listen");
        let address = address(&raw.address.value.0, &self.machine.folder).map_err(fault)?;
        self.claim(&address, place).map_err(fault)?;
        for (key, given) in
            [("mode", raw.mode.given.then_some(raw.mode.place)), ("owner", raw.owner.as_ref().map(|owner| owner.place))]
        {
            if let (Some(place), Address::Tcp(_) | Address::Abstract(_)) = (given, &address) {
                return Err(
                    Fault::at(place, format!("{} has no file: remove it", shown(&address.to_string()))).of_key(key)
                );
            }
        }
        gateway::expect_fitting(&raw)?;
        let owner = raw.owner.map_or(Ok((None, None)), |owner| owner::of_socket(&owner))?;
        let backlog = self.backlog(raw.backlog.as_ref().unwrap_or(backlog));
        let tls = raw.tls.map(|tls| self.tls(&address, tls)).transpose()?;
        let proxy_protocol = raw.proxy_protocol.value.allowed(trusted);
        let (protocol, mode) = (raw.protocol.value, raw.mode.value.0);
        let (allow, secret) = (raw.allow.map(|allow| allow.value), raw.secret.map(|secret| secret.value.0));
        Ok(Listener { address, protocol, backlog, mode, owner, tls, proxy_protocol, allow, secret })
    }

    /// The path of the control socket, absolute. It must be no listener's, so it is checked before them.
    fn control(&mut self, path: &At<PathText>) -> Result<PathBuf, Fault> {
        let fault = |text: String| Fault::at(path.place, text).of_key("control");
        if path.value.0.starts_with('@') || path.value.0.starts_with("unix:") {
            return Err(fault(format!("{} is no path: write `/run/monoceros/control.sock`", shown(&path.value.0))));
        }
        let address = address(&format!("unix:{}", path.value.0), &self.machine.folder).map_err(fault)?;
        self.claim(&address, path.place).map_err(fault)?;
        match address {
            Address::Unix(path) => Ok(path),
            Address::Abstract(_) | Address::Tcp(_) => unreachable!("a path was written"),
        }
    }

    /// Where the supervisor answers those who watch it.
    fn metrics(&mut self, text: &At<AddressText>) -> Result<Address, Fault> {
        let fault = |why: String| Fault::at(text.place, why).of_key("metrics");
        let address = address(&text.value.0, &self.machine.folder).map_err(fault)?;
        self.claim(&address, text.place).map_err(fault)?;
        Ok(address)
    }

    /// Takes an address for the one that is bound to it.
    fn claim(&mut self, address: &Address, place: Place) -> Result<(), String> {
        let Some(first) = self.listeners.insert(address.clone(), place) else {
            return Ok(());
        };
        let line = Some(first.line).filter(|line| *line > 0);
        let first = line.map_or(String::new(), |line| format!(": it is already on line {line}"));
        Err(format!("duplicate address {}{first}", shown(&address.to_string())))
    }

    /// The backlog as it was asked for, with a warning, once for each place, when the kernel will cut it.
    fn backlog(&mut self, asked: &At<Count>) -> u32 {
        let number = asked.value.get();
        if let Some(most) = self.machine.somaxconn.filter(|most| *most < number) {
            let text = format!("{number} is above net.core.somaxconn: {most} is what the kernel allows");
            let warning = Fault::at(asked.place, text).of_key("backlog");
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        u32::try_from(number).unwrap_or(u32::MAX)
    }
}

/// The cause in words; the one that configs most often have without its number.
pub(super) fn cause(why: &io::Error) -> String {
    if why.kind() == ErrorKind::NotFound { "it does not exist".into() } else { why.to_string() }
}

fn run_as(
    user: Option<At<Principal>>,
    group: Option<At<Principal>>,
    groups: Option<At<Principals>>,
) -> Result<Option<RunAs>, Fault> {
    let needs_user = |place, key| Err(Fault::at(place, "it needs `user` beside it").of_key(key));
    match (user, group, groups) {
        (Some(user), group, groups) => owner::of_workers(&user, group.as_ref(), groups.as_ref()).map(Some),
        (None, Some(group), _) => needs_user(group.place, "group"),
        (None, None, Some(groups)) => needs_user(groups.place, "groups"),
        (None, None, None) => Ok(None),
    }
}

fn limits(mut raw: raw::Limits) -> Result<Limits, Fault> {
    let (line, head) = (&mut raw.request_line_max, raw.header_bytes_max.value.0);
    if line.value.0 > head && line.given {
        let text = "it is above `header_bytes_max`, which counts the request line too";
        return Err(Fault::at(line.place, text).of_key("request_line_max"));
    }
    line.value.0 = line.value.0.min(head);
    let bytes = |size: At<Size>| usize::try_from(size.value.0).unwrap_or(usize::MAX);
    Ok(Limits {
        request_line_max: bytes(raw.request_line_max),
        header_count_max: raw.header_count_max.value.get(),
        header_bytes_max: bytes(raw.header_bytes_max),
        body_bytes_max: raw.body_bytes_max.value.0,
        body_memory_max: bytes(raw.body_memory_max),
        connections_max: raw.connections_max.value.get(),
        queue_max: raw.queue_max.value.get(),
        body_rate_min: raw.body_rate_min.value.0,
    })
}

fn timeouts(raw: raw::Timeouts) -> Timeouts {
    Timeouts {
        boot: raw.boot.value,
        head: raw.head.value,
        body: raw.body.value,
        request: raw.request.value,
        queue: raw.queue.value,
        keepalive: raw.keepalive.value,
        write: raw.write.value,
        drain: raw.drain.value,
        heartbeat: raw.heartbeat.value,
        drain_delay: raw.drain_delay.value,
    }
}

/// A readiness request that no client could make would find nothing.
fn expect_ready_below_mount(reload: &raw::Reload, mount: &str) -> Result<(), Fault> {
    let Some(ready) = &reload.ready else { return Ok(()) };
    let path = &ready.value.0.path;
    match path.value.0.strip_prefix(mount) {
        Some(rest) if rest.is_empty() || rest.starts_with(['/', '?']) => Ok(()),
        Some(_) | None => {
            let text = format!(
                "{} is not below `mount`: write {}",
                shown(&path.value.0),
                shown(&format!("{mount}{}", path.value.0))
            );
            Err(Fault::at(path.place, text).of_key("ready"))
        }
    }
}

fn reload(raw: raw::Reload) -> Reload {
    let ready = raw.ready.map(|ready| {
        let raw = ready.value.0;
        Ready {
            path: raw.path.value.0,
            host: raw.host.value.0,
            scheme: raw.scheme.value.0.to_owned(),
            status: raw.status.and_then(|status| u16::try_from(status.value.get()).ok()),
        }
    });
    Reload {
        ready,
        on_change: raw.on_change.map_or_else(Vec::new, |globs| globs.value.into_texts()),
        ignore: raw.ignore.map_or_else(Vec::new, |globs| globs.value.into_texts()),
        surge: match raw.surge.value {
            Surge::All => None,
            Surge::Exactly(count) => Some(count.get()),
        },
    }
}

fn recycle(raw: raw::Recycle) -> Recycle {
    Recycle {
        requests: raw.requests.map(|requests| requests.value.get() as u64),
        memory: raw.memory.map(|memory| memory.value.0),
        age: raw.age.map(|age| age.value),
    }
}
