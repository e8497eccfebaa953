#!/usr/bin/env python3
"""Records the transcripts of this folder from a private server, MariaDB or MySQL.

usage: record.py NAME SOCKET USER [SCENARIO]    writes NAME-*.txt

The user needs every right and no password; the server a binary log and local_infile. A line of a transcript is one of

    flags HEX       what both sides agreed on
    C OCTETS        a packet or more from the client
    S OCTETS        everything that the server said until it fell silent
    quiet           everything is answered, and ending the session would lose nothing
    busy            everything is answered, but ending the session would lose something
    waiting         the reply is not complete
    never           it will not be
    parted          the server has said its last word
    left            the client has
    change          a change of user: what follows is not for the server
"""
import pathlib, re, socket, struct, sys

NAME, SOCKET, USER = sys.argv[1:4]
ONLY = sys.argv[4:]
HERE = pathlib.Path(__file__).parent
SILENCE = 0.25

LONG_PASSWORD, FOUND_ROWS, CONNECT_WITH_DB, LOCAL_FILES = 1, 2, 1 << 3, 1 << 7
PROTOCOL_41, TRANSACTIONS, SECURE = 1 << 9, 1 << 13, 1 << 15
MULTI_STATEMENTS, MULTI_RESULTS, PS_MULTI_RESULTS, PLUGIN_AUTH = 1 << 16, 1 << 17, 1 << 18, 1 << 19
SESSION_TRACK, DEPRECATE_EOF, OPTIONAL_METADATA, QUERY_ATTRIBUTES = 1 << 23, 1 << 24, 1 << 25, 1 << 27
PROGRESS, BULK, CACHE_METADATA, UNIT_RESULTS = 1 << 32, 1 << 34, 1 << 36, 1 << 37
BASE = (PROTOCOL_41 | TRANSACTIONS | SECURE | MULTI_STATEMENTS | MULTI_RESULTS | PS_MULTI_RESULTS | PLUGIN_AUTH
        | LOCAL_FILES)
VARIANTS = {"eof": BASE, "ok": BASE | DEPRECATE_EOF | SESSION_TRACK}
MARIADB = {
    "cached": BASE | DEPRECATE_EOF | PROGRESS | BULK | CACHE_METADATA,
    "cached-eof": BASE | PROGRESS | BULK | CACHE_METADATA,
}
MYSQL = {"optional": BASE | DEPRECATE_EOF | OPTIONAL_METADATA | SESSION_TRACK | LONG_PASSWORD}

QUERY, FIELD_LIST, STATISTICS, PROCESS_INFO, DEBUG, PING, CHANGE_USER = 3, 4, 9, 10, 13, 14, 17
INIT_DB, QUIT, BINLOG_DUMP, PREPARE, EXECUTE, LONG_DATA, CLOSE, RESET = 2, 1, 18, 22, 23, 24, 25, 26
SET_OPTION, FETCH, RESET_CONNECTION, BULK_EXECUTE = 27, 28, 31, 0xFA


def escape(octets):
    return "".join(chr(b) if 0x20 <= b < 0x7F and b != 0x5C else f"\\x{b:02x}" for b in octets)


def packet(payload, number=0):
    return struct.pack("<I", len(payload))[:3] + bytes([number]) + payload


def command(code, *parts):
    return packet(bytes([code]) + b"".join(part.encode() if isinstance(part, str) else part for part in parts))


class Session:
    """One connection, writing down what passes."""

    def __init__(self, flags):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(SOCKET)
        greeting = self.silence()
        version, rest = greeting[5:].split(b"\0", 1)
        self.mariadb = b"MariaDB" in version
        self.id, = struct.unpack_from("<I", rest)
        low, _, _, high, _, _, extended = struct.unpack_from("<HBHHB6sI", rest, 13)
        offered = low | high << 16 | (0 if low & LONG_PASSWORD else extended << 32)
        self.flags = flags & offered if self.mariadb else (flags | LONG_PASSWORD) & offered & 0xFFFFFFFF
        head = struct.pack("<IIB19sI", self.flags & 0xFFFFFFFF, 1 << 30, 45, b"", self.flags >> 32)
        plugin = b"mysql_native_password" if self.mariadb else b"caching_sha2_password"
        self.socket.sendall(packet(head + USER.encode() + b"\0\0" + plugin + b"\0", 1))
        ok = self.silence()
        assert ok[4] == 0, ok
        self.lines = [f"flags {self.flags:x}"]

    def silence(self):
        """What comes until nothing comes any more."""
        said = b""
        self.socket.settimeout(5)
        try:
            while part := self.socket.recv(1 << 20):
                said += part
                self.socket.settimeout(SILENCE)
        except TimeoutError:
            pass
        return said

    def mark(self, word):
        self.lines.append(word)

    def send(self, *packets):
        octets = b"".join(packets)
        self.lines.append("C " + escape(octets))
        self.socket.sendall(octets)

    def hear(self, mark):
        said = self.silence()
        assert said, self.lines[-1]
        self.lines.append("S " + escape(said))
        self.mark(mark)
        return said

    def ask(self, *packets, mark="quiet"):
        self.send(*packets)
        return self.hear(mark)

    def query(self, text, mark="quiet"):
        # No query attributes are ever agreed on.
        return self.ask(command(QUERY, text), mark=mark)

    def prepare(self, text, mark="quiet"):
        said = self.ask(command(PREPARE, text), mark=mark)
        return said[5:9]

    def execute(self, statement, cursor=0, values=b"", mark="quiet"):
        return self.ask(command(EXECUTE, statement, bytes([cursor]), b"\1\0\0\0", values), mark=mark)


def queries(it):
    it.query("select 1, 'two', null")
    it.query("select * from (select 1 as n) as t where n = 2")
    it.query("do 1")
    it.query("no such statement", mark="busy")
    it.query("set @x = 1")
    it.query("select repeat('x', 300), repeat('y', 70000)")
    it.query("select 1; select 2, 3; do 4; select 5")
    it.query("select 1; no such statement; select 2", mark="busy")
    it.query("call kit.two_results()")
    it.query("call kit.fails()", mark="busy")
    it.query("do 1")


def transactions(it):
    it.query("begin", mark="busy")
    it.query("select 1", mark="busy")
    it.query("insert into kit.t values (1, 'one')", mark="busy")
    it.query("rollback")
    it.query("start transaction read only", mark="busy")
    it.query("commit")
    it.query("set autocommit = 0")
    it.query("select * from kit.t", mark="busy")
    it.ask(command(PING), mark="busy")
    it.query("commit")
    it.query("set autocommit = 1")
    it.query("call kit.begins_and_fails()", mark="busy")
    it.query("rollback")


def small_commands(it):
    it.ask(command(PING))
    it.ask(command(INIT_DB, "kit"))
    it.ask(command(INIT_DB, "no_such_database"))
    it.ask(command(FIELD_LIST, "t", b"\0"))
    it.ask(command(FIELD_LIST, "no_such_table", b"\0"))
    it.ask(command(STATISTICS))
    it.ask(command(PROCESS_INFO))
    it.ask(command(SET_OPTION, b"\1\0"))
    it.ask(command(DEBUG))
    it.ask(command(99))
    it.query("begin", mark="busy")
    it.ask(command(RESET_CONNECTION))
    it.send(command(QUIT))
    it.mark("left")


def statements(it):
    it.ask(command(PREPARE, "no such statement"))
    for text in ("select 1", "select ? + ?, ?", "do 1", "insert into kit.t values (?, ?)"):
        it.prepare(text)
    plain = it.prepare("select n, s from kit.numbers order by n")
    it.execute(plain)
    it.execute(plain)
    it.execute(b"\x99\x99\x99\x00", mark="busy")
    it.execute(plain)
    data = it.prepare("select length(?)")
    it.send(command(LONG_DATA, data, b"\0\0", b"x" * 1000))
    it.mark("quiet")
    it.send(command(LONG_DATA, data, b"\0\0", b"y" * 1000))
    it.ask(command(RESET, data))
    it.send(command(LONG_DATA, data, b"\0\0", b"z" * 1000))
    it.execute(data, values=b"\0\1\xfc\0")
    it.send(command(CLOSE, data))
    it.mark("quiet")
    call = it.prepare("call kit.two_results()")
    it.execute(call)
    out = it.prepare("call kit.gives(?)")
    it.execute(out, values=b"\0\1\x08\0" + bytes(8))


def cursors(it):
    one = it.prepare("select n, s from kit.numbers order by n")
    two = it.prepare("select n from kit.numbers")
    fetch = lambda statement, rows, mark: it.ask(command(FETCH, statement, struct.pack("<I", rows)), mark=mark)
    it.execute(one, cursor=1, mark="busy")
    fetch(one, 2, "busy")
    it.execute(two, cursor=1, mark="busy")
    fetch(one, 100, "busy")
    fetch(two, 1, "busy")
    fetch(two, 100, "quiet")
    it.execute(one, cursor=1, mark="busy")
    it.ask(command(RESET, one))
    it.execute(one, cursor=1, mark="busy")
    if it.mariadb:
        # MySQL 9.7 answers with definitions and an OK, in which no client could see an end of rows.
        it.execute(one)
    it.execute(one, cursor=1, mark="busy")
    it.send(command(CLOSE, one))
    it.mark("quiet")
    it.execute(two, cursor=1, mark="busy")
    it.query("commit", mark="busy")
    it.ask(command(RESET_CONNECTION))


def files(it):
    load = "load data local infile '/etc/anything' into table kit.t"
    it.query(load, mark="waiting")
    it.send(packet(b"7\tseven\n", 2))
    it.mark("waiting")
    it.send(packet(b"8\teight\n", 3))
    it.send(packet(b"", 4))
    it.hear("quiet")
    it.query(load, mark="waiting")
    it.ask(packet(b"", 2))
    it.query(load + "; select 1", mark="waiting")
    it.ask(packet(b"9\tnine\n", 2), packet(b"", 3))
    it.query(load, mark="waiting")
    it.ask(packet(b"\x11 is no command here\n", 2), packet(b"", 3))
    it.query("delete from kit.t")


def ahead(it):
    it.ask(command(QUERY, "select 1"), command(QUERY, "do 2"), command(PING))
    it.ask(command(STATISTICS), command(QUERY, "select 1; select 2"), command(PREPARE, "select ?"), command(PING))
    it.ask(command(PREPARE, "select 1"), command(QUERY, "no such statement"), command(FIELD_LIST, "x", b"\0"),
           command(QUERY, "begin"), mark="busy")
    it.ask(*[command(QUERY, f"select {n}") for n in range(20)], command(QUERY, "rollback"))


def bulk(it):
    """MariaDB's drivers prepare and execute in one go, and send many rows at once."""
    last = b"\xff\xff\xff\xff"
    it.ask(command(PREPARE, "select n from kit.numbers"), command(EXECUTE, last, b"\1\1\0\0\0"), mark="busy")
    it.ask(command(FETCH, last, struct.pack("<I", 100)))
    insert = it.prepare("insert into kit.t values (?, 'bulk')")
    rows = b"".join(b"\0" + struct.pack("<i", n) for n in range(100, 110))
    it.ask(command(BULK_EXECUTE, insert, b"\x80\0", b"\3\0", rows))
    it.query("delete from kit.t")


def metadata_omitted(it):
    it.query("set resultset_metadata = none")
    it.query("select 1, 2")
    it.query("select 1; select 2")
    plain = it.prepare("select n from kit.numbers where n > ?")
    it.execute(plain, values=b"\0\1\x08\0" + bytes(8))
    it.query("set resultset_metadata = full")
    it.query("select 1, 2")


def stream(it):
    it.query("select @@server_id")
    it.query("set @master_binlog_checksum = 'NONE', @source_binlog_checksum = 'NONE', @mariadb_slave_capability = 4")
    it.send(command(BINLOG_DUMP, struct.pack("<IHI", 4, 0, 77), it.log))
    it.hear("never")


def killed(it):
    it.query("select 1")
    with_rights = Session(BASE)
    with_rights.query(f"kill {it.id}")
    said = it.silence()
    if said:
        it.lines.append("S " + escape(said))
        it.mark("parted")


def change(it):
    it.query("select 1")
    it.send(command(CHANGE_USER, "x", b"\0\0", "kit", b"\0", b"\x2d\0", "mysql_native_password", b"\0"))
    it.mark("change")


SCENARIOS = [queries, transactions, small_commands, statements, cursors, files, ahead, killed, change, stream]
SETUP = [
    "drop database if exists kit",
    "create database kit",
    "create table kit.t (n int primary key, s varchar(200)) engine = innodb",
    "create table kit.numbers (n int primary key, s varchar(200)) engine = innodb",
    "insert into kit.numbers values (1, 'one'), (2, 'two'), (3, null), (4, 'four'), (5, 'five')",
    "create procedure kit.two_results() begin select 1; select n from kit.numbers; end",
    "create procedure kit.fails() begin select 1; signal sqlstate '45000'; end",
    "create procedure kit.begins_and_fails() begin start transaction; insert into kit.t values (5, 'five'); signal sqlstate '45000'; end",
    "create procedure kit.gives(out n int) begin set n = 7; select 1; end",
]


def main():
    setup = Session(BASE)
    for text in SETUP:
        setup.query(text)
    said = setup.query("show binary logs")
    log = re.findall(rb"[\w-]+\.[0-9]{6}", said)[-1]
    variants = VARIANTS | (MARIADB if setup.mariadb else MYSQL)
    for variant, flags in variants.items():
        extra = ([bulk] if flags & BULK else []) + ([metadata_omitted] if flags & OPTIONAL_METADATA else [])
        for scenario in (it for it in SCENARIOS + extra if not ONLY or it.__name__ in ONLY):
            it = Session(flags)
            it.log = log.lstrip(bytes(range(32)))
            scenario(it)
            name = f"{NAME}-{variant}-{scenario.__name__.replace('_', '-')}"
            (HERE / f"{name}.txt").write_text("\n".join(it.lines) + "\n")
            print(name, len(it.lines))


if __name__ == "__main__":
    main()
