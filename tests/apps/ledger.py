"""A ledger in MariaDB, by PyMySQL: a connection of its own for each greenlet, as a pool or a framework keeps one for each thread."""

import os
import pathlib
import threading

import pymysql

SOCKET = pathlib.Path(__file__).parent / "database/socket"
# Local to a greenlet, where threading is patched: gone with its request.
local = threading.local()
# Kept for all requests, as whoever holds the lock must be there still when it is given back.
keeper = pymysql.connect(unix_socket=str(SOCKET), autocommit=True)
told = []


def connection():
    if not hasattr(local, "connection"):
        local.connection = pymysql.connect(unix_socket=str(SOCKET), database="ledger")
    return local.connection


def ask(question, *values, of=None):
    with (of or connection()).cursor() as cursor:
        cursor.execute(question, values or None)
        return cursor.fetchall()


def number(question, *values, of=None):
    return ask(question, *values, of=of)[0][0]


def enter(name):
    ask("INSERT INTO entries (name) VALUES (%s)", name)
    return number("SELECT COUNT(*) FROM entries")


def wait(name):
    """Writes its entry when it has the lock."""
    try:
        number("SELECT GET_LOCK('gate', 600)")
    except BaseException as error:
        told.append(type(error).__name__)
        raise
    enter(name)
    connection().commit()
    number("SELECT RELEASE_LOCK('gate')")
    return f"{name} by {number('SELECT CONNECTION_ID()')}"


def application(environ, start_response):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    text = "ok"
    if path == "/begin":
        ask("CREATE DATABASE ledger", of=keeper)
        ask("CREATE TABLE ledger.entries (name VARCHAR(40)) ENGINE=InnoDB", of=keeper)
    elif path == "/lock":
        number("SELECT GET_LOCK('gate', 0)", of=keeper)
    elif path == "/unlock":
        number("SELECT RELEASE_LOCK('gate')", of=keeper)
    elif path == "/waiting":
        text = str(number("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT GET_LOCK%'", of=keeper))
    elif path == "/sessions":
        # eventlet keeps what is local to a greenlet that has ended until another asks for its own.
        hasattr(local, "connection")
        text = str(number("SELECT COUNT(*) FROM information_schema.processlist WHERE command <> 'Daemon'", of=keeper))
    elif path == "/wait":
        text = wait(query)
    elif path == "/forget":
        # Neither committed nor taken back.
        text = f"{enter(query)} by {number('SELECT CONNECTION_ID()')}"
    elif path == "/entries":
        text = ",".join(sorted(name for (name,) in ask("SELECT name FROM ledger.entries", of=keeper)))
    elif path == "/told":
        text = repr(told)
    elif path == "/pid":
        text = str(os.getpid())
    answer = text.encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer]
