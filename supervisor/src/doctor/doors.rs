//! Where a file wants to listen, and what it wants to write: are the addresses free, the folders there, the keys secret?
//!
//! A TCP address is bound for a moment and does not listen, so nobody can connect meanwhile. A Unix socket's place is only looked at.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use monoceros_shared::config::{Address, App, Config, Listener, Tls};
use monoceros_shared::tls::Certificate;
use nix::unistd::AccessFlags;

use super::finding::Finding;
use super::writable;
use crate::listen::{cause, could_bind};
use crate::metrics::{endpoint, statsd};

/// How long before its end a certificate is warned about: what renews them by itself does so a month before.
const NOTICE: Duration = Duration::from_secs(14 * 24 * 3600);

/// Whether this file is served now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Running {
    /// By the server of this process.
    By(u32),
    /// By workers whose supervisor is gone: their processes.
    Orphaned(String),
    /// It is not.
    No,
}

impl Running {
    /// The server's process, if one runs.
    pub fn server(&self) -> Option<u32> {
        match self {
            Running::By(pid) => Some(*pid),
            Running::Orphaned(_) | Running::No => None,
        }
    }
}

/// What is to be said of the listeners and the files that are written.
pub fn findings(config: &Config, running: &Running) -> Vec<Finding> {
    let mut found = Vec::new();
    for (app, listener) in config.apps.iter().flat_map(|app| app.listen.iter().map(move |listener| (app, listener))) {
        found.push(address(format!("{}: listen", app.name), listener, running));
        found.extend(listener.tls.as_ref().map(|tls| certificates(app, tls)));
    }
    found.extend(config.metrics.as_ref().map(|place| metrics(place, running)));
    found.extend(config.statsd.as_ref().map(|server| statsd(&server.address)));
    let written = [("control socket", &config.control), ("pid file", &config.pid_file), ("log file", &config.log.file)];
    found.extend(written.into_iter().filter_map(|(check, path)| Some(in_folder(check, path.as_deref()?))));
    found
}

/// Where the supervisor itself listens. Workers without one have nothing of that.
fn metrics(place: &Address, running: &Running) -> Finding {
    let orphaned = matches!(running, Running::Orphaned(_));
    address("metrics".into(), &endpoint::listener(place), if orphaned { &Running::No } else { running })
}

/// Whether anything could be sent there. A server that is missing is no harm to ours, which tries again and again.
fn statsd(server: &Address) -> Finding {
    match statsd::could_reach(server) {
        Ok(()) => Finding::ok("statsd", format!("{server} can be sent to")),
        Err(error) => Finding::warn(
            "statsd",
            format!("{server} cannot be sent to: {}", cause(&error)),
            "start what takes its datagrams there, or correct `statsd: {address: …}`; meanwhile nobody is told anything",
        ),
    }
}

fn address(check: String, listener: &Listener, running: &Running) -> Finding {
    let name = listener.address.to_string();
    match (could_bind(listener), running) {
        (Ok(()), _) => Finding::ok(check, format!("{name} is free")),
        (Err(why), Running::By(pid)) if may_hold(*pid, &why) => {
            Finding::ok(check, format!("{name} is held by the server that runs, process {pid}"))
        }
        (Err(_), Running::Orphaned(pids)) => Finding::warn(
            check,
            format!("{name} is held by workers whose supervisor is gone: processes {pids}"),
            "start the server: it takes them over, and no client notices",
        ),
        // Whom a socket unit's socket belongs to, until its service takes it.
        (Err(why), Running::No) if why.contains("(by process 1, systemd)") => {
            Finding::ok(check, format!("{name} is held by systemd, whose socket unit gives it to the service"))
        }
        (Err(why), Running::No | Running::By(_)) => {
            Finding::wrong(check, format!("cannot bind {name}: {why}"), advice(&why, &listener.address))
        }
    }
}

/// Whether it is the server of this process that has an address, its workers, or systemd for it; of a holder that is not seen it is believed.
fn may_hold(server: u32, why: &str) -> bool {
    let holder = why.split_once("(by process ").and_then(|(_, holder)| holder.split_once(',')?.0.parse::<u32>().ok());
    holder.is_none_or(|holder| holder == 1 || holder == server || parent(holder) == Some(server))
}

fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

fn advice(why: &str, address: &Address) -> &'static str {
    match (why, address) {
        (why, _) if why.contains("already in use") => {
            "end who has it (`ss -ltnp` and `ss -lxp` list who listens), or listen elsewhere; of a server of this file itself, ask as its user"
        }
        (why, Address::Tcp(_)) if why.contains("Permission denied") => {
            "ports below 1024 are root's: start it as root with a `user`, or setcap cap_net_bind_service=+ep on the supervisor"
        }
        (why, Address::Tcp(_)) if why.contains("Cannot assign") => {
            "this machine has no such address: `ip address` lists those that it has"
        }
        (_, Address::Tcp(_) | Address::Unix(_) | Address::Abstract(_)) => {
            "listen elsewhere, or remove what is in the way"
        }
    }
}

/// Certificates are read with the file, which refuses what cannot be served; what is left is their end, and who reads their keys.
fn certificates(app: &App, tls: &Tls) -> Finding {
    let check = format!("{}: tls", app.name);
    let open = tls.certificates.iter().map(|(_, key)| key).find(|key| is_open(key));
    if let Some(key) = open {
        let shown = key.display();
        return Finding::warn(check, format!("everybody can read the key {shown}"), format!("chmod o-rwx {shown}"));
    }
    let credentials = tls.material.held().map_or(&[][..], |held| &held.credentials);
    let ends = credentials.iter().filter_map(|credential| Certificate::read(credential.chain.first()?).ok());
    let soon = |certificate: &Certificate| ends_soon(certificate.valid.until, SystemTime::now());
    match ends.into_iter().find(soon) {
        Some(certificate) => Finding::warn(
            check,
            format!("the certificate of {} ends within {} days", certificate.subject, NOTICE.as_secs() / 86_400),
            "renew it; with `watch: true` the new one is shown without a reload",
        ),
        None => Finding::ok(check, format!("{} certificates", credentials.len())),
    }
}

fn is_open(key: &Path) -> bool {
    fs::metadata(key).is_ok_and(|found| found.permissions().mode() & 0o004 != 0)
}

fn ends_soon(until: u64, now: SystemTime) -> bool {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Duration::from_secs(until) < now + NOTICE
}

/// Whether a file can be made where it is to be, or written if it is there.
fn in_folder(check: &str, path: &Path) -> Finding {
    let folder = path.parent().unwrap_or(Path::new("/"));
    match writable(folder, AccessFlags::W_OK | AccessFlags::X_OK) {
        Ok(()) => Finding::ok(check, path.display().to_string()),
        Err(why) => Finding::wrong(
            check,
            format!("cannot write {}: {why}", path.display()),
            format!("make {} writable for the supervisor's user", folder.display()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use monoceros_shared::config::{CommandLine, from_command_line};

    use super::super::finding::Verdict;
    use super::*;

    fn config(listen: &str) -> Config {
        let line = CommandLine { wsgi: "shop:app".into(), listen: vec![listen.to_owned()], ..CommandLine::default() };
        from_command_line(line).unwrap().config
    }

    #[test]
    fn an_address_that_is_taken_is_wrong_unless_the_server_itself_has_it() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let config = config(&taken.local_addr().unwrap().to_string());
        let finding = findings(&config, &Running::No).remove(0);
        assert!(finding.found.contains("Address already in use"), "{finding:?}");
        assert!(finding.advice.unwrap().contains("ss -ltnp"));
        for ours in [std::process::id(), std::os::unix::process::parent_id()] {
            assert_eq!(findings(&config, &Running::By(ours))[0].verdict, Verdict::Ok);
        }
        let stranger = &findings(&config, &Running::By(7))[0];
        assert!(
            stranger.verdict == Verdict::Wrong && stranger.found.contains("Address already in use"),
            "{stranger:?}"
        );
        let orphaned = &findings(&config, &Running::Orphaned("7, 8".into()))[0];
        assert!(orphaned.verdict == Verdict::Warn && orphaned.found.ends_with("processes 7, 8"), "{orphaned:?}");
        drop(taken);
        assert_eq!(findings(&config, &Running::No)[0].verdict, Verdict::Ok);
        // It was let go again.
        TcpListener::bind(config.apps[0].listen[0].address.to_string()).unwrap();
    }

    #[test]
    fn the_place_of_a_unix_socket_is_looked_at_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.sock");
        let config = config(&format!("unix:{}", path.display()));
        assert_eq!(findings(&config, &Running::No)[0].verdict, Verdict::Ok);
        assert!(!path.exists());
        fs::write(&path, "").unwrap();
        assert!(findings(&config, &Running::No)[0].found.contains("no socket is in the way"));
        assert!(path.exists());
    }

    #[test]
    fn where_metrics_are_to_be_had_is_looked_at_as_where_applications_listen() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = Address::Tcp(taken.local_addr().unwrap());
        let found = |running| metrics(&place, &running);
        assert!(found(Running::No).found.contains("Address already in use"));
        assert_eq!(found(Running::By(std::process::id())).verdict, Verdict::Ok);
        assert_eq!(found(Running::Orphaned("7".into())).verdict, Verdict::Wrong, "workers do not listen there");
        drop(taken);
        assert_eq!(found(Running::No).verdict, Verdict::Ok);
        let nowhere = metrics(&Address::Unix("/nowhere/at/all.sock".into()), &Running::No);
        assert_eq!((nowhere.check.as_str(), nowhere.verdict), ("metrics", Verdict::Wrong));
    }

    #[test]
    fn a_statsd_server_that_is_not_there_is_warned_about_where_that_can_be_known() {
        let folder = tempfile::tempdir().unwrap();
        let place = Address::Unix(folder.path().join("statsd.sock"));
        let missing = statsd(&place);
        assert!(missing.verdict == Verdict::Warn && missing.found.contains("No such file"), "{missing:?}");
        let server = std::os::unix::net::UnixDatagram::bind(folder.path().join("statsd.sock")).unwrap();
        assert_eq!(statsd(&place).verdict, Verdict::Ok);
        drop(server);
        assert!(statsd(&place).found.contains("Connection refused"));
        // Of a datagram's address nobody knows whether somebody listens.
        assert_eq!(statsd(&Address::Tcp("127.0.0.1:9".parse().unwrap())).verdict, Verdict::Ok);
    }

    #[test]
    fn an_address_of_another_machine_is_said_to_be_one() {
        let finding = findings(&config("192.0.2.1:8000"), &Running::No).remove(0);
        assert!(finding.advice.unwrap().contains("ip address"), "{}", finding.found);
    }

    #[test]
    fn a_certificate_is_warned_about_a_fortnight_before_its_end() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        assert!(ends_soon(1_000_000_000 + NOTICE.as_secs() - 1, now));
        assert!(!ends_soon(1_000_000_000 + NOTICE.as_secs() + 1, now));
    }

    #[test]
    fn a_folder_that_is_not_there_cannot_be_written_to() {
        let finding = in_folder("pid file", Path::new("/nowhere/at/all.pid"));
        assert_eq!((finding.check.as_str(), finding.verdict), ("pid file", Verdict::Wrong));
    }
}
