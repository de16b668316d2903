//! The same storm over ours and over its peers, and a table of what their clients were denied.
//!
//! The peers come from `make chaos`, in the virtual environment that `make bench` uses too. They run with as many workers
//! and threads as ours, and without a limit on idle connections where they have such a setting, so that what is counted
//! is the reload's. Each is tried with deploys that all work, and with broken ones among them.

use std::path::PathBuf;

use super::storm::{Outcome, Storm};
use super::{expect_losses_accounted_for, expect_nobody_noticed, expect_nothing_left, expect_the_newest, site};
use crate::harness::{Client, Server, Site, descriptors, eventually, target_folder};

/// Prints the table, and fails when ours does not keep its promises.
pub fn compare(full: &Storm) {
    let steady = Storm { broken: false, ..*full };
    let kills = Storm { kills: true, ..*full };
    // Enough to see what becomes of a peer; it needs a second for each.
    let fewer = |storm: Storm| Storm { reloads: storm.reloads.min(20), ..storm };
    let (ours, before) = serve();
    let first = full.rage(&ours);
    let (second_server, _) = serve();
    let second = kills.rage(&second_server);
    let mut rows = vec![row("monoceros, broken deploys", &first), row("monoceros, and killed workers", &second)];
    for (name, rival) in [("gunicorn gthread", gunicorn as fn() -> Server), ("granian", granian)] {
        rows.push(row(name, &fewer(steady).rage(&rival())));
        rows.push(row(&format!("{name}, broken deploys"), &fewer(*full).rage(&rival())));
    }
    println!("\n{HEADING}\n{}\n", rows.join("\n"));
    expect_nobody_noticed(&first);
    expect_nothing_left(&ours, 2, before);
    let (victims, closed) = (second.victims.len(), second.tally.closed.len());
    let (announced, unaccounted) = (second.announced(), second.unaccounted().len());
    println!(
        "killed workers: {victims}; connections lost with them: {closed}, of which {announced} were ended in order by an old \
        worker without an heir; lost without a cause: {unaccounted}"
    );
    expect_losses_accounted_for(&second);
    expect_the_newest(&second);
}

const HEADING: &str = "server                          deploys  broken  seconds  answered   failed   closed  connected again  alive \
    newest  p99 ms calm  p99 ms storm";

fn row(name: &str, outcome: &Outcome) -> String {
    let Outcome { tally, deploys, broken, alive, newest, victims: _, took } = outcome;
    let word = |yes: bool| if yes { "yes" } else { "no" };
    format!(
        "{name:30} {deploys:8} {broken:7} {:8.1} {:9} {:8} {:8} {:16} {:>6} {:>6} {:>12} {:>13}",
        took.as_secs_f64(),
        tally.answered,
        tally.failed.len(),
        tally.closed.len(),
        tally.reconnects(),
        word(*alive),
        word(*newest),
        p99(&tally.calm),
        p99(&tally.stormy),
    )
}

/// Milliseconds.
fn p99(times: &[u32]) -> String {
    let mut times = times.to_vec();
    times.sort_unstable();
    let at = times.len() * 99 / 100;
    times.get(at).map_or("-".to_owned(), |time| format!("{:.1}", f64::from(*time) / 1000.0))
}

/// Ours, and how many descriptors its supervisor has.
fn serve() -> (Server, usize) {
    let server = site().serve();
    let before = descriptors(server.process().pid().as_raw()).len();
    (server, before)
}

fn gunicorn() -> Server {
    let options = "--worker-class gthread --workers 2 --threads 8 --keep-alive 3600 --worker-connections 5000 \
        --graceful-timeout 30 --log-level warning";
    rival("gunicorn", options, |listen| vec!["--bind".to_owned(), listen.to_string()])
}

fn granian() -> Server {
    // It closes a connection on which no head comes for so long; there is no more than a minute.
    let options = "--interface wsgi --workers 2 --blocking-threads 8 --no-ws --http1-header-read-timeout 60000 \
        --backlog 2048 --log-level warning";
    rival("granian", options, |listen| {
        ["--host".to_owned(), listen.ip().to_string(), "--port".to_owned(), listen.port().to_string()].into()
    })
}

fn rival(name: &str, options: &str, listen: impl Fn(std::net::SocketAddr) -> Vec<String>) -> Server {
    let program = peers().join(name);
    assert!(program.exists(), "{} is not there: run `make chaos`", program.display());
    let site: Site = site();
    let mut arguments: Vec<String> = options.split_whitespace().map(str::to_owned).collect();
    arguments.extend(listen(site.listen()));
    arguments.push("deployed:application".to_owned());
    let server = site.launch_rival(&program, &arguments);
    eventually(&format!("{name} to answer"), || {
        let mut client = Client::try_connect(server.address()).ok()?;
        client.try_send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").ok()?;
        client.try_answer("GET").ok()
    });
    server
}

fn peers() -> PathBuf {
    std::env::var_os("CHAOS_PEERS").map_or_else(|| target_folder().join("bench-venv"), PathBuf::from).join("bin")
}
