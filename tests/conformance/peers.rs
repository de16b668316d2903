//! The peers, each as its users start it, with one process and a few threads where it has them.
//!
//! They come from `make conformance`, in the virtual environment that `make bench` and `make chaos` use too. One that dies of a case, or
//! hangs, is started anew: the case is lost, the others are not.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::judge::{Judge, Manner, Measure};
use super::{judge, site};
use crate::harness::{Server, eventually, target_folder};

/// How long a peer may take for a byte. On an idle machine all of them need a hundredth of it.
const PATIENCE: Duration = Duration::from_millis(2500);

/// A server of another project.
pub struct Peer {
    /// Its name, with what is unusual about how it is started.
    pub name: &'static str,
    program: &'static str,
    arguments: fn(SocketAddr) -> Vec<String>,
}

/// All of them.
pub const PEERS: &[Peer] = &[
    Peer { name: "gunicorn", program: "gunicorn", arguments: gunicorn },
    Peer { name: "waitress", program: "waitress-serve", arguments: waitress },
    Peer { name: "granian", program: "granian", arguments: granian },
    Peer { name: "bjoern", program: "python", arguments: bjoern },
];

/// By threads, since its sync workers keep no connection alive.
fn gunicorn(listen: SocketAddr) -> Vec<String> {
    words(&format!("--worker-class gthread --threads 4 --keep-alive 60 --bind {listen} --log-level critical {APP}"))
}

fn waitress(listen: SocketAddr) -> Vec<String> {
    words(&format!("--threads 4 --listen {listen} {APP}"))
}

fn granian(listen: SocketAddr) -> Vec<String> {
    words(&format!(
        "--interface wsgi --blocking-threads 4 --no-ws --host {} --port {} --log-level critical {APP}",
        listen.ip(),
        listen.port()
    ))
}

fn bjoern(listen: SocketAddr) -> Vec<String> {
    let (host, port) = (listen.ip(), listen.port());
    vec!["-c".to_owned(), format!("import bjoern, conformance; bjoern.run(conformance.application, '{host}', {port})")]
}

const APP: &str = "conformance:application";

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

impl Peer {
    /// Starts it on a site of its own and waits until it answers.
    pub fn start(&self) -> Server {
        let program = target_folder().join("bench-venv/bin").join(self.program);
        assert!(program.exists(), "{} is not there: run `make conformance`", program.display());
        let site = site();
        let arguments = (self.arguments)(site.listen());
        let server = site.launch_rival(&program, &arguments);
        let judge = self.judge(&server);
        eventually(&format!("{} to answer", self.name), || judge.is_served().then_some(()));
        server
    }

    /// Who judges it.
    pub fn judge(&self, server: &Server) -> Judge {
        judge(server, PATIENCE, Manner::Whole, Measure::TheCase)
    }

    /// The version that pip installed.
    pub fn version(&self) -> String {
        let library = target_folder().join("bench-venv/lib");
        let mut found = packages(&library).filter_map(|path| {
            let name = path.file_name()?.to_str()?.strip_suffix(".dist-info")?.to_owned();
            let (package, version) = name.split_once('-')?;
            (package == self.name).then(|| version.to_owned())
        });
        found.next().unwrap_or_default()
    }
}

fn packages(library: &PathBuf) -> impl Iterator<Item = PathBuf> {
    let entries =
        |folder: &PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let pythons: Vec<PathBuf> = entries(library).collect();
    pythons.into_iter().flat_map(move |python| entries(&python.join("site-packages")).collect::<Vec<_>>())
}
