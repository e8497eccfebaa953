//! One database, the route to it, and the clients that come for it.

use std::process::Command;

use attache_kit::Pki;
use attache_kit::skip::StartError;

use crate::load::Load;
use crate::mariadb::MariaDbScene;
use crate::postgres::PostgresScene;
use crate::redis::RedisScene;

/// The account that Attaché logs in with, everywhere.
pub(crate) const ACCOUNT: &str = "app";
pub(crate) const FIRST_PASSWORD: &str = "first-password";
/// Whom the clients log in as, because they have to name someone.
pub(crate) const ANYBODY: &str = "anybody";

pub(crate) trait Scene {
    /// What the route is called.
    fn name(&self) -> &'static str;

    /// As the configuration has it.
    fn protocol(&self) -> &'static str;

    /// What runs there, and what it asks of those who come.
    fn server(&self) -> &'static str;

    /// Where the server speaks TLS.
    fn port(&self) -> u16;

    /// A client that asks who it is, led to this port.
    fn who_am_i(&self, port: u16) -> Command;

    /// Clients that count visits, led to this port.
    fn loads(&self, port: u16) -> Vec<Load>;

    /// Gives the account another password, and tells by which words.
    fn change_password(&self, password: &str) -> String;

    /// How many visits the database knows of.
    fn visits(&self) -> u64;
}

/// # Panics
/// A server cannot be started: there is nothing to show then.
pub(crate) fn all(pki: &Pki) -> Vec<Box<dyn Scene>> {
    let missing = |error: StartError| -> ! { panic!("a database cannot be shown: {error:?}") };
    let postgres = PostgresScene::set(pki).unwrap_or_else(|error| missing(error));
    let mariadb = MariaDbScene::set(pki).unwrap_or_else(|error| missing(error));
    let redis = RedisScene::set(pki).unwrap_or_else(|error| missing(error));
    vec![Box::new(postgres), Box::new(mariadb), Box::new(redis)]
}
