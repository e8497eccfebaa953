//! mysql_async on every way: the binary protocol, resets and changes of user, files, streams.

use attache_kit::{LONG, SOON, eventually};
use futures_util::{StreamExt, stream};
use mysql_async::prelude::*;
use mysql_async::{ChangeUserOpts, Conn, OptsBuilder, Pool, Row, params};

use crate::ways::{self, LARGE, Way};

const ROWS: u64 = 100_000;

#[test]
fn mysql_async_works() {
    for way in ways::each("mysql_async") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let all = async { tokio::time::timeout(LONG, everything(&way)).await };
        runtime.block_on(all).unwrap();
        goes_in_the_middle(&way);
    }
}

async fn everything(way: &Way) {
    let mut session = Conn::new(options(way)).await.unwrap();
    statements(&mut session).await;
    large_value(&mut session).await;
    reset(&mut session).await;
    change_user(way, &mut session).await;
    errors(&mut session).await;
    infile(way, &mut session).await;
    stream_to_the_end(&mut session).await;
    session.disconnect().await.unwrap();
    pool(way).await;
}

/// Who a server says that this client is, where the server can be asked for nothing else.
pub fn account(way: &Way) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let asked = async {
        let mut session = Conn::new(options(way).wait_timeout(Some(60))).await.unwrap();
        session.query_first("select current_user()").await.unwrap()
    };
    let account = runtime.block_on(async { tokio::time::timeout(SOON, asked).await }).unwrap();
    account.unwrap()
}

fn options(way: &Way) -> OptsBuilder {
    OptsBuilder::default()
        .ip_or_hostname(way.addr.ip().to_string())
        .tcp_port(way.addr.port())
        .user(Some(&way.user))
        .pass(way.password.as_ref())
        .db_name(Some(&way.database))
        // Else it would go to the server's own socket behind our back.
        .prefer_socket(false)
        .max_allowed_packet(Some(64 << 20))
}

async fn statements(session: &mut Conn) {
    let row: Option<(i64, String, Vec<u8>)> =
        session.exec_first("select ? + 1, ?, ?", (41, "gruß", &b"\0\xff"[..])).await.unwrap();
    assert_eq!(row, Some((42, "gruß".to_owned(), b"\0\xff".to_vec())));
    let twice = session.prep("select :n * 2").await.unwrap();
    for n in 0..50i64 {
        assert_eq!(session.exec_first(&twice, params! { n }).await.unwrap(), Some(2 * n));
    }
    session.close(twice).await.unwrap();
    let id: Option<u32> = session.query_first("select connection_id()").await.unwrap();
    assert_eq!(id, Some(session.id()), "the greeting names another session");
    let mut results = session.query_iter("select 1; select 2; select 3").await.unwrap();
    let mut seen = Vec::new();
    while !results.is_empty() {
        seen.extend(results.collect::<i64>().await.unwrap());
    }
    drop(results);
    assert_eq!(seen, [1, 2, 3]);
}

async fn large_value(session: &mut Conn) {
    let value: Vec<u8> = (0..LARGE).map(|n| (n * 31 % 251) as u8).collect();
    let back: Option<Vec<u8>> = session.exec_first("select ?", (&value,)).await.unwrap();
    assert!(back.unwrap() == value);
}

async fn reset(session: &mut Conn) {
    session.query_drop("set @mine = 7").await.unwrap();
    assert!(session.reset().await.unwrap(), "the server does not know COM_RESET_CONNECTION");
    assert_eq!(mine(session).await, None);
}

async fn change_user(way: &Way, session: &mut Conn) {
    for _ in 0..3 {
        session.query_drop("set @mine = 7").await.unwrap();
        session.change_user(ChangeUserOpts::default()).await.unwrap();
        assert_eq!(mine(session).await, None);
        let database: Option<String> = session.query_first("select database()").await.unwrap();
        assert_eq!(database.as_deref(), Some(way.database.as_str()));
    }
}

async fn mine(session: &mut Conn) -> Option<i64> {
    session.query_first::<Option<i64>, _>("select @mine").await.unwrap().unwrap()
}

async fn errors(session: &mut Conn) {
    let error = session.query_drop("select * from no_such_table").await.unwrap_err();
    let mysql_async::Error::Server(error) = error else { panic!("{error}") };
    assert_eq!((error.code, error.state.as_str()), (1146, "42S02"));
    session.ping().await.unwrap();
}

async fn infile(way: &Way, session: &mut Conn) {
    session.query_drop("create table many (n int, t varchar(50))").await.unwrap();
    let lines = (1..=ROWS).map(|n| Ok(bytes::Bytes::from(format!("{n}\tvalue {n}\n"))));
    session.set_infile_handler(async move { Ok(stream::iter(lines).boxed()) });
    let loaded = session.query_drop("load data local infile 'a name' into table many").await;
    assert_eq!(loaded.is_ok(), way.local_infile, "{loaded:?}");
    if loaded.is_err() {
        let rows = (1..=ROWS).map(|n| format!("({n}, 'x')")).collect::<Vec<_>>().join(",");
        session.query_drop(format!("insert into many values {rows}")).await.unwrap();
    }
}

async fn stream_to_the_end(session: &mut Conn) {
    let rows = session.exec_stream::<(u64, String), _, _>("select n, t from many", ()).await.unwrap();
    let sum = rows.fold(0, |sum, row| async move { sum + row.unwrap().0 }).await;
    assert_eq!(sum, ROWS * (ROWS + 1) / 2);
}

/// Neither a process that dies nor a runtime that is dropped says goodbye.
fn goes_in_the_middle(way: &Way) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let gone = runtime.spawn(begin_to_read(options(way)));
    let id = runtime.block_on(gone).unwrap();
    drop(runtime);
    let ids = [id.to_string()];
    eventually("the server to notice", SOON, || (!way.db.server.has_any_of(&ids)).then_some(()));
}

async fn begin_to_read(options: OptsBuilder) -> u32 {
    let mut session = Conn::new(options).await.unwrap();
    let id = session.id();
    let endless = "select a.n, a.t, b.n from many a join many b on b.n <= 100";
    let mut rows = session.query_stream::<Row, _>(endless).await.unwrap();
    assert!(rows.next().await.unwrap().is_ok());
    id
}

async fn pool(way: &Way) {
    let pool = Pool::new(options(way));
    let many = (0..200i64).map(|n| {
        let pool = pool.clone();
        async move { pool.get_conn().await.unwrap().exec_first("select ?", (n,)).await.unwrap() }
    });
    let answers: Vec<Option<i64>> = futures_util::future::join_all(many).await;
    assert!(answers.into_iter().flatten().eq(0..200));
    pool.disconnect().await.unwrap();
}
