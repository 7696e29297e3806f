"""What the managed server's own upkeep asks of MongoDB; trials are ``hpcho.store.mongo``'s business.

Passwords go to pymongo as arguments and stand in no message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pymongo
from pymongo.errors import ConfigurationError, ConnectionFailure, InvalidURI, OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

from hpcho.errors import StoreError
from hpcho.store.address import DATABASE, USER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcho.store.address import Address

__all__ = ["Link", "make_tables", "make_user", "url_flaw"]

PATIENCE_MS = 1000
"""How long a server that was there a moment ago may take to answer."""
AUTHENTICATION_FAILED = 18
USER_EXISTS = 51003
COLLECTIONS = 64
"""So many names fall on every one of the embedded server's 16 tables."""
ROLES = [{"role": "readWrite", "db": DATABASE}]
MECHANISMS = ["SCRAM-SHA-256"]
SECRETS = ("tlsCertificateKeyFilePassword", "AWS_SESSION_TOKEN")
"""What a URL's options may hold that others must not read."""


class Link:
    """A connection that shows a server that somebody is there, and asks it whether it answers."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
            address.url,
            password=address.password,
            appname="hpcho",
            connect=False,
            serverSelectionTimeoutMS=PATIENCE_MS,
            connectTimeoutMS=5 * PATIENCE_MS,
            socketTimeoutMS=5 * PATIENCE_MS,
        )

    def answers(self) -> bool:
        """Whether the server answers, and to this password. Raises StoreError when it refuses the password."""
        return self._ask() == "well"

    def is_broken(self) -> bool:
        """Whether it has an error for an answer: it comes up or goes down, or has lost its disk. Raises StoreError."""
        return self._ask() == "broken"

    def _ask(self) -> str:
        """What the server has to say to a question for which it looks at its data: a mere ping needs none."""
        try:
            self._client[DATABASE]["job_ids"].find_one({}, {"_id": 1})
        except ConnectionFailure:
            return "away"
        except OperationFailure as error:
            if error.code == AUTHENTICATION_FAILED:
                raise StoreError(f"{self.address.url}: the server refuses the password") from None
            return "broken"
        return "well"

    def close(self) -> None:
        """Hang up."""
        self._client.close()


def make_user(url: str, password: str) -> None:
    """Make the managed server's one user, or give it this password, on a server that asks for none yet.

    Raises StoreError when it cannot be made, or when there is a user that somebody else has made meanwhile.
    """
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(url, serverSelectionTimeoutMS=20 * PATIENCE_MS)
    wanted: dict[str, Any] = {"pwd": password, "roles": ROLES, "mechanisms": MECHANISMS}
    try:
        with client:
            try:
                client.admin.command("createUser", USER, **wanted)
            except OperationFailure as error:
                if error.code != USER_EXISTS:
                    raise
                client.admin.command("updateUser", USER, **wanted)
            users = client.admin.command("usersInfo", 1)["users"]
            users += [u for u in client.admin.command("usersInfo", {"forAllDBs": True})["users"] if u not in users]
    except PyMongoError as error:
        raise StoreError(f"the database's user cannot be made: {error}") from None
    if [(user["user"], user["db"], user["roles"]) for user in users] != [(USER, "admin", ROLES)]:
        names = ", ".join(f"{user['user']}@{user['db']}" for user in users)
        raise StoreError(f"users that hpcho did not make are in the new database ({names}): it is not safe to use")


def make_tables(url: str) -> None:
    """Have the embedded server make all of its tables, on a server that asks for no password yet. Raises StoreError.

    It spreads collections over 16 tables by their names, and makes each when it is first needed. Killed at such a
    moment it does not start again.
    """
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(url, serverSelectionTimeoutMS=20 * PATIENCE_MS)
    try:
        with client:
            for number in range(COLLECTIONS):
                client[DATABASE].create_collection(f"table{number}")
            client.drop_database(DATABASE)
    except PyMongoError as error:
        raise StoreError(f"the database's tables cannot be made: {error}") from None


def url_flaw(url: str) -> str | None:
    """What is wrong with a URL of ``store:``, by pymongo's own reading; None when nothing is. Looks up no name."""
    try:
        # A SRV name would be resolved now; what is looked at here reads the same for both schemes.
        parsed = parse_uri(url.replace("mongodb+srv://", "mongodb://", 1))
    except OSError as error:
        return f"names a file that cannot be used: {error.strerror}"
    except (InvalidURI, ConfigurationError, ValueError) as error:
        # An odd password makes a URL that cannot be read, and pymongo's words may hold a piece of it.
        why = "" if "@" in url else f": {error}"
        return f"is no MongoDB URL{why}. Write mongodb://user@host:27017/database, and a password into password_file"
    return _flaw_of(parsed)


def _flaw_of(parsed: Mapping[str, Any]) -> str | None:
    options = {**parsed["options"], **parsed["options"].get("authMechanismProperties", {})}
    secrets = [name for name in SECRETS if name in options]
    if parsed["password"]:
        return "must hold no password: put it into a file that you alone may read, and that file under password_file"
    if secrets:
        return f"must hold no secret, as {secrets[0]} is: others may read this file. Use a way in that needs none"
    if not parsed["database"]:
        return "names no database: let it end with /jobs, say"
    if parsed["collection"]:
        return f"must end with the database: leave away .{parsed['collection']}"
    return None
