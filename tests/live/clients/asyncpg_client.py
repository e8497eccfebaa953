"""What an application does with asyncpg; argv: port and database. Every failed promise is an AssertionError."""
import asyncio
import io
import sys

import asyncpg

port, database = sys.argv[1:3]


def connect(**more):
    return asyncpg.connect(host="127.0.0.1", port=int(port), user="nobody", database=database, **more)


async def main():
    session = await connect(server_settings={"application_name": "asyncpg test"})
    await statements(session)
    await transactions(session)
    await copy(session)
    await notifications(session)
    await errors(session)
    await cancel(session)
    await session.close()
    await pool()
    print("done")


async def statements(session):
    assert await session.fetchval("select $1::int + 1", 41) == 42
    row = await session.fetchrow("select $1::text as text, $2::bytea as bytes", "gruß", b"\0\xff")
    assert (row["text"], row["bytes"]) == ("gruß", b"\0\xff"), row
    prepared = await session.prepare("select $1::int * 2")
    assert [await prepared.fetchval(n) for n in range(20)] == [2 * n for n in range(20)]
    assert await session.fetchval("show application_name") == "asyncpg test"


async def transactions(session):
    await session.execute("create table asyncpg_line (n int)")
    try:
        async with session.transaction():
            await session.execute("insert into asyncpg_line values (1)")
            raise KeyError
    except KeyError:
        pass
    async with session.transaction():
        await session.executemany("insert into asyncpg_line values ($1)", [(n,) for n in range(100)])
        assert len([row async for row in session.cursor("select n from asyncpg_line")]) == 100
    assert await session.fetchval("select sum(n) from asyncpg_line") == 4950


async def copy(session):
    records = [(n,) for n in range(1000)]
    assert await session.copy_records_to_table("asyncpg_line", records=records) == "COPY 1000"
    out = io.BytesIO()
    await session.copy_from_table("asyncpg_line", output=out, format="csv")
    assert out.getvalue().count(b"\n") == 1100


async def notifications(session):
    heard = asyncio.get_running_loop().create_future()
    await session.add_listener("asyncpg_orders", lambda *event: heard.set_result(event[3]))
    other = await connect()
    await other.execute("notify asyncpg_orders, 'number 17'")
    assert await asyncio.wait_for(heard, 20) == "number 17"
    await other.close()


async def errors(session):
    try:
        await session.fetch("select 1/0")
        raise AssertionError("no error")
    except asyncpg.DivisionByZeroError as error:
        assert error.sqlstate == "22012"


async def cancel(session):
    try:
        await session.fetch("select pg_sleep(60)", timeout=0.2)
        raise AssertionError("not cancelled")
    except asyncio.TimeoutError:
        pass
    # The driver waits for its own cancel request to take effect before it uses the session again.
    assert await asyncio.wait_for(session.fetchval("select 1"), 20) == 1


async def pool():
    async with asyncpg.create_pool(
        host="127.0.0.1", port=int(port), user="nobody", database=database, min_size=4, max_size=4
    ) as pool:
        results = await asyncio.gather(*(pool.fetchval("select $1::int", n) for n in range(100)))
        assert results == list(range(100))


asyncio.run(main())
