//! A web server's side of FastCGI, by its specification (1.0).

use super::super::answer::Broken;
use super::super::client::Client;
use super::Asked;

/// FCGI_KEEP_CONN.
pub const KEEP_CONN: u8 = 1;

/// Record types.
pub const BEGIN_REQUEST: u8 = 1;
pub const ABORT_REQUEST: u8 = 2;
pub const END_REQUEST: u8 = 3;
pub const PARAMS: u8 = 4;
pub const STDIN: u8 = 5;
pub const STDOUT: u8 = 6;
pub const STDERR: u8 = 7;
pub const GET_VALUES: u8 = 9;
pub const GET_VALUES_RESULT: u8 = 10;
pub const UNKNOWN_TYPE: u8 = 11;

/// Protocol statuses.
pub const REQUEST_COMPLETE: u8 = 0;
pub const OVERLOADED: u8 = 2;
pub const UNKNOWN_ROLE: u8 = 3;

/// One record, with padding to eight bytes.
pub fn record(kind: u8, id: u16, content: &[u8]) -> Vec<u8> {
    let padding = (8 - content.len() % 8) % 8;
    let (id, length) = (id.to_be_bytes(), (content.len() as u16).to_be_bytes());
    let header = [1, kind, id[0], id[1], length[0], length[1], padding as u8, 0];
    [&header[..], content, &vec![0; padding]].concat()
}

/// BEGIN_REQUEST for this role.
pub fn begin(id: u16, role: u16, flags: u8) -> Vec<u8> {
    let role = role.to_be_bytes();
    record(BEGIN_REQUEST, id, &[role[0], role[1], flags, 0, 0, 0, 0, 0])
}

/// Names and values behind their lengths, of 1 byte below 128 and else of 4.
pub fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut text = Vec::new();
    for (name, value) in pairs {
        for length in [name.len(), value.len()] {
            if length < 128 {
                text.push(length as u8);
            } else {
                text.extend_from_slice(&(length as u32 | 1 << 31).to_be_bytes());
            }
        }
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(value);
    }
    text
}

/// A stream in records of at most so many bytes, its end included.
pub fn stream(kind: u8, id: u16, bytes: &[u8], most: usize) -> Vec<u8> {
    let mut records: Vec<u8> = bytes.chunks(most).flat_map(|chunk| record(kind, id, chunk)).collect();
    records.extend(record(kind, id, b""));
    records
}

/// All records of a request but those of its body.
pub fn head(id: u16, flags: u8, asked: &Asked) -> Vec<u8> {
    let variables = asked.all_variables();
    let text = pairs(variables.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
    [begin(id, 1, flags), stream(PARAMS, id, &text, 65_535)].concat()
}

/// All records of a request.
pub fn request(id: u16, flags: u8, asked: &Asked) -> Vec<u8> {
    [head(id, flags, asked), stream(STDIN, id, &asked.body, 65_535)].concat()
}

/// A record that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub kind: u8,
    pub id: u16,
    pub content: Vec<u8>,
}

/// The next record.
pub fn next(client: &mut Client) -> Result<Record, Broken> {
    let header = client.take(8)?;
    if header[0] != 1 {
        return Err(Broken::Rule("a record has version 1", header));
    }
    let number = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (kind, id, length, padding) = (header[1], number(2), number(4), header[6]);
    let mut content = client.take(usize::from(length) + usize::from(padding))?;
    content.truncate(usize::from(length));
    Ok(Record { kind, id, content })
}

/// What came for one request up to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// The application's status and the protocol's.
    pub status: (u32, u8),
}

impl Said {
    /// Adds a record. Says whether it is the last.
    pub fn add(&mut self, record: &Record) -> Result<bool, Broken> {
        match record.kind {
            STDOUT => self.stdout.extend_from_slice(&record.content),
            STDERR => self.stderr.extend_from_slice(&record.content),
            END_REQUEST if record.content.len() == 8 => {
                let status = record.content.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
                self.status = (status, record.content[4]);
                return Ok(true);
            }
            _ => return Err(Broken::Rule("only output comes for a request", record.content.clone())),
        }
        Ok(false)
    }
}

/// All that comes up to the end of a request, of which no other is asked for meanwhile.
pub fn answer(client: &mut Client, id: u16) -> Result<Said, Broken> {
    let mut said = Said::default();
    loop {
        let record = next(client)?;
        if record.id != id {
            let seen = format!("{record:?} after {said:?}").into_bytes();
            return Err(Broken::Rule("what comes is for the request that was made", seen));
        }
        if said.add(&record)? {
            return Ok(said);
        }
    }
}
