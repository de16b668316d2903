//! Pipes with real processes' worth of bytes in them, and a log that is read or not.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixDatagram;

use mio::{Events, Poll};
use monoceros_shared::config::{Access, Log, LogFormat, LogLevel};
use monoceros_shared::log::{self, Guard, Outlet};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::*;

/// The outputs of one worker, number 7, a poll and the log.
struct Scene {
    poll: Poll,
    outputs: Outputs,
    sink: UnixDatagram,
    guard: Option<Guard>,
    print: File,
    complain: File,
}

impl Scene {
    fn new() -> Scene {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let config = Log { format: LogFormat::Json, level: LogLevel::Info, access: Access::Off, file: None };
        let (logger, guard) = log::start(&config, &Outlet::new(theirs));
        let poll = Poll::new().unwrap();
        let mut outputs = Outputs::into_log(&logger, poll.registry().try_clone().unwrap());
        let Pipes { read, write: [print, complain] } = outputs.make(None).unwrap().unwrap();
        outputs.begin(&Tags { app: "shop".into(), worker: 7, generation: 2 }, read).unwrap();
        let (print, complain) = (print.into(), complain.into());
        Scene { poll, outputs, sink: ours.into(), guard: Some(guard), print, complain }
    }

    /// Goes round until nothing is left to be done.
    fn settle(&mut self) {
        let mut events = Events::with_capacity(8);
        for _ in 0..10_000 {
            let due = self.outputs.deadline().map(|at| at.saturating_duration_since(Instant::now()));
            self.poll.poll(&mut events, Some(due.unwrap_or_default())).unwrap();
            if events.is_empty() && due.is_none() {
                return;
            }
            events.iter().for_each(|event| self.outputs.stir(event.token()));
            self.outputs.read(Instant::now());
        }
        panic!("it never settles");
    }

    /// Reads both pipes, whether the kernel says that there is something or not.
    fn read_all(&mut self, now: Instant) {
        [0, 1].into_iter().for_each(|index| self.outputs.stir(Token(TOKENS + 2 * 7 + index)));
        self.outputs.read(now);
        std::thread::yield_now();
    }

    /// Every line that is logged until the end.
    fn lines(self) -> Vec<serde_json::Value> {
        let Scene { outputs, sink, guard, .. } = self;
        let reader = std::thread::spawn(move || {
            let mut bytes = vec![0; 128 * 1024];
            let packets = std::iter::from_fn(|| {
                let count = sink.recv(&mut bytes).unwrap();
                (count > 0).then(|| serde_json::from_slice(&bytes[..count]).unwrap())
            });
            packets.collect()
        });
        drop((outputs, guard));
        reader.join().unwrap()
    }
}

fn texts(lines: &[serde_json::Value]) -> Vec<&str> {
    lines.iter().filter_map(|line| line["text"].as_str()).collect()
}

#[test]
fn what_is_printed_is_logged_with_whose_it_is() {
    let mut scene = Scene::new();
    scene.print.write_all(b"good\n").unwrap();
    scene.complain.write_all(b"Traceback (most recent call last):\n  File\nError: \xff\n").unwrap();
    scene.settle();
    let lines = scene.lines();
    assert_eq!(texts(&lines), ["good", "Traceback (most recent call last):\n  File\nError: \u{fffd}"]);
    for (line, stream, level) in [(&lines[0], "stdout", "info"), (&lines[1], "stderr", "warning")] {
        assert_eq!((&line["msg"], &line["app"], &line["stream"]), (&"output".into(), &"shop".into(), &stream.into()));
        assert_eq!((&line["worker"], &line["generation"], &line["level"]), (&7.into(), &2.into(), &level.into()));
    }
}

#[test]
fn half_a_line_is_told_after_a_while_and_the_rest_at_the_end() {
    let mut scene = Scene::new();
    scene.print.write_all(b"password: ").unwrap();
    scene.settle();
    scene.print.write_all(b"and more").unwrap();
    drop(std::mem::replace(&mut scene.print, File::open("/dev/null").unwrap()));
    scene.settle();
    assert_eq!(texts(&scene.lines()), ["password: ", "and more"]);
}

#[test]
fn what_a_process_left_is_told_before_its_end_though_a_child_holds_the_pipes() {
    let mut scene = Scene::new();
    let mut child = scene.complain.try_clone().unwrap();
    scene.complain.write_all(b"Fatal Python error: Aborted\n\nCurrent thread\n  File").unwrap();
    let last_lines = scene.outputs.end(7);
    assert_eq!(last_lines, "Fatal Python error: Aborted\n\nCurrent thread\n  File");
    assert_eq!(scene.outputs.end(7), last_lines, "it does no harm to ask twice");
    child.write_all(b"the child lives\n").unwrap();
    scene.settle();
    drop((child, std::mem::replace(&mut scene.complain, File::open("/dev/null").unwrap())));
    drop(std::mem::replace(&mut scene.print, File::open("/dev/null").unwrap()));
    scene.settle();
    assert_eq!(scene.outputs.end(7), "", "nothing is left of it");
    assert_eq!(texts(&scene.lines()), [&last_lines, "the child lives"]);
}

#[test]
fn nothing_is_left_of_a_process_that_is_gone_though_its_end_was_told_before_it_was_read() {
    let mut scene = Scene::new();
    scene.print.write_all(b"the end\n").unwrap();
    drop((
        std::mem::replace(&mut scene.print, File::open("/dev/null").unwrap()),
        std::mem::replace(&mut scene.complain, File::open("/dev/null").unwrap()),
    ));
    // The only events that there will ever be.
    let mut events = Events::with_capacity(8);
    scene.poll.poll(&mut events, None).unwrap();
    events.iter().for_each(|event| scene.outputs.stir(event.token()));
    assert_eq!(scene.outputs.end(7), "the end");
    assert_eq!(scene.outputs.ends(7).count(), 0, "descriptors are left");
}

#[test]
fn a_log_that_nobody_reads_holds_up_no_print_and_the_loss_is_said_once_somebody_does() {
    const LINES: usize = 50_000;
    let mut scene = Scene::new();
    let mut print = scene.print.try_clone().unwrap();
    let printing = std::thread::spawn(move || {
        for number in 0..LINES {
            writeln!(print, "line {number}").unwrap();
        }
    });
    while !printing.is_finished() {
        scene.read_all(Instant::now());
    }
    printing.join().unwrap();
    drop(std::mem::replace(&mut scene.print, File::open("/dev/null").unwrap()));
    // From now on the log is read.
    let sink = scene.sink.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = vec![0; 128 * 1024];
        let mut lines: Vec<serde_json::Value> = Vec::new();
        while !lines.last().is_some_and(|line| line["msg"].as_str().unwrap().starts_with("output was dropped")) {
            let count = sink.recv(&mut bytes).unwrap();
            lines.push(serde_json::from_slice(&bytes[..count]).unwrap());
        }
        lines
    });
    // It stops at the first loss that is said, and another may not be told before somebody reads again.
    while !reader.is_finished() {
        scene.read_all(Instant::now());
    }
    let lines = reader.join().unwrap();
    let lost = lines.last().unwrap()["records"].as_u64().unwrap() as usize;
    let told = texts(&lines).len();
    assert!(told > 1000 && lost > 1000 && told + lost <= LINES, "told {told}, lost {lost}");
}

#[test]
fn a_flood_loses_nothing_to_a_log_that_is_read_in_time() {
    const LINES: usize = 50_000;
    let mut scene = Scene::new();
    let mut print = std::mem::replace(&mut scene.print, File::open("/dev/null").unwrap());
    let printing = std::thread::spawn(move || {
        for number in 0..LINES {
            writeln!(print, "line {number}").unwrap();
        }
    });
    let sink = scene.sink.try_clone().unwrap();
    let reading = std::thread::spawn(move || {
        let mut bytes = [0; 64 * 1024];
        (0..LINES).all(|number| {
            let count = sink.recv(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes[..count]).contains(&format!("\"line {number}\""))
        })
    });
    // Time stands still, so the reader is always in time, however busy the machine is.
    let now = Instant::now();
    while !reading.is_finished() {
        scene.read_all(now);
    }
    printing.join().unwrap();
    assert!(reading.join().unwrap(), "a line is missing, or in another's place");
}

#[test]
fn what_the_next_supervisor_is_given_comes_before_what_it_reads() {
    let mut scene = Scene::new();
    let Pipes { read, write: [print, _complain] } = scene.outputs.make(None).unwrap().unwrap();
    File::from(print).write_all(b"line\n").unwrap();
    let mut kept = Kept::default();
    kept.push(Stream::Out, b"kept\nhalf a ");
    kept.lost = 5;
    scene.outputs.adopt(&Tags { app: "shop".into(), worker: 8, generation: 1 }, read, &kept).unwrap();
    scene.settle();
    let lines = scene.lines();
    assert_eq!(texts(&lines), ["kept", "half a line"]);
    assert_eq!((&lines[0]["bytes"], &lines[0]["worker"]), (&5.into(), &8.into()));
}

#[test]
fn who_inherits_has_no_pipes() {
    let mut outputs = Outputs::inherited();
    assert!(outputs.make(None).unwrap().is_none() && outputs.deadline().is_none());
    assert_eq!((outputs.end(1), outputs.leads()), (String::new(), Leads::Inherited));
}

#[test]
fn a_pipe_holds_more_than_the_kernels_own_choice_and_blocks_only_who_prints() {
    let (read, write) = pipe::make(None).unwrap();
    let size = nix::fcntl::fcntl(&read, nix::fcntl::FcntlArg::F_GETPIPE_SZ).unwrap();
    assert!(size >= 64 * 1024);
    assert_eq!(File::from(read).read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let flags = nix::fcntl::fcntl(&write, nix::fcntl::FcntlArg::F_GETFL).unwrap();
    assert_eq!(flags & nix::fcntl::OFlag::O_NONBLOCK.bits(), 0);
}
