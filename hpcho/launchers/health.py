"""Whether workers can work at all: jobs that fail as they start, and nodes on which workers keep dying."""

from __future__ import annotations

import logging
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hpcho.launchers.queue import Job

__all__ = ["Health"]

log = logging.getLogger(__name__)

EARLY_S = 120
"""A job that fails sooner than this after its start, without a trial, could not work."""
EARLY_FAILURES = 3
"""So many of those in a row, and submitting more is no use."""
NODE_DEATHS = 3
"""A node that has failed so often, or had workers fail as they started, without a success in between, is avoided."""
LONGEST_WAIT_S = 60.0
STORE_AWAY = 3
"""The exit code of a worker that cannot reach the store: that passes where it has worked before."""
FROM_OUTSIDE = (128 + signal.SIGKILL, 128 + signal.SIGTERM)
"""Exit codes of one that somebody else has ended: once, that says nothing of the next."""


class Health:
    """Judges ends of jobs. ``worked`` are jobs that have held a trial; ``excluded`` are the nodes to avoid.

    ``canary``: one failure is enough while nothing has worked. ``has_worked``: other jobs have, for an earlier
    controller.
    """

    def __init__(self, *, canary: bool, has_worked: bool = False) -> None:
        self.worked: set[str] = set()
        self.excluded: list[str] = []
        self._has_worked = has_worked
        self._patience = 1 if canary and not has_worked else EARLY_FAILURES
        self._early: list[Job] = []
        self._deaths: dict[str, int] = {}
        self._barren = 0
        self._is_pardoned = False

    @property
    def wait_s(self) -> float:
        """How long to wait before submitting more: jobs that end without a trial must not follow each other fast."""
        return min(2.0**self._barren, LONGEST_WAIT_S) if self._barren else 0.0

    def takes_trials(self, jobs: Iterable[str]) -> None:
        """These jobs hold a trial now."""
        new = set(jobs) - self.worked
        if new:
            self.worked |= new
            self._has_worked = True
            self._patience = EARLY_FAILURES
            self._early, self._barren = [], 0

    def judge(self, ended: Sequence[Job]) -> None:
        """Take note of jobs that have ended since the last time; what ends at once, ends for one reason."""
        dead = set()
        barren, last = False, ""
        for job in ended:
            row = job.row
            if row.state in ("NODE_FAIL", "BOOT_FAIL"):
                dead.add(row.node)
            elif row.id in self.worked:
                if row.state != "FAILED":
                    self._deaths.pop(row.node, None)
            elif row.elapsed_s < EARLY_S:
                barren, last = True, row.id
                if row.state in ("FAILED", "OUT_OF_MEMORY") and not self._is_store_away(job):
                    self._early.append(job)
                    dead.add(row.node)
        self._barren += barren
        if barren and self._barren >= EARLY_FAILURES:
            log.warning("jobs end without having taken a trial, such as %s: the next in %.0f s", last, self.wait_s)
        for node in dead - {""}:
            self._deaths[node] = self._deaths.get(node, 0) + 1
            if self._deaths[node] >= NODE_DEATHS and self._has_worked and node not in self.excluded:
                self._exclude(node)

    def hopeless(self) -> list[Job]:
        """Jobs that failed as they started, when there are so many that more are no use; none where it may be one node.

        Of a node that fails all that it gets, fast, the others get nothing; where others have worked, it is that node.
        """
        own = [job for job in self._early if job.account is None or job.account.exit_code not in FROM_OUTSIDE]
        if len(self._early) < (self._patience if own else EARLY_FAILURES):
            return []
        if self._has_worked and not self._is_pardoned and len({job.row.node for job in self._early}) == 1:
            return []
        return list(self._early)

    def pardon(self) -> None:
        """Use all nodes again: without these nothing can run."""
        self.excluded, self._deaths = [], {}
        self._is_pardoned = True

    def _is_store_away(self, job: Job) -> bool:
        return self._has_worked and job.account is not None and job.account.exit_code == STORE_AWAY

    def _exclude(self, node: str) -> None:
        self.excluded.append(node)
        self._early = [job for job in self._early if job.row.node != node]
        log.warning(
            "node %s is avoided from now on: workers have died there %d times without a success in between",
            node,
            self._deaths[node],
        )
