//! Sends numbers to a statsd server, now and then. It costs no request anything.
//!
//! Rules
//! * Nothing here waits: what a full socket does not take is told with the next lines, if none of these was taken, else lost.
//! * A server that is not there is said once, and again when it has been there in between. Over UDP nobody knows.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram};
use std::time::Instant;

use monoceros_shared::config::{Address, Statsd as Config};
use slog::{Logger, info, warn};

use super::lines::{self, Told};
use crate::listen::cause;
use crate::status::Report;

/// Bytes of a datagram. More does not pass a network of 1500 bytes whole; less are more datagrams.
const DATAGRAM_BYTES_MAX: usize = 1432;

/// Where numbers are sent to, if anywhere.
pub struct Statsd {
    log: Logger,
    config: Option<Config>,
    way: Option<Way>,
    next: Option<Instant>,
    told: Option<Told>,
    is_lost: bool,
}

enum Way {
    Udp(UdpSocket, SocketAddr),
    Unix(UnixDatagram, UnixAddress),
}

impl Statsd {
    /// To where the config says.
    pub fn new(config: Option<&Config>, log: &Logger) -> Statsd {
        let mut statsd = Statsd { log: log.clone(), config: None, way: None, next: None, told: None, is_lost: false };
        statsd.follow(config);
        statsd
    }

    /// To where the config says now. What was counted and not told yet goes there.
    pub fn follow(&mut self, config: Option<&Config>) {
        if self.config.as_ref() == config {
            return;
        }
        self.config = config.cloned();
        (self.way, self.is_lost) = (None, false);
        self.next = self.config.as_ref().map(|_| Instant::now());
        if self.config.is_none() {
            self.told = None;
        }
    }

    /// When is to be sent next.
    pub fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Whether is to be sent now.
    pub fn is_due(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    /// Sends what has come since the last time, and how things are.
    pub fn send(&mut self, now: Instant, report: &Report) {
        let Some(config) = &self.config else { return };
        self.next = Some(now + config.interval);
        let told = lines::told(report);
        // What was counted before there was a server for it is not its business.
        let before = self.told.get_or_insert_with(|| told.clone());
        let lines = lines::of(report, before, config);
        let outcome = match &self.way {
            Some(way) => Ok(way),
            None => way_to(&config.address).map(|way| &*self.way.insert(way)),
        };
        match outcome.map_err(|error| (error, 0)).and_then(|way| send(way, &lines)) {
            Ok(()) => {
                self.told = Some(told);
                if std::mem::take(&mut self.is_lost) {
                    info!(self.log, "the statsd server is there again"; "address" => config.address.to_string());
                }
            }
            Err((error, sent)) => {
                if sent > 0 {
                    self.told = Some(told);
                }
                if !std::mem::replace(&mut self.is_lost, true) {
                    warn!(self.log, "the statsd server is not reached";
                        "address" => config.address.to_string(), "why" => cause(&error), "next" => "it is tried again and again");
                }
            }
        }
    }
}

/// Whether anything could be sent there: whether there is a way, and for a Unix socket whether somebody listens.
///
/// # Errors
/// The kernel's, of what a datagram would come to.
pub fn could_reach(address: &Address) -> io::Result<()> {
    match way_to(address)? {
        Way::Udp(socket, to) => socket.connect(to),
        Way::Unix(socket, to) => socket.connect_addr(&to),
    }
}

fn way_to(address: &Address) -> io::Result<Way> {
    let unix = |to: io::Result<UnixAddress>| {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Way::Unix(socket, to?))
    };
    match address {
        Address::Tcp(to) => {
            let any: SocketAddr = match to {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let socket = UdpSocket::bind(any)?;
            socket.set_nonblocking(true)?;
            Ok(Way::Udp(socket, *to))
        }
        Address::Unix(path) => unix(UnixAddress::from_pathname(path)),
        Address::Abstract(name) => unix(UnixAddress::from_abstract_name(name)),
    }
}

/// Sends lines, as many in a datagram as fit. With an error comes how many datagrams were sent before it.
fn send(way: &Way, lines: &[String]) -> Result<(), (io::Error, usize)> {
    for (sent, datagram) in datagrams(lines).iter().enumerate() {
        let outcome = match way {
            Way::Udp(socket, to) => socket.send_to(datagram.as_bytes(), to),
            Way::Unix(socket, to) => socket.send_to_addr(datagram.as_bytes(), to),
        };
        outcome.map_err(|error| (error, sent))?;
    }
    Ok(())
}

fn datagrams(lines: &[String]) -> Vec<String> {
    let mut datagrams: Vec<String> = Vec::new();
    for line in lines {
        match datagrams.last_mut() {
            Some(last) if last.len() + 1 + line.len() <= DATAGRAM_BYTES_MAX => {
                last.push('\n');
                last.push_str(line);
            }
            Some(_) | None => datagrams.push(line.clone()),
        }
    }
    datagrams
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_share_datagrams_that_pass_any_network() {
        let lines: Vec<String> = (0..100).map(|number| format!("{number}:{}", "x".repeat(number))).collect();
        let datagrams = datagrams(&lines);
        assert!(datagrams.iter().all(|datagram| datagram.len() <= DATAGRAM_BYTES_MAX), "{datagrams:?}");
        assert_eq!(datagrams.join("\n"), lines.join("\n"));
        assert!(datagrams.len() < 6, "{}", datagrams.len());
    }
}
