//! Who was there when, as clients know it: from the connection to its end.

use tokio::time::Instant;

/// One connection of a client.
#[derive(Debug, Clone, Copy)]
pub struct Stay {
    pub client: usize,
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

    pub fn begin(&mut self, client: usize) {
        self.0.push(Stay { client, began: Instant::now(), served: None, ended: None });
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
