//! A client that sends exactly the bytes it is given and believes nothing that it gets.
//!
//! It blocks, sees every byte, tells an end of stream from a reset, and may cut, pipeline or hold back what it sends.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::answer::{self, Answer, Broken, Ending, Framing};
use rustls::{ClientConnection, StreamOwned};

/// How long the client waits for a byte before it calls that silence.
const PATIENCE: Duration = Duration::from_secs(30);

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<Tls>),
}

/// A TCP stream that speaks TLS.
pub type Tls = StreamOwned<ClientConnection, TcpStream>;

/// One connection.
pub struct Client {
    stream: Stream,
    /// Received and not yet read as part of an answer.
    pending: Vec<u8>,
}

impl Client {
    /// Connects to an address, without Nagle's delay: what is cut here arrives cut.
    pub fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)
            .unwrap_or_else(|why| panic!("cannot connect to {address}: {why}"));
        stream.set_nodelay(true).expect("TCP_NODELAY can be set");
        Client::over(Stream::Tcp(stream))
    }

    /// Connects to an address that may refuse it.
    pub fn try_connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        Ok(Client::over(Stream::Tcp(stream)))
    }

    /// Connects to a Unix socket.
    pub fn connect_unix(path: &Path) -> Client {
        let stream =
            UnixStream::connect(path).unwrap_or_else(|why| panic!("cannot connect to {}: {why}", path.display()));
        Client::over(Stream::Unix(stream))
    }

    /// Wraps a socket that was made with options of its own.
    pub fn over_tcp(stream: TcpStream) -> Client {
        Client::over(Stream::Tcp(stream))
    }

    /// Speaks TLS on a stream, whose handshake is made with the first bytes.
    pub fn over_tls(stream: Tls) -> Client {
        Client::over(Stream::Tls(Box::new(stream)))
    }

    /// What it knows of its TLS.
    pub fn tls(&mut self) -> &mut Tls {
        match &mut self.stream {
            Stream::Tls(stream) => stream,
            Stream::Tcp(_) | Stream::Unix(_) => panic!("the client speaks no TLS"),
        }
    }

    fn over(stream: Stream) -> Client {
        let mut client = Client { stream, pending: Vec::new() };
        client.set_patience(PATIENCE);
        client
    }

    /// How long to wait for a byte before it counts as silence.
    pub fn set_patience(&mut self, patience: Duration) {
        let set = match &self.stream {
            Stream::Tcp(stream) => stream.set_read_timeout(Some(patience)),
            Stream::Unix(stream) => stream.set_read_timeout(Some(patience)),
            Stream::Tls(stream) => stream.sock.set_read_timeout(Some(patience)),
        };
        set.expect("a read timeout can be set");
    }

    /// The client's own end, which is the server's REMOTE_ADDR and REMOTE_PORT.
    pub fn local_address(&self) -> SocketAddr {
        match &self.stream {
            Stream::Tcp(stream) => stream.local_addr().expect("a connected socket has an address"),
            Stream::Tls(stream) => stream.sock.local_addr().expect("a connected socket has an address"),
            Stream::Unix(_) => panic!("a Unix client has no address"),
        }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Client {
        self.try_send(bytes).expect("the server takes the bytes");
        self
    }

    /// Sends bytes as they are, to a server that may not want them any more.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes.as_ref()),
            Stream::Unix(stream) => stream.write_all(bytes.as_ref()),
            Stream::Tls(stream) => stream.write_all(bytes.as_ref()).and_then(|()| stream.flush()),
        }
    }

    /// Sends bytes one by one, each in a packet of its own.
    pub fn send_bytewise(&mut self, bytes: impl AsRef<[u8]>) -> &mut Client {
        for byte in bytes.as_ref() {
            self.send([*byte]);
        }
        self
    }

    /// Says that nothing more will be sent, and goes on reading.
    pub fn finish_sending(&mut self) -> &mut Client {
        let finished = match &mut self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
            Stream::Tls(stream) => {
                stream.conn.send_close_notify();
                stream.flush()
            }
        };
        finished.expect("a connected socket can be half closed");
        self
    }

    /// Leaves at once, as a client does that was killed with bytes unread: by a reset.
    pub fn reset(self) {
        match &self.stream {
            Stream::Tcp(stream) => {
                let socket = socket2::SockRef::from(stream);
                socket.set_linger(Some(Duration::ZERO)).expect("SO_LINGER can be set");
            }
            Stream::Unix(_) | Stream::Tls(_) => panic!("only a TCP stream is reset here"),
        }
    }

    /// Sends a `GET` and reads its answer.
    #[track_caller]
    pub fn get(&mut self, target: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")).answer()
    }

    /// Sends a `POST` with a Content-Length and reads its answer.
    #[track_caller]
    pub fn post(&mut self, target: &str, body: &[u8]) -> Answer {
        let head = format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
        self.send(head).send(body).answer()
    }

    /// Reads one answer; fails when there is none or a rule is broken.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        self.try_answer("GET").unwrap_or_else(|broken| panic!("no answer: {broken}"))
    }

    /// Reads the answer to a `HEAD`.
    #[track_caller]
    pub fn answer_to_head(&mut self) -> Answer {
        self.try_answer("HEAD").unwrap_or_else(|broken| panic!("no answer: {broken}"))
    }

    /// Reads one answer, or finds out why there is none.
    pub fn try_answer(&mut self, method: &str) -> Result<Answer, Broken> {
        let mut answer = self.try_head(method)?;
        let body = match answer.framing {
            Framing::None => Ok(Vec::new()),
            Framing::Length(length) => self.take(length as usize),
            Framing::Chunked => self.chunks(),
            Framing::Close => self.rest(),
        };
        answer.body = body?;
        Ok(answer)
    }

    /// Reads an answer's head alone, its content still to come.
    pub fn try_head(&mut self, method: &str) -> Result<Answer, Broken> {
        let bytes = self.take_until(b"\r\n\r\n")?;
        answer::head(&bytes, method)
    }

    /// Reads an answer's head alone; fails when there is none.
    #[track_caller]
    pub fn head(&mut self) -> Answer {
        self.try_head("GET").unwrap_or_else(|broken| panic!("no head: {broken}"))
    }

    /// Reads the next chunk of a chunked answer whose head has been read; empty for the last one.
    pub fn chunk(&mut self) -> Result<Vec<u8>, Broken> {
        let line = self.take_until(b"\r\n")?;
        let size = answer::chunk_size(&line[..line.len() - 2])?;
        let mut chunk = self.take(size + 2)?;
        if chunk.split_off(size) != b"\r\n" {
            return Err(Broken::Rule("CRLF follows a chunk's data, and no trailer the last one", chunk));
        }
        Ok(chunk)
    }

    /// Exactly so many bytes.
    pub fn take(&mut self, count: usize) -> Result<Vec<u8>, Broken> {
        while self.pending.len() < count {
            self.receive()?;
        }
        let rest = self.pending.split_off(count);
        Ok(std::mem::replace(&mut self.pending, rest))
    }

    /// Everything up to the end of the connection, and what that end was.
    pub fn ending(&mut self) -> (Vec<u8>, Ending) {
        loop {
            if let Err(Broken::Ended(ending, seen)) = self.receive() {
                self.pending.clear();
                return (seen, ending);
            }
        }
    }

    /// Fails unless the server closes the connection in an orderly way and sends nothing more before it does.
    #[track_caller]
    pub fn expect_close(&mut self) {
        let (rest, ending) = self.ending();
        let rest = rest.escape_ascii().to_string();
        assert_eq!((rest.as_str(), ending), ("", Ending::Eof), "an orderly close was expected");
    }

    /// Whether something can be read at once, an end of stream included.
    pub fn has_something(&mut self) -> bool {
        self.set_nonblocking(true);
        let looked = self.receive();
        self.set_nonblocking(false);
        !self.pending.is_empty() || !matches!(looked, Err(Broken::Ended(Ending::Silence, _)))
    }

    /// Sends nothing for a while; whatever comes meanwhile, an end too, is an error.
    pub fn pause(&mut self, length: Duration) -> Result<(), Broken> {
        self.set_patience(length);
        let received = self.receive();
        self.set_patience(PATIENCE);
        match received {
            Err(Broken::Ended(Ending::Silence, _)) => Ok(()),
            Ok(()) => Err(Broken::Rule("nothing comes before it is asked for", self.pending.clone())),
            Err(broken) => Err(broken),
        }
    }

    /// Reads nothing for a while, though something may come.
    pub fn turn_deaf(&mut self, length: Duration) {
        let over = std::time::Instant::now() + length;
        super::eventually("a while to pass", || (std::time::Instant::now() >= over).then_some(()));
    }

    fn set_nonblocking(&mut self, nonblocking: bool) {
        let set = match &self.stream {
            Stream::Tcp(stream) => stream.set_nonblocking(nonblocking),
            Stream::Unix(stream) => stream.set_nonblocking(nonblocking),
            Stream::Tls(stream) => stream.sock.set_nonblocking(nonblocking),
        };
        set.expect("a socket can be made non-blocking and back");
    }

    /// Everything up to the first `mark`, that included.
    pub fn take_until(&mut self, mark: &[u8]) -> Result<Vec<u8>, Broken> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.pending[searched..].windows(mark.len()).position(|window| window == mark) {
                return self.take(searched + at + mark.len());
            }
            searched = self.pending.len().saturating_sub(mark.len() - 1);
            self.receive()?;
        }
    }

    /// The content of a chunked answer whose head has been read.
    pub fn chunks(&mut self) -> Result<Vec<u8>, Broken> {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Ok(body);
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// The content of an answer that ends with its connection.
    pub fn rest(&mut self) -> Result<Vec<u8>, Broken> {
        match self.ending() {
            (rest, Ending::Eof) => Ok(rest),
            (rest, ending) => Err(Broken::Ended(ending, rest)),
        }
    }

    /// Waits for more bytes.
    fn receive(&mut self) -> Result<(), Broken> {
        let mut buffer = [0; 64 * 1024];
        let received = match &mut self.stream {
            Stream::Tcp(stream) => stream.read(&mut buffer),
            Stream::Unix(stream) => stream.read(&mut buffer),
            Stream::Tls(stream) => stream.read(&mut buffer),
        };
        let ending = match received {
            Ok(0) => Ending::Eof,
            Ok(count) => {
                self.pending.extend_from_slice(&buffer[..count]);
                return Ok(());
            }
            Err(why) if why.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ending::Silence,
            Err(why) if matches!(why.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => Ending::Reset,
            // An end of TLS that its peer did not announce may be anybody's doing.
            Err(why) if why.kind() == ErrorKind::UnexpectedEof => Ending::Reset,
            Err(why) => panic!("cannot receive: {why}"),
        };
        Err(Broken::Ended(ending, self.pending.clone()))
    }
}
