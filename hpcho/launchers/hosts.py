"""The hosts file of ``launcher: ssh``, as pssh has it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpcho.errors import ExperimentError, Problem

if TYPE_CHECKING:
    from hpcho.experiment.launchers import SshLauncher

__all__ = ["Host", "files", "read_hosts"]

FORM = "[user@]host[:port], such as node1 or alice@node1:2222"
HIGHEST_PORT = 65535

LINE = re.compile(r"(?:(?P<user>\S+)@)?(?:\[(?P<address>[^\[\]\s]+)\]|(?P<name>[^\s:@\[\]]+))(?::(?P<port>\d+))?")


@dataclass(frozen=True)
class Host:
    """One line: what ssh is to log in to. ``name`` is a host's, an alias of ssh_config's, or an address."""

    line: str
    """As it is written; no two are alike."""
    name: str
    user: str | None = None
    port: int | None = None

    def __str__(self) -> str:
        return self.line


def files(spec: SshLauncher, folder: Path) -> tuple[Path, Path | None]:
    """The hosts file and the ssh_config file that ``spec`` names, in ``folder`` or elsewhere.

    Raises ExperimentError where there is no such ssh_config file.
    """
    hosts = folder / Path(spec.hosts).expanduser()
    if spec.ssh_config is None:
        return hosts, None
    config = folder / Path(spec.ssh_config).expanduser()
    if not config.is_file():
        raise _wrong(config, "there is no such file: launcher.ssh.ssh_config names an ssh_config file")
    return hosts, config


def read_hosts(path: Path) -> tuple[Host, ...]:
    """The hosts in the file at ``path``, in its order. Raises ExperimentError with all that is wrong in it."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise _wrong(
            path, f"the hosts cannot be read ({reason}): launcher.ssh.hosts is a file of lines {FORM}"
        ) from None
    hosts: list[Host] = []
    problems: list[Problem] = []
    lines: dict[tuple[str | None, str, int | None], int] = {}
    for number, written in enumerate(text.splitlines(), 1):
        line = re.sub(r"(^|\s)#.*", "", written).strip()
        if not line:
            continue
        host, flaw = _host(line)
        if host is not None:
            first = lines.setdefault((host.user, host.name, host.port), number)
            flaw = (
                None if first == number else f"stands in line {first} already: workers_per_host says how many run there"
            )
        if host is not None and flaw is None:
            hosts.append(host)
        else:
            problems.append(Problem(str(path), number, written.index(line) + 1, "", f"{line!r} {flaw}"))
    if problems:
        raise ExperimentError(problems)
    if not hosts:
        raise _wrong(path, f"there is no host in it: write a line for each, {FORM}")
    return tuple(hosts)


def _host(line: str) -> tuple[Host | None, str | None]:
    """The host of a line, or what is wrong with it."""
    found = LINE.fullmatch(line)
    if found is None:
        return None, _flaw(line)
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 1 <= port <= HIGHEST_PORT:
        return None, f"has a port that is none: it is a number from 1 to {HIGHEST_PORT}"
    return Host(line, found["address"] or found["name"], found["user"], port), None


def _flaw(line: str) -> str:
    if len(line.split()) > 1:
        return f"is more than one word: a line is {FORM}"
    address = line.rpartition("@")[2]
    if address.count(":") > 1 and "[" not in address:
        return f"has colons, as IPv6 addresses do: those stand in brackets, [{address}]"
    return f"is no host: a line is {FORM}"


def _wrong(path: Path, message: str) -> ExperimentError:
    return ExperimentError([Problem(str(path), 0, 0, "", message)])
