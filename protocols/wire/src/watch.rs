//! What is known of a session while its bytes are copied.
//!
//! A watch sees every byte once, in the order in which it was passed on, and looks at frame headers
//! only: bodies are skipped, never assembled, and nothing is changed.

/// How the bytes of a session are carried after login.
pub enum Relay {
    /// As they are; nothing is known of them.
    Opaque,
    /// As they are, with a look at the frame headers.
    Watched(Box<dyn Watch>),
}

/// Keeps track of frame boundaries and of what is outstanding.
#[expect(clippy::wrong_self_convention, reason = "`from` names a direction here, not a conversion")]
pub trait Watch: Send {
    /// These bytes went from the client to the server.
    fn from_client(&mut self, bytes: &[u8]);

    /// These bytes went from the server to the client.
    fn from_server(&mut self, bytes: &[u8]);

    /// Whether a refusal may be appended to what the client was sent so far: the server's last frame
    /// is complete and neither side has said its last word yet.
    fn may_speak(&self) -> bool;

    /// Whether the session could end now without losing anything that the client waits for: no reply
    /// outstanding, no transaction, no half-sent frame in either direction. Doubt answers `false`.
    fn quiet(&self) -> bool;

    /// Whether the client has announced that it is leaving, so that the server closing is no failure.
    fn client_left(&self) -> bool;
}
