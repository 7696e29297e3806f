"""Somebody's MongoDB behind a gate of ours: it can seem killed, or to stand still, while it goes on serving others."""

import contextlib
import os
import socket
import threading
from urllib.parse import unquote, urlsplit

import mongo_server
import pymongo
from pymongo.uri_parser import parse_uri


class Elsewhere:
    """The server that HPCHO_TEST_MONGO_URL names, to be used as a ``mongo_server.Server``."""

    def __init__(self):
        url = os.environ[mongo_server.URL]
        self._target = parse_uri(url)["nodelist"][0]
        parts = urlsplit(url)
        self.user, self.password = parts.username or "", unquote(parts.password or "")
        query = urlsplit(mongo_server.database_url("x")).query
        self._query = query if "directconnection" in query.lower() else f"{query}&directConnection=true"
        self._databases = set()
        self._passing = threading.Event()
        self._open = []
        self.port = mongo_server.free_port()
        self.start()

    def url(self, database="", user=None):
        user = f"{self.user}:{urlsplit(os.environ[mongo_server.URL]).password}@" if user is None else user
        self._databases |= {database} - {""}
        return f"mongodb://{user}127.0.0.1:{self.port}/{database}?{self._query}"

    def start(self):
        self._passing.set()
        self._listening = socket.create_server(("127.0.0.1", self.port))
        self._accepting = threading.Thread(target=self._accept, args=(self._listening,), daemon=True)
        self._accepting.start()

    def kill(self):
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # else the thread that waits for connections goes on waiting
        self._listening.close()
        self._accepting.join()
        self._passing.set()
        for each in self._open:
            _end(each)
        self._open.clear()

    def stop(self):
        self.kill()
        with pymongo.MongoClient(os.environ[mongo_server.URL]) as client:
            for name in self._databases:
                client.drop_database(name)

    def pause(self):
        self._passing.clear()

    def resume(self):
        self._passing.set()

    def _accept(self, listening):
        with contextlib.suppress(OSError):
            while True:
                client = listening.accept()[0]
                server = socket.create_connection(self._target)
                self._open += [client, server]
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self._passing.wait()
                target.sendall(data)
        _end(source)
        _end(target)


def _end(connection):
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
