//! TLS on the server's side, before the first packet (section "SSL Session Encryption").
//!
//! Nothing that the server says in plain text is believed, except that it has no TLS.

use attache_wire::{Fault, Insecure, Machine, Step, TlsStart, Turn};
use bytes::Buf;

use crate::{ALPN, put_untagged};

pub(crate) const SSL_REQUEST: u32 = 80_877_103;
/// The answer is one octet; a second one is read only to notice that somebody put it there.
const ANSWER_LIMIT: usize = 2;

/// Brings a link to the point where the first packet may be sent.
#[derive(Debug)]
pub(crate) enum Upgrade {
    /// Nothing has happened, and nothing will.
    Off,
    /// The handshake is the first thing on the link.
    Direct,
    /// The server has to be asked.
    Unasked,
    /// The server was asked and has not answered.
    Asked,
    /// The handshake is under way after a question.
    Handshake,
    /// The handshake is under way without a question: only ALPN tells that it is a PostgreSQL.
    DirectHandshake,
}

impl Upgrade {
    pub(crate) fn new(tls: TlsStart) -> Self {
        match tls {
            TlsStart::Off => Self::Off,
            TlsStart::Direct => Self::Direct,
            TlsStart::Negotiated => Self::Unasked,
        }
    }

    fn go(&mut self, next: Self, step: Step<()>) -> Result<Step<()>, Fault> {
        *self = next;
        Ok(step)
    }
}

impl Machine for Upgrade {
    type Output = ();

    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<()>, Fault> {
        match self {
            Self::Off => Ok(Step::Done(())),
            Self::Direct => self.go(Self::DirectHandshake, Step::StartTls),
            Self::Unasked => {
                put_untagged(turn.output, SSL_REQUEST, &[]);
                self.go(Self::Asked, Step::Read)
            }
            Self::Asked if turn.input.is_empty() => Ok(Step::Read),
            Self::Asked => {
                read_answer(turn)?;
                self.go(Self::Handshake, Step::StartTls)
            }
            Self::Handshake => encrypted(turn),
            Self::DirectHandshake => encrypted(turn).and_then(|step| check_alpn(turn).map(|()| step)),
        }
    }

    fn limit(&self) -> usize {
        ANSWER_LIMIT
    }
}

/// `S`, `N`, or `E`: an ErrorResponse of a server that is too old or too busy. An attacker could have
/// written its text, so it is not read (CVE-2024-10977).
fn read_answer(turn: &mut Turn<'_>) -> Result<(), Fault> {
    match turn.input.get_u8() {
        b'S' if turn.input.is_empty() => Ok(()),
        b'S' => Err(Fault::EarlyData),
        b'N' | b'E' => Err(Fault::Insecure(Insecure::TlsDeclined)),
        _ => Err(Fault::Malformed("the answer to SSLRequest is neither S nor N")),
    }
}

fn encrypted(turn: &Turn<'_>) -> Result<Step<()>, Fault> {
    match turn.tls {
        Some(_) => Ok(Step::Done(())),
        None => Err(Fault::Insecure(Insecure::TlsDeclined)),
    }
}

/// Without it, the bytes that follow could be taken for another protocol's (the ALPACA attack).
fn check_alpn(turn: &Turn<'_>) -> Result<(), Fault> {
    match turn.tls.and_then(|tls| tls.alpn.as_deref()) {
        Some(name) if name == ALPN.as_bytes() => Ok(()),
        Some(_) | None => {
            Err(Fault::Unsupported("direct TLS without ALPN: the server did not choose `postgresql`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    /// Every driver looks for early data as well; this machine does not rely on it.
    #[test]
    fn octets_behind_the_answer_are_early_data_before_any_driver_looks() {
        let (mut input, mut output) = (BytesMut::from(&b"S!"[..]), BytesMut::new());
        let mut turn = Turn { input: &mut input, output: &mut output, tls: None };
        let mut asked = Upgrade::Asked;
        assert_eq!(asked.step(&mut turn), Err(Fault::EarlyData));
    }

    #[test]
    fn a_link_that_did_not_become_encrypted_is_never_ready() {
        let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
        for mut upgrade in [Upgrade::Handshake, Upgrade::DirectHandshake] {
            let mut turn = Turn { input: &mut input, output: &mut output, tls: None };
            assert_eq!(upgrade.step(&mut turn), Err(Fault::Insecure(Insecure::TlsDeclined)));
        }
    }
}
