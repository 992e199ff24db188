//! Who may put work into a stream: all threads of a process share one for each GPU, and while one of them records a graph, whatever
//! another put there would be recorded with it, and done whenever the graph is.

use std::cell::Cell;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

thread_local! {
    /// Where this thread records: the address of the turns, or 0.
    static RECORDS: Cell<usize> = const { Cell::new(0) };
}

/// Of one stream.
#[derive(Debug, Default)]
pub(super) struct Turns(RwLock<()>);

/// No longer recording, however that ended.
struct Ended;

impl Drop for Ended {
    fn drop(&mut self) {
        RECORDS.set(0);
    }
}

impl Turns {
    fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Whether this thread records.
    pub fn records(&self) -> bool {
        RECORDS.get() == self.id()
    }

    /// A turn for one piece of work, which waits while another thread records. Not to be taken twice by one thread at a time.
    pub fn take(&self) -> Option<RwLockReadGuard<'_, ()>> {
        (!self.records()).then(|| self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Records, while all other threads wait.
    pub fn record<R>(&self, work: impl FnOnce() -> R) -> R {
        let _all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        RECORDS.set(self.id());
        let _ended = Ended;
        work()
    }
}
