//! One TCP stream under control: it can be ended from outside, and reads and writes as the server's mode says.

use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, Shutdown, recv, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::engine::Engine;
use super::mode::{Ending, Mode};

/// How often a throttled stream is served a second.
const PORTIONS: u64 = 50;

/// A stream as the engine keeps it.
#[derive(Debug)]
pub(super) struct Stream(Mutex<Inside>);

#[derive(Debug)]
struct Inside {
    /// None once it was reset.
    tcp: Option<TcpStream>,
    /// Whether it was ended from outside: then nobody is kept waiting.
    ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Stream {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self(Mutex::new(Inside { tcp: Some(tcp), ended: false, reader: None, writer: None }))
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        // A panic in between leaves a stream or none.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it now.
    pub(super) fn end(&self, ending: Ending) {
        let mut inside = self.lock();
        let ended = match (ending, &inside.tcp) {
            // Both directions: a reader finds the end, a writer a broken pipe.
            (Ending::Fin, Some(tcp)) => shutdown(tcp.as_raw_fd(), Shutdown::Both).map_err(io::Error::from),
            (Ending::Rst, Some(tcp)) => tcp.set_zero_linger(),
            (_, None) => Ok(()),
        };
        match ended {
            Ok(()) => {}
            // The other side was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
            Err(error) => eprintln!("netlab: a connection cannot be ended as asked: {error}"),
        }
        if ending == Ending::Rst {
            inside.tcp = None;
        }
        inside.ended = true;
        inside.wake();
    }

    /// Has its tasks look at the mode again.
    pub(super) fn wake(&self) {
        self.lock().wake();
    }

    /// Closes it in order. What was sent and is unread would turn the FIN into a reset (RFC 2525, 2.17).
    fn close(&self) {
        let Some(tcp) = self.lock().tcp.take() else { return };
        let mut unread = [0; 4096];
        while let Ok(1..) | Err(Errno::EINTR) = recv(tcp.as_raw_fd(), &mut unread, MsgFlags::MSG_DONTWAIT) {}
    }
}

impl Inside {
    fn wake(&mut self) {
        for task in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            task.wake();
        }
    }

    fn tcp(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.tcp.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::ConnectionReset.into())
    }
}

/// A stream as its server reads and writes it.
#[derive(Debug)]
pub(super) struct Controlled {
    stream: Arc<Stream>,
    engine: Arc<Engine>,
    /// Since when an answer is due: the last time something was read, at first the beginning.
    asked: Option<Instant>,
    reads: Pace,
    writes: Pace,
}

/// When one direction may go on.
#[derive(Debug, Default)]
struct Pace {
    next: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    /// Ready from this moment on. The wait is what the mode asks for.
    fn poll_until(&mut self, moment: Instant, context: &mut Context<'_>) -> Poll<()> {
        if moment <= Instant::now() {
            return Poll::Ready(());
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(moment)));
        timer.as_mut().reset(moment);
        timer.as_mut().poll(context)
    }

    fn poll_portion(&mut self, rate: u64, context: &mut Context<'_>) -> Poll<usize> {
        if let Some(next) = self.next {
            ready!(self.poll_until(next, context));
        }
        let portion = (rate / PORTIONS).max(1);
        Poll::Ready(usize::try_from(portion).unwrap_or(usize::MAX))
    }

    fn used(&mut self, bytes: usize, rate: u64) {
        let took = Duration::from_secs_f64(bytes as f64 / rate as f64);
        // From when it was allowed rather than from now, or the rate would fall short by every delay in being woken; but what
        // was not used for long is not caught up with.
        let now = Instant::now();
        let lag = Duration::from_secs(1) / PORTIONS as u32;
        let from = self.next.map_or(now, |next| next.max(now.checked_sub(lag).unwrap_or(now)));
        self.next = Some(from + took);
    }
}

impl Controlled {
    pub(super) fn new(stream: Arc<Stream>, engine: Arc<Engine>) -> Self {
        Self { stream, engine, asked: Some(Instant::now()), reads: Pace::default(), writes: Pace::default() }
    }
}

impl AsyncRead for Controlled {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, engine, asked, reads, .. } = self.get_mut();
        let mut inside = stream.lock();
        inside.reader = Some(context.waker().clone());
        // Looked at with the stream locked: who changes it wakes us afterwards.
        let mode = engine.mode();
        let portion = match mode {
            Mode::Hung if !inside.ended => return Poll::Pending,
            Mode::Throttled(rate) => ready!(reads.poll_portion(rate, context)),
            _ => usize::MAX,
        };
        let tcp = inside.tcp()?;
        let read = if portion < buffer.remaining() {
            let mut part = ReadBuf::new(buffer.initialize_unfilled_to(portion));
            ready!(tcp.poll_read(context, &mut part))?;
            let read = part.filled().len();
            buffer.advance(read);
            read
        } else {
            let before = buffer.filled().len();
            ready!(tcp.poll_read(context, buffer))?;
            buffer.filled().len() - before
        };
        if read > 0 {
            *asked = Some(Instant::now());
            if let Mode::Throttled(rate) = mode {
                reads.used(read, rate);
            }
            engine.counting.add(&engine.counting.bytes_in, read as u64);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Controlled {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let Self { stream, engine, asked, writes, .. } = self.get_mut();
        let mut inside = stream.lock();
        inside.writer = Some(context.waker().clone());
        let mode = engine.mode();
        let portion = match mode {
            Mode::Hung if !inside.ended => return Poll::Pending,
            Mode::Slow(delay) => {
                if let Some(asked) = *asked {
                    ready!(writes.poll_until(asked + delay, context));
                }
                usize::MAX
            }
            Mode::Throttled(rate) => ready!(writes.poll_portion(rate, context)),
            _ => usize::MAX,
        };
        let written = ready!(inside.tcp()?.poll_write(context, &data[..portion.min(data.len())]))?;
        *asked = None;
        if let Mode::Throttled(rate) = mode {
            writes.used(written, rate);
        }
        engine.counting.add(&engine.counting.bytes_out, written as u64);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The kernel holds what was written.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, engine, .. } = self.get_mut();
        let mut inside = stream.lock();
        inside.writer = Some(context.waker().clone());
        if engine.mode() == Mode::Hung && !inside.ended {
            return Poll::Pending;
        }
        inside.tcp()?.poll_shutdown(context)
    }
}

impl Drop for Controlled {
    fn drop(&mut self) {
        self.stream.close();
    }
}
