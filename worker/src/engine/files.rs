//! Requests for static files, answered where they are read: no thread, no queue and no Python is in their way.

use super::guest::Guest;
use super::runner::Runner;

impl Runner {
    /// Answers the request that stands ready if it is for a static file. Says whether it was.
    pub(super) fn answer_with_file(&mut self, guest: &mut Guest) -> bool {
        let Some(shelf) = self.engine.statics.shelf_of(&guest.connection.turn) else {
            return false;
        };
        self.take_up(guest);
        let engine = self.engine.clone();
        let answered = engine.statics.answer(shelf, &mut guest.connection.turn);
        debug_assert_eq!(answered, Ok(()));
        self.put_down(guest);
        true
    }
}
