//! `supervisor`: from the command line to an exit status. What it does is in the library.

use std::process::ExitCode;

use clap::Parser;
use monoceros_shared::{exit, log};
use monoceros_supervisor::command::{Command, Line, What};
use monoceros_supervisor::{check, run};
use slog::warn;

fn main() -> ExitCode {
    let status = match Line::parse().wanted() {
        Command::Run(what) => serve(what),
        Command::Check(what) => would_serve(what),
    };
    ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX))
}

fn serve(what: What) -> i32 {
    let file = what.file();
    let checked = match what.read() {
        Ok(checked) => checked,
        Err(error) => return refuse(&error),
    };
    let (logger, _guard) = log::start(&checked.config.log);
    for warning in &checked.warnings {
        warn!(logger, "config"; "why" => warning.to_string());
    }
    run::run(&checked.config, file, &logger)
}

fn would_serve(what: What) -> i32 {
    let file = what.file();
    let checked = match what.read() {
        Ok(checked) => checked,
        Err(error) => return refuse(&error),
    };
    for warning in &checked.warnings {
        eprintln!("{warning}");
    }
    check::check(&checked.config, file.as_deref())
}

fn refuse(error: &impl std::fmt::Display) -> i32 {
    eprintln!("{error}");
    exit::USAGE
}
