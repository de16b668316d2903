//! The `worker` program. The supervisor starts it; started by hand it says so.

fn main() {
    std::process::exit(monoceros_worker::run::run());
}
