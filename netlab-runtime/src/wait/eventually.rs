//! Tries until it holds.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use super::quiet::{self, Panicked};
use super::{Attempt, Backoff, Failure, NotInTime};
use crate::settings;

/// Tries until it holds, or the deadline is over: `eventually(deadline, async || ...).await?`.
///
/// What is given back is what the closure gave. An error is a failure, and so is a panic: `assert!` may be used in it, and
/// is not shown unless it is the last. It is tried at once, then after pauses of 1 ms that grow to 50 ms, and a last time at the
/// deadline. The deadline is multiplied by `NETLAB_TIMEOUT_SCALE`; an attempt that is still under way then is dropped.
///
/// ```
/// # use std::time::Duration;
/// # use netlab_runtime as netlab;
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # use netlab_runtime::wait::eventually;
/// let mut looks = 0;
/// let seen = eventually(Duration::from_secs(5), async || {
///     looks += 1;
///     assert!(looks > 2, "looked only {looks} times");
///     Ok::<_, netlab::error::Error>(looks)       // the type is needed only for `?` in the closure
/// })
/// .await;
/// assert_eq!(seen.unwrap(), 3);
/// # });
/// ```
///
/// In a task of its own, hand it over whole, with a closure that owns what it uses: `tokio::spawn(eventually(deadline, async move || ...))`.
/// Of a closure that borrows, the compiler cannot tell yet that its future may move between threads.
///
/// # Errors
///
/// It did not come to hold: says how it failed last, how often it was tried, and for how long.
///
/// # Panics
///
/// Outside a tokio runtime, which keeps the time.
pub async fn eventually<A: Attempt>(
    deadline: Duration,
    mut attempt: impl AsyncFnMut() -> A,
) -> Result<A::Output, NotInTime> {
    let mut backoff = Backoff::new(settings::scaled(deadline));
    let mut last = None;
    loop {
        // A deadline that is over still lets what does not have to wait come to its end.
        let ended = tokio::time::timeout(backoff.left(), caught(async { attempt().await })).await;
        let unfinished = ended.is_err();
        match ended.map(outcome) {
            Ok(Ok(output)) => return Ok(output),
            Ok(Err(failure)) => last = Some(failure),
            Err(_elapsed) => {}
        }
        if unfinished || !backoff.again().await {
            return Err(NotInTime::after(&backoff, unfinished, last));
        }
    }
}

/// As [`eventually`], blocking the calling thread: for tests without a runtime.
///
/// An attempt under way at the deadline is waited for, and counts.
///
/// # Errors
///
/// As [`eventually`].
pub fn eventually_blocking<A: Attempt>(
    deadline: Duration,
    mut attempt: impl FnMut() -> A,
) -> Result<A::Output, NotInTime> {
    let mut backoff = Backoff::new(settings::scaled(deadline));
    loop {
        let last = match outcome(quiet::catch(&mut attempt)) {
            Ok(output) => return Ok(output),
            Err(failure) => failure,
        };
        if !backoff.again_blocking() {
            return Err(NotInTime::after(&backoff, false, Some(last)));
        }
    }
}

/// The future with its panics as values, whichever of its polls they come from.
async fn caught<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    poll_fn(|context| poll_caught(future.as_mut(), context)).await
}

fn poll_caught<F: Future>(
    future: Pin<&mut F>,
    context: &mut Context<'_>,
) -> Poll<Result<F::Output, Panicked>> {
    match quiet::catch(|| future.poll(context)) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    }
}

fn outcome<A: Attempt>(ended: Result<A, Panicked>) -> Result<A::Output, Failure> {
    match ended {
        Ok(attempt) => attempt.into_result().map_err(Failure::error),
        Err(panic) => Err(Failure::panic(panic)),
    }
}

impl NotInTime {
    fn after(backoff: &Backoff, unfinished: bool, last: Option<Failure>) -> Self {
        let (limit, scale) =
            (backoff.limit(), settings::get().map_or(1.0, |settings| settings.timeout_scale));
        Self { limit, scale, tries: backoff.looks(), unfinished, last }
    }
}
