//! Whoever takes more than his share: too many, too slow, too quiet, too greedy, or not invited.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod crowd;
mod descriptors;
mod greedy;
mod house;
mod sessions;
mod socket;
