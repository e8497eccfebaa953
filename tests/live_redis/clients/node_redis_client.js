// What an application does with node-redis; the environment's WAY says where. Every failed promise is an AssertionError.
const assert = require("assert/strict"), crypto = require("crypto"), { once, EventEmitter } = require("events");
const { createClient, createClientPool, defineScript, RESP_TYPES, WatchError } = require("redis");

const way = JSON.parse(process.env.WAY);
const LARGE = 1 << 20, DATABASE = 5;

const key = name => way.prefix + name;

const options = (RESP, more = {}) => ({
  socket: { host: way.host, port: way.port, reconnectStrategy: false }, username: way.username ?? undefined,
  password: way.password ?? undefined, RESP, database: DATABASE, name: "node-redis", ...more });

const connect = (RESP, more) => createClient(options(RESP, more)).on("error", error => { throw error; }).connect();

async function main() {
  for (const RESP of [2, 3]) {
    const session = await connect(RESP);
    await session.del(["text", "hash", "sum", "watched", "queue"].map(key));
    await identity(session, RESP);
    await values(session);
    await pipelines(session);
    await transactions(session, RESP);
    await scripts(RESP);
    await messages(session, RESP);
    await blocking(session, RESP);
    await errors(session);
    if (way.through) await logins(session);
    await session.close();
  }
  await cache();
  console.log("done");
}

async function identity(session, RESP) {
  assert.equal(await session.ping(), "PONG");
  assert.equal(await session.aclWhoAmI(), way.account);
  const info = Object.fromEntries((await session.sendCommand(["CLIENT", "INFO"])).trim().split(" ").map(pair => pair.split("=")));
  assert.deepEqual([info.name, info.db, info.resp], ["node-redis", `${DATABASE}`, `${RESP}`]);
}

async function values(session) {
  await session.set(key("text"), "\0\r\ngruß");
  assert.equal(await session.get(key("text")), "\0\r\ngruß");
  await session.hSet(key("hash"), { a: 1, b: "two" });
  assert.deepEqual({ ...await session.hGetAll(key("hash")) }, { a: "1", b: "two" });
  const large = crypto.randomBytes(LARGE);
  await session.set(key("text"), large);
  const back = await session.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer }).get(key("text"));
  assert.ok(large.equals(back));
}

// Whatever is sent without waiting goes as one pipeline.
async function pipelines(session) {
  const many = await Promise.all(Array.from({ length: 1000 }, () => session.incr(key("sum"))));
  many.forEach((sum, n) => assert.equal(sum, n + 1));
}

async function transactions(session, RESP) {
  assert.deepEqual(await session.multi().set(key("watched"), "1").incr(key("watched")).exec(), ["OK", 2]);
  const other = await connect(RESP);
  await session.watch(key("watched"));
  await other.set(key("watched"), "10");
  await assert.rejects(session.multi().incr(key("watched")).exec(), WatchError);
  await session.watch(key("watched"));
  assert.deepEqual(await session.multi().incr(key("watched")).exec(), [11]);
  await other.close();
}

async function scripts(RESP) {
  const more = defineScript({
    NUMBER_OF_KEYS: 1, SCRIPT: `-- ${key("script")} ${process.hrtime.bigint()}\nreturn {KEYS[1], ARGV[1] + 1}`,
    parseCommand: (parser, name, number) => { parser.pushKey(name); parser.push(`${number}`); },
    transformReply: reply => reply });
  const session = await connect(RESP, { scripts: { more } });
  // The first is answered by NOSCRIPT, and the driver sends it whole.
  for (let n = 0; n < 3; n++) assert.deepEqual(await session.more("k", n), ["k", n + 1]);
  await session.close();
}

async function messages(session, RESP) {
  const subscriber = await connect(RESP), heard = [], told = new EventEmitter(), channel = key("news");
  const hear = kind => (text, from) => { heard.push([kind, from, text]); told.emit("message"); };
  await subscriber.subscribe(channel, hear("channel"));
  await subscriber.pSubscribe(channel + "*", hear("pattern"));
  for (let n = 0; n < 10; n++) assert.equal(await session.publish(channel, `${n}`), 2);
  while (heard.length < 20) await once(told, "message");
  heard.forEach((message, n) => assert.deepEqual(message, [n % 2 === 0 ? "channel" : "pattern", channel, `${n >> 1}`]));
  await subscriber.unsubscribe();
  await subscriber.pUnsubscribe();
  assert.equal(await subscriber.get(key("nothing")), null);
  await subscriber.close();
}

async function blocking(session, RESP) {
  assert.equal(await session.blPop(key("queue"), 0.05), null);
  const pool = await createClientPool(options(RESP), { minimum: 1, maximum: 3 }).connect();
  const got = pool.blPop(key("queue"), 20), all = Promise.all(Array.from({ length: 50 }, (_, n) => pool.echo(`${n}`)));
  await session.rPush(key("queue"), "at last");
  assert.deepEqual({ ...await got }, { key: key("queue"), element: "at last" });
  assert.deepEqual(await all, Array.from({ length: 50 }, (_, n) => `${n}`));
  await pool.close();
}

async function errors(session) {
  await assert.rejects(session.incr(key("text")), /not an integer/);
  if (way.through) await assert.rejects(session.aclList(), /NOPERM attache: /);
  else assert.ok((await session.aclList()).length > 0);
  assert.equal(await session.ping("still"), "still");
}

async function logins(session) {
  await Promise.all([session.auth({ password: "any" }), session.auth({ username: "any", password: "thing" }), session.ping()]);
  await session.reset();
  assert.equal(await session.aclWhoAmI(), way.account);
}

// Its connection asks for the keys that it reads to be tracked, and hears by pushes that they have changed.
async function cache() {
  const session = await connect(3, { clientSideCache: { ttl: 0, maxEntries: 0, evictPolicy: "LRU" } }), other = await connect(3);
  await other.hSet(key("hash"), "a", "1");
  assert.deepEqual(await session.hmGet(key("hash"), ["a"]), ["1"]);
  const calls = async () => /cmdstat_hmget:calls=(\d+)/.exec(await other.info("commandstats"))[1];
  const before = await calls();
  for (let n = 0; n < 100; n++) assert.deepEqual(await session.hmGet(key("hash"), ["a"]), ["1"]);
  assert.equal(await calls(), before, "the cache asked");
  await other.hSet(key("hash"), "a", "2");
  const deadline = Date.now() + 60000;
  while ((await session.hmGet(key("hash"), ["a"]))[0] !== "2") {
    assert.ok(Date.now() < deadline, "the change was never told");
    await new Promise(setImmediate);
  }
  await session.close();
  await other.close();
}

main().catch(error => { console.error(error); process.exit(1); });
