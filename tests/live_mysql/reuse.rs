//! Links that are reset after a session, and serve another.

use attache_kit::*;

use crate::house::Clients;
use crate::raw::Raw;
use crate::servers::{self, Db};
use crate::warm::{links, pooled, waits, warm};

/// Everything that a session may leave behind on its link and that can be asked for in one line. MySQL's
/// `found_rows()` is left out: it begins with 0 and is 1 after a reset.
pub const TRACES: &str = "select concat_ws(' ', concat('token=', coalesce(@token, '')), \
    concat('id=', last_insert_id()), concat('autocommit=', @@autocommit + 0), concat('zone=', @@time_zone), \
    concat('wait=', @@wait_timeout), concat('charset=', @@collation_connection), \
    concat('results=', coalesce(@@character_set_results, 'null')), concat('database=', database()), \
    concat('role=', if(coalesce(current_role(), 'NONE') = 'NONE', '', current_role())), \
    concat('limit=', @@sql_select_limit > 5), concat('stamp=', now() < '2001-01-01'))";

/// And what a session finds that has a link as new.
pub fn clean(database: &str) -> String {
    format!(
        "token= id=0 autocommit=1 zone=SYSTEM wait=28800 charset=utf8mb4_general_ci results=utf8mb4 \
         database={database} role= limit=1 stamp=0"
    )
}

/// An account with a role, and things to leave traces in.
pub fn account(db: &Db, name: &str) {
    db.account(name);
    db.server.sql(&format!("CREATE ROLE IF NOT EXISTS {name}_role"));
    db.server.sql(&format!("GRANT {name}_role TO '{name}'@'%'"));
    db.server.sql_in(name, "create table if not exists kept (id int primary key auto_increment, token text)");
    db.server.sql(&format!("create database if not exists {name}_other"));
    db.server.sql(&format!("grant all on {name}_other.* to '{name}'@'%'"));
}

/// Leaves all those traces, and some that are asked for in other ways.
fn live(session: &mut Raw, name: &str) {
    for sql in [
        "set @token = 'mine'",
        "insert into kept (token) values ('mine')",
        "set time_zone = '+05:00', wait_timeout = 77, sql_select_limit = 5, timestamp = 1",
        "set names latin1",
        "set character_set_results = null",
        "create temporary table t select 'mine' as token",
        "prepare p from 'select 1'",
        "select get_lock('reuse', 0)",
        "set transaction isolation level serializable",
        "handler kept open",
        "lock tables kept write",
        &format!("set role {name}_role"),
        &format!("use {name}_other"),
        "set autocommit = 0",
    ] {
        session.ask(sql);
        session.reply().unwrap_or_else(|report| panic!("{sql}: {report:?}"));
    }
}

/// A session on the link of one that has just ended, and what `live` made of that. The keeper may have filled its place.
pub fn in_turn<T>(log_in: impl Fn() -> Raw, live: impl Fn(Raw) -> T) -> (T, Raw) {
    eventually("a link to come back", SOON, || {
        let mut session = log_in();
        let thread = session.value("select connection_id()");
        let lived = live(session);
        let mut next = log_in();
        (next.value("select connection_id()") == thread).then_some((lived, next))
    })
}

fn is_gone(db: &Db, thread: &str) -> Option<()> {
    (!db.server.has_any_of(&[thread])).then_some(())
}

#[test]
fn a_link_serves_one_session_after_another_and_nothing_of_the_first_is_left() {
    for db in servers::each() {
        let name = "reuse_clean";
        account(db, name);
        let house = pooled(db, name, "warm: 1, reuse: true").start();
        let (id, mut next) = in_turn(
            || house.raw(name),
            |mut session| {
                assert_eq!(session.value(TRACES), clean(name));
                live(&mut session, name);
                let id = session.id;
                session.leave();
                id
            },
        );
        assert_ne!(next.id, id, "each has an id of its own");
        assert_eq!(next.value(TRACES), clean(name));
        assert_eq!(next.value("select is_free_lock('reuse')"), "1");
        for (gone, number) in
            [("select token from t", 1146), ("execute p", 1243), ("handler kept read first", 1109)]
        {
            next.ask(gone);
            assert_eq!(next.reply().unwrap_err().number, number, "{gone}");
        }
        next.value("start transaction");
        next.value("select count(*) from kept");
        let level =
            "select trx_isolation_level from information_schema.innodb_trx where trx_mysql_thread_id = ";
        let thread = next.value("select connection_id()");
        assert_eq!(db.server.sql(&format!("{level}{thread}")), "REPEATABLE READ");
        // And another session may write: no lock is left.
        db.server.sql_in(name, "insert into kept (token) values ('free')");
    }
}

#[test]
fn a_reused_link_of_a_route_that_only_reads_lets_nobody_write() {
    for db in servers::each() {
        let name = "reuse_reading";
        account(db, name);
        let house = pooled(db, name, "warm: 1, reuse: true").key("options: { read_only: true }").start();
        let write = |session: &mut Raw| {
            session.ask("insert into kept (token) values ('mine')");
            session.reply().unwrap_err().number
        };
        let (first, mut next) = in_turn(
            || house.raw(name),
            |mut session| {
                let number = write(&mut session);
                // An error does not say whether a transaction is open, and so the link would be closed.
                session.value("select 1");
                session.leave();
                number
            },
        );
        assert_eq!((first, write(&mut next)), (1792, 1792));
        assert_eq!(next.value("select count(*) from kept"), "0");
    }
}

/// A session that began without a database has none, whatever the one before has used.
#[test]
fn a_link_without_a_database_is_not_kept_with_one() {
    for db in servers::each() {
        account(db, "reuse_nowhere");
        let house = pooled(db, "reuse_nowhere", "warm: 1, reuse: true").start();
        for _ in 0..5 {
            let mut session = house.raw("");
            assert_eq!(session.value("select database()"), "NULL");
            session.value("use reuse_nowhere");
            session.leave();
        }
        let (_, mut next) = in_turn(|| house.raw(""), Raw::leave);
        assert_eq!(next.value("select database()"), "NULL");
    }
}

#[test]
fn the_default_role_is_brought_back() {
    for db in servers::each() {
        let name = "reuse_role";
        account(db, name);
        match db.flavour() {
            Flavour::MariaDb => db.server.sql(&format!("set default role {name}_role for '{name}'@'%'")),
            Flavour::MySql => db.server.sql(&format!("set default role {name}_role to '{name}'@'%'")),
        };
        let house = pooled(db, name, "warm: 1, reuse: true").start();
        let (before, mut next) = in_turn(
            || house.raw(name),
            |mut session| {
                let before = session.value("select current_role()");
                session.value("set role none");
                session.leave();
                before
            },
        );
        assert!(before.contains("reuse_role_role"), "{before}");
        assert_eq!(next.value("select current_role()"), before);
    }
}

#[test]
fn a_client_that_closes_without_a_word_leaves_a_good_link_too() {
    for db in servers::each() {
        account(db, "reuse_eof");
        let house = pooled(db, "reuse_eof", "warm: 1, reuse: true").start();
        in_turn(|| house.raw("reuse_eof"), drop);
    }
}

/// What a session does before it goes.
type Act = fn(&mut Raw);

/// What is outstanding when a client goes, or what no reset undoes: the link is closed.
#[test]
fn a_link_on_which_anything_is_outstanding_is_closed() {
    const SET_OPTION: u8 = 0x1b;
    for db in servers::each() {
        let name = "reuse_dirty";
        account(db, name);
        let house = pooled(db, name, "warm: 1, reuse: true").start();
        let cases: [(&str, Act); 6] = [
            ("a transaction", |session| drop(session.value("begin"))),
            ("a failed statement in a transaction", |session| {
                session.value("begin");
                session.ask("nonsense");
                session.reply().unwrap_err();
            }),
            ("a query", |session| session.ask("select sleep(0.3)")),
            ("half a query", |session| session.send_raw(b"\x20\0\0\0\x03select")),
            ("a change of what the link is", |session| {
                session.send(0, &[SET_OPTION, 0, 0]);
                session.packet();
            }),
            ("an XA transaction", |session| {
                session.value("xa start 'left'");
            }),
        ];
        for (what, act) in cases {
            for goodbye in [true, false] {
                let mut session = house.raw(name);
                let thread = session.value("select connection_id()");
                act(&mut session);
                if goodbye && !what.contains("query") {
                    session.send(0, &[1]);
                }
                drop(session);
                eventually(what, SOON, || is_gone(db, &thread));
            }
        }
    }
}

#[test]
fn ids_are_of_one_session_alone() {
    for db in servers::each() {
        let name = "reuse_id";
        account(db, name);
        let house = pooled(db, name, "warm: 2, reuse: true").start();
        let (old, mut third) = in_turn(
            || house.raw(name),
            |session| {
                let id = session.id;
                session.leave();
                id
            },
        );
        let thread = third.value("select connection_id()");
        third.ask("select 'slept', sleep(60) from dual where 1 = 1");
        let running = format!(
            "select count(*) from information_schema.processlist where id = {thread} and info like 'select \\'slept\\'%'"
        );
        // MySQL cannot tell while somebody else runs a statement that is no text.
        eventually("it to sleep", SOON, || (db.server.try_sql(&running).as_deref() == Ok("1")).then_some(()));
        let mut killer = Raw::log_in(house.addr(), name).unwrap();
        for kill in [format!("kill query {old}"), format!("KILL {old}")] {
            killer.ask(&kill);
            assert_eq!(killer.reply().unwrap_err().number, 1094, "the id of the session before");
        }
        assert!(third.is_silent());
        killer.value(&format!("kill query {}", third.id));
        let _ = third.reply();
        assert_eq!(third.value("select 'still here'"), "still here");
        third.leave();
    }
}

/// A change of user is a login of its own, and its link has another database and character set than its kind.
#[test]
fn a_link_on_which_the_user_was_changed_is_closed() {
    let Some(db) = servers::of(Flavour::MariaDb) else { return };
    account(db, "reuse_change");
    let house = pooled(db, "reuse_change", "warm: 1, reuse: true").start();
    let mut session = house.raw("reuse_change");
    let thread = session.value("select connection_id()");
    session.send(0, b"\x11nobody\0\0reuse_change_other\0\x08\0mysql_native_password\0");
    assert_eq!(session.packet().unwrap().1[0], 0);
    assert_eq!(session.value("select database()"), "reuse_change_other");
    session.leave();
    eventually("it to be closed", SOON, || is_gone(db, &thread));
}

#[test]
fn a_link_that_is_too_old_or_of_a_generation_that_is_over_is_not_used_again() {
    for db in servers::each() {
        account(db, "reuse_age");
        let secret = std::sync::Arc::new(Mounted::new(&[("username", "reuse_age"), ("password", SECRET)]));
        let house = pooled(db, "reuse_age", "warm: 2, reuse: true, max_age: 1s").secret(&secret).start();
        let mut session = house.raw("reuse_age");
        let thread = session.value("select connection_id()");
        session.value("select sleep(1.1)");
        session.leave();
        eventually("the old one to be closed", SOON, || is_gone(db, &thread));
        let house = pooled(db, "reuse_age", "warm: 2, reuse: true").secret(&secret).start();
        let mut session = house.raw("reuse_age");
        let thread = session.value("select connection_id()");
        let new = format!("{SECRET}-2");
        db.server.password("reuse_age", &new, db.flavour().plugin());
        assert!(secret.credential("reuse_age", &new));
        house.attache.wait_for("the new generation", SOON, |line| {
            line["message"] == "credential accepted" && line["generation"] == 2
        });
        session.leave();
        eventually("it to be closed", SOON, || is_gone(db, &thread));
        eventually("the others too", SOON, || {
            (links(&house, &[("generation", "1")]) == 0.0 && warm(&house) == 2.0).then_some(())
        });
    }
}

/// The user of a session: MariaDB 12 can change it, and then a reset fails. With an older one the same statement tells
/// that this user is not another one.
#[test]
fn a_reset_asks_whose_session_it_is() {
    let Some(db) = servers::of(Flavour::MariaDb) else { return };
    account(db, "reuse_user");
    let house = pooled(db, "reuse_user", "warm: 1, reuse: true").start();
    let (user, mut next) = in_turn(
        || house.raw("reuse_user"),
        |mut session| {
            let user = session.value("select hex(concat(user(), current_user()))");
            session.leave();
            user
        },
    );
    let same_user = |hex: &str| {
        format!(
            "SET collation_connection=IF(HEX(CONCAT(USER(),CURRENT_USER()))='{hex}',@@collation_connection,'?')"
        )
    };
    next.ask(&same_user("00"));
    assert_eq!(next.reply().unwrap_err().number, 1273, "unknown collation");
    next.ask(&same_user(&user));
    next.reply().expect("it is the same user");
}

/// What `init_connect` does at a login, no reset does again.
#[test]
fn with_init_connect_each_session_has_a_link_of_its_own() {
    let Some(db) = Db::own(Flavour::MariaDb) else { return };
    account(&db, "reuse_init");
    db.server.sql("set global init_connect = 'set @token = 1'");
    let house = pooled(&db, "reuse_init", "warm: 1, reuse: true").start();
    let mut threads = Vec::new();
    for _ in 0..5 {
        let mut session = house.raw("reuse_init");
        assert_eq!(session.value("select @token"), "1");
        let thread = session.value("select connection_id()");
        assert!(!threads.contains(&thread));
        threads.push(thread);
        session.leave();
        waits(&house, 1);
    }
}
