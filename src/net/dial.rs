//! Finding an endpoint's addresses, and connecting to whichever answers first.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream};

use super::resolve::{Found, Late, Resolver};
use super::socket::pace_for;
use super::stream::Stream;
use crate::config::domain::Endpoint;
use crate::failure::{Cause, Failure, Side, Stage, Trouble};

/// How long an address may be silent before the next one is tried beside it (RFC 8305, section 5).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);
/// A dead peer is noticed after 30 s + 3 × 10 s: well before a usual firewall forgets the connection.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;
/// How long sent bytes may stay unacknowledged before the connection counts as dead.
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// One address to connect to. Where a connection ended up, a cancel request has to reach again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Place {
    /// Whether what crosses a connection to it never leaves the machine, and only its two ends can read it.
    pub fn is_private(&self) -> bool {
        matches!(self, Self::Unix(_))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Where an endpoint may be reached.
pub struct Places {
    /// In the order in which they should be tried.
    pub first: Vec<Place>,
    /// Those that a name server has not told yet.
    late: Option<Late>,
}

/// Finds the places where an endpoint may be reached, in the order in which they should be tried.
///
/// # Errors
/// A failure of the stage `resolve`.
pub async fn find(endpoint: &Endpoint, resolver: &Resolver) -> Result<Places, Failure> {
    match endpoint {
        Endpoint::Member { .. } => {
            let detail = format!("{endpoint}: no such server is listed");
            Err(failure(Stage::Resolve, Trouble::new(Cause::NameNotFound, detail)))
        }
        Endpoint::Unix(path) => Ok(Places { first: vec![Place::Unix(path.clone())], late: None }),
        Endpoint::Tcp { host, port } => {
            let found = resolver.addresses(host, *port).await;
            let Found { first, late } = found.map_err(|trouble| failure(Stage::Resolve, trouble))?;
            Ok(Places { first: interleave(first).into_iter().map(Place::Tcp).collect(), late })
        }
    }
}

/// Connects to exactly one place.
///
/// # Errors
/// A failure of the stage `dial`.
pub async fn connect(place: &Place) -> Result<(Stream, Place), Failure> {
    match place {
        Place::Tcp(address) => tcp(*address).await,
        Place::Unix(path) => unix(path).await,
    }
}

/// Connects to whichever place answers first. Starts with the first one and adds the next whenever the
/// running ones were silent for a while or one has failed, and those that are found late when they come.
///
/// # Errors
/// A failure of the stage `dial`: that of the last place.
pub async fn race(places: Places) -> Result<(Stream, Place), Failure> {
    let Places { first: waiting, mut late } = places;
    let mut waiting = VecDeque::from(waiting);
    let mut running = FuturesUnordered::new();
    let mut last = failure(Stage::Dial, Cause::NameNotFound.into());
    loop {
        if let Some(place) = waiting.pop_front() {
            running.push(async move { connect(&place).await });
        }
        let raced = tokio::select! {
            biased;
            raced = first(&mut running, !waiting.is_empty()), if !running.is_empty() => raced,
            found = latecomers(&mut late), if late.is_some() => Raced::Found(found),
            else => return Err(last),
        };
        match raced {
            Raced::Connected(stream, place) => return Ok((stream, place)),
            Raced::Failed(failure) => last = failure,
            Raced::Found(found) => waiting.extend(found.into_iter().map(Place::Tcp)),
            Raced::Silent => {}
        }
    }
}

/// What the slower family's answer brings, once.
async fn latecomers(late: &mut Option<Late>) -> Vec<SocketAddr> {
    let Some(answer) = late else { return Vec::new() };
    let found = answer.await;
    *late = None;
    found
}

enum Raced {
    Connected(Stream, Place),
    Failed(Failure),
    /// Addresses that a name server told late.
    Found(Vec<SocketAddr>),
    Silent,
}

async fn first<F>(running: &mut FuturesUnordered<F>, more: bool) -> Raced
where
    F: Future<Output = Result<(Stream, Place), Failure>>,
{
    let patience = if more { NEXT_ADDRESS_AFTER } else { Duration::MAX };
    match tokio::time::timeout(patience, running.next()).await {
        Ok(Some(Ok((stream, place)))) => Raced::Connected(stream, place),
        Ok(Some(Err(failure))) => Raced::Failed(failure),
        Ok(None) | Err(_) => Raced::Silent,
    }
}

/// Alternates between the families, beginning with that of the first address (RFC 8305, section 4).
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|a| a.is_ipv6() == first_is_v6);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    std::iter::from_fn(|| {
        let pair: Vec<_> = one.next().into_iter().chain(other.next()).collect();
        (!pair.is_empty()).then_some(pair)
    })
    .flatten()
    .collect()
}

async fn tcp(address: SocketAddr) -> Result<(Stream, Place), Failure> {
    #[cfg(feature = "sim")]
    if let Some(connecting) = crate::sim::world().map(|world| world.connect(address)) {
        let wire = connecting.await.map_err(|error| refused(&address.to_string(), &error))?;
        return Ok((Stream::Played(wire), Place::Tcp(address)));
    }
    let stream = TcpStream::connect(address).await.map_err(|error| refused(&address.to_string(), &error))?;
    protect(&stream, address.ip()).map_err(|error| refused(&address.to_string(), &error))?;
    Ok((Stream::Tcp(stream), Place::Tcp(address)))
}

async fn unix(path: &Path) -> Result<(Stream, Place), Failure> {
    let stream = UnixStream::connect(path).await;
    let stream = stream.map_err(|error| refused(&path.display().to_string(), &error))?;
    Ok((Stream::Unix(stream), Place::Unix(path.to_owned())))
}

fn protect(stream: &TcpStream, to: IpAddr) -> io::Result<()> {
    stream.set_nodelay(true)?;
    pace_for(to, &SockRef::from(stream));
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}

fn refused(address: &str, error: &io::Error) -> Failure {
    let cause = match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Cause::ConnectRefused,
        io::ErrorKind::TimedOut => Cause::ConnectTimedOut,
        // It was taken in, and sent away before we looked.
        io::ErrorKind::ConnectionReset => Cause::Reset,
        _ => Cause::Unreachable,
    };
    failure(Stage::Dial, Trouble::new(cause, format!("{address}: {error}")))
}

fn failure(stage: Stage, trouble: Trouble) -> Failure {
    Failure::new(stage, Side::Upstream, trouble)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_alternate_beginning_with_the_first() {
        let parse =
            |list: &[&str]| list.iter().map(|a| a.parse().expect("address")).collect::<Vec<SocketAddr>>();
        let mixed = parse(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]);
        assert_eq!(interleave(mixed), parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]));
        assert_eq!(interleave(vec![]), vec![]);
    }

    #[tokio::test]
    async fn a_connection_that_is_reset_as_soon_as_it_is_made_was_no_unreachable_one() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let place = Place::Tcp(listener.local_addr().expect("an address"));
        let mut made = 0;
        let failure = loop {
            let mut connecting = std::pin::pin!(connect(&place));
            tokio::select! {
                biased;
                _ = &mut connecting => panic!("nobody has looked yet"),
                () = std::future::ready(()) => {}
            }
            let (taken_in, _) = listener.accept().expect("a client");
            SockRef::from(&taken_in).set_linger(Some(Duration::ZERO)).expect("a TCP socket");
            drop(taken_in);
            match connecting.await {
                Err(failure) => break failure,
                // A program that another test starts has a copy of every socket until it runs its own image.
                Ok(_) => made += 1,
            }
            assert!(made < 100, "it was not reset");
        };
        assert_eq!(failure.cause(), Cause::Reset);
    }

    #[tokio::test]
    async fn an_address_that_is_found_late_saves_what_the_first_ones_lost() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let there = listener.local_addr().expect("an address");
        let reserved = attache_kit::ports::reserve();
        let closed = reserved.addr();
        let late = Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(60)).await;
            vec![there]
        });
        let places = Places { first: vec![Place::Tcp(closed)], late: Some(late) };
        let (_, place) = race(places).await.expect("the late address");
        assert_eq!(place, Place::Tcp(there));

        let nobody = Places { first: vec![Place::Tcp(closed)], late: Some(Box::pin(async { vec![] })) };
        let failure = race(nobody).await.expect_err("nobody listens");
        assert_eq!(failure.cause(), Cause::ConnectRefused);
    }
}
