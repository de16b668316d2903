//! The thread that waits for one worker's words, because ipc-channel can only block.
//!
//! ```text
//!   Door::accept -> News::Connected -> receive -> News::Word -> receive -> ... -> News::Ended
//! ```
//!
//! Rule: a bridge's last news is always `Ended`, and nothing follows from it alone: a worker whose channel broke may
//! well be serving. It says that no word of a worker that exited is still on its way.
//!
//! Known fault: a child that the application forked, and that kept the channel, holds the thread for as long as it lives.

use std::io;
use std::thread;

use monoceros_shared::link::channel::{Door, Sender};
use monoceros_shared::link::{FromWorker, ToWorker};

use crate::core::WorkerId;
use crate::sources::Post;

/// Bytes of the thread's stack: it calls nothing deep, and there is one for each worker.
const STACK_BYTES: usize = 256 * 1024;

/// What a bridge hears.
#[derive(Debug)]
pub enum News {
    /// The worker has connected; this is how to speak to it.
    Connected(Sender<ToWorker>),
    /// The worker said this.
    Word(FromWorker),
    /// Nothing more will come.
    Ended,
}

/// Starts one.
pub fn start(worker: WorkerId, door: Door, post: Post) -> io::Result<()> {
    let body = move || {
        let last = LastWord { worker, post };
        let Ok((sender, receiver)) = door.accept() else {
            return;
        };
        last.post.leave(worker, News::Connected(sender));
        while let Ok(word) = receiver.receive() {
            last.post.leave(worker, News::Word(word));
        }
    };
    thread::Builder::new().name(format!("bridge-{worker}")).stack_size(STACK_BYTES).spawn(body)?;
    Ok(())
}

/// Says `Ended` however the thread ends, be it by a panic over what a broken worker sent.
struct LastWord {
    worker: WorkerId,
    post: Post,
}

impl Drop for LastWord {
    fn drop(&mut self) {
        self.post.leave(self.worker, News::Ended);
    }
}
