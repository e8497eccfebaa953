// What an application does with ioredis; the environment's WAY says where. Every failed promise is an AssertionError.
const assert = require("assert/strict"), crypto = require("crypto"), { once } = require("events");
const Redis = require("ioredis");

const way = JSON.parse(process.env.WAY);
const LARGE = 1 << 20, DATABASE = 5;

const key = name => way.prefix + name;

const connect = (protocol, more = {}) => new Redis({
  host: way.host, port: way.port, username: way.username ?? undefined, password: way.password ?? undefined,
  protocol, db: DATABASE, connectionName: "ioredis", maxRetriesPerRequest: 0, retryStrategy: () => null, ...more });

async function main() {
  for (const protocol of [2, 3]) {
    const session = connect(protocol);
    await session.del(...["text", "hash", "sum", "watched", "queue"].map(key));
    await identity(session, protocol);
    await values(session);
    await pipelines(session);
    await transactions(session);
    await scripts(session, protocol);
    await messages(session, protocol);
    await blocking(session, protocol);
    await errors(session);
    if (way.through) await logins(session);
    assert.equal(await session.quit(), "OK");
  }
  console.log("done");
}

async function identity(session, protocol) {
  assert.equal(await session.ping(), "PONG");
  assert.equal(await session.acl("WHOAMI"), way.account);
  const info = Object.fromEntries((await session.client("INFO")).trim().split(" ").map(pair => pair.split("=")));
  assert.deepEqual([info.name, info.db, info.resp], ["ioredis", `${DATABASE}`, `${protocol}`]);
}

async function values(session) {
  await session.set(key("text"), Buffer.from("\0\r\ngruß"));
  assert.equal(await session.get(key("text")), "\0\r\ngruß");
  await session.hset(key("hash"), { a: 1, b: "two" });
  assert.deepEqual({ ...await session.hgetall(key("hash")) }, { a: "1", b: "two" });
  const large = crypto.randomBytes(LARGE);
  await session.set(key("text"), large);
  assert.ok(large.equals(await session.getBuffer(key("text"))));
}

async function pipelines(session) {
  const pipe = session.pipeline();
  for (let n = 0; n < 1000; n++) pipe.incr(key("sum"));
  const replies = await pipe.exec();
  replies.forEach((reply, n) => assert.deepEqual(reply, [null, n + 1]));
  // Without a pipeline, but without waiting either.
  const many = await Promise.all(Array.from({ length: 1000 }, (_, n) => session.echo(`${n}`)));
  many.forEach((said, n) => assert.equal(said, `${n}`));
}

async function transactions(session) {
  const all = await session.multi().set(key("watched"), 1).incr(key("watched")).exec();
  assert.deepEqual(all, [[null, "OK"], [null, 2]]);
  const other = session.duplicate();
  await session.watch(key("watched"));
  await other.set(key("watched"), 10);
  assert.equal(await session.multi().incr(key("watched")).exec(), null);
  await session.watch(key("watched"));
  assert.deepEqual(await session.multi().incr(key("watched")).exec(), [[null, 11]]);
  await other.quit();
}

async function scripts(session, protocol) {
  const lua = `-- ${key("script")} ${process.hrtime.bigint()}\nreturn {KEYS[1], ARGV[1] + 1}`;
  session.defineCommand("more", { numberOfKeys: 1, lua });
  // The first is answered by NOSCRIPT, and the driver sends it whole.
  for (let n = 0; n < 3; n++) assert.deepEqual(await session.more("k", n), ["k", n + 1]);
}

async function messages(session, protocol) {
  const subscriber = connect(protocol), heard = [];
  subscriber.on("message", (channel, text) => heard.push([channel, text]));
  subscriber.on("pmessage", (pattern, channel, text) => heard.push([pattern, channel, text]));
  assert.equal(await subscriber.subscribe(key("news")), 1);
  assert.equal(await subscriber.psubscribe(key("news") + "*"), 2);
  const channel = key("news");
  for (let n = 0; n < 10; n++) assert.equal(await session.publish(channel, `${n}`), 2);
  while (heard.length < 20) await once(subscriber, "pmessage");
  heard.forEach((message, n) => {
    const text = `${n >> 1}`;
    assert.deepEqual(message, n % 2 === 0 ? [channel, text] : [channel + "*", channel, text]);
  });
  assert.equal(await subscriber.unsubscribe(channel), 1);
  assert.equal(await subscriber.punsubscribe(channel + "*"), 0);
  assert.equal(await subscriber.get(key("nothing")), null);
  await subscriber.quit();
}

async function blocking(session, protocol) {
  assert.equal(await session.blpop(key("queue"), 0.05), null);
  const waiter = connect(protocol), got = waiter.blpop(key("queue"), 20);
  await session.rpush(key("queue"), "at last");
  assert.deepEqual(await got, [key("queue"), "at last"]);
  await waiter.quit();
}

async function errors(session) {
  await assert.rejects(session.incr(key("text")), /not an integer/);
  const accounts = session.acl("LIST");
  if (way.through) await assert.rejects(accounts, /^ReplyError: NOPERM attache: /);
  else assert.ok((await accounts).length > 0);
  assert.equal(await session.ping("still"), "still");
}

async function logins(session) {
  assert.deepEqual(await Promise.all([session.auth("any"), session.auth("any", "thing"), session.ping()]), ["OK", "OK", "PONG"]);
  assert.equal(await session.call("RESET"), "RESET");
  assert.equal(await session.acl("WHOAMI"), way.account);
  assert.equal(await session.client("GETNAME"), null);
}

main().catch(error => { console.error(error); process.exit(1); });
