//! Any stream of commands, cut anywhere, is answered through Attaché as it is directly, octet by octet.
//!
//! Each stream has a seed of its own, printed when it fails; the same environment variable starts with that one.
//! `ATTACHE_CHECK_SECONDS` goes on for longer.

use std::io::{self, Write};
use std::thread;
use std::time::Instant;

use attache_kit::chance::{self, Chance, SEED, seed};
use attache_kit::{House, SOON, eventually};

use crate::house::Clients;
use crate::raw::{Broken, Raw};
use crate::servers::Db;
use crate::streams::{Asked, Manners, Stream, normal};

/// To each server, in each manner.
const STREAMS: u64 = 25;
const COMMANDS: usize = 400;

#[test]
fn a_stream_is_answered_through_attache_as_it_is_directly() {
    for db in [Db::own(), Db::valkey()].into_iter().flatten() {
        let bench = Bench::new(&db);
        each_seed(|seed| {
            let [directly, through] = bench.answers(seed, Manners::Careful);
            assert!(directly == through, "{}: {}", db.name, difference(seed, &directly, &through));
        });
    }
}

/// Where replies cannot be counted any more, a login or a refused command ends the session with an error.
#[test]
fn a_stream_that_cannot_be_followed_is_answered_so_too_or_ends() {
    const ENDED: &[u8] = b"-ERR attache: ";
    for db in [Db::own(), Db::valkey()].into_iter().flatten() {
        let bench = Bench::new(&db);
        let mut ended = 0;
        each_seed(|seed| {
            let [directly, mut through] = bench.answers(seed, Manners::Wild);
            let last = through.windows(ENDED.len()).rposition(|window| window == ENDED);
            let last = last.filter(|at| through[*at..].iter().filter(|octet| **octet == b'\n').count() == 1);
            if let Some(at) = last {
                ended += 1;
                through.truncate(at);
            }
            let alike = directly == through || last.is_some() && directly.starts_with(&through);
            assert!(alike, "{}: {}", db.name, difference(seed, &directly, &through));
        });
        let _ = writeln!(io::stderr(), "{}: {ended} streams were ended", db.name);
    }
}

/// All seeds from the first on.
fn each_seed(mut check: impl FnMut(u64)) {
    let first = seed();
    let (began, least) = (Instant::now(), chance::time(0));
    for number in 0.. {
        if number >= STREAMS && began.elapsed() >= least {
            return;
        }
        check(first.wrapping_add(number));
    }
}

/// A server, and Attaché in front of it.
struct Bench<'a> {
    db: &'a Db,
    house: House,
}

impl<'a> Bench<'a> {
    /// Here anybody may do everything: a server closes the connection of whom RESET has logged out and who is still owed
    /// more than some replies (`closeClientOnOutputBufferLimitReached` in `networking.c`).
    fn new(db: &'a Db) -> Bench<'a> {
        db.server.command(&["ACL", "SETUSER", "default", "on", "nopass", "~*", "&*", "+@all"]);
        Bench { db, house: db.route().start() }
    }

    /// Directly, and through Attaché.
    fn answers(&self, seed: u64, manners: Manners) -> [Vec<u8>; 2] {
        let mut chance = Chance::new(seed);
        let len = 1 + chance.below(COMMANDS);
        let stream = Stream::new(&mut chance, len, manners);
        [Asked::Directly, Asked::ThroughAttache].map(|asked| {
            self.clear();
            let session = match asked {
                Asked::Directly => Raw::direct(self.db.server.addr()),
                Asked::ThroughAttache => self.house.raw(),
            };
            session.patience(SOON);
            match said_to(session, &stream.octets(asked), &stream.end, &mut chance) {
                Ok(answers) => normal(&answers),
                Err(Broken { rest, .. }) if said_last_words(&rest) => normal(&rest),
                Err(Broken { error, rest }) => {
                    let last = rest[rest.len().saturating_sub(300)..].escape_ascii();
                    panic!("{SEED}={seed}, {asked:?}: {error} after {} octets: {last}", rest.len());
                }
            }
        })
    }

    /// What an earlier stream left behind, as soon as the server has noticed that its client is gone.
    fn clear(&self) {
        let mut admin = Raw::direct(self.db.server.addr());
        eventually("former subscribers to be gone", SOON, || {
            let questions =
                [&["PUBSUB", "CHANNELS"][..], &["PUBSUB", "SHARDCHANNELS"], &["PUBSUB", "NUMPAT"]];
            let said: String = questions.into_iter().map(|question| admin.ask(question)).collect();
            (said == "*0\r\n*0\r\n:0\r\n").then_some(())
        });
        for words in [&["FLUSHALL"][..], &["SCRIPT", "FLUSH", "SYNC"]] {
            assert_eq!(admin.ask(words), "+OK\r\n");
        }
    }
}

/// Whether it is over, although the server that closed has not read everything: then TCP ends by a reset.
fn said_last_words(answers: &[u8]) -> bool {
    let last = answers[..answers.len().saturating_sub(2)].rsplit(|octet| *octet == b'\n').next();
    last.is_some_and(|line| line.starts_with(b"-ERR Protocol error"))
}

/// Everything that is answered until the server ends the connection. The end is sent whole: a server that has read half
/// of it and closes could take back what it has said.
fn said_to(mut session: Raw, octets: &[u8], end: &[u8], chance: &mut Chance) -> Result<Vec<u8>, Broken> {
    let mut writer = session.writer();
    let most = chance.pick(&[8, 100, 3_000, 100_000]);
    let mut cuts = chance.of("cuts");
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut rest = octets;
            while !rest.is_empty() {
                let (piece, others) = rest.split_at(rest.len().min(1 + cuts.below(most)));
                // A session that was ended takes no more.
                if writer.write_all(piece).is_err() {
                    return;
                }
                rest = others;
            }
            let _ = writer.write_all(end);
        });
        session.rest()
    })
}

/// Where two answers to the stream of this seed part.
pub fn difference(seed: u64, directly: &[u8], through: &[u8]) -> String {
    const AROUND: usize = 300;
    let differ = directly.iter().zip(through).position(|(one, other)| one != other);
    let at = differ.unwrap_or(directly.len().min(through.len()));
    let near = |bytes: &[u8]| {
        bytes[at.saturating_sub(AROUND)..bytes.len().min(at + AROUND)].escape_ascii().to_string()
    };
    format!(
        "{SEED}={seed}: the answers differ at {at} of {} and {}:\n{}\n\n{}",
        directly.len(),
        through.len(),
        near(directly),
        near(through)
    )
}
