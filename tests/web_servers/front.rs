//! A web server of the distribution's before our server, by a configuration of `examples/`, of which only paths and ports are changed.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::harness::{Client, Process, Server, Site, eventually, installed, program, repository};
use crate::metrics::page::Page;

/// Which web server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// nginx, behind `examples/behind-nginx`.
    Nginx,
    /// Apache httpd, behind `examples/behind-apache`.
    Apache,
    /// HAProxy, behind `examples/behind-haproxy`.
    Haproxy,
    /// lighttpd, of which there is no example.
    Lighttpd,
}

/// A web server, and the server behind it.
pub struct Front {
    process: Process,
    server: Server,
    addresses: BTreeMap<u16, SocketAddr>,
}

/// Where the examples' applications lie.
const PLACE: &str = "/srv/shop";
/// The ports of the examples, the web servers' and our own, and the one where the server says what it counts.
const PORTS: [u16; 11] = [8081, 8082, 8083, 8084, 8085, 8086, 8087, 8088, 8009, 8010, METRICS];
const METRICS: u16 = 9100;

impl Kind {
    fn example(self) -> &'static str {
        match self {
            Kind::Nginx => "behind-nginx",
            Kind::Apache => "behind-apache",
            Kind::Haproxy | Kind::Lighttpd => "behind-haproxy",
        }
    }

    /// The example as it stands.
    pub fn with_its_own_application(self) -> Front {
        self.serve("shop.py")
    }

    /// The example with the application that all web servers are tried with.
    pub fn with_every_answer(self) -> Front {
        self.serve("../../tests/apps/shop.py")
    }

    fn serve(self, application: &str) -> Front {
        let example = repository().join("examples").join(self.example());
        let mut site = Site::copy_of(&example).variable("MODE", "0666");
        let source = fs::read_to_string(example.join(application)).expect("an application can be read");
        site = site.file("shop.py", &source).file("version", "1");
        if self == Kind::Lighttpd {
            let yaml = include_str!("lighttpd.yaml");
            site = site.file("server.yaml", yaml);
        }
        let yaml = site.read("server.yaml");
        site = site.file("server.yaml", &format!("metrics: 127.0.0.1:{METRICS}\n{yaml}"));
        for (name, command) in [
            ("shop.cgi", format!("{} --cgi shop:application", program("worker").display())),
            ("shop.fcgi", format!("{} run shop:application --threads 4", program("supervisor").display())),
        ] {
            site = site.file(name, &format!("#!/bin/sh\ncd {PLACE} && exec {command}\n"));
            fs::set_permissions(site.path(name), fs::Permissions::from_mode(0o755)).expect("a file's mode can be set");
        }
        // A web server does not look into a folder as root.
        fs::set_permissions(site.path(""), fs::Permissions::from_mode(0o755))
            .expect("our own folder's mode can be set");
        let addresses: BTreeMap<u16, SocketAddr> = PORTS.map(|port| (port, site.another_address())).into();
        adapt(&site, &addresses);
        let server = site.serve();
        let process = self.start(server.site(), &addresses);
        let front = Front { process, server, addresses };
        front.wait_for(&self.ports());
        front
    }

    /// The ports that it listens on.
    fn ports(self) -> Vec<u16> {
        match self {
            Kind::Nginx => vec![8081, 8082, 8083, 8084, 8085],
            Kind::Apache => vec![8081, 8082, 8083, 8084, 8086, 8087, 8088],
            Kind::Haproxy => vec![8081, 8082, 8085],
            Kind::Lighttpd => vec![8081, 8083, 8088],
        }
    }

    fn start(self, site: &Site, addresses: &BTreeMap<u16, SocketAddr>) -> Process {
        let folder = site.path("").to_string_lossy().trim_end_matches('/').to_owned();
        let (program, text, options) = match self {
            Kind::Nginx => {
                for file in ["fastcgi_params", "scgi_params", "uwsgi_params"] {
                    fs::copy(Path::new("/etc/nginx").join(file), site.path(file)).expect("nginx has parameters");
                }
                ("nginx", include_str!("nginx.conf").to_owned(), "-e stderr -c FILE")
            }
            Kind::Apache => {
                let listen = self.ports().iter().map(|port| format!("Listen 127.0.0.1:{port}\n")).collect::<String>();
                ("apache2", include_str!("httpd.conf").to_owned() + &listen, "-DFOREGROUND -f FILE")
            }
            Kind::Haproxy => ("haproxy", site.read("haproxy.cfg"), "-db -f FILE"),
            Kind::Lighttpd => {
                let own = addresses[&8081];
                let text = include_str!("lighttpd.conf").replace("ADDRESS", &own.ip().to_string());
                ("lighttpd", text.replace("PORT", &own.port().to_string()), "-D -f FILE")
            }
        };
        site.put("front.conf", &moved(&text, &folder, addresses));
        let file = site.path("front.conf").to_string_lossy().into_owned();
        let options: Vec<String> = options.split(' ').map(|word| word.replace("FILE", &file)).collect();
        Process::start(&installed(program), &options, &site.path(""), &[])
    }
}

impl Front {
    /// A client of the web server's, on this port of the example.
    pub fn connect(&self, port: u16) -> Client {
        Client::connect(self.addresses[&port])
    }

    /// The server behind it.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// How many connections of the web server's its workers have accepted so far.
    pub fn accepted(&self) -> u64 {
        Page::ask(self.addresses[&METRICS]).of("connections_accepted_total", "") as u64
    }

    fn wait_for(&self, ports: &[u16]) {
        for port in ports {
            eventually("the web server to listen", || {
                let status = self.process.status();
                assert!(status.is_none(), "the web server ended ({status:?}): {}", self.process.output());
                Client::try_connect(self.addresses[port]).map(drop)
            });
        }
    }
}

/// Every file of the site for this folder and these addresses.
fn adapt(site: &Site, addresses: &BTreeMap<u16, SocketAddr>) {
    let folder = site.path("").to_string_lossy().trim_end_matches('/').to_owned();
    for name in ["server.yaml", "shop.conf", "stream.conf", "haproxy.cfg", "shop.cgi", "shop.fcgi"] {
        let text = site.read(name);
        if !text.is_empty() {
            fs::write(site.path(name), moved(&text, &folder, addresses)).expect("a file of ours can be written");
        }
    }
}

fn moved(text: &str, folder: &str, addresses: &BTreeMap<u16, SocketAddr>) -> String {
    let ports = addresses.iter();
    ports.fold(text.replace(PLACE, folder), |text, (port, address)| {
        text.replace(&format!("127.0.0.1:{port}"), &address.to_string())
    })
}
