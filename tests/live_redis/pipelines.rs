//! Thousands of commands at once, of which Attaché must not change, lose or swap one octet of the answers.

use std::io::Write;
use std::thread;

use attache_kit::SECRET;
use attache_kit::chance::{Chance, seed};

use crate::differential::difference;
use crate::house::Clients;
use crate::raw::{Raw, command};
use crate::servers::{self, USER};
use crate::streams::Asked;

/// For each version of the protocol.
const COMMANDS: usize = 100_000;

impl Asked {
    fn login(self) -> [&'static str; 2] {
        match self {
            Asked::Directly => [USER, SECRET],
            Asked::ThroughAttache => ["whoever", "whatever"],
        }
    }
}

/// The same for both, but for the logins in it.
fn pipeline(seed: u64, asked: Asked) -> Vec<Vec<u8>> {
    let mut chance = Chance::new(seed);
    (0..COMMANDS).map(|_| one(&mut chance, asked)).collect()
}

fn one(chance: &mut Chance, asked: Asked) -> Vec<u8> {
    let key = format!("key:{}", chance.below(20));
    let key = key.as_bytes();
    let value = chance.octets(200);
    let number = chance.below(50).to_string();
    let number = number.as_bytes();
    let [user, password] = asked.login().map(str::as_bytes);
    match chance.below(26) {
        0..=2 => command(&[b"SET", key, &value]),
        3..=5 => command(&[b"GET", key]),
        6 => command(&[b"INCRBY", key, number]),
        7 => command(&[b"LPUSH", key, &value, number]),
        8 => command(&[b"LRANGE", key, b"0", b"20"]),
        9 => command(&[b"HSET", key, number, &value]),
        10 => command(&[b"HGET", key, number]),
        11 => command(&[b"ZADD", key, number, &value]),
        12 => command(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]),
        13 => command(&[b"DEL", key]),
        14 => command(&[b"MGET", key, b"key:1", b"key:2"]),
        15 => command(&[b"ECHO", &chance.octets(20_000)]),
        16 => command(&[b"NOSUCHCOMMAND", number]),
        17 => command(&[b"GET"]),
        18 => b"PING\r\n".to_vec(),
        19 => [b"\r\necho '", number, b"'\r\n"].concat(),
        20 => command(&[b"MULTI"]),
        21 => command(&[b"EXEC"]),
        22 => command(&[b"DISCARD"]),
        23 => command(&[b"WATCH", key]),
        24 => command(&[b"TYPE", key]),
        _ => match chance.below(3) {
            0 => command(&[b"AUTH", user, password]),
            1 => command(&[b"CLIENT", b"SETNAME", number]),
            _ => command(&[b"CLIENT", b"GETNAME"]),
        },
    }
}

/// Everything that is said to this pipeline, in pieces that end anywhere.
fn answers(mut session: Raw, seed: u64, version: &str, asked: Asked) -> Vec<u8> {
    const END: &[u8] = b"this is the end of the pipeline";
    const ENDED: &[u8] = b"$31\r\nthis is the end of the pipeline\r\n";
    session.ask(&["HELLO", version]);
    assert_eq!(session.ask(&["SELECT", "9"]), "+OK\r\n");
    assert_eq!(session.ask(&["FLUSHDB"]), "+OK\r\n");
    let mut said = pipeline(seed, asked).concat();
    // A transaction may be open.
    said.extend([command(&[b"DISCARD"]), command(&[b"ECHO", END])].concat());
    let mut pieces = Chance::new(!seed);
    let mut writer = session.writer();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut rest = said.as_slice();
            while !rest.is_empty() {
                let (piece, others) = rest.split_at(rest.len().min(1 + pieces.below(30_000)));
                writer.write_all(piece).unwrap();
                rest = others;
            }
        });
        let mut heard = Vec::new();
        loop {
            let reply = session.reply();
            heard.extend_from_slice(&reply);
            if reply == ENDED {
                return heard;
            }
        }
    })
}

#[test]
fn the_answers_to_a_pipeline_are_those_of_the_server_octet_by_octet() {
    let Some(db) = servers::Db::own() else { return };
    let house = db.route().start();
    let seed = seed();
    for version in ["2", "3"] {
        let directly = answers(Raw::direct(db.server.addr()), seed, version, Asked::Directly);
        let through = answers(house.raw(), seed, version, Asked::ThroughAttache);
        assert!(directly.len() > COMMANDS, "{} octets", directly.len());
        assert!(directly == through, "protocol {version}: {}", difference(seed, &directly, &through));
    }
}
