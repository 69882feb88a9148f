//! Lanes: tests that share a lock wait for it on a thread of their own, one thread for each lock.
//!
//! Who waits for another process's test to end may wait long. On one of libtest-mimic's threads that would be a thread that
//! other tests could have had. So the tests of a lock are run by its lane, one after the other, and the trials that
//! libtest-mimic knows of, which are listed last, only wait for what comes of it: by then every other test has begun.
//!
//! Only the harness that owns its threads can do so. Under the standard harness and cargo-nextest a waiting test takes one of
//! theirs; nextest's `test-groups` keep it from being started before its turn.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};

use crate::registry::{TestDef, TopologySource};

/// What the tests of a lane wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// The machine's own network.
    Machine,
    /// A group of `serial = "..."`.
    Serial(&'static str),
}

impl Lane {
    /// The lane of a test, if it has to wait for a lock. A test with two takes the machine's, and its group's in that lane.
    pub(super) fn of(def: &TestDef) -> Option<Self> {
        match def.topology {
            TopologySource::Text { privileged: true, .. } => Some(Self::Machine),
            _ => def.serial.map(Self::Serial),
        }
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// The tests of each lane, in the order in which they will run.
#[derive(Default)]
pub(super) struct Lanes(BTreeMap<Lane, Vec<Job>>);

/// What a test of a lane comes to, later.
#[derive(Debug)]
pub(super) struct Coming<T>(Receiver<T>);

impl<T> Coming<T> {
    /// Waits for it; nothing if it panicked.
    pub(super) fn wait(self) -> Option<T> {
        self.0.recv().ok()
    }
}

impl Lanes {
    /// Adds a test to a lane.
    pub(super) fn add<T: Send + 'static>(
        &mut self,
        lane: Lane,
        test: impl FnOnce() -> T + Send + 'static,
    ) -> Coming<T> {
        let (sender, result) = mpsc::channel();
        let job = move || {
            // Nobody waits any more: the run is over.
            drop(sender.send(test()));
        };
        self.0.entry(lane).or_default().push(Box::new(job));
        Coming(result)
    }

    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// A thread could not be made; the tests of the others run.
    pub(super) fn start(self) -> io::Result<Vec<JoinHandle<()>>> {
        self.0
            .into_values()
            .map(|jobs| {
                let lane = || {
                    for job in jobs {
                        // Each has its own result to be missed; the next one is none the worse for it.
                        drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)));
                    }
                };
                thread::Builder::new().name("netlab-lane".to_owned()).spawn(lane)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn each_lane_keeps_its_order_and_none_waits_for_another() {
        static ORDER: Mutex<Vec<u32>> = Mutex::new(Vec::new());
        let mut lanes = Lanes::default();
        let (go, may_go) = mpsc::channel::<()>();
        let held = lanes.add(Lane::Machine, move || may_go.recv().is_ok());
        let after = lanes.add(Lane::Machine, || ORDER.lock().unwrap().push(2));
        let beside = lanes.add(Lane::Serial("group"), || ORDER.lock().unwrap().push(1));
        let threads = lanes.start().unwrap();
        assert_eq!(threads.len(), 2);
        beside.wait().unwrap();
        go.send(()).unwrap();
        assert_eq!(held.wait(), Some(true));
        after.wait().unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*ORDER.lock().unwrap(), [1, 2]);
    }

    #[test]
    fn a_panic_ends_one_test_and_not_its_lane() {
        let mut lanes = Lanes::default();
        let broken = lanes.add(Lane::Machine, || panic!("on purpose"));
        let next = lanes.add(Lane::Machine, || 7);
        let threads = lanes.start().unwrap();
        assert_eq!(broken.wait(), None::<()>);
        assert_eq!(next.wait(), Some(7));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}
