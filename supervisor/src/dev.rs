//! `supervisor dev`: one application, no file, hot reload.
//!
//! ```text
//!   one worker, four threads, every *.py below the current folder and every loaded module is watched, each request is a line
//! ```
//!
//! A save that cannot be loaded leaves the code before it serving, to programs; browsers see the traceback until the next
//! save.

use std::net::{Ipv4Addr, TcpListener};

use clap::Args;
use monoceros_shared::config::{Access, Address, Checked};
use monoceros_shared::config::{CommandLine, Error, from_command_line};

/// An application to work on.
#[derive(Debug, Args)]
pub struct Dev {
    /// MODULE:ATTRIBUTE, or MODULE:FACTORY().
    #[arg(value_name = "MODULE:CALLABLE")]
    pub wsgi: String,
    /// Where to listen; without it, the first free port of 127.0.0.1 from 8000 on.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Vec<String>,
}

/// The first port that is tried.
const PORT: u16 = 8000;

/// Ports that are tried.
const PORTS: u16 = 100;

/// Threads: as many as a browser has connections to one server would be six; one would let a slow request or a
/// debugger keep the page's other parts waiting.
const THREADS: &str = "4";

/// The config of an application that somebody works on.
pub fn config(wsgi: String, listen: Vec<String>) -> Result<Checked, Error> {
    let listen = if listen.is_empty() { vec![free_address()] } else { listen };
    let (workers, threads) = (Some("1".to_owned()), Some(THREADS.to_owned()));
    let line = CommandLine { wsgi, listen, workers, threads, ..CommandLine::default() };
    let mut checked = from_command_line(line)?;
    checked.config.log.access = Access::Lines;
    for app in &mut checked.config.apps {
        app.reload.on_change = vec!["**/*.py".to_owned()];
    }
    Ok(checked)
}

/// What to tell at the start: what is where.
pub fn greeting(checked: &Checked) -> String {
    let addresses = checked.config.apps.iter().flat_map(|app| &app.listen).map(|listener| match &listener.address {
        Address::Tcp(address) => format!("http://{address}/"),
        other => other.to_string(),
    });
    format!("{}\nreloads when a file changes; Ctrl-C stops", addresses.collect::<Vec<_>>().join("\n"))
}

/// An address that nobody listens on now. If somebody takes it before we do, binding says so.
fn free_address() -> String {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let port = (PORT..PORT + PORTS).find(is_free).unwrap_or(PORT);
    format!("{}:{port}", Ipv4Addr::LOCALHOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_passed_over() {
        // Whoever has it: it is taken while this lives.
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT));
        let address = free_address();
        assert_ne!(address, "127.0.0.1:8000");
        TcpListener::bind(&address).unwrap();
    }

    #[test]
    fn what_is_worked_on_is_watched_and_told_of() {
        let checked = config("shop:app".into(), vec!["127.0.0.1:8123".into(), "unix:/tmp/dev.sock".into()]).unwrap();
        let app = &checked.config.apps[0];
        assert_eq!(
            (app.workers, app.threads, app.reload.on_change.as_slice()),
            (1, 4, ["**/*.py".to_owned()].as_slice())
        );
        assert_eq!(checked.config.log.access, Access::Lines);
        let greeting = greeting(&checked);
        assert!(greeting.starts_with("http://127.0.0.1:8123/\nunix:/tmp/dev.sock\n"), "{greeting}");
        assert!(config("no callable".into(), Vec::new()).is_err());
    }
}
