//! What a condition may come to.

use crate::error::Error;

/// What the closure given to [`eventually`](super::eventually()) comes to: a `Result` with any error, or nothing, for a
/// closure that only asserts.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say whether what is waited for holds",
    note = "give `Ok(..)` or `Err(..)`, or nothing after `assert!`; after `?` the type has to be said: `Ok::<_, netlab::Error>(())`"
)]
pub trait Attempt {
    /// What it gives once it holds.
    type Output;

    /// What came of it.
    ///
    /// # Errors
    ///
    /// It does not hold.
    fn into_result(self) -> Result<Self::Output, Error>;
}

impl Attempt for () {
    type Output = ();

    fn into_result(self) -> Result<(), Error> {
        Ok(())
    }
}

impl<T, E: Into<Error>> Attempt for Result<T, E> {
    type Output = T;

    fn into_result(self) -> Result<T, Error> {
        self.map_err(Into::into)
    }
}
