//! What a real server does not do when it is asked: it keeps a diary, takes its time, and says no to some.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{io, thread};

use attache_kit::script::{Peer, Script};
use attache_kit::{House, Mounted, SECRET, SOON, Signal, eventually};

use crate::house::{Clients, in_the_clear};
use crate::raw::{Raw, command};
use crate::servers::USER;

/// Renewals are spread over a quarter of it.
const QUICKLY: &str = "{ within: 2s }";

/// What a server was asked: on which connection, when, and what.
#[derive(Debug, Clone)]
struct Asked {
    connection: usize,
    at: Instant,
    words: Vec<String>,
}

/// A server that answers a few commands as any server does, unless the test has other ideas.
struct Server {
    script: Script,
    diary: Arc<Mutex<Vec<Asked>>>,
}

/// Whether a command was dealt with otherwise.
type Otherwise = dyn Fn(&mut Peer, &Asked, &[Asked]) -> io::Result<bool> + Send + Sync;

impl Server {
    fn new(
        otherwise: impl Fn(&mut Peer, &Asked, &[Asked]) -> io::Result<bool> + Send + Sync + 'static,
    ) -> Server {
        let diary = Arc::new(Mutex::new(Vec::new()));
        let (kept, otherwise): (_, Box<Otherwise>) = (Arc::clone(&diary), Box::new(otherwise));
        let script = Script::serve(move |mut peer| {
            let mut input = Vec::new();
            loop {
                let more = peer.read_some()?;
                if more.is_empty() {
                    return Ok(());
                }
                input.extend(more);
                while let Some(words) = next(&mut input) {
                    let asked = Asked { connection: peer.number(), at: Instant::now(), words };
                    let before = kept.lock().unwrap().clone();
                    kept.lock().unwrap().push(asked.clone());
                    if !otherwise(&mut peer, &asked, &before)? {
                        peer.send(usual(&asked.words).as_bytes())?;
                    }
                }
            }
        });
        Server { script, diary }
    }

    fn addr(&self) -> SocketAddr {
        self.script.addr()
    }

    fn diary(&self) -> Vec<Asked> {
        self.diary.lock().unwrap().clone()
    }

    /// When a session was logged in again with this password.
    fn renewals(&self, password: &str) -> Vec<Instant> {
        let diary = self.diary();
        diary.iter().filter(|asked| asked.renews(&diary, password)).map(|asked| asked.at).collect()
    }
}

impl Asked {
    fn is(&self, name: &str) -> bool {
        self.words[0] == name
    }

    /// Whether this is a login with this password in the midst of a session: behind a command of a client.
    fn renews(&self, diary: &[Asked], password: &str) -> bool {
        let client = |asked: &Asked| asked.is("ECHO") && asked.at < self.at;
        let sessions = diary.iter().filter(|asked| asked.connection == self.connection);
        self.is("AUTH") && self.words[2] == password && sessions.into_iter().any(client)
    }
}

/// Takes one whole command off what was read.
fn next(input: &mut Vec<u8>) -> Option<Vec<String>> {
    let text = String::from_utf8(input.clone()).unwrap();
    let (count, mut rest) = text.strip_prefix('*')?.split_once("\r\n")?;
    let mut words = Vec::new();
    for _ in 0..count.parse().unwrap() {
        let (len, behind) = rest.strip_prefix('$')?.split_once("\r\n")?;
        let len: usize = len.parse().unwrap();
        words.push(behind.get(..len)?.to_owned());
        rest = behind.get(len + 2..)?;
    }
    let left = rest.len();
    input.drain(..input.len() - left);
    Some(words)
}

fn usual(words: &[String]) -> String {
    match words[0].as_str() {
        "PING" => "+PONG\r\n".to_owned(),
        "HELLO" => "*0\r\n".to_owned(),
        "ECHO" => bulk(&words[1]),
        _ => "+OK\r\n".to_owned(),
    }
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn password(number: usize) -> String {
    format!("{SECRET}-{number}")
}

fn secret() -> Arc<Mounted> {
    Arc::new(Mounted::new(&[("username", USER), ("password", &password(1))]))
}

/// A house on that server, and a session that the server has heard of.
fn house(server: &Server, secret: &Arc<Mounted>, on_rotation: &'static str) -> (House, Raw) {
    let house = in_the_clear(server.addr().port()).secret(secret).on_rotation(on_rotation).start();
    let session = session(&house);
    house.accepted(1);
    (house, session)
}

fn session(house: &House) -> Raw {
    let mut session = house.raw();
    assert_eq!(session.ask(&["ECHO", "begun"]), bulk("begun"));
    session
}

fn rotate(secret: &Mounted) {
    assert!(secret.credential(USER, &password(2)));
}

fn renewed(server: &Server) {
    eventually("the session to be renewed", SOON, || {
        (!server.renewals(&password(2)).is_empty()).then_some(())
    });
}

/// The line that the log has once the only session ends.
fn line_of(house: &House, session: Raw) -> serde_json::Value {
    drop(session);
    house.attache.wait_for("the end", SOON, |line| line["kind"] == "session" && line["stage"] == "relay")
}

#[test]
fn an_idle_session_is_logged_in_again_and_hears_nothing_of_it() {
    let server = Server::new(|_, _, _| Ok(false));
    let secret = secret();
    let (house, mut session) = house(&server, &secret, QUICKLY);
    rotate(&secret);
    renewed(&server);
    house.left(1);
    assert_eq!(session.ask(&["ECHO", "still here"]), bulk("still here"));
    assert_eq!(house.metric("attache_session_renewals_total", &[("result", "ok")]), 1.0);
    let line = line_of(&house, session);
    assert_eq!(
        (&line["result"], &line["generation"], &line["renewals"]),
        (&"ok".into(), &2.into(), &1.into())
    );
    let logins = server.diary().iter().filter(|asked| asked.renews(&server.diary(), &password(2))).count();
    assert_eq!((logins, server.script.errors()), (1, Vec::new()));
}

#[test]
fn a_session_whose_new_login_is_rejected_goes_on_and_is_tried_again_later() {
    const REJECTED: usize = 2;
    let server = Server::new(|peer, asked, before| {
        let renewal = asked.renews(before, &password(2));
        let so_far = before.iter().filter(|asked| asked.renews(before, &password(2))).count();
        if renewal && so_far < REJECTED {
            peer.send(b"-WRONGPASS invalid username-password pair or user is disabled.\r\n")?;
        }
        Ok(renewal && so_far < REJECTED)
    });
    let secret = secret();
    let (house, mut session) = house(&server, &secret, QUICKLY);
    rotate(&secret);
    for done in 1..=REJECTED + 1 {
        eventually("another try", SOON, || (server.renewals(&password(2)).len() >= done).then_some(()));
        assert_eq!(session.ask(&["ECHO", "here"]), bulk("here"));
    }
    house.left(1);
    let tries = server.renewals(&password(2));
    assert_eq!(tries.len(), REJECTED + 1);
    for (pair, least) in tries.windows(2).zip([700, 1400]) {
        assert!(pair[1] - pair[0] >= Duration::from_millis(least), "{tries:?}");
    }
    let rejected = house.metric("attache_session_renewals_total", &[("result", "credential_rejected")]);
    assert_eq!(rejected, REJECTED as f64);
    assert_eq!(line_of(&house, session)["result"], "ok");
}

#[test]
fn a_client_that_logs_in_while_the_password_changes_hears_yes_once_it_has() {
    let changed = Arc::new(AtomicBool::new(false));
    let has_changed = Arc::clone(&changed);
    let server = Server::new(move |peer, asked, _| {
        let wrong = asked.is("AUTH") && has_changed.load(Ordering::SeqCst) && asked.words[2] != password(2);
        if wrong {
            peer.send(b"-WRONGPASS invalid username-password pair or user is disabled.\r\n")?;
        }
        Ok(wrong)
    });
    let secret = secret();
    let (house, mut session) = house(&server, &secret, QUICKLY);
    changed.store(true, Ordering::SeqCst);
    session.send(&["AUTH", "anything"]);
    session.send(&["ECHO", "behind"]);
    let rejected = || house.metric("attache_credential_rejected", &[]) == 1.0;
    eventually("the old password to be rejected", SOON, || rejected().then_some(()));
    rotate(&secret);
    assert_eq!((session.text(), session.text()), ("+OK\r\n".to_owned(), bulk("behind")));
    house.left(1);
    assert_eq!(line_of(&house, session)["result"], "ok");
}

#[test]
fn messages_around_the_answer_reach_the_client_and_the_answer_does_not() {
    const MESSAGE: &str = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n";
    for answer in ["+OK\r\n", "-WRONGPASS no\r\n"] {
        let server = Server::new(move |peer, asked, before| {
            let renewal = asked.renews(before, &password(2));
            let first = !before.iter().any(|asked| asked.renews(before, &password(2)));
            if renewal && first {
                for part in [MESSAGE, &MESSAGE[..9], &MESSAGE[9..], answer, MESSAGE] {
                    peer.send(part.as_bytes())?;
                }
            }
            Ok(renewal && first)
        });
        let secret = secret();
        let (_house, mut session) = house(&server, &secret, QUICKLY);
        rotate(&secret);
        for _ in 0..3 {
            assert_eq!(session.text(), MESSAGE);
        }
        assert_eq!(session.ask(&["ECHO", "and on"]), bulk("and on"));
    }
}

/// A server that waits for the test's word before it answers a renewal, and says when it has been asked.
fn slow() -> (Server, Receiver<()>, Sender<()>) {
    let ((asking, asked), (word, answer)) = (channel(), channel());
    let (asking, answer) = (Mutex::new(asking), Mutex::new(answer));
    let server = Server::new(move |_, command, before| {
        if command.renews(before, &password(2)) {
            let _ = asking.lock().unwrap().send(());
            let _: Result<(), _> = answer.lock().unwrap().recv();
        }
        Ok(false)
    });
    (server, asked, word)
}

#[test]
fn what_the_client_says_meanwhile_is_done_behind_it() {
    let (server, asked, answer) = slow();
    let secret = secret();
    let (house, mut session) = house(&server, &secret, QUICKLY);
    // The beginning of a command is held back, for it may become one that carries a login.
    let late = command(&[b"ECHO", b"late"]);
    session.writer().write_all(&late[..7]).unwrap();
    rotate(&secret);
    asked.recv_timeout(SOON).unwrap();
    session.writer().write_all(&late[7..]).unwrap();
    session.send(&["ECHO", "later"]);
    answer.send(()).unwrap();
    assert_eq!((session.text(), session.text()), (bulk("late"), bulk("later")));
    house.left(1);
}

#[test]
fn what_a_client_said_before_it_left_is_done_too() {
    let (server, asked, answer) = slow();
    let secret = secret();
    let (house, mut session) = house(&server, &secret, QUICKLY);
    rotate(&secret);
    asked.recv_timeout(SOON).unwrap();
    session.send(&["ECHO", "last"]);
    let line = thread::scope(|scope| {
        let ended = scope.spawn(|| line_of(&house, session));
        answer.send(()).unwrap();
        ended.join().unwrap()
    });
    assert_eq!(line["generation"], 2, "{line}");
    let last = |asked: &Asked| asked.words == ["ECHO", "last"];
    eventually("the last command", SOON, || server.diary().iter().any(last).then_some(()));
}

#[test]
fn a_server_that_goes_away_instead_of_an_answer_is_told_as_it_always_is() {
    let server = Server::new(|_, asked, before| match asked.renews(before, &password(2)) {
        true => Err(io::Error::other("it goes")),
        false => Ok(false),
    });
    let secret = secret();
    let (house, mut session) = house(&server, &secret, QUICKLY);
    rotate(&secret);
    let (said, line) = house.farewell(&mut session);
    assert!(said.starts_with("-LOADING attache: the database closed the connection"), "{said}");
    assert_eq!((&line["result"], &line["ended_by"]), (&"closed".into(), &"upstream".into()), "{line}");
    assert_eq!(house.metric("attache_session_renewals_total", &[("result", "closed")]), 1.0);
}

#[test]
fn a_server_that_does_not_answer_does_not_keep_the_process_from_ending() {
    let (server, asked, _answer) = slow();
    let secret = secret();
    let route = in_the_clear(server.addr().port()).secret(&secret).on_rotation(QUICKLY);
    let mut house = route.top("drain: { deadline: 2s }").start();
    let mut session = session(&house);
    house.accepted(1);
    rotate(&secret);
    asked.recv_timeout(SOON).unwrap();
    house.attache.signal(Signal::TERM);
    let said = session.last_words();
    assert!(said.starts_with("-ERR attache: ") && said.contains("the proxy is being stopped"), "{said}");
    assert!(house.attache.wait_exit(SOON).success());
}

#[test]
fn many_sessions_are_not_logged_in_again_at_once() {
    const SESSIONS: usize = 100;
    const SPREAD: Duration = Duration::from_secs(4);
    let server = Server::new(|_, _, _| Ok(false));
    let secret = secret();
    let (house, first) = house(&server, &secret, "{ within: 16s }");
    let mut sessions: Vec<_> = (1..SESSIONS).map(|_| session(&house)).chain([first]).collect();
    rotate(&secret);
    house.left(1);
    let mut renewals = server.renewals(&password(2));
    renewals.sort();
    assert_eq!(renewals.len(), SESSIONS);
    assert!(renewals[SESSIONS - 1] - renewals[0] >= SPREAD / 2, "{renewals:?}");
    let half = renewals.windows(SESSIONS / 2).map(|half| half[SESSIONS / 2 - 1] - half[0]).min();
    assert!(half > Some(SPREAD / 10), "half of them within {half:?}");
    for session in &mut sessions {
        assert_eq!(session.ask(&["ECHO", "here"]), bulk("here"));
    }
}

/// Many callers share a connection: before one is answered, another has asked.
#[test]
fn a_session_that_is_never_quiet_is_renewed_too_and_keeps_its_order() {
    const OUTSTANDING: usize = 20;
    /// As over a network: the next command has always come before the answer leaves.
    const AWAY: Duration = Duration::from_millis(5);
    let server = Server::new(|_, asked, _| {
        if asked.is("ECHO") {
            thread::sleep(AWAY);
        }
        Ok(false)
    });
    let secret = secret();
    let (house, mut session) = house(&server, &secret, QUICKLY);
    let echo = |session: &mut Raw, number: usize| session.send(&["ECHO", &number.to_string()]);
    (0..OUTSTANDING).for_each(|number| echo(&mut session, number));
    rotate(&secret);
    let (mut answered, mut still) = (0, 50);
    let start = Instant::now();
    while still > 0 {
        assert_eq!(session.text(), bulk(&answered.to_string()));
        echo(&mut session, answered + OUTSTANDING);
        answered += 1;
        if !server.renewals(&password(2)).is_empty() {
            still -= 1;
        }
        assert!(start.elapsed() < SOON, "not renewed after {answered} commands");
    }
    house.left(1);
}
