"""What each command of ``redis_subset`` does to the data. Runs in the Store's process, where nobody else changes it."""

import fnmatch
import inspect

from examples.resp import ReplyError, Status
from supervision import process

OK = Status("OK")
VERSION = b"0.0.0"

# Seconds; thirty thousand years.
LONGEST_LIFE = 10**12


class Database:
    def __init__(self):
        self.values = {}  # key → value, both bytes
        self.timers = {}  # key → the timer that will end it


COMMANDS = {}


def command(function):
    """A command has the name of its function and takes its arguments, all of them bytes."""
    COMMANDS[function.__name__.strip("_").upper().encode()] = function, inspect.signature(function)
    return function


def execute(database, words):
    """Carry out one command; returns its reply."""
    name = words[0].upper()
    try:
        function, signature = COMMANDS[name]
        arguments = signature.bind(database, *words[1:])
    except KeyError:
        return ReplyError(f"ERR unknown command {name.decode('ascii', 'replace')!r}")
    except TypeError:
        return ReplyError(f"ERR wrong number of arguments for {name.decode().lower()!r} command")
    try:
        return function(*arguments.args)
    except ReplyError as refusal:
        return refusal


def number(word):
    """Return what a client means to be a number."""
    try:
        value = int(word)
    except ValueError:
        value = None
    if value is None or abs(value) >= 2**63:
        raise ReplyError("ERR value is not an integer or out of range")
    return value


@command
def hello(database, version=b"2"):
    if version != b"2":
        raise ReplyError("NOPROTO only version 2 of the protocol is spoken here")
    return [b"server", b"redis", b"version", VERSION, b"proto", 2]


@command
def ping(database, message=None):
    return Status("PONG") if message is None else message


@command
def echo(database, message):
    return message


@command
def get(database, key):
    return database.values.get(key)


@command
def set_(database, key, value, option=None, seconds=b"0"):
    if option is not None and (option.upper() != b"EX" or not 0 < number(seconds) <= LONGEST_LIFE):
        raise ReplyError("ERR syntax error")
    persist(database, key)
    database.values[key] = value
    if option is not None:
        expire(database, key, seconds)
    return OK


@command
def delete(database, *keys):
    for key in keys:
        persist(database, key)
    return sum(database.values.pop(key, None) is not None for key in keys)


COMMANDS[b"DEL"] = COMMANDS.pop(b"DELETE")  # del is a word of Python


@command
def exists(database, *keys):
    return sum(key in database.values for key in keys)


@command
def incr(database, key, step=b"1"):
    value = number(str(number(database.values.get(key, b"0")) + number(step)))
    database.values[key] = b"%d" % value
    return value


COMMANDS[b"INCRBY"] = COMMANDS[b"INCR"]


@command
def expire(database, key, seconds):
    life = number(seconds)
    if life > LONGEST_LIFE:
        raise ReplyError("ERR invalid expire time")
    if key not in database.values:
        return 0
    persist(database, key)
    if life <= 0:
        return delete(database, key)
    database.timers[key] = process.send_after(process.self(), key, life * 1_000)
    return 1


@command
def persist(database, key):
    timer = database.timers.pop(key, None)
    return 0 if timer is None else int(process.cancel_timer(timer) is not None)


@command
def ttl(database, key):
    if key not in database.values:
        return -2
    left = process.read_timer(database.timers[key]) if key in database.timers else None
    return -1 if left is None else -(-left // 1_000)


@command
def keys(database, pattern):
    return fnmatch.filter(database.values, pattern)


@command
def flushall(database):
    delete(database, *list(database.values))
    return OK


@command
def info(database, *sections):
    return b"# Server\r\nredis_version:%b\r\n# Keyspace\r\ndb0:keys=%d\r\n" % (VERSION, len(database.values))


@command
def config(database, subcommand, *names):
    return [word for name in names for word in (name, b"")] if subcommand.upper() == b"GET" else OK


@command
def command_(database, *subcommands):
    return []
