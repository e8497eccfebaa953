//! The server's side: logins, once and again, to servers of all kinds.
#![allow(clippy::unwrap_used)]

mod support;

mod auth;
mod hello;
mod hostile;
mod login;
mod relogin;
mod reset;
mod role;
mod transcripts;
