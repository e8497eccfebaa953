//! How a client comes to a server. All that drivers do, they do on each of these.

use std::net::SocketAddr;

use serde_json::{Value, json};

use attache_kit::{House, SECRET};

use crate::servers::{self, Db, USER};

/// Everything that a client is told.
pub struct Way {
    /// For messages.
    pub name: String,
    pub addr: SocketAddr,
    pub user: Option<&'static str>,
    pub password: Option<&'static str>,
    /// What stands between.
    pub house: Option<House>,
    /// For the names of keys and channels, which no other test may have.
    pub prefix: String,
}

/// Who a client says it is. To whom it says so does not matter, so of Valkey's clients only the first is tried.
const SAID: [(&str, Option<&str>, Option<&str>); 2] =
    [("without a password", None, None), ("with a wrong password", Some("whoever"), Some("whatever"))];

/// Every way to every server: directly, and through Attaché as nobody and as somebody who does not exist.
pub fn each(test: &str) -> Vec<Way> {
    servers::each().flat_map(|db| to(db, test)).collect()
}

fn to(db: &Db, test: &str) -> Vec<Way> {
    let direct = Way {
        name: format!("{}, direct", db.name),
        addr: db.server.addr(),
        user: Some(USER),
        password: Some(SECRET),
        house: None,
        prefix: format!("{test}:0:"),
    };
    let said = if db.has_tls() { &SAID[..] } else { &SAID[..1] };
    let through = said.iter().enumerate().map(|(number, &(said, user, password))| {
        let house = db.route().start();
        Way {
            name: format!("{}, through Attaché {said}", db.name),
            addr: house.addr(),
            user,
            password,
            house: Some(house),
            prefix: format!("{test}:{}:", number + 1),
        }
    });
    std::iter::once(direct).chain(through).collect()
}

impl Way {
    /// A client was told this.
    pub fn heard(&self, text: &str) {
        if let Some(house) = &self.house {
            house.heard(text);
        }
    }

    /// For the scripts in `clients/`, which read it from the environment: an argument can be seen by everybody.
    pub fn json(&self) -> Value {
        json!({
            "host": self.addr.ip().to_string(),
            "port": self.addr.port(),
            "username": self.user,
            "password": self.password,
            "account": USER,
            "prefix": self.prefix,
            "through": self.house.is_some(),
        })
    }
}
