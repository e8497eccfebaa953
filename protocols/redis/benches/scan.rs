//! What it costs to follow a stream of commands, or of replies, beside the least that one can do with it: a copy.
//!
//! That the work is bounded is for the tests beside the scanners, which count it. Here is only how long it takes.
#![allow(clippy::disallowed_types, reason = "a benchmark reads the clock")]
#![allow(clippy::print_stdout, reason = "its report is what it is for")]

use std::hint::black_box;
use std::time::Instant;

use attache_redis::{Facts, Greeting, Intent, Options, Redis, SessionWatch};
use attache_wire::{Passage, Protocol, Relay, Watch};

/// As much as the relay reads at once.
const READ_LEN: usize = 64 * 1024;
/// And as little as a network may bring.
const SMALL_READ_LEN: usize = 1460;
const TIMES: usize = 5;
const MIB: f64 = 1024.0 * 1024.0;

/// Who has sent a stream.
#[derive(Clone, Copy)]
enum From {
    Client,
    Server,
}

fn main() {
    println!("{:<44} {:>9} {:>9} {:>9}", "", "MiB", "MiB/s", "of a copy");
    report("GET and SET of 32 octets", From::Client, READ_LEN, &pipeline().repeat(200_000));
    report(
        "their replies",
        From::Server,
        READ_LEN,
        &b"$32\r\nabcdefghijklmnopqrstuvwxyz012345\r\n+OK\r\n".repeat(200_000),
    );
    let array = array();
    report("a command of 512 MB", From::Client, READ_LEN, &array);
    report("the same in small reads", From::Client, SMALL_READ_LEN, &array);
    report("a reply of 512 MB", From::Server, READ_LEN, &array);
    report("the same in small reads", From::Server, SMALL_READ_LEN, &array);
    report("a million arrays, each in the one before", From::Server, READ_LEN, &b"*1\r\n".repeat(1_000_000));
    report("the same in small reads", From::Server, SMALL_READ_LEN, &b"*1\r\n".repeat(1_000_000));
}

fn report(name: &str, from: From, read: usize, stream: &[u8]) {
    let copied = best(|| copied(stream, read));
    let followed = best(|| followed(stream, from, read));
    let (len, rate) = (stream.len() as f64 / MIB, stream.len() as f64 / MIB / followed);
    println!("{name:<44} {len:>9.1} {rate:>9.0} {:>9.2}", copied / followed);
}

/// The shortest of a few times, in seconds.
fn best(mut act: impl FnMut()) -> f64 {
    let times = (0..TIMES).map(|_| {
        let began = Instant::now();
        act();
        began.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
}

fn copied(stream: &[u8], read: usize) {
    let mut room = vec![0; read];
    for piece in stream.chunks(read) {
        room[..piece.len()].copy_from_slice(black_box(piece));
        black_box(&room);
    }
}

fn followed(stream: &[u8], from: From, read: usize) {
    let mut watch = watch();
    let mut held = Vec::new();
    for piece in stream.chunks(read) {
        match from {
            From::Server => watch.from_server(piece).expect("a reply is never refused"),
            From::Client => client(&mut watch, &mut held, piece),
        }
    }
    black_box(&watch);
}

/// What was held back is shown again in front of the next piece.
fn client(watch: &mut SessionWatch, held: &mut Vec<u8>, piece: &[u8]) {
    let was_held = !held.is_empty();
    if was_held {
        held.extend_from_slice(piece);
    }
    let shown = if was_held { held.as_slice() } else { piece };
    match watch.from_client(shown).expect("commands") {
        Passage::All => held.clear(),
        Passage::Hold(passed) => *held = shown[passed..].to_vec(),
        other @ (Passage::Until(_) | Passage::Bye(_) | Passage::Instead { .. }) => {
            panic!("{other:?} in the midst of plain commands")
        }
    }
}

fn watch() -> Box<SessionWatch> {
    let protocol = Redis::new(Options::default(), None);
    match protocol.relay(&Intent::Session, &Greeting::Ready(Facts::default())) {
        Relay::Watched(watch) => watch,
        Relay::Opaque => unreachable!("a session is watched"),
    }
}

fn pipeline() -> Vec<u8> {
    let value = b"abcdefghijklmnopqrstuvwxyz012345";
    let set = [b"*3\r\n$3\r\nSET\r\n$8\r\nkey:0001\r\n$32\r\n", &value[..], b"\r\n"].concat();
    [b"*2\r\n$3\r\nGET\r\n$8\r\nkey:0001\r\n", &set[..]].concat()
}

/// Of half a million strings: a command that nobody knows, or a reply.
fn array() -> Vec<u8> {
    const STRINGS: usize = 500_000;
    let string = [&b"$1024\r\n"[..], &[b'x'; 1024], b"\r\n"].concat();
    [format!("*{STRINGS}\r\n").into_bytes(), string.repeat(STRINGS)].concat()
}
