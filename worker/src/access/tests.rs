//! Lines of turns fed by bytes, and the writer's behaviour with a slow reader.

use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};

use slog::o;
use socket2::Socket;

use super::line::{Form, Source, Told, Took};
use super::stamp::tests::then;
use super::*;
use crate::conn::{Connection, Peer, Waits};
use crate::turn::{Limits, Moment, Turn};
use crate::wire::http::{body, head};
use monoceros_shared::config::{Access as Config, Bodies, Piece};

const MOMENT: Moment = Moment { now: 0, date: *b"Sun, 06 Nov 1994 08:49:37 GMT" };
const CLIENT: &str = "192.0.2.1:4711";

/// A connection that these bytes came by, answered with 200 and `hello` if they are a whole request.
fn connection(bytes: &[u8]) -> Connection {
    let limits = Limits {
        head: head::Limits { request_line_max: 4096, header_count_max: 100, header_bytes_max: 65536 },
        body: body::Limits { body_bytes_max: 10, trailer_bytes_max: 4096 },
        bodies: Bodies::Buffer,
        body_memory_max: 64,
        kept_buffer_max: 4096,
        ending: Arc::default(),
    };
    let (socket, _) = UnixStream::pair().unwrap();
    let peer = Peer::Tcp(CLIENT.parse::<SocketAddr>().unwrap());
    let turn = Turn::new(Arc::new(limits));
    let mut connection =
        Connection::new(Socket::from(OwnedFd::from(socket)), peer, 0, turn.into(), Waits::all(Duration::from_secs(1)));
    let turn = &mut connection.turn;
    turn.receive(bytes, &MOMENT);
    if turn.next() == crate::turn::Next::Call {
        turn.run(&MOMENT);
        turn.identify("X-Request-ID", || [b'a'; 32]);
        turn.begin(b"200 OK").unwrap();
        turn.field(b"X-Own", b"an \"own\" one").unwrap();
        turn.total(5);
        turn.write(b"hello");
        turn.finish();
    }
    connection
}

fn line(form: &Form, connection: &Connection, verdict: (u16, Option<&'static str>)) -> String {
    let took = Took {
        queue: Duration::from_micros(7),
        app: Duration::from_millis(20),
        total: Duration::from_micros(3_020_050),
    };
    let (status, why) = verdict;
    let mut line = Vec::new();
    let source = Source::Connection(connection);
    form.write(&Told { source, status, why, took }, &then(), &mut line);
    String::from_utf8(line).unwrap()
}

fn text() -> Form {
    Form::Text { context: " app=shop worker=1".into() }
}

fn json() -> Form {
    Form::Json { context: ",\"app\":\"shop\"}\n".into() }
}

/// A format of gunicorn's, as the config reads it.
fn format(format: &str) -> Form {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.yaml");
    let text = format!("log: {{access: {{format: '{format}'}}}}\napps: {{a: {{wsgi: \"a:b\", listen: \":1\"}}}}\n");
    std::fs::write(&file, text).unwrap();
    let access = monoceros_shared::config::read(&file).unwrap_or_else(|why| panic!("{why}")).config.log.access;
    let pieces: Vec<Piece> = match access {
        Config::Format(pieces) => pieces,
        Config::Off | Config::Lines | Config::Json => panic!("a format: {access:?}"),
    };
    Form::Format { pieces, process: "<4711>".into() }
}

const GET: &[u8] =
    b"GET /a%20b?c=d HTTP/1.1\r\nHost: a\r\nUser-Agent: x \"y\"\\z\r\nAuthorization: Basic bWU6cHc=\r\n\r\n";

#[test]
fn a_line_for_eyes_is_as_the_logs_own_lines_are() {
    assert_eq!(
        line(&text(), &connection(GET), (200, None)),
        "1994-11-06T08:49:37.042Z INFO     request app=shop worker=1 client=192.0.2.1 method=GET path=\"/a%20b?c=d\" status=200 \
         bytes=5 ms=3020.050 queue_ms=0.007 app_ms=20.000 request_id=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa referer=- \
         agent=\"x \\\"y\\\"\\z\"\n"
    );
}

#[test]
fn a_line_for_programs_is_a_json_object() {
    assert_eq!(
        line(&json(), &connection(GET), (499, Some("the client left"))),
        "{\"ts\":\"1994-11-06T08:49:37.042Z\",\"level\":\"info\",\"msg\":\"request\",\"client\":\"192.0.2.1\",\"method\":\"GET\",\
         \"path\":\"/a%20b?c=d\",\"status\":499,\"bytes\":5,\"ms\":3020.050,\"queue_ms\":0.007,\"app_ms\":20.000,\
         \"request_id\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"referer\":\"-\",\"agent\":\"x \\\"y\\\"\\\\z\",\
         \"why\":\"the client left\",\"app\":\"shop\"}\n"
    );
}

#[test]
fn a_request_that_another_server_has_read_is_told_as_ours_are() {
    let asked =
        vec![(b"User-Agent".to_vec(), b"x \"y\"".to_vec()), (b"Authorization".to_vec(), b"Basic bWU6cHc=".to_vec())];
    let line: [&[u8]; 3] = [b"GET", b"/a%20b?c=d", b"HTTP/1.0"];
    let mut memo = Memo::of(line, &asked, "192.0.2.9".to_owned());
    (memo.sent, memo.answered) = (7, vec![(b"X-Own".to_vec(), b"own".to_vec())]);
    let told = |memo: &Memo, form: &str| {
        let source = Source::Memory(memo);
        let mut line = Vec::new();
        format(form).write(&Told { source, status: 201, why: None, took: Took::default() }, &then(), &mut line);
        String::from_utf8(line).unwrap()
    };
    let form = "%(h)s %(u)s \"%(r)s\" %(s)s %(b)s %(U)s %(q)s %(H)s \"%(a)s\" %({x-own}o)s %({x-other}o)s";
    assert_eq!(
        told(&memo, form),
        "192.0.2.9 me \"GET /a%20b?c=d HTTP/1.0\" 201 7 /a b c=d HTTP/1.0 \"x \\\"y\\\"\" own -\n"
    );
    let bare = Memo::of([b"GET", b"/", b"HTTP/1.1"], &Vec::new(), "unix".to_owned());
    assert_eq!(told(&bare, "%(h)s %(U)s?%(q)s %(H)s %(b)s"), "unix /? HTTP/1.1 0\n");
}

#[test]
fn gunicorns_atoms_tell_what_they_tell_there() {
    let mut connection = connection(GET);
    connection.notes = vec!["some".into(), "-".into()];
    for (written, expected) in [
        ("%(h)s %(l)s %(u)s %(t)s", "192.0.2.1 - me [06/Nov/1994:08:49:37 +0000]"),
        ("%(r)s", "GET /a%20b?c=d HTTP/1.1"),
        ("%(m)s %(U)s %(q)s %(H)s", "GET /a b c=d HTTP/1.1"),
        ("%(s)s %(b)s %(B)d", "200 5 5"),
        ("%(f)s \"%(a)s\"", "- \"x \\\"y\\\"\\\\z\""),
        ("%(T)s %(M)s %(D)s %(L)s %(p)s", "3 3020 3020050 3.020050 <4711>"),
        ("%({Host}i)s %({x-none}i)s", "a -"),
        ("%({x-own}o)s %({x-none}o)s", "an \\\"own\\\" one -"),
        ("%({REMOTE_USER}e)s%%%({x}e)s", "some%-"),
    ] {
        assert_eq!(line(&format(written), &connection, (200, None)), format!("{expected}\n"), "{written}");
    }
}

#[test]
fn a_request_that_was_not_understood_has_its_first_line() {
    let strange = connection(b"\r\nGET /\x1b[2J \"x\"\r\nHost: a\r\n\r\n");
    let verdict = (400, Some("no"));
    let told = line(&text(), &strange, verdict);
    assert!(told.contains(" line=\"GET /\\u{1b}[2J \\\"x\\\"\" status=400 bytes=0 "), "{told}");
    assert!(told.ends_with(" why=no\n") && !told.contains("method"), "{told}");
    let told = line(&json(), &strange, verdict);
    assert!(told.contains("\"line\":\"GET /\\u001b[2J \\\"x\\\"\",\"status\":400"), "{told}");
    let told = line(&format("%(h)s \"%(r)s\" %(m)s %(U)s %(q)s %(H)s %(a)s %(u)s %(b)s"), &strange, verdict);
    assert_eq!(told, "192.0.2.1 \"GET /\\x1b[2J \\\"x\\\"\" - - - - - - 0\n");
    let long = connection(&[b"GET /", &[b'a'; 4200][..]].concat());
    assert!(line(&format("%(r)s"), &long, (414, None)).len() == 257);
}

#[test]
fn of_a_request_that_python_has_its_line_is_known() {
    let took = Took { app: Duration::from_secs(60), total: Duration::from_secs(60), ..Took::default() };
    let mut memo = Memo::default();
    let held =
        connection(b"GET /slow?x HTTP/1.1\r\nHost: a\r\nUser-Agent: slow/1\r\nX-Big: b\r\n\r\nGET /next HTTP/1.1");
    // The one before leaves nothing.
    memo.take(&connection(b"GET /before HTTP/1.1\r\nHost: a\r\nReferer: r\r\nX-A: a\r\n\r\n"));
    memo.take(&held);
    assert!(memo.bytes.ends_with(b"\r\n\r\n"), "the head and no more");
    let told = Told { source: Source::Memory(&memo), status: 504, why: Some("late"), took };
    let write = |form: Form| {
        let mut line = Vec::new();
        form.write(&told, &then(), &mut line);
        String::from_utf8(line).unwrap()
    };
    let line = write(text());
    let end = "client=192.0.2.1 method=GET path=/slow?x status=504 bytes=0 ms=60000.000 queue_ms=0.000 app_ms=60000.000 request_id=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa referer=- agent=slow/1 why=late\n";
    assert!(line.ends_with(end), "{line}");
    assert_eq!(
        write(format("%(h)s %(m)s %(r)s %(s)s %(q)s %(L)s %({x}e)s %({x}o)s %({x-big}i)s")),
        "192.0.2.1 GET GET /slow?x HTTP/1.1 504 x 60.000000 - - b\n"
    );
}

#[test]
fn nothing_of_the_request_before_is_told_of_one_that_was_not_understood() {
    let mut connection = connection(GET);
    while !connection.turn.output().is_empty() {
        connection.turn.output().sent(1);
    }
    connection.turn.restart(&MOMENT);
    connection.turn.receive(b"nonsense\r\n", &MOMENT);
    let told = line(&json(), &connection, (400, None));
    assert!(told.contains("\"line\":\"nonsense\"") && !told.contains("GET") && !told.contains("aaaa"), "{told}");
}

#[test]
fn no_path_can_forge_a_line() {
    let connection = connection(b"GET /%0a%0dforged%22?\"\\\xff HTTP/1.1\r\nHost: a\r\nReferer: \xff\xfe\r\n\r\n");
    for form in [text(), json(), format("%(U)s %(q)s %(f)s %(r)s")] {
        let line = line(&form, &connection, (200, None));
        assert_eq!(line.matches(['\n', '\r']).count(), 1, "{line}");
    }
    assert_eq!(
        line(&format("%(U)s %(q)s %(f)s"), &connection, (200, None)),
        "/\\x0a\\x0dforged\\\" \\\"\\\\\\xff \\xff\\xfe\n"
    );
}

/// An outlet, and each write to it as a packet; as many packets wait as the kernel has room for.
fn outlet() -> (Outlet, UnixDatagram) {
    let (read, written) = UnixDatagram::pair().unwrap();
    read.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    (Outlet::new(OwnedFd::from(written)), read)
}

/// Has a reader stop: an empty packet.
fn read_to_here(outlet: &Outlet) {
    assert_eq!((&*outlet.file()).write(b"").unwrap(), 0);
}

/// Everything that comes up to an empty packet.
fn received(read: &UnixDatagram) -> Vec<String> {
    let mut packet = [0; 2 * PIPE_BYTES];
    let next = || {
        let count = read.recv(&mut packet).unwrap();
        (count > 0).then(|| String::from_utf8(packet[..count].to_vec()).unwrap())
    };
    std::iter::from_fn(next).collect()
}

/// A log that keeps its messages.
#[derive(Clone, Default)]
struct Records(Arc<Mutex<Vec<String>>>);

impl slog::Drain for Records {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &slog::Record<'_>, _: &slog::OwnedKVList) -> Result<(), slog::Never> {
        self.0.lock().unwrap().push(record.msg().to_string());
        Ok(())
    }
}

fn log(records: &Records) -> Logger {
    Logger::root(slog::Fuse(records.clone()), o!())
}

fn told(connection: &Connection) -> Told<'_> {
    Told { source: Source::Connection(connection), status: 200, why: None, took: Took::default() }
}

#[test]
fn every_line_is_written_once_and_in_order_and_the_last_before_the_end() {
    let (outlet, read) = outlet();
    let access = Access::start(format("%(U)s"), &outlet, &log(&Records::default())).unwrap();
    let reader = thread::spawn(move || received(&read));
    let mut expected = String::new();
    for number in 0..10_000 {
        let connection = connection(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        access.tell(&told(&connection));
        expected += &format!("/{number}\n");
    }
    access.finish();
    read_to_here(&outlet);
    let written = reader.join().unwrap();
    assert_eq!(written.concat(), expected);
    assert!(written.len() < 2000, "{} writes", written.len());
    assert!(written.iter().all(|piece| piece.len() <= PIPE_BYTES && piece.ends_with('\n')), "whole lines");
}

#[test]
fn a_reader_that_stands_still_blocks_nobody_and_the_loss_is_said() {
    let (outlet, read) = outlet();
    let records = Records::default();
    let access = Access::start(format("%(U)s"), &outlet, &log(&records)).unwrap();
    let connection = connection(&[b"GET /", &[b'a'; 1000][..], b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
    let count = 3 * BUFFER_BYTES_MAX / 1000;
    for _ in 0..count {
        access.tell(&told(&connection));
    }
    let reader = thread::spawn(move || received(&read));
    access.finish();
    read_to_here(&outlet);
    let lines = reader.join().unwrap().concat().lines().count();
    assert!(lines > BUFFER_BYTES_MAX / 1100 && lines < count, "{lines} of {count}");
    let said = records.0.lock().unwrap().concat();
    assert!(said.contains("lines of the access log were dropped"), "the loss is not said: {said}");
}

#[test]
fn a_long_line_is_whole_and_alone() {
    let long = [&[b'b'; 5000][..], b"\n"].concat();
    let lines = [b"a\n", &long[..], b"c\nd\n"].concat();
    let cut: Vec<usize> = pieces(&lines).map(<[u8]>::len).collect();
    assert_eq!(cut.iter().sum::<usize>(), lines.len());
    assert!(pieces(&lines).all(|piece| piece.ends_with(b"\n")), "{cut:?}");
    assert_eq!(pieces(b"").count(), 0);
}
