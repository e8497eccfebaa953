//! What is known of a session while its bytes are copied.
//!
//! A watch sees every byte once, in order, before it is passed on, and looks at frame headers only: bodies are
//! skipped, never assembled, and nothing is changed, except that a frame which a route does not allow may be replaced by
//! one that the server refuses. What it can do besides is to stop: the relay pauses before a frame
//! that carries a login of the client's, and the protocol's machines take its place
//! ([`Protocol::reopen`](crate::Protocol::reopen)).

use bytes::Bytes;

use crate::fault::Fault;

/// How the bytes of a session are carried after login.
pub enum Relay<W> {
    /// As they are; nothing is known of them.
    Opaque,
    /// As they are, with a look at the frame headers.
    Watched(Box<W>),
}

/// What becomes of bytes that came from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// All of them are passed on.
    All,
    /// This many octets are passed on. What follows is too little to tell what it is: it is shown again, in front of
    /// what comes behind it, and dropped if nothing comes.
    Hold(usize),
    /// This many octets are passed on. What follows is not for the server as it is: the relay pauses there, and
    /// shows it to the watch again if anything is left of it after the pause.
    Until(usize),
    /// So many octets are passed on, and so many behind them are not: what [`Watch::in_place`] gives goes to the server
    /// instead. What follows is shown to the watch at once.
    Instead { passed: usize, dropped: usize },
    /// This many octets are passed on. What follows is the client's goodbye, at a moment when nothing is outstanding:
    /// the server need not hear it. Only of a watch that was told that its link [may be
    /// kept](Watch::may_be_kept).
    Bye(usize),
}

/// Keeps track of frame boundaries and of what is outstanding.
#[expect(clippy::wrong_self_convention, reason = "`from` names a direction here, not a conversion")]
pub trait Watch: Send + 'static {
    /// These bytes are about to go from the client to the server.
    ///
    /// # Errors
    /// The client broke a rule that has to be kept here. None of these bytes is passed on.
    fn from_client(&mut self, bytes: &[u8]) -> Result<Passage, Fault>;

    /// These bytes are about to go from the server to the client.
    ///
    /// # Errors
    /// The server broke a rule that has to be kept here. None of these bytes is passed on.
    fn from_server(&mut self, bytes: &[u8]) -> Result<(), Fault>;

    /// What goes to the server in place of what was just dropped: one frame for one frame, so that replies keep their
    /// order without anybody counting them.
    fn in_place(&mut self) -> Bytes {
        Bytes::new()
    }

    /// Whether a refusal may be appended to what the client was sent so far: the server's last frame
    /// is complete and neither side has said its last word yet.
    fn may_speak(&self) -> bool;

    /// Whether the session could end now without losing anything that the client waits for: no reply
    /// outstanding, no transaction, no half-sent frame in either direction. Doubt answers `false`.
    fn quiet(&self) -> bool;

    /// Whether the session is known to hold something that would be lost with it and that its client would not notice
    /// or could not make again: a subscription. What hides in statements is not known.
    fn holds_state(&self) -> bool {
        false
    }

    /// Whether the server has answered everything that was passed on to it, and nothing is half-sent. A relay that
    /// pauses waits for this, so that what happens in the pause cannot overtake a reply.
    fn answered(&self) -> bool;

    /// Whether a login could be put in between now, unseen by the client, where the protocol
    /// [renews](crate::Protocol::RENEWS). There every [quiet](Self::quiet) moment is one, until the client says goodbye.
    /// Doubt answers `false`.
    fn takes_a_login(&self) -> bool {
        false
    }

    /// From now on, or no longer, the relay pauses in front of the client's next frame wherever the session would
    /// [take a login](Self::takes_a_login) once everything before it is answered.
    fn make_room(&mut self, wanted: bool) {
        let _ = wanted;
    }

    /// Whether the client has announced that it is leaving, so that the server closing is no failure.
    fn client_left(&self) -> bool;

    /// The link to the server may serve another client after this one: from now on, whatever a reset will have to
    /// know is kept in mind.
    fn may_be_kept(&mut self) {}

    /// Whether the link to the server could be reset now: the session is quiet, and the server thinks that it goes
    /// on. Doubt answers `false`.
    fn reusable(&self) -> bool {
        false
    }

    /// Whether the server has shown since this was asked last that its role may be another than it was: it refused to
    /// write, or said so. A hint, that a client could bring about by itself.
    fn role_doubted(&mut self) -> bool {
        false
    }

    /// The number that the next frame to the client bears, in protocols that number them.
    fn next_number(&self) -> u8 {
        0
    }
}
