//! Redis: a counter, by redis-cli.

use std::process::Command;

use attache_kit::redis::Redis;
use attache_kit::skip::StartError;
use attache_kit::{Pki, tools};

use crate::load::Load;
use crate::scene::{ACCOUNT, FIRST_PASSWORD, Scene};

const COUNTER: &str = "visits";

pub(crate) struct RedisScene {
    database: Redis,
}

impl RedisScene {
    pub(crate) fn set(pki: &Pki) -> Result<RedisScene, StartError> {
        let database = Redis::start(pki)?;
        database.user(ACCOUNT, FIRST_PASSWORD);
        Ok(RedisScene { database })
    }

    fn client(port: u16) -> Command {
        let mut client = tools::redis_cli().expect("the client comes with the server");
        client.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
        client
    }
}

impl Scene for RedisScene {
    fn name(&self) -> &'static str {
        "cache"
    }

    fn protocol(&self) -> &'static str {
        "redis"
    }

    fn server(&self) -> &'static str {
        "Redis 7.0, which asks for TLS, a user and a password"
    }

    fn port(&self) -> u16 {
        self.database.tls_port()
    }

    fn who_am_i(&self, port: u16) -> Command {
        let mut client = Self::client(port);
        client.args(["ACL", "WHOAMI"]);
        client
    }

    fn loads(&self, port: u16) -> Vec<Load> {
        vec![
            Load::talk("Redis, staying connected", Self::client(port), "INCR visits"),
            Load::repeat("Redis, connecting each time", move || {
                let mut client = Self::client(port);
                client.args(["INCR", COUNTER]);
                client
            }),
        ]
    }

    fn change_password(&self, password: &str) -> String {
        self.database.user(ACCOUNT, password);
        format!("ACL SETUSER {ACCOUNT} resetpass >{password}")
    }

    fn visits(&self) -> u64 {
        self.database.command(&["GET", COUNTER]).trim().parse().expect("a counter is a number")
    }
}
