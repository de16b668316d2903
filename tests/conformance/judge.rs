//! Has a conversation with a server and says whether the text allows what the server did.
//!
//! After a reaction that does not end the connection, a last request is sent on it: a server that misread where the one before
//! ended answers that one wrongly, or twice. Ending the connection instead is every server's right (RFC 9112 9.3).

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::case::{Allowed, Case, Check, Step};
use super::reply::{self, Reply};
use crate::harness::{Answer, Broken, Client, Ending, Framing, within};

/// What ends every conversation that is not ended yet.
const LAST: &str = "GET /answer/plain HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// How the bytes of a case are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Each step at once.
    Whole,
    /// Byte by byte, each in a packet of its own; long ones in a few parts.
    Slowly,
}

/// Above it nothing is sent byte by byte, which would take seconds.
const SLOWLY_MAX: usize = 4096;

/// Who is judged, and how.
#[derive(Clone, Debug)]
pub struct Judge {
    /// Where the server listens.
    pub address: SocketAddr,
    /// The folder of its application.
    pub folder: PathBuf,
    /// How long to wait for a byte before that is silence.
    pub patience: Duration,
    /// How to send.
    pub manner: Manner,
    /// What beyond the case's own rule is held against the server.
    pub measure: Measure,
}

/// How much is held against a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The case's rule alone.
    TheCase,
    /// Every rule, in every answer.
    EveryRule,
}

/// One conversation under way.
struct Talk<'a> {
    judge: &'a Judge,
    client: Option<Client>,
    /// The method of the last request sent.
    method: &'static str,
    /// Whether the client has said that it will send no more.
    finished: bool,
    /// Whether the connection has ended, or its end has been checked.
    over: bool,
}

impl Judge {
    /// Has the conversation of a case.
    ///
    /// # Errors
    /// What the server did that no text allows.
    pub fn hear(&self, case: &Case) -> Result<(), String> {
        // Nothing to remove is what is wanted.
        let _ = fs::remove_file(self.folder.join("record"));
        let _ = fs::remove_file(self.folder.join("go"));
        let client = self.connect()?;
        let mut talk = Talk { judge: self, client: Some(client), method: "GET", finished: false, over: false };
        for step in &case.talk {
            talk.take(step)?;
            if talk.over && matches!(step, Step::BeInvited) {
                break;
            }
        }
        talk.end()
    }

    fn connect(&self) -> Result<Client, String> {
        let mut client = Client::try_connect(self.address).map_err(|why| format!("cannot connect: {why}"))?;
        client.set_patience(self.patience);
        Ok(client)
    }

    /// Whether a client on a connection of its own is served.
    pub fn is_served(&self) -> bool {
        let Ok(mut client) = self.connect() else { return false };
        // A server that is gone shows in what comes, which is nothing.
        let _ = client.try_send(LAST);
        reply::hear(&mut client, "GET").answer.is_some_and(|answer| answer.body == b"plain")
    }

    fn send(&self, client: &mut Client, bytes: &[u8], manner: Manner) {
        let size = match manner {
            Manner::Whole => bytes.len().max(1),
            Manner::Slowly if bytes.len() > SLOWLY_MAX => bytes.len() / 8,
            Manner::Slowly => 1,
        };
        // The answer may come, and the connection go, before the last byte is sent.
        let _ = bytes.chunks(size).try_for_each(|part| client.try_send(part));
    }
}

impl Talk<'_> {
    fn take(&mut self, step: &Step) -> Result<(), String> {
        let judge = self.judge;
        match step {
            Step::Recorded(lines) => return self.recorded(lines),
            Step::Touch(name) => return fs::write(judge.folder.join(name), "").map_err(|why| why.to_string()),
            Step::Alive => {
                let look = || judge.is_served().then_some(());
                return within(judge.patience * 3, look).map_err(|_| "nobody is served any more".to_owned());
            }
            Step::Vanish => {
                (self.client, self.over) = (None, true);
                return Ok(());
            }
            Step::Send(_) | Step::Trickle(_) | Step::Finish | Step::Hear(_) | Step::BeInvited | Step::Part(_) => {}
        }
        let client = self.client.as_mut().ok_or("the case goes on behind its end")?;
        match step {
            Step::Send(bytes) | Step::Trickle(bytes) => {
                self.method = if bytes.starts_with(b"HEAD ") { "HEAD" } else { "GET" };
                let manner = if matches!(step, Step::Trickle(_)) { Manner::Slowly } else { judge.manner };
                judge.send(client, bytes, manner);
            }
            Step::Finish => {
                client.finish_sending();
                self.finished = true;
            }
            Step::Part(text) => {
                client.take_until(text.as_bytes()).map_err(|broken| format!("{text:?} does not come: {broken}"))?;
            }
            Step::BeInvited => return self.be_invited(),
            Step::Hear(allowed) => return self.hear(allowed),
            Step::Recorded(_) | Step::Touch(_) | Step::Alive | Step::Vanish => {}
        }
        Ok(())
    }

    fn recorded(&self, lines: &[&str]) -> Result<(), String> {
        let path = self.judge.folder.join("record");
        let look = || {
            let record = fs::read_to_string(&path).unwrap_or_default();
            if record.lines().eq(lines.iter().copied()) { Ok(()) } else { Err(record) }
        };
        within(self.judge.patience, look).map_err(|seen| format!("{lines:?} was to be recorded, and not {seen}"))
    }

    fn be_invited(&mut self) -> Result<(), String> {
        let client = self.client.as_mut().ok_or("the case goes on behind its end")?;
        let mut reply = Reply::default();
        let head = reply::read_head(client, self.method, &mut reply);
        let head = head.map_err(|broken| format!("neither 100 nor a final answer: {broken}"))?;
        match (head.status, reply.fault) {
            (100, None) => Ok(()),
            (100, Some(fault)) => Err(format!("{fault}: {head}")),
            (200.., _) => {
                self.over = true;
                Ok(())
            }
            _ => Err(format!("neither 100 nor a final answer: {head}")),
        }
    }

    /// Reads an answer and finds a reaction that it fits.
    fn hear(&mut self, allowed: Allowed) -> Result<(), String> {
        let client = self.client.as_mut().ok_or("the case goes on behind its end")?;
        let reply = reply::hear(client, self.method);
        if let (Measure::EveryRule, Some(rule)) = (self.judge.measure, &reply.strict) {
            return Err(format!("in its answer, {rule}"));
        }
        let mut misses = Vec::new();
        for checks in allowed {
            match checks.iter().find_map(|check| miss(*check, &reply)) {
                None => return self.follow(checks, &reply),
                Some(miss) => misses.push(miss),
            }
        }
        Err(format!("{}; heard: {}", misses.join("; or "), told(&reply)))
    }

    /// What of the checks is about the connection; and whether that goes on as the answer says.
    fn follow(&mut self, checks: &[Check], reply: &Reply) -> Result<(), String> {
        let client = self.client.as_mut().ok_or("the case goes on behind its end")?;
        if reply.broken.is_some() {
            self.over = true;
            return Ok(());
        }
        let says_close =
            reply.answer.as_ref().is_some_and(|answer| answer.says_close() || answer.framing == Framing::Close);
        if checks.iter().any(|check| matches!(check, Check::Closes)) {
            self.over = true;
            return match client.ending() {
                (rest, Ending::Eof | Ending::Reset) if rest.is_empty() => match self.judge.measure {
                    Measure::EveryRule if !says_close => Err("it closes and does not say so".to_owned()),
                    Measure::EveryRule | Measure::TheCase => Ok(()),
                },
                (rest, ending) => {
                    Err(format!("was to be closed, but: {}; heard: {}", Broken::Ended(ending, rest), told(reply)))
                }
            };
        }
        let stays = checks.iter().any(|check| matches!(check, Check::Stays));
        if stays && says_close {
            return Err(format!("was to stay open; heard: {}", told(reply)));
        }
        self.over = says_close;
        Ok(())
    }

    /// Nothing is left over, and the connection is in step.
    fn end(mut self) -> Result<(), String> {
        let (Some(client), false) = (&mut self.client, self.over) else { return Ok(()) };
        if !self.finished {
            self.judge.send(client, LAST.as_bytes(), self.judge.manner);
            let reply = reply::hear(client, "GET");
            let ended = reply.answer.is_none() && miss(Check::Nothing, &reply).is_none();
            match &reply.answer {
                Some(answer) if reply.broken.is_none() && answer.body == b"plain" => {}
                None if ended && self.judge.measure == Measure::TheCase => return Ok(()),
                _ => return Err(format!("the next request is not answered as it should be: {}", told(&reply))),
            }
        }
        match client.ending() {
            (rest, Ending::Eof | Ending::Reset) if rest.is_empty() => Ok(()),
            (rest, ending) => Err(format!("after the last answer: {}", Broken::Ended(ending, rest))),
        }
    }
}

/// What was heard, for a person.
fn told(reply: &Reply) -> String {
    let answer = reply.answer.as_ref().map(|answer| short(&answer.to_string()));
    let broken = reply.broken.as_ref().map(|broken| short(&broken.to_string()));
    [answer, broken].into_iter().flatten().collect::<Vec<_>>().join(", then ")
}

fn short(text: &str) -> String {
    let mut text = text.replace('\n', " | ");
    if let Some((at, _)) = text.char_indices().nth(300) {
        text.truncate(at);
        text.push('…');
    }
    text
}

/// Why a check does not fit; nothing when it does.
fn miss(check: Check, reply: &Reply) -> Option<String> {
    let ended = matches!(reply.broken, Some(Broken::Ended(Ending::Eof | Ending::Reset, _)));
    let fits = match (&reply.answer, &reply.broken) {
        (None, Some(Broken::Ended(_, seen))) => matches!(check, Check::Nothing) && ended && seen.is_empty(),
        (None, _) => false,
        (Some(_), Some(_)) if matches!(check, Check::Cut) => ended,
        // A status is there as soon as a head is; all else is of a complete answer.
        (Some(answer), Some(_)) => matches!(check, Check::Status(status) if status == answer.status),
        (Some(answer), None) => fits(check, reply, answer),
    };
    (!fits).then(|| format!("{check:?} was to be"))
}

/// Whether a check fits a complete answer.
fn fits(check: Check, reply: &Reply, answer: &Answer) -> bool {
    let told = || serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    match check {
        Check::Nothing | Check::Cut => false,
        // What follows the answer is looked at when it fits.
        Check::Closes | Check::Stays => true,
        Check::Invited => reply.interims.contains(&100),
        Check::Uninvited => reply.interims.is_empty(),
        Check::Speaks11 => reply.version == "HTTP/1.1",
        Check::WellFormed => reply.fault.is_none(),
        Check::Status(wanted) => answer.status == wanted,
        Check::StatusOf(wanted) => wanted.contains(&answer.status),
        Check::Rejected => (400..500).contains(&answer.status) || matches!(answer.status, 501 | 505),
        Check::Environ(key, value) => told()["environ"][key] == value,
        Check::NoEnviron(key) => ["environ", "others"].iter().all(|kind| told()[kind].get(key).is_none()),
        Check::HasEnviron(key) => told()["environ"][key].as_str().is_some_and(|value| !value.is_empty()),
        Check::Other(key, value) => told()["others"][key] == value,
        Check::Received(body) => told()["body"] == body,
        Check::Body(text) => answer.body == text.as_bytes(),
        Check::Counted(from, length) => answer.body.len() == length && is_counted(from, &answer.body),
        Check::NoText(text) => !answer.body.windows(text.len()).any(|window| window == text.as_bytes()),
        Check::Unchunked => answer.framing != Framing::Chunked,
        Check::Field(name, value) => answer.values(name) == [value],
        Check::NoField(name) => answer.values(name).is_empty(),
        Check::Values(name, values) => answer.values(name) == values,
        Check::Reason(reason) => answer.reason == reason,
        Check::Dated => matches!(answer.values("date")[..], [date] if is_imf_fixdate(date)),
        Check::SaysKeepAlive => {
            answer.values("connection").iter().any(|value| value.eq_ignore_ascii_case("keep-alive"))
        }
    }
}

/// Whether each byte is what `apps/conformance.py` puts at that place of its file.
fn is_counted(from: usize, bytes: &[u8]) -> bool {
    bytes.iter().enumerate().all(|(at, &byte)| usize::from(byte) == (from + at) % 251)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, by its shape (RFC 9110 5.6.7).
fn is_imf_fixdate(date: &str) -> bool {
    let kind = |c: char| match c {
        '0'..='9' => '0',
        'a'..='z' | 'A'..='Z' => 'a',
        other => other,
    };
    date.chars().map(kind).eq("aaa, 00 aaa 0000 00:00:00 aaa".chars()) && date.ends_with(" GMT")
}
