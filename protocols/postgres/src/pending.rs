//! What a client has asked for and the server has not answered (sections "Extended Query", "Pipelining", "COPY Operations").
//!
//! One ReadyForQuery ends the answer to each batch: a Query, a FunctionCall, or all messages up to a Sync. A Sync amid the
//! data of a COPY is ignored, but answered if that COPY has failed in front of it, and where it failed nobody else can know.
//! Such a Sync gets ReadyForQuery alone, and any other batch gets more. So the two are counted apart: whatever stood in
//! front of a batch that is being answered is over.
//!
//! The counts may be too high, never too low. They are right again when the last batch that gets more is answered, unless the
//! client has mixed data and commands as no driver does. Until then the Syncs of which it is not known whether they are
//! answered are counted too: drivers that send Execute and Sync together leave one behind each COPY that fails.

/// What is outstanding.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// Batches that get more than ReadyForQuery.
    full: u64,
    /// What the last of them was.
    last: Query,
    /// Syncs that get ReadyForQuery at most.
    bare: u64,
    /// How many of these were sent behind the last full batch.
    trailing: u64,
    /// How many of those may never be answered: so many stood amid the data of a COPY that has failed.
    doubtful: u64,
    batch: Batch,
    answer: Answer,
    copy: CopyIn,
    /// Syncs amid the data, until it is known how the COPY ends.
    amid: u64,
    /// CopyDone and CopyFail that came before the server asked for any data.
    ends_ahead: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Query {
    #[default]
    Simple,
    Extended,
}

/// Whether commands were sent that a Sync has to follow.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Batch {
    #[default]
    Ended,
    Open,
}

/// What the server has said since the last ReadyForQuery.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Answer {
    #[default]
    Nothing,
    Begun,
}

/// Whether the client sends data, amid which the server ignores Sync and Flush.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum CopyIn {
    #[default]
    No,
    Simple,
    Extended,
    /// Of the extended protocol: the data has ended, and the Sync behind it is to come.
    Ended,
}

impl Pending {
    pub(crate) fn is_nothing(&self) -> bool {
        self.may_be_nothing() && self.bare == 0
    }

    /// Whether nothing is outstanding, or ReadyForQuery alone for a Sync that the server may have ignored.
    pub(crate) fn may_be_nothing(&self) -> bool {
        self.gets_nothing_more() && self.bare <= self.doubtful && self.copy == CopyIn::No
    }

    fn gets_nothing_more(&self) -> bool {
        self.full == 0 && self.batch == Batch::Ended
    }

    /// A message of the client's has gone to the server.
    pub(crate) fn asked(&mut self, tag: u8) {
        match tag {
            b'Q' | b'F' => {
                self.command();
                self.end_batch(Query::Simple);
            }
            b'S' => self.sync(),
            b'c' | b'f' => self.end_data(),
            // A Flush only hurries what comes anyway.
            b'd' | b'H' => {}
            // Parse, Bind, Describe, Execute, Close, and whatever a later version adds.
            _ => {
                self.command();
                self.batch = Batch::Open;
            }
        }
    }

    /// A message of the server's is about to go to the client.
    pub(crate) fn answered(&mut self, tag: u8) {
        match tag {
            b'Z' => return self.ready(),
            // Notices, notifications and parameters come at any time, and answer nothing.
            b'N' | b'A' | b'S' => return,
            b'G' => self.begin_copy(),
            b'C' => self.complete(),
            b'E' => self.doubt(),
            _ => {}
        }
        self.answer = Answer::Begun;
    }

    fn end_batch(&mut self, query: Query) {
        self.full += 1;
        (self.last, self.batch, self.trailing, self.doubtful) = (query, Batch::Ended, 0, 0);
    }

    fn bare(&mut self, syncs: u64) {
        self.bare += syncs;
        self.trailing += syncs;
    }

    fn sync(&mut self) {
        match self.copy {
            CopyIn::Simple | CopyIn::Extended => {
                self.amid += 1;
                return;
            }
            CopyIn::Ended => self.copy = CopyIn::No,
            CopyIn::No => {}
        }
        match self.batch {
            Batch::Open => self.end_batch(Query::Extended),
            Batch::Ended => self.bare(1),
        }
    }

    fn end_data(&mut self) {
        match self.copy {
            CopyIn::Simple => self.copy = CopyIn::No,
            CopyIn::Extended => (self.copy, self.batch) = (CopyIn::Ended, Batch::Open),
            // Where nothing could ask for data, they belong to a COPY that has already failed.
            CopyIn::No | CopyIn::Ended if self.gets_nothing_more() => {}
            CopyIn::No | CopyIn::Ended => self.ends_ahead += 1,
        }
    }

    /// A server that still took data would end the session at a command. So that COPY has failed, or the client sends on
    /// without the Sync, and the worst is assumed.
    fn command(&mut self) {
        match self.copy {
            CopyIn::No => {}
            CopyIn::Simple | CopyIn::Extended | CopyIn::Ended => self.doubt(),
        }
    }

    /// The server asks for data. Syncs that were sent together with the command are found amid the data. Where the client
    /// is further ahead, it is not known what will be, and they stay counted.
    fn begin_copy(&mut self) {
        if self.ends_ahead > 0 {
            self.ends_ahead -= 1;
            return;
        }
        (self.copy, self.amid) = match (self.full, self.last, self.batch) {
            (1, Query::Simple, Batch::Ended) => (CopyIn::Simple, self.trailing),
            // The Sync behind the Execute is one of them.
            (1, Query::Extended, Batch::Ended) => (CopyIn::Extended, self.trailing + 1),
            (0, _, Batch::Open) => (CopyIn::Extended, 0),
            (_, _, Batch::Ended | Batch::Open) => return,
        };
        // An extended COPY is only finished by a Sync behind the data.
        self.full = u64::from(self.copy == CopyIn::Simple);
        (self.bare, self.trailing, self.batch) = (0, 0, Batch::Ended);
    }

    /// A COPY that has taken all of its data has ignored every Sync amid them.
    fn complete(&mut self) {
        match self.copy {
            CopyIn::No | CopyIn::Ended => (self.copy, self.amid) = (CopyIn::No, 0),
            CopyIn::Simple | CopyIn::Extended => {}
        }
    }

    /// Syncs amid the data of a COPY that has failed may be answered. In the extended protocol the first of those, or
    /// else the next one to come, ends the batch; it is the one whose answer holds the error.
    fn doubt(&mut self) {
        let amid = std::mem::take(&mut self.amid);
        match (std::mem::take(&mut self.copy), amid.checked_sub(1)) {
            (CopyIn::No | CopyIn::Simple, _) => self.bare(amid),
            (CopyIn::Extended | CopyIn::Ended, Some(others)) => {
                self.end_batch(Query::Extended);
                self.bare(others);
            }
            (CopyIn::Extended | CopyIn::Ended, None) => self.batch = Batch::Open,
        }
        self.doubtful += amid;
    }

    fn ready(&mut self) {
        match std::mem::take(&mut self.answer) {
            Answer::Nothing if self.bare > 0 => {
                self.bare -= 1;
                self.trailing = self.trailing.min(self.bare);
                self.doubtful = self.doubtful.min(self.bare);
            }
            Answer::Nothing | Answer::Begun => {
                self.full = self.full.saturating_sub(1);
                if self.full == 0 {
                    self.bare = self.trailing;
                }
            }
        }
        // What was sent behind the Sync that is answered may still be a COPY.
        if self.gets_nothing_more() {
            self.ends_ahead = 0;
        }
    }
}
