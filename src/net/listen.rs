//! Taking clients in: TCP and Unix sockets, shared by all workers.

use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use super::socket::pace_for;
use super::stream::Stream;
use crate::config::domain::ListenAddress;

/// Connections that the kernel may complete before we take them: a burst of a whole pool.
const BACKLOG: i32 = 1024;
/// Read and write for the owner and the group: who may connect is who may write.
const UNIX_MODE: u32 = 0o660;
/// How long to wait after the process ran out of descriptors or memory: sessions that end give them back.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// Exhaustion that comes back sooner than this is the same one, and was told already.
const EXHAUSTED_QUIET: Duration = Duration::from_secs(60);

/// A bound socket that is not served yet. Every worker serves a clone of it.
#[derive(Debug)]
pub struct Listener {
    socket: Bound,
    /// The address as it is, where port 0 was asked for.
    pub address: ListenAddress,
    exhaustion: Exhaustion,
}

#[derive(Debug)]
enum Bound {
    Tcp(std::net::TcpListener),
    Unix(StdUnixListener, Option<SocketFile>),
}

/// Removes the file of a Unix socket with its listener, unless another's stands there by now.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// By its device and its number on it.
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

impl Listener {
    /// Binds and listens.
    ///
    /// # Errors
    /// The address is in use, or is not ours to use.
    pub fn bind(address: &ListenAddress) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp(address) => {
                let socket = Socket::new(Domain::for_address(*address), Type::STREAM, Some(Protocol::TCP))?;
                socket.set_reuse_address(true)?;
                socket.set_nonblocking(true)?;
                // What is accepted from it inherits this.
                socket.set_tcp_nodelay(true)?;
                pace_for(address.ip(), &SockRef::from(&socket));
                if address.is_ipv6() {
                    socket.set_only_v6(true)?;
                }
                socket.bind(&(*address).into())?;
                socket.listen(BACKLOG)?;
                let listener = std::net::TcpListener::from(socket);
                let address = ListenAddress::Tcp(listener.local_addr()?);
                Ok(Self { socket: Bound::Tcp(listener), address, exhaustion: Exhaustion::default() })
            }
            ListenAddress::Unix(path) => Self::bind_unix(path),
        }
    }

    fn bind_unix(path: &Path) -> io::Result<Self> {
        remove_stale(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(path)?)?;
        let file = SocketFile::of(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(UNIX_MODE))?;
        // Nobody can connect before this, and so not before the mode is right.
        socket.listen(BACKLOG)?;
        let address = ListenAddress::Unix(path.to_owned());
        let socket = Bound::Unix(StdUnixListener::from(OwnedFd::from(socket)), Some(file));
        Ok(Self { socket, address, exhaustion: Exhaustion::default() })
    }

    /// Another handle to the same socket, to be served by another worker.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn share(&self) -> io::Result<Self> {
        let socket = match &self.socket {
            Bound::Tcp(listener) => Bound::Tcp(listener.try_clone()?),
            Bound::Unix(listener, _) => Bound::Unix(listener.try_clone()?, None),
        };
        Ok(Self { socket, address: self.address.clone(), exhaustion: self.exhaustion.clone() })
    }

    /// Closes it together with all its other handles, of which some may not have been dropped yet: nobody can connect any
    /// more, and the address is free.
    pub fn close(self) {
        // Its handles can do nothing else with it than to be dropped.
        let _ = match &self.socket {
            Bound::Tcp(listener) => SockRef::from(listener).shutdown(Shutdown::Both),
            Bound::Unix(listener, _) => SockRef::from(listener).shutdown(Shutdown::Both),
        };
    }

    /// Starts to accept on the runtime of the caller.
    ///
    /// # Errors
    /// The runtime cannot watch one more descriptor.
    pub fn serve(self) -> io::Result<Acceptor> {
        let socket = match self.socket {
            Bound::Tcp(listener) => Accepting::Tcp(TcpListener::from_std(listener)?),
            Bound::Unix(listener, file) => Accepting::Unix(UnixListener::from_std(listener)?, file),
        };
        Ok(Acceptor { socket, exhaustion: self.exhaustion })
    }
}

/// A leftover of a process that was killed is removed; a socket that someone serves, or a file that is
/// none, is not.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            let reason = "something that is no socket is there: move it away, or choose another path";
            Err(io::Error::new(io::ErrorKind::AlreadyExists, reason))
        }
        Ok(_) => match knock(path).map_err(|error| (error.kind(), error)) {
            Err((io::ErrorKind::ConnectionRefused, _)) => std::fs::remove_file(path),
            // A queue that is full belongs to somebody too.
            Ok(()) | Err((io::ErrorKind::WouldBlock, _)) => {
                Err(io::Error::new(io::ErrorKind::AddrInUse, "another process serves this socket"))
            }
            Err((_, error)) => Err(error),
        },
    }
}

/// Connects without waiting. Only of a socket that nobody has open any more the system says that it refuses (unix(7)).
fn knock(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

/// A socket that takes clients in.
pub struct Acceptor {
    socket: Accepting,
    exhaustion: Exhaustion,
}

/// When the process last ran out of something, as all workers of a socket know it: they run out together.
#[derive(Debug, Clone, Default)]
struct Exhaustion(Arc<Mutex<Option<Instant>>>);

impl Exhaustion {
    /// Takes note of another moment; returns whether it is news.
    fn note(&self) -> bool {
        let now = Instant::now();
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        last.is_none_or(|last| now.duration_since(last) >= EXHAUSTED_QUIET)
    }
}

enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener, #[expect(dead_code, reason = "removes the socket's file on drop")] Option<SocketFile>),
}

/// A client, as it was taken in.
pub struct Arrival {
    pub stream: Stream,
    /// The user id of the process at the other end, over a Unix socket.
    pub uid: Option<u32>,
}

impl Acceptor {
    /// The next client. Running out of descriptors pauses, is said once, and never spins.
    pub async fn accept(&mut self) -> Arrival {
        loop {
            match self.socket.accept().await {
                Ok(arrival) => return arrival,
                Err(error) => self.pause(&error).await,
            }
        }
    }

    async fn pause(&mut self, error: &io::Error) {
        // A client that left the queue again is no reason to wait.
        if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
            return;
        }
        if self.exhaustion.note() {
            tracing::error!(%error, "cannot take clients in: waiting for sessions to end");
        }
        tokio::time::sleep(EXHAUSTED_PAUSE).await;
    }
}

impl Accepting {
    async fn accept(&self) -> io::Result<Arrival> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok(Arrival { stream: Stream::Tcp(stream), uid: None })
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let uid = stream.peer_cred().ok().map(|peer| peer.uid());
                Ok(Arrival { stream: Stream::Unix(stream), uid })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::net::UnixStream as StdUnixStream;

    use super::*;

    #[test]
    fn a_unix_socket_is_0660_replaces_a_stale_one_and_goes_with_its_listener() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        drop(StdUnixListener::bind(&path).unwrap());
        // A program that another test starts has a copy of every socket until it runs its own image.
        let bind = || Listener::bind(&ListenAddress::Unix(path.clone())).ok();
        let listener = attache_kit::eventually("it to be stale", attache_kit::SOON, bind);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        let again = Listener::bind(&ListenAddress::Unix(path.clone())).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_that_somebody_holds_is_left_to_them_however_they_answer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("of-datagrams");
        let _theirs = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        assert!(Listener::bind(&ListenAddress::Unix(path.clone())).is_err());
        assert!(path.exists());

        let path = folder.path().join("busy");
        let busy = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        busy.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        busy.listen(0).unwrap();
        let _only = StdUnixStream::connect(&path).unwrap();
        let refused = Listener::bind(&ListenAddress::Unix(path.clone())).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn what_is_accepted_does_not_wait_for_more_to_be_sent() {
        let listener = Listener::bind(&ListenAddress::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
        let ListenAddress::Tcp(address) = listener.address else { panic!("it is TCP") };
        let mut acceptor = listener.share().unwrap().serve().unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();
        let Stream::Tcp(stream) = acceptor.accept().await.stream else { panic!("it is TCP") };
        assert!(stream.nodelay().unwrap());
        let pacing = SockRef::from(&stream).tcp_congestion().unwrap();
        assert!(pacing.starts_with(b"reno"), "{pacing:?}");
    }

    #[test]
    fn an_address_is_free_once_its_listener_is_closed_although_others_hold_a_share() {
        let folder = tempfile::tempdir().unwrap();
        let somewhere = Listener::bind(&ListenAddress::Tcp(([127, 0, 0, 1], 0).into())).unwrap();
        for address in [somewhere.address.clone(), ListenAddress::Unix(folder.path().join("s"))] {
            let listener = match &address {
                ListenAddress::Tcp(_) => somewhere.share().unwrap(),
                ListenAddress::Unix(_) => Listener::bind(&address).unwrap(),
            };
            let _share = listener.share().unwrap();
            listener.close();
            let again = Listener::bind(&address).unwrap();
            match &address {
                ListenAddress::Tcp(address) => drop(std::net::TcpStream::connect(address).unwrap()),
                ListenAddress::Unix(path) => drop(StdUnixStream::connect(path).unwrap()),
            }
            again.close();
        }
    }

    #[test]
    fn a_path_may_be_as_long_as_the_system_takes_it() {
        let folder = tempfile::tempdir().unwrap();
        let longest = 107 - folder.path().as_os_str().len() - 1;
        let path = folder.path().join("s".repeat(longest));
        let listener = Listener::bind(&ListenAddress::Unix(path.clone())).unwrap();
        StdUnixStream::connect(&path).unwrap();
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_that_another_process_put_there_since_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let first = Listener::bind(&ListenAddress::Unix(path.clone())).unwrap();
        std::fs::remove_file(&path).unwrap();
        let second = Listener::bind(&ListenAddress::Unix(path.clone())).unwrap();
        drop(first);
        StdUnixStream::connect(&path).unwrap();
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_no_socket_is_never_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        std::fs::write(&path, "x").unwrap();
        assert!(Listener::bind(&ListenAddress::Unix(path.clone())).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "x");
    }
}
