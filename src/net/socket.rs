//! Reading and writing a socket with as few questions to the runtime as there can be.
//!
//! A session is woken twice for each query, and each time looks both ways. The runtime's own `poll_read` leaves a waker
//! whenever there is nothing; here it is left once, and until it is used a look costs one atomic read. That is sound
//! where events are handed out by the thread that runs the task, between two of its polls, as a runtime of one thread
//! does. Elsewhere a wake-up that comes late could use up the waker that was left since: there none is relied upon.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::task::{Context, Poll};

use rustix::net::{RecvFlags, SendFlags};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::coop;

/// The congestion control of a connection that stays in the machine. Nothing is congested there, and every system has it;
/// one that is made for networks, such as BBR, paces by timers what is a copy in memory.
const WITHIN_THE_MACHINE: &[u8] = b"reno";

/// Lets a socket send as fast as the other end can take it, where that is on the same machine.
pub(super) fn pace_for(address: IpAddr, socket: &SockRef<'_>) {
    if address.is_loopback() {
        // A matter of speed: with any other it works just as well.
        let _ = socket.set_tcp_congestion(WITHIN_THE_MACHINE);
    }
}

/// What two kinds of socket have in common.
pub(super) trait Socket: AsFd {
    fn try_io<R>(&self, interest: Interest, act: impl FnOnce() -> io::Result<R>) -> io::Result<R>;
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

macro_rules! socket {
    ($kind:ty) => {
        impl Socket for $kind {
            fn try_io<R>(&self, interest: Interest, act: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
                Self::try_io(self, interest, act)
            }

            fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Self::poll_read_ready(self, cx)
            }
        }
    };
}

socket!(TcpStream);
socket!(UnixStream);

/// Whether a socket is known to wake a task once there is something to read. Belongs to one socket and one task, which
/// [renews](Self::renew) it before it looks again with another waker.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Vigil {
    /// Nobody is known to be woken.
    #[default]
    Over,
    Kept,
    /// Here this is never known.
    Unknown,
}

impl Vigil {
    /// Nothing is known of whoever was to be woken.
    pub fn renew(&mut self) {
        let runtime = Handle::try_current().map(|runtime| runtime.runtime_flavor());
        let one_thread = matches!(runtime, Ok(RuntimeFlavor::CurrentThread));
        *self = if one_thread { Self::Over } else { Self::Unknown };
    }

    pub fn is_kept(self) -> bool {
        self == Self::Kept
    }

    fn keep(&mut self) {
        self.turn(Self::Kept);
    }

    fn end(&mut self) {
        self.turn(Self::Over);
    }

    fn turn(&mut self, known: Self) {
        *self = if *self == Self::Unknown { Self::Unknown } else { known };
    }
}

/// Reads what is there, up to the length of the buffer, which is not empty; nothing means the peer's end.
pub(super) fn poll_receive(
    socket: &impl Socket,
    cx: &mut Context<'_>,
    vigil: &mut Vigil,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    loop {
        if let Some(received) = receive(socket, vigil, buffer) {
            // What is read up is listened to at once: whoever has read may rest then. A failure is met by the next read.
            if received.as_ref().is_ok_and(|read| (1..buffer.len()).contains(read)) {
                let _ = listen(socket, cx, vigil);
            }
            return Poll::Ready(received);
        }
        if vigil.is_kept() || listen(socket, cx, vigil)? {
            return Poll::Pending;
        }
    }
}

/// Has the runtime wake the task when there is something to read. Whether there is nothing now.
fn listen(socket: &impl Socket, cx: &mut Context<'_>, vigil: &mut Vigil) -> io::Result<bool> {
    // Of a task that has done enough, the runtime takes no waker.
    let is_heard = coop::has_budget_remaining();
    let silent = socket.poll_read_ready(cx)?.is_pending();
    if silent && is_heard {
        vigil.keep();
    }
    Ok(silent)
}

/// `None` where there is nothing now.
fn receive(socket: &impl Socket, vigil: &mut Vigil, buffer: &mut [u8]) -> Option<io::Result<usize>> {
    at_once(socket, Interest::READABLE, buffer.len(), || {
        vigil.end();
        rustix::net::recv(socket, buffer, RecvFlags::empty()).map(|(read, _)| read)
    })
}

/// Writes what is taken at once. Nobody is woken when there is room for more.
pub(super) fn poll_send(socket: &impl Socket, bytes: &[u8]) -> Poll<io::Result<usize>> {
    let sent = at_once(socket, Interest::WRITABLE, bytes.len(), || {
        rustix::net::send(socket, bytes, SendFlags::NOSIGNAL)
    });
    sent.map_or(Poll::Pending, Poll::Ready)
}

/// Acts if the runtime takes the socket for ready, and says how much of the whole was done. `None` where it is not ready.
fn at_once(
    socket: &impl Socket,
    interest: Interest,
    whole: usize,
    act: impl FnOnce() -> rustix::io::Result<usize>,
) -> Option<io::Result<usize>> {
    let mut part = None;
    let told = socket.try_io(interest, || match act()? {
        // Less than the whole is all that there is until the next event. The runtime, told so, has nobody ask again.
        done if (1..whole).contains(&done) => {
            part = Some(done);
            Err(io::ErrorKind::WouldBlock.into())
        }
        done => Ok(done),
    });
    match (part, told) {
        (Some(done), _) => Some(Ok(done)),
        (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => None,
        (None, told) => Some(told),
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt;
    use tokio::io::AsyncWriteExt;

    use super::*;

    struct Reader {
        socket: UnixStream,
        vigil: Vigil,
    }

    /// One who reads, and the peer.
    fn pair() -> (Reader, UnixStream) {
        let (socket, peer) = UnixStream::pair().expect("a pair of sockets");
        let mut vigil = Vigil::default();
        vigil.renew();
        (Reader { socket, vigil }, peer)
    }

    impl Reader {
        /// What one read brings, of at most four octets.
        async fn read(&mut self) -> io::Result<String> {
            let mut buffer = [0; 4];
            let read = poll_fn(|cx| poll_receive(&self.socket, cx, &mut self.vigil, &mut buffer)).await?;
            Ok(String::from_utf8_lossy(&buffer[..read]).into_owned())
        }

        async fn reads(&mut self, expected: &str) {
            assert_eq!(self.read().await.expect("it can be read"), expected);
        }

        /// Asks without waiting, in the name of nobody.
        fn finds_nothing(&mut self) {
            let found = self.read().now_or_never();
            assert!(found.is_none(), "{found:?}");
        }

        fn forgets(&mut self) {
            self.vigil.renew();
        }
    }

    async fn write(peer: &mut UnixStream, words: &str) {
        peer.write_all(words.as_bytes()).await.expect("the peer writes");
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_each_time() {
        let (mut reader, mut peer) = pair();
        let (heard, mut hears) = tokio::sync::mpsc::unbounded_channel();
        let waiting = tokio::spawn(async move {
            for expected in ["one", "two", ""] {
                reader.reads(expected).await;
                let _ = heard.send(());
            }
        });
        for words in ["one", "two"] {
            tokio::task::yield_now().await;
            write(&mut peer, words).await;
            hears.recv().await.expect("it was heard");
        }
        drop(peer);
        waiting.await.expect("everything was heard");
    }

    #[tokio::test]
    async fn what_did_not_fit_is_there_without_another_event() {
        let (mut reader, mut peer) = pair();
        write(&mut peer, "1234567890").await;
        for expected in ["1234", "5678", "90"] {
            reader.reads(expected).await;
        }
        reader.finds_nothing();
        reader.forgets();
        write(&mut peer, "more").await;
        reader.reads("more").await;
    }

    #[tokio::test]
    async fn a_task_that_has_done_enough_is_woken_all_the_same() {
        let (mut reader, mut peer) = pair();
        let waiting = tokio::spawn(async move {
            while coop::has_budget_remaining() {
                coop::consume_budget().await;
            }
            reader.reads("news").await;
        });
        tokio::task::yield_now().await;
        write(&mut peer, "news").await;
        waiting.await.expect("it was heard");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn where_another_thread_hands_out_the_events_no_waker_is_relied_upon() {
        let (mut reader, mut peer) = pair();
        reader.finds_nothing();
        assert_eq!(reader.vigil, Vigil::Unknown);
        write(&mut peer, "news").await;
        reader.reads("news").await;
    }

    #[tokio::test]
    async fn a_peer_that_reads_nothing_is_sent_no_more_than_it_takes() {
        let (reader, peer) = pair();
        peer.writable().await.expect("there is room at first");
        let mut sent = 0;
        while let Poll::Ready(taken) = poll_send(&peer, &[b'x'; 100_000]) {
            sent += taken.expect("it can be written");
        }
        let mut peer = peer;
        let writing = tokio::spawn(async move { peer.write_all(b"end").await });
        let mut left = sent + 3;
        let mut buffer = vec![0; 64 * 1024];
        let Reader { socket, mut vigil } = reader;
        while left > 0 {
            let read = poll_fn(|cx| poll_receive(&socket, cx, &mut vigil, &mut buffer)).await;
            left -= read.expect("it can be read");
        }
        writing.await.expect("it ends").expect("the rest was written");
    }
}
