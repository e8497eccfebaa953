//! Examples of configurations, and the comparison of generated texts with the files that hold them.

use std::fs;
use std::path::PathBuf;

/// The example of the contract, without what this version does not support yet.
pub(crate) const EXAMPLE: &str = r#"
health: 0.0.0.0:9900            # GET only: /livez /readyz /startupz /metrics
control: 127.0.0.1:9901         # GET /status and the page at / ; POST /reload /drain /quit
drain: { deadline: 25s, linger: 0s }
log: { format: json, level: info }
workers: auto

routes:
  orders:
    protocol: postgres
    listen: ["127.0.0.1:5432", "unix:/run/attache/.s.PGSQL.5432"]
    upstream:
      endpoints: ["orders-1.db.example.com:5432", "orders-2.db.example.com:5432"]
      # srv: _postgresql._tcp.orders.example.com
      role: primary
      tls: { mode: verify-full, ca: /etc/attache/ca.pem }
      connect_timeout: 5s
      wait: 15s
    credential:
      path: /var/run/secrets/attache/orders
      on_rotation: { live: keep, within: 60s }
    database: orders
    client: { allow_uids: [1000], max_sessions: 500 }
    pool: { warm: 0, max_idle: 10m }
    options: {}
"#;

/// The least that is a route.
pub(crate) const SMALL: &str = "
routes:
  orders:
    protocol: postgres
    listen: 127.0.0.1:5432
    upstream: { endpoints: db.example.com }
    credential: { path: secrets/orders }
";

/// Compares a generated text with the file of the project that holds it. `ATTACHE_WRITE_SNAPSHOTS=1`
/// writes the file instead.
pub(crate) fn compare(file: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("ATTACHE_WRITE_SNAPSHOTS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        return fs::write(&path, text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let difference = text.lines().zip(kept.lines()).find(|(now, then)| now != then);
    let same = text == kept;
    assert!(same, "{file} is out of date: {difference:?}; ATTACHE_WRITE_SNAPSHOTS=1 writes it anew");
}
