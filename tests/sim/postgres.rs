//! PostgreSQL on both sides: a server that asks for a password, and a client that has none.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::book::{Condition, Duty, Login};
use crate::cancels::{self, CANCEL, CANCELLED};
use crate::speech::{Answer, Broken, Question, Told, Wire, broken};
use crate::world::World;

const VERSION_3: u32 = 196_608;
const TLS_REQUEST: u32 = 80_877_103;

/// One connection, from the startup packet to its end.
pub async fn serve(world: &World, conn: usize, wire: &mut Wire, closing: Arc<Notify>) {
    let serving = async {
        let wire = &mut *wire;
        let Some(()) = log_in(world, conn, wire).await? else { return Ok(()) };
        answer(world, conn, wire).await
    };
    let told: io::Result<()> = tokio::select! {
        biased;
        () = closing.notified() => Err(io::ErrorKind::Interrupted.into()),
        done = serving => done,
    };
    if told.is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) && !wire.sending {
        let _ =
            wire.send(&error("57P01", "terminating connection due to administrator command", "FATAL")).await;
    }
}

async fn log_in(world: &World, conn: usize, wire: &mut Wire) -> io::Result<Option<()>> {
    let mut startup = first(wire).await?;
    if let Some(tls) = world.tls() {
        if startup != TLS_REQUEST.to_be_bytes() {
            world.wrong(format!("the first packet does not ask for TLS: {:?}", startup.get(..4)));
        }
        wire.send(b"S").await?;
        wire.secure(tls).await?;
        startup = first(wire).await?;
    }
    if let Some(key) = startup.strip_prefix(&CANCEL.to_be_bytes()) {
        cancels::receive(world, key).await;
        return Ok(None);
    }
    let began = Instant::now();
    if startup.get(..4) != Some(&VERSION_3.to_be_bytes()[..]) {
        world.wrong(format!("a startup packet that begins with {:?}", startup.get(..4)));
        return Ok(None);
    }
    let server = world.state().conns[conn].server;
    if world.state().now.servers[server].condition == Condition::Starting {
        wire.send(&error("57P03", "the database system is starting up", "FATAL")).await?;
        return Ok(None);
    }
    let user = parameter(&startup[4..], "user");
    wire.send(&frame(b'R', &3u32.to_be_bytes())).await?;
    let (tag, body) = read(wire).await?;
    let password = String::from_utf8_lossy(body.strip_suffix(b"\0").unwrap_or(&body)).into_owned();
    if tag != b'p' || !world.judges(conn, began, Login { user: user.clone(), password }) {
        let text = format!("password authentication failed for user \"{user}\"");
        wire.send(&error("28P01", &text, "FATAL")).await?;
        return Ok(None);
    }
    let duty = duty(world, conn);
    let standby = if duty == Duty::Replica { "on" } else { "off" };
    let mut greeting = frame(b'R', &[0; 4]);
    greeting.extend(frame(b'S', b"server_version\x0018.0\0"));
    greeting.extend(frame(b'S', format!("in_hot_standby\0{standby}\0").as_bytes()));
    greeting.extend(frame(b'K', &[&u32::try_from(conn).unwrap_or(0).to_be_bytes()[..], &[7; 4]].concat()));
    greeting.extend(frame(b'Z', b"I"));
    world.tells_duty(conn, duty, greeting.len());
    wire.send(&greeting).await?;
    Ok(Some(()))
}

/// The next packet without a tag.
async fn first(wire: &mut Wire) -> io::Result<Vec<u8>> {
    loop {
        if let Some(packet) = untagged(&mut wire.input) {
            return Ok(packet);
        }
        wire.more().await?;
    }
}

async fn answer(world: &World, conn: usize, wire: &mut Wire) -> io::Result<()> {
    let mut state = b'I';
    loop {
        let (tag, body) = read(wire).await?;
        if tag != b'Q' {
            return Ok(());
        }
        let text = String::from_utf8_lossy(body.strip_suffix(b"\0").unwrap_or(&body)).into_owned();
        let words: Vec<&str> = text.split(' ').collect();
        let number = words.get(1).and_then(|word| word.parse().ok()).unwrap_or_default();
        let mut reply = match words[0] {
            "reset" => [complete("RESET"), complete("SET")].concat(),
            "DISCARD" => complete("DISCARD ALL"),
            "write" if duty(world, conn) == Duty::Replica => {
                error("25006", "cannot execute INSERT in a read-only transaction", "ERROR")
            }
            _ => {
                world.state().conns[conn].executed.push(number);
                let millis = words.get(2).and_then(|word| word.parse().ok()).unwrap_or_default();
                match words[0] {
                    "begin" => state = b'T',
                    "commit" => state = b'I',
                    _ => {}
                }
                match is_cancelled(world, conn, Duration::from_millis(millis)).await {
                    true => error(CANCELLED, "canceling statement due to user request", "ERROR"),
                    false => row(&format!("{number} {conn}")),
                }
            }
        };
        reply.extend(frame(b'Z', &[state]));
        wire.send(&reply).await?;
    }
}

/// Works for so long, if nobody cancels it.
async fn is_cancelled(world: &World, conn: usize, time: Duration) -> bool {
    let cancelled = Arc::clone(&world.state().conns[conn].cancelled);
    tokio::select! {
        biased;
        () = sleep(time) => false,
        () = cancelled.notified() => true,
    }
}

fn duty(world: &World, conn: usize) -> Duty {
    let state = world.state();
    state.now.servers[state.conns[conn].server].duty
}

/// The client's login, up to ReadyForQuery.
pub async fn begin(wire: &mut Wire) -> Result<Option<usize>, Broken> {
    let body = [&VERSION_3.to_be_bytes()[..], b"user\0nobody\0database\0shop\0\0"].concat();
    let length = u32::try_from(body.len() + 4).expect("a short packet");
    let packet = [&length.to_be_bytes()[..], &body].concat();
    let sent = wire.send(&packet).await;
    match hear(wire, sent).await? {
        Answer::Done { conn, .. } => Ok(Some(conn)),
        Answer::Error(told) => panic!("an error that ends no login: {told:?}"),
    }
}

pub async fn ask(wire: &mut Wire, asked: Question) -> Result<Answer, Broken> {
    let sent = wire.send(&question(asked)).await;
    hear(wire, sent).await
}

pub fn question(question: Question) -> Vec<u8> {
    let text = match question {
        Question::Read(number) => format!("read {number}"),
        Question::Slow(number, time) => format!("slow {number} {}", time.as_millis()),
        Question::Write(number) => format!("write {number}"),
        Question::Begin(number) => format!("begin {number}"),
        Question::Commit(number) => format!("commit {number}"),
    };
    frame(b'Q', format!("{text}\0").as_bytes())
}

/// Whatever comes while nothing was asked, to the end.
pub async fn unasked(wire: &mut Wire) -> Broken {
    match hear(wire, Ok(())).await {
        Ok(answer) => panic!("an answer to nothing: {answer:?}"),
        Err(broken) => broken,
    }
}

/// Reads up to ReadyForQuery, or to the end. What could not be sent any more may still be explained.
async fn hear(wire: &mut Wire, _sent: io::Result<()>) -> Result<Answer, Broken> {
    let mut answer = None;
    let mut told: Option<Told> = None;
    let mut midway = false;
    loop {
        let (tag, body) = match read(wire).await {
            Ok(frame) => frame,
            Err(error) => return Err(broken(wire, &error, told, midway)),
        };
        match tag {
            b'E' => told = Some(said(&body)),
            b'D' => answer = done(&body),
            b'K' => {
                answer = key(&body);
                wire.key = Some(body);
            }
            b'Z' => {
                let error = told.map(Answer::Error);
                return Ok(error.or(answer).expect("an answer before ReadyForQuery"));
            }
            _ => {}
        }
        midway = tag != b'E';
    }
}

fn done(row: &[u8]) -> Option<Answer> {
    let text = String::from_utf8(row.get(6..)?.to_vec()).ok()?;
    let (number, conn) = text.split_once(' ')?;
    Some(Answer::Done { conn: conn.parse().ok()?, number: number.parse().ok()? })
}

/// The process is the connection, also where Attaché gives its clients keys of its own.
fn key(body: &[u8]) -> Option<Answer> {
    let conn = u32::from_be_bytes(body.get(..4)?.try_into().ok()?);
    Some(Answer::Done { conn: conn as usize, number: 0 })
}

fn said(body: &[u8]) -> Told {
    let field = |name: u8| {
        let mut fields = body.split(|byte| *byte == 0);
        let value = fields.find_map(|field| field.strip_prefix(&[name][..]));
        String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
    };
    Told { code: field(b'C'), text: field(b'M') }
}

async fn read(wire: &mut Wire) -> io::Result<(u8, Vec<u8>)> {
    loop {
        if let Some(found) = tagged(&mut wire.input) {
            return Ok(found);
        }
        wire.more().await?;
    }
}

fn tagged(input: &mut BytesMut) -> Option<(u8, Vec<u8>)> {
    let length = u32::from_be_bytes(input.get(1..5)?.try_into().ok()?) as usize;
    if input.len() <= length {
        return None;
    }
    let tag = input.get_u8();
    let body = input.split_to(length)[4..].to_vec();
    Some((tag, body))
}

fn untagged(input: &mut BytesMut) -> Option<Vec<u8>> {
    let length = u32::from_be_bytes(input.get(..4)?.try_into().ok()?) as usize;
    (input.len() >= length).then(|| input.split_to(length)[4..].to_vec())
}

fn parameter(pairs: &[u8], name: &str) -> String {
    let words: Vec<&[u8]> = pairs.split(|byte| *byte == 0).collect();
    let pair = words.chunks_exact(2).find(|pair| pair[0] == name.as_bytes());
    pair.map(|pair| String::from_utf8_lossy(pair[1]).into_owned()).unwrap_or_default()
}

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a short body");
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

fn complete(tag: &str) -> Vec<u8> {
    frame(b'C', format!("{tag}\0").as_bytes())
}

fn row(value: &str) -> Vec<u8> {
    let length = u32::try_from(value.len()).expect("a short value");
    let body = [&[0, 1][..], &length.to_be_bytes(), value.as_bytes()].concat();
    [frame(b'D', &body), complete("SELECT 1")].concat()
}

fn error(code: &str, text: &str, severity: &str) -> Vec<u8> {
    frame(b'E', format!("S{severity}\0V{severity}\0C{code}\0M{text}\0\0").as_bytes())
}
