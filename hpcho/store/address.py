"""Where a MongoDB is and how one gets in: what the store connects with, whoever runs the server."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from hpcho.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DATABASE", "USER", "Address", "managed", "read_password"]

DATABASE = "hpcho"
"""The database of a managed server."""
USER = "hyperopt"
"""Its user, in ``admin``: there hyperopt's own workers look up a user of this name (password in ~/.hyperopt)."""


@dataclass(frozen=True)
class Address:
    """A MongoDB and the way in.

    ``url`` is for pymongo to read and never holds a password, so it may be shown and logged; ``password`` is given to
    pymongo apart, and is None where the URL needs none. An address cannot be pickled: the password would lie in it.
    """

    url: str
    password: str | None = field(default=None, repr=False)

    def __reduce__(self) -> NoReturn:
        raise TypeError("an address holds a password and cannot be pickled; read it again where it is needed")


def managed(host: str, port: int, password: str) -> Address:
    """The address of a managed server. One server, whatever it says of replica sets: no other host is looked for."""
    bracketed = f"[{host}]" if ":" in host else host
    return Address(f"mongodb://{USER}@{bracketed}:{port}/{DATABASE}?authSource=admin&directConnection=true", password)


def read_password(path: Path) -> str:
    """The password in a file that nobody but its owner may read; a newline at its end is no part of it.

    Raises StoreError, without the password in it.
    """
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            password = file.read().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise StoreError(f"{path}: the password is not UTF-8 text") from None
    except OSError as error:
        raise StoreError(
            f"{path}: the password of the database cannot be read: {error.strerror}. "
            "Only its owner can use the database"
        ) from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise StoreError(f"{path}: others may read this password (mode {stat.S_IMODE(mode):o}): `chmod 600` it")
    if not password:
        raise StoreError(f"{path}: is empty: write the password of the database into it")
    return password
