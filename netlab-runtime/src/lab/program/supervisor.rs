//! The thread that watches the programs of a lab: reads what they write, and notices when they end.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::program::{Program, Source};
use super::{Signal, unasked};

/// What the event that ends the thread is marked with.
const STOP: u64 = u64::MAX;

/// The watch over a lab's programs. The thread starts with the first.
///
/// # Teardown
///
/// Dropping it, as the lab does, kills the programs and ends the thread.
#[derive(Debug)]
pub(in crate::lab) struct Supervisor {
    shared: Arc<Shared>,
    stop: EventFd,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    epoll: Epoll,
    programs: Mutex<Programs>,
}

#[derive(Debug, Default)]
struct Programs {
    watched: HashMap<u64, Arc<Program>>,
    last: u64,
}

impl Supervisor {
    pub(in crate::lab) fn start() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        epoll.add(&stop, EpollEvent::new(EpollFlags::EPOLLIN, STOP))?;
        let shared = Arc::new(Shared { epoll, programs: Mutex::default() });
        let theirs = Arc::clone(&shared);
        let thread = Builder::new().name("netlab-programs".to_owned()).spawn(move || theirs.run())?;
        Ok(Self { shared, stop, thread: Some(thread) })
    }

    /// Watches a program until its end, and until nobody holds its streams.
    pub(super) fn watch(&self, program: &Arc<Program>) -> io::Result<()> {
        unasked::watch(program);
        let key = {
            let mut programs = self.shared.lock();
            programs.last += 1;
            let key = programs.last;
            programs.watched.insert(key, Arc::clone(program));
            key
        };
        for (number, source) in (0..).zip(Source::ALL) {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, key * Source::ALL.len() as u64 + number);
            program.with_source(source, |fd| self.shared.epoll.add(fd, event)).unwrap_or(Ok(()))?;
        }
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Programs> {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut events = [EpollEvent::empty(); 32];
        loop {
            let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(error) => {
                    eprintln!("netlab: programs are not watched any more: {error}");
                    return;
                }
            };
            for event in &events[..count] {
                if event.data() == STOP {
                    return;
                }
                self.attend(event.data());
            }
        }
    }

    fn attend(&self, mark: u64) {
        let sources = Source::ALL.len() as u64;
        let key = mark / sources;
        let source = Source::ALL[(mark % sources) as usize];
        let Some(program) = self.lock().watched.get(&key).map(Arc::clone) else { return };
        // A closed descriptor leaves the set by itself, a pidfd has to be taken out.
        if !program.read(source) && source == Source::End {
            let removed = program.with_source(source, |fd| self.epoll.delete(fd)).unwrap_or(Ok(()));
            if let Err(error) = removed {
                eprintln!("netlab: a program that has ended stays under watch: {error}");
            }
        }
        if program.is_done() {
            self.lock().watched.remove(&key);
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let watched = std::mem::take(&mut self.shared.lock().watched);
        for program in watched.values() {
            program.let_end();
            // One that has ended is not there to be killed.
            if program.ended().is_none()
                && let Err(error) = program.signal(Signal::KILL)
            {
                eprintln!("netlab: {} cannot be killed with its lab: {error}", program.what());
            }
        }
        let stopped = self.stop.write(1);
        match (stopped, self.thread.take()) {
            // A panic there has been shown.
            (Ok(_), Some(thread)) => thread.join().unwrap_or_default(),
            (Err(error), _) => eprintln!("netlab: the watch over programs goes on: {error}"),
            (Ok(_), None) => {}
        }
    }
}

/// A pipe whose reading end does not block.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let (ours, theirs) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((ours, theirs))
}
