//! One application without a file.

use super::super::read::{CommandLine, check_line};
use super::*;

type Variables<'a> = &'a [(&'a str, &'a str)];

fn check(line: CommandLine, variables: Variables) -> Result<App, String> {
    whole(line, variables).map(|mut config| config.apps.remove(0))
}

fn whole(line: CommandLine, variables: Variables) -> Result<Config, String> {
    let lookup =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
    let checked = check_line(line, &lookup, &Folder::new().machine());
    checked.map(|outcome| outcome.config).map_err(|fault| fault.in_file(None).to_string())
}

fn line(wsgi: &str) -> CommandLine {
    CommandLine { wsgi: wsgi.into(), ..CommandLine::default() }
}

fn addresses(app: &App) -> Vec<String> {
    app.listen.iter().map(|listener| listener.address.to_string()).collect()
}

#[test]
fn the_application_is_enough() {
    let app = check(line("hello:application"), &[]).unwrap();
    assert_eq!((app.name.as_str(), app.wsgi.to_string().as_str()), ("app", "hello:application"));
    assert_eq!(addresses(&app), ["127.0.0.1:8000"]);
    assert_eq!((app.workers, app.threads, app.wsgi_place), (1, 1, None));
}

#[test]
fn options_are_taken() {
    let listen = vec![":1".into(), "unix:@a".into()];
    let options = CommandLine { listen, workers: Some("auto".into()), threads: Some("4".into()), ..line("a:b()") };
    let app = check(options, &[("PORT", "5000"), ("WEB_CONCURRENCY", "7")]).unwrap();
    assert_eq!(addresses(&app), ["0.0.0.0:1", "unix:@a"]);
    assert_eq!((app.workers, app.threads, app.wsgi.to_string().as_str()), (2, 4, "a:b()"));
}

#[test]
fn a_platforms_variables_stand_in_for_options() {
    let app = check(line("a:b"), &[("PORT", "5000"), ("WEB_CONCURRENCY", "7")]).unwrap();
    assert_eq!((addresses(&app), app.workers), (vec!["0.0.0.0:5000".into()], 7));
    let app = check(line("a:b"), &[("PORT", ""), ("WEB_CONCURRENCY", "")]).unwrap();
    assert_eq!((addresses(&app), app.workers), (vec!["127.0.0.1:8000".into()], 1));
}

#[test]
fn what_is_wrong_is_said_without_a_place() {
    let refused = |line, variables: Variables| check(line, variables).expect_err("a refused command line");
    assert_eq!(
        refused(line("hello"), &[]),
        "command line: `wsgi`: expected `module:attribute`, found `hello` without a colon: write for example `hello:application`"
    );
    let metrics = |address: &str| CommandLine { metrics: Some(address.into()), ..line("a:b") };
    let address = whole(metrics(":9100"), &[]).unwrap().metrics.map(|address| address.to_string());
    assert_eq!(address.as_deref(), Some("0.0.0.0:9100"));
    assert!(check(metrics("9100"), &[]).unwrap_err().contains("`metrics`: `9100` is no address"));
    let workers = CommandLine { workers: Some("0".into()), ..line("a:b") };
    assert_eq!(refused(workers, &[]), "command line: `workers`: `0` is out of range: 1 to 512");
    let threads = CommandLine { threads: Some("x".into()), ..line("a:b") };
    assert_eq!(
        refused(threads, &[]),
        "command line: `threads`: expected a whole number in decimal digits, found the text `x`"
    );
    let twice = CommandLine { listen: vec![":1".into(), "0.0.0.0:1".into()], ..line("a:b") };
    assert_eq!(refused(twice, &[]), "command line: `listen`: duplicate address `0.0.0.0:1`");
    assert_eq!(
        refused(line("a:b"), &[("PORT", "http")]),
        "command line: the environment variable `PORT` is no port from 0 to 65535: `http`"
    );
    assert_eq!(
        refused(line("a:b"), &[("WEB_CONCURRENCY", "many")]),
        "command line: `WEB_CONCURRENCY`: expected a whole number or `auto`, found the text `many`"
    );
}

#[test]
fn a_dollar_on_the_command_line_is_the_shells_matter() {
    let listen = vec!["unix:@${HOST}$".into()];
    let app = check(CommandLine { listen, ..line("a:b") }, &[]).unwrap();
    assert_eq!(addresses(&app), ["unix:@${HOST}$"]);
}
