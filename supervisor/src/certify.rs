//! What workers get of their listeners' TLS: certificates with their keys, and what session tickets are sealed with.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use monoceros_shared::config::{Address, App, Checked, Config, Tls};
use monoceros_shared::link::fd::Carrier;
use monoceros_shared::tls::{Material, Parcel, Ratchet};
use slog::{Logger, warn};

/// Makes parcels. The secret of tickets is one for the life of the supervisor, so that every worker opens what another has
/// sealed, before a reload and after it.
#[derive(Default)]
pub struct Certifier {
    ratchet: Option<Ratchet>,
}

impl Certifier {
    /// Sends a worker what it needs of each encrypted listener of its application that `is_wanted`.
    ///
    /// # Errors
    /// When files are to be read again and cannot be, the kernel has no memory, or the worker is gone.
    pub fn send(&mut self, app: &App, is_wanted: impl Fn(&str) -> bool, carrier: &Carrier) -> io::Result<()> {
        for listener in &app.listen {
            let name = listener.address.to_string();
            if let Some(tls) = listener.tls.as_ref().filter(|_| is_wanted(&name)) {
                carrier.send(&Parcel::name(&name), self.parcel(tls)?.as_fd())?;
            }
        }
        Ok(())
    }

    fn parcel(&mut self, tls: &Tls) -> io::Result<OwnedFd> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let ratchet = match &mut self.ratchet {
            Some(ratchet) => ratchet,
            none => none.insert(Ratchet::new(now)?),
        };
        ratchet.turn(now);
        let material = tls.material().map_err(io::Error::other)?;
        Parcel { material, ratchet: ratchet.clone() }.seal()
    }
}

/// Whether a config may take the place of the one that runs: not when it would show a certificate whose time is not now instead of
/// what is shown. One that is shown already stays, and is complained of.
///
/// # Errors
/// What a check says of it.
pub fn admit(checked: &Checked, running: &Config, log: &Logger) -> Result<(), String> {
    for overdue in &checked.overdue {
        match (material(running, &overdue.listener), material(&checked.config, &overdue.listener)) {
            (Some(shown), Some(next)) if shown.is_same(next) => {
                warn!(log, "config"; "why" => overdue.error.to_string());
            }
            (Some(_) | None, Some(_) | None) => return Err(overdue.error.to_string()),
        }
    }
    Ok(())
}

fn material<'a>(config: &'a Config, listener: &Address) -> Option<&'a Material> {
    let mut listeners = config.apps.iter().flat_map(|app| &app.listen);
    let found = listeners.find(|known| known.address == *listener)?;
    found.tls.as_ref().map(|tls| &tls.material)
}
