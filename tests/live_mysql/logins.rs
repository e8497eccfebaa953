//! Logins by everything that the servers offer. What is scripted elsewhere may be believed for the clients' sake: they
//! have all logged in here, to the real thing.

use attache_kit::*;

use crate::clients::Client;
use crate::servers::{self, Db};
use crate::ways::{self, Files, Way};

/// The account `name` by this plugin, as clients come to it over TLS.
fn over_tls(db: &'static Db, name: &str, plugin: Plugin, require: Require) -> Way {
    db.account_by(name, plugin, require);
    Way { tls: Some(db.pki.ca().to_owned()), ..Way::directly_as(db, name) }
}

#[test]
fn every_client_logs_in_on_every_way() {
    for way in ways::each("every_client") {
        for client in Client::ALL {
            if available(client.is_installed()).is_none() {
                continue;
            }
            let account = client.log_in(&way).unwrap_or_else(|why| panic!("{client:?}, {}: {why}", way.name));
            assert_eq!(account, format!("{}@%", way.account), "{client:?}, {}", way.name);
        }
    }
}

/// An application that was never told to leave it out still sends the one it had.
#[test]
fn whatever_password_a_client_has_does_not_matter_to_attache() {
    for db in servers::each() {
        let way = Way::through(db, "some_password", Files::Refused);
        let way = Way { password: Some("of last year".to_owned()), ..way };
        for client in Client::ALL {
            if available(client.is_installed()).is_none() {
                continue;
            }
            let account = client.log_in(&way).unwrap_or_else(|why| panic!("{client:?}, {}: {why}", way.name));
            assert_eq!(account, "some_password_through@%", "{client:?}, {}", way.name);
        }
    }
}

#[test]
fn every_client_logs_in_by_every_plugin_over_tls() {
    for db in servers::each() {
        for plugin in db.flavour().plugins() {
            let name = format!("tls_{plugin:?}").to_lowercase();
            let way = over_tls(db, &name, *plugin, Require::Tls);
            for client in Client::ALL {
                if available(client.is_installed()).is_none() || cannot(client, *plugin) {
                    continue;
                }
                let account =
                    client.log_in(&way).unwrap_or_else(|why| panic!("{client:?} by {plugin:?}: {why}"));
                assert_eq!(account, format!("{name}@%"), "{client:?}");
                let wrong = Way { password: Some("wrong".to_owned()), ..way.clone() };
                let why = client.log_in(&wrong).expect_err("a wrong password was taken");
                assert!(why.contains("Access denied") && !why.contains(SECRET), "{client:?}: {why}");
            }
            let plain = Way { tls: None, ..way.clone() };
            Client::of(db.flavour()).log_in(&plain).expect_err("TLS is required");
        }
    }
}

/// What the makers have left out.
fn cannot(client: Client, plugin: Plugin) -> bool {
    plugin == Plugin::Ed25519 && matches!(client, Client::MySql | Client::Mysql2)
}

#[test]
fn a_client_certificate_is_enough_where_it_is_demanded() {
    for db in servers::each() {
        let way = over_tls(db, "certified", db.flavour().plugin(), Require::Certificate);
        let pair = db.pki.client("certified");
        let mut program = way.program();
        program.arg(format!("--ssl-cert={}", pair.cert.display()));
        program.arg(format!("--ssl-key={}", pair.key.display()));
        let said = tools::run(program.args(["-e", "select current_user()"]), b"", SOON).ok();
        assert_eq!(said, "certified@%\n");
        let why = Client::of(db.flavour()).log_in(&way).expect_err("a certificate is demanded");
        assert!(why.contains("ERROR 1045"), "{why}");
    }
}

#[test]
fn mysql_takes_a_password_in_the_clear_only_when_it_knows_it_or_under_its_key() {
    let Some(db) = servers::of(Flavour::MySql) else { return };
    for plugin in [Plugin::CachingSha2, Plugin::Sha256] {
        let name = format!("rsa_{plugin:?}").to_lowercase();
        db.account_by(&name, plugin, Require::Nothing);
        let way = Way::directly_as(db, &name);
        let pinned = format!("--server-public-key-path={}", db.server.public_key().display());
        let login = |option: &str| {
            let mut program = way.program();
            program.args([option, "-e", "select current_user()"]);
            tools::run(&mut program, b"", SOON)
        };
        db.server.sql("FLUSH PRIVILEGES");
        let unasked = login("--skip-get-server-public-key");
        // The older plugin takes any key that it is offered, asked or not.
        assert_eq!(unasked.status.success(), plugin == Plugin::Sha256, "{}", unasked.stderr);
        for key in ["--get-server-public-key", &pinned] {
            db.server.sql("FLUSH PRIVILEGES");
            assert_eq!(login(key).ok(), format!("{name}@%\n"), "{key}");
        }
        assert_eq!(login("--skip-get-server-public-key").ok(), format!("{name}@%\n"), "now it is known");
    }
}

#[test]
fn drivers_do_the_full_exchange_under_the_servers_key() {
    let Some(db) = servers::of(Flavour::MySql) else { return };
    for client in [Client::PyMySql, Client::Mysql2] {
        if available(client.is_installed()).is_none() {
            continue;
        }
        let name = format!("full_{client:?}").to_lowercase();
        db.account(&name);
        assert_eq!(client.log_in(&Way::directly_as(db, &name)).unwrap(), format!("{name}@%"));
    }
}
