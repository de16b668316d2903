//! A terminal that is ours for a while: what is drawn on it, and its keys.
//!
//! Rule: it is left as it was found, however the command ends: by a key, a signal that it hears, or a panic; but for a SIGKILL. So it cannot be
//! stopped by ctrl-Z either, which would leave it as it is.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};

/// The other screen, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// A key that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `q`, or ctrl-D.
    Quit,
    /// The arrows.
    Left,
    /// As above.
    Right,
    /// As above.
    Up,
    /// As above.
    Down,
    /// Any other letter.
    Letter(char),
}

/// A terminal that is ours.
pub struct Terminal {
    /// Set by a signal that would end us.
    is_over: Arc<AtomicBool>,
}

/// Whether it is ours still: it is given back once, for the other screen's leave moves the cursor.
static IS_OURS: AtomicBool = AtomicBool::new(false);

/// What it was before.
static BEFORE: OnceLock<Termios> = OnceLock::new();

impl Terminal {
    /// Takes it, if there is one to read keys from and to draw on.
    pub fn take() -> Option<Terminal> {
        let (stdin, stdout) = (io::stdin(), io::stdout());
        if !stdin.is_terminal() || !stdout.is_terminal() {
            return None;
        }
        let before = tcgetattr(&stdin).ok()?;
        let is_over = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&is_over)).ok()?;
        }
        // Heard only so that a wait ends, and it is drawn anew.
        signal_hook::flag::register(SIGWINCH, Arc::default()).ok()?;
        let mut ours = before.clone();
        ours.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        ours.special_codes[SpecialCodeIndex::VSUSP] = 0;
        let _ = BEFORE.set(before);
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            report(panic);
        }));
        tcsetattr(&stdin, OptionalActions::Now, &ours).ok()?;
        IS_OURS.store(true, Ordering::Relaxed);
        print(ENTER);
        Some(Terminal { is_over })
    }

    /// Columns and rows. One that nobody has measured says zero.
    pub fn size(&self) -> (usize, usize) {
        let size = tcgetwinsize(io::stdout()).map_or((0, 0), |size| (size.ws_col, size.ws_row));
        if size.0 == 0 || size.1 == 0 { (80, 24) } else { (size.0.into(), size.1.into()) }
    }

    /// Draws this, which fits, in the place of all that was there.
    pub fn draw(&self, text: &str) {
        print(&format!("\x1b[H{text}\x1b[J"));
    }

    /// Waits for keys, so long at most, or for another size. `None` when it is over: a signal, or the end of input.
    pub fn keys(&self, patience: Duration) -> Option<Vec<Key>> {
        let stdin = io::stdin();
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        let waited = poll(&mut fds, PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX));
        if self.is_over.load(Ordering::Relaxed) {
            return None;
        }
        if !matches!(waited, Ok(1..)) {
            return Some(Vec::new());
        }
        let mut bytes = [0; 64];
        let count = rustix::io::read(&stdin, &mut bytes).unwrap_or(0);
        (count > 0).then(|| keys(&bytes[..count]))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    if !IS_OURS.swap(false, Ordering::Relaxed) {
        return;
    }
    print(LEAVE);
    if let Some(before) = BEFORE.get() {
        // One that is gone is nobody's to give back.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
    }
}

fn print(text: &str) {
    let mut stdout = io::stdout();
    // A terminal that is gone is noticed by its end of input.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Keys as terminals send them: letters, and arrows as three bytes (ECMA-48's CUU and its like, or SS3 before the same letters).
fn keys(mut bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    while let Some((first, rest)) = bytes.split_first() {
        bytes = rest;
        let arrow = match (first, rest) {
            (0x1b, [b'[' | b'O', b'A', ..]) => Some(Key::Up),
            (0x1b, [b'[' | b'O', b'B', ..]) => Some(Key::Down),
            (0x1b, [b'[' | b'O', b'C', ..]) => Some(Key::Right),
            (0x1b, [b'[' | b'O', b'D', ..]) => Some(Key::Left),
            _ => None,
        };
        if arrow.is_some() {
            bytes = &bytes[2..];
        }
        keys.extend(arrow.or(match first {
            b'q' | b'Q' | 4 => Some(Key::Quit),
            b'!'..=b'~' | b' ' => Some(Key::Letter(char::from(*first))),
            _ => None,
        }));
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart_however_they_come() {
        assert_eq!(keys(b"s\x1b[A\x1bOBq"), [Key::Letter('s'), Key::Up, Key::Down, Key::Quit]);
        assert_eq!(keys(b"\x1b[C\x1b[D\x04"), [Key::Right, Key::Left, Key::Quit]);
        assert_eq!(keys(b"\x1b"), []);
        assert_eq!(keys("é\u{7}".as_bytes()), []);
    }
}
