//! The drivers that `make setup` installs can log in to the kit's servers by themselves.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use attache_kit::{Encryption, Pki, Postgres, Setup, Version, available, tools};

const DEADLINE: Duration = Duration::from_secs(60);

fn server() -> Option<(Pki, Postgres)> {
    let pki = Pki::new();
    let server = available(Postgres::start(Version::V18, Setup::new().tls(&pki.server())))?;
    server.role("app", "pw", Encryption::Scram);
    Some((pki, server))
}

#[test]
fn python_has_psycopg_with_the_newest_protocol_and_asyncpg() {
    let Some((pki, server)) = server() else { return };
    let Some(mut python) = available(tools::python()) else { return };
    let program = r#"
import asyncio, asyncpg, psycopg, ssl, sys
port, ca = sys.argv[1:]
info = f"host=localhost port={port} user=app password=pw dbname=postgres sslmode=verify-full sslrootcert={ca}"
with psycopg.connect(info, min_protocol_version="3.2", channel_binding="require") as connection:
    print(connection.execute("SELECT 7").fetchone()[0])
async def main():
    tls = ssl.create_default_context(cafile=ca)
    connection = await asyncpg.connect(host="localhost", port=int(port), user="app", password="pw", database="postgres", ssl=tls)
    print(await connection.fetchval("SELECT 8"))
    await connection.close()
asyncio.run(main())
"#;
    python.args(["-", &server.port().to_string()]).arg(pki.ca());
    assert_eq!(tools::run(&mut python, program.as_bytes(), DEADLINE).ok(), "7\n8\n");
}

#[test]
fn node_has_pg() {
    let Some((pki, server)) = server() else { return };
    let Some(mut node) = available(tools::node()) else { return };
    let program = r#"
const { Client } = require("pg"), fs = require("fs");
const [port, ca] = process.argv.slice(2);
(async () => {
  const client = new Client({ host: "localhost", port, user: "app", password: "pw", database: "postgres",
                              ssl: { ca: fs.readFileSync(ca) } });
  await client.connect();
  console.log((await client.query("SELECT 9 AS n")).rows[0].n);
  await client.end();
})();
"#;
    node.args(["-", &server.port().to_string()]).arg(pki.ca());
    assert_eq!(tools::run(&mut node, program.as_bytes(), DEADLINE).ok(), "9\n");
}
