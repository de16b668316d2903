//! The `worker` program. The supervisor starts it; started by hand it says so, tells what it is, or answers one CGI request.

use std::io::Write;

/// What `--help` prints.
const HELP: &str =
    "Calls a Python WSGI application for the supervisor, which starts it: to serve something, `supervisor run -c FILE`.

Usage: worker --cgi MODULE:CALLABLE
       worker --about

  --cgi MODULE:CALLABLE  Answer the one CGI request in the environment and on standard input, and end
  --about                Print the version, and which Python this program starts
  -h, --help             Print help
  -V, --version          Print version

Exit status: 0 done, 1 failed, 2 started by hand with nothing to do.
Read on: `supervisor --help`; docs/how-to/web-servers.md has the CGI part";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let status = match &words[..] {
        [cgi, wsgi] if cgi == "--cgi" => monoceros_worker::once::run(wsgi),
        [about] if about == "--about" => monoceros_worker::about::run(),
        [help] if help == "--help" || help == "-h" => say(HELP),
        [version] if version == "--version" || version == "-V" => say(concat!("worker ", env!("CARGO_PKG_VERSION"))),
        _ => monoceros_worker::run::run(),
    };
    std::process::exit(status);
}

/// Prints it; the exit status. Who reads may have seen enough.
fn say(text: &str) -> i32 {
    let told = writeln!(std::io::stdout(), "{text}");
    i32::from(told.is_err())
}
