//! The only room that opens sockets.
//!
//! [`listen`] takes clients in, [`dial`] reaches servers, [`tls`] protects the way there by [`authorities`], [`link`]
//! drives a protocol machine over a stream, [`relay`] copies once the machines are done.

pub mod authorities;
pub mod dial;
pub mod link;
pub mod listen;
mod pump;
pub mod relay;
pub mod resolve;
mod socket;
pub mod stream;
pub mod tls;
