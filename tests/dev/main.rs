//! `attache dev`: what a person at a terminal, a script and a test suite are promised of it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod command;
mod house;
mod mistakes;
mod password;
mod project;
mod reading;
mod readme;
mod several;
mod sockets;
mod tutorial;
mod watching;
