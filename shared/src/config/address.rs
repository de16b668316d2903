//! The text of an address, and the address that it means.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, absolute};

use super::Address;
use super::fault::shown;

/// The forms, for whoever wrote none of them.
const FORMS: &str = "`127.0.0.1:8000`, `[::1]:8000`, `localhost:8000`, `:8000`, `unix:/run/shop.sock` or `unix:@name`";

/// Bytes of a path or name that the kernel's `sun_path` has room for, beside its NUL (unix(7)).
const UNIX_MAX: usize = 107;

/// The address that `text` means, a relative path taken from `folder`.
///
/// `:8000` is every IPv4 address, as gunicorn has it; port 0 lets the kernel choose. `localhost` is 127.0.0.1 without
/// asking anyone (RFC 6761, 6.3), and no other host name is taken: which address it has would be decided by a name server
/// that may not answer, or answer otherwise at the next reload.
pub fn address(text: &str, folder: &Path) -> Result<Address, String> {
    match text.strip_prefix("unix:") {
        Some(path) => unix(path, folder),
        None => tcp(text).map(Address::Tcp),
    }
}

fn unix(path: &str, folder: &Path) -> Result<Address, String> {
    if path.is_empty() || path == "@" {
        return Err(format!("`unix:{path}` has no name: write `unix:/run/shop.sock` or `unix:@name`"));
    }
    let (length, address) = match path.strip_prefix('@') {
        Some(name) => (name.len(), Address::Abstract(name.to_owned())),
        None => {
            let path =
                absolute(folder.join(path)).map_err(|why| format!("cannot make {} absolute: {why}", shown(path)))?;
            (path.as_os_str().as_bytes().len(), Address::Unix(path))
        }
    };
    if length > UNIX_MAX {
        return Err(format!(
            "{} is too long for a Unix socket: {length} bytes, and {UNIX_MAX} are the most",
            shown(&address.to_string())
        ));
    }
    Ok(address)
}

fn tcp(text: &str) -> Result<SocketAddr, String> {
    let wrong = |why: &str| format!("{} is no address: {why}: write {FORMS}", shown(text));
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(wrong("it has no port"));
    };
    if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong("its port is no number"));
    }
    let port: u16 = port.parse().map_err(|_| wrong("ports end at 65535"))?;
    let ip: IpAddr = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(host) => host.parse::<Ipv6Addr>().map_err(|_| wrong("no IPv6 address is in the brackets"))?.into(),
        None if host.is_empty() => Ipv4Addr::UNSPECIFIED.into(),
        None if host == "localhost" => Ipv4Addr::LOCALHOST.into(),
        None if host.parse::<Ipv6Addr>().is_ok() => {
            return Err(wrong("an IPv6 address stands in brackets"));
        }
        None if host.bytes().all(|b| b.is_ascii_digit() || b == b'.') => {
            host.parse::<Ipv4Addr>().map_err(|_| wrong("that is no IPv4 address"))?.into()
        }
        None => return Err(wrong("host names other than localhost are not looked up")),
    };
    Ok(SocketAddr::new(ip, port))
}
