"""``hpcho run`` and ``hpcho stop``: opens or makes the run, and takes its seat or looks on."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from hpcho import controller as control
from hpcho import inside, samplers
from hpcho import standing as standings
from hpcho.cli import chain as chains
from hpcho.cli import launching
from hpcho.cli.checking import check_points
from hpcho.cli.knowledge import gathered
from hpcho.cli.output import say, warn
from hpcho.cli.progress import Talk
from hpcho.cli.session import Session, look_on
from hpcho.cli.typed import Typed
from hpcho.errors import LauncherError, ResumeError, StoreError, StoreStopped
from hpcho.opening import open_experiment, open_run
from hpcho.opening.chain import elsewhere
from hpcho.store import Restorable, attend, open_store
from hpcho.trial import Owner

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from hpcho.jobdir import JobDir
    from hpcho.opening import Opened
    from hpcho.store import Service, TrialStore

__all__ = ["run", "stop"]

DETACH_S = 60.0
"""How long a detached run may take to begin."""
STOP_S = 60.0
"""How long ``stop --now`` waits for the run to end."""


def run(
    path: Path,
    settings: Sequence[str],
    *,
    fresh: bool,
    detach: bool = False,
    as_job: bool = False,
    chain: int | None = None,
    talk: Talk = Talk.USUAL,
) -> int:
    """Run or resume the experiment at ``path``; returns the exit code."""
    opened = open_experiment(path, settings, fresh=fresh)
    check_points(opened)
    launching.check_container(opened)
    local = opened.experiment.launcher.local
    samplers.check_workers(opened.experiment.sampler.name, local.workers if local else 2)
    samplers.build(opened.experiment.sampler, opened.space)  # what is wrong with it shows before anything is made
    os.umask(0o077 if opened.experiment.group is None else 0o007)
    knowledge = gathered(opened, fresh=fresh)
    if fresh:
        _set_aside(opened.jobdir)
    typed = Typed(path, tuple(settings), opened.jobdir)
    opening = control.prepare(opened.experiment, opened.space, path, opened.jobdir, knowledge)
    for note in opening.notes:
        warn(note)

    if as_job:
        return chains.submit(typed, opened.experiment, length=chain)
    if detach:
        from hpcho.doctor import login  # noqa: PLC0415 - only a run in the background has to outlive a logout

        for finding in login.logout():
            warn(f"{finding.words}: {finding.mend}")
        with _attended(path, opened):
            return _detach(typed)
    return _go(typed, opened, opening.record, talk)


def _attended(path: Path, opened: Opened, *, await_end: bool = False) -> AbstractContextManager[Service]:
    return attend(
        opened.jobdir,
        opened.experiment,
        warn,
        await_end=await_end,
        machines=lambda: launching.node_addresses(opened.experiment, path),
        elsewhere=lambda: elsewhere(opened.jobdir),
    )


def _go(typed: Typed, opened: Opened, record: dict[str, Any], talk: Talk) -> int:
    """Control the run, or look on while another process does. ``record``: the job directory's."""
    with (
        _attended(typed.path, opened, await_end=True) as service,
        contextlib.closing(open_store(opened.jobdir, opened.experiment)) as store,
    ):
        is_lost = control.is_lost(store, opened.jobdir)
        if not is_lost:
            control.check_identity(store, record, opened.jobdir)
        seat = control.Seat(store)
        if elsewhere(opened.jobdir) or not seat.take(patience_s=control.LEASE_S):
            return look_on(typed, opened, store, service, talk)
        try:
            if is_lost:
                _rebuild(store, opened.jobdir)
                control.check_identity(store, record, opened.jobdir)
            record = control.adopt_settings(opened.experiment, opened.jobdir)
            _invite_stock_workers(opened, store)
            return Session(typed, opened, record, store, seat, service, talk).work()
        finally:
            with contextlib.suppress(StoreError):  # gone with this process, which the next run can see
                seat.leave()


def _rebuild(store: TrialStore, jobdir: JobDir) -> None:
    """Bring back what can be had of a store that was lost."""
    if not isinstance(store, Restorable):
        raise StoreError(f"the store is empty, and workers have worked in {jobdir.path}: bring it back, or `--fresh`")
    warn(f"the store is empty, and workers have worked in {jobdir.path}: bringing back what they have finished")
    count = control.rebuild(store, jobdir)
    warn(f"{count} finished trials are back; failed and unfinished ones are not, and new ones take their place")


def _invite_stock_workers(opened: Opened, store: TrialStore) -> None:
    """``stock_workers: true``: have the objective in the database, as hyperopt's own workers load it."""
    mongo = opened.experiment.store.mongo
    if mongo is None or not mongo.stock_workers:
        return
    from hpcho.objective import domain_blob  # noqa: PLC0415 - only where hyperopt's own workers join
    from hpcho.store import stock  # noqa: PLC0415 - pymongo

    blob = domain_blob.domain(opened.space, opened.spec, opened.jobdir.source)
    stock.publish(store, opened.experiment.name, domain_blob.FILENAME, blob)


def stop(path: Path, *, now: bool) -> int:
    """Ask the run to end; with ``now`` wait until it has."""
    # a job directory does not tell the settings that led to it
    again = "the same `hpcho run`" if path.is_dir() else f"`hpcho run {shlex.quote(str(path))}`"
    with open_run(path) as going:
        store = going.store
        is_going = (seat := store.get("seat")) is not None and standings.is_taken(seat)
        if not is_going and (reason := elsewhere(going.jobdir)) is not None:
            raise StoreStopped(reason)  # the next job's controller would not heed what it finds
        store.put("control", {"stop": "now" if now else "drain"})
        if not is_going:
            say(f"no run is going; workers that were started by hand leave. {again} goes on.")
            return 0
        running = standings.read(going.experiment.name, going.space, store).trials["running"]
        if not now:
            harder = f"`hpcho stop {shlex.quote(str(path))} --now`"
            say(f"stopping: {running} running trials finish first. {harder} gives them back instead.")
            return 0
        deadline = time.monotonic() + STOP_S
        while store.get("seat") is not None and time.monotonic() < deadline:
            time.sleep(0.1)
        say(f"stopped. {again[0].upper()}{again[1:]} goes on." if store.get("seat") is None else "stopping")
        return 0


def _set_aside(jobdir: JobDir) -> None:
    """``--fresh``: archive the earlier run, unless it is going."""
    if jobdir.read_record() is not None:
        with attend(jobdir, elsewhere=lambda: elsewhere(jobdir)) as service:
            with contextlib.closing(open_store(jobdir)) as store:
                seat = store.get("seat")
            if seat is not None and standings.is_taken(seat):
                holder = Owner.from_json(seat["owner"])
                raise ResumeError(f"{jobdir.path} is being run by {holder}: `hpcho stop` it first")
            service.stop()
    archived = control.archive(jobdir)
    if archived is not None:
        say(f"the earlier run is kept in {archived}")


def _holder(jobdir: JobDir) -> Owner | None:
    """The process that runs the experiment now, if one does."""
    with contextlib.closing(open_store(jobdir)) as store:
        seat = control.Seat(store)
        if seat.take(patience_s=control.LEASE_S):
            seat.leave()
            return None
        taken = store.get("seat")
    return Owner.from_json(taken["owner"]) if taken else None


def _detach(typed: Typed) -> int:
    """Start the same run in a session of its own and wait until it has begun."""
    jobdir, place = typed.jobdir, typed.place
    holder = _holder(jobdir)
    if holder is not None:
        say(f"already run by {holder}. `hpcho status {place} --watch` looks on, `hpcho stop {place}` ends it.")
        return 0
    if (image := inside.image_here()) is not None and "HPCHO_RELAY" not in os.environ:
        raise LauncherError(inside.needs_launcher("a run in the background"))
    output = jobdir.logs / "detached.log"
    options = [word for setting in typed.settings for word in ("--set", setting)]
    words = ["run", str(typed.path.absolute()), *options]
    with output.open("wb") as file:
        process = subprocess.Popen(
            inside.again(output, words) or [sys.executable, "-m", "hpcho", *words],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    deadline = time.monotonic() + DETACH_S
    with contextlib.closing(open_store(jobdir)) as store:
        while time.monotonic() < deadline:
            seat = store.get("seat")
            owner = None if seat is None else Owner.from_json(seat["owner"])
            if owner is not None and (image or owner.pid == process.pid):
                break
            if process.poll() is not None:
                sys.stderr.write(output.read_text(encoding="utf-8", errors="replace"))
                return process.returncode
            time.sleep(0.05)
        else:
            process.terminate()
            raise LauncherError(f"the detached run has not begun within {DETACH_S:g} s; see {output}")
    if image:  # in here is only what has called it
        process.kill()
        process.wait()
    say(
        f"running in the background (pid {owner.pid}), output in {output}.\n"
        f"`hpcho status {place} --watch` looks on, `hpcho stop {place}` ends it."
    )
    return 0
