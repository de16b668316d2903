//! The Dockerfile, carried out without Docker: the instructions of its last stage, in order, on a copy of this machine.
//!
//! What the first stages leave, a wheel, is made here of the programs that are built; `tests/packages` tries the build itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::harness::{Client, Machine, Process, Site, eventually, profile_folder, program, repository};

/// The instructions of a Dockerfile: each a word and what stands behind it.
fn instructions() -> Vec<(String, String)> {
    let text = fs::read_to_string(repository().join("examples/docker/Dockerfile")).expect("it can be read");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let split = |line: &str| line.split_once(' ').map(|(word, rest)| (word.to_owned(), rest.to_owned()));
    lines.map(|line| split(line).unwrap_or_else(|| panic!("no instruction: {line}"))).collect()
}

/// The instructions of the last stage.
fn last_stage() -> Vec<(String, String)> {
    let all = instructions();
    let from = all.iter().rposition(|(word, _)| word == "FROM").expect("it begins somewhere");
    all[from + 1..].to_vec()
}

fn value(of: &[(String, String)], word: &str) -> String {
    of.iter().rev().find(|(found, _)| found == word).unwrap_or_else(|| panic!("there is no {word}")).1.clone()
}

/// A command as `CMD` has it: the words themselves, without a shell that would stand between the signals and the server.
fn exec_form(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_else(|why| panic!("not in the exec form ({why}): {text}"))
}

#[test]
fn the_dockerfile_copies_what_is_there_and_ends_as_nobody() {
    let all = instructions();
    let mut stages = Vec::new();
    for (word, rest) in &all {
        let words: Vec<&str> = rest.split(' ').collect();
        match word.as_str() {
            "FROM" => stages.push(words.get(2).copied().unwrap_or_default().to_owned()),
            "COPY" => {
                let (options, paths): (Vec<&str>, Vec<&str>) =
                    words.iter().copied().partition(|word| word.starts_with("--"));
                if let Some(stage) = options.iter().find_map(|option| option.strip_prefix("--from=")) {
                    assert!(stages.iter().any(|known| known == stage), "{stage} is no stage before {rest}");
                } else {
                    let sources = &paths[..paths.len() - 1];
                    assert!(sources.iter().all(|path| repository().join(path).exists()), "{rest}");
                }
            }
            _ => {}
        }
    }
    let last = last_stage();
    assert!(value(&last, "USER").parse::<u32>().is_ok_and(|uid| uid > 0), "a number, and not root's");
    assert_eq!(exec_form(&value(&last, "CMD"))[..2], ["supervisor", "run"]);
}

/// The Python that the programs are built for.
fn python() -> PathBuf {
    let said = Command::new(program("worker")).arg("--about").output().expect("a worker can be asked");
    let said = String::from_utf8(said.stdout).expect("text");
    said.lines().find_map(|line| line.strip_prefix("executable ")).expect("it runs a Python").into()
}

/// The wheel of the first stages, in a folder of its own.
fn wheels(folder: &Path) -> PathBuf {
    let wheels = folder.join("wheels");
    let programs = format!("programs={}", profile_folder().display());
    let output = Command::new(python())
        .args([
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-index",
            "--no-deps",
            "--config-settings",
            &programs,
            "--wheel-dir",
        ])
        .args([&wheels, &repository().join("packaging/python")])
        .output()
        .expect("pip can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    wheels
}

/// An image under way: what its instructions have done so far.
struct Image {
    machine: Machine,
    directory: String,
    user: Option<String>,
    path: String,
}

impl Image {
    fn shell(&self, script: &str) -> [String; 3] {
        let script = format!("export PATH={} && cd {} && {script}", self.path, self.directory);
        ["sh".to_owned(), "-ec".to_owned(), script]
    }

    fn run(&self, script: &str) {
        self.machine.done(&self.shell(script).each_ref().map(String::as_str));
    }

    /// Starts a command in the image, as its user.
    fn start(&self, words: &[String], variables: &[(String, String)]) -> Process {
        let user = self.user.as_deref().expect("an image has a user");
        let words = format!("exec setpriv --reuid {user} --regid {user} --clear-groups {}", words.join(" "));
        self.machine.start(&self.shell(&words).each_ref().map(String::as_str), variables)
    }

    fn copy(&self, rest: &str, wheels: &Path) {
        let paths: Vec<&str> = rest.split(' ').filter(|word| !word.starts_with("--")).collect();
        let (target, sources) = paths.split_last().expect("it copies something");
        for source in sources {
            let from = if rest.contains("--from=") { wheels.to_owned() } else { repository().join(source) };
            // The checkout need not be where the copy of the machine can see it under its own name.
            let text = from.to_str().expect("a path in UTF-8");
            self.run(&format!(
                "cp --recursive --no-target-directory {text} {target}{}",
                match target.ends_with('/') {
                    true => from.file_name().expect("a file has a name").to_string_lossy().into_owned(),
                    false => String::new(),
                }
            ));
        }
    }

    fn follow(&mut self, (word, rest): &(String, String), wheels: &Path) {
        match word.as_str() {
            "RUN" => self.run(rest),
            "COPY" => self.copy(rest, wheels),
            "WORKDIR" => {
                self.directory.clone_from(rest);
                self.machine.done(&["mkdir", "--parents", rest]);
            }
            "USER" => self.user = Some(rest.clone()),
            "EXPOSE" | "CMD" | "HEALTHCHECK" => {}
            other => panic!("nobody here knows {other}"),
        }
    }
}

#[test]
fn the_steps_of_the_last_stage_leave_a_server_that_a_user_without_power_runs() {
    let machine = match Machine::copy() {
        Ok(machine) => machine,
        Err(why) => return eprintln!("not tried here: {why}"),
    };
    let folder = tempfile::tempdir().expect("a folder can be made");
    let wheels = wheels(folder.path());
    let bin = python().parent().expect("a program lies in a folder").display().to_string();
    let mut image =
        Image { machine, directory: "/".to_owned(), user: None, path: format!("{bin}:/usr/sbin:/usr/bin:/bin") };
    // The image's Python is everybody's; this machine's may lie in somebody's home.
    for folder in Path::new(&bin).ancestors() {
        image.run(&format!("chmod a+x {}", folder.display()));
    }
    let stage = last_stage();
    for instruction in &stage {
        image.follow(instruction, &wheels);
    }
    let site = Site::empty();
    let variables = [("LISTEN".to_owned(), site.listen().to_string()), ("WORKERS".to_owned(), "2".to_owned())];
    let server = image.start(&exec_form(&value(&stage, "CMD")), &variables);
    server.line("\"serving\"");
    let uid = value(&stage, "USER");
    let told = Client::connect(site.listen()).get("/").expect_status(200).text().to_owned();
    assert!(told.starts_with(&format!("Hello from uid {uid}, ")) && told.ends_with("in /srv/shop\n"), "{told}");
    let health = value(&stage, "HEALTHCHECK");
    let (_, health) = health.split_once("CMD ").expect("it runs a command");
    let health = || image.start(&exec_form(health), &[]).exit_code();
    assert_eq!(health(), 0);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
    eventually("the health check to fail", || (health() == 3).then_some(()));
}
