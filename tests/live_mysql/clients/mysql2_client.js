// What an application does with mysql2; the environment's WAY says where. Every failed promise is an AssertionError.
const assert = require("assert/strict"), crypto = require("crypto"), { Readable } = require("stream");
const mysql = require("mysql2/promise");

const way = JSON.parse(process.env.WAY);
const LARGE = way.large, ROWS = 100000;

const connect = (more = {}) => mysql.createConnection({
  host: way.host, port: way.port, user: way.user, password: way.password, database: way.database, ...more });

async function main() {
  const session = await connect({ multipleStatements: true, connectAttributes: { program_name: "mysql2 test" } });
  await attributes(session);
  await prepared(session);
  await multiStatements(session);
  await transactions(session);
  await largeValue(session);
  await changeUser(session);
  await reset(session);
  await errors(session);
  await session.end();
  await localInfile();
  await stream();
  await pool();
  console.log("done");
}

// In the binary protocol.
async function prepared(session) {
  const [rows] = await session.execute("select ? + 1 as n, ? as t, cast(? as binary) as b, cast(? as datetime(6)) as d",
    [41, "gruß", Buffer.from([0, 255]), "2026-11-22 10:11:12.345678"]);
  assert.equal(Number(rows[0].n), 42);
  assert.equal(rows[0].t, "gruß");
  assert.deepEqual(Buffer.from(rows[0].b), Buffer.from([0, 255]));
  for (let n = 0; n < 50; n++) {
    const [[row]] = await session.execute("select ? * 2 as n", [n]);
    assert.equal(Number(row.n), 2 * n);
  }
  const statement = await session.prepare("select ? as v");
  for (const value of [null, "", "x".repeat(100000)]) {
    const [[row]] = await statement.execute([value]);
    assert.equal(row.v, value);
  }
  await statement.close();
}

async function multiStatements(session) {
  const [results] = await session.query("select 1 as a; select 2 as b, 3 as c; do 0");
  assert.deepEqual(JSON.parse(JSON.stringify(results.slice(0, 2))), [[{ a: 1 }], [{ b: 2, c: 3 }]]);
}

async function transactions(session) {
  await session.query("create table line (n int)");
  await session.beginTransaction();
  await session.execute("insert into line values (?)", [1]);
  await session.rollback();
  const [[{ many }]] = await session.query("select count(*) as many from line");
  assert.equal(many, 0);
}

async function largeValue(session) {
  const value = crypto.randomBytes(LARGE);
  await session.query("create table large (v longblob)");
  await session.beginTransaction();
  await session.execute("insert into large values (?)", [value]);
  const [[row]] = await session.execute("select v, sha2(v, 256) as digest from large");
  assert.equal(row.digest, crypto.createHash("sha256").update(value).digest("hex"));
  assert.ok(row.v.equals(value));
  await session.rollback();
}

async function changeUser(session) {
  await session.query("set @mine = 7");
  const [[before]] = await session.query("select current_user() as who, connection_id() as id");
  await session.changeUser({ user: way.user, password: way.password, database: way.database });
  const [[after]] = await session.query("select @mine as mine, database() as db, current_user() as who, connection_id() as id");
  assert.deepEqual({ ...after }, { mine: null, db: way.database, ...before });
}

async function reset(session) {
  await session.query("set @mine = 7");
  await session.reset();
  const [[{ mine }]] = await session.query("select @mine as mine");
  assert.equal(mine, null);
}

async function errors(session) {
  for (const [statement, errno, sqlState] of [["selekt 1", 1064, "42000"], ["select * from no_such_table", 1146, "42S02"]])
    await assert.rejects(session.query(statement), error => error.errno === errno && error.sqlState === sqlState);
  await session.ping();
}

async function attributes(session) {
  if (way.flavour !== "MySql") return;
  const [rows] = await session.query("select attr_name as name, attr_value as value from performance_schema.session_account_connect_attrs"
    + " where processlist_id = connection_id()");
  const said = Object.fromEntries(rows.map(row => [row.name, row.value]));
  assert.equal(said.program_name, "mysql2 test");
}

async function localInfile() {
  const session = await connect();
  await session.query("create table many (n int, t varchar(50))");
  function* lines() { for (let n = 1; n <= ROWS; n++) yield Buffer.from(`${n}\tvalue ${n}\n`); }
  const load = session.query({ sql: "load data local infile 'a name' into table many",
    infileStreamFactory: () => Readable.from(lines()) });
  if (way.local_infile) {
    const [{ affectedRows }] = await load;
    assert.equal(affectedRows, ROWS);
  } else {
    await assert.rejects(load);
    for (let n = 1; n <= ROWS; n += 1000) {
      const rows = Array.from({ length: 1000 }, (_, i) => [n + i, "x"]);
      await session.query("insert into many values ?", [rows]);
    }
  }
  await session.end();
}

async function stream() {
  const session = await connect();
  let sum = 0;
  for await (const row of session.connection.query("select n, t from many").stream()) sum += row.n;
  assert.equal(sum, ROWS * (ROWS + 1) / 2);
  // Far more than all buffers on the way hold, for destroy() says goodbye and reads on: to the end, if there is one.
  const rows = session.connection.query("select a.n, a.t, b.n from many a join many b on b.n <= 20").stream();
  for await (const _ of rows) break;
  const number = session.threadId;
  session.destroy();
  const observer = await connect(), deadline = Date.now() + 60000;
  for (;;) {
    const [rows] = await observer.query(`select 1 from information_schema.processlist where id = ${number}`);
    if (rows.length === 0) break;
    assert.ok(Date.now() < deadline, "the session of a client that went lives on");
  }
  await observer.end();
}

async function pool() {
  const sessions = mysql.createPool({ host: way.host, port: way.port, user: way.user, password: way.password,
    database: way.database, connectionLimit: 5, resetOnRelease: true });
  const all = await Promise.all(Array.from({ length: 200 }, (_, n) => sessions.execute("select ? as n", [n])));
  all.forEach(([[row]], n) => assert.equal(Number(row.n), n));
  await sessions.end();
}

main().catch(error => { console.error(error); process.exit(1); });
