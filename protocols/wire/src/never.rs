//! The type of what a protocol does not have.

use crate::fault::Fault;
use crate::machine::{Machine, Step, Turn};
use crate::watch::{Passage, Watch};

/// What a protocol does not have: no value of this type exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Never {}

impl Machine for Never {
    type Output = ();

    fn step(&mut self, _turn: &mut Turn<'_>) -> Result<Step<()>, Fault> {
        match *self {}
    }

    fn limit(&self) -> usize {
        match *self {}
    }
}

impl Watch for Never {
    fn from_client(&mut self, _bytes: &[u8]) -> Result<Passage, Fault> {
        match *self {}
    }

    fn from_server(&mut self, _bytes: &[u8]) -> Result<(), Fault> {
        match *self {}
    }

    fn may_speak(&self) -> bool {
        match *self {}
    }

    fn quiet(&self) -> bool {
        match *self {}
    }

    fn answered(&self) -> bool {
        match *self {}
    }

    fn client_left(&self) -> bool {
        match *self {}
    }
}
