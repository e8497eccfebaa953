//! Examples of configurations.

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
    pool: { warm: 2, reuse: true, max_idle: 10m, max_age: 1h }
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
