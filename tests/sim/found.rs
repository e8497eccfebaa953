//! What schedules have found, each as the schedule that it comes down to.

use std::time::Duration;

use attache::config::domain::{Live, Role};

use crate::book::{Condition, Login};
use crate::plan::{Farewell, Guest, Habit, Loss, Plan, Reload, Step};
use crate::schedule;
use crate::speech::Dialect;
use crate::wire::Fault;

fn login(number: u32) -> Login {
    Login::new("app_a", &format!("password-{number}"))
}

fn guest(millis: u64, habit: Habit) -> Guest {
    Guest { from: Duration::from_millis(millis), habit }
}

/// Many sessions wait for a credential while the Secret says something that the database does not accept yet.
fn many_wait() -> Plan {
    let steps = [
        // Nobody who changed this has told the Secret,
        (3000, Step::Replace(login(1))),
        // and then the Secret comes first.
        (6000, Step::Mount(login(2))),
        (8000, Step::Replace(login(2))),
    ];
    let plan = Plan::quiet(Dialect::Postgres).with_clients(12, Habit::Hopper).with_steps("a mess", &steps);
    Plan { wait: Duration::from_secs(30), length: Duration::from_secs(50), ..plan }
}

/// All who waited tried the new generation at once: twelve rejections, of which the account could have been locked.
#[test]
fn one_of_those_who_wait_tries_a_new_generation() {
    let outcome = schedule::run(&many_wait());
    let tried = outcome.verdicts.iter().filter(|verdict| verdict.login == login(2) && !verdict.accepted);
    let tried = tried.count();
    assert!((1..=3).contains(&tried), "{tried} logins with what the database did not accept yet");
}

/// What was rejected unexpectedly was counted so long that no login was sent for up to 72 s.
#[test]
fn whoever_waits_is_served_within_a_turn_of_the_moment_when_the_database_follows() {
    let outcome = schedule::run(&many_wait());
    assert_eq!(outcome.wrong, [""; 0]);
    assert_eq!(outcome.counts.excused, 0, "everybody could be saved");
}

/// Nobody could have known that these would be rejected: twenty, of which 72 s of silence came about.
#[test]
fn however_many_were_rejected_the_next_turn_is_near() {
    let steps = [(3990, Step::Forbid(login(0))), (8000, Step::Allow(login(0)))];
    let plan = Plan::quiet(Dialect::Postgres).with_clients(1, Habit::Regular).with_steps("a mistake", &steps);
    let crowd = Guest { from: Duration::from_secs(4), habit: Habit::Hopper };
    let clients = [plan.clients.clone(), vec![crowd; 20]].concat();
    let (wait, length) = (Duration::from_secs(30), Duration::from_secs(40));
    let outcome = schedule::run(&Plan { clients, wait, length, ..plan });
    assert!(outcome.counts.rejected >= 20, "{:?}", outcome.counts);
    assert_eq!(outcome.counts.excused, 0, "everybody could be saved");
}

/// MySQL greets whoever waits for a turn, and hangs up after a while: the turn was lost to a login on what was left.
#[test]
fn a_server_that_has_hung_up_on_whoever_waits_costs_no_turn() {
    let [one, two] = ["password-1", "password-2"].map(|password| Login::new("app_b", password));
    let steps = [
        (2031, Step::Allow(one.clone())),
        (2301, Step::Replace(two.clone())),
        (6229, Step::Mount(two)),
        // It holds what is not valid before everything is put in order, 30 s from the beginning.
        (9586, Step::Mount(one)),
        (14_599, Step::Forbid(login(0))),
        (21_370, Step::Server(0, Condition::Down, Farewell::Polite)),
        (23_181, Step::Server(0, Condition::Starting, Farewell::None)),
        (24_214, Step::Server(0, Condition::Up, Farewell::None)),
    ];
    let plan = Plan::quiet(Dialect::Mysql).with_steps("a mess", &steps);
    let clients = [2845, 53, 2247].map(|millis| guest(millis, Habit::Hopper)).to_vec();
    let [connect_timeout, wait] = [2, 30].map(Duration::from_secs);
    let (poll, length) = (wait, wait);
    let plan = Plan { seed: 102_777, clients, wait, connect_timeout, poll, length, warm: 3, ..plan };
    assert_eq!(schedule::run(&plan).wrong, [""; 0]);
}

/// The password in use was revoked, and the one before it, which had been good, counted as a newer one that was accepted.
#[test]
fn no_session_ends_for_a_generation_that_is_older_than_its_own() {
    let [one, two] = ["password-1", "password-2"].map(|password| Login::new("app_b", password));
    let steps = [
        (2980, Step::Allow(one.clone())),
        (4780, Step::Mount(two.clone())),
        (4941, Step::Allow(login(3))),
        (5665, Step::Replace(two.clone())),
        (11_402, Step::Mount(one)),
        (12_626, Step::Mount(login(3))),
        // That it is not good any more is heard before the folder is read.
        (13_805, Step::Forbid(two)),
    ];
    let plan = Plan::quiet(Dialect::Postgres).with_steps("a mess", &steps);
    let clients = vec![guest(606, Habit::Hopper), guest(705, Habit::Sleeper)];
    let [connect_timeout, poll, within, length] = [2, 5, 20, 16].map(Duration::from_secs);
    let probe_interval = poll;
    let plan = Plan { seed: 204_674, clients, connect_timeout, poll, probe_interval, within, length, ..plan };
    assert_eq!(schedule::run(&Plan { live: Live::Cut, ..plan }).wrong, [""; 0]);
}

/// What its route said of rotations stood still with the reload, and the next password was none that it knew.
#[test]
fn a_session_that_has_waited_since_before_a_reload_stays_on_what_was_accepted_behind_it() {
    for live in [Live::Cut, Live::Drain] {
        let steps = [
            (2000, Step::Server(0, Condition::Down, Farewell::Polite)),
            (3000, Step::Reload(Reload::Login)),
            (4000, Step::Mount(login(1))),
            (4000, Step::Replace(login(1))),
            (8000, Step::Server(0, Condition::Up, Farewell::None)),
        ];
        let plan = Plan::quiet(Dialect::Postgres).with_steps("a reload while the server is down", &steps);
        let clients = vec![guest(0, Habit::Hopper), guest(2500, Habit::Stayer)];
        let [deadline, length] = [25, 14].map(Duration::from_secs);
        let outcome = schedule::run(&Plan { live, clients, deadline, length, ..plan });
        assert_eq!(outcome.wrong, [""; 0]);
    }
}

/// The password had leaked, and a session went on with it until the time was over that the reload had left it.
#[test]
fn a_session_that_a_reload_is_about_to_end_leaves_an_old_password_in_time() {
    for live in [Live::Cut, Live::Drain] {
        let steps = [
            (2000, Step::Reload(Reload::Login)),
            (3000, Step::Allow(login(1))),
            (3000, Step::Mount(login(1))),
        ];
        let plan = Plan::quiet(Dialect::Postgres).with_steps("a reload and a rotation", &steps);
        let clients = vec![guest(0, Habit::Sleeper), guest(0, Habit::Stayer)];
        let [deadline, length] = [25, 14].map(Duration::from_secs);
        let outcome = schedule::run(&Plan { live, clients, deadline, length, ..plan });
        assert_eq!(outcome.wrong, [""; 0]);
    }
}

/// Two servers were promoted while nobody looked. Which of them was first, nobody can tell who has seen both as replicas.
#[test]
fn of_two_that_were_promoted_between_two_looks_either_may_be_used() {
    let steps = [
        (3876, Step::Server(0, Condition::Dark, Farewell::Hurt(Fault::Freeze))),
        (6249, Step::Mount(login(1))),
        (8131, Step::Promote(2)),
        (8932, Step::Crown(1)),
        (10_898, Step::Server(0, Condition::Up, Farewell::Thaw)),
        (11_653, Step::Replace(login(1))),
    ];
    let plan = Plan::quiet(Dialect::Redis).with_steps("a mess", &steps);
    let clients = vec![guest(1290, Habit::Hopper), guest(2089, Habit::Stayer)];
    let [connect_timeout, wait, probe_interval, within, length] = [2, 20, 5, 5, 14].map(Duration::from_secs);
    let plan =
        Plan { seed: 300_564, servers: 3, role: Role::Primary, clients, connect_timeout, wait, ..plan };
    let plan = Plan { probe_interval, live: Live::Cut, within, warm: 3, length, ..plan };
    assert_eq!(schedule::run(&plan).wrong, [""; 0]);
}

/// The only login on the new primary was that of a client that hung up before its end: nobody had heard of it.
#[test]
fn a_primary_that_told_nobody_has_replaced_no_other() {
    let steps = [
        (4632, Step::Server(0, Condition::Dark, Farewell::Hurt(Fault::Freeze))),
        (12_773, Step::Crown(1)),
        (13_401, Step::Server(0, Condition::Up, Farewell::Thaw)),
    ];
    let plan = Plan::quiet(Dialect::Postgres).with_steps("two primaries", &steps);
    let clients = vec![guest(1882, Habit::Sleeper), guest(483, Habit::Hopper), guest(1890, Habit::Leaver)];
    let [wait, probe_interval, poll, within, deadline] = [20, 5, 1, 20, 15].map(Duration::from_secs);
    let plan = Plan { seed: 301_738, servers: 2, role: Role::Primary, clients, wait, probe_interval, ..plan };
    let plan = Plan { poll, live: Live::Drain, within, deadline, length: Duration::from_secs(16), ..plan };
    assert_eq!(schedule::run(&plan).wrong, [""; 0]);
}

/// A link that waited was given to a session after a newer generation was accepted, whose policy then ended it.
#[test]
fn no_session_is_given_a_link_that_it_has_to_leave_at_once() {
    for live in [Live::Cut, Live::Drain] {
        let steps = [(5000, Step::Allow(login(1))), (6000, Step::Mount(login(1)))];
        let plan =
            Plan::quiet(Dialect::Postgres).with_clients(6, Habit::Hopper).with_steps("two passwords", &steps);
        let within = Duration::from_secs(1);
        let plan = Plan { live, within, warm: 5, reuse: true, length: Duration::from_secs(12), ..plan };
        assert_eq!(schedule::run(&plan).wrong, [""; 0]);
    }
}

/// The database was changed before anybody had logged in. That is told at once, and who comes after the Secret is served.
#[test]
fn a_credential_that_never_worked_is_not_waited_for() {
    let steps = [(2000, Step::Replace(login(1))), (4000, Step::Mount(login(1)))];
    for dialect in [Dialect::Postgres, Dialect::Redis, Dialect::Mysql] {
        let plan = Plan::quiet(dialect).with_steps("the database first", &steps);
        let clients = [2100, 2500].map(|millis| guest(millis, Habit::Hopper)).to_vec();
        let outcome = schedule::run(&Plan { clients, ..plan });
        assert_eq!(outcome.wrong, [""; 0], "{dialect:?}");
        assert!(outcome.counts.excused >= 2, "{dialect:?}: {:?}", outcome.counts);
    }
}

/// MySQL speaks first: a session waited for a server, and then as long again for the credential.
#[test]
fn a_session_waits_for_server_and_credential_together_as_long_as_its_route_says() {
    let steps = [
        (3000, Step::Server(0, Condition::Down, Farewell::Polite)),
        (8000, Step::Forbid(login(0))),
        (12_000, Step::Server(0, Condition::Up, Farewell::None)),
    ];
    let plan = Plan::quiet(Dialect::Mysql).with_clients(2, Habit::Hopper).with_steps("a mess", &steps);
    let outcome = schedule::run(&Plan { length: Duration::from_secs(40), ..plan });
    assert_eq!(outcome.wrong, [""; 0]);
    assert!(outcome.counts.excused >= 2, "{:?}", outcome.counts);
}

/// The older password had taken over. A session that had tried the newer one meanwhile was told no too, and with that nothing
/// worked any more, as it seemed: nobody tried the newer one again while links of the older one waited.
#[test]
fn a_second_no_to_one_generation_says_nothing_of_the_other() {
    let wrong = Login::new("app_a", "wrong-0");
    let steps = [
        (4198, Step::Mount(wrong)),
        (6193, Step::Mount(login(2))),
        (8619, Step::Replace(login(2))),
        (8975, Step::Mount(login(0))),
        (25_101, Step::Server(0, Condition::Down, Farewell::Polite)),
        (27_531, Step::Server(0, Condition::Starting, Farewell::None)),
        (28_804, Step::Server(0, Condition::Up, Farewell::None)),
    ];
    let plan = Plan::quiet(Dialect::Mysql).with_steps("a mess", &steps);
    let habits = [(1809, Habit::Leaver), (1908, Habit::Mute), (320, Habit::Stayer), (1878, Habit::Leaver)];
    let clients = habits.map(|(millis, habit)| guest(millis, habit)).to_vec();
    let [poll, connect_timeout, wait, deadline, length] = [1, 5, 20, 25, 30].map(Duration::from_secs);
    let plan = Plan { seed: 301_131, clients, connect_timeout, wait, poll, deadline, length, ..plan };
    assert_eq!(schedule::run(&Plan { warm: 1, reuse: true, ..plan }).wrong, [""; 0]);
}

/// A session that is busy may be on an older generation although it began after the new one came: that was not accepted yet.
#[test]
fn whoever_began_before_the_new_generation_was_accepted_may_finish_what_it_does() {
    let steps = [
        (7431, Step::Server(0, Condition::Down, Farewell::Polite)),
        (7680, Step::Server(0, Condition::Starting, Farewell::None)),
        (8253, Step::Mount(login(1))),
        (8984, Step::Mount(login(2))),
        (10_305, Step::Server(0, Condition::Up, Farewell::None)),
        (10_645, Step::Unmount(Loss::Empty)),
        (11_266, Step::Remount),
        (12_384, Step::Replace(login(1))),
        (12_978, Step::Replace(login(2))),
        (26_736, Step::Replace(login(3))),
        (28_334, Step::Mount(login(3))),
    ];
    let plan = Plan::quiet(Dialect::Redis).with_steps("a mess", &steps);
    let hoppers = [2771, 1852].map(|millis| guest(millis, Habit::Hopper));
    let [mute, sleeper, stayer] = [(275, Habit::Mute), (1482, Habit::Sleeper), (1057, Habit::Stayer)]
        .map(|(millis, habit)| vec![guest(millis, habit)]);
    let clients = [mute, hoppers.to_vec(), sleeper, stayer].concat();
    let [connect_timeout, wait, deadline, length] = [5, 20, 15, 30].map(Duration::from_secs);
    let (probe_interval, within) = (connect_timeout, connect_timeout);
    let plan = Plan { seed: 600_057, clients, connect_timeout, wait, deadline, length, ..plan };
    let plan = Plan { probe_interval, within, live: Live::Drain, warm: 1, ..plan };
    assert_eq!(schedule::run(&plan).wrong, [""; 0]);
}

/// Nobody had seen the first promotion: when its server was back, it looked like the later one of two.
#[test]
fn a_promotion_that_nobody_saw_counts_from_the_moment_when_it_is_seen() {
    let steps = [
        (5000, Step::Promote(1)),
        (5000, Step::Server(1, Condition::Dark, Farewell::Hurt(Fault::Freeze))),
        (9000, Step::Crown(0)),
        (13_000, Step::Server(1, Condition::Up, Farewell::Thaw)),
    ];
    let plan = Plan::quiet(Dialect::Mysql).with_clients(3, Habit::Hopper).with_steps("two primaries", &steps);
    let [probe_interval, length] = [2, 25].map(Duration::from_secs);
    let outcome = schedule::run(&Plan { servers: 2, role: Role::Primary, probe_interval, length, ..plan });
    assert_eq!(outcome.wrong, [""; 0]);
}

/// An older generation had come back, and something else was mounted before the next look: that was taken for what had been read.
#[test]
fn what_was_mounted_right_behind_a_reading_was_not_read() {
    let [wrong, wrong_too] = ["wrong-1", "wrong-3"].map(|password| Login::new("app_a", password));
    let steps = [
        (14_363, Step::Mount(login(1))),
        (15_036, Step::Mount(wrong)),
        (17_488, Step::Allow(login(3))),
        (17_780, Step::Replace(login(1))),
        (20_909, Step::Mount(wrong_too)),
        (20_932, Step::Mount(login(1))),
        (23_965, Step::Mount(login(3))),
    ];
    let plan = Plan::quiet(Dialect::Postgres).with_steps("a mess", &steps);
    let habits = [(2119, Habit::Stayer), (727, Habit::Leaver), (1672, Habit::Mute), (25, Habit::Leaver)];
    let clients = habits.map(|(millis, habit)| guest(millis, habit)).to_vec();
    let [connect_timeout, wait, poll, deadline, length] = [1, 15, 5, 15, 30].map(Duration::from_secs);
    let plan =
        Plan { seed: 310_583, servers: 2, role: Role::Primary, clients, connect_timeout, wait, ..plan };
    let plan = Plan { poll, probe_interval: poll, live: Live::Cut, deadline, length, ..plan };
    assert_eq!(schedule::run(&plan).wrong, [""; 0]);
}

/// The server came back 27 ms after the credential had become good, about which a replica had just been asked too often.
#[test]
fn whoever_waits_for_a_turn_is_not_served_sooner_because_a_server_comes_back() {
    let steps = [
        (5131, Step::Mount(login(1))),
        (13_990, Step::Replace(login(1))),
        (18_200, Step::Server(0, Condition::Down, Farewell::Hurt(Fault::Reset))),
        (20_921, Step::Mount(login(2))),
        (21_733, Step::Mount(login(3))),
        (22_255, Step::Replace(login(2))),
        (22_267, Step::Mount(login(4))),
        (22_988, Step::Server(0, Condition::Starting, Farewell::None)),
        (24_843, Step::Replace(login(4))),
        (24_870, Step::Server(0, Condition::Up, Farewell::None)),
        (24_948, Step::Renew),
        (29_872, Step::Replace(login(3))),
    ];
    let plan = Plan::quiet(Dialect::Postgres).with_steps("a mess", &steps);
    let habits = [(587, Habit::Sleeper), (1329, Habit::Mute), (1937, Habit::Stayer), (2620, Habit::Stayer)];
    let clients = habits.map(|(millis, habit)| guest(millis, habit)).to_vec();
    let [connect_timeout, probe_interval, poll, length] = [2, 5, 1, 30].map(Duration::from_secs);
    let plan = Plan { seed: 311_578, servers: 3, role: Role::Primary, clients, connect_timeout, ..plan };
    let plan = Plan { probe_interval, poll, live: Live::Drain, length, ..plan };
    assert_eq!(schedule::run(&plan).wrong, [""; 0]);
}

/// It had as many sessions again: those of before were counted for nobody.
#[test]
fn a_route_that_was_taken_out_and_put_in_again_has_no_more_sessions_than_it_may_have() {
    let steps = [(2000, Step::Reload(Reload::Remove)), (3000, Step::Reload(Reload::Restore))];
    for dialect in [Dialect::Postgres, Dialect::Redis, Dialect::Mysql] {
        let plan = Plan::quiet(dialect).with_steps("there and back", &steps);
        let clients = vec![guest(0, Habit::Stayer), guest(3500, Habit::Hopper)];
        let outcome =
            schedule::run(&Plan { clients, max_sessions: 1, deadline: Duration::from_secs(25), ..plan });
        assert_eq!(outcome.wrong, [""; 0], "{dialect:?}");
        assert!(outcome.counts.excused > 0, "{dialect:?}: somebody had to be refused");
    }
}

/// A link was being reset when a reload closed its pool: it waited, and was counted, for as long as any session of before lived.
#[test]
fn a_link_that_comes_back_to_a_pool_that_was_closed_meanwhile_is_taken_leave_of() {
    let steps = [
        (7044, Step::Reload(Reload::Pool)),
        (9603, Step::Allow(login(1))),
        (17_152, Step::Mount(login(1))),
        (21_600, Step::Forbid(login(0))),
    ];
    let plan = Plan::quiet(Dialect::Mysql).with_steps("a mess", &steps);
    let hoppers = [362, 677].map(|millis| guest(millis, Habit::Hopper)).to_vec();
    let others = [(988, Habit::Mute), (1432, Habit::Stayer), (435, Habit::Sleeper)];
    let clients = [hoppers, others.map(|(millis, habit)| guest(millis, habit)).to_vec()].concat();
    let [connect_timeout, within, length] = [5, 5, 28].map(Duration::from_secs);
    let plan =
        Plan { seed: 405_829, servers: 3, role: Role::Primary, clients, connect_timeout, within, ..plan };
    let outcome = schedule::run(&Plan { warm: 3, reuse: true, length, stopped: true, ..plan });
    assert_eq!(outcome.wrong, [""; 0]);
}

/// The order to end came between the last octets of an answer, which had taken all turns of a pump, and their flush.
#[test]
fn a_session_that_is_cut_right_behind_an_answer_is_told() {
    let steps =
        [(4431, Step::Allow(login(1))), (8094, Step::Mount(login(1))), (13_134, Step::Forbid(login(0)))];
    let plan = Plan::quiet(Dialect::Mysql).with_steps("two passwords", &steps);
    let habits = [(20, Habit::Leaver), (1491, Habit::Mute), (1715, Habit::Hopper), (2912, Habit::Stayer)];
    let clients = habits.map(|(millis, habit)| guest(millis, habit)).to_vec();
    let [connect_timeout, probe_interval, poll, within, length] = [5, 5, 30, 20, 18].map(Duration::from_secs);
    let plan = Plan { seed: 405_777, servers: 2, role: Role::Primary, clients, connect_timeout, ..plan };
    let plan = Plan { probe_interval, poll, live: Live::Cut, within, warm: 1, reuse: true, length, ..plan };
    assert_eq!(schedule::run(&plan).wrong, [""; 0]);
}
