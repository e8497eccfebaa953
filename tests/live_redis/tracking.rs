//! Client-side caching: the server says which keys have changed, whenever it likes (manual, "Client-side caching in
//! Redis").

use attache_kit::House;

use crate::house::Clients;
use crate::raw::Raw;
use crate::servers;

/// What is told of a key by a push of RESP3.
fn invalidated(key: &str) -> String {
    format!(">2\r\n$10\r\ninvalidate\r\n*1\r\n${}\r\n{key}\r\n", key.len())
}

fn speaking_3(house: &House) -> Raw {
    let mut session = house.raw();
    assert!(session.ask(&["HELLO", "3"]).starts_with('%'));
    session
}

#[test]
fn changes_of_keys_that_were_read_are_pushed() {
    for db in servers::each() {
        let house = db.route().start();
        let (mut reader, mut writer) = (speaking_3(&house), house.raw());
        assert_eq!(reader.ask(&["CLIENT", "TRACKING", "ON"]), "+OK\r\n");
        assert_eq!(reader.ask(&["GET", "tracked:a"]), "_\r\n");
        assert_eq!(writer.ask(&["SET", "tracked:a", "1"]), "+OK\r\n");
        assert_eq!(reader.text(), invalidated("tracked:a"));
        // Its own changes too, and in the midst of a pipeline with a login.
        reader.send(&["GET", "tracked:a"]);
        reader.send(&["AUTH", "any", "thing"]);
        reader.send(&["INCR", "tracked:a"]);
        reader.send(&["PING"]);
        let said: String = (0..5).map(|_| reader.text()).collect();
        assert_eq!(
            said,
            format!("$1\r\n1\r\n+OK\r\n:2\r\n{}+PONG\r\n", invalidated("tracked:a")),
            "{}",
            db.name
        );
    }
}

#[test]
fn a_login_in_the_midst_of_pushes_loses_none() {
    const ROUNDS: usize = 200;
    let Some(db) = servers::shared() else { return };
    let house = db.route().start();
    let (mut reader, mut writer) = (speaking_3(&house), house.raw());
    assert_eq!(reader.ask(&["CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "broadcast:"]), "+OK\r\n");
    for round in 0..ROUNDS {
        writer.send(&["SET", &format!("broadcast:{round}"), "x"]);
        reader.send(&["AUTH", "any", "thing"]);
    }
    // Changes may be told together.
    let (mut accepted, mut pushes) = (0, String::new());
    let missing =
        |pushes: &str| (0..ROUNDS).find(|round| !pushes.contains(&format!("\r\nbroadcast:{round}\r\n")));
    while accepted < ROUNDS || missing(&pushes).is_some() {
        match reader.text() {
            frame if frame == "+OK\r\n" => accepted += 1,
            frame if frame.starts_with('>') => pushes.push_str(&frame),
            frame => panic!("{frame:?} after {accepted} logins, while {:?} is missing", missing(&pushes)),
        }
    }
    assert_eq!(accepted, ROUNDS);
}

#[test]
fn only_what_was_asked_for_is_tracked_with_optin() {
    let Some(db) = servers::shared() else { return };
    let house = db.route().start();
    let (mut reader, mut writer) = (speaking_3(&house), house.raw());
    assert_eq!(reader.ask(&["CLIENT", "TRACKING", "ON", "OPTIN"]), "+OK\r\n");
    assert_eq!(reader.ask(&["GET", "optin:a"]), "_\r\n");
    assert_eq!(reader.ask(&["CLIENT", "CACHING", "YES"]), "+OK\r\n");
    assert_eq!(reader.ask(&["GET", "optin:b"]), "_\r\n");
    for key in ["optin:a", "optin:b"] {
        assert_eq!(writer.ask(&["SET", key, "1"]), "+OK\r\n");
    }
    assert_eq!(reader.text(), invalidated("optin:b"));
    assert_eq!(reader.ask(&["RESET"]), "+RESET\r\n");
    assert_eq!(reader.ask(&["CLIENT", "GETREDIR"]), ":-1\r\n", "tracking is off");
    assert_eq!(reader.ask(&["ACL", "WHOAMI"]), "$3\r\napp\r\n");
}

#[test]
fn a_client_of_resp2_has_its_changes_told_to_a_subscriber() {
    let Some(db) = servers::shared() else { return };
    let house = db.route().start();
    let (mut reader, mut subscriber, mut writer) = (house.raw(), house.raw(), house.raw());
    let id = subscriber.ask(&["CLIENT", "ID"]);
    let id = id.trim_start_matches(':').trim_end();
    let confirmed = subscriber.ask(&["SUBSCRIBE", "__redis__:invalidate"]);
    assert!(confirmed.starts_with("*3\r\n$9\r\nsubscribe\r\n"), "{confirmed}");
    assert_eq!(reader.ask(&["CLIENT", "TRACKING", "ON", "REDIRECT", id]), "+OK\r\n");
    assert_eq!(reader.ask(&["GET", "redirected"]), "$-1\r\n");
    assert_eq!(writer.ask(&["SET", "redirected", "1"]), "+OK\r\n");
    let told = subscriber.text();
    assert_eq!(told, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$10\r\nredirected\r\n");
}
