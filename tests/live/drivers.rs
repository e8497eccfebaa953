//! The drivers that applications use, each without a password. The scripts are in `clients/`.

use std::future::poll_fn;
use std::pin::pin;
use std::process::Command;

use attache_kit::*;
use futures_util::{SinkExt, TryStreamExt};
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, NoTls};

use crate::house::*;
use crate::servers::{self, Account, Db};

#[test]
fn psycopg_works() {
    each_database_serves("psycopg", "psycopg_client.py", tools::python);
}

#[test]
fn asyncpg_works() {
    each_database_serves("asyncpg", "asyncpg_client.py", tools::python);
}

#[test]
fn node_pg_works() {
    each_database_serves("node_pg", "pg_client.js", tools::node);
}

fn each_database_serves(name: &str, script: &str, program: fn() -> Result<Command, Missing>) {
    for db in servers::each() {
        let Some(mut command) = available(program()) else { return };
        let account = db.account(name);
        let house = db.route(&account).start();
        command.arg(format!("{}/tests/live/clients/{script}", env!("CARGO_MANIFEST_DIR")));
        let said = house.run(without_settings(&mut command).arg(house.port()).arg(name)).ok();
        assert_eq!(said, "done\n", "on {:?}", db.version());
    }
}

/// A password of the developer's own must not decide a test.
fn without_settings(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    command.env("PGPASSFILE", "/nonexistent").env("PYTHONDONTWRITEBYTECODE", "1")
}

#[test]
fn tokio_postgres_works() {
    for db in servers::each() {
        let account = db.account("tokio");
        let house = db.route(&account).start();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let all = async { tokio::time::timeout(LONG, everything(db, &house, &account)).await };
        runtime.block_on(all).unwrap();
    }
}

async fn everything(db: &Db, house: &House, account: &Account) {
    let mut client = connect(house, account).await;
    statements(&client).await;
    transactions(&mut client).await;
    copy(&client).await;
    errors(&client).await;
    notifications(house, account).await;
    cancel(db, &client).await;
}

async fn connect(house: &House, account: &Account) -> Client {
    let target = format!("host=127.0.0.1 port={} user=nobody dbname={}", house.port(), account.name);
    let (client, connection) = tokio_postgres::connect(&target, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn statements(client: &Client) {
    let row = client.query_one("select $1::int + 1, $2::text", &[&41i32, &"gruß"]).await.unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (42, "gruß"));
    let twice = client.prepare("select $1::int * 2").await.unwrap();
    for n in 0..20i32 {
        assert_eq!(client.query_one(&twice, &[&n]).await.unwrap().get::<_, i32>(0), 2 * n);
    }
    // All at once: the driver sends ahead.
    let many = (0..200i32).map(|n| async move {
        client.query_one("select $1::int", &[&n]).await.map(|row| row.get::<_, i32>(0))
    });
    let many = futures_util::future::try_join_all(many).await.unwrap();
    assert!(many.into_iter().eq(0..200));
}

async fn transactions(client: &mut Client) {
    client.batch_execute("create table line (n int)").await.unwrap();
    let given_up = client.transaction().await.unwrap();
    given_up.execute("insert into line values (1)", &[]).await.unwrap();
    given_up.rollback().await.unwrap();
    let kept = client.transaction().await.unwrap();
    kept.execute("insert into line values (2)", &[]).await.unwrap();
    kept.commit().await.unwrap();
    let rows = client.query("select n from line", &[]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.get::<_, i32>(0)).collect::<Vec<_>>(), [2]);
}

async fn copy(client: &Client) {
    let mut sink = pin!(client.copy_in("copy line from stdin").await.unwrap());
    for n in 0..1000 {
        sink.send(bytes::Bytes::from(format!("{n}\n"))).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 1000);
    let out = client.copy_out("copy line to stdout").await.unwrap();
    let out: Vec<bytes::Bytes> = out.try_collect().await.unwrap();
    assert_eq!(out.concat().iter().filter(|byte| **byte == b'\n').count(), 1001);
}

async fn errors(client: &Client) {
    let error = client.query("select 1/0", &[]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::DIVISION_BY_ZERO));
    let error = client.execute("insert into no_such_table values (1)", &[]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::UNDEFINED_TABLE));
}

async fn notifications(house: &House, account: &Account) {
    let target = format!("host=127.0.0.1 port={} user=nobody dbname={}", house.port(), account.name);
    let (listener, mut connection) = tokio_postgres::connect(&target, NoTls).await.unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(event) = message {
                tell.send(event.payload().to_owned()).unwrap();
            }
        }
    });
    listener.batch_execute("listen orders; notify orders, 'number 17'").await.unwrap();
    let payload = tokio::time::timeout(SOON, told.recv()).await.unwrap();
    assert_eq!(payload.as_deref(), Some("number 17"));
}

async fn cancel(db: &Db, client: &Client) {
    let token = client.cancel_token();
    let mut sleeping = pin!(client.batch_execute("select pg_sleep(60)"));
    // One step sends it; whether it runs is for the server to say.
    poll_fn(|cx| {
        assert!(sleeping.as_mut().poll(cx).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    let runs = "select count(*) from pg_stat_activity where usename = 'tokio' and wait_event = 'PgSleep'";
    let cancelled = async {
        while db.server.sql(runs) != "1" {
            tokio::task::yield_now().await;
        }
        token.cancel_query(NoTls).await.unwrap();
    };
    let (ended, ()) = tokio::join!(tokio::time::timeout(SOON, sleeping), cancelled);
    assert_eq!(ended.unwrap().unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));
}
