"""What an application does with redis-py; the environment's WAY says where. Every failed promise is an AssertionError."""
import asyncio
import json
import os
import threading
import time

import redis
import redis.asyncio
from redis.cache import CacheConfig
from redis.connection import CacheProxyConnection
from redis.exceptions import NoPermissionError, ResponseError, WatchError

way = json.loads(os.environ["WAY"])
LARGE = 1 << 20
DATABASE = 5


def key(name):
    return way["prefix"] + name


def options(protocol):
    target = {name: way[name] for name in ("host", "port", "username", "password")}
    return dict(target, protocol=protocol, db=DATABASE, client_name="redis-py", socket_timeout=30)


def connect(protocol, **more):
    return redis.Redis(**options(protocol), **more)


def main():
    for protocol in (2, 3):
        session = connect(protocol)
        session.delete(*[key(name) for name in ("text", "hash", "sorted", "sum", "watched", "queue")])
        identity(session, protocol)
        values(session)
        pipelines(session)
        transactions(session)
        scripts(session)
        messages(session)
        blocking(session, protocol)
        errors(session)
        if way["through"]:
            logins(protocol)
        asyncio.run(at_once(protocol))
        session.close()
    cache()
    print("done")


def whoami(session):
    return redis.utils.str_if_bytes(session.acl_whoami())


def identity(session, protocol):
    assert session.ping()
    assert whoami(session) == way["account"]
    info = session.client_info()
    assert (info["name"], info["db"], info["resp"]) == ("redis-py", DATABASE, str(protocol)), info


def values(session):
    assert session.set(key("text"), b"\0\r\ngru\xc3\x9f") and session.get(key("text")) == b"\0\r\ngru\xc3\x9f"
    session.hset(key("hash"), mapping={"a": 1, "b": "two"})
    assert session.hgetall(key("hash")) == {b"a": b"1", b"b": b"two"}
    session.zadd(key("sorted"), {"one": 1, "half": 0.5})
    assert session.zscore(key("sorted"), "half") == 0.5
    large = os.urandom(LARGE)
    session.set(key("text"), large)
    assert session.get(key("text")) == large


def pipelines(session):
    with session.pipeline(transaction=False) as pipe:
        for _ in range(1000):
            pipe.incr(key("sum"))
        assert pipe.execute() == list(range(1, 1001))


def transactions(session):
    with session.pipeline() as pipe:
        pipe.set(key("watched"), 1).incr(key("watched"))
        assert pipe.execute() == [True, 2]
        pipe.watch(key("watched"))
        now = int(pipe.get(key("watched")))
        session.set(key("watched"), 10)
        pipe.multi()
        pipe.set(key("watched"), now + 1)
        try:
            pipe.execute()
            raise AssertionError("another client's change was not noticed")
        except WatchError:
            assert session.get(key("watched")) == b"10"
    assert session.transaction(lambda pipe: pipe.multi() or pipe.incr(key("watched")), key("watched")) == [11]


def scripts(session):
    text = f"-- {key('script')} {time.time_ns()}\nreturn {{KEYS[1], ARGV[1] + 1}}"
    script = session.register_script(text)
    assert session.script_exists(script.sha) == [False], "EVALSHA is to fail first"
    for number in range(3):
        assert script(keys=["k"], args=[number]) == [b"k", number + 1]


def messages(session):
    channel = key("news")
    with session.pubsub() as subscriber:
        subscriber.subscribe(channel)
        subscriber.psubscribe(channel + "*")
        kinds = [subscriber.get_message(timeout=20)["type"] for _ in range(2)]
        assert kinds == ["subscribe", "psubscribe"], kinds
        for number in range(10):
            assert session.publish(channel, f"number {number}") == 2
        for number in range(10):
            for kind in ("message", "pmessage"):
                message = subscriber.get_message(timeout=20)
                assert (message["type"], message["data"]) == (kind, f"number {number}".encode()), message
        subscriber.ping("still there")
        assert subscriber.get_message(timeout=20)["data"] == b"still there"
        subscriber.unsubscribe()
        subscriber.punsubscribe()
        kinds = [subscriber.get_message(timeout=20)["type"] for _ in range(2)]
        assert kinds == ["unsubscribe", "punsubscribe"], kinds


def blocking(session, protocol):
    assert session.blpop(key("queue"), timeout=0.05) is None
    got = []
    waiter = threading.Thread(target=lambda: got.append(connect(protocol).blpop(key("queue"), timeout=20)))
    waiter.start()
    deadline = time.monotonic() + 60
    while session.info("clients")["blocked_clients"] == 0:
        assert time.monotonic() < deadline, "nobody waits"
    session.rpush(key("queue"), "at last")
    waiter.join(20)
    assert got == [(key("queue").encode(), b"at last")] or got == [[key("queue").encode(), b"at last"]], got


def errors(session):
    try:
        session.incr(key("text"))
        raise AssertionError("no error")
    except ResponseError as error:
        assert "not an integer" in str(error), error
    try:
        session.acl_list()
        assert not way["through"], "accounts were shown"
    except NoPermissionError as error:
        assert way["through"] and str(error).startswith("attache: "), error
    assert session.ping()


def logins(protocol):
    """In the midst of a session, which is one connection."""
    session = connect(protocol, single_connection_client=True)
    for words in (["AUTH", "any"], ["AUTH", "any", "thing"]):
        assert session.execute_command(*words) in (True, "OK", b"OK")
        assert whoami(session) == way["account"]
    assert session.execute_command("RESET") in ("RESET", b"RESET")
    assert whoami(session) == way["account"]
    # With RESP3 this driver connects anew then.
    assert protocol == 3 or session.client_getname() is None
    session.close()


async def at_once(protocol):
    session = redis.asyncio.Redis(**options(protocol))
    for name in ("a", "b"):
        await session.set(key(name), name)
    said = await asyncio.gather(*(session.get(key("ab"[n % 2])) for n in range(50)))
    assert said == [b"a", b"b"] * 25, said
    await session.aclose()


def cache():
    """The driver wants a newer Redis, although this one has all that it asks for; and it knows no other server's name."""
    hello = connect(3).execute_command("HELLO", 3)
    CacheProxyConnection.MIN_ALLOWED_VERSION = "7.0.0"
    CacheProxyConnection.DEFAULT_SERVER_NAME = hello[b"server"].decode()
    other, session = connect(3), connect(3, cache_config=CacheConfig())
    name = key("cached")
    other.hset(name, "field", "x")
    assert session.hstrlen(name, "field") == 1
    before = calls(other)
    for _ in range(100):
        assert session.hstrlen(name, "field") == 1
    assert calls(other) == before, "the cache asked"
    other.hset(name, "field", "xx")
    deadline = time.monotonic() + 60
    while session.hstrlen(name, "field") != 2:
        assert time.monotonic() < deadline, "the change was never told"
    session.close()


def calls(session):
    """How often the server was asked, by whomsoever: no other test uses this command."""
    return session.info("commandstats")["cmdstat_hstrlen"]["calls"]


main()
