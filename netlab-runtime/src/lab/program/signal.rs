//! Signals, without a foreign type in the interface.

use std::fmt;

use nix::sys::signal::Signal as Known;

/// A signal to a program, as in signal(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Signal(Known);

impl Signal {
    /// Hang up; to many daemons, *read your configuration again*.
    pub const HUP: Self = Self(Known::SIGHUP);
    /// Interrupt, as by Ctrl-C.
    pub const INT: Self = Self(Known::SIGINT);
    /// Quit; to nginx, *finish what you are at and end*.
    pub const QUIT: Self = Self(Known::SIGQUIT);
    /// Abort, with a core dump where they are on.
    pub const ABRT: Self = Self(Known::SIGABRT);
    /// Kill. It cannot be caught.
    pub const KILL: Self = Self(Known::SIGKILL);
    /// What the program takes it for.
    pub const USR1: Self = Self(Known::SIGUSR1);
    /// What the program takes it for.
    pub const USR2: Self = Self(Known::SIGUSR2);
    /// Alarm.
    pub const ALRM: Self = Self(Known::SIGALRM);
    /// End, please.
    pub const TERM: Self = Self(Known::SIGTERM);
    /// Stop where you are. It cannot be caught.
    pub const STOP: Self = Self(Known::SIGSTOP);
    /// Go on.
    pub const CONT: Self = Self(Known::SIGCONT);
    /// The window changed; to some daemons, *end your workers in order*.
    pub const WINCH: Self = Self(Known::SIGWINCH);

    /// The signal of a number, unless it is a real-time one or none.
    pub fn from_number(number: i32) -> Option<Self> {
        Known::try_from(number).ok().map(Self)
    }

    /// Its number.
    pub fn number(self) -> i32 {
        self.0 as i32
    }

    pub(super) fn known(self) -> Known {
        self.0
    }

    /// Whether whoever sends it wants the program to end. Others may end it as well, but then it was not asked to.
    pub(super) fn asks_for_the_end(self) -> bool {
        [Self::INT, Self::QUIT, Self::ABRT, Self::KILL, Self::TERM].contains(&self)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.as_str())
    }
}
