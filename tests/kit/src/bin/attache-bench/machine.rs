//! What the figures were measured on, and whether it was quiet.

use std::fmt;
use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The kernel counts processor time in hundredths of a second, on every architecture.
pub(crate) const TICKS_PER_SECOND: f64 = 100.0;
/// Files beside those of idle sessions, in any one process.
const OTHER_FILES: u64 = 500;

/// The machine at one moment.
pub(crate) struct Machine {
    load: String,
    clock: Clock,
}

/// Processor time of all cores since the machine started, in ticks.
struct Clock {
    all: u64,
    /// Time that the host gave to somebody else.
    stolen: u64,
}

impl Machine {
    pub(crate) fn look() -> Machine {
        let load = read("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" ");
        Machine { load, clock: Clock::read() }
    }

    /// One line about the time since then.
    pub(crate) fn since(&self) -> String {
        let now = Machine::look();
        let all = now.clock.all.saturating_sub(self.clock.all).max(1);
        let stolen = now.clock.stolen.saturating_sub(self.clock.stolen);
        format!("load at the end {}; stolen by the host {:.1} %", now.load, percent(stolen, all))
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let kernel = read("/proc/sys/kernel/osrelease");
        write!(f, "{cores} cores, Linux {}, load at the start {}", kernel.trim(), self.load)
    }
}

impl Clock {
    fn read() -> Clock {
        const STOLEN: usize = 7;
        // Guest time, which follows, is contained in user time.
        const FIELDS: usize = 8;
        let text = read("/proc/stat");
        let line = text.lines().next().unwrap_or_default();
        let ticks: Vec<u64> =
            line.split_whitespace().skip(1).take(FIELDS).filter_map(|word| word.parse().ok()).collect();
        Clock { all: ticks.iter().sum(), stolen: ticks.get(STOLEN).copied().unwrap_or_default() }
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole as f64
}

/// Processor time that a process has used, in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

impl Spent {
    pub(crate) fn by(pid: u32) -> Spent {
        const USER: usize = 11;
        let stat = read(&format!("/proc/{pid}/stat"));
        // The name in parentheses may hold anything; behind it come plain numbers.
        let (_, behind) = stat.rsplit_once(')').expect("the process is running");
        let mut fields = behind.split_whitespace().skip(USER).filter_map(|field| field.parse().ok());
        let mut next = || fields.next().unwrap_or(0.0) / TICKS_PER_SECOND;
        Spent { user: next(), system: next() }
    }

    pub(crate) fn since(self, earlier: Spent) -> Spent {
        Spent { user: self.user - earlier.user, system: self.system - earlier.system }
    }
}

/// A proxy holds two sockets a session. The limit is inherited by all that is started here; peers that do not
/// raise it by themselves would refuse sessions otherwise.
pub(crate) fn allow_many_files(sessions: usize) {
    let needed = 2 * sessions as u64 + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    assert!(
        limit.maximum.is_none_or(|most| most >= needed),
        "{sessions} idle sessions need {needed} open files, and the hard limit is lower: try a smaller --idle"
    );
    let raised = Rlimit { current: Some(limit.current.unwrap_or(needed).max(needed)), ..limit };
    setrlimit(Resource::Nofile, raised).expect("a limit may be raised up to the hard limit");
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}
