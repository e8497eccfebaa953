//! A client's first words may be any command, or none for hours: whoever connects wants a session.

use attache_wire::{Fault, Machine, Never, Opening, Step, Turn};

use crate::intent::Intent;

/// Leaves all that the client says to the relay.
#[derive(Debug)]
pub struct Accept;

impl Machine for Accept {
    type Output = Opening<Intent, Never>;

    fn step(&mut self, _turn: &mut Turn<'_>) -> Result<Step<Self::Output>, Fault> {
        Ok(Step::Done(Opening::Session(Intent::Session)))
    }

    fn limit(&self) -> usize {
        0
    }
}
