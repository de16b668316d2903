//! The `worker` program. The supervisor starts it; started by hand it says so, tells what it is, or answers one CGI request.

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let status = match &words[..] {
        [cgi, wsgi] if cgi == "--cgi" => monoceros_worker::once::run(wsgi),
        [about] if about == "--about" => monoceros_worker::about::run(),
        _ => monoceros_worker::run::run(),
    };
    std::process::exit(status);
}
