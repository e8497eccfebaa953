//! A client's way in: our greeting, its answer, and one more question where its method needs one.
//!
//! Whoever it says it is, and however it proves it, it is let in: what it may do is decided by the login that follows
//! on the other side. That it is let in is said later, when the server has said so.

use attache_wire::{Fault, Machine, Never, Nonce, Opening, Step, Turn};
use bytes::BytesMut;

use crate::answer::{self, Verdict};
use crate::arrival::Arrival;
use crate::exchange::{Exchange, MAX_RESPONSE_LEN};
use crate::hello::Hello;
use crate::intent::Intent;
use crate::offer::Offer;
use crate::options::Options;

/// Greets a client and hears what it wants.
#[derive(Debug)]
pub struct Accept {
    offer: Offer,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The greeting waits to be written.
    Silent(BytesMut),
    Greeted(Exchange),
}

impl Accept {
    pub(crate) fn new(hello: &Hello, options: &Options, nonce: Nonce) -> Self {
        let offer = Offer::new(hello, options.allow_local_infile, nonce);
        let mut greeting = BytesMut::new();
        offer.put(hello, &mut greeting);
        Self { offer, state: State::Silent(greeting) }
    }
}

impl Machine for Accept {
    type Output = Opening<Intent, Never>;

    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Step<Self::Output>, Fault> {
        let offer = self.offer;
        loop {
            match &mut self.state {
                State::Silent(greeting) => {
                    turn.output.extend_from_slice(greeting);
                    self.state = State::Greeted(Exchange::First(1));
                }
                State::Greeted(exchange) => {
                    let step = exchange.step(turn, &offer.nonce, |payload| read(payload, &offer))?;
                    return Ok(match step {
                        Step::Read => Step::Read,
                        Step::StartTls => Step::StartTls,
                        Step::Done(intent) => Step::Done(Opening::Session(intent)),
                    });
                }
            }
        }
    }

    fn limit(&self) -> usize {
        MAX_RESPONSE_LEN
    }
}

fn read(payload: &[u8], offer: &Offer) -> Result<(Intent, Verdict), Fault> {
    let Arrival { intent, plugin, answer } = Arrival::parse(payload, offer.capabilities)?;
    let verdict = answer::first(plugin, answer, offer.plugin, offer.plugin);
    Ok((Intent { offered: Some(offer.plugin), told: offer.connection_id, ..intent }, verdict))
}
