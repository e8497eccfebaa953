//! The client's side, until it is here.

use attache_wire::{Fault, Machine, Never, Opening, Passage, Step, Turn, Watch};

use crate::intent::Intent;

#[derive(Debug)]
pub struct Accept;

impl Machine for Accept {
    type Output = Opening<Intent, Never>;

    fn step(&mut self, _turn: &mut Turn<'_>) -> Result<Step<Self::Output>, Fault> {
        Err(Fault::Unsupported("clients"))
    }

    fn limit(&self) -> usize {
        0
    }
}

#[derive(Debug)]
pub struct SessionWatch(pub(crate) crate::relogin::Link);

impl SessionWatch {
    pub(crate) fn link(&self) -> crate::relogin::Link {
        self.0
    }
}

impl Watch for SessionWatch {
    fn from_client(&mut self, _bytes: &[u8]) -> Result<Passage, Fault> {
        Ok(Passage::All)
    }

    fn from_server(&mut self, _bytes: &[u8]) -> Result<(), Fault> {
        Ok(())
    }

    fn may_speak(&self) -> bool {
        false
    }

    fn quiet(&self) -> bool {
        false
    }

    fn answered(&self) -> bool {
        false
    }

    fn next_number(&self) -> u8 {
        0
    }

    fn client_left(&self) -> bool {
        false
    }
}

pub fn watch_of(greeting: &crate::greeting::Greeting) -> SessionWatch {
    SessionWatch(greeting.link())
}
