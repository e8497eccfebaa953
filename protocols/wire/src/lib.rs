//! The contract between wire protocols and the house.
//!
//! A protocol crate turns bytes into bytes. It never sees a socket, a file, a clock, a source of
//! randomness or a runtime; whatever it needs of them is handed in. Read [`machine`] first (what a
//! handshake is), then [`protocol`] (what a protocol offers), then the crate `attache-tcp`, which
//! is the smallest implementation of both.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`machine`] | [`Machine`], [`Turn`], [`Step`]: one side of one exchange |
//! | [`fault`] | [`Fault`]: everything that can go wrong inside a machine |
//! | [`protocol`] | [`Protocol`]: what a route is built from |
//! | [`features`], [`never`] | [`Features`]: what holds for every route of it; [`Never`]: what it does not have |
//! | [`options`] | what its settings are made of |
//! | [`access`] | what a URL means, and how clients find a listener |
//! | [`credential`] | [`Credential`], [`Secret`]: what is injected |
//! | [`mark`] | [`Marker`], [`Mark`]: how equal contents are known again |
//! | [`refusal`] | [`Refusal`], [`Notice`]: what a client may be told |
//! | [`watch`] | [`Watch`]: frame boundaries, the quiet point and pauses, while bytes are copied |
//! | [`sentinel`] | [`Report`]: which servers there are, where others know it |
//! | [`scram`] | the client side of RFC 5802 and RFC 7677 |
//! | [`testing`] | drivers for machines and watches in tests: every split point, no sockets |

pub mod access;
pub mod credential;
pub mod fault;
pub mod features;
pub mod machine;
pub mod mark;
pub mod never;
pub mod options;
pub mod protocol;
pub mod refusal;
pub mod scram;
pub mod sentinel;
pub mod testing;
pub mod watch;

pub use access::{Access, At, Directions, TlsWish, UrlParameter};
pub use credential::{Credential, Secret};
pub use fault::{Fault, Insecure, Rejection, RejectionKind};
pub use features::{Features, Keeps, Scheme};
pub use machine::{Boxed, Machine, Step, TlsFacts, Turn};
pub use mark::{Mark, Marker};
pub use never::Never;
pub use options::Text;
pub use protocol::{Chance, Nonce, Opening, Ping, Protocol, ServerRole, Shared, Terms, TlsStart, Verdict};
pub use refusal::{Moment, Notice, Refusal};
pub use sentinel::{Address, Approach, Report};
pub use watch::{Passage, Relay, Watch};
