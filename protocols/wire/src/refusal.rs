//! What a client may be told: a closed list, and nothing else.
//!
//! Addresses of servers, names of files and secrets have no place in it. How a refusal looks on the
//! wire is the protocol's business ([`Protocol::refuse`](crate::Protocol::refuse)).

/// Why a client is turned away, or its session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No server could be reached, or it went away.
    Unavailable,
    /// Something took longer than the route allows.
    TimedOut,
    /// The route has no usable credential yet.
    NoCredential,
    /// The server does not accept the route's credential.
    LoginRejected,
    /// The link to the server would not have been safe.
    Insecure,
    /// The route or the process serves as many sessions as it may.
    TooManySessions,
    /// This client may not use the route, or asks for what the route does not allow.
    NotAllowed,
    /// The client or the server broke the protocol.
    ProtocolViolation,
    /// The client asks for a part of the protocol that is not spoken here.
    Unsupported,
    /// Attaché is being stopped, and nothing of the session is outstanding or the deadline is over.
    ShuttingDown,
}

/// One refusal as it is told to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice<'a> {
    /// Which of the closed list.
    pub refusal: Refusal,
    /// The cause in a few words: lower case, no addresses, no file names.
    pub cause: &'a str,
    /// What the reader can do about it, or an empty string.
    pub hint: &'a str,
    /// The session's id, which the log carries too.
    pub session: &'a str,
}

/// At which point a client is told; in some protocols a refusal looks different at each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment<'a, I> {
    /// Nobody has said anything yet, on a protocol where the server speaks first.
    Silence,
    /// What the client wants has not been understood.
    Opening,
    /// The client has said what it wants, and waits for its welcome.
    Waiting(&'a I),
    /// Within the session: the number that the next frame to the client bears
    /// ([`Watch::next_number`](crate::Watch::next_number)).
    Session(u8),
}
