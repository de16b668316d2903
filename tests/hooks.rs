//! Hooks modules: when each function is called, with what, and what becomes of one that raises.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::{Client, Server, Site, eventually, python, target_folder};

/// Each hook notes that it was called, and by what.
const HOOKS: &str = "
import hooked_notes as notes

def worker_start(worker):
    notes.note(f'start {worker.app} {worker.number} {worker.generation} {worker.pid > 1}')

def worker_ready(worker):
    import sys
    notes.note(f'ready {\"hooked\" in sys.modules}')

def request_start(environ):
    environ['shop.hooked'] = 'yes'
    notes.note('before ' + environ['PATH_INFO'])

def request_end(environ, status, seconds):
    notes.note(f'after {environ[\"PATH_INFO\"]} {status} {0 <= seconds < 60}')

def worker_timeout(worker, request):
    notes.note(f'timeout {request.line} {request.seconds >= 0.4} {request.client} {\"hooked.py\" in request.stack}')

def worker_exit(worker):
    notes.note(f'exit {worker.number}')
";

const NOTES: &str = "
def note(text):
    with open('noted', 'a') as file:
        file.write(text + '\\n')
";

fn site(hooks: &str) -> Site {
    Site::new("hooked:application").app("hooks: shop_hooks").file("shop_hooks.py", hooks).file("hooked_notes.py", NOTES)
}

/// What was noted so far, one a line.
fn noted(site: &Site) -> Vec<String> {
    fs::read_to_string(site.path("noted")).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// The lines from the request for this path on.
fn of_request(server: &Server, path: &str) -> Vec<String> {
    let all = noted(server.site());
    let begin =
        all.iter().position(|line| *line == format!("before {path}")).unwrap_or_else(|| panic!("no {path}: {all:?}"));
    all[begin..].to_vec()
}

fn wait_for(server: &Server, line: &str) {
    eventually(line, || Some(()).filter(|()| noted(server.site()).iter().any(|noted| noted == line)));
}

#[test]
fn hooks_are_called_in_the_order_of_a_workers_life_in_each_engine() {
    python();
    for engine in ["threads", "gevent", "eventlet", "tornado"] {
        let server = match engine {
            "threads" => site(HOOKS).serve(),
            _ => site(HOOKS).engine(engine).serve(),
        };
        assert_eq!(server.get("/").expect_status(200).field("x-hooked"), Some("yes"));
        server.signal(Signal::SIGTERM);
        assert_eq!(server.exit_code(), 0);
        let expected = [
            "start main 1 1 True",
            "imported by MainThread",
            "ready True",
            "before /",
            "call /",
            "after / 200 True",
            "exit 1",
        ];
        assert_eq!(noted(server.site()), expected, "{engine}");
    }
}

#[test]
fn the_end_of_a_request_is_told_with_its_status_whatever_became_of_it() {
    python();
    for engine in ["threads", "gevent"] {
        let server = match engine {
            "threads" => site(HOOKS).serve(),
            _ => site(HOOKS).engine(engine).serve(),
        };
        let (length, text) = (Some("5"), "hello");
        let answer = server.get("/list").expect_status(200);
        assert_eq!((answer.field("content-length"), answer.text()), (length, text), "a list is sent as one");
        assert_eq!(of_request(&server, "/list"), ["before /list", "call /list", "after /list 200 True"]);
        assert_eq!(server.get("/items").expect_status(200).text(), "one two");
        wait_for(&server, "after /items 200 True");
        assert_eq!(
            of_request(&server, "/items"),
            ["before /items", "call /items", "between", "closed", "after /items 200 True"]
        );
        server.get("/absent").expect_status(404);
        server.get("/again").expect_status(503);
        server.get("/raises").expect_status(500);
        server.get("/none").expect_status(500);
        assert_eq!(server.get("/written").expect_status(200).text(), "written");
        assert!(server.get("/file").expect_status(200).text().starts_with("start main"));
        for line in ["/absent 404", "/again 503", "/raises 500", "/none 500", "/written 200", "/file 200"] {
            let line = format!("after {line} True");
            assert_eq!(noted(server.site()).iter().filter(|noted| **noted == line).count(), 1, "{line} in {engine}");
        }
        server.logged("the application failed");
    }
}

#[test]
fn a_client_that_leaves_ends_its_request_too() {
    let server = site(HOOKS).serve();
    let mut client: Client = server.connect();
    client.send("GET /items HTTP/1.1\r\nHost: h\r\n\r\n");
    client.reset();
    wait_for(&server, "after /items 200 True");
}

#[test]
fn a_hook_that_raises_is_told_and_harms_no_request() {
    let hooks = "def request_start(environ):\n    raise ValueError('first')\n\n\
        def request_end(environ, status, seconds):\n    raise ValueError('last')\n\n\
        def worker_exit(worker):\n    raise ValueError('exit')\n";
    let server = site(hooks).serve();
    let mut client = server.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/").expect_status(200).text(), "hello");
    }
    let line = server.logged("a hook failed");
    assert_eq!(line["hook"], "request_start");
    assert!(line["traceback"].as_str().is_some_and(|text| text.contains("shop_hooks.py\", line 2")), "{line}");
    server.process().line("ValueError: last");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
    assert!(server.process().whole_output().contains("ValueError: exit"));
}

#[test]
fn a_request_that_takes_too_long_is_told_to_a_hook_while_every_thread_is_stuck() {
    python();
    for engine in ["threads", "gevent", "eventlet", "tornado"] {
        let site = site(HOOKS).app("timeouts: {request: 500ms}");
        let server = if engine == "threads" { site.serve() } else { site.engine(engine).serve() };
        let mut client = server.connect();
        client.send("GET /stuck?x=1 HTTP/1.1\r\nHost: h\r\n\r\n");
        client.answer().expect_status(504);
        let told =
            eventually("the hook", || noted(server.site()).into_iter().find(|line| line.starts_with("timeout ")));
        assert!(told.starts_with("timeout GET /stuck?x=1 True 127."), "{engine}: {told}");
        assert!(told.ends_with(" True"), "{engine}: {told}");
        wait_for(&server, "after /stuck 504 True");
    }
}

#[test]
fn a_check_names_the_place_of_what_has_failed() {
    let site = Site::new("shop:application")
        .file("shop.py", "")
        .file("shop_hooks.py", "import nowhere\n")
        .app("hooks: shop_hooks");
    let expect = |key: &str, said: &str| {
        let check = site.supervisor(&["check", "-c", "server.yaml"]);
        let text = site.read("server.yaml");
        let (number, line) = text.lines().enumerate().find(|(_, line)| line.contains(key)).expect("it has the key");
        let column = line.find(key).expect("it has the key") + key.len() + 1;
        assert_eq!(check.exit_code(), 2);
        check.line(&format!("server.yaml:{}:{column}: {said}", number + 1));
    };
    expect("hooks: ", "cannot import hooks shop_hooks: ModuleNotFoundError: No module named 'nowhere'");
    site.put("shop_hooks.py", "");
    expect("wsgi: ", "cannot import shop:application: module shop has no attribute application");
}

#[test]
fn a_hook_that_raises_in_the_boot_fails_it_as_the_application_would() {
    for (hook, expected) in [
        ("def worker_start(worker):\n    raise ValueError('no')\n", "worker_start of shop_hooks raised ValueError: no"),
        ("def worker_ready(worker):\n    raise ValueError('no')\n", "worker_ready of shop_hooks raised ValueError: no"),
        ("import nowhere\n", "cannot import hooks shop_hooks: ModuleNotFoundError: No module named 'nowhere'"),
        (
            "def request_start(request):\n    pass\ndef request_end(environ):\n    pass\n",
            "request_end is called as request_end(environ, status, seconds), and is request_end(environ)",
        ),
        ("worker_exit = 3\n", "worker_exit cannot be called"),
    ] {
        let server = site(HOOKS).serve();
        server.site().put("shop_hooks.py", hook);
        let (code, told) = server.command(&["reload", "--wait"]);
        assert_eq!(code, 1, "{told}");
        assert!(told.contains(expected) && told.contains("shop_hooks"), "{expected}: {told}");
        server.get("/").expect_status(200);
    }
}

#[test]
fn a_check_calls_what_the_import_may_need_and_nothing_else() {
    let site = site(HOOKS);
    let check = site.supervisor(&["check", "-c", "server.yaml"]);
    assert_eq!(check.exit_code(), 0, "{}", check.whole_output());
    assert_eq!(noted(&site), ["start main 1 1 True", "imported by MainThread"]);
    site.put("shop_hooks.py", "def worker_start():\n    pass\n");
    let check = site.supervisor(&["check", "-c", "server.yaml"]);
    assert_eq!(check.exit_code(), 2);
    let told = check.whole_output();
    assert!(told.contains("worker_start is called as worker_start(worker), and is worker_start()"), "{told}");
}

#[test]
fn what_looks_like_a_hook_and_is_none_is_told() {
    let hooks =
        "def post_fork(server, worker):\n    pass\ndef request_strat(environ):\n    pass\ndef other():\n    pass\n";
    let server = site(hooks).serve();
    let told = server.process().wait("both", |lines, _| {
        let told: Vec<&String> =
            lines.iter().filter(|line| line.contains("a function of the hooks module is no hook")).collect();
        (told.len() == 2).then(|| format!("{told:?}"))
    });
    for (function, meant) in [("post_fork", "worker_start"), ("request_strat", "request_start")] {
        assert!(told.contains(function) && told.contains(meant), "{told}");
    }
    server.logged("the hooks module has no hook");
    server.get("/").expect_status(200);
}

#[test]
fn an_application_of_tornados_own_has_the_hooks_of_its_worker_alone() {
    python();
    assert!(target_folder().join("venv").exists());
    let server =
        Site::new("native:application").engine("tornado").app("hooks: shop_hooks").file("shop_hooks.py", HOOKS);
    let server = server.file("hooked_notes.py", NOTES).serve();
    server.get("/ticks").expect_status(200);
    server.logged("hooks of requests are not called for an application of tornado's own");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
    assert_eq!(noted(server.site()), ["start main 1 1 True", "ready False", "exit 1"]);
}

// Commands of the supervisor's side.

/// A site whose commands note what they are told, with these lines besides.
fn commanded(commands: &str) -> Site {
    let note = "#!/bin/sh\nset -e\n{ echo \"$MONOCEROS_EVENT $*\"; env | grep ^MONOCEROS_ | sort; } >> told\necho \"said by $MONOCEROS_EVENT\"\n";
    let site = Site::new("hooked:application").file("note.sh", note).top(commands);
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(site.path("note.sh"), permissions).expect("a file's mode can be changed");
    site
}

const ALL: &str = "commands:\n  start: [./note.sh, a b]\n  ready: [./note.sh]\n  reload: [./note.sh]\n  \
    worker_exit: [./note.sh]\n  stop: [./note.sh]";

fn told(server: &Server) -> String {
    fs::read_to_string(server.site().path("told")).unwrap_or_default()
}

/// What was told at the first event of this name that has this line, if there was one.
fn event_with(server: &Server, event: &str, line: &str) -> Option<String> {
    let told = told(server);
    let begins = |line: &&str| !line.starts_with("MONOCEROS_");
    let mut events: Vec<String> = Vec::new();
    for line in told.lines() {
        match (begins(&line), events.last_mut()) {
            (false, Some(last)) => last.push_str(&format!("\n{line}")),
            _ => events.push(line.to_owned()),
        }
    }
    events.into_iter().find(|text| text.starts_with(event) && text.lines().any(|found| found.starts_with(line)))
}

#[test]
fn commands_are_run_for_all_that_happens_to_a_server() {
    let server = commanded(ALL).serve();
    let pid = server.process().pid();
    let ready = eventually("ready", || event_with(&server, "ready ", "MONOCEROS_FILE="));
    assert!(ready.contains(&format!("MONOCEROS_PID={pid}")) && ready.contains("server.yaml"), "{ready}");
    assert!(told(&server).starts_with("start a b\n"), "{}", told(&server));
    let first = server.workers()[0];
    let (code, output) = server.command(&["reload", "--wait"]);
    assert_eq!(code, 0, "{output}");
    eventually("the reload", || event_with(&server, "reload ", "MONOCEROS_OUTCOME=adopted"));
    let exit =
        eventually("the old worker", || event_with(&server, "worker_exit ", &format!("MONOCEROS_WORKER_PID={first}")));
    for fact in ["MONOCEROS_APP=main", "MONOCEROS_EXIT=code 0", "MONOCEROS_GENERATION=1", "MONOCEROS_WORKER=1"] {
        assert!(exit.lines().any(|line| line == fact), "{fact}: {exit}");
    }
    let second = server.workers()[0];
    server.kill_worker(second);
    eventually("the killed worker", || event_with(&server, "worker_exit ", "MONOCEROS_EXIT=SIGKILL"));
    server.site().put("hooked.py", "syntax error");
    let (code, _) = server.command(&["reload", "--wait"]);
    assert_eq!(code, 1);
    let reload = eventually("the failed reload", || event_with(&server, "reload ", "MONOCEROS_OUTCOME=abandoned"));
    assert!(reload.contains("MONOCEROS_WHY=cannot import hooked:application"), "{reload}");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
    assert!(event_with(&server, "stop ", "MONOCEROS_EVENT=stop").is_some(), "{}", told(&server));
    let output = server.process().whole_output();
    for event in ["start", "ready", "reload", "worker_exit", "stop"] {
        assert!(output.contains(&format!("\"text\":\"said by {event}\"")), "{event} is not in the log: {output}");
    }
    assert_eq!(told(&server).matches("\nready ").count(), 1, "it is ready once");
}

#[test]
fn a_server_whose_first_command_fails_does_not_start() {
    let site = commanded("commands: {start: [sh, -c, 'echo not today; exit 3']}");
    let server = site.supervisor(&["run", "-c", "server.yaml"]);
    assert_eq!(server.exit_code(), 1);
    let output = server.whole_output();
    assert!(output.contains("\"text\":\"not today\"") && output.contains("it ended with code 3"), "{output}");
    assert!(noted(&site).is_empty(), "no worker was made");
}

#[test]
fn a_command_that_does_not_end_holds_up_nobody_and_is_killed_with_what_it_started() {
    let forever = "[sh, -c, 'tail -f /dev/null & echo $$! >> pids; echo $$$$ >> pids; wait']";
    let server = commanded(&format!("commands: {{ready: {forever}, worker_exit: [./note.sh], timeout: 1s}}")).serve();
    let pids = eventually("its processes", || {
        let pids: Vec<i32> = server
            .site()
            .path("pids")
            .exists()
            .then(|| server.site().read("pids"))?
            .lines()
            .flat_map(str::parse)
            .collect();
        (pids.len() == 2).then_some(pids)
    });
    assert_eq!(server.get("/").expect_status(200).text(), "hello");
    let line = server.logged("a command failed");
    assert_eq!((&line["event"], &line["why"]), (&"ready".into(), &"it had not ended after 1 s".into()));
    for pid in pids {
        eventually("it to be gone", || {
            Some(()).filter(|()| crate::harness::stat(pid).is_none_or(|stat| stat.state == 'Z'))
        });
    }
    // The next in the line has its turn.
    server.kill_worker(server.workers()[0]);
    eventually("the next command", || event_with(&server, "worker_exit ", "MONOCEROS_EXIT=SIGKILL"));
}

#[test]
fn a_stop_ends_the_command_that_a_start_waits_for() {
    let site = commanded("commands: {start: [sh, -c, 'echo begun; exec tail -f /dev/null'], timeout: 10m}");
    let server = site.supervisor(&["run", "-c", "server.yaml"]);
    server.line("begun");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 1);
    assert!(server.whole_output().contains("it was cancelled"), "{}", server.whole_output());
}

#[test]
fn a_command_hears_signals_and_what_it_leaves_in_the_background_is_not_waited_for() {
    let script = "grep SigBlk /proc/self/status; trap 'echo heard' TERM; kill -TERM $$$$; tail -f /dev/null & exit 0";
    let server = commanded(&format!("commands: {{ready: [bash, -c, \"{script}\"], timeout: 10m}}")).serve();
    server.process().line("SigBlk:\\t0000000000000000");
    server.process().line("\"text\":\"heard\"");
    assert_eq!(server.count("a command failed"), 0);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
}

#[test]
fn a_program_that_is_not_there_is_told_by_the_check_or_when_it_is_run() {
    let server = commanded("commands: {ready: [no-such-program-anywhere]}").serve();
    let line = server.logged("a command failed");
    assert_eq!(line["why"], "cannot run it: No such file or directory");
    let site = commanded("commands: {ready: [./nowhere.sh]}");
    let check = site.supervisor(&["check", "-c", "server.yaml"]);
    assert_eq!(check.exit_code(), 2);
    assert!(check.whole_output().contains("`ready`: cannot find the program"), "{}", check.whole_output());
}

#[test]
fn an_upgrade_is_no_start_and_its_workers_are_known() {
    let server = commanded(ALL).serve();
    eventually("ready", || event_with(&server, "ready ", "MONOCEROS_PID="));
    let first = server.workers()[0];
    let (code, output) = server.command(&["upgrade"]);
    assert_eq!(code, 0, "{output}");
    let exit =
        eventually("the old worker", || event_with(&server, "worker_exit ", &format!("MONOCEROS_WORKER_PID={first}")));
    assert!(exit.contains("MONOCEROS_APP=main") && exit.contains("MONOCEROS_GENERATION=1"), "{exit}");
    for event in ["start a b", "ready "] {
        assert_eq!(told(&server).lines().filter(|line| line.starts_with(event)).count(), 1, "{}", told(&server));
    }
}

#[test]
fn a_server_that_apologises_is_not_ready_until_it_serves() {
    let site = commanded(ALL);
    let good = site.read("hooked.py");
    site.put("hooked.py", "syntax error");
    let server = site.launch();
    server.process().line("apologising");
    server.site().put("hooked.py", &good);
    let (code, output) = server.command(&["reload", "--wait"]);
    assert_eq!(code, 0, "{output}");
    eventually("ready", || event_with(&server, "ready ", "MONOCEROS_PID="));
    let told = told(&server);
    let at = |event: &str| told.find(event).unwrap_or_else(|| panic!("no {event}: {told}"));
    assert!(at("MONOCEROS_EXIT=code 1") < at("\nready "), "a worker failed before it was ready: {told}");
}

#[test]
fn the_last_workers_are_told_of_before_the_server_ends() {
    let server = commanded("commands: {worker_exit: [./note.sh]}").app("workers: 3").serve();
    eventually("three workers", || (server.workers().len() == 3).then_some(()));
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
    assert_eq!(told(&server).matches("MONOCEROS_EXIT=code 0").count(), 3, "{}", told(&server));
    assert_eq!(server.count("a command failed"), 0);
}

#[test]
fn what_waits_to_be_run_holds_up_the_end_no_longer_than_two_commands_may() {
    let commands = "commands: {worker_exit: [sh, -c, 'exec tail -f /dev/null'], stop: [./note.sh], timeout: 1s}";
    let server = commanded(commands).app("workers: 8").serve();
    eventually("eight workers", || (server.workers().len() == 8).then_some(()));
    let began = Instant::now();
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
    let took = began.elapsed();
    assert!(
        Duration::from_secs(2) <= took && took < Duration::from_secs(7),
        "{took:?}: eight seconds of commands waited"
    );
    assert!(server.process().whole_output().contains("it was cancelled"));
}
