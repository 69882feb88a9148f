//! Observations for tests: one request each millisecond.

use std::time::Duration;

use crate::{Answer, Bytes, Miss, Observation, Traffic};

pub(crate) fn traffic(observations: impl IntoIterator<Item = Observation>) -> Traffic {
    observations.into_iter().collect()
}

pub(crate) fn at(millisecond: u64) -> Duration {
    Duration::from_millis(millisecond)
}

/// A request of its own source address and connection, answered by this backend.
pub(crate) fn answered(number: u64, backend: &str) -> Observation {
    let source = ([10, 0, (number >> 8) as u8, number as u8], 40_000).into();
    Observation {
        client: "client".to_owned(),
        source,
        sent: at(number),
        took: Duration::from_micros(500),
        connection: number,
        bytes: Bytes { asked: 4, wanted: 0, arrived: 23 },
        closed: None,
        outcome: Ok(Answer { backend: backend.to_owned(), seen: source, cookie: None }),
    }
}

/// A request without an answer.
pub(crate) fn missed(number: u64, miss: Miss) -> Observation {
    Observation { outcome: Err(miss), ..answered(number, "") }
}
