//! A byte stream, whatever it runs over.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ClientConnection;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use super::socket::{self, Vigil};

/// One connection. An enum rather than a box: reading and writing are the hot path.
#[derive(Debug, Default)]
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// One that a simulation plays.
    #[cfg(feature = "sim")]
    Played(Box<dyn crate::sim::Wire>),
    #[cfg(feature = "sim")]
    PlayedTls(Box<TlsStream<Box<dyn crate::sim::Wire>>>),
    /// Nothing: the stream was taken away, for example into a TLS handshake that failed.
    #[default]
    Gone,
}

impl Stream {
    /// Whether only its two ends can read what crosses it, even without TLS.
    pub fn is_private(&self) -> bool {
        matches!(self, Self::Unix(_))
    }

    /// Whether what crosses it is protected by TLS.
    pub fn is_encrypted(&self) -> bool {
        match self {
            Self::Tls(_) => true,
            #[cfg(feature = "sim")]
            Self::PlayedTls(_) => true,
            #[cfg(feature = "sim")]
            Self::Played(_) => false,
            Self::Tcp(_) | Self::Unix(_) | Self::Gone => false,
        }
    }

    /// Whether there is nothing to be read, the peer's end included. Asks the system, for the runtime may not have
    /// heard of it yet.
    pub fn is_silent(&mut self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let peeked = match self {
            Self::Tcp(stream) => SockRef::from(&*stream).peek(&mut byte),
            Self::Unix(stream) => SockRef::from(&*stream).peek(&mut byte),
            Self::Tls(stream) => {
                let (socket, session) = stream.get_mut();
                if !is_read_up(session) {
                    return false;
                }
                SockRef::from(&*socket).peek(&mut byte)
            }
            #[cfg(feature = "sim")]
            Self::Played(wire) => return wire.is_silent(),
            #[cfg(feature = "sim")]
            Self::PlayedTls(stream) => {
                let (wire, session) = stream.get_mut();
                return is_read_up(session) && wire.is_silent();
            }
            Self::Gone => return false,
        };
        peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Reads what is there, up to the length of the buffer; nothing means the peer's end.
    pub fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        vigil: &mut Vigil,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => socket::poll_receive(stream, cx, vigil, buffer),
            Self::Unix(stream) => socket::poll_receive(stream, cx, vigil, buffer),
            Self::Tls(_) | Self::Gone => self.poll_fill(cx, buffer),
            #[cfg(feature = "sim")]
            Self::Played(_) | Self::PlayedTls(_) => self.poll_fill(cx, buffer),
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(self).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Writes what is taken at once. Whoever has more left has to wait with `poll_write`: nobody is woken by this.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => socket::poll_send(stream, bytes),
            Self::Unix(stream) => socket::poll_send(stream, bytes),
            Self::Tls(_) | Self::Gone => Pin::new(self).poll_write(cx, bytes),
            #[cfg(feature = "sim")]
            Self::Played(_) | Self::PlayedTls(_) => Pin::new(self).poll_write(cx, bytes),
        }
    }

    /// Whether what was written may still wait inside, for a flush.
    pub fn holds_back(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) | Self::Gone => false,
            Self::Tls(_) => true,
            #[cfg(feature = "sim")]
            Self::Played(_) | Self::PlayedTls(_) => true,
        }
    }

    /// Whether there is nothing to be read as far as the runtime has heard: a read that did not fill its buffer has shown as
    /// much, and nobody is asked again. What came since is for [`is_silent`](Self::is_silent) to find.
    pub fn seems_silent(&mut self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let peeked = match self {
            Self::Tcp(stream) => peek_if_ready(stream, &mut byte),
            Self::Tls(stream) => {
                let (socket, session) = stream.get_mut();
                if !is_read_up(session) {
                    return false;
                }
                peek_if_ready(socket, &mut byte)
            }
            Self::Unix(stream) => {
                stream.try_io(Interest::READABLE, || SockRef::from(&*stream).peek(&mut byte))
            }
            #[cfg(feature = "sim")]
            Self::Played(_) | Self::PlayedTls(_) => return self.is_silent(),
            Self::Gone => return false,
        };
        peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Moves the stream to the runtime of this thread, which from now on hears of what happens to it.
    ///
    /// # Errors
    /// The process has no descriptor to spare.
    pub fn move_here(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => *stream = moved(stream)?,
            Self::Tls(stream) => {
                let socket = stream.get_mut().0;
                *socket = moved(socket)?;
            }
            Self::Unix(stream) => *stream = UnixStream::from_std(duplicate(stream)?.into())?,
            #[cfg(feature = "sim")]
            Self::Played(_) | Self::PlayedTls(_) => {}
            Self::Gone => {}
        }
        Ok(())
    }

    /// Makes the peer see a reset instead of an orderly end when this stream is dropped.
    pub fn abort(&self) {
        let socket = match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
            Self::Unix(_) | Self::Gone => return,
            #[cfg(feature = "sim")]
            Self::Played(wire) => return wire.abort(),
            #[cfg(feature = "sim")]
            Self::PlayedTls(stream) => return stream.get_ref().0.abort(),
        };
        // A socket that is gone already needs no reset.
        let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
    }
}

/// Whether nothing that was decrypted already waits in the session.
fn is_read_up(session: &mut ClientConnection) -> bool {
    let state = session.process_new_packets();
    state.is_ok_and(|state| state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed())
}

fn peek_if_ready(stream: &TcpStream, byte: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    stream.try_io(Interest::READABLE, || SockRef::from(stream).peek(byte))
}

fn moved(stream: &TcpStream) -> io::Result<TcpStream> {
    TcpStream::from_std(duplicate(stream)?.into())
}

fn duplicate(stream: &impl AsFd) -> io::Result<OwnedFd> {
    stream.as_fd().try_clone_to_owned()
}

macro_rules! delegate {
    ($self:ident, $method:ident($($argument:expr),*)) => {
        match $self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            Stream::Unix(stream) => Pin::new(stream).$method($($argument),*),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).$method($($argument),*),
            #[cfg(feature = "sim")]
            Stream::Played(wire) => Pin::new(wire.as_mut()).$method($($argument),*),
            #[cfg(feature = "sim")]
            Stream::PlayedTls(stream) => Pin::new(stream.as_mut()).$method($($argument),*),
            Stream::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self, poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_stream_seems_silent_after_a_read_that_took_everything_and_until_more_is_heard() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut theirs, _) = listener.accept().await.unwrap();
        let mut ours = Stream::Tcp(ours);
        for words in [&b"words"[..], b"more"] {
            theirs.write_all(words).await.unwrap();
            hear(&ours).await;
            assert!(!ours.seems_silent() && !ours.is_silent());
            let mut heard = [0; 4];
            let read = ours.read(&mut heard).await.unwrap();
            assert_eq!(heard[..read], words[..read]);
            // A buffer that was filled shows nothing: the system is asked.
            assert_eq!(ours.seems_silent(), words.len() == heard.len());
            let rest = words.len() - read;
            if rest > 0 {
                assert_eq!(ours.read(&mut [0; 64]).await.unwrap(), rest);
            }
            assert!(ours.seems_silent() && ours.is_silent());
        }
        drop(theirs);
        hear(&ours).await;
        assert!(!ours.seems_silent() && !ours.is_silent(), "the end is something too");
    }

    async fn hear(stream: &Stream) {
        let Stream::Tcp(stream) = stream else { panic!("it is TCP") };
        stream.readable().await.unwrap();
    }
}
