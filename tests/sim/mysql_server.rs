//! MySQL as a server speaks it: two accounts with a method each, a role that can be asked for, sessions that can be reset.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::book::{Condition, Duty, Login};
use crate::dice::Dice;
use crate::mysql::{
    DEPRECATE_EOF, EOF, ERR, FLAGS, OK, QUERY, QUIT, SHUTDOWN, SSL, caching_sha2, native, packet, read,
};
use crate::speech::Wire;
use crate::world::World;

const INIT_DB: u8 = 2;
const PING: u8 = 0x0e;
const RESET_CONNECTION: u8 = 0x1f;
const VERSION: &[u8] = b"8.4.0\0";
const FIRST_METHOD: &[u8] = b"caching_sha2_password\0";
const OTHER_METHOD: &[u8] = b"mysql_native_password\0";
/// Whose method is the other one: the server has to ask for it.
const OF_OTHER_METHOD: &str = "app_b";
const NONCE_LEN: usize = 20;
/// The server's `connect_timeout`: whoever has been greeted and says nothing is let go of.
const LOGIN_BEGINS_WITHIN: Duration = Duration::from_secs(10);
/// `utf8mb4_0900_ai_ci`
const COLLATION: u8 = 255;
/// Of a response, in front of the name: flags, the longest packet, the collation, and a filler.
const HEAD_LEN: usize = 4 + 4 + 1 + 23;
/// Status flags.
const IN_TRANSACTION: u16 = 1;
const AUTOCOMMIT: u16 = 2;

/// One connection, from the server's first words to its end.
pub async fn serve(world: &World, conn: usize, wire: &mut Wire, closing: Arc<Notify>) {
    let mut talk = Talk { world, conn, wire, stage: Stage::Login, flags: 0, status: AUTOCOMMIT };
    tokio::select! {
        biased;
        () = closing.notified() => {}
        _ = talk.serve() => return,
    }
    // A statement that runs is stopped by an error. Whoever asks nothing is told nothing.
    if talk.stage == Stage::Running && !talk.wire.sending {
        let _ = talk.wire.send(&packet(1, &error(SHUTDOWN, "08S01", "Server shutdown in progress"))).await;
    }
}

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Login,
    Resting,
    Running,
}

struct Talk<'a> {
    world: &'a World,
    conn: usize,
    wire: &'a mut Wire,
    stage: Stage,
    /// What the client has set of what it was offered.
    flags: u32,
    status: u16,
}

impl Talk<'_> {
    async fn serve(&mut self) -> io::Result<()> {
        if !self.log_in().await? {
            return Ok(());
        }
        loop {
            self.stage = Stage::Resting;
            let (sequence, command) = read(self.wire).await?;
            if sequence != 0 {
                self.world.wrong(format!("a command bears the number {sequence} ({})", self.conn));
            }
            self.stage = Stage::Running;
            let answer = match command[0] {
                QUIT => return Ok(()),
                QUERY => self.answer(&String::from_utf8_lossy(&command[1..])).await,
                RESET_CONNECTION => {
                    self.status = AUTOCOMMIT;
                    self.ok("")
                }
                INIT_DB | PING => self.ok(""),
                _ => packet(1, &error(1047, "08S01", "Unknown command")),
            };
            self.wire.send(&answer).await?;
        }
    }

    /// Whether the client is let in.
    async fn log_in(&mut self) -> io::Result<bool> {
        if self.condition() == Condition::Starting {
            let text = [&[ERR][..], &SHUTDOWN.to_le_bytes(), b"Server shutdown in progress"].concat();
            self.wire.send(&packet(0, &text)).await?;
            return Ok(false);
        }
        let first = nonce(self.conn, "first nonce");
        let tls = self.world.tls();
        let flags = if tls.is_some() { FLAGS | SSL } else { FLAGS };
        self.wire.send(&packet(0, &hello(self.conn, &first, flags))).await?;
        let response = timeout(LOGIN_BEGINS_WITHIN, read(self.wire)).await;
        let Ok(response) = response else { return Ok(false) };
        let (mut sequence, mut response) = response?;
        let mut number = 1;
        if let Some(tls) = tls {
            if response.len() != HEAD_LEN {
                self.world.wrong(format!("a login in plain text, of {} octets", response.len()));
            }
            self.wire.secure(tls).await?;
            (sequence, response) = read(self.wire).await?;
            number = 2;
        }
        let began = Instant::now();
        if sequence != number || response.len() <= HEAD_LEN {
            self.world.wrong(format!("packet {sequence} with {} octets begins a login", response.len()));
            return Ok(false);
        }
        self.flags = u32::from_le_bytes([response[0], response[1], response[2], response[3]]) & FLAGS;
        let (user, proof) = user_and_proof(&response[HEAD_LEN..]);
        // Whoever was met for nothing says so, and costs no account anything.
        if user.is_empty() {
            self.wire.send(&packet(number + 1, &error(1045, "28000", "Access denied for user ''"))).await?;
            return Ok(false);
        }
        let (login, next) = if user == OF_OTHER_METHOD {
            let second = nonce(self.conn, "second nonce");
            let switch = [&[EOF], OTHER_METHOD, &second, &[0]].concat();
            self.wire.send(&packet(number + 1, &switch)).await?;
            let (_, proof) = read(self.wire).await?;
            (self.proven(&user, |password| native(password, &second) == proof), number + 3)
        } else {
            (self.proven(&user, |password| caching_sha2(password, &first) == proof), number + 1)
        };
        if !self.world.judges(self.conn, began, login) {
            let text = format!("Access denied for user '{user}'@'10.0.1.1' (using password: YES)");
            self.wire.send(&packet(next, &error(1045, "28000", &text))).await?;
            return Ok(false);
        }
        // fast_auth_success, where there was no switch.
        let fast = if next == number + 1 { packet(next, &[1, 3]) } else { Vec::new() };
        let next = if fast.is_empty() { next } else { next + 1 };
        let welcome = packet(next, &ok(self.status, &format!("0 {}", self.conn)));
        self.wire.send(&[fast, welcome].concat()).await?;
        Ok(true)
    }

    /// The password that was proven, of all that there ever were.
    fn proven(&self, user: &str, proves: impl Fn(&[u8]) -> bool) -> Login {
        let login = {
            let state = self.world.state();
            let known = state.history().flat_map(|facts| facts.valid.iter().chain(&facts.mounted));
            let mut known = known.filter(|login| login.user == user);
            known.find(|login| proves(login.password.as_bytes())).cloned()
        };
        login.unwrap_or_else(|| {
            self.world.wrong(format!("{user} proves no password that there ever was ({})", self.conn));
            Login::new(user, "unknown")
        })
    }

    async fn answer(&mut self, statement: &str) -> Vec<u8> {
        let lower = statement.to_ascii_lowercase();
        if lower.starts_with("select @@global.read_only") {
            return self.standing(lower.contains("@@character_set_client"));
        }
        if lower.starts_with("set ") {
            return self.ok("");
        }
        let words: Vec<&str> = statement.split(' ').collect();
        if words[0] == "INSERT" && self.duty() == Duty::Replica {
            let text = "The MySQL server is running with the --read-only option";
            return packet(1, &error(1290, "HY000", text));
        }
        let Some(number) = words.get(1).and_then(|word| word.parse().ok()) else {
            return packet(1, &error(1064, "42000", "You have an error in your SQL syntax"));
        };
        self.world.state().conns[self.conn].executed.push(number);
        if let Some(millis) = words.get(3).and_then(|word| word.parse().ok()) {
            sleep(Duration::from_millis(millis)).await;
        }
        let told = format!("{number} {}", self.conn);
        match words[0] {
            "BEGIN" => self.status |= IN_TRANSACTION,
            "COMMIT" => self.status &= !IN_TRANSACTION,
            "SELECT" => return self.row(&[&told]),
            _ => {}
        }
        self.ok(&told)
    }

    /// What a login is followed by: the role, and what a reset will not bring back.
    fn standing(&self, whole: bool) -> Vec<u8> {
        let duty = self.duty();
        let read_only = if duty == Duty::Replica { "1" } else { "0" };
        let start = ["utf8mb4", "utf8mb4", "utf8mb4_0900_ai_ci", "", "NONE"];
        let all = [&[read_only, "0"][..], if whole { &start } else { &[] }].concat();
        let told = self.row(&all);
        self.world.tells_duty(self.conn, duty, told.len());
        told
    }

    /// A result of one row (manual, "Text Resultset").
    fn row(&self, values: &[&str]) -> Vec<u8> {
        let mut packets = vec![vec![u8::try_from(values.len()).expect("a few")]];
        packets.extend(values.iter().map(|_| column()));
        let [low, high] = self.status.to_le_bytes();
        if self.flags & DEPRECATE_EOF == 0 {
            packets.push(vec![EOF, 0, 0, low, high]);
        }
        packets.push(values.iter().flat_map(|value| text(value)).collect());
        packets.push(match self.flags & DEPRECATE_EOF {
            0 => vec![EOF, 0, 0, low, high],
            _ => vec![EOF, 0, 0, low, high, 0, 0],
        });
        let numbered = packets.iter().zip(1..).map(|(payload, sequence)| packet(sequence, payload));
        numbered.collect::<Vec<_>>().concat()
    }

    fn ok(&self, text: &str) -> Vec<u8> {
        packet(1, &ok(self.status, text))
    }

    fn duty(&self) -> Duty {
        let state = self.world.state();
        state.now.servers[state.conns[self.conn].server].duty
    }

    fn condition(&self) -> Condition {
        let state = self.world.state();
        state.now.servers[state.conns[self.conn].server].condition
    }
}

/// Protocol::HandshakeV10.
fn hello(conn: usize, nonce: &[u8; NONCE_LEN], flags: u32) -> Vec<u8> {
    let (head, tail) = nonce.split_at(8);
    let [low, lower, high, higher] = flags.to_le_bytes();
    let id = u32::try_from(conn).expect("a few connections").to_le_bytes();
    let flags =
        [&[0, low, lower, COLLATION][..], &AUTOCOMMIT.to_le_bytes(), &[high, higher, 21], &[0; 10]].concat();
    [&[10], VERSION, &id, head, &flags, tail, &[0], FIRST_METHOD].concat()
}

/// Symbols without NUL, other ones for each connection.
fn nonce(conn: usize, purpose: &str) -> [u8; NONCE_LEN] {
    let mut dice = Dice::of(conn as u64, purpose);
    std::array::from_fn(|_| b'0' + u8::try_from(dice.roll(64)).expect("a symbol"))
}

/// Attaché always says how long a proof is.
fn user_and_proof(tail: &[u8]) -> (String, Vec<u8>) {
    let end = tail.iter().position(|byte| *byte == 0).unwrap_or(tail.len());
    let user = String::from_utf8_lossy(&tail[..end]).into_owned();
    let proof = tail.get(end + 1..).and_then(|rest| rest.split_first());
    let proof = proof.and_then(|(length, rest)| rest.get(..usize::from(*length))).unwrap_or_default();
    (user, proof.to_vec())
}

fn ok(status: u16, text: &str) -> Vec<u8> {
    [&[OK, 0, 0][..], &status.to_le_bytes(), &[0, 0], text.as_bytes()].concat()
}

fn error(number: u16, sqlstate: &str, text: &str) -> Vec<u8> {
    [&[ERR][..], &number.to_le_bytes(), b"#", sqlstate.as_bytes(), text.as_bytes()].concat()
}

fn column() -> Vec<u8> {
    let names = ["def", "", "", "", "value", ""].map(text).concat();
    // Fixed fields: their length, character set, width, a text, no flags, no decimals, nothing.
    [&names[..], &[0x0c, 45, 0, 255, 0, 0, 0, 0xfd, 0, 0, 0, 0, 0]].concat()
}

fn text(value: &str) -> Vec<u8> {
    [&[u8::try_from(value.len()).expect("a short text")], value.as_bytes()].concat()
}
