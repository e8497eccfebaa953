//! Writes what happens in a schedule: events, each as the steps that it consists of.

use std::time::Duration;

use attache::config::domain::Live;

use crate::book::{Condition, Login};
use crate::dice::Dice;
use crate::plan::{Event, Farewell, LENGTH, Loss, Plan, Reload, Step, WRONG};
use crate::speech::Dialect;
use crate::tls::Trust;
use crate::wire::Fault;

/// After this long a new file of authorities has been read (`docs/operating.md`).
const TRUSTED_AFTER: Duration = Duration::from_secs(6);

/// The events of a schedule.
pub fn write(plan: &Plan, dice: Dice) -> Vec<Event> {
    Writer::new(plan, dice).events()
}

/// What is to be known of the events so far.
struct Writer {
    dice: Dice,
    servers: usize,
    dialect: Dialect,
    tls: bool,
    /// The certificate that servers show.
    shown: usize,
    /// Until when the authorities are being changed.
    trust_until: Duration,
    login: Login,
    other_user: &'static str,
    serial: u32,
    primary: usize,
}

impl Writer {
    fn new(plan: &Plan, dice: Dice) -> Writer {
        let Plan { servers, dialect, tls, first, .. } = plan;
        let login = first.clone();
        Writer {
            dice,
            servers: *servers,
            dialect: *dialect,
            tls: *tls,
            shown: 0,
            trust_until: Duration::ZERO,
            login,
            other_user: "app_b",
            serial: 0,
            primary: 0,
        }
    }

    fn events(mut self) -> Vec<Event> {
        let mut at = self.dice.between(2000, 8000);
        let mut events = Vec::new();
        while at < LENGTH {
            events.push(self.event(at));
            // Mostly one after another; sometimes one in the midst of another.
            at += match self.dice.in_hundred(70) {
                true => self.dice.between(8_000, 20_000),
                false => self.dice.between(0, 3000),
            };
        }
        events
    }

    fn event(&mut self, at: Duration) -> Event {
        let gap = self.dice.between(0, 10_000);
        let (name, steps) = match self.dice.roll(if self.tls { 19 } else { 15 }) {
            0 | 1 => {
                let new = self.next(false);
                ("the Secret first", vec![(at, Step::Mount(new.clone())), (at + gap, Step::Replace(new))])
            }
            2 | 3 => {
                let new = self.next(false);
                ("the database first", vec![(at, Step::Replace(new.clone())), (at + gap, Step::Mount(new))])
            }
            4 => self.overlap("the other user", at, gap, true),
            5 => self.overlap("two passwords", at, gap, false),
            6 => self.secret_breaks(at, gap),
            7 => self.server_restarts(at),
            8 => self.primary_moves(at),
            9 => self.server_hangs(at, gap),
            10 => ("the certificate is renewed", vec![(at, Step::Renew)]),
            11 => {
                let (which, fault) = (self.dice.next(), self.dice.pick(&Fault::ALL));
                ("a connection breaks", vec![(at, Step::Cut(which, fault))])
            }
            12 => self.credential_moves(at, gap),
            13 => self.route_goes(at, gap),
            15..=18 if at < self.trust_until => ("the certificate is renewed", vec![(at, Step::Renew)]),
            15 | 16 => self.certificate_changes(at),
            17 | 18 => self.authority_changes(at, gap),
            _ => {
                let policy = self.dice.pick(&[Live::Keep, Live::Drain, Live::Cut]);
                let seats = Reload::Seats(self.dice.pick(&[1, 2, 3, 1000]));
                let policy = Reload::Policy(policy);
                let all = [Reload::Nothing, Reload::Wait, Reload::Pool, policy, seats, Reload::Login];
                ("reload", vec![(at, Step::Reload(self.dice.pick(&all)))])
            }
        };
        Event { name, steps }
    }

    fn next(&mut self, other: bool) -> Login {
        self.serial += 1;
        if other {
            let before = if self.login.user == "app_a" { "app_a" } else { "app_b" };
            self.login.user = std::mem::replace(&mut self.other_user, before).to_owned();
        }
        self.login.password = format!("password-{}", self.serial);
        self.login.clone()
    }

    /// The new login is good before the old one is bad.
    fn overlap(
        &mut self,
        name: &'static str,
        at: Duration,
        gap: Duration,
        other: bool,
    ) -> (&'static str, Vec<(Duration, Step)>) {
        let old = self.login.clone();
        let new = self.next(other);
        let end = at + gap + self.dice.between(0, 10_000);
        (name, vec![(at, Step::Allow(new.clone())), (at + gap, Step::Mount(new)), (end, Step::Forbid(old))])
    }

    fn secret_breaks(&mut self, at: Duration, gap: Duration) -> (&'static str, Vec<(Duration, Step)>) {
        if self.dice.in_hundred(40) {
            let good = self.login.clone();
            let wrong = Login::new(&good.user, &format!("{WRONG}-{}", self.serial));
            self.serial += 1;
            return ("the wrong Secret", vec![(at, Step::Mount(wrong)), (at + gap, Step::Mount(good))]);
        }
        let loss = self.dice.pick(&[Loss::Folder, Loss::Key, Loss::Empty]);
        ("the Secret breaks", vec![(at, Step::Unmount(loss)), (at + gap, Step::Remount)])
    }

    /// Another path, with the same there, or another password, or nothing yet.
    fn credential_moves(&mut self, at: Duration, gap: Duration) -> (&'static str, Vec<(Duration, Step)>) {
        let old = self.login.clone();
        let steps = match self.dice.roll(4) {
            0 => vec![(at, Step::Move(Some(old)))],
            1 => vec![(at, Step::Move(None)), (at + gap, Step::Mount(old))],
            2 => {
                let new = self.next(false);
                vec![(at, Step::Move(Some(new.clone()))), (at + gap, Step::Replace(new))]
            }
            _ => {
                let new = self.next(false);
                vec![(at, Step::Replace(new.clone())), (at + gap, Step::Move(Some(new)))]
            }
        };
        ("the credential lies elsewhere", steps)
    }

    /// It comes back, mostly before whoever was there has gone.
    fn route_goes(&mut self, at: Duration, gap: Duration) -> (&'static str, Vec<(Duration, Step)>) {
        let back = at + gap * 2;
        let steps = vec![(at, Step::Reload(Reload::Remove)), (back, Step::Reload(Reload::Restore))];
        ("the route goes and comes back", steps)
    }

    fn server_restarts(&mut self, at: Duration) -> (&'static str, Vec<(Duration, Step)>) {
        let server = self.server();
        let farewell =
            self.dice.pick(&[Farewell::Polite, Farewell::Hurt(Fault::Reset), Farewell::Hurt(Fault::End)]);
        let down = at + self.dice.between(0, 8000);
        let up = down + self.dice.between(0, 3000);
        let steps = vec![
            (at, Step::Server(server, Condition::Down, farewell)),
            (down, Step::Server(server, Condition::Starting, Farewell::None)),
            (up, Step::Server(server, Condition::Up, Farewell::None)),
        ];
        ("a server restarts", steps)
    }

    /// The primary goes, another one takes over, and it comes back as a replica.
    fn primary_moves(&mut self, at: Duration) -> (&'static str, Vec<(Duration, Step)>) {
        if self.servers == 1 {
            return self.server_restarts(at);
        }
        let old = self.primary;
        self.primary =
            (old + 1 + usize::try_from(self.dice.roll(self.servers as u64 - 1)).expect("an index"))
                % self.servers;
        let promoted = at + self.dice.between(0, 9000);
        let back = promoted + self.dice.between(0, 6000);
        // Redis and MySQL change their role with their connections open.
        if self.dialect != Dialect::Postgres && self.dice.in_hundred(50) {
            return ("switchover", vec![(at, Step::Promote(self.primary))]);
        }
        if self.dice.in_hundred(30) {
            let demoted = back + self.dice.between(2000, 9000);
            let steps = vec![
                (at, Step::Server(old, Condition::Dark, Farewell::Hurt(Fault::Freeze))),
                (promoted, Step::Crown(self.primary)),
                (back, Step::Server(old, Condition::Up, Farewell::Thaw)),
                (demoted, Step::Promote(self.primary)),
            ];
            return ("two primaries", steps);
        }
        let farewell = self.dice.pick(&[Farewell::Polite, Farewell::Hurt(Fault::Reset)]);
        let gone = self.dice.pick(&[Condition::Down, Condition::Dark]);
        let steps = vec![
            (at, Step::Server(old, gone, farewell)),
            (promoted, Step::Promote(self.primary)),
            (back, Step::Server(old, Condition::Up, Farewell::None)),
        ];
        ("failover", steps)
    }

    fn server_hangs(&mut self, at: Duration, gap: Duration) -> (&'static str, Vec<(Duration, Step)>) {
        let server = self.server();
        let how = self.dice.pick(&[Condition::Deaf, Condition::Dark]);
        let end = at + gap;
        let steps = vec![
            (at, Step::Server(server, how, Farewell::Hurt(Fault::Freeze))),
            (end, Step::Server(server, Condition::Up, Farewell::Thaw)),
        ];
        ("a server hangs", steps)
    }

    /// Another certificate of the authority that is trusted.
    fn certificate_changes(&mut self, at: Duration) -> (&'static str, Vec<(Duration, Step)>) {
        self.shown = [1, 0, 2][self.shown];
        ("the servers' certificate is renewed", vec![(at, Step::Show(self.shown))])
    }

    /// Another authority: it is trusted first, in time for those who read the file now and then.
    fn authority_changes(&mut self, at: Duration, gap: Duration) -> (&'static str, Vec<(Duration, Step)>) {
        let (shown, trust) = if self.shown == 2 { (0, Trust::First) } else { (2, Trust::Second) };
        self.shown = shown;
        let shows = at + TRUSTED_AFTER + gap;
        self.trust_until = shows + gap;
        let steps = vec![
            (at, Step::Trust(Trust::Both)),
            (shows, Step::Show(shown)),
            (shows + gap, Step::Trust(trust)),
        ];
        ("another authority", steps)
    }

    fn server(&mut self) -> usize {
        match self.dice.in_hundred(60) {
            true => self.primary,
            false => usize::try_from(self.dice.roll(self.servers as u64)).expect("an index"),
        }
    }
}
