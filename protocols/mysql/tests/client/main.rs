//! The client's side: its way in, what is known of its session, and a change of user.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod accept;
mod guard;
mod pool;
mod reopen;
mod support;
mod transcripts;
mod watch;
