#!/usr/bin/env python3
"""Records what Sentinels said: two private servers, and Sentinels that watch over them.

usage: record_sentinel.py REDIS-SERVER NAME    writes sentinel/NAME-*.txt

An implementation of the protocol of its own, as record.py. A line of a transcript is one of

    user, password VALUE    the terms of the login
    again                   the Sentinel was asked on this link before
    master VALUE            under which name it is asked for the servers
    C OCTETS                to the Sentinel
    S OCTETS                from the Sentinel
    end WORDS               what must become of it
"""
import pathlib, socket, subprocess, sys, tempfile, time

BIN, NAME = sys.argv[1], sys.argv[2]
FOLDER = pathlib.Path(__file__).parent / "sentinel"
PASSWORD = "correct-horse-battery"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, *settings, sentinel=False):
        self.home = tempfile.TemporaryDirectory()
        self.port = free_port()
        config = pathlib.Path(self.home.name) / "server.conf"
        lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.home.name}", *settings]
        config.write_text("\n".join(lines if sentinel else [*lines, 'save ""']) + "\n")
        command = [BIN, str(config)] + (["--sentinel"] if sentinel else [])
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until(lambda: self.reaches())

    def reaches(self):
        try:
            return self.connect().close() is None
        except OSError:
            return False

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port))

    def ask(self, text):
        with self.connect() as link:
            link.sendall(command(*text.split()))
            return hear(link)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.home.cleanup()


def until(holds):
    for _ in range(600):
        if holds():
            return
        time.sleep(0.05)
    raise SystemExit("it does not come about")


def command(*words):
    words = [word.encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def hear(link, quiet=0.4):
    link.settimeout(quiet)
    heard = b""
    try:
        while part := link.recv(1 << 16):
            heard += part
    except (TimeoutError, ConnectionResetError):
        pass
    return heard


def escape(octets):
    plain = lambda octet: 32 <= octet < 127 and octet != ord("\\")
    return "".join(chr(octet) if plain(octet) else f"\\x{octet:02x}" for octet in octets)


def questions(master, user=None, password=None, again=False):
    first = [["AUTH", *([user] if user else []), password]] if password else []
    if again:
        first = [["UNSUBSCRIBE", "+switch-master"]]
    words = [["SENTINEL", "get-master-addr-by-name", master], ["SENTINEL", "MASTER", master], ["SENTINEL", "REPLICAS", master],
             ["SUBSCRIBE", "+switch-master"]]
    return b"".join(command(*line) for line in first + words)


def write(name, terms, asked, heard, end):
    FOLDER.mkdir(exist_ok=True)
    lines = [f"{key} {value}".strip() for key, value in terms.items() if value is not None]
    text = [f"# {NAME}: {name}", *lines, f"C {escape(asked)}", f"S {escape(heard)}", f"end {end}"]
    (FOLDER / f"{NAME}-{name}.txt").write_text("\n".join(text) + "\n")


def record(server, name, end, master="orders", user=None, password=None):
    asked = questions(master, user, password)
    with server.connect() as link:
        link.sendall(asked)
        write(name, {"user": user, "password": password, "master": master}, asked, hear(link), end)


def watching(primary, *settings):
    return Server(f"sentinel monitor orders 127.0.0.1 {primary.port} 1", "sentinel down-after-milliseconds orders 2000",
                  "sentinel failover-timeout orders 5000", *settings, sentinel=True)


def failover(sentinel, primary, replica):
    """A link that listens hears of it, and asks again."""
    with sentinel.connect() as link:
        link.sendall(questions("orders"))
        hear(link)
        assert sentinel.ask("SENTINEL FAILOVER orders") == b"+OK\r\n"
        message = b""
        while b"+switch-master" not in message:
            message += hear(link)
        write("announcement", {"master": "orders"}, b"", message, "changed")
        write("announcement-of-others", {"master": "stock"}, b"", message, "waiting")
        until(lambda: b"s_down" not in (said := sentinel.ask("SENTINEL REPLICAS orders")) and b"disconnected" not in said)
        asked = questions("orders", again=True)
        link.sendall(asked)
        end = f"epoch 1 primary 127.0.0.1:{replica.port} replicas 127.0.0.1:{primary.port} announces"
        write("after-a-failover", {"again": "", "master": "orders"}, asked, hear(link), end)


def main():
    with Server() as primary, Server(f"replicaof 127.0.0.1 {primary.port}") as replica:
        named = f"epoch 0 primary 127.0.0.1:{primary.port} replicas 127.0.0.1:{replica.port}"
        has_replica = lambda text: lambda: b"slave" in text() and b"disconnected" not in text()
        with watching(primary) as sentinel:
            until(has_replica(lambda: sentinel.ask("SENTINEL REPLICAS orders")))
            record(sentinel, "named", f"{named} announces")
            record(sentinel, "unknown-name", "unknown", master="stock")
            record(sentinel, "no-password-set", "rejected Credential ERR", password=PASSWORD)
        users = ["user default off", f"user attache on >{PASSWORD} &* -@all +auth +subscribe +unsubscribe "
                 "+sentinel|get-master-addr-by-name +sentinel|master +sentinel|replicas",
                 f"user deaf on >{PASSWORD} -@all +auth +sentinel", f"user narrow on >{PASSWORD} -@all +auth"]
        with watching(primary, *users) as sentinel:
            time.sleep(2)
            record(sentinel, "few-rights", f"{named} announces", user="attache", password=PASSWORD)
            record(sentinel, "may-not-listen", f"{named} silent", user="deaf", password=PASSWORD)
            record(sentinel, "may-not-ask", "rejected Other NOPERM", user="narrow", password=PASSWORD)
            record(sentinel, "wrong-password", "rejected Credential WRONGPASS", user="attache", password="another-password")
            record(sentinel, "password-missing", "rejected Credential NOAUTH")
        record(primary, "no-sentinel", "no sentinel")
        with watching(primary) as sentinel:
            until(has_replica(lambda: sentinel.ask("SENTINEL REPLICAS orders")))
            until(lambda: b"master-link-status\r\n$2\r\nok" in sentinel.ask("SENTINEL REPLICAS orders"))
            failover(sentinel, primary, replica)
        replica.process.kill()
    with Server() as primary, Server(f"replicaof 127.0.0.1 {primary.port}") as replica:
        with watching(primary) as sentinel:
            until(has_replica(lambda: sentinel.ask("SENTINEL REPLICAS orders")))
            replica.process.kill()
            until(lambda: b"s_down" in sentinel.ask("SENTINEL REPLICAS orders"))
            record(sentinel, "replica-down", f"epoch 0 primary 127.0.0.1:{primary.port} replicas announces")


main()
