//! A real database under greenlets: MariaDB of the distribution's, and PyMySQL, which is Python and so is patched as a whole.
//!
//! That calls overlap is no matter of time: the database's own list of sessions says who waits in it.

use std::path::PathBuf;

use nix::unistd::geteuid;

use super::greenlets::ENGINES;
use crate::harness::{Client, Process, Server, Site, eventually, installed};

/// Requests that wait in the database at once.
const WAITING: usize = 50;

/// A database in the folder of a site, empty and open to whoever can reach its socket. It ends with what this gives.
fn start(site: &Site) -> Process {
    let folder = site.path("database");
    std::fs::create_dir(&folder).expect("a folder can be made");
    let mut words: Vec<String> = Vec::new();
    if geteuid().is_root() {
        // Not as root, which it would refuse.
        let nobody = 65_534;
        std::os::unix::fs::chown(&folder, Some(nobody), Some(nobody)).expect("root can give a folder away");
        let site = folder.parent().expect("it lies in the site's folder");
        let others = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(site, others).expect("our own folder can be opened to others");
        words.extend([format!("--reuid={nobody}"), format!("--regid={nobody}"), "--clear-groups".to_owned()]);
    }
    let program: PathBuf = installed("mariadbd");
    words.extend(["--pdeathsig", "KILL", "--", &program.to_string_lossy(), "--no-defaults"].map(str::to_owned));
    words.push(format!("--datadir={}", folder.display()));
    words.push(format!("--socket={}", folder.join("socket").display()));
    // Without tables of users, an empty folder is all that it needs to begin.
    words.extend(["--skip-grant-tables", "--skip-networking", "--innodb-log-file-size=4M"].map(str::to_owned));
    words.extend(["--innodb-buffer-pool-size=8M", "--innodb-flush-log-at-trx-commit=0"].map(str::to_owned));
    let process = Process::start(&installed("setpriv"), &words, &folder, &[]);
    process.line("ready for connections");
    process
}

fn serve(engine: &str, more: &str) -> (Process, Server) {
    let site = Site::new("ledger:application").engine(engine).app(more);
    let database = start(&site);
    let server = site.serve();
    server.get("/begin").expect_status(200);
    server.get("/lock").expect_status(200);
    (database, server)
}

fn begin_to_wait(server: &Server, name: usize) -> Client {
    let mut client = server.connect();
    client.send(format!("GET /wait?{name} HTTP/1.1\r\nHost: h\r\n\r\n"));
    client
}

/// Waits until the database tells this of itself.
fn expect(server: &Server, path: &str, expected: &str) {
    eventually(path, || {
        let told = server.get(path).expect_status(200).text().to_owned();
        (told == expected).then_some(()).ok_or(told)
    });
}

#[test]
fn requests_that_wait_in_a_database_wait_beside_each_other_and_leave_nothing_to_the_next() {
    for engine in ENGINES {
        let (_database, server) = serve(engine, "");
        let mut clients: Vec<Client> = (0..WAITING).map(|name| begin_to_wait(&server, name)).collect();
        expect(&server, "/waiting", &WAITING.to_string());
        assert!(!clients.iter_mut().any(Client::has_something), "none has the lock");
        assert_eq!(server.get("/entries").text(), "", "and nobody has written yet");
        server.get("/unlock").expect_status(200);
        let mut by: Vec<String> = Vec::new();
        for (name, client) in clients.iter_mut().enumerate() {
            let told = client.answer().expect_status(200).text().to_owned();
            let (whose, session) = told.split_once(" by ").expect("its name and its session");
            assert_eq!(whose, name.to_string());
            by.push(session.to_owned());
        }
        expect(&server, "/sessions", "1");
        // By the connections of before: what they left in the database's sessions is gone with those.
        for (name, client) in clients.iter_mut().enumerate().take(5) {
            let told = client.get(&format!("/forget?forgotten-{name}")).expect_status(200).text().to_owned();
            let (entries, session) = told.split_once(" by ").expect("a count and a session");
            assert_eq!(entries, (WAITING + 1).to_string(), "its own is there, and that of no other");
            by.push(session.to_owned());
        }
        expect(&server, "/sessions", "1");
        let mut names: Vec<String> = (0..WAITING).map(|name| name.to_string()).collect();
        names.sort();
        assert_eq!(server.get("/entries").text(), names.join(","), "what was not committed is not there");
        by.sort();
        by.dedup();
        assert_eq!(by.len(), WAITING + 5, "each had a session of its own");
    }
}

#[test]
fn a_query_that_takes_too_long_is_ended_with_its_request_and_its_session_alone() {
    for engine in ENGINES {
        let (_database, server) = serve(engine, "timeouts: {request: 1s}");
        let pid = server.get("/pid").text().to_owned();
        let mut late: Vec<Client> = (0..5).map(|name| begin_to_wait(&server, name)).collect();
        expect(&server, "/waiting", "5");
        late.iter_mut().for_each(|client| drop(client.answer().expect_status(504)));
        let stack = server.logged("request timed out")["stack"].to_string();
        assert!(stack.contains("ledger.py") && stack.contains("in wait"), "{stack}");
        expect(&server, "/told", &format!("[{}]", ["'RequestTimeout'"; 5].join(", ")));
        server.get("/unlock").expect_status(200);
        // The database notices when it has something to say that nobody is there any more.
        expect(&server, "/sessions", "1");
        assert_eq!(server.get("/entries").text(), "", "none went on");
        assert_eq!(begin_to_wait(&server, 7).answer().text().split(' ').next(), Some("7"));
        assert_eq!((server.get("/entries").text(), server.get("/pid").text()), ("7", &*pid));
    }
}
