//! The `redis` crate on every way: one connection that waits, and one that many tasks share.

use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::try_join_all;
use redis::aio::MultiplexedConnection;
use redis::caching::CacheConfig;
use redis::{
    AsyncCommands, AsyncConnectionConfig, Client, Commands, Connection, ErrorKind, PushKind, ServerErrorKind,
};

use attache_kit::{LONG, SOON};

use crate::servers::USER;
use crate::ways::{self, Way};

const LARGE: usize = 1 << 20;
const DATABASE: u32 = 5;

#[test]
fn the_redis_crate_works() {
    for way in ways::each("redis_crate") {
        for protocol in ["resp2", "resp3"] {
            let client = Client::open(url(&way, protocol)).unwrap();
            waits(&client, &way);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let shared = async { tokio::time::timeout(LONG, shares(&client, &way, protocol)).await };
            runtime.block_on(shared).unwrap();
        }
    }
}

fn url(way: &Way, protocol: &str) -> String {
    let login = match (way.user, way.password) {
        (Some(user), Some(password)) => format!("{user}:{password}@"),
        _ => String::new(),
    };
    format!("redis://{login}{}/{DATABASE}?protocol={protocol}", way.addr)
}

fn waits(client: &Client, way: &Way) {
    let mut session = client.get_connection().unwrap();
    session.set_read_timeout(Some(SOON)).unwrap();
    let key = |name: &str| format!("{}{name}", way.prefix);
    let () = session.del(&[key("text"), key("sum"), key("queue")]).unwrap();
    assert_eq!(ask::<String>(&mut session, "ACL WHOAMI"), USER);
    let info: String = ask(&mut session, "CLIENT INFO");
    assert!(info.contains(&format!(" db={DATABASE} ")), "{}: {info}", way.name);
    let value: Vec<u8> = (0..LARGE).map(|at| (at ^ (at >> 8)) as u8).collect();
    let () = session.set(key("text"), &value).unwrap();
    assert!(session.get::<_, Vec<u8>>(key("text")).unwrap() == value);
    pipelines(&mut session, &key("sum"));
    scripts(&mut session);
    messages(client, &mut session, &key("news"));
    assert_eq!(session.blpop::<_, Option<(String, String)>>(key("queue"), 0.05).unwrap(), None);
    let error = session.incr::<_, _, i64>(key("text"), 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server(ServerErrorKind::ResponseError), "{error}");
    if way.house.is_some() {
        logins(&mut session);
    }
}

fn ask<T: redis::FromRedisValue>(session: &mut Connection, line: &str) -> T {
    let mut words = line.split(' ');
    redis::cmd(words.next().unwrap()).arg(words.collect::<Vec<_>>()).query(session).unwrap()
}

fn pipelines(session: &mut Connection, sum: &str) {
    let mut pipe = redis::pipe();
    for _ in 0..1000 {
        pipe.incr(sum, 1);
    }
    let sums: Vec<i64> = pipe.query(session).unwrap();
    assert!(sums.into_iter().eq(1..=1000));
    let (sum,): (i64,) = redis::transaction(session, &[sum], |session, pipe| {
        let now: i64 = session.get(sum)?;
        pipe.set(sum, now * 2).ignore().get(sum).query(session)
    })
    .unwrap();
    assert_eq!(sum, 2000);
}

fn scripts(session: &mut Connection) {
    // Unknown to the server at first, which the driver learns from NOSCRIPT.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let script = redis::Script::new(&format!("-- {now}\nreturn {{KEYS[1], ARGV[1] + 1}}"));
    for number in 0..3 {
        let said: (String, i64) = script.key("k").arg(number).invoke(session).unwrap();
        assert_eq!(said, ("k".to_owned(), number + 1));
    }
}

fn messages(client: &Client, session: &mut Connection, channel: &str) {
    let mut subscriber = client.get_connection().unwrap();
    let mut subscriber = subscriber.as_pubsub();
    subscriber.set_read_timeout(Some(SOON)).unwrap();
    subscriber.subscribe(channel).unwrap();
    subscriber.psubscribe(format!("{channel}*")).unwrap();
    for number in 0..10 {
        assert_eq!(session.publish::<_, _, i64>(channel, number).unwrap(), 2);
    }
    for number in 0..20 {
        let message = subscriber.get_message().unwrap();
        assert_eq!(message.get_payload::<i64>().unwrap(), number / 2);
        assert_eq!(message.from_pattern(), number % 2 == 1);
    }
    subscriber.unsubscribe(channel).unwrap();
}

fn logins(session: &mut Connection) {
    assert_eq!(ask::<String>(session, "AUTH any"), "OK");
    assert_eq!(ask::<String>(session, "AUTH any thing"), "OK");
    let error = redis::cmd("ACL").arg("LIST").exec(session).unwrap_err();
    assert!(error.to_string().contains("attache: "), "{error}");
    assert_eq!(ask::<String>(session, "RESET"), "RESET");
    assert_eq!(ask::<String>(session, "ACL WHOAMI"), USER);
}

async fn shares(client: &Client, way: &Way, protocol: &str) {
    let patient = || {
        let config = AsyncConnectionConfig::new();
        config.set_response_timeout(Some(SOON)).set_connection_timeout(Some(SOON))
    };
    let session = client.get_multiplexed_async_connection_with_config(&patient()).await.unwrap();
    let said = try_join_all((0..500).map(|number| echo(session.clone(), number))).await.unwrap();
    assert!(said.into_iter().eq(0..500));
    if protocol == "resp3" {
        pushes(client, patient(), session.clone(), &format!("{}pushed", way.prefix)).await;
        caches(client, patient(), session, &format!("{}cached", way.prefix)).await;
    }
}

async fn echo(mut session: MultiplexedConnection, number: i64) -> redis::RedisResult<i64> {
    redis::cmd("ECHO").arg(number).query_async(&mut session).await
}

/// Messages and replies on one connection.
async fn pushes(
    client: &Client,
    config: AsyncConnectionConfig,
    mut other: MultiplexedConnection,
    channel: &str,
) {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let config = config.set_push_sender(tell);
    let mut session = client.get_multiplexed_async_connection_with_config(&config).await.unwrap();
    session.subscribe(channel).await.unwrap();
    for number in 0..10 {
        let () = other.publish(channel, number).await.unwrap();
        assert_eq!(echo(session.clone(), number).await.unwrap(), number);
    }
    let mut seen = Vec::new();
    while seen.len() < 10 {
        let push = told.recv().await.unwrap();
        if push.kind == PushKind::Message {
            seen.push(redis::from_redis_value::<i64>(push.data[1].clone()).unwrap());
        }
    }
    assert!(seen.into_iter().eq(0..10));
}

/// Keys that were read are known without asking, until the server says that they have changed.
async fn caches(client: &Client, config: AsyncConnectionConfig, mut other: MultiplexedConnection, key: &str) {
    let config = config.set_cache_config(CacheConfig::new());
    let mut session = client.get_multiplexed_async_connection_with_config(&config).await.unwrap();
    let () = other.set(key, 1).await.unwrap();
    for _ in 0..10 {
        assert_eq!(session.get::<_, i64>(key).await.unwrap(), 1);
    }
    assert_eq!(session.get_cache_statistics().unwrap().hit, 9);
    let () = other.set(key, 2).await.unwrap();
    while session.get::<_, i64>(key).await.unwrap() != 2 {
        tokio::task::yield_now().await;
    }
}
