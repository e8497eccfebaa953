//! Why a session, a probe or a check failed: stage, side, cause.
//!
//! One closed list of causes serves the log, the status page, the metrics and the `check` command, so
//! that an operator meets the same name everywhere. What a client is told is decided elsewhere.

use std::fmt;
use std::io;
use std::time::Duration;

use attache_wire::{Fault, Insecure, RejectionKind};

/// How far a session had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Reading the client's first words.
    Accept,
    /// Finding the addresses of an endpoint.
    Resolve,
    /// Connecting to an address.
    Dial,
    /// The TLS handshake with the server.
    Tls,
    /// Logging in.
    Login,
    /// Telling the client that it is logged in.
    Welcome,
    /// Copying.
    Relay,
}

impl Stage {
    pub const ALL: [Self; 7] =
        [Self::Accept, Self::Resolve, Self::Dial, Self::Tls, Self::Login, Self::Welcome, Self::Relay];

    pub fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Resolve => "resolve",
            Self::Dial => "dial",
            Self::Tls => "tls",
            Self::Login => "login",
            Self::Welcome => "welcome",
            Self::Relay => "relay",
        }
    }
}

/// On whose side of a session something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Client,
    Upstream,
    Attache,
}

impl Side {
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Attache => "attache",
        }
    }
}

/// Something went wrong: where, on whose side, and what.
#[derive(Debug, Clone)]
pub struct Failure {
    pub stage: Stage,
    pub side: Side,
    pub trouble: Trouble,
}

impl Failure {
    pub fn new(stage: Stage, side: Side, trouble: impl Into<Trouble>) -> Self {
        Self { stage, side, trouble: trouble.into() }
    }

    pub fn cause(&self) -> Cause {
        self.trouble.cause
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.stage.name(), self.side.name(), self.trouble)
    }
}

/// Why the process could not start.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {error}")]
pub struct StartError {
    what: String,
    error: io::Error,
}

impl StartError {
    pub fn new(what: impl Into<String>, error: io::Error) -> Self {
        Self { what: what.into(), error }
    }
}

/// A cause, with what is known beyond its name.
#[derive(Debug, Clone)]
pub struct Trouble {
    pub cause: Cause,
    /// For the operator: what was tried, on what, what came instead.
    pub detail: String,
    /// What the protocol machine said, where it was one that gave up.
    pub fault: Option<Fault>,
}

impl Trouble {
    pub fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Self { cause, detail: detail.into(), fault: None }
    }

    /// Something took longer than it may.
    pub fn overdue(cause: Cause, limit: Duration) -> Self {
        Self::new(cause, format!("not done within {limit:?}"))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.detail.as_str() {
            "" => f.write_str(self.cause.name()),
            detail => write!(f, "{}: {detail}", self.cause.name()),
        }
    }
}

impl From<Cause> for Trouble {
    fn from(cause: Cause) -> Self {
        Self::new(cause, "")
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        let cause = match error.kind() {
            io::ErrorKind::UnexpectedEof => Cause::Closed,
            io::ErrorKind::TimedOut => Cause::TimedOut,
            _ => Cause::Reset,
        };
        Self::new(cause, error.to_string())
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        let (cause, detail) = match &fault {
            Fault::Malformed(rule) => (Cause::Malformed, (*rule).to_owned()),
            Fault::Unsupported(what) => (Cause::Unsupported, (*what).to_owned()),
            Fault::TooLong(limit) => (Cause::TooLong, format!("more than {limit} octets")),
            Fault::EarlyData => (Cause::EarlyData, String::new()),
            Fault::Insecure(insecure) => (insecure_cause(*insecure), String::new()),
            Fault::Incomplete(what) => (Cause::CredentialIncomplete, (*what).to_owned()),
            Fault::Rejected(rejection) => {
                let cause = match rejection.kind {
                    RejectionKind::Credential => Cause::CredentialRejected,
                    RejectionKind::NotNow => Cause::ServerNotReady,
                    RejectionKind::Other => Cause::ServerRefused,
                };
                (cause, format!("{} {}", rejection.code, rejection.message))
            }
        };
        Self { cause, detail, fault: Some(fault) }
    }
}

fn insecure_cause(insecure: Insecure) -> Cause {
    match insecure {
        Insecure::TlsDeclined => Cause::TlsDeclined,
        Insecure::CleartextPassword | Insecure::WeakHash => Cause::CleartextRefused,
        Insecure::NoChannelBinding => Cause::ChannelBindingMissing,
        Insecure::ServerSignature => Cause::ServerSignatureWrong,
    }
}

/// Whether things can go on after a cause, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// Nobody was reached at all: nobody who could have heard a password.
    OutOfReach,
    /// Somebody was reached who could not go on just now.
    Passing,
    /// Which server is to be used is not known just now.
    Unsettled,
    /// Another generation of the credential may do.
    Rejected,
    /// The same would come of it again.
    Lasting,
    /// Nothing is wrong: somebody has ordered it, or the client has gone by itself.
    Intended,
}

/// Declares the causes once: nature, name, and what an operator should look at.
macro_rules! causes {
    ($($variant:ident $nature:ident $name:literal $advice:literal),+ $(,)?) => {
        /// The closed list of causes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Cause { $(#[doc = $advice] $variant),+ }

        impl Cause {
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in log, status, metrics and `check`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The likely reason and what to do about it, for an operator.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice),+ }
            }

            pub fn nature(self) -> Nature {
                match self { $(Self::$variant => Nature::$nature),+ }
            }
        }
    };
}

causes! {
    NameNotFound OutOfReach "name_not_found" "the name does not exist for this resolver: check its spelling, the search list in /etc/resolv.conf, and whether a VPN is off",
    NameServerFailed OutOfReach "name_server_failed" "the name server answered with a failure: check the cluster's DNS and the forwarder behind it",
    NameServerSilent OutOfReach "name_server_silent" "no name server answered: check /etc/resolv.conf and whether a NetworkPolicy lets UDP and TCP 53 out",
    ConnectRefused OutOfReach "connect_refused" "nothing listens on that port: check the port and whether the server runs",
    ConnectTimedOut OutOfReach "connect_timed_out" "no answer to the connection: a firewall, a NetworkPolicy or a security group may drop it, or a VPN is off",
    Unreachable OutOfReach "unreachable" "there is no way to that address: check routes, VPN and the address family",
    Reset Passing "reset" "the connection was cut: look into the server's log for the same time",
    Closed Passing "closed" "the other side closed the connection in the middle: look into its log for the same time",
    TimedOut Passing "timed_out" "the other side took too long: it may be overloaded, speak another protocol, or have no TLS on this port, or something on the path swallows the bytes",
    TlsDeclined Lasting "tls_declined" "the server has no TLS on this port: switch TLS on there, or set tls.mode: off where the network is trusted",
    TlsFailed Lasting "tls_failed" "the TLS handshake failed: check TLS versions, and whether this port expects TLS at once (tls.negotiation: direct)",
    TlsAlert Lasting "tls_alert" "the server refused the TLS handshake: it may ask for a client certificate, or for another one",
    CertificateUnknownAuthority Lasting "certificate_unknown_authority" "the server's certificate is not signed by a trusted authority: set tls.ca to the authority of the database",
    CertificateWrongName Lasting "certificate_wrong_name" "the server's certificate is for another name: use that name as the endpoint, or set tls.server_name",
    CertificateExpired Lasting "certificate_expired" "the server's certificate has expired: renew it, or check this machine's clock",
    CertificateNotYetValid Lasting "certificate_not_yet_valid" "the server's certificate is not valid yet: check the clocks of both machines",
    CertificateInvalid Lasting "certificate_invalid" "the server's certificate cannot be used: look at it with openssl s_client",
    TlsSetup Lasting "tls_setup" "the route's TLS settings or files cannot be used: check tls.ca, tls.server_name, tls.crt and tls.key",
    EarlyData Lasting "early_data" "plain bytes came where TLS had to start: someone on the path may be injecting them",
    CleartextRefused Lasting "cleartext_refused" "the server wants the password unprotected over an unencrypted link: use TLS, or a login that hides it (SCRAM), or set allow_cleartext: true",
    ChannelBindingMissing Lasting "channel_binding_missing" "channel binding is required and the server cannot do it: use SCRAM over TLS, or channel_binding: prefer",
    ServerSignatureWrong Lasting "server_signature_wrong" "the server could not prove that it knows the password: it is not the server that was meant",
    CredentialMissing Lasting "credential_missing" "no usable credential is mounted: check the Secret, the mount path and its keys",
    CredentialIncomplete Lasting "credential_incomplete" "the credential lacks what the server asks for: check the keys of the Secret",
    CredentialRejected Rejected "credential_rejected" "the server does not accept the user or the password: check whether the Secret and the database were changed together",
    ServerNotReady Passing "server_not_ready" "the server is starting, stopping or recovering: it should pass",
    WrongRole Unsettled "wrong_role" "no server of the role that the route asks for could be found: check whether a failover is under way, upstream.role, and that the endpoints name every server",
    SentinelUnreachable Unsettled "sentinel_unreachable" "no Sentinel answers: check upstream.sentinel.endpoints, and what each of them fails with",
    SentinelLoginRejected Unsettled "sentinel_login_rejected" "the Sentinels do not accept the login: they have passwords and accounts of their own, see upstream.sentinel.credential",
    SentinelMasterUnknown Unsettled "sentinel_master_unknown" "the Sentinels know no servers of that name: check upstream.sentinel.master against SENTINEL MASTERS",
    SentinelOutdated Unsettled "sentinel_outdated" "this Sentinel reports an older state than another one did: it has lost touch with the others; if all were set up anew, restart Attaché",
    ServerRefused Lasting "server_refused" "the server refused the login for a reason of its own: its message says which",
    Malformed Lasting "malformed" "the other side does not speak this protocol: check the protocol and the port",
    TooLong Lasting "too_long" "the other side sent more than a login may take: check the protocol and the port",
    Unsupported Lasting "unsupported" "the other side asks for a part of the protocol that is not spoken here",
    TooManySessions Lasting "too_many_sessions" "the route serves client.max_sessions already: raise it, or look for a leak of connections",
    NotAllowed Lasting "not_allowed" "this user id may not use the route: see client.allow_uids",
    UnknownErrand Intended "unknown_errand" "a cancel request named no session of this route",
    ClientLeft Intended "client_left" "the client went away",
    ShuttingDown Intended "shutting_down" "Attaché is being stopped",
    CredentialRotated Intended "credential_rotated" "a newer generation of the credential is in use, and credential.on_rotation ends sessions of older ones",
    RouteChanged Intended "route_changed" "a reload has removed the route or changed where and how its sessions log in",
    ServerDemoted Intended "server_demoted" "the server has become a replica, and the route wants role: primary",
}

impl Cause {
    /// Whether something is wrong.
    pub fn is_trouble(self) -> bool {
        self.nature() != Nature::Intended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_fit_for_labels() {
        let mut names: Vec<_> = Cause::ALL.iter().map(|cause| cause.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Cause::ALL.len());
        assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }
}
