"""What an application does with psycopg 3; argv: port and database. Every failed promise is an AssertionError."""
import sys
import threading
import time

import psycopg

port, database = sys.argv[1:3]
target = f"host=127.0.0.1 port={port} user=nobody dbname={database}"


def main():
    with psycopg.connect(target, application_name="psycopg test") as session:
        statements(session)
        transactions(session)
        copy(session)
        pipeline(session)
        errors(session)
    cancel(psycopg.connect(target, autocommit=True))
    newest_protocol()
    refusals()
    print("done")


def statements(session):
    row = session.execute("select %s::int + 1, %s::text, %b::bytea", (41, "gruß", b"\0\xff")).fetchone()
    assert row == (42, "gruß", b"\0\xff"), row
    for n in range(20):
        assert session.execute("select %s::int * 2", (n,), prepare=True).fetchone() == (2 * n,)
    assert session.execute("select count(*) from pg_prepared_statements").fetchone()[0] >= 1
    with session.cursor(name="server_side") as cursor:
        cursor.execute("select generate_series(1, 10000)")
        assert sum(n for (n,) in cursor) == 50005000


def transactions(session):
    session.execute("create table psycopg_line (n int)")
    session.commit()
    session.execute("insert into psycopg_line values (1)")
    session.rollback()
    with session.transaction():
        session.execute("insert into psycopg_line values (2)")
        try:
            with session.transaction():
                session.execute("insert into psycopg_line values (3)")
                raise psycopg.Rollback
        except psycopg.Rollback:
            pass
    session.commit()
    assert session.execute("select n from psycopg_line").fetchall() == [(2,)]


def copy(session):
    with session.cursor() as cursor:
        with cursor.copy("copy psycopg_line from stdin") as copy:
            for n in range(1000):
                copy.write_row((n,))
        with cursor.copy("copy psycopg_line to stdout") as copy:
            assert sum(1 for _ in copy.rows()) == 1001
    session.rollback()


def pipeline(session):
    with session.pipeline():
        cursors = [session.execute("select %s::int", (n,)) for n in range(300)]
    assert [cursor.fetchone()[0] for cursor in cursors] == list(range(300))


def errors(session):
    try:
        session.execute("select 1/0")
        raise AssertionError("no error")
    except psycopg.errors.DivisionByZero as error:
        assert error.sqlstate == "22012"
    session.rollback()


def cancel(session):
    def when_it_runs():
        with psycopg.connect(target) as other:
            sql = "select count(*) from pg_stat_activity where pid = %s and wait_event = 'PgSleep'"
            deadline = time.monotonic() + 60
            while other.execute(sql, (session.info.backend_pid,)).fetchone()[0] == 0:
                assert time.monotonic() < deadline, "the statement does not run"
        session.cancel_safe(timeout=60)

    helper = threading.Thread(target=when_it_runs)
    helper.start()
    try:
        session.execute("select pg_sleep(60)")
        raise AssertionError("not cancelled")
    except psycopg.errors.QueryCanceled:
        pass
    helper.join()
    assert session.execute("select 1").fetchone() == (1,)
    session.close()


def newest_protocol():
    session = psycopg.connect(target, autocommit=True, max_protocol_version="latest")
    version = session.pgconn.full_protocol_version
    assert version == (30002 if session.info.server_version >= 180000 else 30000), version
    cancel(session)


def refusals():
    for option, text in [
        ("sslmode=require", "server does not support SSL, but SSL was required"),
        ("sslmode=require sslnegotiation=direct", "SSL error"),
        ("channel_binding=require", "channel binding"),
        ("require_auth=scram-sha-256", "authentication method requirement"),
    ]:
        try:
            psycopg.connect(f"{target} {option}")
            raise AssertionError(f"{option} was taken")
        except psycopg.OperationalError as error:
            assert text in str(error), f"{option}: {error}"


main()
