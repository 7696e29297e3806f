"""The files of a managed server.

<job_dir>/mongo/             0700, in the job directory always
  password                   0600, made once; the database's one user has it
  address.json               where the server is, and whether it runs; for workers on any machine
<place>/                     0700: the same folder, or one on a local disk where the job directory is on none
  db/                        the database's own files
  lease-<n>/holder.json      who serves them
  provisioned.json           which program has made the data, and that the user is made
<job_dir>/logs/server.log    what the server and its keeper have to say
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hpcho.errors import StoreError, StoreStopped
from hpcho.jobdir import write_atomically
from hpcho.store import address

if TYPE_CHECKING:
    from pathlib import Path

    from hpcho.jobdir import JobDir
    from hpcho.store.address import Address

__all__ = ["Files", "Whereabouts"]

LOG_BYTES = 8 << 20
LAST_LINES = 15


@dataclass(frozen=True)
class Whereabouts:
    """What address.json says. ``program``: the kind of server; ``is_running``: whether one is meant to be there."""

    host: str
    port: int
    program: str
    is_running: bool


@dataclass(frozen=True)
class Files:
    """Paths of one managed server: those in the job directory, and its ``place``, where its data are."""

    jobdir: JobDir
    place: Path

    @property
    def folder(self) -> Path:
        """What is in the job directory."""
        return folder_of(self.jobdir)

    @property
    def password_file(self) -> Path:
        """The password's."""
        return self.folder / "password"

    @property
    def log(self) -> Path:
        """The server's log, and that of the process that keeps it."""
        return self.jobdir.logs / "server.log"

    def make(self) -> None:
        """Have the folders, for this user alone. Raises StoreError."""
        for path in (self.folder, self.place):
            try:
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
                path.chmod(0o700)
            except OSError as error:
                raise StoreError(
                    f"{path}: the folder of the MongoDB server cannot be made: {error.strerror}"
                ) from error
        self.log.parent.mkdir(exist_ok=True)

    def make_password(self) -> str:
        """The password; a fresh one where there is none. Raises StoreError."""
        with contextlib.suppress(FileExistsError):
            # One line with its end, as hyperopt's workers want theirs in ~/.hyperopt; letters that no URL must quote.
            line = secrets.token_urlsafe(32).encode() + b"\n"
            draft = self.password_file.with_name(f".password.{secrets.token_hex(4)}")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(line)
                    file.flush()
                    os.fsync(descriptor)
                os.link(draft, self.password_file)
            finally:
                draft.unlink()
        return address.read_password(self.password_file)

    @property
    def written_by(self) -> str | None:
        """The kind of program whose data are in the place; None where no first start has come to its end."""
        return None if self._provisioned is None else str(self._provisioned["program"])

    @property
    def is_provisioned(self) -> bool:
        """Whether the database has its user."""
        return self._provisioned is not None and bool(self._provisioned["has_user"])

    @property
    def _provisioned(self) -> dict[str, Any] | None:
        path = self.place / "provisioned.json"
        if not (self.place / "db").is_dir():
            return None  # the data were lost, or moved away
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise StoreError(
                f'{path}: is damaged ({error}): write {{"program": "mongod", "has_user": false}}'
            ) from None
        return found

    def note_provisioned(self, program: str, *, has_user: bool) -> None:
        """The data are of that kind of program, and the user is made or must be made again."""
        write_atomically(self.place / "provisioned.json", json.dumps({"program": program, "has_user": has_user}))

    def set_aside(self) -> None:
        """Begin with no data. What is there is kept under another name, as everything is."""
        data = self.place / "db"
        if data.exists():
            data.rename(data.with_name(f"db~{secrets.token_hex(4)}"))

    def publish(self, where: Whereabouts) -> None:
        """Tell all who look into the job directory. What they read there already takes no room."""
        with contextlib.suppress(StoreError):  # it is damaged: it is written anew
            if whereabouts(self.jobdir) == where:
                return
        write_atomically(self.folder / "address.json", json.dumps(asdict(where)) + "\n")

    def shorten_log(self) -> None:
        """Begin the log anew once it is long; one older part is kept. It is appended to, and so never renamed."""
        with contextlib.suppress(OSError):
            if self.log.stat().st_size > LOG_BYTES:
                shutil.copyfile(self.log, self.log.with_suffix(".log.1"))
                os.truncate(self.log, 0)

    def last_lines(self) -> str:
        """The end of the log, for an error's message."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            return str(error)
        return "\n".join(text.splitlines()[-LAST_LINES:])


def folder_of(jobdir: JobDir) -> Path:
    """What of a managed server is in the job directory, wherever its data are."""
    return jobdir.path / "mongo"


def whereabouts(jobdir: JobDir) -> Whereabouts | None:
    """Where the managed server is or was last; None where there was none yet. Raises StoreError."""
    path = folder_of(jobdir) / "address.json"
    try:
        return Whereabouts(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(f"{path}: cannot be read ({error}): delete it, and `hpcho run` writes it anew") from error


def address_of(jobdir: JobDir) -> Address:
    """The way in to the managed server that runs. Raises StoreStopped when none does, StoreError when one may not."""
    where = whereabouts(jobdir)
    if where is None or not where.is_running:
        raise StoreStopped(f"the MongoDB server of {jobdir.path} is not running; `hpcho run` starts it")
    return address.managed(where.host, where.port, address.read_password(folder_of(jobdir) / "password"))
