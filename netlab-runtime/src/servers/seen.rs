//! What an identity server has said, read.

use std::net::SocketAddr;
use std::str::FromStr;

/// The text of an [`identity`](super::identity) server as values.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seen {
    /// The node that answered.
    pub node: String,
    /// Whom it saw: the client, or what stands for it on the way.
    pub peer: SocketAddr,
    /// The address by which it was reached.
    pub local: SocketAddr,
    /// The number of the request among all of this server, from 1.
    pub sequence: u64,
    /// `HTTP/1.1`, `HTTP/2.0`.
    pub protocol: String,
    /// Method and target: `GET /`.
    pub request: String,
    /// The length of the request's body.
    pub body: usize,
    /// The fields of the request in the order of their arrival, their names in lower case.
    pub headers: Vec<(String, String)>,
}

/// A text that no identity server has said.
#[derive(Debug, thiserror::Error)]
#[error("no identity server says this: {what}; the text begins with `{start}`")]
pub struct SeenError {
    what: String,
    start: String,
}

impl Seen {
    /// The first field of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.as_str())
    }
}

impl FromStr for Seen {
    type Err = SeenError;

    fn from_str(text: &str) -> Result<Self, SeenError> {
        let wrong = |what: String| SeenError { what, start: text.chars().take(40).collect() };
        let line = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            lines.next().ok_or_else(|| wrong(format!("it has no line `{name}: ...`")))
        };
        fn value<T: FromStr>(text: &str) -> Result<T, String> {
            text.parse().map_err(|_any| format!("`{text}` cannot be read"))
        }
        let headers = text.lines().filter_map(|line| line.strip_prefix("header ")?.split_once(": "));
        let length = line("body")?;
        Ok(Self {
            node: line("node")?.to_owned(),
            peer: value(line("peer")?).map_err(wrong)?,
            local: value(line("local")?).map_err(wrong)?,
            sequence: value(line("sequence")?).map_err(wrong)?,
            protocol: line("protocol")?.to_owned(),
            request: line("request")?.to_owned(),
            body: value(length.strip_suffix(" bytes").unwrap_or(length)).map_err(wrong)?,
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_identity_is_an_error_that_says_what_is_missing() {
        let error = "<html>".parse::<Seen>().unwrap_err().to_string();
        assert_eq!(
            error,
            "no identity server says this: it has no line `body: ...`; the text begins with `<html>`"
        );
        let text = "node: a\npeer: nobody\nlocal: x\nsequence: 1\nprotocol: HTTP/1.1\nrequest: GET /\nbody: 0 bytes\n";
        assert!(text.parse::<Seen>().unwrap_err().to_string().contains("`nobody` cannot be read"));
    }
}
