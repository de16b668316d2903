//! With real sockets: who is let in, who is answered, and what garbage and idle clients do to others (nothing).

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as Stream;
use std::time::{Duration, Instant};

use mio::{Events, Poll};
use slog::{Discard, o};

use super::*;

/// A server that answers every request but `stop` with its number.
struct Server {
    folder: tempfile::TempDir,
    poll: Poll,
    control: Control,
    asked: Vec<(Asker, Request)>,
}

impl Server {
    fn new() -> Server {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("server.yaml"), "not read").unwrap();
        let poll = Poll::new().unwrap();
        let mut server = Server { control: nobody(&poll), folder, poll, asked: Vec::new() };
        server.control.open_in(server.folder.path(), &server.folder.path().join("server.yaml")).unwrap();
        server
    }

    fn socket(&self) -> PathBuf {
        let names = place::names(&self.folder.path().join("server.yaml")).unwrap();
        self.folder.path().join(format!("{}.sock", names[0]))
    }

    fn connect(&self) -> Stream {
        let stream = Stream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    /// Takes up what is ready until this holds.
    fn until(&mut self, what: &str, holds: impl Fn(&Server) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut events = Events::with_capacity(64);
        while !holds(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} did not come; clients: {:?}", self.control.clients);
            // What is waited for may happen in another thread, which does not stir this poll.
            self.poll.poll(&mut events, Some(left.min(Duration::from_millis(20)))).unwrap();
            for event in &events {
                let ready = Ready { token: event.token(), is_over: event.is_write_closed() };
                let asked = self.control.hear(ready);
                self.asked.extend(asked);
            }
        }
    }

    /// Answers, and takes up what those ask who have been answered, as the loop does.
    fn answer(&mut self, asker: Asker, reply: &Reply) {
        self.control.answer(asker, reply);
        let asked = self.control.hear_more();
        self.asked.extend(asked);
    }

    fn ask(&mut self, line: &str) -> Stream {
        let mut stream = self.connect();
        stream.write_all(line.as_bytes()).unwrap();
        let before = self.asked.len();
        self.until("the request", |server| server.asked.len() > before);
        stream
    }
}

fn nobody(poll: &Poll) -> Control {
    Control::none(poll.registry().try_clone().unwrap(), &Logger::root(Discard, o!()))
}

fn line_of(stream: &Stream) -> String {
    let mut line = String::new();
    BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
    line
}

fn rest_of(mut stream: Stream) -> String {
    let mut text = String::new();
    // A server that ends with something unread resets; what it said is read before that.
    let _ = stream.read_to_string(&mut text);
    text
}

const STATUS: &str = "{\"monoceros\":1,\"ask\":\"status\"}\n";
const RELOAD: &str = "{\"monoceros\":1,\"ask\":\"reload\"}\n";

fn done(text: &str) -> Reply {
    Reply::Done { text: text.into() }
}

#[test]
fn a_request_is_accepted_at_once_and_answered_when_it_has_happened() {
    let mut server = Server::new();
    let stream = server.ask(RELOAD);
    assert_eq!(line_of(&stream), "{\"answer\":\"accepted\",\"monoceros\":1}\n");
    let (asker, request) = server.asked.remove(0);
    assert_eq!(request, Request::Reload);
    server.answer(asker, &done("generation 2 serves"));
    assert_eq!(line_of(&stream), "{\"answer\":\"done\",\"monoceros\":1,\"text\":\"generation 2 serves\"}\n");
}

#[test]
fn one_connection_asks_again_when_it_was_answered() {
    let mut server = Server::new();
    let mut stream = server.ask(&[STATUS, RELOAD].concat());
    assert_eq!(server.asked.len(), 1, "a client is not read while it waits");
    server.answer(1, &done("first"));
    assert_eq!(server.asked.last(), Some(&(2, Request::Reload)));
    server.answer(2, &done("second"));
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    server.until("the end", |server| server.control.clients.is_empty());
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let answers: Vec<&str> = text.lines().filter(|line| line.contains("text")).collect();
    assert_eq!(answers.len(), 2, "{text}");
    assert!(answers[0].contains("first") && answers[1].contains("second"), "{text}");
}

#[test]
fn a_client_that_closes_its_half_is_still_answered() {
    let mut server = Server::new();
    let stream = server.connect();
    (&stream).write_all(STATUS.trim_end().as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    server.until("the request", |server| !server.asked.is_empty());
    server.answer(1, &done("still here"));
    assert!(rest_of(stream).contains("still here"));
    assert!(server.control.clients.is_empty());
}

#[test]
fn a_client_that_went_away_is_asked_for_and_its_answer_dropped() {
    let mut server = Server::new();
    drop(server.ask(RELOAD));
    server.until("the end", |server| server.control.clients.is_empty());
    server.answer(1, &done("nobody listens"));
    let mut stream = server.connect();
    stream.write_all(RELOAD.as_bytes()).unwrap();
    drop(stream);
    server.until("a request whose asker did not wait", |server| server.asked.len() == 2);
}

#[test]
fn garbage_is_told_what_it_is_and_ends() {
    let mut server = Server::new();
    for garbage in ["GET / HTTP/1.1\r\n\r\n", "\n", "\0\u{1}\n", "{\"monoceros\":9,\"ask\":\"status\"}\n"] {
        let stream = server.connect();
        (&stream).write_all(garbage.as_bytes()).unwrap();
        // It is over as soon as it is read; the next one is told apart by its end.
        let reader = std::thread::spawn(move || rest_of(stream));
        server.until("the end of garbage", |_| reader.is_finished());
        let answer = reader.join().unwrap();
        assert!(answer.starts_with("{\"answer\":\"refused\"") && answer.lines().count() == 1, "{garbage:?}: {answer}");
    }
    assert!(server.asked.is_empty());
    assert_eq!(server.ask(STATUS).read_timeout().unwrap(), Some(Duration::from_secs(30)));
}

#[test]
fn a_huge_line_is_refused_when_it_passes_the_bound() {
    let mut server = Server::new();
    let stream = server.connect();
    let reader = std::thread::spawn(move || {
        // The server may end in the middle of it.
        let _ = (&stream).write_all(&vec![b'x'; 1 << 22]);
        rest_of(stream)
    });
    server.until("the end of the flood", |_| reader.is_finished());
    assert!(reader.join().unwrap().contains("longer than 64 KiB"));
    assert!(server.asked.is_empty() && server.control.clients.is_empty());
}

#[test]
fn a_hundred_idle_clients_keep_nobody_out() {
    let mut server = Server::new();
    let idle: Vec<Stream> = (0..50).map(|_| server.connect()).collect();
    server.until("all of them", |server| server.control.last_token >= TOKENS + 1 + 50);
    let half: Vec<Stream> = (0..50).map(|_| server.connect()).collect();
    for stream in &half {
        // Some are dropped by now.
        let _ = (&*stream).write_all(b"{\"monoceros\":");
    }
    let stream = server.ask(RELOAD);
    assert!(server.control.clients.len() <= CLIENTS_MAX);
    server.answer(1, &done("in time"));
    assert!(line_of(&stream).contains("accepted"));
    drop((idle, half));
}

#[test]
fn who_waits_for_an_answer_keeps_its_place() {
    let mut server = Server::new();
    let waiting: Vec<Stream> = (0..CLIENTS_MAX).map(|_| server.ask(RELOAD)).collect();
    let late = server.connect();
    let reader = std::thread::spawn(move || rest_of(late));
    server.until("the refusal", |_| reader.is_finished());
    assert!(reader.join().unwrap().contains("too many"));
    for (stream, (asker, _)) in waiting.iter().zip(std::mem::take(&mut server.asked)) {
        assert!(line_of(stream).contains("accepted"));
        server.answer(asker, &done(&format!("number {asker}")));
        assert!(line_of(stream).contains(&format!("number {asker}\"")));
    }
}

#[test]
fn an_answer_larger_than_the_socket_holds_arrives_whole() {
    let mut server = Server::new();
    let stream = server.ask(RELOAD);
    let detail = "x".repeat(1 << 20);
    server.answer(1, &Reply::Failed { why: "it is long".into(), detail: detail.clone() });
    let reader = std::thread::spawn(move || {
        let mut lines = BufReader::new(stream).lines();
        (lines.next(), lines.next())
    });
    server.until("the answer's end", |_| reader.is_finished());
    let (_, answer) = reader.join().unwrap();
    assert!(answer.unwrap().unwrap().contains(&detail));
}

#[test]
fn the_socket_is_ours_alone_and_goes_with_the_server() {
    let server = Server::new();
    let socket = server.socket();
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let Server { folder, control, .. } = server;
    drop(control);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["server.yaml"]);
}

#[test]
fn only_our_user_and_root_are_welcome() {
    let ours = geteuid().as_raw();
    assert!(is_welcome(Peer { pid: 1, uid: 0 }) && is_welcome(Peer { pid: 1, uid: ours }));
    assert!(!is_welcome(Peer { pid: 1, uid: ours + 1 }));
}

#[test]
fn a_second_server_of_one_file_is_refused_by_any_of_its_names() {
    let server = Server::new();
    let link = server.folder.path().join("link.yaml");
    symlink("server.yaml", &link).unwrap();
    for file in [server.folder.path().join("server.yaml"), link] {
        let why = nobody(&server.poll).open_in(server.folder.path(), &file).unwrap_err();
        let expected = format!("cannot serve {}: supervisor {} does already", file.display(), std::process::id());
        assert_eq!(why, expected);
    }
    let mut another = nobody(&server.poll);
    another.open_in(server.folder.path(), &server.folder.path().join("other.yaml")).unwrap();
    assert_eq!(another.doors.len(), 1);
}

#[test]
fn what_a_killed_server_left_is_taken_up() {
    let mut server = Server::new();
    let link = server.folder.path().join("link.yaml");
    symlink("server.yaml", &link).unwrap();
    let names = place::names(&link).unwrap();
    // A killed server's locks are open, and its files stay.
    server.control.locks.clear();
    server.control.doors.clear();
    symlink("nowhere", server.folder.path().join(format!("{}.sock", names[0]))).unwrap();
    assert!(server.socket().exists());
    server.control.open_in(server.folder.path(), &server.folder.path().join("server.yaml")).unwrap();
    assert_eq!(server.control.doors.len(), 1);
    drop(server.ask(STATUS));
}

#[test]
fn a_server_whose_file_is_a_link_is_found_by_both_names() {
    let mut server = Server::new();
    server.control = nobody(&server.poll);
    let link = server.folder.path().join("link.yaml");
    symlink("server.yaml", &link).unwrap();
    server.control.open_in(server.folder.path(), &link).unwrap();
    // By the name of the file that the link leads to.
    drop(server.ask(STATUS));
}

#[test]
fn a_path_of_ones_choice_is_added_and_nothing_there_is_harmed() {
    let mut server = Server::new();
    let path = server.folder.path().join("control.sock");
    server.control.open_at(&path);
    assert_eq!(server.control.doors.len(), 2);
    let stream = Stream::connect(&path).unwrap();
    (&stream).write_all(STATUS.as_bytes()).unwrap();
    server.until("the request", |server| !server.asked.is_empty());

    let mut other = nobody(&server.poll);
    other.open_at(&path);
    let file = server.folder.path().join("server.yaml");
    other.open_at(&file);
    other.open_at(Path::new("/nowhere/control.sock"));
    assert!(other.doors.is_empty(), "a socket that answers, a file, or nowhere was taken");
    assert_eq!(fs::read_to_string(file).unwrap(), "not read");
}

/// Runs a command in another thread against a server that answers with these, in turn; its exit status.
fn command(server: &mut Server, replies: &[Reply], run: impl FnOnce(&ask::Target) -> i32 + Send + 'static) -> i32 {
    let target = ask::Target::Socket(server.socket());
    let running = std::thread::spawn(move || run(&target));
    for reply in replies {
        server.until("the request", |server| !server.asked.is_empty());
        let (asker, _) = server.asked.remove(0);
        server.answer(asker, reply);
    }
    server.until("the command's end", |_| running.is_finished());
    running.join().unwrap()
}

#[test]
fn a_command_ends_as_its_wish_did() {
    use ask::{Until, Wait, order};
    let mut server = Server::new();
    let failed = Reply::Failed { why: "cannot import shop:app".into(), detail: "Traceback".into() };
    let refused = Reply::Refused { why: "not now".into() };
    let reload = |until| move |target: &ask::Target| order(target, &Request::Reload, Wait { until, limit: None });
    assert_eq!(command(&mut server, &[done("generation 2 serves")], reload(Until::Done)), 0);
    assert_eq!(command(&mut server, std::slice::from_ref(&failed), reload(Until::Done)), 1);
    assert_eq!(command(&mut server, &[refused], reload(Until::Done)), 1);
    // Who does not wait is not kept, whatever comes of it.
    assert_eq!(command(&mut server, &[], reload(Until::Accepted)), 0);
}

#[test]
fn a_status_tells_by_its_exit_how_things_are() {
    let mut server = Server::new();
    let report = r#"{"monoceros":1,"answer":"status","pid":1,"version":"0","config":null,"state":"STATE",
        "generation":1,"age":1,"apps":[],"last_reload":null}"#;
    for (state, status) in [("serving", 0), ("degraded", 4), ("parked", 4), ("reloading", 0)] {
        let reply = words::parse(report.replace("STATE", state).as_bytes()).unwrap();
        let run = |target: &ask::Target| ask::status(target, ask::Form::Programs);
        assert_eq!(command(&mut server, &[reply], run), status, "{state}");
    }
}

#[test]
fn a_server_that_is_not_there_is_told_from_one_that_fails() {
    let mut server = Server::new();
    let socket = server.socket();
    let names = place::names(&server.folder.path().join("other.yaml")).unwrap();
    let none = ask::Target::Socket(server.folder.path().join(format!("{}.sock", names[0])));
    assert_eq!(ask::stop(&none, None), 3);
    assert_eq!(ask::status(&ask::Target::File("/nowhere/server.yaml".into()), ask::Form::People), 3);
    // What a killed server left.
    server.control.doors.clear();
    assert!(socket.exists());
    assert_eq!(
        ask::order(&ask::Target::Socket(socket), &Request::Reload, ask::Wait { until: ask::Until::Done, limit: None }),
        3
    );
}

#[test]
fn who_wants_to_know_is_told_how_far_it_is_and_nothing_twice() {
    use crate::core::progress::{Progress, Step};
    let mut server = Server::new();
    let curious = server.ask("{\"monoceros\":1,\"ask\":\"reload\",\"progress\":true}\n");
    let other = server.ask(RELOAD);
    for count in [0, 0, 1, 1, 2] {
        server.control.tell(|_| Some(Progress { step: Step::Loading, count, of: Some(2) }));
    }
    server.control.tell(|_| None);
    server.answer(1, &done("generation 2 serves"));
    server.answer(2, &done("generation 2 serves"));
    let words = |stream: Stream| {
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let reader = std::thread::spawn(move || rest_of(stream));
        (reader, "the end")
    };
    let ((curious, _), (other, _)) = (words(curious), words(other));
    server.until("the end", |_| curious.is_finished() && other.is_finished());
    let told = curious.join().unwrap();
    assert_eq!(told.matches("\"answer\":\"progress\"").count(), 3, "{told}");
    assert!(told.contains("\"count\":2,\"monoceros\":1,\"of\":2,\"step\":\"loading\""), "{told}");
    assert!(!other.join().unwrap().contains("progress"));
}

#[test]
fn what_a_client_does_not_take_is_bounded() {
    use crate::core::progress::{Progress, Step};
    let mut server = Server::new();
    let stream = server.ask("{\"monoceros\":1,\"ask\":\"reload\",\"progress\":true}\n");
    for count in 0..100_000 {
        server.control.tell(|_| Some(Progress { step: Step::Loading, count, of: None }));
    }
    let held: usize = server.control.clients.values().map(Client::held).sum();
    assert!(held < 200, "{held} bytes are held for a client that reads nothing");
    // Questions that it writes all the same are not taken up before it reads.
    server.answer(1, &Reply::Failed { why: "it is long".into(), detail: "x".repeat(1 << 20) });
    let mut writer = stream.try_clone().unwrap();
    writer.set_nonblocking(true).unwrap();
    while writer.write_all(STATUS.repeat(100).as_bytes()).is_ok() {
        let _ = server.control.hear_more();
    }
    server.until("nothing", |server| !server.control.has_more());
    assert_eq!(server.asked.len(), 1, "it was taken up though it reads nothing");
    assert!(server.control.clients.values().map(Client::held).sum::<usize>() < 2 << 20);
}

#[test]
fn a_client_that_asks_without_end_is_heard_once_in_a_round() {
    let mut server = Server::new();
    let stream = server.ask(&STATUS.repeat(100));
    for round in 1..=100 {
        assert_eq!(server.asked.len(), round, "asked more than once in a round");
        server.answer(round as Asker, &done("well"));
    }
    assert!(server.asked.len() == 100 && !server.control.has_more());
    drop(stream);
}

#[test]
fn ten_thousand_connects_leave_nothing_behind_and_are_let_in_by_rounds() {
    let mut server = Server::new();
    let path = server.socket();
    let flood = std::thread::spawn(move || (0..10_000).filter(|_| Stream::connect(&path).is_ok()).count());
    server.until("the flood", |server| {
        assert!(server.control.clients.len() <= CLIENTS_MAX + 1, "{}", server.control.clients.len());
        flood.is_finished()
    });
    assert_eq!(flood.join().unwrap(), 10_000);
    server.until("their ends", |server| server.control.clients.is_empty());
    drop(server.ask(STATUS));
}

#[test]
fn more_who_connect_at_once_than_a_round_lets_in_are_all_heard() {
    let mut server = Server::new();
    let all: Vec<Stream> = (0..crate::listen::OWN_BACKLOG).map(|_| server.connect()).collect();
    for stream in &all {
        (&*stream).write_all(STATUS.as_bytes()).unwrap();
    }
    // Those beyond the places are refused, the others asked; none is left unheard.
    let late: Vec<Stream> = all[CLIENTS_MAX..].iter().map(|stream| stream.try_clone().unwrap()).collect();
    let readers: Vec<_> = late.into_iter().map(|stream| std::thread::spawn(move || line_of(&stream))).collect();
    server
        .until("all", |server| server.asked.len() == CLIENTS_MAX && readers.iter().all(|reader| reader.is_finished()));
    assert!(readers.into_iter().all(|reader| reader.join().unwrap().contains("too many")));
}

#[test]
fn who_waits_too_long_for_its_patience_fails_and_says_that_the_server_goes_on() {
    let mut server = Server::new();
    let limit = Some(Duration::from_millis(50));
    let wait = ask::Wait { until: ask::Until::Done, limit };
    assert_eq!(command(&mut server, &[], move |target| ask::order(target, &Request::Reload, wait)), 1);
    assert_eq!(command(&mut server, &[], move |target| ask::stop(target, limit)), 1);
    assert_eq!(server.asked.len(), 2, "it was asked all the same");
}
