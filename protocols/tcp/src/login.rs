//! The login: a TLS handshake where the route asks for one, and nothing else.
//!
//! A machine is one enum of named states. Here two are enough: before the handshake and after it.

use attache_wire::{Fault, Insecure, Machine, Step, TlsStart, Turn};

/// Makes the link as safe as the route asks for. The credential, if there is one, is a client
/// certificate, which the TLS handshake has used by then.
#[derive(Debug)]
pub struct Login {
    tls: TlsStart,
    state: State,
}

#[derive(Debug)]
enum State {
    Connected,
    Encrypting,
}

impl Login {
    pub(crate) fn new(tls: TlsStart) -> Self {
        Self { tls, state: State::Connected }
    }
}

impl Machine for Login {
    type Output = ();

    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<()>, Fault> {
        match (&self.state, self.tls) {
            (State::Connected, TlsStart::Off) => Ok(Step::Done(())),
            (State::Connected, TlsStart::Direct) => {
                self.state = State::Encrypting;
                Ok(Step::StartTls)
            }
            (State::Connected, TlsStart::Negotiated) => {
                Err(Fault::Unsupported("asking for TLS inside a protocol that is not known"))
            }
            (State::Encrypting, _) if turn.tls.is_some() => Ok(Step::Done(())),
            (State::Encrypting, _) => Err(Fault::Insecure(Insecure::TlsDeclined)),
        }
    }

    /// Nothing is read: what the server says first is for the client.
    fn limit(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use attache_wire::TlsFacts;
    use attache_wire::testing::run_every_split;

    use super::*;

    #[test]
    fn a_plain_link_is_ready_at_once_and_leaves_the_servers_first_words() {
        let run = run_every_split(|| Login::new(TlsStart::Off), &[b"220 mail.example.com\r\n"], None);
        assert_eq!((run.end, run.upgrades), (Ok(Some(())), 0));
        assert_eq!(run.unread, b"220 mail.example.com\r\n");
    }

    #[test]
    fn a_direct_link_is_ready_after_one_handshake() {
        let facts = TlsFacts::default();
        let run = run_every_split(|| Login::new(TlsStart::Direct), &[b"", b"hello"], Some(&facts));
        assert_eq!((run.end, run.upgrades), (Ok(Some(())), 1));
        assert_eq!(run.unread, b"hello");
        assert!(run.output.is_empty());
    }

    #[test]
    fn plain_bytes_in_front_of_the_handshake_are_early_data() {
        let facts = TlsFacts::default();
        let run = run_every_split(|| Login::new(TlsStart::Direct), &[b"x", b"hello"], Some(&facts));
        assert_eq!(run.end, Err(Fault::EarlyData));
    }

    #[test]
    fn a_link_that_did_not_become_encrypted_is_never_ready() {
        let run = run_every_split(|| Login::new(TlsStart::Direct), &[b"", b""], None);
        assert_eq!(run.end, Err(Fault::Insecure(Insecure::TlsDeclined)));
        let run = run_every_split(|| Login::new(TlsStart::Negotiated), &[b""], None);
        assert!(matches!(run.end, Err(Fault::Unsupported(_))));
    }
}
