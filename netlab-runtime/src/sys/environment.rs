//! The environment of this process.

/// Removes a variable, so that the children of this process do not get it.
///
/// Meant for the start of a worker: this is its first thread, or the one in which the test harness runs the only
/// test while its main thread waits.
pub fn remove(name: &str) {
    // SAFETY: no thread of this process reads the environment other than through the standard library, which
    // locks it.
    unsafe { std::env::remove_var(name) };
}
