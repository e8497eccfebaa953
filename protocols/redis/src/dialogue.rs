//! The questions of a login, asked at once and answered in order: who we are, who the server is, which database.

use std::collections::VecDeque;

use attache_wire::{Credential, Fault, RejectionKind, Terms, TlsFacts};
use bytes::BytesMut;

use crate::auth::Login;
use crate::commands::{Commands, MAX_COMMANDS_LEN};
use crate::frame::{self, Reader, Reply};
use crate::greeting::{Facts, Mode};
use crate::options::Cluster;
use crate::rejection::{kind, rejection, shows_secret};
use crate::role;

/// What is to be found out, beyond whether the login is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inquiry {
    /// Who the server is; a node of a cluster may be refused.
    Server(Cluster),
    /// Nothing: the server is known.
    Nothing,
}

/// Questions that wait for their answers.
#[derive(Debug, Default)]
pub(crate) struct Dialogue {
    open: VecDeque<Question>,
    reader: Reader,
    facts: Facts,
    commands: Option<Box<Commands>>,
}

#[derive(Debug, Clone, Copy)]
enum Question {
    Auth,
    /// HELLO without arguments changes nothing. Before version 6 servers do not know it.
    Hello,
    Ping,
    Select,
    Role,
    Commands,
}

impl Dialogue {
    /// Asks everything at once: it costs one round trip.
    pub(crate) fn begin(
        terms: &Terms,
        tls: Option<&TlsFacts>,
        database: Option<&str>,
        inquiry: Inquiry,
        out: &mut BytesMut,
    ) -> Result<Self, Fault> {
        let mut dialogue = Self::default();
        if let Some(login) = Login::of(terms, tls)? {
            login.put_auth(out);
            dialogue.open.push_back(Question::Auth);
        }
        if inquiry == Inquiry::Server(Cluster::Refuse) {
            dialogue.ask(Question::Hello, &[b"HELLO"], out);
        }
        if let Inquiry::Server(_) = inquiry {
            // Whether the server is loading, or cut off from its primary, shows in what it answers to this.
            dialogue.ask(Question::Ping, &[b"PING"], out);
        }
        if let Some(database) = database.filter(|database| !database.is_empty()) {
            dialogue.ask(Question::Select, &[b"SELECT", database.as_bytes()], out);
        }
        if terms.ask_role && inquiry != Inquiry::Nothing {
            dialogue.ask(Question::Role, &[b"ROLE"], out);
        }
        Ok(dialogue)
    }

    /// Asks also what the server's commands do.
    pub(crate) fn ask_for_commands(&mut self, out: &mut BytesMut) {
        self.reader = Reader::up_to(MAX_COMMANDS_LEN);
        self.ask(Question::Commands, &[b"COMMAND"], out);
    }

    pub(crate) fn take_commands(&mut self) -> Option<Box<Commands>> {
        self.commands.take()
    }

    fn ask(&mut self, question: Question, words: &[&[u8]], out: &mut BytesMut) {
        frame::put(out, words);
        self.open.push_back(question);
    }

    /// Takes in what is there; gives the facts once everything is answered.
    pub(crate) fn listen(
        &mut self,
        input: &mut BytesMut,
        credential: Option<&Credential>,
    ) -> Result<Option<Facts>, Fault> {
        while let Some(question) = self.open.front().copied() {
            let Some(reply) = self.reader.next(input)? else { return Ok(None) };
            if !reply.is_push() {
                self.open.pop_front();
                self.hear(question, &reply, credential)?;
            }
        }
        Ok(Some(std::mem::take(&mut self.facts)))
    }

    fn hear(
        &mut self,
        question: Question,
        reply: &Reply,
        credential: Option<&Credential>,
    ) -> Result<(), Fault> {
        if let Some(text) = reply.error() {
            return if question.must_succeed(text) { Err(rejection(text, credential)) } else { Ok(()) };
        }
        match question {
            Question::Auth | Question::Select if reply.is_status("OK") => Ok(()),
            Question::Auth | Question::Select => {
                Err(Fault::Malformed("a reply to AUTH or SELECT other than OK"))
            }
            Question::Ping => Ok(()),
            // Only a server that is up to something says the secret aloud: what it says is left out.
            Question::Hello if shows_secret(credential, &reply.bytes) => Ok(()),
            Question::Hello => self.hear_hello(reply),
            Question::Commands => {
                let commands = reply.elements().as_deref().and_then(Commands::parse);
                self.commands = Some(Box::new(commands.ok_or(NO_COMMANDS)?));
                Ok(())
            }
            Question::Role => {
                self.facts.role = reply.elements().and_then(|it| role::role_reply(&it)).or(self.facts.role);
                Ok(())
            }
        }
    }

    fn hear_hello(&mut self, reply: &Reply) -> Result<(), Fault> {
        role::hello(&reply.elements().unwrap_or_default(), &mut self.facts);
        match self.facts.mode {
            Mode::Cluster => Err(CLUSTER),
            Mode::Standalone | Mode::Unknown => Ok(()),
        }
    }
}

const NO_COMMANDS: Fault = Fault::Malformed("the reply to COMMAND is no list of commands");

const CLUSTER: Fault = Fault::Unsupported(
    "the server is a node of a cluster, which sends clients past this route to the other nodes: use a server that is \
     none, or `cluster: passthrough` in the route's options",
);

impl Question {
    /// Who may not ask, or asks a server that does not know the question, is logged in all the same.
    fn must_succeed(self, text: &[u8]) -> bool {
        match self {
            // Without its answer, nobody knows what would write.
            Self::Auth | Self::Select | Self::Commands => true,
            Self::Hello | Self::Ping | Self::Role => {
                kind(text) != RejectionKind::Other || text.starts_with(b"DENIED")
            }
        }
    }
}
