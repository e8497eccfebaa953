"""What an application does with PyMySQL; the environment's WAY says where. Every failed promise is an AssertionError."""
import hashlib
import json
import os
import tempfile
import threading
import time

import pymysql
from pymysql.constants import CLIENT, ER

way = json.loads(os.environ["WAY"])
is_mysql = way["flavour"] == "MySql"
LARGE = way["large"]
ROWS = 100_000


def connect(**more):
    target = {name: way[name] for name in ("host", "port", "user", "password", "database")}
    return pymysql.connect(**target, ssl_disabled=True, read_timeout=60, **more)


def main():
    with connect(autocommit=False, client_flag=CLIENT.MULTI_STATEMENTS, program_name="pymysql test") as session:
        statements(session.cursor())
        multi_statements(session.cursor())
        transactions(session)
        large_value(session)
        errors(session)
        attributes(session.cursor())
    local_infile()
    stream()
    kill_query()
    print("done")


def statements(cursor):
    cursor.execute("select %s + 1, %s, %s", (41, "gruß", b"\0\xff"))
    assert cursor.fetchone() == (42, "gruß", b"\0\xff")
    cursor.execute("select current_user(), connection_id()")
    assert cursor.fetchone()[1] == cursor.connection.thread_id(), "the greeting names another session"


def multi_statements(cursor):
    cursor.execute("select 1; select 2, 3; do 0; select 'last'")
    seen = [cursor.fetchall()]
    while cursor.nextset():
        seen.append(cursor.fetchall())
    assert [list(rows) for rows in seen] == [[(1,)], [(2, 3)], [], [("last",)]], seen


def transactions(session):
    cursor = session.cursor()
    cursor.execute("create table line (n int) engine = innodb")
    cursor.execute("insert into line values (1)")
    session.rollback()
    cursor.executemany("insert into line values (%s)", [(n,) for n in range(2, 5)])
    session.commit()
    cursor.execute("select n from line order by n")
    assert cursor.fetchall() == ((2,), (3,), (4,))


def large_value(session):
    cursor, value = session.cursor(), os.urandom(LARGE)
    cursor.execute("create table large (v longblob) engine = innodb")
    cursor.execute("insert into large values (%s)", (value,))
    cursor.execute("select v, sha2(v, 256) from large")
    back, digest = cursor.fetchone()
    assert back == value and digest == hashlib.sha256(value).hexdigest()
    session.rollback()


def errors(session):
    for statement, number, state in [
        ("selekt 1", ER.PARSE_ERROR, "42000"),
        ("select * from no_such_table", ER.NO_SUCH_TABLE, "42S02"),
    ]:
        try:
            session.cursor().execute(statement)
            raise AssertionError("no error")
        except pymysql.err.ProgrammingError as error:
            assert error.args[0] == number, error
    session.ping(reconnect=False)


def attributes(cursor):
    if is_mysql:
        cursor.execute("select attr_name, attr_value from performance_schema.session_account_connect_attrs"
                       " where processlist_id = connection_id()")
        said = dict(cursor.fetchall())
        assert said["program_name"] == "pymysql test" and said["_client_name"] == "pymysql", said


def local_infile():
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        file.writelines(f"{n}\tvalue {n}\n" for n in range(1, ROWS + 1))
        file.flush()
        with connect(local_infile=True, autocommit=True) as session:
            cursor = session.cursor()
            cursor.execute("create table many (n int, t varchar(50))")
            load = f"load data local infile '{file.name}' into table many"
            if way["local_infile"]:
                assert cursor.execute(load) == ROWS
                return
            try:
                cursor.execute(load)
                raise AssertionError("the file was sent")
            except pymysql.err.MySQLError:
                cursor.execute("select count(*) from many")
                assert cursor.fetchone() == (0,)
                cursor.executemany("insert into many values (%s, %s)", [(n, "x") for n in range(1, ROWS + 1)])


def stream():
    with connect() as session:
        cursor = session.cursor(pymysql.cursors.SSCursor)
        cursor.execute("select n, t from many")
        assert sum(n for n, _ in cursor) == ROWS * (ROWS + 1) // 2
        cursor.close()
    gone = connect()
    cursor = gone.cursor(pymysql.cursors.SSCursor)
    cursor.execute("select a.n, a.t, b.n from many a join many b on b.n <= 100")
    assert len(cursor.fetchmany(10)) == 10
    number = gone.thread_id()
    gone._force_close()
    with connect() as session:
        wait_until(session, f"select count(*) = 0 from information_schema.processlist where id = {number}")


def kill_query():
    sleeper = connect()
    number, ended = sleeper.thread_id(), []

    def sleep():
        try:
            cursor = sleeper.cursor()
            cursor.execute("select sleep(60)")
            ended.append(cursor.fetchone())
        except pymysql.err.OperationalError as error:
            ended.append(error.args[0])

    thread = threading.Thread(target=sleep)
    thread.start()
    with connect() as session:
        wait_until(session, f"select count(*) from information_schema.processlist where id = {number} and info like '%sleep%'")
        session.cursor().execute(f"kill query {number}")
    thread.join(20)
    assert ended in ([(1,)], [ER.QUERY_INTERRUPTED]), ended
    sleeper.ping(reconnect=False)


def wait_until(session, question):
    deadline = time.monotonic() + 60
    while True:
        cursor = session.cursor()
        cursor.execute(question)
        if cursor.fetchone()[0]:
            return
        assert time.monotonic() < deadline, question
        time.sleep(0.02)


main()
