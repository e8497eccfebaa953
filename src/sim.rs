//! The world as a simulation plays it: chance, connections, and a file system that says nothing by itself.
//!
//! Only builds with the feature `sim` have this, which the tests of this package switch on and no release does. What is
//! played is played on the thread that asked for it, as the clock of a paused runtime stands still there alone; all
//! others go on with the real world.

use std::cell::RefCell;
use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;

use tokio::io::{AsyncRead, AsyncWrite};

thread_local! {
    static PLAYED: RefCell<Option<Rc<dyn World>>> = const { RefCell::new(None) };
}

/// What a simulation plays.
pub trait World {
    /// Chance.
    fn fill(&self, bytes: &mut [u8]);

    /// Connects to an address, or does not.
    fn connect(&self, address: SocketAddr) -> Connecting;
}

/// A connection that is being made.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Wire>>> + Send>>;

/// One end of a connection.
pub trait Wire: AsyncRead + AsyncWrite + Debug + Send + Sync + Unpin {
    /// Whether there is nothing to be read, the peer's end included.
    fn is_silent(&self) -> bool;

    /// Makes the peer see a reset when this end is dropped.
    fn abort(&self);
}

/// This thread's world is played for as long as this is kept.
#[derive(Debug)]
pub struct Playing(PhantomData<Rc<()>>);

/// Plays the world of this thread.
///
/// # Panics
/// If it is played already.
pub fn play(world: Rc<dyn World>) -> Playing {
    let before = PLAYED.replace(Some(world));
    assert!(before.is_none(), "two simulations on one thread");
    Playing(PhantomData)
}

impl Drop for Playing {
    fn drop(&mut self) {
        PLAYED.take();
    }
}

/// The world of this thread, if it is played.
pub(crate) fn world() -> Option<Rc<dyn World>> {
    PLAYED.with_borrow(Clone::clone)
}
