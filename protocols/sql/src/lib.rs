//! SQL, as far as that takes to tell words from texts and comments: for routes that only read, whose statements are
//! searched for ways to write.
//!
//! What this crate does not do: parse. It knows no grammar, no server and no setting; the protocols that use it say how
//! their SQL is written ([`Dialect`]), and which words they mind ([`Statement`]).
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`dialect`] | how SQL is written on one kind of server |
//! | [`lexer`] | a text as tokens |
//! | `escapes` | what stands in quotes, as the server understands it |
//! | `letters` | letters of which a part looks like something else |
//! | [`search`] | what of a text is minded, in each way that a server may read it |

pub mod dialect;
mod escapes;
mod letters;
pub mod lexer;
pub mod search;

pub use dialect::{Comments, Dialect, Dollars, Escapes, Foreign, Holds, Prefix, Quote};
pub use lexer::{Lexer, Token};
pub use search::{MAX_CHECKED_LEN, Search, Statement, finding};
