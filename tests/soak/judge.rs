//! Which failures the script itself made impossible to save. All others are Attaché's.
//!
//! An operation on a session whose server or network cut it cannot be saved: it may have been carried out. A new session
//! can, as long as there is a moment of calm within the route's `wait`: then it must come about, and before `wait` is over it
//! must not be given up.

use std::time::Duration;

use crate::timeline::Spell;

/// The `wait` of every route, longer than any single spell.
pub const WAIT: Duration = Duration::from_secs(30);
/// What a login may need of a calm network: the longest pause between two attempts, and a loaded machine.
pub const CALM: Duration = Duration::from_secs(6);
/// A session that was given up this much too early was given up in time.
const EARLY: Duration = Duration::from_secs(1);
/// The words that end a session whose password has changed, where the route wants that.
const ROTATED: &str = "the credential was rotated";

/// What a driver says that has not heard them: at the end as many such sessions must be in the log.
pub const UNHEARD: &str = "closed, with words that the driver did not hear";

/// An operation that failed.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub what: Kind,
    /// Since when the session was known to be well.
    pub well: Duration,
    pub from: Duration,
    pub to: Duration,
    /// What the driver said.
    pub told: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Connecting,
    /// The same where the client hears of it by the server's first answer, which a cut can take away.
    FirstAnswer,
    /// A new login on a session that lives.
    Relogin,
    Operation,
    Goodbye,
}

/// Why a failure could not be saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Excuse {
    /// Its server or network cut the session.
    Cut,
    /// Nobody could log in for as long as the route waits.
    Barred,
    /// The route ends sessions of an old password, and says so.
    Retired,
}

pub fn excuse(attempt: &Attempt, spells: &[Spell], retires: bool) -> Option<Excuse> {
    let barred = || barred(attempt, spells).then_some(Excuse::Barred);
    let lost = || cut(attempt.well, attempt.to, spells).then_some(Excuse::Cut);
    let lost_at_the_end = || cut(attempt.to, attempt.to, spells).then_some(Excuse::Cut);
    let told = |words| attempt.told.contains(words);
    let retired = || (retires && (told(ROTATED) || told(UNHEARD))).then_some(Excuse::Retired);
    match attempt.what {
        Kind::Connecting => barred(),
        Kind::FirstAnswer => lost_at_the_end().or_else(barred),
        Kind::Operation | Kind::Goodbye => lost().or_else(retired),
        Kind::Relogin => lost().or_else(retired).or_else(barred),
    }
}

fn cut(well: Duration, to: Duration, spells: &[Spell]) -> bool {
    spells.iter().any(|spell| spell.effect.cuts.is_some_and(|tail| spell.touches(well, to, tail)))
}

fn barred(attempt: &Attempt, spells: &[Spell]) -> bool {
    attempt.to - attempt.from + EARLY >= WAIT && longest_calm(attempt, spells) < CALM
}

/// The longest time between two spells that bar logins.
fn longest_calm(attempt: &Attempt, spells: &[Spell]) -> Duration {
    let mut barring: Vec<_> = spells
        .iter()
        .filter(|spell| spell.effect.bars && spell.touches(attempt.from, attempt.to, Duration::ZERO))
        .map(|spell| (spell.from, spell.until.unwrap_or(attempt.to)))
        .collect();
    barring.sort_unstable();
    barring.push((attempt.to, attempt.to));
    let mut free_since = attempt.from;
    let mut longest = Duration::ZERO;
    for (from, until) in barring {
        longest = longest.max(from.saturating_sub(free_since));
        free_since = free_since.max(until);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Effect;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn spell(from: u64, until: u64, effect: Effect) -> Spell {
        Spell { what: String::new(), from: at(from), until: Some(at(until)), effect }
    }

    fn attempt(what: Kind, well: u64, from: u64, to: u64) -> Attempt {
        Attempt { what, well: at(well), from: at(from), to: at(to), told: "ended".to_owned() }
    }

    const BARS: Effect = Effect { cuts: None, bars: true };
    const CUTS: Effect = Effect { cuts: Some(Duration::ZERO), bars: false };

    #[test]
    fn an_operation_is_excused_by_a_cut_since_its_session_was_well() {
        let cut = [spell(10, 11, CUTS)];
        assert_eq!(excuse(&attempt(Kind::Operation, 5, 12, 12), &cut, false), Some(Excuse::Cut));
        assert_eq!(excuse(&attempt(Kind::Operation, 12, 13, 13), &cut, false), None);
        assert_eq!(excuse(&attempt(Kind::Operation, 5, 5, 9), &cut, false), None);
        assert_eq!(excuse(&attempt(Kind::Operation, 5, 9, 12), &[spell(10, 11, BARS)], false), None);
    }

    #[test]
    fn a_new_session_is_excused_only_where_no_calm_was_in_all_of_the_wait() {
        let barred = |spells: &[Spell], to| excuse(&attempt(Kind::Connecting, 0, 0, to), spells, false);
        assert_eq!(barred(&[spell(0, 14, BARS), spell(10, 28, BARS)], 30), Some(Excuse::Barred));
        assert_eq!(barred(&[spell(0, 14, BARS), spell(10, 22, BARS)], 30), None, "8 s at the end");
        assert_eq!(barred(&[spell(0, 10, BARS), spell(17, 30, BARS)], 30), None, "7 s in the middle");
        assert_eq!(barred(&[spell(0, 14, BARS), spell(10, 28, BARS)], 20), None, "given up too early");
        assert_eq!(barred(&[spell(0, 30, CUTS)], 30), None);
    }

    #[test]
    fn a_session_that_is_retired_is_excused_only_by_its_words_and_where_the_route_retires() {
        let mut attempt = attempt(Kind::Operation, 5, 6, 7);
        assert_eq!(excuse(&attempt, &[], true), None);
        attempt.told = format!("57P01 attache: {ROTATED}");
        assert_eq!(excuse(&attempt, &[], true), Some(Excuse::Retired));
        assert_eq!(excuse(&attempt, &[], false), None);
    }
}
