//! What a file asks of the machine, application by application: its virtualenv, its user, its folders, its import.

use std::ffi::CString;
use std::fs;
use std::path::PathBuf;

use monoceros_shared::config::{App, Config, RunAs};
use monoceros_shared::virtualenv;
use nix::unistd::{Gid, getegid, geteuid, getgrouplist, getgroups};

use super::finding::Finding;
use super::programs::Programs;
use super::reach::{Who, obstacle};
use crate::check::{Verdict, try_apps};

/// What is to be said of the applications, but for their listeners.
pub fn findings(config: &Config, programs: &Programs) -> Vec<Finding> {
    let mut found = Vec::new();
    for app in &config.apps {
        found.push(user(app));
        found.extend(environment(app, programs.built_for()));
        found.extend(folders(app, programs));
    }
    found
}

/// Whether each application can be imported. A worker does that, as whoever it is to run as; it is given no listener.
pub fn imports(config: &Config) -> Vec<Finding> {
    match try_apps(config) {
        Ok(tried) => tried.iter().map(|(app, verdict)| import(app, verdict)).collect(),
        Err(why) => vec![Finding::wrong("import", why, "no application can be tried before this is right")],
    }
}

fn import(app: &App, verdict: &Verdict) -> Finding {
    let check = format!("{}: import", app.name);
    match verdict {
        Ok(()) => Finding::ok(check, app.wsgi.to_string()),
        Err(failure) => Finding::wrong(check, &failure.why, "supervisor check shows the traceback"),
    }
}

fn user(app: &App) -> Finding {
    let check = format!("{}: user", app.name);
    let is_root = geteuid().is_root();
    match &app.run_as {
        Some(run_as) if is_root || run_as.uid == geteuid().as_raw() => Finding::ok(check, &run_as.user),
        Some(run_as) => Finding::wrong(
            check,
            format!("only root can start workers as {}", run_as.user),
            "start the supervisor as root, or as that user and without `user`",
        ),
        None if is_root => Finding::warn(check, "its workers run as root", "name a `user` that has nothing to lose"),
        None => Finding::ok(check, "the supervisor's"),
    }
}

/// The virtualenv's version against the worker's.
fn environment(app: &App, built_for: Option<&str>) -> Option<Finding> {
    let root = app.virtualenv.as_ref()?;
    let check = format!("{}: virtualenv", app.name);
    let shown = root.display();
    let anew = |version: &str| format!("make it anew: python{version} -m venv --clear {shown}");
    let said = match fs::read_to_string(root.join("pyvenv.cfg")) {
        Ok(text) => virtualenv::version(&text),
        Err(error) => {
            let why = format!("cannot read {shown}/pyvenv.cfg: {}", crate::listen::cause(&error));
            return Some(Finding::wrong(check, why, anew(built_for.unwrap_or("3"))));
        }
    };
    Some(match (said, built_for) {
        (Some(theirs), Some(ours)) if theirs != ours => Finding::wrong(
            check,
            format!("{shown} is for Python {theirs}, and the worker was built for Python {ours}"),
            format!("{}\nor build the worker for it: make build PYTHON={shown}/bin/python", anew(ours)),
        ),
        (_, ours) if !root.join("bin/python").exists() => {
            Finding::wrong(check, format!("{shown}/bin/python is missing or leads nowhere"), anew(ours.unwrap_or("3")))
        }
        (Some(theirs), Some(_)) => Finding::ok(check, format!("{shown}, Python {theirs}")),
        (None, _) | (_, None) => Finding::ok(check, shown.to_string()),
    })
}

/// Whether the workers can read what they need.
fn folders(app: &App, programs: &Programs) -> Vec<Finding> {
    let who = app.run_as.as_ref().map_or_else(ourselves, who);
    let check = format!("{}: folders", app.name);
    let library = programs.python().map(|python| python.base.clone());
    let all: Vec<PathBuf> = std::iter::once(&app.directory)
        .chain(&app.virtualenv)
        .chain(&app.python_path)
        .chain(app.statics.iter().map(|files| &files.folder))
        .cloned()
        .chain(library)
        .collect();
    let name = app.run_as.as_ref().map_or("the supervisor's user", |run_as| &run_as.user);
    let closed: Vec<Finding> =
        all.iter().filter_map(|folder| obstacle(&who, folder)).map(|why| closed(&check, name, &why)).collect();
    if closed.is_empty() { vec![Finding::ok(check, format!("{name} can read them"))] } else { closed }
}

fn closed(check: &str, name: &str, why: &str) -> Finding {
    let advice = "chmod a+rx what is closed, or move what it leads to; a home folder is closed to others by default";
    Finding::wrong(check, format!("for {name} {why}"), advice)
}

fn ourselves() -> Who {
    let groups = getgroups().unwrap_or_default().into_iter().map(Gid::as_raw).collect();
    Who { uid: geteuid().as_raw(), gid: getegid().as_raw(), groups }
}

fn who(run_as: &RunAs) -> Who {
    let members = || {
        let name = CString::new(run_as.user.as_str()).ok()?;
        let groups = getgrouplist(&name, Gid::from_raw(run_as.gid)).ok()?;
        Some(groups.into_iter().map(Gid::as_raw).collect())
    };
    let groups = run_as.groups.clone().or_else(members).unwrap_or_default();
    Who { uid: run_as.uid, gid: run_as.gid, groups }
}

#[cfg(test)]
mod tests {
    use monoceros_shared::config::{CommandLine, from_command_line};

    use super::super::finding;
    use super::*;

    fn app() -> App {
        let line = CommandLine { wsgi: "shop:app".into(), ..CommandLine::default() };
        from_command_line(line).unwrap().config.apps.remove(0)
    }

    #[test]
    fn a_virtualenv_is_held_against_the_version_of_the_worker() {
        let folder = tempfile::tempdir().unwrap();
        let with = App { virtualenv: Some(folder.path().to_owned()), ..app() };
        let found = |built_for| environment(&with, built_for).unwrap();
        assert!(found(Some("3.11")).found.contains("cannot read"));
        fs::write(folder.path().join("pyvenv.cfg"), "version = 3.9.1\n").unwrap();
        let other = found(Some("3.11"));
        assert!(other.found.ends_with("is for Python 3.9, and the worker was built for Python 3.11"), "{other:?}");
        assert!(other.advice.unwrap().contains("python3.11 -m venv --clear"));
        assert!(found(Some("3.9")).found.contains("leads nowhere"));
        fs::create_dir(folder.path().join("bin")).unwrap();
        fs::write(folder.path().join("bin/python"), "").unwrap();
        assert_eq!(found(Some("3.9")).verdict, finding::Verdict::Ok);
        assert_eq!(found(None).verdict, finding::Verdict::Ok, "where the worker does not tell, nothing is known");
        assert_eq!(environment(&app(), Some("3.9")), None);
    }

    #[test]
    fn somebody_else_needs_root() {
        let uid = geteuid().as_raw() + 1;
        let shop = RunAs { user: "shop".into(), uid, gid: 7, groups: Some(Vec::new()), home: "/".into() };
        let finding = user(&App { run_as: Some(shop.clone()), ..app() });
        assert_eq!(finding.verdict == finding::Verdict::Wrong, !geteuid().is_root(), "{finding:?}");
        assert_eq!(who(&shop), Who { uid, gid: 7, groups: Vec::new() });
        assert_eq!(user(&app()).verdict == finding::Verdict::Warn, geteuid().is_root());
    }

    #[test]
    fn an_import_that_fails_is_told_in_a_line() {
        let failure = monoceros_shared::link::Failure::new("cannot import shop:app: ImportError: no", "Traceback");
        let finding = import(&app(), &Err(failure));
        assert_eq!((finding.check.as_str(), finding.verdict), ("app: import", finding::Verdict::Wrong));
        assert_eq!(import(&app(), &Ok(())).found, "shop:app");
    }
}
