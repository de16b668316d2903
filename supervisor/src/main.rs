//! `supervisor`: from the command line to an exit status. What it does is in the library.

use std::process::ExitCode;

use clap::Parser;
use monoceros_shared::exit;
use monoceros_supervisor::command::{Command, Dev, Line, What};
use monoceros_supervisor::core::plan::Manner;
use monoceros_supervisor::{check, dev, run};

fn main() -> ExitCode {
    let status = match Line::parse().wanted() {
        Command::Run(what) => run_it(what),
        Command::Check(what) => would_serve(what),
        Command::Dev(dev) => work_on(dev),
        Command::Status(status) => status.ask(),
        Command::Reload(reload) => reload.ask(),
        Command::Scale(scale) => scale.ask(),
        Command::Reopen(server) => server.reopen(),
        Command::Stacks(stacks) => stacks.ask(),
        Command::Stop(stop) => stop.ask(),
    };
    ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX))
}

fn run_it(what: What) -> i32 {
    let file = what.file();
    match what.read() {
        Ok(checked) => run::run(&checked, file, Manner::Production),
        Err(error) => refuse(&error),
    }
}

fn work_on(work: Dev) -> i32 {
    match dev::config(work.wsgi, work.listen) {
        Ok(checked) => {
            println!("{}", dev::greeting(&checked));
            run::run(&checked, None, Manner::Development)
        }
        Err(error) => refuse(&error),
    }
}

fn would_serve(what: What) -> i32 {
    let file = what.file();
    let checked = match what.read() {
        Ok(checked) => checked,
        Err(error) => return refuse(&error),
    };
    checked.remarks().for_each(|remark| eprintln!("{remark}"));
    if !checked.overdue.is_empty() {
        return exit::USAGE;
    }
    check::check(&checked.config, file.as_deref())
}

fn refuse(error: &impl std::fmt::Display) -> i32 {
    eprintln!("{error}");
    exit::USAGE
}
