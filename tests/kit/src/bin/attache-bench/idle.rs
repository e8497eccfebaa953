//! What sessions cost that do nothing: resident memory, by holding many.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::house::IDLER;
use crate::recipe::Recipe;

/// Sessions before the first look: what a process allocates once is not a session's.
const WARM_UP: usize = 100;
const PATIENCE: Duration = Duration::from_secs(20);

/// One proxy's memory, in octets.
pub(crate) struct Idle {
    pub(crate) name: &'static str,
    /// Of the process that has just started.
    pub(crate) base: u64,
    pub(crate) each: f64,
}

pub(crate) fn measure(recipes: &[&Recipe], sessions: usize) -> Vec<Idle> {
    if sessions == 0 {
        return Vec::new();
    }
    println!("holding {sessions} idle sessions through each proxy …");
    recipes.iter().map(|recipe| one(recipe, sessions)).collect()
}

fn one(recipe: &Recipe, sessions: usize) -> Idle {
    let process = recipe.start();
    let base = process.resident_bytes();
    let open = |count| -> Vec<Session> {
        let opened = (0..count).map(|_| Session::open(recipe.listen.addr()));
        let opened: io::Result<_> = opened.collect();
        opened.unwrap_or_else(|error| panic!("a session through {}: {error}", recipe.name))
    };
    let _few = open(WARM_UP);
    let before = process.resident_bytes();
    let _many = open(sessions);
    let grown = process.resident_bytes().saturating_sub(before);
    Idle { name: recipe.name, base, each: grown as f64 / sessions as f64 }
}

/// A client that logs in without a password, asks once, so that a session pooler gives it a connection of its
/// own, and is silent from then on.
pub(crate) struct Session {
    stream: TcpStream,
}

impl Session {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Session> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut session = Session { stream };
        session.stream.write_all(&startup())?;
        session.until_ready()?;
        session.ask("select 1")?;
        session.until_ready()?;
        Ok(session)
    }

    /// Sends a question, and reads nothing.
    pub(crate) fn ask(&mut self, question: &str) -> io::Result<()> {
        let length = u32::try_from(question.len() + 5).expect("a short message");
        self.stream.write_all(&[&b"Q"[..], &length.to_be_bytes(), question.as_bytes(), b"\0"].concat())
    }

    /// Reads frames to the next ReadyForQuery.
    fn until_ready(&mut self) -> io::Result<()> {
        loop {
            let mut header = [0; 5];
            self.stream.read_exact(&mut header)?;
            let [tag, length @ ..] = header;
            let mut body = vec![0; (u32::from_be_bytes(length) as usize).saturating_sub(4)];
            self.stream.read_exact(&mut body)?;
            match tag {
                b'Z' => return Ok(()),
                b'E' => return Err(io::Error::other(String::from_utf8_lossy(&body).into_owned())),
                _ => {}
            }
        }
    }
}

/// Protocol 3.0.
fn startup() -> Vec<u8> {
    let body = format!("\0\x03\0\0user\0{IDLER}\0database\0postgres\0\0");
    let length = u32::try_from(body.len() + 4).expect("a short message");
    [&length.to_be_bytes(), body.as_bytes()].concat()
}
