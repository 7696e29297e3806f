"""hyperopt's own URLs of a database, rewritten so that pymongo reads them, and the password apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, unquote_plus

from hpcho.errors import StoreError, UsageError
from hpcho.store.address import read_password

__all__ = ["Entrance", "entrance"]

COLLECTION = "jobs"
HYPEROPT = "mongo"
"""hyperopt's scheme: what stands before the host is taken as it is, percent signs and all."""
PYMONGO = ("mongodb", "mongodb+srv")
OWN_FILE = ".hyperopt"
"""Where hyperopt looks, in the home directory, for the password of a URL that has only a user."""


@dataclass(frozen=True)
class Entrance:
    """A database and the way in: ``url`` is for pymongo, without a password, and may be shown.

    ``passwords`` are those that the URL may have meant, to be tried in this order. Cannot be pickled.
    """

    url: str
    user: str
    passwords: tuple[str, ...] = field(default=(), repr=False)

    def __reduce__(self) -> NoReturn:
        raise TypeError("the way into a database may hold a password and cannot be pickled")

    def candidates(self, password_file: Path | None) -> tuple[str | None, ...]:
        """The passwords to try: the URL's own, else that in the file, else hyperopt's own file, else none.

        Raises StoreError for a file that is missing or that others may read, and where there is none at all.
        """
        if self.passwords:
            return self.passwords
        own = Path.home() / OWN_FILE
        file = password_file or (own if self.user and own.is_file() else None)
        if file is not None:
            return (read_password(file),)
        if self.user and "authmechanism=" not in self.url.lower():
            raise StoreError(
                f"{self.url}: there is no password for {self.user}: write it into a file that you alone may read, and "
                f"name that file, or let it be {own}"
            )
        return (None,)


def entrance(url: str) -> Entrance:
    """Read ``mongo://[user[:password]@]host[:port]/database[/jobs][?options]``, or the same with pymongo's schemes.

    The scheme may be left out, as ``hyperopt-mongo-worker --mongo`` has it. Raises UsageError, without the URL's
    password in it.
    """
    scheme, rest = url.split("://", 1) if "://" in url else (HYPEROPT, url)
    if scheme not in (HYPEROPT, *PYMONGO):
        tunnel = ": open the tunnel with `ssh -L` and name its end here" if "ssh" in scheme else ""
        raise UsageError(f"{scheme}:// is no URL of a MongoDB{tunnel or ': write mongodb://user@host:port/database'}")
    authority, _, tail = rest.partition("/")
    path, _, query = tail.partition("?")
    userinfo, at, hosts = authority.rpartition("@")
    user, has_password, password = userinfo.partition(":")
    database, _, collection = path.partition("/")
    if collection not in ("", COLLECTION):
        raise UsageError(f"hyperopt keeps its trials in the collection {COLLECTION}: end the URL with /{COLLECTION}")
    passwords: tuple[str, ...] = (unquote_plus(password),)
    if scheme == HYPEROPT:
        # hyperopt takes a password as it stands; who knows MongoDB's own URLs has encoded it.
        passwords = tuple(dict.fromkeys((password, *passwords)))
        if user == "hyperopt" and "authsource=" not in query.lower():
            query = f"{query}&authSource=admin".lstrip("&")
        scheme, user = PYMONGO[0], quote(user, safe="")
    options = f"?{query}" if query else ""
    return Entrance(f"{scheme}://{user}{at}{hosts}/{database}{options}", user, passwords if has_password else ())
