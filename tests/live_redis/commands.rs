//! Commands whose answers depend on nothing but the commands before.

use attache_kit::Chance;

use crate::streams::{WHO, WITH_WHAT};

type Words = Vec<Vec<u8>>;

/// The words of a text, in which each `?` stands for the next value.
pub fn line(text: &str, values: &[&[u8]]) -> Words {
    let mut values = values.iter();
    let word = |word: &str| match word {
        "?" => values.next().unwrap().to_vec(),
        word => word.as_bytes().to_vec(),
    };
    text.split(' ').map(word).collect()
}

pub fn key(chance: &mut Chance) -> Vec<u8> {
    format!("key:{}", chance.below(8)).into_bytes()
}

/// Mostly short.
fn value(chance: &mut Chance) -> Vec<u8> {
    let most = chance.pick(&[1, 10, 10, 100, 100, 2_000, 30_000]);
    chance.octets(most)
}

fn number(chance: &mut Chance) -> Vec<u8> {
    (chance.below(40) as i64 - 10).to_string().into_bytes()
}

/// Of every type of value, read and written; often of the wrong type.
pub fn data(chance: &mut Chance) -> Words {
    let (key, other, value, number) = (key(chance), key(chance), value(chance), number(chance));
    match chance.below(40) {
        0..=3 => line("SET ? ?", &[&key, &value]),
        4 => line("SET ? ? XX GET", &[&key, &value]),
        5..=8 => line("GET ?", &[&key]),
        9 => line("INCRBY ? ?", &[&key, &number]),
        10 => line("APPEND ? ?", &[&key, &value]),
        11 => line("GETRANGE ? ? -1", &[&key, &number]),
        12 => line("MGET ? ? key:0", &[&key, &other]),
        13 => line("MSET ? ? ? x", &[&key, &value, &other]),
        14 => line("LPUSH ? ? ?", &[&key, &value, &number]),
        15 => line("LRANGE ? 0 10", &[&key]),
        16 => line("RPOPLPUSH ? ?", &[&key, &other]),
        17 => line("BLPOP ? ? 0.002", &[&key, &other]),
        18 => line("HSET ? ? ?", &[&key, &number, &value]),
        19 => line("HGETALL ?", &[&key]),
        20 => line("HINCRBYFLOAT ? ? 0.5", &[&key, &number]),
        21 => line("ZADD ? ? ?", &[&key, &number, &other]),
        22 => line("ZRANGE ? 0 -1 WITHSCORES", &[&key]),
        23 => line("ZINCRBY ? 0.25 ?", &[&key, &other]),
        24 => line("ZSCORE ? ?", &[&key, &other]),
        25 => line("SADD ? ?", &[&key, &number]),
        26 => line("SMEMBERS ?", &[&key]),
        27 => line("SISMEMBER ? ?", &[&key, &number]),
        28 => line("XADD ? 5-* f ?", &[&key, &value]),
        29 => line("XRANGE ? - + COUNT 3", &[&key]),
        30 => line("XREAD COUNT 1 BLOCK 2 STREAMS ? 4", &[&key]),
        31 => line("DEL ? ?", &[&key, &other]),
        32 => line("TYPE ?", &[&key]),
        33 => line("RENAME ? ?", &[&key, &other]),
        34 => line("COPY ? ? REPLACE", &[&key, &other]),
        35 => line("EXISTS ? ? ?", &[&key, &other, &key]),
        36 => line("BITCOUNT ?", &[&key]),
        37 => line("STRLEN ?", &[&key]),
        38 => line("FLUSHDB", &[]),
        _ => line("ECHO ?", &[&value]),
    }
}

pub fn errors(chance: &mut Chance) -> Words {
    let (key, value) = (key(chance), value(chance));
    match chance.below(14) {
        0 => line("NOSUCHCOMMAND ? ?", &[&key, &value]),
        1 => line("GET", &[]),
        2 => line("SET ? x BAD", &[&key]),
        3 => line("? ?", &[&value, &key]),
        4 => line("?", &[b""]),
        5 => line("AUTH", &[]),
        6 => line("AUTH a b c", &[]),
        7 => line("RESET now", &[]),
        8 => line("HELLO", &[]),
        9 => line("MULTI 1", &[]),
        10 => line("SUBSCRIBE", &[]),
        11 => line("CLIENT REPLY maybe", &[]),
        12 => line("EXEC now", &[]),
        _ => line("OBJECT ENCODING ?", &[&key]),
    }
}

/// What a script returns looks different in RESP2 and RESP3, and it may say itself which it wants.
pub fn scripts(chance: &mut Chance) -> Words {
    const TEXTS: [&str; 9] = [
        "return {1, 2.5, 'three', {nil}, false, true}",
        "return redis.call('get', KEYS[1])",
        "return redis.error_reply('MINE of this script')",
        "return redis.status_reply('FINE')",
        "redis.setresp(3); return redis.call('hgetall', KEYS[1])",
        "redis.setresp(3); return {double = 2.5}",
        "return {map = {a = 1, b = {1, 2}}}",
        "for i = 1, 300 do redis.call('rpush', KEYS[1], i) end; return redis.call('llen', KEYS[1])",
        "return redis.pcall('auth', 'a', 'b')",
    ];
    let (key, text) = (key(chance), chance.pick(&TEXTS).as_bytes());
    match chance.below(6) {
        0 => line("EVALSHA ffffffffffffffffffffffffffffffffffffffff 1 ?", &[&key]),
        1 => line("SCRIPT LOAD ?", &[text]),
        2 => line("EVAL_RO ? 1 ?", &[text, &key]),
        _ => line("EVAL ? 1 ?", &[text, &key]),
    }
}

/// Of the connection, and of the server.
pub fn settings(chance: &mut Chance) -> Words {
    let number = number(chance);
    match chance.below(15) {
        0..=2 => line("SELECT ?", &[&number]),
        3 => line("CLIENT SETNAME ?", &[&number]),
        4 => line("CLIENT GETNAME", &[]),
        5 => line("CLIENT TRACKING ON", &[]),
        6 => line("CLIENT TRACKING ON NOLOOP", &[]),
        7 => line("CLIENT TRACKING OFF", &[]),
        8 => line("CLIENT GETREDIR", &[]),
        9 => line("CLIENT NO-EVICT ON", &[]),
        10 => line("CONFIG GET maxmemory*", &[]),
        11 => line("ACL WHOAMI", &[]),
        12 => line("COMMAND GETKEYS MSET a b c d", &[]),
        13 => line("PING ?", &[&number]),
        _ => line("WAIT 0 1", &[]),
    }
}

pub fn subscription(chance: &mut Chance) -> Words {
    match chance.below(10) {
        0..=1 => line("SUBSCRIBE news", &[]),
        2 => line("SUBSCRIBE news other news", &[]),
        3 => line("PSUBSCRIBE n*", &[]),
        4 => line("SSUBSCRIBE shard", &[]),
        5 => line("UNSUBSCRIBE news", &[]),
        6 => line("UNSUBSCRIBE", &[]),
        7 => line("PUNSUBSCRIBE", &[]),
        8 => line("SUNSUBSCRIBE", &[]),
        _ => publish(chance),
    }
}

pub fn publish(chance: &mut Chance) -> Words {
    let value = value(chance);
    match chance.below(3) {
        0 => line("SPUBLISH shard ?", &[&value]),
        1 => line("PUBLISH other ?", &[&value]),
        _ => line("PUBLISH news ?", &[&value]),
    }
}

/// What is answered by nothing.
pub fn nothing(chance: &mut Chance) -> Vec<u8> {
    chance.pick(&[&b"\r\n"[..], b"\n", b"*0\r\n", b"*-1\r\n", b"  \t \r\n", b"*-5\r\n"]).to_vec()
}

pub fn auth(chance: &mut Chance) -> Words {
    let text = chance.pick(&["AUTH ? ?", "auth ? ?", "aUtH ? ?", "AUTH ?"]);
    if text == "AUTH ?" { line(text, &[WITH_WHAT]) } else { line(text, &[WHO, WITH_WHAT]) }
}

pub fn hello(chance: &mut Chance) -> Words {
    let version = chance.pick(&["2", "3", "3", "3", "4", "x", "03"]).as_bytes();
    match chance.below(10) {
        0..=3 => line("HELLO ?", &[version]),
        4 | 5 => line("HELLO ? AUTH ? ?", &[version, WHO, WITH_WHAT]),
        6 => line("hello ? SETNAME me auth ? ?", &[version, WHO, WITH_WHAT]),
        7 => line("HELLO ? AUTH ? ? SETNAME ?", &[version, WHO, WITH_WHAT, b"not a name"]),
        8 => line("HELLO ? AUTH ?", &[version, WHO]),
        _ => line("HELLO ? NONSENSE AUTH ? ?", &[version, WHO, WITH_WHAT]),
    }
}

/// Each of which tells a login, or moves one.
pub fn refused(chance: &mut Chance) -> Words {
    let text = chance.pick(&[
        "ACL LIST",
        "acl getuser app",
        "ACL SETUSER app on nopass",
        "CONFIG GET *",
        "CONFIG GET maxmemory REQUIREPASS",
        r"CONFIG GET [^\R]equirepass",
        "CONFIG GET primaryauth",
        "CONFIG SET requirepass x",
        "DEBUG SLEEP 0",
        "MODULE LIST",
        "REPLICAOF 127.0.0.1 1",
        "MIGRATE 127.0.0.1 1 key:0 0 10 AUTH x",
    ]);
    line(text, &[])
}
