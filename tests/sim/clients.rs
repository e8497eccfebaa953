//! The clients of a schedule, each with its habit. They hold no password, and write down whatever goes wrong for them.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::book::{Busy, Episode, Presence};
use crate::cancels;
use crate::dice::Dice;
use crate::house::Shared;
use crate::plan::{Guest, Habit, Plan};
use crate::speech::{Answer, Broken, Question, Session};
use crate::wire::Line;
use crate::world::World;

/// Longer than anything that a session may have to wait for, and a little more.
const PATIENCE: Duration = Duration::from_secs(60);

/// One client, from its first session to its last.
pub struct Client {
    number: usize,
    guest: Guest,
    dice: Dice,
    world: World,
    house: Shared,
    /// When it is asked to leave.
    until: Instant,
    /// Its sessions, and its questions in the last of them.
    sessions: u64,
    asked: u64,
    cancels: bool,
    /// Its connection.
    line: Option<Line>,
}

/// Where a session stands.
struct At {
    began: Instant,
    /// The server's connection that answered last.
    conn: Option<usize>,
    in_transaction: bool,
}

impl Client {
    pub fn new(number: usize, plan: &Plan, world: &World, house: &Shared, until: Instant) -> Client {
        let dice = Dice::of(plan.seed ^ number as u64, "client");
        let (world, house) = (world.clone(), house.clone());
        let (guest, cancels) = (plan.clients[number], plan.cancels);
        let sessions = world.state().stays.of(number);
        Client { number, guest, dice, world, house, until, sessions, asked: 0, cancels, line: None }
    }

    pub async fn run(mut self) {
        sleep(self.guest.from).await;
        while !self.is_over() {
            match self.guest.habit {
                Habit::Hopper => self.hop().await,
                Habit::Stayer => self.stay(3000).await,
                Habit::Sleeper => self.stay(30_000).await,
                Habit::Leaver => self.leave_anywhere().await,
                Habit::Mute => self.never_read().await,
                Habit::Regular => self.ask_in_order().await,
            }
            self.stands(Presence::Away);
            let pause = self.dice.between(10, 3000);
            sleep(pause).await;
        }
    }

    /// Whether a session comes about.
    pub async fn is_served(&mut self) -> bool {
        let begun = self.begin().await;
        let is_served = begun.is_some();
        if let Some((session, _)) = begun {
            session.leave().await;
        }
        self.stands(Presence::Away);
        is_served
    }

    async fn hop(&mut self) {
        let Some((mut session, mut at)) = self.begin().await else { return };
        if self.cancels {
            let question = Question::Slow(self.number(), self.dice.between(0, 300));
            if self.put(&mut session, &mut at, question).await.is_none() {
                return;
            }
        }
        session.leave().await;
    }

    /// Asks, in and out of transactions, with pauses of up to so many milliseconds.
    async fn stay(&mut self, pause: u64) {
        let Some((mut session, mut at)) = self.begin().await else { return };
        while !self.is_over() {
            let idle = self.dice.between(0, pause).min(self.until - Instant::now());
            if self.rest(&mut session, &at, idle).await.is_none() {
                return;
            }
            if self.step(&mut session, &mut at).await.is_none() {
                return;
            }
        }
        session.leave().await;
    }

    /// Asks nothing for a while.
    async fn rest(&self, session: &mut Session, at: &At, time: Duration) -> Option<()> {
        if let (Some(conn), false) = (at.conn, at.in_transaction) {
            self.stands(Presence::AtRest(conn, Instant::now()));
        }
        let rested = session.idle(time).await;
        self.stands(Presence::Busy(at.conn));
        let Err(broken) = rested else { return Some(()) };
        let busy = if at.in_transaction { Busy::Transaction } else { Busy::Idle };
        self.lost(at, busy, broken);
        None
    }

    /// One question of a session that stays.
    async fn step(&mut self, session: &mut Session, at: &mut At) -> Option<()> {
        let number = self.number();
        let question = match (self.dice.roll(10), at.in_transaction) {
            (0..=2, true) => Question::Commit(number),
            (0 | 1, false) => Question::Begin(number),
            (2, false) => Question::Slow(number, self.dice.between(0, 8000)),
            (3, _) => Question::Write(number),
            _ => Question::Read(number),
        };
        self.put(session, at, question).await?;
        match question {
            Question::Begin(_) => at.in_transaction = true,
            Question::Commit(_) => at.in_transaction = false,
            Question::Read(_) | Question::Slow(..) | Question::Write(_) => {}
        }
        Some(())
    }

    /// Connects, and asks one question: only its answer says that there is a session.
    async fn begin(&mut self) -> Option<(Session, At)> {
        let began = Instant::now();
        let mut session = self.connect()?;
        let conn = match session.begin(PATIENCE).await {
            Ok(conn) => conn,
            Err(broken) => {
                self.turned_away(began, broken);
                return None;
            }
        };
        let mut at = At { began, conn, in_transaction: false };
        let first = Question::Read(self.number());
        self.put(&mut session, &mut at, first).await?;
        Some((session, at))
    }

    /// Asks a question, and compares the answer with it.
    async fn put(&mut self, session: &mut Session, at: &mut At, question: Question) -> Option<()> {
        self.may_cancel(session, question);
        match session.ask(question, PATIENCE).await {
            Ok(Answer::Done { conn, number }) => {
                if number != question.number() {
                    self.world.wrong(format!("client {} asked {question:?} and got {number}", self.number));
                }
                at.conn = Some(conn).filter(|conn| *conn != usize::MAX).or(at.conn);
                self.world.state().stays.is_served(self.number);
                self.stands(Presence::Busy(at.conn));
                Some(())
            }
            Ok(Answer::Error(told)) => {
                self.world.note(Episode::Refused { at: Instant::now(), conn: at.conn, question, told });
                Some(())
            }
            Err(broken) => {
                let number = question.number();
                at.conn = at.conn.or_else(|| self.world.executed_by(number));
                let busy = if at.in_transaction { Busy::Transaction } else { Busy::Question(number) };
                match at.conn {
                    None => self.turned_away(at.began, broken),
                    Some(_) => self.lost(at, busy, broken),
                }
                None
            }
        }
    }

    /// One of each, with a pause in a transaction and one outside.
    async fn ask_in_order(&mut self) {
        let Some((mut session, mut at)) = self.begin().await else { return };
        let (begin, commit, slow) = (self.number(), self.number(), self.number());
        let second = Duration::from_secs(1);
        for question in [Question::Begin(begin), Question::Commit(commit), Question::Slow(slow, second)] {
            if self.put(&mut session, &mut at, question).await.is_none() {
                return;
            }
            at.in_transaction = matches!(question, Question::Begin(_));
            if self.rest(&mut session, &at, second).await.is_none() {
                return;
            }
        }
        session.leave().await;
    }

    /// Begins, and hangs up at any moment.
    async fn leave_anywhere(&mut self) {
        let moment = self.dice.between(0, 150);
        let number = self.number();
        let Some(mut session) = self.connect() else { return };
        let _ = timeout(moment, async {
            session.begin(PATIENCE).await?;
            session.ask(Question::Read(number), PATIENCE).await
        })
        .await;
    }

    /// Fills whatever there is to be filled, and holds on to it.
    async fn never_read(&mut self) {
        let Some(mut session) = self.connect() else { return };
        if session.begin(PATIENCE).await.is_err() {
            return;
        }
        let number = self.number();
        let asking = async {
            while session.ask_blindly(number).await.is_ok() {}
            // It holds on to what it has.
            std::future::pending::<()>().await;
        };
        let _ = timeout(self.until.saturating_duration_since(Instant::now()), asking).await;
    }

    /// `None` once the process has ended, and while nobody listens.
    fn connect(&mut self) -> Option<Session> {
        let mut house = self.house.lock().expect("nothing panics under this lock");
        let (end, line) = house.as_mut()?.arrive(&self.world)?;
        self.line = Some(line);
        (self.sessions, self.asked) = (self.sessions + 1, 0);
        self.stands(Presence::Busy(None));
        let session = cancels::session_of(cancels::number(self.number, self.sessions, 0));
        self.world.state().stays.begin(self.number, session);
        Some(Session::new(self.world.state().dialect, end))
    }

    /// Now and then a question is to be cancelled, which may be too late for it, and for its session.
    fn may_cancel(&mut self, session: &Session, question: Question) {
        if let Some(key) = session.key().filter(|_| self.cancels)
            && self.dice.in_hundred(30)
        {
            let (of, after) = (cancels::session_of(question.number()), self.dice.between(0, 400));
            tokio::spawn(cancels::send(self.world.clone(), self.house.clone(), of, key, after));
        }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until || self.house.lock().expect("nothing panics under this lock").is_none()
    }

    fn number(&mut self) -> u64 {
        self.asked += 1;
        cancels::number(self.number, self.sessions, self.asked)
    }

    fn stands(&self, presence: Presence) {
        self.world.stands(self.number, presence);
    }

    fn turned_away(&self, began: Instant, broken: Broken) {
        let (client, ended) = (self.number, Instant::now());
        self.note(Episode::TurnedAway { client, began, ended, broken });
    }

    fn lost(&self, at: &At, busy: Busy, broken: Broken) {
        let (client, when) = (self.number, Instant::now());
        let conn = at.conn;
        self.note(Episode::Lost { client, began: at.began, at: when, conn, busy, broken });
    }

    /// Whatever goes wrong behind a cut of the client's own connection is no wonder.
    fn note(&self, episode: Episode) {
        if self.line.as_ref().is_none_or(|line| line.cut().is_none()) {
            self.world.note(episode);
        }
    }
}
