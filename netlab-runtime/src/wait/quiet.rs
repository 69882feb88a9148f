//! Panics that are failures of an attempt: kept, rather than shown each time.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

/// A panic within an attempt.
#[derive(Clone, Debug, Default)]
pub(super) struct Panicked {
    /// What it said, if it was text.
    pub(super) message: Option<String>,
    /// `file:line:column`, if known.
    pub(super) location: Option<String>,
}

thread_local! {
    /// What the innermost attempt under way on this thread panicked with, as far as the hook has seen it.
    static UNDER_WAY: RefCell<Option<Panicked>> = const { RefCell::new(None) };
}

/// Calls `work`; a panic in it is given as a value, and not written anywhere.
///
/// Panics of other threads that `work` waits for are shown as ever. Where panics abort, none can be caught.
pub(super) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    watch();
    let outer = UNDER_WAY.replace(Some(Panicked::default()));
    // A condition that panicked is tried again from the start: what it left half done is its own.
    let outcome = catch_unwind(AssertUnwindSafe(work));
    let seen = UNDER_WAY.replace(outer);
    outcome.map_err(|payload| {
        let seen = seen.unwrap_or_default();
        // A panic handed on from another thread does not come by the hook a second time.
        Panicked { message: seen.message.or_else(|| text_of(&*payload)), location: seen.location }
    })
}

/// Puts a hook before those that are there, which keeps panics of attempts to itself.
fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if cfg!(panic = "abort") || !keep(info) {
                before(info);
            }
        }));
    });
}

/// Keeps a panic if this thread is within an attempt.
fn keep(info: &PanicHookInfo<'_>) -> bool {
    UNDER_WAY.with_borrow_mut(|under_way| {
        let message = text_of(info.payload());
        let location = info.location().map(ToString::to_string);
        under_way.as_mut().map(|seen| *seen = Panicked { message, location }).is_some()
    })
}

fn text_of(payload: &(dyn Any + Send)) -> Option<String> {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
}
