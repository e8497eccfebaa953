//! Sessions that live are logged in again in place, whatever they are about, or stay as they are until they can be.

use std::sync::Arc;

use attache_kit::{House, Mounted, SECRET, SOON, eventually};

use crate::house::Clients;
use crate::raw::Raw;
use crate::servers::{self, Db};

/// A house whose sessions are of the first of two users.
struct Turns {
    db: &'static Db,
    users: [String; 2],
    secret: Arc<Mounted>,
    house: House,
}

impl Turns {
    /// Renewals are spread over a quarter of `within`.
    fn new(name: &str, on_rotation: &'static str) -> Option<Turns> {
        let db = servers::shared()?;
        let users = ["a", "b"].map(|turn| format!("{name}_{turn}"));
        users.iter().for_each(|user| db.server.user(user, SECRET));
        let secret = Arc::new(Mounted::new(&[("username", &users[0]), ("password", SECRET)]));
        let house = db.route().secret(&secret).on_rotation(on_rotation).start();
        Some(Turns { db, users, secret, house })
    }

    fn session(&self) -> Raw {
        let mut session = self.house.raw();
        assert_eq!(session.ask(&["ACL", "WHOAMI"]), bulk(&self.users[0]));
        session
    }

    /// From now on the second user is the one.
    fn rotate(&self) {
        self.house.accepted(1);
        assert!(self.secret.credential(&self.users[1], SECRET));
        self.house.accepted(2);
    }

    fn is_renewed(&self, session: &mut Raw) {
        self.house.left(1);
        assert_eq!(session.ask(&["ACL", "WHOAMI"]), bulk(&self.users[1]));
    }

    /// Ends what still lives by the first user, and deletes it.
    fn revoke(&self) {
        let [old, _] = &self.users;
        self.db.server.command(&["CLIENT", "KILL", "USER", old]);
        assert_eq!(self.db.server.command(&["ACL", "DELUSER", old]).trim(), "1");
    }

    fn renewals(&self) -> f64 {
        self.house.metric("attache_session_renewals_total", &[("result", "ok")])
    }

    /// Waits until somebody else has been renewed, so that whoever has not been could have been too.
    fn others_are_renewed(&self, count: f64) {
        eventually("the others to be renewed", SOON, || (self.renewals() >= count).then_some(()));
    }

    fn on_first_generation(&self) -> u64 {
        self.house.status()["links_by_generation"]["1"].as_u64().unwrap()
    }
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

const QUICKLY: &str = "{ within: 2s }";

#[test]
fn a_server_that_revokes_the_old_login_and_ends_its_sessions_is_not_noticed() {
    let Some(turns) = Turns::new("revoked", QUICKLY) else { return };
    let mut sessions: Vec<_> = (0..20).map(|_| turns.session()).collect();
    turns.rotate();
    turns.house.left(1);
    turns.revoke();
    for session in &mut sessions {
        assert_eq!(session.ask(&["ACL", "WHOAMI"]), bulk(&turns.users[1]));
    }
    assert_eq!(turns.renewals(), 20.0);
}

#[test]
fn what_a_session_has_set_survives() {
    let Some(turns) = Turns::new("kept", QUICKLY) else { return };
    let (mut session, mut other) = (turns.session(), turns.session());
    assert!(session.ask(&["HELLO", "3", "SETNAME", "the-name"]).starts_with('%'));
    for command in [
        &["SELECT", "3"][..],
        &["CLIENT", "TRACKING", "ON"],
        &["CLIENT", "NO-EVICT", "ON"],
        &["SET", "kept:watched", "1"],
        &["WATCH", "kept:watched"],
    ] {
        assert_eq!(session.ask(command), "+OK\r\n", "{command:?}");
    }
    assert!(session.ask(&["SUBSCRIBE", "kept:news"]).starts_with(">3\r\n$9\r\nsubscribe\r\n"));
    assert_eq!(session.ask(&["GET", "kept:tracked"]), "_\r\n");
    let info = |session: &mut Raw| {
        let info = session.ask(&["CLIENT", "INFO"]);
        let wanted = ["id=", "name=", "db=", "resp=", "flags=", "sub=", "redir="];
        let kept = |word: &&str| wanted.iter().any(|wanted| word.starts_with(wanted));
        info.split_whitespace().filter(kept).collect::<Vec<_>>().join(" ")
    };
    let before = info(&mut session);
    assert!(
        before.contains("name=the-name") && before.contains("db=3") && before.contains("sub=1"),
        "{before}"
    );

    turns.rotate();
    turns.is_renewed(&mut session);
    assert_eq!(info(&mut session), before);
    turns.is_renewed(&mut other);
    assert_eq!(other.ask(&["SELECT", "3"]), "+OK\r\n");
    assert_eq!(other.ask(&["PUBLISH", "kept:news", "x"]), ":1\r\n");
    assert_eq!(session.text(), format!(">3\r\n$7\r\nmessage\r\n{}$1\r\nx\r\n", bulk("kept:news")));
    assert_eq!(other.ask(&["SET", "kept:tracked", "1"]), "+OK\r\n");
    assert_eq!(session.text(), format!(">2\r\n$10\r\ninvalidate\r\n*1\r\n{}", bulk("kept:tracked")));
    assert_eq!(session.ask(&["MULTI"]), "+OK\r\n");
    assert_eq!(session.ask(&["GET", "kept:watched"]), "+QUEUED\r\n");
    assert_eq!(session.ask(&["EXEC"]), "*1\r\n$1\r\n1\r\n", "nobody has touched it");
    assert_eq!(session.ask(&["WATCH", "kept:watched"]), "+OK\r\n");
}

#[test]
fn whoever_watches_a_key_still_hears_that_it_changed() {
    let Some(turns) = Turns::new("watching", QUICKLY) else { return };
    let (mut session, mut other) = (turns.session(), turns.session());
    assert_eq!(session.ask(&["WATCH", "watching:key"]), "+OK\r\n");
    turns.rotate();
    turns.is_renewed(&mut session);
    assert_eq!(other.ask(&["INCR", "watching:key"]), ":1\r\n");
    assert_eq!(session.ask(&["MULTI"]), "+OK\r\n");
    assert_eq!(session.ask(&["GET", "watching:key"]), "+QUEUED\r\n");
    assert_eq!(session.ask(&["EXEC"]), "*-1\r\n");
    other.ask(&["DEL", "watching:key"]);
}

#[test]
fn whoever_waits_for_an_answer_is_renewed_behind_it() {
    let Some(turns) = Turns::new("waiting", QUICKLY) else { return };
    let (mut blocked, mut open, mut other) = (turns.session(), turns.session(), turns.session());
    blocked.send(&["BLPOP", "waiting:list", "0"]);
    assert_eq!(open.ask(&["MULTI"]), "+OK\r\n");
    assert_eq!(open.ask(&["ACL", "WHOAMI"]), "+QUEUED\r\n");
    turns.rotate();
    turns.others_are_renewed(1.0);
    assert_eq!(open.ask(&["ACL", "WHOAMI"]), "+QUEUED\r\n");
    assert_eq!(turns.on_first_generation(), 2);
    let old = bulk(&turns.users[0]);
    assert_eq!(open.ask(&["EXEC"]), format!("*2\r\n{old}{old}"), "a transaction is of one login");
    assert_eq!(other.ask(&["LPUSH", "waiting:list", "x"]), ":1\r\n");
    assert_eq!(blocked.text(), format!("*2\r\n{}$1\r\nx\r\n", bulk("waiting:list")));
    for session in [&mut blocked, &mut open, &mut other] {
        turns.is_renewed(session);
    }
}

#[test]
fn subscribers_of_resp2_and_monitors_stay_as_they_are_and_are_counted_so() {
    let Some(turns) = Turns::new("honest", QUICKLY) else { return };
    let (mut subscriber, mut monitor, mut silent) = (turns.session(), turns.session(), turns.session());
    let mut other = turns.session();
    assert!(subscriber.ask(&["SUBSCRIBE", "honest:news"]).starts_with("*3\r\n$9\r\nsubscribe\r\n"));
    assert_eq!(monitor.ask(&["MONITOR"]), "+OK\r\n");
    silent.send(&["CLIENT", "REPLY", "OFF"]);
    turns.rotate();
    turns.others_are_renewed(1.0);
    assert_eq!(other.ask(&["PUBLISH", "honest:news", "x"]), ":1\r\n");
    assert_eq!(subscriber.text(), format!("*3\r\n$7\r\nmessage\r\n{}$1\r\nx\r\n", bulk("honest:news")));
    while !monitor.text().contains("\"PUBLISH\" \"honest:news\" \"x\"") {}
    assert_eq!(turns.on_first_generation(), 3);

    assert_eq!(silent.ask(&["CLIENT", "REPLY", "ON"]), "+OK\r\n");
    assert!(subscriber.ask(&["UNSUBSCRIBE"]).starts_with("*3\r\n$11\r\nunsubscribe\r\n"));
    drop(monitor);
    for session in [&mut subscriber, &mut silent, &mut other] {
        turns.is_renewed(session);
    }
}

/// HELLO alone shows nobody a credential, nor does a command that is refused.
#[test]
fn a_client_that_logs_in_by_itself_counts_under_the_new_login_and_one_that_only_says_hello_does_not() {
    let Some(turns) = Turns::new("itself", "{ within: 8s }") else { return };
    let mut sessions = [turns.session(), turns.session(), turns.session()];
    turns.rotate();
    let [auth, hello, refused] = &mut sessions;
    assert_eq!(auth.ask(&["AUTH", "any", "thing"]), "+OK\r\n");
    assert!(hello.ask(&["HELLO", "3"]).starts_with('%'));
    assert!(refused.ask(&["CONFIG", "GET", "*"]).starts_with("-NOPERM "));
    for session in &mut sessions {
        turns.is_renewed(session);
    }
    turns.revoke();
    for session in &mut sessions {
        assert_eq!(session.ask(&["PING"]), "+PONG\r\n");
    }
}
