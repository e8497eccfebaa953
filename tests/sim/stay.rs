//! Who was there when, as clients know it: from the connection to its end.

use tokio::time::Instant;

/// One connection of a client.
#[derive(Debug, Clone, Copy)]
pub struct Stay {
    pub client: usize,
    /// The number of its session.
    pub session: u64,
    pub began: Instant,
    /// When its session had answered for the first time.
    pub served: Option<Instant>,
    /// When the client had done with it.
    pub ended: Option<Instant>,
}

impl Stay {
    pub fn is_over(&self, at: Instant) -> bool {
        self.ended.is_some_and(|ended| ended <= at)
    }

    /// Whether it certainly was a session then.
    pub fn is_session(&self, at: Instant) -> bool {
        self.served.is_some_and(|served| served < at) && !self.is_over(at)
    }
}

/// All of them, in the order in which they came.
#[derive(Debug, Default)]
pub struct Stays(Vec<Stay>);

impl Stays {
    pub fn all(&self) -> &[Stay] {
        &self.0
    }

    /// How many of this client there have been.
    pub fn of(&self, client: usize) -> u64 {
        self.0.iter().filter(|stay| stay.client == client).count() as u64
    }

    pub fn is_over(&self, session: u64) -> bool {
        let stay = self.0.iter().rev().find(|stay| stay.session == session);
        stay.is_some_and(|stay| stay.ended.is_some())
    }

    pub fn begin(&mut self, client: usize, session: u64) {
        self.0.push(Stay { client, session, began: Instant::now(), served: None, ended: None });
    }

    pub fn is_served(&mut self, client: usize) {
        if let Some(stay) = self.last(client) {
            stay.served.get_or_insert_with(Instant::now);
        }
    }

    pub fn end(&mut self, client: usize) {
        if let Some(stay) = self.last(client) {
            stay.ended.get_or_insert_with(Instant::now);
        }
    }

    fn last(&mut self, client: usize) -> Option<&mut Stay> {
        self.0.iter_mut().rev().find(|stay| stay.client == client)
    }
}
