//! Sans-IO state machines: one side of one exchange.
//!
//! A machine eats from an input buffer, appends to an output buffer and says what it needs next. It
//! gives the same result however its input is split, and leaves bytes that are not its own unread.

use bytes::BytesMut;

use crate::fault::Fault;

/// One side of one exchange: a login, the first packet of a client, a cancel request.
///
/// The driver calls [`step`](Machine::step) once before anything was read, then after every read and
/// after a finished TLS handshake. Between two calls it writes out whatever the machine appended to
/// the output, also when the step failed: a refusal must reach the peer.
pub trait Machine {
    /// What the exchange was for.
    type Output;

    /// Goes on as far as the input allows.
    ///
    /// # Errors
    /// A [`Fault`] ends the exchange: the machine must not be stepped again.
    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<Self::Output>, Fault>;

    /// The most bytes, in octets, that may wait unread in the input while this machine asks for
    /// more. The driver never reads beyond it and reports [`Fault::TooLong`] where that is not enough.
    fn limit(&self) -> usize;

    /// The number that the next frame to the peer bears, in protocols that number them: for whoever has to say
    /// something in the machine's place. `None` where the machine does not know better than others.
    fn next_number(&self) -> Option<u8> {
        None
    }
}

/// A machine of which only the outcome is known.
pub type Boxed<T> = Box<dyn Machine<Output = T> + Send>;

impl<M: Machine + ?Sized> Machine for Box<M> {
    type Output = M::Output;

    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<Self::Output>, Fault> {
        (**self).step(turn)
    }

    fn limit(&self) -> usize {
        (**self).limit()
    }

    fn next_number(&self) -> Option<u8> {
        (**self).next_number()
    }
}

/// A machine of which something is to be known when its exchange has failed.
impl<M: Machine + ?Sized> Machine for &mut M {
    type Output = M::Output;

    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<Self::Output>, Fault> {
        (**self).step(turn)
    }

    fn limit(&self) -> usize {
        (**self).limit()
    }

    fn next_number(&self) -> Option<u8> {
        (**self).next_number()
    }
}

/// What a machine is given for one step.
#[derive(Debug)]
pub struct Turn<'a> {
    /// Bytes from the peer; the machine removes what it has understood.
    pub input: &'a mut BytesMut,
    /// Bytes for the peer; the machine appends.
    pub output: &'a mut BytesMut,
    /// The TLS session that carries this exchange, once there is one.
    pub tls: Option<&'a TlsFacts>,
}

/// What a machine needs next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// More input.
    Read,
    /// A TLS handshake on this link, now. The input is empty: anything else would be early data.
    StartTls,
    /// Nothing: the exchange is over. Unread input belongs to whatever comes next.
    Done(T),
}

/// Facts about a finished TLS handshake that a protocol may need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// `tls-server-end-point` channel binding data: the hash of the server's certificate with the
    /// hash function of its signature (RFC 5929, section 4.1). `None` where that is undefined.
    pub server_end_point: Option<Vec<u8>>,
    /// The application protocol that the server chose (RFC 7301).
    pub alpn: Option<Vec<u8>>,
}
