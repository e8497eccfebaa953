#!/usr/bin/env python3
"""Records the transcripts of this folder from private servers.

usage: record.py REDIS-SERVER NAME    writes login/NAME-*.txt and session/NAME-*.txt

It is an implementation of the protocol of its own, on purpose: the machines have to agree with it and with the server
octet by octet. A line of a transcript is one of

    user, password, database VALUE    the terms of the login; what is not there is not set
    cluster passthrough               the route's option
    end WORDS                         what must become of it
    C OCTETS        to the server (in sessions: from the client)
    S OCTETS        from the server
    quiet, busy     what must be known of a session at this point: whether a cut would lose nothing
    open            replies are complete, but what they answer is no longer told
"""
import pathlib, random, socket, subprocess, sys, tempfile, time

BIN, NAME = sys.argv[1], sys.argv[2]
HERE = pathlib.Path(__file__).parent
PASSWORD = "correct horse battery"
ACL = f"""
user default on nopass ~* &* +@all
user orders on >{PASSWORD.replace(' ', '-')} ~* &* +@all
user narrow on >{PASSWORD.replace(' ', '-')} ~* &* +get
"""
PASSWORD = PASSWORD.replace(" ", "-")


def free_port():
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        # The bus of a cluster's node needs the port 10000 above.
        if port < 55000:
            return port


class Server:
    def __init__(self, *options, acl=None):
        self.home = tempfile.TemporaryDirectory()
        self.port = free_port()
        command = [BIN, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.home.name, "--save", ""]
        if acl:
            path = pathlib.Path(self.home.name) / "users.acl"
            path.write_text(acl)
            command += ["--aclfile", str(path)]
        self.process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                return self.connect().close()
            except OSError:
                time.sleep(0.05)
        raise SystemExit("the server does not start")

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.home.cleanup()


def command(*words):
    words = [word if isinstance(word, bytes) else word.encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def line(text):
    return command(*text.split())


def hear(link, last=None):
    """Everything until the server falls silent, or has said its last word."""
    link.settimeout(0.4)
    heard = b""
    try:
        while not (last and heard.endswith(last)) and (part := link.recv(1 << 16)):
            heard += part
    except (TimeoutError, ConnectionResetError):
        pass
    return heard


def escape(octets):
    plain = lambda octet: 32 <= octet < 127 and octet != ord("\\")
    return "".join(chr(octet) if plain(octet) else f"\\x{octet:02x}" for octet in octets)


def write(kind, name, lines):
    path = HERE / kind / f"{NAME}-{name}.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([f"# {NAME}: {name}", *lines]) + "\n")


def login(server, name, end, user=None, password=None, database=None, role=True, cluster=None):
    questions = []
    if password:
        questions.append(["AUTH", *([user] if user else []), password])
    if not cluster:
        questions.append(["HELLO"])
    questions.append(["PING"])
    if database:
        questions.append(["SELECT", database])
    if role:
        questions.append(["ROLE"])
    asked = b"".join(command(*words) for words in questions)
    with server.connect() as link:
        try:
            link.sendall(asked)
        except OSError:
            pass
        heard = hear(link)
    terms = {"user": user, "password": password, "database": database, "cluster": cluster}
    lines = [f"{key} {value}" for key, value in terms.items() if value]
    write("login", name, [*lines, f"C {escape(asked)}", f"S {escape(heard)}", f"end {end}"])


def logins():
    with Server(acl=ACL) as server:
        login(server, "user", "ready primary", "orders", PASSWORD)
        login(server, "database", "ready primary", "orders", PASSWORD, "3")
        login(server, "nobody", "ready primary")
        login(server, "wrong-password", "rejected Credential WRONGPASS", "orders", "another-password")
        login(server, "no-such-database", "rejected Other ERR", "orders", PASSWORD, "99")
        login(server, "no-password-set", "rejected Credential ERR", None, PASSWORD)
        login(server, "few-rights", "ready primary", "narrow", PASSWORD)
        login(server, "select-not-permitted", "rejected Other NOPERM", "narrow", PASSWORD, "1")
    with Server("--requirepass", PASSWORD) as server:
        login(server, "password-alone", "ready primary", None, PASSWORD)
        login(server, "password-missing", "rejected Credential NOAUTH")
    with Server("--maxclients", "1") as server:
        time.sleep(0.5)  # until the server has noticed that nobody is left
        first = server.connect()
        first.sendall(command("PING"))
        assert hear(first) == b"+PONG\r\n"
        login(server, "too-many-clients", "rejected NotNow ERR", "orders", PASSWORD)
    with Server("--cluster-enabled", "yes") as server:
        login(server, "cluster", "cluster")
        login(server, "cluster-passed-through", "ready primary", cluster="passthrough")
    with Server() as primary, Server("--replicaof", f"127.0.0.1 {primary.port}") as replica:
        time.sleep(1)
        login(replica, "replica", "ready replica")
    with Server("--replicaof", "127.0.0.1 1", "--replica-serve-stale-data", "no") as replica:
        login(replica, "cut-off-replica", "rejected NotNow MASTERDOWN")


def session(server, name, *steps):
    """A step is what the client sends at once, and what must be known then."""
    lines = []
    with server.connect() as link:
        for sent, known in steps:
            link.sendall(sent)
            lines += [f"C {escape(sent)}"]
            heard = hear(link)
            if heard:
                lines += [f"S {escape(heard)}"]
            lines += [known]
    write("session", name, lines)


def pipe(*texts):
    return b"".join(line(text) for text in texts)


def sessions(server):
    session(server, "request-reply", (pipe("SET k v"), "quiet"), (pipe("GET k"), "quiet"), (b"PING\r\n", "quiet"))
    session(server, "errors", (pipe("NOSUCH", "GET", "EXEC", "INCR"), "quiet"))
    session(server, "inline", (b"SET k \"a b\"\r\nGET k\nPING 'x'\r\n\r\n\n*0\r\n*-1\r\nPING\r\n", "quiet"))
    session(server, "pipeline", (pipe(*["INCR n"] * 300, "LRANGE nothing 0 -1"), "quiet"))
    session(server, "transaction", (pipe("MULTI"), "busy"), (pipe("SET k v", "GET k"), "busy"), (pipe("EXEC"), "quiet"))
    session(server, "discard", (pipe("MULTI", "SET k v"), "busy"), (pipe("DISCARD"), "quiet"))
    session(server, "broken-transaction", (pipe("MULTI", "NOSUCH"), "busy"), (pipe("EXEC x"), "quiet"))
    session(server, "watch", (pipe("WATCH k"), "busy"), (pipe("MULTI", "EXEC"), "quiet"), (pipe("WATCH k", "UNWATCH"), "quiet"))
    session(server, "nested-replies", (pipe("EVAL return{1,{2,{3,{}}},'x'} 0", "COMMAND INFO get", "MULTI", "LRANGE x 0 1", "COMMAND", "EXEC"), "quiet"))
    session(server, "blocking", (pipe("BLPOP nothing 0.01"), "quiet"), (pipe("RPUSH l a", "BLPOP l 0"), "quiet"))
    session(server, "replies-off", (pipe("CLIENT REPLY OFF", "SET k v", "GET k"), "busy"), (pipe("CLIENT REPLY ON"), "quiet"))
    session(server, "replies-skipped", (pipe("CLIENT REPLY SKIP"), "busy"), (pipe("SET k v"), "quiet"), (pipe("GET k"), "quiet"))
    session(server, "reply-skipped-for-nothing", (pipe("CLIENT REPLY SKIP") + b"\r\n" + pipe("GET k"), "open"))
    session(server, "subscriber", (pipe("SUBSCRIBE a b", "PSUBSCRIBE p*"), "busy"), (pipe("PING", "PING x", "GET k"), "busy"),
            (pipe("UNSUBSCRIBE"), "busy"), (pipe("PUNSUBSCRIBE"), "quiet"), (pipe("UNSUBSCRIBE", "GET k"), "quiet"))
    session(server, "shard-subscriber", (pipe("SSUBSCRIBE s t"), "busy"), (pipe("SUNSUBSCRIBE s", "SUNSUBSCRIBE t"), "quiet"))
    session(server, "subscriber-denied", (pipe("SUBSCRIBE a"), "busy"), (pipe("MULTI", "CLIENT REPLY OFF", "WATCH k", "EXEC"), "busy"),
            (pipe("UNSUBSCRIBE a"), "quiet"))
    session(server, "subscribe-wrongly", (pipe("SUBSCRIBE", "PING"), "quiet"))
    session(server, "subscribe-in-transaction", (pipe("MULTI", "SUBSCRIBE a b"), "busy"), (pipe("EXEC"), "open"))
    session(server, "monitor", (pipe("MONITOR"), "busy"), (pipe("PING", "ECHO x"), "busy"))
    session(server, "replication", (b"SYNC\r\n", "open"))
    session(server, "replication-denied", (pipe("MULTI", "PSYNC ? -1"), "open"))
    session(server, "quit", (pipe("PING", "QUIT"), "quiet"))
    messages(server)
    chaos(server)


def messages(server):
    lines = []
    with server.connect() as link, server.connect() as other:
        for sent, published in [(pipe("SUBSCRIBE a", "PSUBSCRIBE *"), 0), (b"", 3), (pipe("PING"), 1)]:
            link.sendall(sent)
            for _ in range(published):
                other.sendall(pipe("PUBLISH a hello"))
            lines += [f"C {escape(sent)}"] if sent else []
            lines += [f"S {escape(hear(link))}", "busy"]
    write("session", "messages", lines)


PLAIN = ["PING", "ECHO hello", "SET k v", "GET k", "INCR n", "RPUSH l a message", "LRANGE l 0 3", "GET", "NOSUCH x",
         "CLIENT GETNAME", "CLIENT NO-EVICT on", "EVAL return{1,{2}} 0", "AUTH", "RESET x", "UNWATCH", "COMMAND COUNT"]
STATE = ["MULTI", "EXEC", "DISCARD", "WATCH k", "CLIENT REPLY SKIP", "CLIENT REPLY ON", ""]
PUBSUB = ["SUBSCRIBE a", "SUBSCRIBE a b c", "PSUBSCRIBE p* q*", "SSUBSCRIBE s", "UNSUBSCRIBE", "UNSUBSCRIBE a", "PUNSUBSCRIBE",
          "SUNSUBSCRIBE", "PING", "GET k"]


def without_skips_in_transactions(texts):
    """Nobody can say what EXEC answers to those."""
    kept, within = [], False
    for text in texts:
        within = text == "MULTI" or within and text not in ("EXEC", "DISCARD")
        if not (within and text == "CLIENT REPLY SKIP"):
            kept.append(text)
    return kept


def chaos(server):
    """Random pipelines. Each ends with an answer, so that nothing may be settled before the last octet."""
    dice = random.Random(7)
    for name, words in [("plain", PLAIN), ("state", PLAIN + STATE * 3), ("pubsub", PUBSUB)]:
        lines = []
        for _ in range(25):
            texts = without_skips_in_transactions(dice.choice(words) for _ in range(dice.randrange(1, 25)))
            sent = b"".join(line(text) if text and dice.random() < 0.7 else text.encode() + b"\r\n" for text in texts)
            sent += pipe("CLIENT REPLY ON" if name == "state" else "PING", "PING end")
            with server.connect() as link:
                link.sendall(sent)
                heard = hear(link, b"end\r\n")
                lines += ["new", f"C {escape(sent)}", f"S {escape(heard)}", "settled"]
        write("session", f"random-{name}", lines)


logins()
with Server(acl=ACL) as server:
    sessions(server)
