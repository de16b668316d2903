//! What a deploy may be, and how it gets to the server's folder.
//!
//! Whole files are moved into place, as a careful deploy does; what goes wrong here is what they say.

use std::fs;
use std::net::{SocketAddr, TcpListener};

use nix::unistd::Pid;

use crate::harness::{Server, Site};

/// What a deploy is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deploy {
    /// It works.
    Good,
    /// Its code raises at import.
    Raises,
    /// Its code exits at import.
    Exits,
    /// Its code hangs at import, and one of its workers is killed there: not one was adopted.
    Killed,
    /// The YAML cannot be parsed.
    BadYaml,
    /// The YAML names an address that somebody else has.
    AddressTaken,
}

impl Deploy {
    /// All that break, the last two only where there is a YAML.
    pub const BROKEN: [Deploy; 5] =
        [Deploy::Raises, Deploy::Exits, Deploy::Killed, Deploy::BadYaml, Deploy::AddressTaken];

    fn code(self, version: usize) -> String {
        match self {
            Deploy::Good | Deploy::BadYaml | Deploy::AddressTaken => format!("VERSION = {version}\n"),
            Deploy::Raises => format!("raise RuntimeError('deploy {version} is broken')\n"),
            Deploy::Exits => "import os\nos._exit(7)\n".to_owned(),
            Deploy::Killed => "import os, threading\nopen(f'hanging.{os.getpid()}', 'w').close()\n\
                threading.Event().wait()\n"
                .to_owned(),
        }
    }
}

/// The folder that deploys go to.
pub struct Ground<'a> {
    site: &'a Site,
    yaml: Option<String>,
    squatter: TcpListener,
    listen: SocketAddr,
}

impl Ground<'_> {
    /// That of a server, as it is now.
    pub fn of(server: &Server) -> Ground<'_> {
        Ground {
            site: server.site(),
            yaml: Some(server.site().read("server.yaml")).filter(|yaml| !yaml.is_empty()),
            squatter: TcpListener::bind(server.site().another_address()).expect("there are free ports"),
            listen: server.address(),
        }
    }

    /// Whether deploys can break a YAML here.
    pub fn has_yaml(&self) -> bool {
        self.yaml.is_some()
    }

    /// Puts a deploy in place; the server is not told.
    pub fn place(&self, deploy: Deploy, version: usize) {
        if let Some(yaml) = &self.yaml {
            self.site.put("server.yaml", &self.broken(yaml, deploy));
        }
        self.site.put("deploy.py", &deploy.code(version));
    }

    fn broken(&self, yaml: &str, deploy: Deploy) -> String {
        match deploy {
            Deploy::BadYaml => format!("{yaml}\n  nonsense: [\n"),
            Deploy::AddressTaken => {
                let taken = self.squatter.local_addr().expect("a listener has an address");
                yaml.replace(&format!("listen: {}", self.listen), &format!("listen: ['{}', '{taken}']", self.listen))
            }
            Deploy::Good | Deploy::Raises | Deploy::Exits | Deploy::Killed => yaml.to_owned(),
        }
    }

    /// The workers that hang at their import.
    pub fn hanging(&self) -> Vec<Pid> {
        let names = fs::read_dir(self.site.path("")).expect("the folder is there").filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            name.strip_prefix("hanging.")?.parse::<i32>().ok()
        });
        names.map(Pid::from_raw).collect()
    }

    /// Forgets who hung.
    pub fn forget_hanging(&self) {
        for entry in fs::read_dir(self.site.path("")).expect("the folder is there").flatten() {
            if entry.file_name().to_string_lossy().starts_with("hanging.") {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}
