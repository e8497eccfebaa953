//! Redis on both sides: a server with access lists, and a client that says nothing of a password.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::book::{Condition, Duty, Login};
use crate::speech::{Answer, Broken, Question, Told, Wire, broken};
use crate::world::World;

/// One connection, to its end. Redis closes without a word.
pub async fn serve(world: &World, conn: usize, wire: &mut Wire, closing: Arc<Notify>) {
    let serving = async {
        if let Some(tls) = world.tls()
            && wire.secure(tls).await.is_err()
        {
            return;
        }
        let mut client = Client::default();
        while let Ok(command) = command(wire).await {
            let reply = client.answer(world, conn, &command).await;
            if wire.send(&reply).await.is_err() || command[0] == "QUIT" {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        () = closing.notified() => {}
        () = serving => {}
    }
}

/// What the server knows of one connection.
#[derive(Default)]
struct Client {
    is_in: bool,
    /// Commands of an open transaction.
    queued: Option<Vec<String>>,
}

impl Client {
    async fn answer(&mut self, world: &World, conn: usize, command: &[String]) -> Vec<u8> {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let began = Instant::now();
        let (condition, duty) = {
            let state = world.state();
            let server = state.now.servers[state.conns[conn].server];
            (server.condition, server.duty)
        };
        match words[..] {
            ["AUTH", ..] if self.queued.is_some() => {
                world.wrong(format!("a login in the midst of a transaction ({conn})"));
                b"-ERR Command not allowed inside a transaction\r\n".to_vec()
            }
            ["AUTH", user, password] => {
                self.is_in |= world.judges(conn, began, Login::new(user, password));
                match world.state().verdicts.last().is_some_and(|verdict| verdict.accepted) {
                    true => b"+OK\r\n".to_vec(),
                    false => b"-WRONGPASS invalid username-password pair or user is disabled.\r\n".to_vec(),
                }
            }
            _ if !self.is_in => b"-NOAUTH Authentication required.\r\n".to_vec(),
            ["HELLO"] => {
                let role = if duty == Duty::Primary { "master" } else { "replica" };
                array(&["version", "8.0.0", "mode", "standalone", "role", role])
            }
            _ if condition == Condition::Starting => {
                b"-LOADING Redis is loading the dataset in memory\r\n".to_vec()
            }
            ["PING"] => b"+PONG\r\n".to_vec(),
            ["ROLE"] => {
                let told = match duty {
                    Duty::Primary => &b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"[..],
                    Duty::Replica => b"*5\r\n$5\r\nslave\r\n$1\r\nx\r\n:1\r\n$9\r\nconnected\r\n:0\r\n",
                };
                world.tells_duty(conn, duty, told.len());
                told.to_vec()
            }
            ["SELECT", _] | ["QUIT"] => b"+OK\r\n".to_vec(),
            ["SET", ..] if duty == Duty::Replica => {
                b"-READONLY You can't write against a read only replica.\r\n".to_vec()
            }
            ["MULTI"] => {
                self.queued = Some(Vec::new());
                b"+OK\r\n".to_vec()
            }
            ["EXEC"] => self.queued.take().map_or(b"-ERR EXEC without MULTI\r\n".to_vec(), |queued| {
                for number in &queued {
                    executed(world, conn, number);
                }
                let done: Vec<String> = queued.iter().map(|number| format!("{number} {conn}")).collect();
                array(&done.iter().map(String::as_str).collect::<Vec<_>>())
            }),
            ["GET" | "SET" | "BLPOP", number, ..] if self.queued.is_some() => {
                self.queued.get_or_insert_default().push(number.to_owned());
                b"+QUEUED\r\n".to_vec()
            }
            ["BLPOP", number, millis] => {
                executed(world, conn, number);
                sleep(Duration::from_millis(millis.parse().unwrap_or_default())).await;
                bulk(&format!("{number} {conn}"))
            }
            ["GET" | "SET", number, ..] => {
                executed(world, conn, number);
                bulk(&format!("{number} {conn}"))
            }
            _ => format!("-ERR unknown command '{}'\r\n", words[0]).into_bytes(),
        }
    }
}

fn executed(world: &World, conn: usize, number: &str) {
    let number = number.parse().expect("questions are numbered");
    world.state().conns[conn].executed.push(number);
}

pub async fn command(wire: &mut Wire) -> io::Result<Vec<String>> {
    loop {
        if let Some((Reply::Array(words), used)) = parse(&wire.input) {
            wire.input.advance(used);
            return Ok(words);
        }
        wire.more().await?;
    }
}

/// A question, to its answer. In a transaction the answer only says that there will be one.
pub async fn ask(wire: &mut Wire, queued: &mut usize, question: Question) -> Result<Answer, Broken> {
    let _sent = wire.send(&self::question(question)).await;

    let replies = if matches!(question, Question::Begin(_) | Question::Commit(_)) { 2 } else { 1 };
    let mut last = Reply::Line;
    for at in 0..replies {
        last = match hear(wire, at > 0).await? {
            Reply::Error(text) if is_ours(&text) => return Err(farewell(wire, told(&text)).await),
            reply => reply,
        };
    }
    if matches!(question, Question::Begin(_) | Question::Commit(_)) || *queued > 0 {
        *queued += 1;
    }
    if matches!(question, Question::Commit(_)) {
        *queued = 0;
    }
    Ok(answer(last, question.number()))
}

/// The commands of a question.
pub fn question(question: Question) -> Vec<u8> {
    let number = question.number().to_string();
    match question {
        Question::Read(_) => array(&["GET", &number]),
        Question::Slow(_, time) => array(&["BLPOP", &number, &time.as_millis().to_string()]),
        Question::Write(_) => array(&["SET", &number, "x"]),
        Question::Begin(_) => [array(&["MULTI"]), array(&["GET", &number])].concat(),
        Question::Commit(_) => [array(&["GET", &number]), array(&["EXEC"])].concat(),
    }
}

fn answer(reply: Reply, number: u64) -> Answer {
    let done = |text: &str| {
        let (number, conn) = text.split_once(' ').expect("a number and a connection");
        Answer::Done { conn: conn.parse().expect("a connection"), number: number.parse().expect("a number") }
    };
    match reply {
        Reply::Error(text) => Answer::Error(told(&text)),
        Reply::Bulk(text) => done(&text),
        Reply::Array(all) => done(all.last().expect("an answer")),
        Reply::Line => Answer::Done { conn: usize::MAX, number },
    }
}

/// Whatever comes while nothing was asked, to the end.
pub async fn unasked(wire: &mut Wire) -> Broken {
    match hear(wire, false).await {
        Ok(Reply::Error(text)) => farewell(wire, told(&text)).await,
        Ok(reply) => panic!("an answer to nothing: {reply:?}"),
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

async fn hear(wire: &mut Wire, midway: bool) -> Result<Reply, Broken> {
    loop {
        if let Some((reply, used)) = parse(&wire.input) {
            wire.input.advance(used);
            return Ok(reply);
        }
        if let Err(error) = wire.more().await {
            return Err(broken(wire, &error, None, midway));
        }
    }
}

#[derive(Debug)]
enum Reply {
    Line,
    Error(String),
    Bulk(String),
    Array(Vec<String>),
}

/// A whole reply or command, and its length.
fn parse(input: &BytesMut) -> Option<(Reply, usize)> {
    let (line, mut used) = line(input, 0)?;
    let (kind, rest) = line.split_at(1);
    let reply = match kind {
        "+" | ":" => Reply::Line,
        "-" => Reply::Error(rest.to_owned()),
        "$" => {
            let (text, end) = body(input, used, rest)?;
            used = end;
            Reply::Bulk(text)
        }
        "*" => {
            let mut words = Vec::new();
            for _ in 0..rest.parse::<usize>().ok()? {
                let (length, at) = self::line(input, used)?;
                let (word, end) = body(input, at, length.strip_prefix('$')?)?;
                words.push(word);
                used = end;
            }
            Reply::Array(words)
        }
        other => panic!("{other:?} begins no reply"),
    };
    Some((reply, used))
}

fn line(input: &[u8], from: usize) -> Option<(String, usize)> {
    let length = input.get(from..)?.windows(2).position(|two| two == b"\r\n")?;
    let text = String::from_utf8_lossy(&input[from..from + length]).into_owned();
    Some((text, from + length + 2))
}

fn body(input: &[u8], from: usize, length: &str) -> Option<(String, usize)> {
    let end = from + length.parse::<usize>().ok()?;
    let text = String::from_utf8_lossy(input.get(from..end)?).into_owned();
    (input.len() >= end + 2).then_some((text, end + 2))
}

fn is_ours(text: &str) -> bool {
    text.contains("attache:")
}

fn told(text: &str) -> Told {
    let code = text.split(' ').next().unwrap_or_default().to_owned();
    Told { code, text: text.to_owned() }
}

pub fn bulk(text: &str) -> Vec<u8> {
    format!("${}\r\n{text}\r\n", text.len()).into_bytes()
}

pub fn array(words: &[&str]) -> Vec<u8> {
    let head = format!("*{}\r\n", words.len()).into_bytes();
    words.iter().fold(head, |all, word| [all, bulk(word)].concat())
}
