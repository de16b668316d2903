//! Clients that forgive nothing: each lives for one way of asking, and counts what it is denied.
//!
//! ```text
//!   ask ── whole, right answer ──> ask again          kept
//!     ├─── no answer, a wrong one, a 5xx ──> failed    and closed, for the connection is of no use any more
//!     └─── an end between requests, or Connection: close that nobody asked for ──> closed
//! ```
//!
//! A client of a connection that ended makes a new one and goes on; every connection is counted. Nothing is tried
//! again. A client looks at its connection for a moment before each request, so an end in that moment is not a failed
//! request, as it would be for one that asks without pause.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::harness::{Broken, Client, Ending};

/// How long a client looks at its connection between requests, and between the halves of one. More asks too seldom to
/// meet every moment of a reload; less leaves two processors nothing for the server.
const PAUSE: Duration = Duration::from_millis(3);

/// What is seen when a whole answer says that it is the last.
pub const ANNOUNCED: &str = "Connection: close";

/// What all clients share.
#[derive(Default)]
pub struct Weather {
    /// Everybody goes home.
    pub over: AtomicBool,
    /// Reloads are going on; before, the server is left alone.
    pub stormy: AtomicBool,
    /// Whole answers so far, of all clients.
    pub answers: AtomicUsize,
}

/// A way of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// `GET` after `GET` on one connection.
    Get,
    /// `POST` in two halves with a pause between them.
    Halves,
    /// Reads an answer that comes in many pieces.
    Stream,
    /// Three requests at once.
    Pipeline,
    /// `GET` after `GET` whose calls take their time.
    Slow,
    /// A connection for each request.
    Fresh,
    /// Asks once at the beginning and once at the end.
    Idle,
}

/// A request that was not answered, or a connection that was ended.
#[derive(Clone, Debug)]
pub struct Loss {
    /// Whose.
    pub habit: Habit,
    /// The client's port: the connection.
    pub port: u16,
    /// What was seen.
    pub seen: String,
    /// When.
    pub at: Instant,
}

/// What a client was given and denied.
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests with a whole and right answer.
    pub answered: usize,
    /// Requests without.
    pub failed: Vec<Loss>,
    /// Connections that ended though nobody asked for it; of those who keep theirs.
    pub closed: Vec<Loss>,
    /// Connections made by those who keep theirs.
    pub connected: usize,
    /// Clients that keep their connection.
    pub keepers: usize,
    /// How often another worker answered on a connection than before, while the server was left alone.
    pub moved: usize,
    /// Microseconds that each `GET` took while the server was left alone.
    pub calm: Vec<u32>,
    /// The same during reloads.
    pub stormy: Vec<u32>,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} on port {}: {}", self.habit, self.port, self.seen)
    }
}

impl Tally {
    /// Adds another's.
    pub fn add(mut self, other: Tally) -> Tally {
        self.answered += other.answered;
        self.connected += other.connected;
        self.keepers += other.keepers;
        self.moved += other.moved;
        self.failed.extend(other.failed);
        self.closed.extend(other.closed);
        self.calm.extend(other.calm);
        self.stormy.extend(other.stormy);
        self
    }

    /// Connections made beyond one for each client that keeps its own.
    pub fn reconnects(&self) -> usize {
        self.connected - self.keepers
    }
}

/// Sends a client on its way.
pub fn send<'scope>(
    scope: &'scope Scope<'scope, '_>,
    address: SocketAddr,
    habit: Habit,
    weather: &'scope Weather,
) -> ScopedJoinHandle<'scope, Tally> {
    scope.spawn(move || Visitor { habit, address, weather, tally: Tally::default(), client: None, who: None }.live())
}

struct Visitor<'a> {
    habit: Habit,
    address: SocketAddr,
    weather: &'a Weather,
    tally: Tally,
    client: Option<Client>,
    /// Who answered last on it.
    who: Option<(String, String)>,
}

/// Whether a connection may be used again.
enum Then {
    /// It was answered by this version and this worker, if that is told.
    Kept(Option<(String, String)>),
    Closed(String),
}

impl Visitor<'_> {
    fn live(mut self) -> Tally {
        self.tally.keepers += usize::from(self.habit != Habit::Fresh);
        while !self.weather.over.load(Ordering::Relaxed) {
            if let Some(mut client) = self.connected() {
                let paused = if self.habit == Habit::Fresh { Ok(()) } else { client.pause(PAUSE) };
                match paused {
                    Ok(()) => self.visit(client),
                    Err(broken) => self.lose_connection(&client, broken.to_string()),
                }
            }
        }
        self.tally
    }

    /// The connection that is there, or a new one.
    fn connected(&mut self) -> Option<Client> {
        if let Some(client) = self.client.take() {
            return Some(client);
        }
        match Client::try_connect(self.address) {
            Ok(client) => {
                self.tally.connected += usize::from(self.habit != Habit::Fresh);
                Some(client)
            }
            Err(why) => {
                let seen = format!("cannot connect: {why}");
                self.tally.failed.push(Loss { habit: self.habit, port: 0, seen, at: Instant::now() });
                thread::park_timeout(Duration::from_millis(50));
                None
            }
        }
    }

    /// Asks once, in the way of its habit.
    fn visit(&mut self, mut client: Client) {
        let stormy = self.weather.stormy.load(Ordering::Relaxed);
        let begun = Instant::now();
        match ask(&mut client, self.habit) {
            Ok(then) => {
                let took = begun.elapsed().as_micros() as u32;
                let times = if stormy { &mut self.tally.stormy } else { &mut self.tally.calm };
                times.extend((self.habit == Habit::Get).then_some(took));
                self.tally.answered += 1;
                self.weather.answers.fetch_add(1, Ordering::Relaxed);
                match then {
                    Then::Kept(_) if self.habit == Habit::Fresh => {}
                    Then::Kept(who) => {
                        // By another version is what a reload does, that of the storm's last moment.
                        let is_other =
                            |who: &(String, String), known: &(String, String)| who.0 == known.0 && who.1 != known.1;
                        let is_moved =
                            self.who.as_ref().zip(who.as_ref()).is_some_and(|(known, who)| is_other(who, known));
                        self.tally.moved += usize::from(!stormy && is_moved);
                        (self.client, self.who) = (Some(client), who);
                    }
                    Then::Closed(seen) => self.lose_connection(&client, seen),
                }
            }
            Err(seen) => {
                let at = Instant::now();
                self.tally.failed.push(Loss { habit: self.habit, port: port(&client), seen: seen.clone(), at });
                self.lose_connection(&client, seen);
            }
        }
    }

    fn lose_connection(&mut self, client: &Client, seen: String) {
        self.who = None;
        if self.habit != Habit::Fresh {
            self.tally.closed.push(Loss { habit: self.habit, port: port(client), seen, at: Instant::now() });
        }
    }
}

fn port(client: &Client) -> u16 {
    client.local_address().port()
}

/// One exchange, or three at once; what is wrong with it.
fn ask(client: &mut Client, habit: Habit) -> Result<Then, String> {
    match habit {
        Habit::Get | Habit::Idle => {
            say(client, "GET /get HTTP/1.1\r\nHost: h\r\n\r\n")?;
            whole(client, "/get", "")
        }
        Habit::Slow => {
            say(client, "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")?;
            whole(client, "/slow", "")
        }
        Habit::Fresh => {
            say(client, "GET /fresh HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")?;
            whole(client, "/fresh", "")?;
            match client.ending() {
                (rest, Ending::Eof) if rest.is_empty() => Ok(Then::Kept(None)),
                (rest, ending) => Err(Broken::Ended(ending, rest).to_string()),
            }
        }
        Habit::Halves => {
            say(client, "POST /halves HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n01234")?;
            client.pause(PAUSE).map_err(|broken| broken.to_string())?;
            say(client, "56789")?;
            whole(client, "/halves", "0123456789")
        }
        Habit::Stream => {
            say(client, "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n")?;
            stream(client)
        }
        Habit::Pipeline => {
            let request = |name: &str| format!("GET /{name} HTTP/1.1\r\nHost: h\r\n\r\n");
            say(client, &["a", "b", "c"].map(request).concat())?;
            whole(client, "/a", "")?;
            whole(client, "/b", "")?;
            whole(client, "/c", "")
        }
    }
}

fn say(client: &mut Client, text: &str) -> Result<(), String> {
    client.try_send(text).map_err(|why| format!("cannot send: {why}"))
}

/// Reads the application's answer to a request for `path` with `body`.
fn whole(client: &mut Client, path: &str, body: &str) -> Result<Then, String> {
    let answer = client.try_answer("GET").map_err(|broken| broken.to_string())?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let right = answer.status == 200 && text.starts_with(&format!("{path} ")) && text.ends_with(&format!(" {body}"));
    match (right, answer.says_close()) {
        (false, _) => Err(format!("another answer was expected: {answer}")),
        (true, true) => Ok(Then::Closed(ANNOUNCED.to_owned())),
        (true, false) => Ok(Then::Kept(who_answered(&text))),
    }
}

/// The version and the worker.
fn who_answered(text: &str) -> Option<(String, String)> {
    let mut words = text.split(' ').skip(1).map(str::to_owned);
    words.next().zip(words.next())
}

/// Reads the answer that comes in pieces.
fn stream(client: &mut Client) -> Result<Then, String> {
    let answer = client.try_answer("GET").map_err(|broken| broken.to_string())?;
    let expected: String = (0..20).map(|number| format!("piece {number} of 20\n")).collect();
    match (answer.status == 200 && answer.body == expected.as_bytes(), answer.says_close()) {
        (false, _) => Err(format!("twenty pieces were expected: {answer}")),
        (true, true) => Ok(Then::Closed(ANNOUNCED.to_owned())),
        (true, false) => Ok(Then::Kept(None)),
    }
}

/// Connections that ask once at the beginning, and once more when told.
pub struct Idlers {
    visitors: Vec<Client>,
    tally: Tally,
}

impl Idlers {
    /// So many of them, each of which has asked once.
    pub fn come(address: SocketAddr, count: usize) -> Idlers {
        let mut idlers = Idlers { visitors: Vec::new(), tally: Tally { keepers: count, ..Tally::default() } };
        for _ in 0..count {
            let mut client = Client::connect(address);
            idlers.tally.connected += 1;
            idlers.judge(&mut client);
            idlers.visitors.push(client);
        }
        idlers
    }

    /// Each asks again, on the connection that it has.
    pub fn ask_again(mut self) -> Tally {
        for mut client in std::mem::take(&mut self.visitors) {
            self.judge(&mut client);
        }
        self.tally
    }

    fn judge(&mut self, client: &mut Client) {
        let port = port(client);
        let loss = |seen| Loss { habit: Habit::Idle, port, seen, at: Instant::now() };
        match ask(client, Habit::Idle) {
            Ok(Then::Kept(_)) => self.tally.answered += 1,
            Ok(Then::Closed(seen)) => {
                self.tally.answered += 1;
                self.tally.closed.push(loss(seen));
            }
            Err(seen) => {
                self.tally.failed.push(loss(seen.clone()));
                self.tally.closed.push(loss(seen));
            }
        }
    }
}
