//! How a Procfile, or a unit, starts gunicorn or uWSGI: which program, with which words behind it, and what stands around it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::draft::Draft;
use super::said::Said;
use super::shell::{self, Word};

/// The servers whose settings are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// gunicorn.
    Gunicorn,
    /// uWSGI.
    Uwsgi,
}

/// A start of one of them.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Which.
    pub program: Program,
    /// Its config file, if this began with one.
    pub file: Option<PathBuf>,
    /// The words behind its name.
    pub flags: Vec<Word>,
    /// Where it is started, if that is known.
    pub folder: Option<PathBuf>,
    /// Variables that it is started with.
    pub environment: BTreeMap<String, String>,
    /// Settings that it is started with, stronger than flags.
    pub settings: Vec<Said>,
    /// The virtualenv that it was installed in, if its path tells.
    pub virtualenv: Option<PathBuf>,
}

impl Launch {
    /// A start with this file and these words.
    pub fn of(program: Program, file: Option<PathBuf>, flags: Vec<Word>) -> Launch {
        Launch {
            program,
            file,
            flags,
            folder: None,
            environment: BTreeMap::new(),
            settings: Vec::new(),
            virtualenv: None,
        }
    }
}

/// Variables that the servers read themselves.
const OF_SERVERS: &[&str] = &["GUNICORN_CMD_ARGS", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "PORT"];

/// The start that a Procfile has: of its process `web`, else of the first that starts one of the servers.
///
/// # Errors
/// When none does.
pub fn of_procfile(text: &str, name: &str, draft: &mut Draft) -> Result<Launch, String> {
    let is_comment = |line: &&str| line.trim_start().starts_with('#');
    let processes: Vec<(&str, &str)> =
        text.lines().filter(|line| !is_comment(line)).filter_map(|line| line.split_once(':')).collect();
    let found = |(process, command): &(&str, &str)| {
        let launch = of_command(command).ok()?;
        Some((process.trim().to_owned(), launch))
    };
    let web = processes.iter().filter(|(process, _)| process.trim() == "web").find_map(found);
    let (process, (launch, around)) = web
        .or_else(|| processes.iter().find_map(found))
        .ok_or_else(|| format!("{name}: none of its processes starts gunicorn or uwsgi"))?;
    draft.head.push(format!("It is the process `{process}` of {name}."));
    tell(around, draft);
    Ok(launch)
}

/// The start that a line for a shell has, and what stands around it.
///
/// # Errors
/// When it starts none of the servers.
pub fn of_command(line: &str) -> Result<(Launch, Vec<String>), String> {
    let words = shell::words(line)?;
    let is_between = |word: &Word| matches!(word.text.as_str(), "&&" | "||" | ";" | "|" | "&");
    let commands: Vec<&[Word]> = words.split(is_between).filter(|command| !command.is_empty()).collect();
    let server =
        commands.iter().position(|command| program(command).is_some()).ok_or("it starts neither gunicorn nor uwsgi")?;
    let others = commands.iter().enumerate().filter(|(number, _)| *number != server);
    let mut around: Vec<String> = others
        .map(|(_, command)| format!("`{}` is run beside it, and is to be run by something else", joined(command)))
        .collect();
    let command = commands[server];
    let (at, kind) = program(command).ok_or("it starts neither gunicorn nor uwsgi")?;
    let mut launch = Launch::of(kind, None, command[at + 1..].to_vec());
    let (before, _) = command.split_at(at);
    let assigned = |word: &Word| word.text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let mut wrappers = Vec::new();
    for word in before {
        match assigned(word).filter(|(name, _)| is_name(name)) {
            // What is assigned before a command is what both servers can be told by a flag, too.
            Some((name, value)) if !OF_SERVERS.contains(&name.as_str()) => {
                let pair = Word { text: format!("{name}={value}"), dollars: word.dollars };
                launch.flags.extend([Word { text: "--env".into(), dollars: word.dollars }, pair]);
            }
            Some((name, value)) => {
                launch.environment.insert(name, value);
            }
            None if ["exec", "env", "-m"].contains(&word.text.as_str()) || is_python(&word.text) => {}
            None => wrappers.push(word.text.clone()),
        }
    }
    if !wrappers.is_empty() {
        around.push(format!(
            "`{}` stands before it: what that does around Python is to be done by a hooks module",
            wrappers.join(" ")
        ));
    }
    launch.virtualenv =
        virtualenv_of(&command[at].text).or_else(|| before.iter().find_map(|word| virtualenv_of(&word.text)));
    Ok((launch, around))
}

/// Says what stands around a start.
pub fn tell(around: Vec<String>, draft: &mut Draft) {
    around.into_iter().for_each(|line| draft.ask(line));
}

/// The name of one of the servers in a command, by whatever path it is called.
fn program(command: &[Word]) -> Option<(usize, Program)> {
    command.iter().enumerate().find_map(|(at, word)| Some((at, server(word)?)))
}

/// Which server a word names, by whatever path.
pub fn server(word: &Word) -> Option<Program> {
    match word.text.rsplit('/').next() {
        Some("gunicorn" | "gunicorn3") => Some(Program::Gunicorn),
        Some("uwsgi") => Some(Program::Uwsgi),
        Some(_) | None => None,
    }
}

fn is_python(text: &str) -> bool {
    text.rsplit('/').next().is_some_and(|name| name.starts_with("python"))
}

/// The virtualenv that a program lies in.
fn virtualenv_of(program: &str) -> Option<PathBuf> {
    let folder = Path::new(program).parent().filter(|bin| bin.ends_with("bin"))?.parent()?;
    let is_system = ["", "/", "/usr", "/usr/local", "/opt"].iter().any(|system| folder == Path::new(system));
    (!is_system).then(|| folder.to_owned())
}

fn joined(words: &[Word]) -> String {
    words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_found_behind_whatever_stands_before_it() {
        for (line, program, flags, around) in [
            ("gunicorn a:b -w 4", Program::Gunicorn, "a:b -w 4", 0),
            ("exec /srv/.venv/bin/gunicorn a:b", Program::Gunicorn, "a:b", 0),
            ("python -m gunicorn a:b", Program::Gunicorn, "a:b", 0),
            ("A=1 B='c d' gunicorn a:b", Program::Gunicorn, "a:b --env A=1 --env B=c d", 0),
            ("newrelic-admin run-program gunicorn a:b", Program::Gunicorn, "a:b", 1),
            ("python manage.py migrate && gunicorn a:b", Program::Gunicorn, "a:b", 1),
            ("uwsgi uwsgi.ini", Program::Uwsgi, "uwsgi.ini", 0),
        ] {
            let (launch, told) = of_command(line).unwrap();
            assert_eq!(
                (launch.program, joined(&launch.flags).as_str(), told.len()),
                (program, flags, around),
                "{line}"
            );
        }
        assert!(of_command("celery worker").is_err());
        let (launch, _) = of_command("A=1 WEB_CONCURRENCY=3 /srv/.venv/bin/gunicorn a:b").unwrap();
        assert_eq!(launch.environment, [("WEB_CONCURRENCY".into(), "3".into())].into());
        assert_eq!(launch.virtualenv, Some("/srv/.venv".into()));
        assert_eq!(of_command("/usr/bin/gunicorn a:b").unwrap().0.virtualenv, None);
    }

    #[test]
    fn the_web_process_is_taken_before_others() {
        let text = "# gunicorn x:y\nadmin: gunicorn c:d\nweb: gunicorn a:b --bind 0.0.0.0:$PORT\n";
        let launch = of_procfile(text, "Procfile", &mut Draft::default()).unwrap();
        assert_eq!(joined(&launch.flags), "a:b --bind 0.0.0.0:${PORT}");
        let text = "worker: celery\nadmin: gunicorn c:d\n";
        assert_eq!(joined(&of_procfile(text, "Procfile", &mut Draft::default()).unwrap().flags), "c:d");
        assert!(of_procfile("worker: celery\n", "Procfile", &mut Draft::default()).is_err());
    }
}
