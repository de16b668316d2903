//! Lines on real descriptors: a socket that keeps each write apart, pipes, files, a full device.

use std::fs::OpenOptions;
use std::io::{Read, Seek};
use std::os::unix::net::UnixDatagram;
use std::thread;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::pipe2;
use slog::{debug, error, info};

use super::outlet::Reader;
use super::*;
use crate::config::Access;

fn config(format: LogFormat, level: LogLevel) -> Log {
    Log { format, level, access: Access::Off, file: None }
}

/// A logger, and each write of it as a packet.
fn log(format: LogFormat, level: LogLevel) -> (UnixDatagram, Logger, Guard) {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
    let (logger, guard) = start(&config(format, level), &Outlet::new(theirs));
    (ours.into(), logger, guard)
}

fn packet(sink: &UnixDatagram) -> String {
    let mut bytes = [0; 64 * 1024];
    let count = sink.recv(&mut bytes).unwrap();
    String::from_utf8(bytes[..count].to_vec()).unwrap()
}

/// All of it, once nobody logs any more.
fn text(sink: &UnixDatagram) -> String {
    let packets = std::iter::from_fn(|| Some(packet(sink)).filter(|packet| !packet.is_empty()));
    packets.collect()
}

#[test]
fn text_is_a_time_a_level_a_message_and_its_keys_in_order() {
    let (sink, logger, _guard) = log(LogFormat::Text, LogLevel::Info);
    let logger = logger.new(o!("app" => "shop"));
    info!(logger, "serving"; "listen" => "http://127.0.0.1:8000", "workers" => 2, "why" => "two words", "no" => "");
    let text = packet(&sink);
    let (time, rest) = text.split_once(' ').unwrap();
    assert!(time.len() == "2026-11-23T05:48:00.123Z".len() && time.ends_with('Z'), "{time}");
    assert_eq!(rest, "INFO     serving app=shop listen=http://127.0.0.1:8000 workers=2 why=\"two words\" no=\"\"\n");
}

#[test]
fn json_is_one_object_a_line_with_values_as_they_are_in_one_write() {
    let (sink, logger, _guard) = log(LogFormat::Json, LogLevel::Info);
    error!(logger.new(o!("app" => "shop")), "exited"; "code" => 3, "detail" => "a\nb");
    let text = packet(&sink);
    assert!(text.starts_with("{\"ts\":\"20"), "{text}");
    assert!(
        text.ends_with(
            "Z\",\"level\":\"error\",\"msg\":\"exited\",\"app\":\"shop\",\"detail\":\"a\\nb\",\"code\":3}\n"
        ),
        "{text}"
    );
}

#[test]
fn a_traceback_is_an_indented_block_below_its_line_in_one_write() {
    let (sink, logger, _guard) = log(LogFormat::Text, LogLevel::Info);
    error!(logger, "boot failed"; "detail" => "Traceback:\n  File \"a.py\"\n", "app" => "a");
    let text = packet(&sink);
    assert!(text.ends_with("boot failed app=a\n  detail:\n    Traceback:\n      File \"a.py\"\n"), "{text}");
}

#[test]
fn a_strangers_bytes_cannot_forge_a_line() {
    let (sink, logger, guard) = log(LogFormat::Text, LogLevel::Info);
    info!(logger, "request"; "path" => "/\r\x1b[2J\"x\"");
    info!(logger, "request"; "path" => "/\n2026 INFO forged");
    drop((logger, guard));
    let text = text(&sink);
    assert!(text.contains("path=\"/\\r\\u{1b}[2J\\\"x\\\"\"") || text.contains("path=/\\r"), "{text}");
    assert!(text.contains("\n    2026 INFO forged\n"), "{text}");
}

#[test]
fn what_is_less_urgent_than_the_level_is_left_out() {
    let (sink, logger, guard) = log(LogFormat::Text, LogLevel::Info);
    debug!(logger, "detail");
    info!(logger, "news");
    drop((logger, guard));
    let text = text(&sink);
    assert!(!text.contains("detail") && text.contains("news"));
}

#[test]
fn a_slow_reader_blocks_nobody_and_the_loss_is_said() {
    let (sink, logger, guard) = log(LogFormat::Text, LogLevel::Info);
    for number in 0..2 * LINES_MAX {
        info!(logger, "line"; "number" => number);
    }
    let reader = thread::spawn(move || {
        let mut text = String::new();
        while !text.contains("dropped messages") {
            text += &packet(&sink);
        }
        text
    });
    // The loss is said with the next line that finds room.
    while !reader.is_finished() {
        info!(logger, "after");
        thread::yield_now();
    }
    let text = reader.join().unwrap();
    assert!(text.contains("number=0\n") && !text.contains(&format!("number={}\n", 2 * LINES_MAX - 1)));
    assert!(text.contains(" count="), "it is not said how many");
    drop(guard);
}

#[test]
fn a_reader_that_is_slow_on_a_descriptor_that_does_not_block_gets_every_line_whole() {
    let (read, write) = pipe2(OFlag::O_CLOEXEC).unwrap();
    fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let (logger, guard) = start(&config(LogFormat::Text, LogLevel::Info), &Outlet::new(write));
    // Together many times what the pipe holds, and each more than it takes at once.
    let long = "x".repeat(20_000);
    for _ in 0..50 {
        info!(logger, "line"; "text" => &long);
    }
    let reader = thread::spawn(move || {
        let mut text = String::new();
        std::fs::File::from(read).read_to_string(&mut text).unwrap();
        text
    });
    drop((logger, guard));
    let text = reader.join().unwrap();
    assert_eq!(text.lines().filter(|line| line.ends_with(&long)).count(), 50);
}

#[test]
fn lines_go_elsewhere_and_look_otherwise_from_one_to_the_next() {
    let (old, new) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    let outlet = Outlet::new(old.try_clone().unwrap().into());
    let (logger, guard) = start(&config(LogFormat::Text, LogLevel::Info), &outlet);
    let logging = thread::spawn(move || {
        for number in 0..5_000 {
            info!(logger, "line"; "number" => number);
        }
    });
    let is_begun = || old.metadata().unwrap().len() > 0;
    while !is_begun() {
        thread::yield_now();
    }
    outlet.switch(new.try_clone().unwrap().into());
    outlet.follow(&config(LogFormat::Json, LogLevel::Info));
    logging.join().unwrap();
    drop(guard);
    let read = |mut file: std::fs::File| {
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    };
    let (old, new) = (read(old), read(new));
    assert!(new.contains("\"number\":4999"), "the last line is not where lines go now");
    assert_eq!(old.lines().count() + new.lines().count(), 5_000, "lines were lost");
    assert!(old.ends_with('\n') && old.lines().all(|line| line.contains(" line number=")));
}

#[test]
fn what_a_full_disk_does_not_take_is_counted_and_said_when_there_is_room_again() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let outlet = Outlet::new(full.into());
    let (logger, guard) = start(&config(LogFormat::Json, LogLevel::Info), &outlet);
    (0..3).for_each(|number| info!(logger, "line"; "number" => number));
    while outlet.lost() < 3 {
        thread::yield_now();
    }
    let (mut read, write) = std::io::pipe().unwrap();
    outlet.switch(write.into());
    info!(logger, "after");
    drop((logger, guard, outlet));
    let mut text = String::new();
    read.read_to_string(&mut text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains("after"), "{text}");
    assert!(lines[1].contains("log lines were lost") && lines[1].contains("\"count\":3"), "{text}");
    assert_eq!(lines.len(), 2, "{text}");
}

#[test]
fn a_line_that_was_cut_by_a_full_disk_is_ended_before_the_next() {
    let (mut read, write) = std::io::pipe().unwrap();
    let outlet = Outlet::new(write.into());
    outlet.pretend_to_be_torn();
    outlet.write_line(b"next\n");
    outlet.write_line(b"and next\n");
    drop(outlet);
    let mut text = String::new();
    read.read_to_string(&mut text).unwrap();
    assert_eq!(text, "\nnext\nand next\n");
}

#[test]
fn colour_is_for_terminals() {
    let (mut read, write) = std::io::pipe().unwrap();
    let outlet = Outlet::new(write.into());
    outlet.pretend_to_be(Reader::Terminal);
    let (logger, guard) = start(&config(LogFormat::Text, LogLevel::Info), &outlet);
    error!(logger, "exited");
    drop((logger, guard, outlet));
    let mut text = String::new();
    read.read_to_string(&mut text).unwrap();
    assert!(text.contains(" \x1b[31mERROR   \x1b[0m exited\n"), "{text}");
}

#[test]
fn the_journal_is_told_the_level_of_each_line_and_has_the_time_itself() {
    let (mut read, write) = std::io::pipe().unwrap();
    let outlet = Outlet::new(write.into());
    outlet.pretend_to_be(Reader::Journal);
    let (logger, guard) = start(&config(LogFormat::Text, LogLevel::Info), &outlet);
    error!(logger, "exited"; "traceback" => "Traceback:\n  ValueError", "worker" => 1);
    slog::warn!(logger, "late");
    info!(logger, "serving");
    drop((logger, guard, outlet));
    let mut text = String::new();
    read.read_to_string(&mut text).unwrap();
    let expected = "<3>ERROR    exited worker=1\n<3>  traceback:\n<3>    Traceback:\n<3>      ValueError\n<4>WARNING  late\n<6>INFO     serving\n";
    assert_eq!(text, expected);
}
