// What an application does with node's pg; argv: port and database. Every failed promise is an exception.
const assert = require('node:assert/strict');
const { Client, Pool } = require('pg');

const [port, database] = process.argv.slice(2);
const target = { host: '127.0.0.1', port: Number(port), user: 'nobody', database };

async function main() {
  const client = new Client({ ...target, application_name: 'pg test' });
  await client.connect();
  await statements(client);
  await transactions(client);
  await notifications(client);
  await errors(client);
  await cancel(client);
  await client.end();
  await pool();
  await refusals();
  console.log('done');
}

async function statements(client) {
  const { rows } = await client.query('select $1::int + 1 as n, $2::text as text, $3::bytea as bytes', [
    41, 'gruß', Buffer.from([0, 255]),
  ]);
  assert.deepEqual(rows, [{ n: 42, text: 'gruß', bytes: Buffer.from([0, 255]) }]);
  for (let n = 0; n < 20; n += 1) {
    const twice = await client.query({ name: 'twice', text: 'select $1::int * 2 as n', values: [n] });
    assert.equal(twice.rows[0].n, 2 * n);
  }
  const many = await Promise.all([...Array(200).keys()].map((n) => client.query('select $1::int as n', [n])));
  assert.deepEqual(many.map((result) => result.rows[0].n), [...Array(200).keys()]);
}

async function transactions(client) {
  await client.query('create table pg_line (n int)');
  await client.query('begin');
  await client.query('insert into pg_line values (1)');
  await client.query('rollback');
  await client.query('begin');
  await client.query('insert into pg_line values (2)');
  await client.query('commit');
  assert.deepEqual((await client.query('select n from pg_line')).rows, [{ n: 2 }]);
}

async function notifications(client) {
  const heard = new Promise((resolve) => client.once('notification', resolve));
  await client.query('listen pg_orders');
  const other = new Client(target);
  await other.connect();
  await other.query("notify pg_orders, 'number 17'");
  await other.end();
  assert.equal((await heard).payload, 'number 17');
}

async function errors(client) {
  await assert.rejects(client.query('select 1/0'), { code: '22012' });
  assert.equal((await client.query('select 1 as n')).rows[0].n, 1);
}

// The driver's own way: a second client with the process id and the key of the first.
async function cancel(client) {
  const running = client.query('select pg_sleep(60)');
  const watcher = new Client(target);
  await watcher.connect();
  const sql = "select count(*)::int as n from pg_stat_activity where pid = $1 and wait_event = 'PgSleep'";
  while ((await watcher.query(sql, [client.processID])).rows[0].n === 0);
  await watcher.end();
  const rejected = assert.rejects(running, { code: '57014' });
  const errand = new Client(target);
  errand.connection.on('connect', () => errand.connection.cancel(client.processID, client.secretKey));
  errand.connection.on('error', () => {});
  errand.connection.connect(target.port, target.host);
  await rejected;
}

async function pool() {
  const pool = new Pool({ ...target, max: 4 });
  const results = await Promise.all([...Array(100).keys()].map((n) => pool.query('select $1::int as n', [n])));
  assert.deepEqual(results.map((result) => result.rows[0].n), [...Array(100).keys()]);
  await pool.end();
}

async function refusals() {
  const wanting = new Client({ ...target, ssl: { rejectUnauthorized: false } });
  await assert.rejects(wanting.connect(), /does not support SSL/);
  const lost = new Client({ ...target, database: 'no_such_database' });
  await assert.rejects(lost.connect(), { code: '3D000' });
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
