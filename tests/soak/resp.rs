//! A client of Redis by hand: commands as arrays, replies of RESP2, errors as failures.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::load::Trouble;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Simple(String),
    Integer(i64),
    Bulk(Option<Vec<u8>>),
    Array(Vec<Reply>),
}

impl Reply {
    pub fn text(text: &str) -> Reply {
        Reply::Bulk(Some(text.as_bytes().to_vec()))
    }

    pub fn simple(text: &str) -> Reply {
        Reply::Simple(text.to_owned())
    }
}

pub struct Resp(BufReader<TcpStream>);

impl Resp {
    pub async fn connect(addr: SocketAddr) -> Result<Resp, Trouble> {
        let stream = TcpStream::connect(addr).await.map_err(Trouble::failed)?;
        stream.set_nodelay(true).map_err(Trouble::failed)?;
        Ok(Resp(BufReader::new(stream)))
    }

    pub async fn ask(&mut self, words: &[&str]) -> Result<Reply, Trouble> {
        Ok(self.pipeline(&[words]).await?.remove(0))
    }

    /// All commands at once; then all replies.
    pub async fn pipeline(&mut self, commands: &[&[&str]]) -> Result<Vec<Reply>, Trouble> {
        let mut bytes = Vec::new();
        for words in commands {
            bytes.extend(format!("*{}\r\n", words.len()).into_bytes());
            for word in *words {
                bytes.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
            }
        }
        // An answer may have come before the connection broke: it says why.
        let written = self.0.get_mut().write_all(&bytes).await;
        let mut replies = Vec::new();
        for _ in commands {
            match self.reply().await {
                Ok(reply) => replies.push(reply),
                Err(Trouble::Failed(told)) => return Err(Trouble::Failed(format!("{told}; {written:?}"))),
                Err(wrong) => return Err(wrong),
            }
        }
        Ok(replies)
    }

    async fn reply(&mut self) -> Result<Reply, Trouble> {
        let line = self.line().await?;
        let (kind, rest) = line.split_at(1);
        let number = || rest.parse::<i64>().map_err(|_| Trouble::Wrong(format!("not a number: {line:?}")));
        Ok(match kind {
            "+" => Reply::Simple(rest.to_owned()),
            ":" => Reply::Integer(number()?),
            "-" => return Err(Trouble::Failed(rest.to_owned())),
            "$" => match usize::try_from(number()?) {
                Ok(length) => Reply::Bulk(Some(self.bulk(length).await?)),
                Err(_) => Reply::Bulk(None),
            },
            "*" => {
                let mut all = Vec::new();
                for _ in 0..number()?.max(0) {
                    all.push(Box::pin(self.reply()).await?);
                }
                Reply::Array(all)
            }
            _ => return Err(Trouble::Wrong(format!("no reply begins so: {line:?}"))),
        })
    }

    async fn line(&mut self) -> Result<String, Trouble> {
        let mut line = String::new();
        self.0.read_line(&mut line).await.map_err(Trouble::failed)?;
        let whole = line.strip_suffix("\r\n").filter(|line| !line.is_empty()).map(str::to_owned);
        whole.ok_or_else(|| Trouble::Failed(format!("the connection ended behind {line:?}")))
    }

    async fn bulk(&mut self, length: usize) -> Result<Vec<u8>, Trouble> {
        let mut bytes = vec![0; length + 2];
        self.0.read_exact(&mut bytes).await.map_err(Trouble::failed)?;
        bytes.truncate(length);
        Ok(bytes)
    }
}
