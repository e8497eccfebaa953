//! Cancel requests (section "Canceling Requests in Progress").
//!
//! A cancel request comes on a connection of its own and names a backend by its process id and a secret
//! key. Where a link serves one session, both are the server's own, and the request is delivered as it
//! came. Where it serves several in turn, the client got a key of ours with the process id, and the server's key
//! takes its place. The way there is encrypted as that of the session is.

use std::fmt;

use attache_wire::{Fault, Machine, Step, TlsStart, Turn};

use crate::put_untagged;
use crate::upgrade::Upgrade;

pub(crate) const CANCEL_REQUEST: u32 = 80_877_102;

/// Octets of a process id.
pub(crate) const PID_LEN: usize = 4;
/// Octets of a key: 4 in protocol 3.0, up to 256 in 3.2.
const KEY_LEN: std::ops::RangeInclusive<usize> = 4..=256;

/// A process id and a secret key.
#[derive(Clone, PartialEq, Eq)]
pub struct CancelRequest(Vec<u8>);

impl CancelRequest {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Fault> {
        if is_ticket(body) {
            Ok(Self(body.to_vec()))
        } else {
            Err(Fault::Malformed("the key of a cancel request is not 4 to 256 octets long"))
        }
    }

    /// The request with this process id and key in place of the client's.
    pub(crate) fn redirected(ticket: &[u8]) -> Self {
        Self(ticket.to_vec())
    }

    /// Process id and key, as BackendKeyData carries them too.
    pub(crate) fn ticket(&self) -> &[u8] {
        &self.0
    }
}

/// Whoever knows the key may cancel: it is not shown.
impl fmt::Debug for CancelRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CancelRequest({} octets)", self.0.len())
    }
}

/// Whether this may be the body of BackendKeyData or of a CancelRequest.
pub(crate) fn is_ticket(body: &[u8]) -> bool {
    body.len().checked_sub(PID_LEN).is_some_and(|key| KEY_LEN.contains(&key))
}

/// Carries a cancel request to the server. There is no answer to it: the server closes the connection.
#[derive(Debug)]
pub struct Deliver {
    request: CancelRequest,
    upgrade: Upgrade,
}

impl Deliver {
    pub(crate) fn new(request: CancelRequest, tls: TlsStart) -> Self {
        Self { request, upgrade: Upgrade::new(tls) }
    }
}

impl Machine for Deliver {
    type Output = ();

    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<()>, Fault> {
        let step = self.upgrade.step(turn)?;
        if step == Step::Done(()) {
            put_untagged(turn.output, CANCEL_REQUEST, self.request.ticket());
        }
        Ok(step)
    }

    fn limit(&self) -> usize {
        self.upgrade.limit()
    }
}
