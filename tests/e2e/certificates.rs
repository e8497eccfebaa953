//! A client certificate from the mounted folder, and the next one after its rotation.

use std::io::{Error, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use attache_kit::{
    House, Mounted, Pair, Peer, Pki, Postgres, SOON, Script, ServerTls, Setup, Version, available,
    eventually, tools,
};

use crate::client::Client;
use crate::house::{Clients, postgres, tcp};
use crate::real::Real;

fn entries<'a>(pair: &'a Pair, user: &'a str) -> [(&'a str, &'a str); 3] {
    [("username", user), ("tls.crt", &pair.cert_pem), ("tls.key", &pair.key_pem)]
}

fn second_generation(house: &House) {
    eventually("the second generation", SOON, || {
        (house.status()["credential"]["generation_in_use"] == 2).then_some(())
    });
}

#[test]
fn a_certificate_logs_in_to_postgresql_without_a_password_and_may_be_renewed() {
    const SERIAL: &str = "select current_user, client_serial from pg_stat_ssl where pid = pg_backend_pid()";
    let Some(real) = Real::shared() else { return };
    real.postgres.sql("create role certified login in role by_certificate");
    let (first, second) = (real.pki.client("certified"), real.pki.client("certified"));
    let secret = Mounted::new(&entries(&first, "certified"));
    let plan = postgres(&[real.postgres.addr()]).verified(&real.pki).folder(secret.path());
    let house = plan.start();
    let before = house.query(SERIAL);
    assert!(before.starts_with("certified|"), "{before}");
    let mut staying = house.session();
    secret.write(&entries(&second, "certified"));
    second_generation(&house);
    let after = house.query(SERIAL);
    assert!(after.starts_with("certified|") && after != before, "{before} {after}");
    assert_eq!(staying.query("select 1").0, "1");
}

/// As `openssl x509 -req` makes them, which the manuals of many databases tell to use.
#[test]
fn a_certificate_of_version_1_is_shown_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let openssl = |arguments: &str| {
        let mut openssl = std::process::Command::new("openssl");
        tools::run(openssl.args(arguments.split(' ')).current_dir(folder.path()), b"", SOON).ok()
    };
    let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30";
    openssl(&format!("req -x509 {new_key} -keyout ca.key -out ca.crt -subj /CN=old"));
    openssl(&format!("req {new_key} -keyout tls.key -out tls.csr -subj /CN=certified"));
    openssl("x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out tls.crt -days 30");
    let pki = Pki::new();
    let setup = Setup::new().tls(&pki.server()).client_ca(&folder.path().join("ca.crt"));
    let setup = setup.hba("hostssl all all all cert");
    let Some(server) = available(Postgres::start(Version::V15, setup)) else { return };
    server.sql("create role certified login");
    let file = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let secret = Mounted::new(&[
        ("username", "certified"),
        ("tls.crt", &file("tls.crt")),
        ("tls.key", &file("tls.key")),
    ]);
    let house = postgres(&[server.addr()]).verified(&pki).folder(secret.path()).start();
    assert_eq!(house.query("select current_user"), "certified");
}

#[test]
fn a_certificate_of_another_authority_is_refused_with_the_reason_in_the_log() {
    let Some(real) = Real::shared() else { return };
    real.postgres.sql("create role uncertified login in role by_certificate");
    let rogue = Pki::new().client("uncertified");
    let secret = Mounted::new(&entries(&rogue, "uncertified"));
    let plan = postgres(&[real.postgres.addr()]).verified(&real.pki).folder(secret.path());
    let house = plan.upstream("wait: 1s").start();
    let since = house.attache.lines();
    let mut client = house.connect();
    client.send(&crate::client::startup());
    assert_eq!(client.refusal(), "08004");
    let line = house.ended_since(since);
    assert_eq!(line["result"], "tls_alert", "{line}");
    house.settles();
}

#[test]
fn tcp_shows_the_certificate_of_the_folder_and_the_next_one_after_a_rotation() {
    let pki = Pki::new();
    let tls = ServerTls::new(&pki.server()).client_ca(pki.ca());
    let (seen, shown) = mpsc::channel();
    let server = Script::serve(move |peer| {
        let mut peer = peer.start_tls(&tls)?;
        let _ = seen.send((peer.client_certificate(), peer.server_name()));
        let said = peer.read_some()?;
        peer.send(&said)?;
        peer.read_to_end().map(|_| ())
    });
    let (first, second) = (pki.client("one"), pki.client("two"));
    let secret = Mounted::new(&[("tls.crt", &first.cert_pem), ("tls.key", &first.key_pem)]);
    let house = tcp(server.addr()).verified(&pki).folder(secret.path()).start();
    let echo = |house: &House| {
        let mut client = Client::connect(house.addr());
        client.send(b"hello");
        assert_eq!(client.read_exact(5), b"hello");
        client
    };
    let mut staying = echo(&house);
    let localhost = Some("localhost".to_owned());
    assert_eq!(shown.recv_timeout(SOON).unwrap(), (Some(first.cert_der), localhost.clone()));
    secret.write(&[("tls.crt", &second.cert_pem), ("tls.key", &second.key_pem)]);
    second_generation(&house);
    drop(echo(&house));
    assert_eq!(shown.recv_timeout(SOON).unwrap(), (Some(second.cert_der), localhost));
    assert!(staying.try_send(b"still here"));
    drop(staying);
    house.settles();
}

/// Half of a renewal is none: a key that does not belong to the certificate is not used.
#[test]
fn a_key_that_does_not_belong_to_the_certificate_is_reported_and_not_used() {
    let pki = Pki::new();
    let (first, second) = (pki.client("one"), pki.client("two"));
    let secret = Mounted::new(&[("tls.crt", &first.cert_pem), ("tls.key", &first.key_pem)]);
    let server = Script::serve(|mut peer| peer.read_to_end().map(|_| ()));
    let house = tcp(server.addr()).folder(secret.path()).start();
    secret.write(&[("tls.crt", &second.cert_pem), ("tls.key", &first.key_pem)]);
    house.attache.wait_for("the problem", SOON, |line| line["problem"] == "key_malformed");
    assert_eq!(house.status()["credential"]["generation"], 1);
}

/// Says everything twice.
fn echo(mut peer: Peer) -> Result<()> {
    loop {
        let said = peer.read_some()?;
        if said.is_empty() {
            return Ok(());
        }
        peer.send(&said)?;
    }
}

fn echoes(client: &mut Client) {
    client.send(b"hello");
    assert_eq!(client.read_exact(5), b"hello");
}

/// A new certificate beside the same password is another login only where servers ask for certificates.
#[test]
fn a_renewed_certificate_ends_sessions_only_where_a_server_has_asked_for_the_old_one() {
    let pki = Pki::new();
    for asks in [false, true] {
        let tls = ServerTls::new(&pki.server());
        let tls = if asks { tls.client_ca(pki.ca()) } else { tls };
        let server = Script::serve(move |peer| echo(peer.start_tls(&tls)?));
        let (first, second) = (pki.client("one"), pki.client("two"));
        let secret = Mounted::new(&entries(&first, "orders"));
        let plan = tcp(server.addr()).verified(&pki).folder(secret.path()).on_rotation("{ live: cut }");
        let house = plan.start();
        let mut staying = Client::connect(house.addr());
        echoes(&mut staying);
        let before = house.attache.lines();
        secret.write(&entries(&second, "orders"));
        house
            .attache
            .wait_for_since(before, "the new one", SOON, |line| line["message"] == "credential loaded");
        eventually("it to be in use", SOON, || {
            let credential = &house.status()["credential"];
            (credential["state"] == "ok" && credential["settled"] == true).then_some(())
        });
        echoes(&mut Client::connect(house.addr()));
        assert_eq!(house.status()["credential"]["generation"], if asks { 2 } else { 1 });
        match asks {
            true => drop(staying.ending()),
            false => echoes(&mut staying),
        }
    }
}

/// The old password must not go while somebody is logging in with it.
#[test]
fn nothing_is_settled_while_a_login_with_what_was_before_is_under_way() {
    let pki = Pki::new();
    let tls = ServerTls::new(&pki.server()).client_ca(pki.ca());
    let hold = Arc::new(AtomicBool::new(false));
    let (let_go, held) = mpsc::channel();
    let server = Script::serve({
        let (hold, held) = (Arc::clone(&hold), Mutex::new(held));
        move |peer| {
            if hold.swap(false, Ordering::SeqCst) {
                held.lock().unwrap().recv().map_err(Error::other)?;
            }
            echo(peer.start_tls(&tls)?)
        }
    });
    let (first, second) = (pki.client("one"), pki.client("two"));
    let secret = Mounted::new(&entries(&first, "orders"));
    let plan = tcp(server.addr()).verified(&pki).folder(secret.path());
    let house = plan.upstream("connect_timeout: 1m").start();
    echoes(&mut Client::connect(house.addr()));
    let settled = |wanted: bool| (house.status()["credential"]["settled"] == wanted).then_some(());
    eventually("the first one to settle", SOON, || settled(true));

    hold.store(true, Ordering::SeqCst);
    let mut late = Client::connect(house.addr());
    eventually("it to be on its way", SOON, || (!hold.load(Ordering::SeqCst)).then_some(()));
    secret.write(&entries(&second, "orders"));
    second_generation(&house);
    assert_eq!(house.status()["credential"]["state"], "ok");
    assert_eq!(house.status()["credential"]["settled"], false, "somebody logs in with the first one");
    assert_eq!(house.metric("attache_credential_settled", &[]), 0.0);

    let_go.send(()).unwrap();
    echoes(&mut late);
    assert_eq!(house.status()["links_by_generation"]["1"], 1);
    assert_eq!(house.status()["credential"]["settled"], false);
    drop(late);
    eventually("the second one to settle", SOON, || settled(true));
}
