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
    /// The same, which passes on requests and answers as they come.
    NginxUnbuffered,
    /// Apache httpd, behind `examples/behind-apache`.
    Apache,
    /// HAProxy, behind `examples/behind-haproxy`.
    Haproxy,
    /// The same, with FastCGI requests beside each other on one connection, as no other web server sends them.
    HaproxySharing,
    /// lighttpd, of which there is no example.
    Lighttpd,
}

/// A web server, and the server behind it.
pub struct Front {
    process: Process,
    server: Server,
    addresses: BTreeMap<u16, SocketAddr>,
}

/// By which sockets a web server reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sockets {
    OfTheExample,
    Others,
}

/// The application that all web servers are tried with.
const EVERY_ANSWER: &str = "../../tests/apps/shop.py";
/// Where the examples' applications lie.
const PLACE: &str = "/srv/shop";
/// The ports of the examples, the web servers' and our own, those in the place of Unix sockets, and the one where the server says what it counts.
const PORTS: [u16; 15] = [8081, 8082, 8083, 8084, 8085, 8086, 8087, 8088, 8009, 8010, 8090, 8091, 8092, 8093, METRICS];
const METRICS: u16 = 9100;

impl Kind {
    fn example(self) -> &'static str {
        match self {
            Kind::Nginx | Kind::NginxUnbuffered => "behind-nginx",
            Kind::Apache => "behind-apache",
            Kind::Haproxy | Kind::HaproxySharing | Kind::Lighttpd => "behind-haproxy",
        }
    }

    /// The example as it stands.
    pub fn with_its_own_application(self) -> Front {
        self.serve("shop.py", Sockets::OfTheExample)
    }

    /// The example with the application that all web servers are tried with.
    pub fn with_every_answer(self) -> Front {
        self.serve(EVERY_ANSWER, Sockets::OfTheExample)
    }

    /// The same by the other kind of sockets: TCP where the example has Unix sockets, and these where it has TCP.
    pub fn with_other_sockets(self) -> Front {
        self.serve(EVERY_ANSWER, Sockets::Others)
    }

    fn serve(self, application: &str, sockets: Sockets) -> Front {
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
        let places = Places { folder: folder_of(&site), addresses, sockets };
        places.adapt(&site);
        let server = site.serve();
        let process = self.start(server.site(), &places);
        let Places { addresses, .. } = places;
        let front = Front { process, server, addresses };
        front.wait_for(&self.ports());
        front
    }

    /// The ports that it listens on.
    fn ports(self) -> Vec<u16> {
        match self {
            Kind::Nginx | Kind::NginxUnbuffered => vec![8081, 8082, 8083, 8084, 8085],
            Kind::Apache => vec![8081, 8082, 8083, 8084, 8086, 8087, 8088],
            Kind::Haproxy | Kind::HaproxySharing => vec![8081, 8082, 8085],
            Kind::Lighttpd => vec![8081, 8082, 8083, 8084, 8088],
        }
    }

    fn start(self, site: &Site, places: &Places) -> Process {
        let (program, text, options) = match self {
            Kind::Nginx | Kind::NginxUnbuffered => {
                for file in ["fastcgi_params", "scgi_params", "uwsgi_params"] {
                    fs::copy(Path::new("/etc/nginx").join(file), site.path(file)).expect("nginx has parameters");
                }
                let text = include_str!("nginx.conf");
                let text = if self == Kind::Nginx { text.to_owned() } else { unbuffered(text) };
                ("nginx", text, "-e stderr -c FILE")
            }
            Kind::Apache => {
                let listen = self.ports().iter().map(|port| format!("Listen 127.0.0.1:{port}\n")).collect::<String>();
                ("apache2", include_str!("httpd.conf").to_owned() + &listen, "-DFOREGROUND -f FILE")
            }
            Kind::Haproxy => ("haproxy", site.read("haproxy.cfg"), "-db -f FILE"),
            Kind::HaproxySharing => ("haproxy", sharing(&site.read("haproxy.cfg")), "-db -f FILE"),
            Kind::Lighttpd => {
                let own = places.addresses[&8081];
                let text = include_str!("lighttpd.conf").replace("ADDRESS", &own.ip().to_string());
                ("lighttpd", text.replace("PORT", &own.port().to_string()), "-D -f FILE")
            }
        };
        site.put("front.conf", &places.put_into(&text));
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

/// nginx's configuration without its buffers.
fn unbuffered(text: &str) -> String {
    let off = ["proxy", "fastcgi", "scgi", "uwsgi"]
        .map(|protocol| format!("    {protocol}_buffering off;\n    {protocol}_request_buffering off;\n"));
    text.replacen("http {\n", &format!("http {{\n{}", off.concat()), 1)
}

/// HAProxy's configuration with requests beside each other on one connection, and little patience.
fn sharing(text: &str) -> String {
    // A thread of its own has connections of its own.
    text.replace("defaults\n", "global\n    nbthread 1\ndefaults\n    http-reuse always\n")
        .replace("option keep-conn", "option keep-conn\n    option mpxs-conns\n    option max-reqs 50")
        .replace("timeout server 120s", "timeout server 2s")
}

fn folder_of(site: &Site) -> String {
    site.path("").to_string_lossy().trim_end_matches('/').to_owned()
}

/// What stands in the place of the examples' folder, ports and sockets.
struct Places {
    folder: String,
    addresses: BTreeMap<u16, SocketAddr>,
    sockets: Sockets,
}

impl Places {
    /// Puts it into every file of the site.
    fn adapt(&self, site: &Site) {
        for name in ["server.yaml", "shop.conf", "stream.conf", "haproxy.cfg", "shop.cgi", "shop.fcgi"] {
            let text = site.read(name);
            if !text.is_empty() {
                fs::write(site.path(name), self.put_into(&text)).expect("a file of ours can be written");
            }
        }
    }

    fn put_into(&self, text: &str) -> String {
        let text = match self.sockets {
            Sockets::OfTheExample => text.to_owned(),
            Sockets::Others => self.exchange(text),
        };
        self.addresses.iter().fold(text.replace(PLACE, &self.folder), |text, (port, address)| {
            text.replace(&format!("127.0.0.1:{port}"), &address.to_string())
        })
    }

    /// Each socket as the YAML and each web server writes it, by one of the other kind.
    fn exchange(&self, text: &str) -> String {
        let mut text = text.replace(", mode: \"${MODE:-0660}\"", "");
        for (name, scheme, port) in
            [("http", "http", 8090), ("fastcgi", "fcgi", 8091), ("scgi", "scgi", 8092), ("uwsgi", "uwsgi", 8093)]
        {
            let (socket, address) = (format!("{PLACE}/{name}.sock"), self.addresses[&port]);
            text = text
                .replace(&format!("unix:{name}.sock"), &address.to_string())
                .replace(&format!("unix:{socket}|{scheme}://shop/"), &format!("{scheme}://{address}/"))
                .replace(&format!("unix:{socket}"), &address.to_string())
                .replace(&format!("unix@{socket}"), &address.to_string())
                .replace(
                    &format!("\"socket\" => \"{socket}\""),
                    &format!("\"host\" => \"{}\", \"port\" => {}", address.ip(), address.port()),
                );
        }
        for (name, port) in [("ajp", 8009), ("proxied", 8010)] {
            let (tcp, socket) = (format!("127.0.0.1:{port}"), format!("{PLACE}/{name}.sock"));
            text = text
                .replace(&format!("address: {tcp}"), &format!("address: \"unix:{name}.sock\", mode: \"0666\""))
                .replace(&format!("ajp://{tcp}/"), &format!("unix:{socket}|ajp://shop/"))
                .replace(&format!("proxy_pass {tcp}"), &format!("proxy_pass unix:{socket}"))
                .replace(&format!("server shop {tcp}"), &format!("server shop unix@{socket}"));
        }
        text
    }
}
