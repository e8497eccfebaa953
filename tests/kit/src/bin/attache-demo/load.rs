//! Clients that come again and again, and what they were told.

use std::io::{self, Write as _};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use attache_kit::tools;

pub(crate) const LOAD_SECONDS: u64 = 14;
/// Between two operations of one client: the demonstration is not a benchmark.
const PACE: Duration = Duration::from_millis(5);
/// For one operation: longer than any route waits for a password that is accepted.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client, or some, at work.
pub(crate) struct Load {
    name: &'static str,
    work: JoinHandle<Told>,
}

/// What clients were told.
#[derive(Default)]
pub(crate) struct Told {
    /// Visits that the database has confirmed.
    pub(crate) visits: u64,
    /// What was said instead.
    pub(crate) failures: Vec<String>,
}

impl Load {
    /// Clients of pgbench, which ends by itself.
    pub(crate) fn pgbench(name: &'static str, mut pgbench: Command) -> Load {
        Load::start(name, move || {
            let ended = piped(&mut pgbench).wait_with_output().expect("a child can be waited for");
            let told = String::from_utf8_lossy(&ended.stdout);
            let line =
                |start: &str| told.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_default();
            let visits = line("number of transactions actually processed: ").parse().unwrap_or_default();
            let well = ended.status.success() && line("number of failed transactions: ").starts_with("0 ");
            let failures =
                if well { vec![] } else { vec![String::from_utf8_lossy(&ended.stderr).into_owned()] };
            Told { visits, failures }
        })
    }

    /// One client that stays connected and says this all the time; it is answered by a number.
    pub(crate) fn talk(name: &'static str, mut client: Command, words: &'static str) -> Load {
        Load::start(name, move || {
            let mut child = piped(&mut client);
            let (input, mut output) = (child.stdin.take(), child.stdout.take().expect("it is piped"));
            let answers = thread::spawn(move || io::read_to_string(&mut output));
            let mut input = input.expect("it is piped");
            // A client that is gone tells why, below.
            for _ in turns().take_while(|()| writeln!(input, "{words}").is_ok()) {}
            drop(input);
            let answers = answers.join().expect("reading does not panic").unwrap_or_default();
            let ended = child.wait_with_output().expect("a child can be waited for");
            let mut told = Told::default();
            answers.lines().for_each(|line| told.hear(line));
            if !ended.status.success() {
                told.failures.push(String::from_utf8_lossy(&ended.stderr).into_owned());
            }
            told
        })
    }

    /// A client for each visit.
    pub(crate) fn repeat(name: &'static str, client: impl Fn() -> Command + Send + 'static) -> Load {
        Load::start(name, move || {
            let mut told = Told::default();
            for () in turns() {
                let ran = tools::run(&mut client(), b"", PATIENCE);
                told.hear(if ran.status.success() { ran.stdout.trim() } else { &ran.stderr });
            }
            told
        })
    }

    fn start(name: &'static str, work: impl FnOnce() -> Told + Send + 'static) -> Load {
        Load { name, work: thread::spawn(work) }
    }

    /// Waits for its end.
    pub(crate) fn finish(self) -> (&'static str, Told) {
        (self.name, self.work.join().expect("a load does not panic"))
    }
}

impl Told {
    fn hear(&mut self, answer: &str) {
        match answer.parse::<u64>() {
            Ok(_) => self.visits += 1,
            Err(_) => self.failures.push(answer.to_owned()),
        }
    }
}

/// One after the other, until the time is over.
fn turns() -> impl Iterator<Item = ()> {
    let end = Instant::now() + Duration::from_secs(LOAD_SECONDS);
    std::iter::from_fn(move || {
        thread::sleep(PACE);
        (Instant::now() < end).then_some(())
    })
}

fn piped(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("a program that is installed starts")
}
