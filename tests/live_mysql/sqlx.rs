//! sqlx on every way: everything is prepared, and sessions come from a pool.

use futures_util::TryStreamExt;
use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions, MySqlSslMode};
use sqlx::{Connection, Row};

use attache_kit::LONG;

use crate::ways::{self, LARGE, Way};

#[test]
fn sqlx_works() {
    for way in ways::each("sqlx") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let all = async { tokio::time::timeout(LONG, everything(&way)).await };
        runtime.block_on(all).unwrap();
    }
}

async fn everything(way: &Way) {
    let options = MySqlConnectOptions::new()
        .host(&way.addr.ip().to_string())
        .port(way.addr.port())
        .username(&way.user)
        .password(way.password.as_deref().unwrap_or_default())
        .database(&way.database)
        .ssl_mode(MySqlSslMode::Disabled);
    let pool = MySqlPoolOptions::new().max_connections(5).connect_with(options).await.unwrap();
    statements(&pool).await;
    transactions(&pool).await;
    large_value(&pool).await;
    stream(&pool).await;
    errors(&pool).await;
    pool.close().await;
}

async fn statements(pool: &MySqlPool) {
    let row = sqlx::query("select ? + 1, ?, ?").bind(41i64).bind("gruß").bind(&b"\0\xff"[..]);
    let row = row.fetch_one(pool).await.unwrap();
    assert_eq!((row.get::<i64, _>(0), row.get::<String, _>(1)), (42, "gruß".to_owned()));
    assert_eq!(row.get::<Vec<u8>, _>(2), b"\0\xff");
    let many = (0..200i64).map(|n| async move {
        sqlx::query_scalar::<_, i64>("select ? * 2").bind(n).fetch_one(pool).await.unwrap()
    });
    let many = futures_util::future::join_all(many).await;
    assert!(many.into_iter().eq((0..200).map(|n| 2 * n)));
}

async fn transactions(pool: &MySqlPool) {
    sqlx::query("create table line (n int)").execute(pool).await.unwrap();
    let mut given_up = pool.begin().await.unwrap();
    sqlx::query("insert into line values (1)").execute(&mut *given_up).await.unwrap();
    given_up.rollback().await.unwrap();
    let mut kept = pool.begin().await.unwrap();
    let done = sqlx::query("insert into line values (2), (3)").execute(&mut *kept).await.unwrap();
    assert_eq!(done.rows_affected(), 2);
    kept.commit().await.unwrap();
    let sum: i64 =
        sqlx::query_scalar("select cast(sum(n) as signed) from line").fetch_one(pool).await.unwrap();
    assert_eq!(sum, 5);
}

async fn large_value(pool: &MySqlPool) {
    let value: Vec<u8> = (0..LARGE).map(|n| (n * 31 % 251) as u8).collect();
    let back: Vec<u8> = sqlx::query_scalar("select ?").bind(&value).fetch_one(pool).await.unwrap();
    assert!(back == value);
}

async fn stream(pool: &MySqlPool) {
    let digit = "(select 0 as d union all select 1 union all select 2 union all select 3 union all select 4 \
                 union all select 5 union all select 6 union all select 7 union all select 8 union all select 9)";
    let many = format!("select a.d + 0 from {digit} a, {digit} b, {digit} c, {digit} d, {digit} e");
    let mut session = pool.acquire().await.unwrap();
    let mut rows = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(many)).fetch(&mut *session);
    let mut seen = 0;
    while rows.try_next().await.unwrap().is_some() {
        seen += 1;
    }
    drop(rows);
    assert_eq!(seen, 100_000);
    session.ping().await.unwrap();
}

async fn errors(pool: &MySqlPool) {
    let error = sqlx::query("select * from no_such_table").execute(pool).await.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("42S02"));
}
