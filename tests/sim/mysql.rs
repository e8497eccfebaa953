//! MySQL as a client speaks it that has no password, and what both sides have in common: packets and proofs.

use std::io;

use aws_lc_rs::digest::{self, Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use bytes::{Buf, BytesMut};

use crate::speech::{Answer, Broken, Question, Told, Wire, broken};

/// Capability flags (manual, "Capabilities Flags"): those of a client of today, without what needs TLS.
const LONG_PASSWORD: u32 = 1;
const CONNECT_WITH_DB: u32 = 1 << 3;
const PROTOCOL_41: u32 = 1 << 9;
pub const SSL: u32 = 1 << 11;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const MULTI_RESULTS: u32 = 1 << 17;
const PLUGIN_AUTH: u32 = 1 << 19;
const CONNECT_ATTRS: u32 = 1 << 20;
const PLUGIN_AUTH_LENENC: u32 = 1 << 21;
pub const DEPRECATE_EOF: u32 = 1 << 24;
pub const FLAGS: u32 = LONG_PASSWORD
    | CONNECT_WITH_DB
    | PROTOCOL_41
    | TRANSACTIONS
    | SECURE_CONNECTION
    | MULTI_RESULTS
    | PLUGIN_AUTH
    | CONNECT_ATTRS
    | PLUGIN_AUTH_LENENC
    | DEPRECATE_EOF;

pub const QUIT: u8 = 1;
pub const QUERY: u8 = 3;
pub const OK: u8 = 0;
pub const ERR: u8 = 0xff;
pub const EOF: u8 = 0xfe;
/// What is sent of a large packet, and `utf8mb4_general_ci`.
const MAX_PACKET: u32 = 1 << 24;
const COLLATION: u8 = 45;
/// An error that ends a session: the server goes away.
pub const SHUTDOWN: u16 = 1053;

/// The client's login, up to the OK. Its text names the server's connection.
pub async fn begin(wire: &mut Wire) -> Result<Option<usize>, Broken> {
    let (_, hello) = hear(wire, false).await?;
    if hello[0] == ERR {
        return Err(farewell(wire, told(&hello)).await);
    }
    let _sent = wire.send(&packet(1, &response())).await;
    loop {
        let (_, payload) = hear(wire, false).await?;
        match payload[0] {
            // fast_auth_success
            1 => {}
            OK => return Ok(Some(named(&payload).1)),
            ERR => return Err(farewell(wire, told(&payload)).await),
            other => panic!("{other} has no place in a login"),
        }
    }
}

/// HandshakeResponse41, with a proof of a password that it does not have.
fn response() -> Vec<u8> {
    let flags = FLAGS & !(CONNECT_ATTRS | PLUGIN_AUTH_LENENC);
    let mut response = [&flags.to_le_bytes()[..], &MAX_PACKET.to_le_bytes(), &[COLLATION], &[0; 23]].concat();
    response.extend(b"nobody\0");
    response.push(32);
    response.extend([7; 32]);
    response.extend(b"shop\0caching_sha2_password\0");
    response
}

pub async fn ask(wire: &mut Wire, asked: Question) -> Result<Answer, Broken> {
    let _sent = wire.send(&question(asked)).await;
    let mut answer = None;
    let (mut left, mut next) = (None, 1);
    loop {
        let (sequence, payload) = hear(wire, next > 1).await?;
        if payload[0] == ERR {
            let told = told(&payload);
            if told.code == SHUTDOWN.to_string() || told.text.contains("attache:") {
                return Err(farewell(wire, told).await);
            }
            answer = Some(Answer::Error(told));
        }
        assert_eq!(sequence, next, "packets of an answer are counted");
        next += 1;
        match (left, payload[0]) {
            (None, ERR) => return Ok(answer.expect("the error")),
            (None, OK) => return Ok(done(&payload[7..])),
            (None, columns) => left = Some(columns),
            (Some(0), EOF) => return Ok(answer.expect("a row")),
            (Some(0), length) => answer = Some(done(&payload[1..=usize::from(length)])),
            (Some(columns), _) => left = Some(columns - 1),
        }
    }
}

pub fn question(question: Question) -> Vec<u8> {
    let text = match question {
        Question::Read(number) => format!("SELECT {number}"),
        Question::Slow(number, time) => format!("SELECT {number} SLEEP {}", time.as_millis()),
        Question::Write(number) => format!("INSERT {number}"),
        Question::Begin(number) => format!("BEGIN {number}"),
        Question::Commit(number) => format!("COMMIT {number}"),
    };
    packet(0, &[&[QUERY], text.as_bytes()].concat())
}

pub fn goodbye() -> Vec<u8> {
    packet(0, &[QUIT])
}

/// Whatever comes while nothing was asked, to the end.
pub async fn unasked(wire: &mut Wire) -> Broken {
    match hear(wire, false).await {
        Ok((_, payload)) if payload[0] == ERR => farewell(wire, told(&payload)).await,
        Ok((_, payload)) => panic!("an answer to nothing: {payload:?}"),
        Err(broken) => broken,
    }
}

/// Behind last words comes the end.
async fn farewell(wire: &mut Wire, told: Told) -> Broken {
    loop {
        if let Err(error) = wire.more().await {
            return broken(wire, &error, Some(told), false);
        }
    }
}

async fn hear(wire: &mut Wire, midway: bool) -> Result<(u8, Vec<u8>), Broken> {
    read(wire).await.map_err(|error| broken(wire, &error, None, midway))
}

/// A number and a connection, as rows and the texts of OK packets have them.
fn done(text: &[u8]) -> Answer {
    let (number, conn) = numbers(text);
    Answer::Done { conn, number }
}

/// The same of a whole OK.
fn named(payload: &[u8]) -> (u64, usize) {
    numbers(&payload[7..])
}

fn numbers(text: &[u8]) -> (u64, usize) {
    let text = String::from_utf8_lossy(text).into_owned();
    let (number, conn) = text.split_once(' ').expect("a number and a connection");
    (number.parse().expect("a number"), conn.parse().expect("a connection"))
}

/// An error has an SQLSTATE behind the greeting alone.
fn told(payload: &[u8]) -> Told {
    let number = u16::from_le_bytes([payload[1], payload[2]]);
    let text = if payload.get(3) == Some(&b'#') { &payload[9..] } else { &payload[3..] };
    Told { code: number.to_string(), text: String::from_utf8_lossy(text).into_owned() }
}

/// The next whole packet: its number, and its payload, which is never empty.
pub async fn read(wire: &mut Wire) -> io::Result<(u8, Vec<u8>)> {
    loop {
        if let Some(found) = take(&mut wire.input) {
            assert!(!found.1.is_empty(), "nobody says nothing");
            return Ok(found);
        }
        wire.more().await?;
    }
}

fn take(input: &mut BytesMut) -> Option<(u8, Vec<u8>)> {
    let &[low, middle, high, sequence] = input.first_chunk()?;
    let length = u32::from_le_bytes([low, middle, high, 0]) as usize;
    if input.len() < length + 4 {
        return None;
    }
    input.advance(4);
    Some((sequence, input.split_to(length).to_vec()))
}

pub fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short packet").to_le_bytes();
    [&length[..3], &[sequence], payload].concat()
}

fn hash(algorithm: &'static Algorithm, parts: &[&[u8]]) -> Vec<u8> {
    digest::digest(algorithm, &parts.concat()).as_ref().to_vec()
}

fn xor(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(one, other)| one ^ other).collect()
}

/// What proves a password by `caching_sha2_password`.
pub fn caching_sha2(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    let once = hash(&SHA256, &[password]);
    xor(&once, &hash(&SHA256, &[&hash(&SHA256, &[&once]), nonce]))
}

/// The same by `mysql_native_password`.
pub fn native(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    let once = hash(&SHA1_FOR_LEGACY_USE_ONLY, &[password]);
    let twice = hash(&SHA1_FOR_LEGACY_USE_ONLY, &[&once]);
    xor(&once, &hash(&SHA1_FOR_LEGACY_USE_ONLY, &[nonce, &twice]))
}
