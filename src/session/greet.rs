//! What a client is greeted with, where servers speak first.
//!
//! Without a pool a server is met, and its words are the greeting. With one, which link the session will have is known only
//! when the client has said what it wants: it is greeted with what the server of the pool's links has said, and with a
//! ticket of ours. If nothing is known of that server, or no link waits, one is met all the same.

use attache_wire::Protocol;

use super::{Record, Route};
use crate::failure::Failure;
use crate::upstream::Met;

/// What is said to a client first, and what that promises.
pub(super) struct Words<P: Protocol> {
    /// The server whose words they are, if it was met for this session.
    pub(super) met: Option<Met<P>>,
    /// The words with a ticket of ours in them.
    disguised: Option<(P::Hello, Vec<u8>)>,
}

/// Of a client that speaks first.
impl<P: Protocol> Default for Words<P> {
    fn default() -> Self {
        Self { met: None, disguised: None }
    }
}

impl<P: Protocol> Words<P> {
    /// Finds words for a session's client, and meets a server for it where that has to be.
    pub(super) async fn find(route: &Route<P>, record: &mut Record) -> Result<Self, Failure> {
        let (met, hello) = match route.upstream.words_ahead() {
            Some(hello) => (None, Some(hello)),
            None => {
                let met = route.upstream.meet(&mut record.trail).await?;
                let hello = met.hello.clone().filter(|_| route.upstream.pool.is_some());
                (Some(met), hello)
            }
        };
        let number = record.id.number();
        let disguised = hello.and_then(|hello| route.protocol.disguise_hello(&hello, number));
        Ok(Self { met, disguised })
    }

    /// As the client is to have them.
    pub(super) fn hello(&self) -> Option<&P::Hello> {
        match &self.disguised {
            Some((hello, _)) => Some(hello),
            None => self.met.as_ref()?.hello.as_ref(),
        }
    }

    /// The server that was met, and the ticket of ours that the client knows.
    pub(super) fn into_parts(self) -> (Option<Met<P>>, Option<Vec<u8>>) {
        (self.met, self.disguised.map(|(_, ticket)| ticket))
    }
}
