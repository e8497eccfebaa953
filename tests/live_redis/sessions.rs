//! What does not fit into question and answer: messages, watching others, large values.

use attache_kit::SECRET;

use crate::house::Clients;
use crate::raw::command;
use crate::servers;

#[test]
fn a_server_is_reached_by_its_unix_socket() {
    for db in servers::each() {
        let house = db.route().by_socket(&db.server.socket()).start();
        let mut session = house.raw();
        assert_eq!(session.ask(&["ACL", "WHOAMI"]), "$3\r\napp\r\n", "{}", db.name);
        assert!(session.ask(&["INFO", "clients"]).contains("connected_clients"));
    }
}

#[test]
fn a_subscriber_gets_what_others_publish() {
    let Some(db) = servers::shared() else { return };
    let house = db.route().start();
    let mut publisher = house.raw();
    for (number, greeting, kind) in [("2", "*14\r\n", '*'), ("3", "%7\r\n", '>')] {
        let mut subscriber = house.raw();
        assert!(subscriber.ask(&["HELLO", number]).starts_with(greeting));
        let confirmed = subscriber.ask(&["SUBSCRIBE", "news"]);
        assert_eq!(confirmed, format!("{kind}3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"));
        for text in ["one", "two"] {
            assert_eq!(publisher.ask(&["PUBLISH", "news", text]), ":1\r\n");
            let message = format!("{kind}3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$3\r\n{text}\r\n");
            assert_eq!(subscriber.text(), message);
        }
        let left = subscriber.ask(&["UNSUBSCRIBE", "news"]);
        assert_eq!(left, format!("{kind}3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:0\r\n"));
        assert_eq!(subscriber.ask(&["ACL", "WHOAMI"]), "$3\r\napp\r\n");
    }
}

/// Logins go on meanwhile.
#[test]
fn a_monitor_sees_commands_and_no_secret() {
    // It sees the commands of other tests too, and none of them has this word.
    const OF_CLIENT: &str = "what-the-monitored-client-had";
    let Some(db) = servers::shared() else { return };
    let house = db.route().start();
    let mut monitor = house.raw();
    assert_eq!(monitor.ask(&["MONITOR"]), "+OK\r\n");
    let mut other = house.raw();
    assert_eq!(other.ask(&["AUTH", "any", OF_CLIENT]), "+OK\r\n");
    assert!(other.ask(&["HELLO", "3", "AUTH", "any", OF_CLIENT]).starts_with('%'));
    assert_eq!(other.ask(&["SET", "monitored", "last"]), "+OK\r\n");
    let mut seen = String::new();
    while !seen.contains("\"SET\" \"monitored\" \"last\"") {
        seen.push_str(&monitor.text());
    }
    assert!(!seen.contains(SECRET) && !seen.contains(OF_CLIENT), "{seen}");
}

#[test]
fn a_large_value_comes_back_whole() {
    const LEN: usize = 10 * 1024 * 1024;
    let Some(db) = servers::shared() else { return };
    let house = db.route().start();
    // Every octet occurs, and line ends too.
    let value: Vec<u8> = (0..LEN).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect();
    let mut session = house.raw();
    std::thread::scope(|scope| {
        let mut writer = session.writer();
        let set = command(&[b"SET", b"large", &value]);
        scope.spawn(move || std::io::Write::write_all(&mut writer, &set).unwrap());
        assert_eq!(session.text(), "+OK\r\n");
    });
    session.send(&["GET", "large"]);
    let reply = session.reply();
    let expected = [format!("${LEN}\r\n").as_bytes(), &value, b"\r\n"].concat();
    assert!(reply == expected, "{} octets came back", reply.len());
    assert_eq!(session.ask(&["DEL", "large"]), ":1\r\n");
}

#[test]
fn a_client_that_quits_gets_its_answer_and_a_good_end() {
    let Some(db) = servers::shared() else { return };
    let house = db.route().start();
    let mut session = house.raw();
    assert_eq!(session.ask(&["QUIT"]), "+OK\r\n");
    assert_eq!(session.last_words(), "");
}
