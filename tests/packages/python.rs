//! The Python package: pip puts it into a fresh virtual environment, it serves from there, and pip takes it out again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::harness::{Process, Server, Site, profile_folder, program, repository};

/// An application that says where it finds its packages.
const HOME: &str = "
import sys, installed_there
def application(environ, start_response):
    start_response('200 OK', [])
    return ['\\n'.join([sys.prefix, sys.executable, sys.version.split()[0], installed_there.WORD]).encode()]
";

/// The Python that the programs are built for, as they say themselves.
fn python() -> PathBuf {
    let said = Command::new(program("worker")).arg("--about").output().expect("a worker can be asked");
    let said = String::from_utf8(said.stdout).expect("text");
    said.lines().find_map(|line| line.strip_prefix("executable ")).expect("it runs a Python").into()
}

fn run(program: &Path, words: &[&str]) -> Output {
    // What pip remembers of other builds would be taken for this one.
    let output = Command::new(program).args(words).env("PIP_NO_CACHE_DIR", "1").current_dir("/").output();
    output.unwrap_or_else(|why| panic!("cannot run {}: {why}", program.display()))
}

fn done(program: &Path, words: &[&str]) -> String {
    let output = run(program, words);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{} {words:?}:\n{out}{err}", program.display());
    out.into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Where the checkout has the package.
fn source() -> String {
    text(&repository().join("packaging/python")).to_owned()
}

/// A virtual environment without anything in it; pip of the interpreter outside works on it.
struct Environment {
    python: PathBuf,
    folder: PathBuf,
}

impl Environment {
    fn new(python: &Path, folder: &Path) -> Environment {
        let folder = folder.join("environment");
        done(python, &["-m", "venv", "--without-pip", text(&folder)]);
        Environment { python: python.to_owned(), folder }
    }

    fn bin(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    fn pip(&self, words: &[&str]) -> String {
        let inside = self.bin("python");
        let outside = ["-m", "pip", "--python", text(&inside), "--disable-pip-version-check"];
        done(&self.python, &[&outside[..], words].concat())
    }

    /// Serves from it, without a word of it in the file; the server is the process that `command` becomes.
    fn serve(&self, command: &[&str]) -> (Server, String) {
        let packages = done(&self.bin("python"), &["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]);
        fs::write(Path::new(packages.trim_end()).join("installed_there.py"), "WORD = 'of the environment'\n")
            .expect("a module can be put there");
        let site = Site::new("where:application").file("where.py", HOME);
        let first = self.bin(command[0]);
        let words: Vec<String> =
            std::iter::once(text(&first)).chain(command[1..].iter().copied()).map(str::to_owned).collect();
        let server = site.launch_as(&words);
        server.wait_until_serving();
        let told = server.get("/").expect_status(200).text().to_owned();
        (server, told)
    }
}

/// Serves from a fresh environment by each way there is, and takes the package out again.
fn expect_good_life(environment: &Environment, version: &str) {
    for name in ["supervisor", "worker"] {
        let mode = fs::metadata(environment.bin(name)).expect("it is installed").permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{name} can be executed");
    }
    for command in
        [&["supervisor", "run", "-c", "server.yaml"][..], &["python", "-m", "monoceros", "run", "-c", "server.yaml"]]
    {
        let (server, told) = environment.serve(command);
        let inside = environment.bin("python");
        let expected = [text(&environment.folder), text(&inside), version, "of the environment"];
        assert_eq!(told.lines().collect::<Vec<_>>(), expected);
        // The module has become the supervisor: who starts it is who signals it.
        let status = server.status();
        assert_eq!(status["pid"], server.process().pid().as_raw());
    }
    let path = format!("{}:/usr/bin:/bin", text(&environment.folder.join("bin")));
    let doctor = Process::start(
        &environment.bin("supervisor"),
        &["doctor", "-c", "/dev/null"],
        &environment.folder,
        &[("PATH".to_owned(), path)],
    );
    let told = doctor.whole_output();
    assert!(told.contains("ok     PATH") && told.contains("ok     worker"), "{told}");
    assert!(told.contains(&format!("{version} {}", text(&environment.bin("python")))), "{told}");
    environment.pip(&["uninstall", "--yes", "monoceros"]);
    for name in ["supervisor", "worker"] {
        assert!(!environment.bin(name).exists(), "{name} is left");
    }
}

fn version_of(python: &Path) -> String {
    done(python, &["-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"]).trim_end().to_owned()
}

#[test]
fn a_wheel_serves_from_a_fresh_virtualenv_and_goes_again() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let python = python();
    let (wheels, programs) = (folder.path().join("wheels"), format!("programs={}", profile_folder().display()));
    let build = ["-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--wheel-dir", text(&wheels)];
    done(&python, &[&build[..], &["--config-settings", &programs, &source()]].concat());
    let built = fs::read_dir(&wheels).expect("there are wheels").next().expect("there is one").expect("it can be read");
    let environment = Environment::new(&python, folder.path());
    environment.pip(&["install", "--quiet", "--no-index", text(&built.path())]);
    expect_good_life(&environment, &version_of(&python));
}

#[test]
fn the_source_archive_is_all_that_a_build_needs() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let script = "import backend, sys; print(backend.build_sdist(sys.argv[1]))";
    let build = |at: &Path| {
        let output = Command::new(python())
            .args(["-c", script, text(folder.path())])
            .env("PYTHONPATH", at.join("packaging/python"))
            .output()
            .expect("python can be run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        folder.path().join(String::from_utf8(output.stdout).expect("a name").trim_end())
    };
    let archive = build(&repository());
    done(Path::new("tar"), &["--extract", "--file", text(&archive), "--directory", text(folder.path())]);
    let unpacked = PathBuf::from(text(&archive).strip_suffix(".tar.gz").expect("it is an archive"));
    let project = fs::read_to_string(unpacked.join("pyproject.toml")).expect("pip looks for it there");
    assert!(project.contains("backend-path = [\"packaging/python\"]"), "{project}");
    assert!(fs::read_to_string(unpacked.join("PKG-INFO")).expect("it has one").contains("\nRequires-Python: >=3.9\n"));
    // Every member of the workspace is there, and every version is fixed.
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let metadata = ["metadata", "--locked", "--offline", "--format-version=1", "--manifest-path"];
    done(Path::new(&cargo), &[&metadata[..], &[text(&unpacked.join("Cargo.toml"))]].concat());
    // One of an archive is that archive's again.
    let list = |archive: &Path| {
        let listed = done(Path::new("tar"), &["--list", "--file", text(archive)]);
        let mut lines: Vec<String> = listed.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let first = list(&archive);
    assert_eq!(list(&build(&unpacked)), first);
}

#[test]
fn a_python_that_is_too_old_or_another_than_the_programs_is_told_so_in_a_line() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let script = "import sys; sys.version_info = tuple(map(int, sys.argv[1].split('.'))); import backend\n\
        backend.build_wheel(sys.argv[2], {'programs': sys.argv[3]})";
    for (version, expected) in
        [("3.8.1", "CPython 3.9 or later is needed, and this is 3.8.1"), ("3.99.1", "and this is Python 3.99")]
    {
        let output = Command::new(python())
            .args(["-c", script, version, text(folder.path()), text(&profile_folder())])
            .env("PYTHONPATH", source())
            .output()
            .expect("python can be run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.trim_end().ends_with(expected), "{said}");
    }
}

#[test]
#[ignore = "builds the worker once for each Python, about a minute each: make wheels PYTHONS=\"python3.9 python3.10\""]
fn each_python_of_this_machine_has_a_package_of_its_own() {
    let named = std::env::var("PYTHONS").expect("PYTHONS names interpreters");
    for python in named.split_whitespace() {
        let python = PathBuf::from(done(Path::new(python), &["-c", "import sys; print(sys.executable)"]).trim_end());
        let version = version_of(&python);
        let folder = tempfile::tempdir().expect("a folder can be made");
        let environment = Environment::new(&python, folder.path());
        let install = ["install", "--no-index", "--config-settings", "profile=dev", &source()];
        if version.starts_with("3.8.") {
            let inside = environment.bin("python");
            let output = run(&python, &[&["-m", "pip", "--python", text(&inside)][..], &install].concat());
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains("requires a different Python: 3.8") && said.contains("not in '>=3.9'"), "{said}");
            println!("{version} {}: refused, as it should be", python.display());
            continue;
        }
        environment.pip(&install);
        expect_good_life(&environment, &version);
        println!("{version} {}: installed, served, taken out", python.display());
    }
}
