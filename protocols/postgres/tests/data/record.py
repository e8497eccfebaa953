#!/usr/bin/env python3
"""Records the transcripts of this folder from a private PostgreSQL server.

usage: record.py BINDIR NAME    writes login/NAME-*.txt and session/NAME-*.txt

It is an implementation of the protocol of its own, on purpose: the machines have to agree with it
and with the server octet by octet. A line of a transcript is one of

    user, password, tls, binding VALUE    the terms of the login
    A OCTETS     the application's startup packet
    C OCTETS     from us to the server (in sessions: from the client)
    S OCTETS     from the server
    TLS HEX      a handshake, and the hash of the server's certificate
    quiet, busy  what must be known of a session at this point
"""
import base64, hashlib, hmac, os, pathlib, shutil, signal, socket, ssl, struct, subprocess, sys, tempfile

BIN, NAME = pathlib.Path(sys.argv[1]), sys.argv[2]
HERE = pathlib.Path(__file__).parent
NONCE = base64.b64encode(bytes([7] * 18)).decode()
PASSWORD = "correct horse"
HBA = """
local all all trust
hostssl all certuser all cert
hostssl all tlsonly all scram-sha-256
hostnossl all tlsonly all reject
host all trusted all trust
host replication trusted all trust
host all cleartext all password
host all hashed all md5
host all all all scram-sha-256
"""
SETUP = """
create role app login superuser;
create role trusted login replication;
create role certuser login;
set password_encryption = 'md5'; create role hashed login password 'correct horse';
set password_encryption = 'scram-sha-256';
create role cleartext login password 'correct horse';
create role salted login password 'correct horse';
create role tlsonly login password 'correct horse';
create role gone login password 'another one';
create table t (n int check (n < 100)); grant all on t to trusted;
"""


def as_server(*command, **options):
    """PostgreSQL does not run as root."""
    wrap = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
    return subprocess.run([*wrap, *map(str, command)], check=True, **options)


class Server:
    def __init__(self, home):
        self.home, self.data = home, home / "data"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        if os.getuid() == 0:
            shutil.chown(home, "postgres", "postgres")
        as_server(BIN / "initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "--no-sync", stdout=subprocess.DEVNULL)
        for name in ("ca", "server", "client"):
            self.certificate(name)
        (self.data / "pg_hba.conf").write_text(HBA)
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.write(f"port={self.port}\nlisten_addresses='127.0.0.1'\nunix_socket_directories='{home}'\n"
                       "ssl=on\nssl_ca_file='ca.crt'\nwal_level=logical\nfsync=off\n")
        as_server(BIN / "pg_ctl", "-D", self.data, "-l", home / "log", "-w", "start", stdout=subprocess.DEVNULL)
        self.psql(SETUP)

    def certificate(self, name):
        key, crt = self.data / f"{name}.key", self.data / f"{name}.crt"
        subject = {"ca": "ca", "server": "localhost", "client": "certuser"}[name]
        issuer = [] if name == "ca" else ["-CA", self.data / "ca.crt", "-CAkey", self.data / "ca.key"]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9",
                        "-subj", f"/CN={subject}", "-keyout", key, "-out", crt, *issuer], check=True, stderr=subprocess.DEVNULL)
        key.chmod(0o600)
        if os.getuid() == 0:
            shutil.chown(key, "postgres", "postgres")

    def psql(self, text):
        command = ["psql", "-qAtX", "-h", self.home, "-p", str(self.port), "-U", "postgres", "-v", "ON_ERROR_STOP=1"]
        return subprocess.run(command, input=text, text=True, check=True, stdout=subprocess.PIPE).stdout.strip()

    def flushed(self):
        return self.psql("select pg_current_wal_flush_lsn()")

    def stop(self):
        as_server(BIN / "pg_ctl", "-D", self.data, "-m", "immediate", "stop", stdout=subprocess.DEVNULL)


def escape(octets):
    return "".join(chr(b) if 0x20 <= b < 0x7F and b != 0x5C else f"\\x{b:02x}" for b in octets)


class Link:
    """One connection, writing down what passes."""

    def __init__(self, server, lines):
        self.socket, self.lines = socket.create_connection(("127.0.0.1", server.port), 10), lines
        self.server, self.hash = server, None

    def note(self, kind, octets):
        if self.lines and self.lines[-1].startswith(kind + " ") and kind == "S":
            self.lines[-1] += escape(octets)
        else:
            self.lines.append(f"{kind} {escape(octets)}")

    def send(self, octets):
        self.note("C", octets)
        self.socket.sendall(octets)

    def exactly(self, count):
        got = b""
        while len(got) < count:
            part = self.socket.recv(count - len(got))
            if not part:
                return got
            got += part
        return got

    def upgrade(self, alpn, certificate):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if alpn:
            context.set_alpn_protocols(["postgresql"])
        if certificate:
            context.load_cert_chain(self.server.data / "client.crt", self.server.data / "client.key")
        self.socket = context.wrap_socket(self.socket)
        self.hash = hashlib.sha256(self.socket.getpeercert(True)).digest()
        self.lines.append(f"TLS {self.hash.hex()}")

    def frame(self):
        header = self.exactly(5)
        if len(header) < 5:
            return None, b""
        body = self.exactly(struct.unpack(">I", header[1:])[0] - 4)
        self.note("S", header + body)
        return header[:1], body

    def until(self, *tags):
        while True:
            tag, body = self.frame()
            if tag is None or tag in tags:
                return tag, body


def message(tag, body=b""):
    return tag + struct.pack(">I", len(body) + 4) + body


def startup(minor, **parameters):
    body = b"".join(k.encode() + b"\0" + v.encode() + b"\0" for k, v in parameters.items()) + b"\0"
    return struct.pack(">IHH", 8 + len(body), 3, minor) + body


def hmac256(key, text):
    return hmac.new(key, text, hashlib.sha256).digest()


def scram(link, mechanisms, binding):
    plus = b"SCRAM-SHA-256-PLUS" in mechanisms and binding != "disable"
    header = b"p=tls-server-end-point,," if plus else b"y,," if link.hash and binding != "disable" else b"n,,"
    first = f"n=,r={NONCE}".encode()
    name = b"SCRAM-SHA-256-PLUS" if plus else b"SCRAM-SHA-256"
    link.send(message(b"p", name + b"\0" + struct.pack(">I", len(header + first)) + header + first))
    tag, body = link.until(b"R", b"E")
    challenge = body[4:]
    values = dict(field.split("=", 1) for field in challenge.decode().split(","))
    bound = base64.b64encode(header + (link.hash if plus else b"")).decode()
    last = f"c={bound},r={values['r']}".encode()
    salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), base64.b64decode(values["s"]), int(values["i"]))
    key = hmac256(salted, b"Client Key")
    signature = hmac256(hashlib.sha256(key).digest(), first + b"," + challenge + b"," + last)
    proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature)))
    link.send(message(b"p", last + b",p=" + proof))


def login(link, user, tls, binding, application, ours):
    if tls == "negotiated":
        link.send(struct.pack(">II", 8, 80877103))
        link.note("S", link.exactly(1))
    if tls != "off":
        link.upgrade(tls == "direct", user == "certuser")
    link.lines.insert(0, f"A {escape(application)}")
    link.send(ours)
    while True:
        tag, body = link.frame()
        if tag in (None, b"Z", b"E"):
            return
        code = struct.unpack(">I", body[:4])[0] if tag == b"R" else None
        if code == 3:
            link.send(message(b"p", PASSWORD.encode() + b"\0"))
        elif code == 5:
            inner = hashlib.md5((PASSWORD + user).encode()).hexdigest()
            link.send(message(b"p", b"md5" + hashlib.md5(inner.encode() + body[4:8]).hexdigest().encode() + b"\0"))
        elif code == 10:
            scram(link, body[4:].split(b"\0"), binding)


def record_login(server, name, user, tls="off", binding="prefer", minor=0, **extra):
    lines, parameters = [], {"user": "app", "database": "postgres", "application_name": "shop", **extra}
    link = Link(server, lines)
    ours = startup(min(minor, 2), **{**parameters, "user": user})
    login(link, user, tls, binding, startup(minor, **parameters), ours)
    terms = [f"user {user}", f"password {PASSWORD}", f"tls {tls}", f"binding {binding}"]
    write("login", name, [*terms, *lines])
    link.socket.close()


def write(folder, name, lines):
    title = f"# {NAME}: {name.replace('-', ' ')}"
    (HERE / folder / f"{NAME}-{name}.txt").write_text("\n".join([title, *lines]) + "\n")


def query(text):
    return message(b"Q", text.encode() + b"\0")


def batch(text):
    """Parse, Bind, Describe, Execute: the extended protocol without its Sync."""
    parse = message(b"P", b"\0" + text.encode() + b"\0\0\0")
    return parse + message(b"B", b"\0\0\0\0\0\0\0\0") + message(b"D", b"P\0") + message(b"E", b"\0\0\0\0\0")


SYNC, DONE = message(b"S"), message(b"c")


def rows(*numbers):
    return b"".join(message(b"d", f"{n}\n".encode()) for n in numbers)


SESSIONS = {
    # A step is what is sent, up to which message is read, and what must be known then.
    "simple": [(query("select 1; select 2"), b"Z", "quiet"), (query("nonsense"), b"Z", "quiet")],
    "transaction": [(query("begin"), b"Z", "busy"), (query("nonsense"), b"Z", "busy"), (query("rollback"), b"Z", "quiet")],
    "extended": [(batch("select 1"), None, "busy"), (SYNC, b"Z", "quiet"), (batch("nonsense") + SYNC, b"Z", "quiet")],
    "pipeline": [(batch("select 1") + SYNC + batch("select 2") + SYNC, b"Z", "busy"), (b"", b"Z", "quiet")],
    "flush": [(batch("select 1") + message(b"H"), b"C", "busy"), (SYNC, b"Z", "quiet")],
    "copy-in": [(query("copy t from stdin"), b"G", "busy"), (rows(1, 2), None, "busy"), (DONE, b"Z", "quiet")],
    "copy-in-ahead": [(query("copy t from stdin") + rows(1, 2) + DONE, b"Z", "quiet")],
    "copy-in-failed": [(query("copy t from stdin"), b"G", "busy"), (rows(1) + message(b"f", b"no\0"), b"Z", "quiet")],
    "copy-in-rejected": [(query("copy t from stdin"), b"G", "busy"), (rows(1, 200, 3), b"Z", "quiet"), (rows(4) + DONE, None, "quiet"),
                         (query("copy t from stdin"), b"G", "busy"), (DONE, b"Z", "quiet")],
    "copy-in-extended": [(batch("copy t from stdin") + SYNC, b"G", "busy"), (rows(1), None, "busy"), (DONE, None, "busy"),
                         (SYNC, b"Z", "quiet"), (batch("select 1") + SYNC, b"Z", "quiet")],
    "copy-in-extended-rejected": [(batch("copy t from stdin") + SYNC, b"G", "busy"), (rows(200), None, "busy"),
                                  (rows(*range(70)), None, "busy"), (DONE, b"E", "busy"), (SYNC, b"Z", "quiet"),
                                  (batch("select 1") + SYNC, b"Z", "quiet")],
    "copy-in-extended-ahead": [(batch("copy t from stdin") + rows(1) + DONE + SYNC, b"Z", "quiet")],
    "copy-out": [(query("copy (select generate_series(1, 20)) to stdout"), b"H", "busy"), (b"", b"Z", "quiet")],
    "function-call": [(message(b"F", struct.pack(">IHHH", 1598, 0, 0, 0)), b"Z", "quiet")],
    "notify": [(query("listen c; notify c"), b"Z", "quiet")],
    "terminate": [(query("select 1"), b"Z", "quiet"), (message(b"X"), None, "quiet")],
}


def record_session(server, name, steps, user="app", **extra):
    lines, link = [], Link(server, [])
    login(link, "trusted", "off", "prefer", b"", startup(0, user="trusted", database="postgres", **extra))
    link.lines = lines
    for octets, tag, known in steps:
        if octets:
            link.send(octets)
        if tag:
            link.until(tag)
        lines.append(known)
    write("session", name, lines)
    link.socket.close()


def record(server):
    record_login(server, "trust", "trusted")
    record_login(server, "trust-replication", "trusted", replication="database")
    record_login(server, "newest", "trusted", minor=2, **{"_pq_.test_protocol_negotiation": "yes"})
    record_login(server, "too-new", "trusted", minor=9999)
    record_login(server, "cleartext", "cleartext", tls="negotiated")
    record_login(server, "md5", "hashed", tls="negotiated")
    record_login(server, "scram", "salted")
    record_login(server, "scram-over-tls", "salted", tls="negotiated", binding="disable")
    record_login(server, "scram-plus", "tlsonly", tls="negotiated")
    record_login(server, "certificate", "certuser", tls="negotiated")
    record_login(server, "wrong-password", "gone")
    record_login(server, "tls-required", "tlsonly")
    record_login(server, "no-such-database", "trusted", database="nowhere")
    if NAME >= "postgresql-17":
        record_login(server, "direct", "tlsonly", tls="direct", binding="require")
    for name, steps in SESSIONS.items():
        record_session(server, name, steps)
    slot = "CREATE_REPLICATION_SLOT s TEMPORARY PHYSICAL"
    stream = [(query(slot), b"Z", "quiet"), (query(f"START_REPLICATION SLOT s PHYSICAL {server.flushed()}"), b"W", "busy"), (DONE, b"Z", "quiet")]
    record_session(server, "copy-both", stream, replication="true")


signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
with tempfile.TemporaryDirectory() as folder:
    os.chmod(folder, 0o755)
    home = pathlib.Path(folder) / "server"
    home.mkdir()
    server = Server(home)
    try:
        record(server)
    finally:
        server.stop()
