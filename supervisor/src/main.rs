//! `supervisor`: from the command line to an exit status. What it does is in the library.

use std::process::ExitCode;

use monoceros_shared::{config, exit};
use monoceros_supervisor::command::{Command, Line, What};
use monoceros_supervisor::core::plan::Manner;
use monoceros_supervisor::dev::Dev;
use monoceros_supervisor::printed::print;
use monoceros_supervisor::succession::preflight;
use monoceros_supervisor::{check, dev, migrate, serve, standard_input};

fn main() -> ExitCode {
    let status = match Line::read().wanted() {
        Command::Run(what) => run_it(what),
        Command::Check(asked) => check::check(asked),
        Command::Schema => print(&format!("{:#}\n", config::schema())),
        Command::Migrate(asked) => migrate::migrate(&asked),
        Command::Dev(dev) => work_on(dev),
        Command::Status(status) => status.ask(),
        Command::Top(server) => server.top(),
        Command::Reload(reload) => reload.ask(),
        Command::Scale(scale) => scale.ask(),
        Command::Reopen(server) => server.reopen(),
        Command::Upgrade(server) => server.upgrade(),
        Command::Preflight(asked) => preflight::run(asked.file.as_deref()),
        Command::Stacks(stacks) => stacks.ask(),
        Command::Stop(server) => server.stop(),
        Command::Doctor(doctor) => doctor.examine(),
        Command::Completions(completions) => completions.print(),
        Command::Manual(manual) => manual.write(),
    };
    ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX))
}

fn run_it(what: What) -> i32 {
    if standard_input::is_cgi_request() {
        return answer_request(&what);
    }
    let file = what.file();
    serve::serve(file, Manner::Production, || {
        let mut checked = what.read().map_err(|error| error.to_string())?;
        standard_input::serve(&mut checked.config)?;
        Ok::<_, String>(checked)
    })
}

/// A web server has started us as a CGI program.
fn answer_request(what: &What) -> i32 {
    let why = match what.wsgi() {
        Some(wsgi) => standard_input::answer_cgi_request(wsgi),
        None => "cannot answer a CGI request by a file: name MODULE:CALLABLE".to_owned(),
    };
    println!("Status: 500 Internal Server Error\r\nContent-Type: text/plain\r\n\r\nInternal Server Error");
    refuse(&why)
}

fn work_on(work: Dev) -> i32 {
    serve::serve(None, Manner::Development, || {
        let checked = dev::config(work.wsgi, work.listen)?;
        println!("{}", dev::greeting(&checked));
        Ok::<_, config::Error>(checked)
    })
}

fn refuse(error: &impl std::fmt::Display) -> i32 {
    eprintln!("{error}");
    exit::USAGE
}
