"""``python -m hpcho.cli.turn JOB_DIR UUID [--chained] -- EXPERIMENT [--set ...]``: one job's turn as the controller.

The controller itself is a process below this one. Before the job's wall time SLURM sends SIGTERM to this one, which
ends the controller as a power failure would: that costs nothing, and workers, which know nothing of it, go on. Then it
frees the seat and stops the store's server in peace, for the next job to find both as they should be.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcho.errors import HpchoError, Interrupted, LauncherError, StoreError
from hpcho.jobdir import JobDir
from hpcho.launchers import jobs
from hpcho.opening.chain import Chain

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

PAUSE_S = 0.2
AGAIN_S = 60.0
"""How long until the next job is submitted again, where SLURM has refused it."""
SOON_S = 60.0
"""A controller that fails sooner than this would fail again."""
FINAL = frozenset({0, 1, 2, LauncherError.exit_code})
"""Exit codes of ``hpcho run`` after which there is nothing to go on with, or only after somebody has mended it."""


class Turn:
    """One job's turn."""

    def __init__(self, chain: Chain, arguments: Sequence[str], *, submits: bool) -> None:
        self._chain, self._arguments, self._submits = chain, arguments, submits
        self._has_next, self._try_at = False, 0.0
        self._is_told = False

    def take(self) -> int:
        """Run the experiment until it is over or the job is; returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)
        if self._chain.over.exists():
            _log("the run is over: nothing to do")
            return 0
        began_at = time.monotonic()
        controller = subprocess.Popen(
            [sys.executable, "-m", "hpcho", "run", *self._arguments], stdin=subprocess.DEVNULL, start_new_session=True
        )
        while controller.poll() is None and not self._is_told:
            self._have_next()
            time.sleep(PAUSE_S)
        code = controller.poll()
        if code is None:
            controller.kill()
            controller.wait()
            self._hand_over()
            return 0
        is_quick = code != Interrupted.exit_code and time.monotonic() - began_at < SOON_S
        if code in FINAL or is_quick:
            self._end()
        else:
            _log(f"the controller has ended ({code}); {self._what_next()}")
        return code if code >= 0 else 128 - code

    def _hear(self, number: int, frame: Any) -> None:
        del number, frame
        self._is_told = True

    def _have_next(self) -> None:
        """Have the next job in the queue; where SLURM refuses it, try again now and then."""
        if not self._submits or self._has_next or time.monotonic() < self._try_at:
            return
        try:
            self._has_next = bool(jobs.find(self._chain.name))
            if not self._has_next:
                _log(f"the next job is {jobs.submit(self._chain.script)}")
                self._has_next = True
        except LauncherError as error:
            if not self._try_at:
                _log(f"the next job cannot be submitted from here, and this one will be the last: {error}")
                _log("`hpcho run --as-job --chain N` submits N jobs beforehand; trying again now and then")
            self._try_at = time.monotonic() + AGAIN_S

    def _hand_over(self) -> None:
        """Free the seat and stop the server."""
        from hpcho.controller import Seat  # noqa: PLC0415 - the controller below has loaded it meanwhile
        from hpcho.store import attend, open_store  # noqa: PLC0415 - as above

        _log(f"told to end; {self._what_next()}")
        try:
            with attend(self._chain.jobdir) as service:
                with contextlib.closing(open_store(self._chain.jobdir)) as store:
                    seat = Seat(store)
                    is_ours = seat.take()
                    seat.leave()
                if is_ours:  # else the controller only looked on
                    service.stop()
        except StoreError as error:
            _log(f"the store is left as it is: {error}")

    def _end(self) -> None:
        """No other job of the chain need begin."""
        self._chain.over.touch()
        try:
            jobs.cancel(*jobs.find(self._chain.name))
        except LauncherError as error:
            _log(f"the next job cannot be cancelled from here, and will end as it begins: {error}")

    def _what_next(self) -> str:
        """Whoever has cancelled the next job meanwhile meant it: none is submitted in its place."""
        try:
            goes_on = bool(jobs.find(self._chain.name))
        except LauncherError:
            goes_on = self._has_next or not self._submits
        return "the next job goes on" if goes_on else "`hpcho run --as-job` goes on"


def _log(text: str) -> None:
    stamp = datetime.now(timezone.utc).isoformat(timespec="seconds")
    print(f"{stamp} {text}", file=sys.stderr, flush=True)  # noqa: T201 - the job's log is where a user looks


def main() -> int:
    """Parse the command line and take the turn; an error is one message on stderr."""
    parser = argparse.ArgumentParser(prog="python -m hpcho.cli.turn", description="One job's turn as the controller.")
    parser.add_argument("job_dir", type=Path, help="the experiment's job directory")
    parser.add_argument("uuid", help="the run that this chain of jobs is for")
    parser.add_argument("--chained", action="store_true", help="the next jobs are in the queue already")
    parser.add_argument("arguments", nargs="+", metavar="EXPERIMENT", help="what `hpcho run` is given")
    options = parser.parse_args()
    try:
        jobdir = JobDir(options.job_dir)
        record = jobdir.read_record()
        if record is None or record["uuid"] != options.uuid:
            _log(f"{jobdir.path}: this run was set aside: nothing to do")
            return 0
        return Turn(Chain(jobdir, record["uuid"]), options.arguments, submits=not options.chained).take()
    except HpchoError as error:
        _log(str(error))
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
