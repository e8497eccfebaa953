"""What an application does with mysqlclient (libmariadb); the environment's WAY says where."""
import hashlib
import json
import os
import socket
import tempfile
import time

import MySQLdb
import MySQLdb.cursors
from MySQLdb.constants import CLIENT, ER

way = json.loads(os.environ["WAY"])
LARGE = way["large"]
ROWS = 100_000


def connect(**more):
    target = {name: way[name] for name in ("host", "port", "user", "password", "database")}
    return MySQLdb.connect(**target, ssl_mode="DISABLED", charset="utf8mb4", binary_prefix=True, read_timeout=60, **more)


def main():
    session = connect(client_flag=CLIENT.MULTI_STATEMENTS | CLIENT.MULTI_RESULTS)
    statements(session)
    multi_statements(session)
    large_value(session)
    change_user(session)
    errors(session)
    session.close()
    local_infile()
    stream()
    print("done")


def query(session, statement, values=None):
    cursor = session.cursor()
    cursor.execute(statement, values)
    return cursor.fetchall()


def statements(session):
    assert query(session, "select %s + 1, %s, %s", (41, "gruß", b"\0\xff")) == ((42, "gruß", b"\0\xff"),)
    assert query(session, "select connection_id()") == ((session.thread_id(),),)
    query(session, "create table line (n int)")
    query(session, "insert into line values (1)")
    session.rollback()
    assert query(session, "select count(*) from line") == ((0,),)


def multi_statements(session):
    cursor = session.cursor()
    cursor.execute("select 1; select 2, 3")
    assert cursor.fetchall() == ((1,),)
    assert cursor.nextset() == 1 and cursor.fetchall() == ((2, 3),)
    assert cursor.nextset() is None


def large_value(session):
    value = os.urandom(LARGE)
    query(session, "create table large (v longblob)")
    query(session, "insert into large values (%s)", (value,))
    ((back, digest),) = query(session, "select v, sha2(v, 256) from large")
    assert back == value and digest == hashlib.sha256(value).hexdigest()
    session.rollback()


def change_user(session):
    """Everything that the session held is gone, and the database is the one that was named."""
    query(session, "set @mine = 7")
    before, account = session.thread_id(), query(session, "select current_user()")
    for _ in range(3):
        session.change_user(way["user"], way["password"], way["database"])
        assert query(session, "select @mine, database()") == ((None, way["database"]),)
        assert query(session, "select current_user()") == account
        assert query(session, "select connection_id()") == ((before,),)
        query(session, "set @mine = 7")


def errors(session):
    try:
        query(session, "select * from no_such_table")
        raise AssertionError("no error")
    except MySQLdb.ProgrammingError as error:
        assert error.args[0] == ER.NO_SUCH_TABLE, error
    session.ping()


def local_infile():
    session = connect(local_infile=1, autocommit=True)
    query(session, "create table many (n int, t varchar(50))")
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        file.writelines(f"{n}\tvalue {n}\n" for n in range(1, ROWS + 1))
        file.flush()
        try:
            query(session, f"load data local infile '{file.name}' into table many")
            assert way["local_infile"], "the file was sent"
        except MySQLdb.MySQLError:
            assert not way["local_infile"]
            session.cursor().executemany("insert into many values (%s, %s)", [(n, "x") for n in range(1, ROWS + 1)])
    session.close()


def stream():
    session = connect(cursorclass=MySQLdb.cursors.SSCursor)
    cursor = session.cursor()
    cursor.execute("select n, t from many")
    assert sum(n for n, _ in cursor) == ROWS * (ROWS + 1) // 2
    cursor.close()
    cursor = session.cursor()
    cursor.execute("select a.n, a.t, b.n from many a join many b on b.n <= 100")
    assert len(cursor.fetchmany(10)) == 10
    number = session.thread_id()
    # Without a goodbye, and for libmariadb too: it would read on to the end.
    socket.socket(fileno=os.dup(session.fileno())).shutdown(socket.SHUT_RDWR)
    observer, deadline = connect(autocommit=True), time.monotonic() + 60
    while query(observer, f"select count(*) from information_schema.processlist where id = {number}") != ((0,),):
        assert time.monotonic() < deadline, "the session of a client that went lives on"
        time.sleep(0.02)


main()
