"""Makes an experiment's job directory at the first run, and compares it with the YAML at every later one.

A new job directory is built beside its place and renamed into it, so that there is always either none or a whole one,
and of two first runs at once one wins and the other finds it made.
"""

from __future__ import annotations

import grp
import importlib.metadata
import json
import os
import platform
import secrets
import shutil
import socket
import subprocess
import sys
import uuid
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import hpcho
from hpcho.errors import ResumeError, StoreError, UsageError
from hpcho.experiment.extends import copy_files
from hpcho.objective import snapshot
from hpcho.samplers.knowledge import write_knowledge

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hpcho.experiment import Experiment
    from hpcho.jobdir import JobDir
    from hpcho.samplers import Knowledge
    from hpcho.space import Space
    from hpcho.store import TrialStore

__all__ = ["Opening", "adopt_settings", "archive", "check_identity", "prepare"]


@dataclass(frozen=True)
class Opening:
    """The record in force, and what the user should hear about it."""

    record: dict[str, Any]
    is_new: bool
    notes: tuple[str, ...] = ()


def prepare(
    experiment: Experiment, space: Space, yaml: Path, jobdir: JobDir, knowledge: Sequence[Knowledge] = ()
) -> Opening:
    """Make the job directory, or check that the YAML still describes the one that is there.

    ``knowledge`` of other experiments goes into a new one, and every later run has the same. Changes nothing in a job
    directory that exists; ``adopt_settings`` does, once the seat is taken. Raises ResumeError.
    """
    record = jobdir.read_record()
    if record is None and _create(experiment, space, yaml, jobdir, knowledge):
        made = jobdir.read_record()
        assert made is not None
        return Opening(made, is_new=True)
    record = record or jobdir.read_record()
    if record is None:
        raise ResumeError(
            f"{jobdir.path} exists but holds no experiment (no experiment.json): "
            "move it away, or choose another `name:`"
        )
    _compare(experiment, space, record, jobdir)
    return Opening(record, is_new=False, notes=tuple(_unheeded(experiment, record, yaml, jobdir)))


def _unheeded(experiment: Experiment, record: dict[str, Any], yaml: Path, jobdir: JobDir) -> Iterator[str]:
    """What has been changed since the first run, and makes no difference to this one."""
    edited = snapshot.edited(record["source"], yaml.parent)
    if edited:
        yield (
            f"edited since the first run: {', '.join(edited)}. This run goes on with its own copy in {jobdir.source}; "
            "`--fresh` starts over with the edited files."
        )
    sources = json.loads(experiment.model_dump_json())["warm_start"]
    if sources != record["experiment"].get("warm_start", []):
        yield (
            "warm_start: has changed since the first run. This run goes on with what was taken then; "
            "`--fresh` starts over with the others."
        )


def adopt_settings(experiment: Experiment, jobdir: JobDir) -> dict[str, Any]:
    """Put the settings that may change (budget, retries, workers, ...) in force for workers started from now on.

    Returns the record. Only the holder of the seat may call it.
    """
    record = jobdir.read_record()
    assert record is not None
    seed = record["seed"] if experiment.sampler.seed is None else experiment.sampler.seed
    settings = json.loads(experiment.model_dump_json())
    settings["warm_start"] = record["experiment"].get("warm_start", [])  # what was taken was taken once
    current = {**record, "experiment": settings, "seed": seed}
    if current != record:
        jobdir.write_record(current)
    return current


def check_identity(store: TrialStore, record: dict[str, Any], jobdir: JobDir) -> None:
    """See that store and job directory are of one experiment; marks a new store. Raises StoreError."""
    mine = {"uuid": record["uuid"]}
    if store.put("identity", mine, expected=None):
        return
    if store.get("identity") != mine:
        raise StoreError(
            f"the store of {jobdir.path} belongs to another experiment of the same name. "
            "Choose another `name:`, or bring back the job directory that it was made with."
        )


def archive(jobdir: JobDir) -> Path | None:
    """Move an earlier run aside, to ``<name>~<time>``; None where there was none. Deletes nothing."""
    if not jobdir.path.exists():
        return None
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S")
    target = jobdir.path.with_name(f"{jobdir.path.name}~{stamp}")
    count = 1
    while target.exists():
        count += 1
        target = jobdir.path.with_name(f"{jobdir.path.name}~{stamp}-{count}")
    jobdir.path.rename(target)
    return target


def _create(experiment: Experiment, space: Space, yaml: Path, jobdir: JobDir, knowledge: Sequence[Knowledge]) -> bool:
    """Build the job directory; False when another process was faster or something else stands there."""
    gid = _group_id(experiment.group)
    parent = jobdir.path.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        draft = parent / f".{jobdir.path.name}.{secrets.token_hex(4)}"
        draft.mkdir(mode=0o700)
    except OSError as error:
        raise UsageError(
            f"cannot make the job directory {jobdir.path}: {error.strerror}. "
            "Set `job_dir:` to a folder that you can write to."
        ) from None
    try:
        if gid is not None:
            os.chown(draft, -1, gid)
            draft.chmod(0o2770)
        for folder in ("trials", "logs"):
            (draft / folder).mkdir()
        copy_files(yaml, draft)
        manifest = snapshot.take(experiment.objective, yaml.parent, draft / "source", parent)
        write_knowledge(type(jobdir)(draft), knowledge)
        type(jobdir)(draft).write_record(_record(experiment, space, yaml, manifest))
        draft.rename(jobdir.path)
    except FileExistsError:
        return False
    except OSError as error:
        if jobdir.path.exists():
            return False
        raise UsageError(f"cannot make the job directory {jobdir.path}: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return True


def _record(experiment: Experiment, space: Space, yaml: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    seed = experiment.sampler.seed
    return {
        "uuid": str(uuid.uuid4()),
        "name": experiment.name,
        "created_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "yaml": str(yaml.absolute()),
        "seed": secrets.randbits(31) if seed is None else seed,
        "space": space.fingerprint(),
        "source": manifest,
        "experiment": json.loads(experiment.model_dump_json()),
        "git": _git_state(yaml.parent),
        "host": socket.gethostname(),
        "hpcho": hpcho.__version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {d.metadata["Name"]: d.version for d in importlib.metadata.distributions() if d.metadata["Name"]},
    }


def _compare(experiment: Experiment, space: Space, record: dict[str, Any], jobdir: JobDir) -> None:
    """Refuse to go on with another space or objective."""
    differences = []
    if space.fingerprint() != record["space"]:
        differences.append("the search space")
    settings = json.loads(experiment.model_dump_json())
    if settings["objective"] != record["experiment"]["objective"]:
        differences.append("the objective")
    if differences:
        raise ResumeError(
            f"{_join(differences)} in the YAML {'is' if len(differences) == 1 else 'are'} not what {jobdir.path} was "
            f"started with, and trials of both would not compare. Choose another `name:`, or `--fresh` to set the "
            f"earlier run aside (as {jobdir.path.name}~<time>) and start over."
        )


def _join(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _group_id(group: str | None) -> int | None:
    if group is None:
        return None
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise UsageError(f"group: there is no group {group!r} on this machine; `id -Gn` lists yours") from None


def _git_state(folder: Path) -> dict[str, Any] | None:
    """Commit and whether anything was changed since; None outside a repository or without git."""
    try:
        commit = subprocess.run(
            ["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "-C", folder, "status", "--porcelain"], capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(changed)}
