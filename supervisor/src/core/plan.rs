//! What is to run, and what differs between two plans.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use monoceros_shared::config::{Address, App, Config, Listener, Log, Protocol};
use monoceros_shared::link::Loss;

use super::fingerprint;

/// What is to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The applications, in the order of the config.
    pub apps: Vec<AppPlan>,
    /// Who looks at it.
    pub manner: Manner,
}

/// Who looks at a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Strangers: a broken application is told to them as 503 and no more.
    Production,
    /// Who writes the application: they are shown the traceback.
    Development,
}

/// One application, as one generation of workers has it.
#[derive(Clone, PartialEq)]
pub struct AppPlan {
    /// Its part of the config.
    pub app: Arc<App>,
    /// How its workers log.
    pub log: Log,
    /// What its workers do when the supervisor is gone.
    pub loss: Loss,
    /// Of all that makes workers of it different from those of another, as [`AppPlan::is_alike`] says.
    fingerprint: u64,
}

/// How long a worker may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From its spawn to `Loaded`.
    pub boot: Duration,
    /// From `Drain` to its exit.
    pub drain: Duration,
}

impl Plan {
    /// A config as a plan.
    pub fn of(config: &Config, manner: Manner) -> Plan {
        let loss = Loss { then: config.on_supervisor_loss, patience: config.orphan_timeout };
        let app = |app: &App| AppPlan::new(app.clone(), config.log.clone(), loss);
        Plan { apps: config.apps.iter().map(app).collect(), manner }
    }

    /// The application of this name.
    pub fn app(&self, name: &str) -> Option<&AppPlan> {
        self.apps.iter().find(|app| app.name() == name)
    }

    /// Every listener, by where it is.
    pub fn listeners(&self) -> BTreeMap<Address, Listener> {
        let all = self.apps.iter().flat_map(|app| &app.app.listen);
        all.map(|listener| (listener.address.clone(), listener.clone())).collect()
    }
}

impl AppPlan {
    /// One that is run.
    pub fn new(app: App, log: Log, loss: Loss) -> AppPlan {
        let like = App { workers: 0, wsgi_place: None, hooks_place: None, ..app.clone() };
        AppPlan { app: Arc::new(app), fingerprint: fingerprint::of(&(like, &log, loss)), log, loss }
    }

    /// What an earlier supervisor ran: all that is known of it is said here, the rest is as in a plan of now. It is like no
    /// other but those with its fingerprint.
    pub fn of_legacy(app: App, like: &AppPlan, fingerprint: u64) -> AppPlan {
        AppPlan { app: Arc::new(app), fingerprint, log: like.log.clone(), loss: like.loss }
    }

    /// Tells it from others that are not like it.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.app.name
    }

    /// Where it listens, for people: `http://127.0.0.1:8000, unix:/run/shop.sock`.
    pub fn listen(&self) -> String {
        let listen: Vec<String> = self.app.listen.iter().map(url).collect();
        listen.join(", ")
    }

    /// How long its workers may take.
    pub fn timeouts(&self) -> Timeouts {
        Timeouts { boot: self.app.timeouts.boot, drain: self.app.timeouts.drain }
    }

    /// Whether its listeners show the same certificates as those of another.
    pub fn has_certificates_of(&self, other: &AppPlan) -> bool {
        let pairs = self.app.listen.iter().zip(&other.app.listen);
        let mut secured = pairs.filter_map(|(ours, theirs)| Some((ours.tls.as_ref()?, theirs.tls.as_ref()?)));
        secured.all(|(ours, theirs)| ours.material.is_same(&theirs.material))
    }

    /// Whether workers of the one can stand in for workers of the other: all is the same but for how many there are, for
    /// where in the file it is written, and for what is in the files of certificates.
    pub fn is_alike(&self, other: &AppPlan) -> bool {
        self.name() == other.name() && self.fingerprint == other.fingerprint
    }
}

impl fmt::Debug for AppPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x{}", self.name(), self.app.workers)
    }
}

/// What one can click on, where there is such a thing.
fn url(listener: &Listener) -> String {
    let scheme = match listener.protocol {
        Protocol::Http if listener.tls.is_some() => "https",
        Protocol::Http => "http",
        Protocol::FastCgi => "fastcgi",
        Protocol::Scgi => "scgi",
        Protocol::Ajp => "ajp",
        Protocol::Uwsgi => "uwsgi",
    };
    match (&listener.address, listener.protocol) {
        (Address::Tcp(address), _) => format!("{scheme}://{address}"),
        (Address::Unix(_) | Address::Abstract(_), Protocol::Http) => listener.address.to_string(),
        (Address::Unix(_) | Address::Abstract(_), _) => format!("{scheme}+{}", listener.address),
    }
}
