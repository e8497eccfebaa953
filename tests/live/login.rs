use crate::house::*;
use attache_kit::*;

#[test]
fn a_client_without_a_password_is_logged_in() {
    let pki = Pki::new();
    let Some(server) = available(Postgres::start(Version::V15, Setup::new().tls(&pki.server()))) else {
        return;
    };
    server.role("app", SECRET, Encryption::Scram);
    let secret = Mounted::new(&[("username", "app"), ("password", SECRET)]);
    let upstream =
        format!("{{ endpoints: [\"localhost:{}\"], tls: {{ ca: {} }} }}", server.port(), pki.ca().display());
    let house = House::start(&upstream, &secret, &[]);
    assert_eq!(
        house.query("select current_user, ssl from pg_stat_ssl where pid = pg_backend_pid()"),
        "app|t"
    );
    println!("{:#?}", house.attache.log());
}
