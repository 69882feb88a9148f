//! Names and identifiers the kernel is strict about, checked once.

use std::fmt;

/// Name of a network interface, at most 15 bytes (`IFNAMSIZ` in `include/uapi/linux/if.h` is 16, with
/// the terminating NUL), without `/` and white space, and neither `.` nor `..`
/// (`dev_valid_name` in `net/core/dev.c`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfName(String);

/// Longest interface name, in bytes.
pub const IF_NAME_MAX: usize = 15;

impl IfName {
    /// Checks `name` against the kernel's rules.
    ///
    /// # Errors
    ///
    /// Says which rule the name breaks.
    pub fn new(name: impl Into<String>) -> Result<Self, IfNameError> {
        let name = name.into();
        if name.is_empty() || name == "." || name == ".." {
            return Err(IfNameError::Reserved);
        }
        if name.len() > IF_NAME_MAX {
            return Err(IfNameError::TooLong { length: name.len() });
        }
        if let Some(bad) =
            name.chars().find(|c| matches!(c, '/' | ':') || c.is_whitespace() || c.is_control())
        {
            return Err(IfNameError::Character(bad));
        }
        Ok(Self(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Why a text cannot name an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfNameError {
    /// Empty, `.` or `..`.
    Reserved,
    /// More than [`IF_NAME_MAX`] bytes.
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A character the kernel refuses.
    Character(char),
}

impl fmt::Display for IfNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserved => f.write_str("an interface name may not be empty, `.` or `..`"),
            Self::TooLong { length } => {
                write!(f, "an interface name has at most {IF_NAME_MAX} bytes, this one has {length}")
            }
            Self::Character(c) => write!(f, "an interface name may not contain {c:?}"),
        }
    }
}

impl std::error::Error for IfNameError {}

/// Ethernet (MAC) address, six bytes in transmission order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// Whether it names a single interface (the group bit of the first byte is clear) and is not zero.
    pub fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for MacAddr {
    type Err = MacAddrError;

    fn from_str(text: &str) -> Result<Self, MacAddrError> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().ok_or(MacAddrError)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(MacAddrError);
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_not_hex| MacAddrError)?;
        }
        if parts.next().is_some() { Err(MacAddrError) } else { Ok(Self(bytes)) }
    }
}

/// The text is not six pairs of hexadecimal digits with colons between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacAddrError;

impl fmt::Display for MacAddrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a MAC address is six pairs of hexadecimal digits, as in `02:00:00:00:00:01`")
    }
}

impl std::error::Error for MacAddrError {}
