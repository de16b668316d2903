//! `supervisor`: from the command line to an exit status. What it does is in the library.

use std::process::ExitCode;

use clap::Parser;
use monoceros_shared::exit;
use monoceros_supervisor::command::{Command, Dev, Line, What};
use monoceros_supervisor::control::ask::{self, Until};
use monoceros_supervisor::control::words::Request;
use monoceros_supervisor::core::plan::Manner;
use monoceros_supervisor::{check, dev, run};

fn main() -> ExitCode {
    let status = match Line::parse().wanted() {
        Command::Run(what) => run_it(what),
        Command::Check(what) => would_serve(what),
        Command::Dev(dev) => work_on(dev),
        Command::Status(status) => {
            let (target, form) = status.meaning();
            ask::status(&target, form)
        }
        Command::Reload(reload) => {
            let (target, until) = reload.meaning();
            ask::order(&target, &Request::Reload, until)
        }
        Command::Scale(scale) => {
            let (target, app, workers) = scale.meaning();
            ask::order(&target, &Request::Scale { app, workers }, Until::Done)
        }
        Command::Reopen(server) => ask::order(&server.target(), &Request::Reopen, Until::Done),
        Command::Stop(server) => ask::stop(&server.target()),
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
