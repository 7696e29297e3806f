"""SLURM as it looks from here: whether it answers, and what it admits."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hpcho.doctor.finding import Finding, failed, ok, warning
from hpcho.errors import LauncherError
from hpcho.launchers.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["slurm", "workers"]

SHOWN = 8
"""So many partitions are told in full."""


def slurm() -> list[Finding]:
    """The clients, the controller, and what they say of this cluster; one finding where there is no SLURM."""
    if shutil.which("sbatch") is None:
        return [ok("SLURM", "none here (no sbatch on PATH)")]
    try:
        config = _config(Scheduler().ask(["scontrol", "show", "config"]))
        partitions = Scheduler().ask(["sinfo", "--noheader", "--format=%P %D %l %G %a"]).splitlines()
    except LauncherError as error:
        last = str(error).strip().rpartition("\n")[2]
        return [warning("SLURM", last, "`scontrol ping` and the site's status page say more")]
    found = [
        ok("SLURM", f"{config.get('SLURM_VERSION', '?')} answers, arrays of {config.get('MaxArraySize', '?')} at most"),
        _partitions(partitions),
        _accounting(),
    ]
    return [*found, *_munge(config), *_limits()]


def workers(lines: Sequence[str]) -> list[Finding]:
    """Whether SLURM would take a worker's job with these lines of options. Submits nothing."""
    with tempfile.TemporaryDirectory(prefix="hpcho-doctor-") as folder:
        script = Path(folder) / "worker.sbatch"
        script.write_text("\n".join(["#!/bin/bash", *lines, "true"]) + "\n", encoding="utf-8")
        try:
            Scheduler().ask(["sbatch", "--test-only", str(script)])
        except LauncherError as error:
            said = "; ".join(line.removeprefix("sbatch: ") for line in str(error).splitlines())
            mend = "mend launcher.slurm: `sinfo` shows partitions, `sacctmgr show assoc user=$USER` accounts and QOS"
            return [failed("worker's job", f"SLURM would refuse it: {said}", mend)]
    return [ok("worker's job", f"SLURM would take it: {' '.join(line.split(maxsplit=1)[1] for line in lines)}")]


def _config(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)\s*= (.*?)\s*$", text, re.MULTILINE))


def _partitions(lines: list[str]) -> Finding:
    """One partition may stand in several lines: for nodes with other GPUs, or in another state."""
    partitions: dict[str, tuple[int, str, set[str]]] = {}
    for line in lines:
        name, nodes, limit, gres, state = line.split(maxsplit=4)
        before, _, told = partitions.get(name, (0, "", set()))
        told = told | ({gres} - {"(null)"}) | ({state} - {"up"})
        partitions[name] = (before + int(nodes), limit, told)
    shown = [
        f"{name} ({', '.join([f'{nodes} nodes', f'at most {limit}', *sorted(told)])})"
        for name, (nodes, limit, told) in list(partitions.items())[:SHOWN]
    ]
    more = f", and {len(partitions) - SHOWN} more" if len(partitions) > SHOWN else ""
    return ok("partitions", "; ".join(shown) + more)


def _accounting() -> Finding:
    try:
        Scheduler().ask(["sacct", "--noheader", "--allocations", "--starttime=now-10minutes", "--format=JobID"])
    except LauncherError as error:
        last = str(error).strip().rpartition("\n")[2]
        return warning(
            "sacct", f"gives no answer: {last}", "nothing need be done: why jobs ended is then asked of squeue"
        )
    return ok("sacct", "answers")


def _munge(config: Mapping[str, str]) -> list[Finding]:
    """Whether munge works, where SLURM uses it. SLURM has answered."""
    if "munge" not in config.get("AuthType", ""):
        return []
    if shutil.which("munge") is None:
        return [ok("munge", "answers SLURM's commands, which prove by it who you are (there is no `munge` here)")]
    socket = re.search(r"socket=([^,]+)", config.get("AuthInfo", ""))
    try:
        Scheduler().ask(["munge", "--no-input", *([f"--socket={socket[1]}"] if socket else [])])
    except LauncherError as error:
        mend = "SLURM's commands cannot prove who you are: tell the site's administrators"
        return [failed("munge", str(error), mend)]
    return [ok("munge", "answers")]


def _limits() -> list[Finding]:
    """How many jobs this user may have submitted, by QOS."""
    user = pwd.getpwuid(os.getuid()).pw_name
    try:
        rows = Scheduler().ask(["sacctmgr", "-nP", "show", "assoc", f"user={user}", "format=account,qos,maxsubmitjobs"])
        limits = Scheduler().ask(["sacctmgr", "-nP", "show", "qos", "format=name,maxsubmitpu"])
    except LauncherError:
        return []  # without accounting there is no QOS
    most = dict(line.split("|")[:2] for line in limits.splitlines() if line.count("|") >= 1)
    shown = []
    for row in rows.splitlines():
        account, qos, jobs_of_account = row.split("|")[:3]
        names = [f"{name} ({most[name]} jobs)" if most.get(name) else name for name in qos.split(",") if name]
        limit = f", {jobs_of_account} jobs at most" if jobs_of_account else ""
        shown.append(f"account {account}: QOS {', '.join(names) or 'none'}{limit}")
    return [ok("accounts", "; ".join(shown))] if shown else []
