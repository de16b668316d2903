//! Who is trusted: addresses and networks of proxies, and whether the clients of Unix sockets are among them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::fault::{Fault, shown};
use super::schema::{self, Range};
use super::section::Read;
use super::tree::{Kind, Node, Value};

/// All addresses that begin with the same bits (CIDR, RFC 4632, RFC 4291 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether the address is one of them. An IPv4 address that came as IPv6 (`::ffff:192.0.2.1`) counts as what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let apart = network.to_bits() ^ address.to_bits();
                u32::from(self.prefix) <= apart.leading_zeros()
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let apart = network.to_bits() ^ address.to_bits();
                u32::from(self.prefix) <= apart.leading_zeros()
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// The network that `text` means: an address, or an address and how many of its first bits count.
    fn parse(text: &str) -> Result<Network, String> {
        let wrong = |why: &str| {
            format!("{} is no network: {why}: write `10.0.0.0/8`, `192.0.2.1`, `\"::1\"`, `unix` or `all`", shown(text))
        };
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr =
            address.parse().map_err(|_| wrong("host names are not looked up, and this is no address"))?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(digits) if digits.len() <= 3 && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits
                    .parse()
                    .ok()
                    .filter(|prefix| *prefix <= longest)
                    .ok_or_else(|| wrong(&format!("at most {longest} bits can count")))?
            }
            Some(_) => return Err(wrong("behind the `/` stands how many bits count")),
        };
        if address != address.to_canonical() {
            return Err(wrong("write an IPv4 address as such"));
        }
        let network = Network { address: first(address, prefix), prefix };
        if network.address != address {
            return Err(wrong(&format!("it has bits that do not count: did you mean `{network}`?")));
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The address with all bits behind the first `prefix` cleared.
fn first(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let behind = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & !behind).into()
        }
        IpAddr::V6(address) => {
            let behind = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & !behind).into()
        }
    }
}

/// What a network looks like, for editors: an address of digits and dots or with colons, and perhaps how many bits count.
const PATTERN: &str = "^(unix|all|[0-9.]+(/[0-9]+)?|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(/[0-9]+)?)$";

/// Peers whose word on other clients is believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxies {
    /// Whether every client of a Unix socket is one.
    pub unix: bool,
    /// Where the others are.
    pub networks: Vec<Network>,
}

impl Proxies {
    /// Whether whoever has this address is one.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }

    /// Those of a list with commas, and whoever can reach a Unix socket.
    ///
    /// # Errors
    /// When one is no address.
    pub(super) fn of_web_servers(list: &str) -> Result<Proxies, String> {
        let address = |text: &str| {
            let text = text.trim();
            Network::parse(text).map_err(|_| format!("FCGI_WEB_SERVER_ADDRS: {} is no address", shown(text)))
        };
        Ok(Proxies { unix: true, networks: list.split(',').map(address).collect::<Result<_, _>>()? })
    }

    fn add(&mut self, node: &Node) -> Result<(), Fault> {
        match node.text("a network such as `10.0.0.0/8`, `unix` or `all`")? {
            "unix" => self.unix = true,
            "all" => {
                self.unix = true;
                self.networks.extend(["0.0.0.0/0", "::/0"].iter().flat_map(|all| Network::parse(all)));
            }
            text => self.networks.push(Network::parse(text).map_err(|why| Fault::at(node.place, why))?),
        }
        Ok(())
    }
}

impl Default for Proxies {
    /// The machine itself, as under gunicorn: who can connect from there can do worse things than to lie.
    fn default() -> Proxies {
        let own = ["127.0.0.1", "::1"].iter().flat_map(|own| Network::parse(own)).collect();
        Proxies { unix: true, networks: own }
    }
}

impl Read for Proxies {
    const FORM: &'static str = "a network, `unix` or `all`, or a list of them";

    fn schema(_: Range) -> serde_json::Value {
        schema::one_or_any(schema::matching(PATTERN, &["10.0.0.0/8", "unix", "all"]))
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let mut proxies = Proxies { unix: false, networks: Vec::new() };
        match &node.value {
            Value::List(items) => items.iter().try_for_each(|item| proxies.add(item))?,
            Value::Scalar(..) | Value::Map(_) => proxies.add(node)?,
        }
        Ok(proxies)
    }
}

/// Whether a listener's clients begin with a PROXY header.
#[derive(Clone, Debug)]
pub(super) enum ProxyProtocol {
    /// They do not.
    Off,
    /// They do, and are trusted proxies.
    On,
    /// They do, and are these.
    From(Proxies),
}

impl ProxyProtocol {
    /// Who may connect, where `trusted` are the application's proxies; `None`: everybody, and without a header.
    pub fn allowed(self, trusted: &Proxies) -> Option<Proxies> {
        match self {
            ProxyProtocol::Off => None,
            ProxyProtocol::On => Some(trusted.clone()),
            ProxyProtocol::From(proxies) => Some(proxies),
        }
    }
}

impl Read for ProxyProtocol {
    const FORM: &'static str = "true | false | who may send it";

    fn schema(range: Range) -> serde_json::Value {
        schema::any_of([schema::boolean(), Proxies::schema(range)])
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        match &node.value {
            Value::Scalar(Kind::Boolean, _) => {
                Ok(if bool::read(node)? { ProxyProtocol::On } else { ProxyProtocol::Off })
            }
            Value::Scalar(Kind::Expanded, text) if matches!(text.as_str(), "true" | "false") => {
                Ok(if text == "true" { ProxyProtocol::On } else { ProxyProtocol::Off })
            }
            Value::Scalar(..) | Value::List(_) | Value::Map(_) => Proxies::read(node).map(ProxyProtocol::From),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(network: &str, address: &str) -> bool {
        Network::parse(network).unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_has_the_addresses_that_begin_as_it_does() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.0/31", "192.0.2.1", true),
            ("192.0.2.0/31", "192.0.2.2", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("0.0.0.0/0", "::ffff:192.0.2.1", true),
            ("::/0", "2001:db8::1", true),
            ("::/0", "::ffff:192.0.2.1", false),
            ("::1", "::1", true),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
        ] {
            assert_eq!(has(network, address), expected, "{network} {address}");
        }
    }
}
