//! How a client comes to a server. All that clients do, they do on each of these.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use attache_kit::tools::Ran;
use attache_kit::{Flavour, House, SECRET};
use serde_json::{Value, json};

use crate::clients::Client;
use crate::servers::{self, Db};

/// More octets than one packet takes, which is one less than 16 MiB.
pub const LARGE: usize = 17 << 20;

/// Everything that a client is told, and the server that is behind it.
#[derive(Clone)]
pub struct Way {
    /// For messages.
    pub name: String,
    pub db: &'static Db,
    pub addr: SocketAddr,
    pub user: String,
    /// The account that the server sees, whoever the client says it is.
    pub account: String,
    pub password: Option<String>,
    pub database: String,
    /// The authority with which a client checks a certificate; without it, it speaks in the clear.
    pub tls: Option<PathBuf>,
    /// Whether the server may ask a client for a file that the client's statement named.
    pub local_infile: bool,
    /// What stands between.
    pub house: Option<Arc<House>>,
}

/// Whether a route lets a server ask for files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    Allowed,
    Refused,
}

/// Every way to every server, each with an account and a database for this test alone.
pub fn each(test: &str) -> Vec<Way> {
    Flavour::ALL.into_iter().flat_map(|flavour| to(flavour, test)).collect()
}

/// The ways to the servers of one flavour. Drivers meet a route that allows files with MariaDB behind it, and one that
/// does not with MySQL.
pub fn to(flavour: Flavour, test: &str) -> Vec<Way> {
    let files = match flavour {
        Flavour::MariaDb => Files::Allowed,
        Flavour::MySql => Files::Refused,
    };
    let ways = |db| [Way::direct(db, test), Way::through(db, test, files)];
    servers::of(flavour).map(ways).into_iter().flatten().collect()
}

impl Way {
    /// With nothing between. It has logged in once before, because not every driver can do MySQL's full exchange in the
    /// clear, and the short one is what an application meets every day but the first.
    pub fn direct(db: &'static Db, test: &str) -> Way {
        let name = format!("{test}_direct");
        db.account(&name);
        let way = Way::directly_as(db, &name);
        let first = Way { tls: Some(db.pki.ca().to_owned()), ..way.clone() };
        Client::of(db.flavour()).log_in(&first).unwrap();
        way
    }

    /// With nothing between, as an account that is there.
    pub fn directly_as(db: &'static Db, account: &str) -> Way {
        Way {
            name: format!("{:?}, direct", db.flavour()),
            db,
            addr: db.server.addr(),
            user: account.to_owned(),
            account: account.to_owned(),
            password: Some(SECRET.to_owned()),
            database: account.to_owned(),
            tls: None,
            local_infile: true,
            house: None,
        }
    }

    /// Through Attaché, which speaks TLS to the server: as nobody, and without a password.
    pub fn through(db: &'static Db, test: &str, files: Files) -> Way {
        let account = format!("{test}_through");
        db.account(&account);
        let allowed = files == Files::Allowed;
        let route = db.route(&account).key(&format!("options: {{ allow_local_infile: {allowed} }}"));
        Way { local_infile: allowed, ..Way::of(db, &account, route.start()) }
    }

    /// Through a house that logs in with this account.
    pub fn of(db: &'static Db, account: &str, house: House) -> Way {
        Way {
            name: format!("{:?}, through Attaché", db.flavour()),
            addr: house.addr(),
            user: "nobody".to_owned(),
            password: None,
            local_infile: false,
            house: Some(Arc::new(house)),
            ..Way::directly_as(db, account)
        }
    }

    /// What a program was told on this way.
    pub fn heard(&self, ran: Ran) -> Ran {
        match &self.house {
            Some(house) => house.heard_of(ran),
            None => ran,
        }
    }

    pub fn flavour(&self) -> Flavour {
        self.db.flavour()
    }

    /// Octets of a value. Directly nobody doubts that a large one comes back, and it takes a script seconds.
    fn large(&self) -> usize {
        if self.house.is_some() { LARGE } else { 1 << 20 }
    }

    /// For the scripts in `clients/`, which read it from the environment: an argument can be seen by everybody.
    pub fn json(&self) -> Value {
        json!({
            "flavour": format!("{:?}", self.flavour()),
            "host": self.addr.ip().to_string(),
            "port": self.addr.port(),
            "user": self.user,
            "password": self.password.as_deref().unwrap_or_default(),
            "database": self.database,
            "ca": self.tls,
            "local_infile": self.local_infile,
            "large": self.large(),
        })
    }
}
