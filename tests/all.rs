//! Every promise of Monoceros that needs real processes, and the house rules that need the whole tree. One binary.
//!
//! A test starts the two programs as `cargo build --workspace --bins` left them, talks to them as strangers do, and
//! waits for facts: never for time. What pure parts promise is tested beside them, in their own files.

mod harness;

// The house rules, held to the source itself.
mod tidy;

// Four lines of YAML, and somebody is served.
mod serve;
// What clients meet before it is.
mod boot;
// Each folder of `examples/`, used as a person would.
mod examples;
// Images, clusters, blue and green: as far as one machine allows.
mod deployment;
// Real frameworks, and what depends on processes and threads around them.
mod frameworks;
// The rules of RFC 9110 and 9112 that servers get wrong, over a socket.
mod http;
// The same rules as a table of cases, for ours and its peers.
mod conformance;
// Several workers, and whose clients are whose.
mod fairness;
// More requests than threads.
mod crowd;
// gevent, eventlet, tornado: calls that wait without a thread.
mod engines;
// Answers that come in pieces, and answers that come together.
mod pieces;
// Bodies that the application reads itself.
mod streamed;
// Files that are served without Python.
mod static_files;
// TLS: certificates, clients that show them, sessions that go on, strangers.
mod tls;
// PEP 3333, by applications in `apps/`.
mod wsgi;
// Hooks: functions and commands that are called when something happens.
mod hooks;
// Where an application lives: interpreter, paths, variables, user, children.
mod home;
// Proxies, and whose word counts.
mod trust;
// Web servers before it: FastCGI, SCGI, AJP, uwsgi.
mod gateways;
// Real web servers before it.
mod web_servers;
// The access log, identifiers of requests, early hints.
mod access;
// Killed workers, slow clients, floods of nonsense.
mod faults;
// Workers that die in every way, cannot be had, or hang.
mod crashes;
// Workers that are out of descriptors, or of room on the disk.
mod exhausted;
// Calls that take long, and what each timeout means.
mod timeouts;
// Signals, processes, descriptors.
mod supervise;
// Whose power a worker has, and what its supervisor keeps.
mod privileges;
// What is left when a process is gone: nothing. PID 1, children, a thousand reloads.
mod remains;
// What a service manager is told, and what is taken from it.
mod systemd;
// What an application prints, and where it goes.
mod output;
// What a reload changes, and what a reload that fails does not.
mod reload;
// Supervisors that are killed and followed by others, or upgraded.
mod succession;
// Work on an application: its server watches.
mod develop;
// Reloads under clients that forgive nothing.
mod chaos;
// What is told to those who watch: Prometheus, statsd, probes.
mod metrics;
// Commands to a server that runs, and hostile company on its control socket.
mod commands;
// From configs of other servers to ours.
mod migrate;
// What editors and people are told of a file.
mod schema;
// A server at work, on a terminal.
mod top;
// What the command line says, and its exit status.
mod cli;
// What is wrong with an installation.
mod doctor;
// Packages: installed, used and removed.
mod packages;
// What the documents say: done, read, followed.
mod documents;
