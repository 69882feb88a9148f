//! The error a test returns: any error, with its chain of causes and what to do about it.

use std::error::Error as StdError;
use std::fmt;

/// `Result` with [`Error`], for test functions and helpers.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Any error. `?` makes it of whatever implements [`std::error::Error`], and of strings.
///
/// It does not implement `std::error::Error` itself, which is what makes that conversion possible.
/// Both `Debug` and the alternate `Display` (`{:#}`) show the whole chain of causes.
pub struct Error(Box<dyn StdError + Send + Sync>);

impl Error {
    /// An error that is its message.
    pub fn msg(message: impl fmt::Display) -> Self {
        Self(message.to_string().into())
    }

    /// The error inside, to be looked at.
    pub fn get_ref(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.0
    }
}

impl<E: Into<Box<dyn StdError + Send + Sync>>> From<E> for Error {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        if f.alternate() {
            write_causes(f, &*self.0)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        write_causes(f, &*self.0)
    }
}

fn write_causes(f: &mut fmt::Formatter<'_>, error: &(dyn StdError + 'static)) -> fmt::Result {
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(f, ": {error}")?;
        cause = error.source();
    }
    Ok(())
}
