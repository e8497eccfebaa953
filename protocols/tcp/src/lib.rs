//! The null protocol: bytes are copied, and nothing is known of them.
//!
//! It carries any protocol that needs no login of ours: in plain, or from a plain client to a server
//! that wants TLS, perhaps with a client certificate. It is also the template for a new protocol:
//! everything that [`Protocol`] asks for is here, in its smallest form.
//!
//! What it cannot do: tell a client why it is turned away (there is no language for that in an unknown
//! protocol, so the connection is simply closed), see a quiet point, or read a version.

mod login;

use attache_wire::{
    Access, At, Directions, Fault, Features, Machine, Moment, Never, Nonce, Notice, Opening, Protocol, Relay,
    Scheme, ServerRole, Step, Terms, TlsStart, Turn, UrlParameter,
};
use bytes::BytesMut;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use login::Login;

/// The null protocol on one route.
#[derive(Debug)]
pub struct Tcp;

/// There is nothing to set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {}

/// The first words of a client are the server's business: whoever connects wants a session.
#[derive(Debug)]
pub struct Accept;

impl Protocol for Tcp {
    const FEATURES: Features = Features {
        name: "tcp",
        schemes: &[Scheme::new("tcp")],
        default_port: None,
        // Its server may well speak first, and is dialled before its client has said anything; but nobody here
        // understands what it says.
        server_first: false,
        database_of_user: false,
        negotiates_tls: false,
        alpn: None,
        needs_user: false,
        has_login: false,
        has_roles: false,
        // A client may send all it has, close its half and wait for the answer: `nc` does.
        half_open_clients: true,
    };

    type Options = Options;
    type Hello = Never;
    type Intent = ();
    type Greeting = ();
    type Errand = Never;
    type Accept = Accept;
    type Login = Login;
    type Deliver = Never;
    type Watch = Never;

    fn new(Options {}: Options, _database: Option<String>) -> Self {
        Self
    }

    fn accept(&self, _hello: Option<&Never>, _nonce: Nonce) -> Accept {
        Accept
    }

    fn login(&self, (): &(), _hello: Option<Never>, terms: Terms) -> Login {
        Login::new(terms.tls)
    }

    fn probe_intent(&self) {}

    fn welcome(&self, (): &(), (): (), _out: &mut BytesMut) {}

    /// Says nothing: any byte would be taken for the server's.
    fn refuse(&self, _notice: &Notice<'_>, _moment: Moment<'_, ()>, _out: &mut BytesMut) {}

    fn farewell(&self, _out: &mut BytesMut) {}

    fn relay(&self, (): &(), (): &()) -> Relay<Never> {
        Relay::Opaque
    }

    fn server_version(&self, (): &()) -> Option<String> {
        None
    }

    fn role(&self, (): &()) -> Option<ServerRole> {
        None
    }

    fn ticket(&self, (): &()) -> Option<Vec<u8>> {
        None
    }

    fn errand_ticket(&self, errand: &Never) -> Vec<u8> {
        match *errand {}
    }

    fn deliver(&self, errand: Never, _tls: TlsStart) -> Never {
        errand
    }

    fn url_parameter(_name: &str, _value: &str) -> UrlParameter {
        UrlParameter::Unknown
    }

    /// No two clients of an unknown protocol agree on a variable, so these are ours.
    fn directions(access: &Access<'_>) -> Result<Directions, String> {
        let env = match access.at {
            At::Tcp { host, port } => {
                vec![("ATTACHE_HOST", host.to_owned()), ("ATTACHE_PORT", port.to_string())]
            }
            At::Unix(path) => vec![("ATTACHE_SOCKET", path.to_owned())],
        };
        Ok(Directions { env, ..Directions::default() })
    }
}

impl Machine for Accept {
    type Output = Opening<(), Never>;

    fn step(&mut self, _turn: &mut Turn<'_>) -> Result<Step<Self::Output>, Fault> {
        Ok(Step::Done(Opening::Session(())))
    }

    fn limit(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use attache_wire::Refusal;
    use attache_wire::testing::run_every_split;

    use super::*;

    #[test]
    fn whoever_connects_gets_a_session_and_keeps_every_byte() {
        let run = run_every_split(|| Accept, &[b"GET / HTTP/1.1\r\n\r\n"], None);
        assert_eq!(run.end, Ok(Some(Opening::Session(()))));
        assert_eq!(run.unread, b"GET / HTTP/1.1\r\n\r\n");
        assert!(run.output.is_empty());
    }

    #[test]
    fn nothing_is_ever_said_in_an_unknown_protocol() {
        let mut out = BytesMut::new();
        let notice = Notice { refusal: Refusal::Unavailable, cause: "gone", hint: "", session: "a1" };
        Tcp.refuse(&notice, Moment::Opening, &mut out);
        Tcp.welcome(&(), (), &mut out);
        Tcp.farewell(&mut out);
        assert!(out.is_empty());
    }
}
