"""What a login node does to long-running programs: which limits it sets, and whether they outlive a logout."""

from __future__ import annotations

import configparser
import contextlib
import os
import pwd
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpcho.doctor.finding import Finding, ok, warning

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Logind", "limits", "logout"]

ANSWER_S = 5.0
FEW_FILES = 4096
"""Open files that a database for a few hundred workers needs."""
AS_JOB = "`hpcho run --as-job` runs in a job instead"
MANAGER = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")
PLACES = ("/usr/lib/systemd", "/run/systemd", "/etc/systemd")
"""Where logind.conf and the folders logind.conf.d are; a later one wins."""


@dataclass(frozen=True)
class Logind:
    """What systemd-logind does to this user's processes when they log out; None where nobody can tell.

    ``cgroup`` is this process's own: logind ends what is in a session's.
    """

    cgroup: str
    kills: bool | None
    lingers: bool | None

    @classmethod
    def here(cls) -> Logind:
        """As it is here."""
        if not Path("/run/systemd/system").is_dir():
            return cls("", kills=False, lingers=None)
        user = pwd.getpwuid(os.getuid()).pw_name
        kills = _last_word(["busctl", "get-property", *MANAGER, "KillUserProcesses"])
        lingers = _last_word(["loginctl", "show-user", user, "--property=Linger", "--value"])
        return cls(
            _read("/proc/self/cgroup"),
            {"true": True, "false": False}.get(kills, _configured(PLACES)),
            {"yes": True, "no": False}.get(lingers),
        )

    @property
    def words(self) -> str | None:
        """Why a program that is started now ends at logout; None when it does not, as far as can be told."""
        if self.kills and ("/session-" in self.cgroup or not self.cgroup):
            return "systemd-logind ends your processes here when you log out (KillUserProcesses=yes)"
        if "/user@" in self.cgroup and self.lingers is False:
            return "this shell belongs to your user manager, which ends with your last login (Linger=no)"
        return None


def logout(logind: Logind | None = None, cpu_s: int | None = None) -> list[Finding]:
    """Warnings for what keeps a program in the background from going on for days; empty when nothing does.

    ``cpu_s``: the limit on a process's processor time, by default this process's own.
    """
    logind = Logind.here() if logind is None else logind
    cpu_s = resource.getrlimit(resource.RLIMIT_CPU)[0] if cpu_s is None else cpu_s
    found = []
    if logind.words:
        linger = "" if logind.lingers else "`loginctl enable-linger` and "
        scope = f"{linger}`systemd-run --user --scope hpcho run ...`, where the site allows it"
        found.append(warning("logout", logind.words, f"{AS_JOB}; or {scope}"))
    if cpu_s != resource.RLIM_INFINITY:
        words = f"a process may use {cpu_s / 3600:.2g} h of processor time here (`ulimit -t`), and is then killed"
        found.append(warning("CPU limit", words, AS_JOB))
    return found


def limits() -> list[Finding]:
    """A login node's limits on a controller and its database."""
    found = logout() or [ok("logout", "programs in the background go on, as far as can be told")]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    words = f"{hard} open files at most"
    if hard != resource.RLIM_INFINITY and hard < FEW_FILES:
        mend = f"a server that the run starts serves some {hard // 4} workers; use `store: {{mongo: {{url: ...}}}}`"
        return [*found, warning("open files", words, mend)]
    return [*found, ok("open files", f"{words}, {soft} without asking")]


def _configured(places: Sequence[str]) -> bool | None:
    """KillUserProcesses as the files of logind say; None where they do not."""
    said = None
    for place in places:
        extra = sorted(Path(place, "logind.conf.d").glob("*.conf"))
        for file in (Path(place, "logind.conf"), *extra):
            parser = configparser.ConfigParser(strict=False, interpolation=None)
            with contextlib.suppress(OSError, configparser.Error, UnicodeDecodeError):
                parser.read_string(file.read_text(encoding="utf-8"))
                said = parser.getboolean("Login", "KillUserProcesses", fallback=said)
    return said


def _last_word(command: Sequence[str]) -> str:
    """The last word that a command prints; empty when it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return (done.stdout.split() or [""])[-1]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
