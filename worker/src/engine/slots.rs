//! Where connections stand while nobody works on them, and who may take one.
//!
//! A connection has one owner. Whoever takes it out of its slot owns it; an edge that comes meanwhile is left in the slot,
//! and the owner finds it when it wants to put the connection back. For mio reports an edge once and has no one-shot.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use super::guest::Guest;
use crate::access::Memo;
use crate::conn::{Edge, Voice};

/// Names a connection: its slot, and which connection of that slot it is, so that an old name reaches no new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The slot.
    pub index: u32,
    birth: u32,
}

struct Slot {
    birth: u32,
    state: State,
    /// What of the connection can speak to its client, for whoever may have to end it while Python has the rest.
    voice: Option<Voice>,
    /// What is known of the request that Python has, where that is to be told.
    memo: Option<Box<Memo>>,
}

enum State {
    Vacant,
    Parked(Box<Guest>),
    Out(Edge),
}

/// How a try to park ended.
pub enum Parking {
    /// It stands.
    Parked,
    /// An edge had come; go on with it.
    Woken(Box<Guest>),
}

/// Slots that are made at once, when the first of them is needed. Fewer make them more often, more cost a small server memory for
/// connections that it never has.
const SHELF: usize = 256;

type Shelf = Box<[Mutex<Slot>]>;

/// The slots of all connections that a worker can have.
pub struct Slots {
    shelves: Box<[OnceLock<Shelf>]>,
    free: Mutex<Free>,
    open: AtomicUsize,
    usual: usize,
}

/// Slots without a connection.
struct Free {
    /// They had one. The last one left is taken first, for its memory is warm.
    left: Vec<u32>,
    /// From this one on none has had any,
    fresh: u32,
    /// up to this.
    end: u32,
}

/// How many connections may be there when one more comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// As many as the config says.
    Usual,
    /// And as many as can wait in the backlog besides: nobody else would take them.
    Last,
}

impl Free {
    fn take(&mut self) -> Option<u32> {
        if let Some(index) = self.left.pop() {
            return Some(index);
        }
        let index = (self.fresh < self.end).then_some(self.fresh)?;
        self.fresh += 1;
        Some(index)
    }
}

impl Slots {
    /// Room for so many connections, and for some more at the end.
    pub fn new(usual: usize, more: usize) -> Slots {
        let count = usual + more;
        Slots {
            usual,
            shelves: (0..count.div_ceil(SHELF)).map(|_| OnceLock::new()).collect(),
            free: Mutex::new(Free { left: Vec::new(), fresh: 0, end: count as u32 }),
            open: AtomicUsize::new(0),
        }
    }

    /// Connections that there are, parked or owned.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Whether one more may come as usual.
    pub fn has_room(&self) -> bool {
        self.open() < self.usual
    }

    /// A slot for a new connection, owned by the caller; `None` when there is no room.
    pub fn enter(&self, room: Room) -> Option<Key> {
        if room == Room::Usual && !self.has_room() {
            return None;
        }
        let index = lock(&self.free).take()?;
        self.open.fetch_add(1, Ordering::AcqRel);
        let vacant = |_| Mutex::new(Slot { birth: 0, state: State::Vacant, voice: None, memo: None });
        let shelf = self.shelves[index as usize / SHELF].get_or_init(|| (0..SHELF).map(vacant).collect());
        let mut slot = lock(&shelf[index as usize % SHELF]);
        slot.birth = slot.birth.wrapping_add(1);
        slot.state = State::Out(Edge::default());
        Some(Key { index, birth: slot.birth })
    }

    /// The slot of a number, if there ever was a connection near it.
    fn get(&self, index: usize) -> Option<&Mutex<Slot>> {
        self.shelves.get(index / SHELF)?.get()?.get(index % SHELF)
    }

    /// The slot of a connection.
    fn at(&self, key: Key) -> &Mutex<Slot> {
        self.get(key.index as usize).expect("a key is made with its slot")
    }

    /// The connection of this slot is no more.
    pub fn leave(&self, key: Key) {
        let mut slot = lock(self.at(key));
        slot.state = State::Vacant;
        let voice = slot.voice.take();
        drop(slot);
        // Closed before the slot can be another's.
        drop(voice);
        lock(&self.free).left.push(key.index);
        self.open.fetch_sub(1, Ordering::AcqRel);
    }

    /// Remembers the voice of a new connection.
    pub fn know(&self, guest: &Guest) {
        lock(self.at(guest.key)).voice = Some(guest.connection.voice());
    }

    /// Remembers what its access line will say of the request that begins.
    pub fn remember(&self, guest: &Guest) {
        lock(self.at(guest.key)).memo.get_or_insert_default().take(&guest.connection);
    }

    /// What is remembered of the request of the connection in this slot, once.
    pub fn take_memo(&self, index: u32) -> Option<Box<Memo>> {
        lock(self.get(index as usize)?).memo.take()
    }

    /// The voice of the connection in this slot, which somebody owns.
    pub fn voice(&self, index: u32) -> Option<Voice> {
        lock(self.get(index as usize)?).voice.clone()
    }

    /// Puts a connection down, unless an edge has come while it was owned.
    pub fn park(&self, mut guest: Box<Guest>) -> Parking {
        let mut slot = lock(self.at(guest.key));
        match &mut slot.state {
            State::Out(edge) if edge.is_any() => {
                guest.connection.wake(std::mem::take(edge));
                Parking::Woken(guest)
            }
            State::Out(_) => {
                slot.state = State::Parked(guest);
                Parking::Parked
            }
            State::Vacant | State::Parked(_) => unreachable!("only the owner parks"),
        }
    }

    /// An edge was reported for this slot: gives the connection, woken, if nobody owns it.
    pub fn wake(&self, index: usize, edge: Edge) -> Option<Box<Guest>> {
        let mut slot = lock(self.get(index)?);
        match std::mem::replace(&mut slot.state, State::Out(Edge::default())) {
            State::Parked(mut guest) => {
                guest.connection.wake(edge);
                Some(guest)
            }
            State::Out(earlier) => {
                slot.state = State::Out(earlier.and(edge));
                None
            }
            State::Vacant => {
                slot.state = State::Vacant;
                None
            }
        }
    }

    /// Looks at a connection's deadline.
    pub fn look(&self, key: Key, now: u64) -> Look {
        let mut slot = lock(self.at(key));
        if slot.birth != key.birth {
            return Look::Gone;
        }
        match std::mem::replace(&mut slot.state, State::Out(Edge::default())) {
            State::Parked(guest) if guest.deadline <= now => Look::Due(guest),
            State::Parked(guest) => {
                let deadline = guest.deadline;
                slot.state = State::Parked(guest);
                Look::Later(deadline)
            }
            State::Out(edge) => {
                slot.state = State::Out(edge);
                Look::Later(u64::MAX)
            }
            State::Vacant => {
                slot.state = State::Vacant;
                Look::Gone
            }
        }
    }

    /// Takes every parked connection; the caller owns them now.
    pub fn take_parked(&self) -> Vec<Box<Guest>> {
        let mut next = 0;
        std::iter::from_fn(|| self.take_next_parked(&mut next)).collect()
    }

    /// Takes the first parked connection from slot `next` on, which moves behind it; `None` at the last slot.
    pub fn take_next_parked(&self, next: &mut usize) -> Option<Box<Guest>> {
        while *next / SHELF < self.shelves.len() {
            let Some(slot) = self.get(*next) else {
                *next = (*next / SHELF + 1) * SHELF;
                continue;
            };
            *next += 1;
            let mut slot = lock(slot);
            match std::mem::replace(&mut slot.state, State::Vacant) {
                State::Parked(guest) => {
                    slot.state = State::Out(Edge::default());
                    return Some(guest);
                }
                other => slot.state = other,
            }
        }
        None
    }
}

/// What a look at a connection's deadline found.
pub enum Look {
    /// It has passed; the caller owns the connection now.
    Due(Box<Guest>),
    /// It has not; or somebody owns the connection, who sets a new one.
    Later(u64),
    /// The connection is no more.
    Gone,
}

/// A thread that panicked is a bug that has ended the process, so no lock is ever poisoned.
pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics while it holds a lock")
}
