//! The thread of a node, with the runtime that its futures run on.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};

use tokio::runtime::{Builder as RuntimeBuilder, Handle};
use tokio::sync::oneshot;

use super::state::Entry;

/// A thread in a node. It is born in the process's own namespace, changes over to the node's, and never leaves it;
/// threads that its runtime makes for blocking calls are its children and start out in the same.
pub(super) struct NodeThread {
    runtime: Handle,
    /// Dropped to end the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl NodeThread {
    /// Starts a thread in a node.
    pub(super) fn start(name: &str, entry: Entry) -> io::Result<Self> {
        let (tell, told) = mpsc::sync_channel(1);
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = Builder::new().name(name.to_owned()).spawn(move || {
            let runtime =
                entry.enter().and_then(|()| RuntimeBuilder::new_current_thread().enable_all().build());
            drop(entry);
            match runtime {
                Ok(runtime) => {
                    if tell.send(Ok(runtime.handle().clone())).is_ok() {
                        // Nothing is ever sent: what ends the wait is the sender's being dropped.
                        runtime.block_on(async { stopped.await.unwrap_or_default() });
                    }
                    // What blocks in a thread of this runtime cannot be ended, and nobody waits for it.
                    runtime.shutdown_background();
                }
                Err(error) => {
                    // Nobody is there to be told if the one who started this thread is gone.
                    tell.send(Err(error)).unwrap_or_default();
                }
            }
        })?;
        let runtime = told.recv().map_err(|_gone| io::Error::other("the node's thread ended at once"))??;
        Ok(Self { runtime, stop: Some(stop), thread: Some(thread) })
    }

    /// The runtime of the thread, whose tasks end with it.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Runs a future on the thread.
    pub(super) fn spawn<F>(&self, future: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.runtime.spawn(future)
    }
}

/// Ends the thread: its tasks are dropped where they stand.
impl Drop for NodeThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            // The lab may end with a handle to it that a task of this very thread held.
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic there has been shown, and was some task's own.
            thread.join().unwrap_or_default();
        }
    }
}

impl fmt::Debug for NodeThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeThread").finish_non_exhaustive()
    }
}

/// Runs `work` on a thread of its own, which may outlive the caller, and gives its outcome.
pub(super) async fn detached<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (tell, told) = oneshot::channel();
    Builder::new().name(name.to_owned()).spawn(move || {
        // Whoever asked may be gone.
        drop(tell.send(work()));
    })?;
    told.await.map_err(|_gone| io::Error::other("the thread asked for it panicked"))?
}
