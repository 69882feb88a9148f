//! Where panics happened: remembered by a hook, since `catch_unwind` gives only the message.

use std::any::Any;
use std::panic::PanicHookInfo;
use std::sync::{Mutex, PoisonError};
use std::thread::ThreadId;

use super::report::Report;

/// A panic that the hook saw.
#[derive(Clone, Debug)]
struct Seen {
    thread: ThreadId,
    message: Option<String>,
    location: Option<String>,
}

static SEEN: Mutex<Vec<Seen>> = Mutex::new(Vec::new());
/// Panics remembered; a test that catches thousands of its own keeps only the last ones.
const KEPT: usize = 64;

/// Remembers every panic from now on, before the hook that is there already tells of it. `also` is told of each.
pub(super) fn watch(also: impl Fn(&Report) + Send + Sync + 'static) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let seen = Seen::of(info);
        let report = Report::Panicked { message: seen.message.clone(), location: seen.location.clone() };
        let mut all = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == KEPT {
            all.remove(0);
        }
        all.push(seen);
        drop(all);
        before(info);
        also(&report);
    }));
}

/// The report for a payload caught in this thread.
pub(super) fn caught(payload: &(dyn Any + Send)) -> Report {
    let message = text_of(payload);
    let thread = std::thread::current().id();
    let all = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    // A panic handed on from another thread (`resume_unwind`) is known by its message.
    let location = all
        .iter()
        .rev()
        .filter(|seen| seen.message == message)
        .max_by_key(|seen| seen.thread == thread)
        .and_then(|seen| seen.location.clone());
    Report::Panicked { message, location }
}

impl Seen {
    fn of(info: &PanicHookInfo<'_>) -> Self {
        Self {
            thread: std::thread::current().id(),
            message: text_of(info.payload()),
            location: info.location().map(ToString::to_string),
        }
    }
}

fn text_of(payload: &(dyn Any + Send)) -> Option<String> {
    payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|&text| text.to_owned()))
}
