"""What a worker works for where hyperopt's own ``fmin`` drives: trials and a pickled objective in a MongoDB."""

from __future__ import annotations

import logging
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcho.experiment.schema import Retries, TrialSpec
from hpcho.store.stock import StockStore
from hpcho.worker.duty import SERVER
from hpcho.worker.process import Plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcho.jobdir import JobDir
    from hpcho.pruners import Rule
    from hpcho.store import TrialStore
    from hpcho.store.stock import Connection
    from hpcho.trial import Vals

__all__ = ["FminDuty"]

log = logging.getLogger(__name__)

FRESH_S = 10.0
"""How long a worker without a trial goes by what it knows of the objective."""


class FminDuty:
    """The trials of ``exp_key``. A failure is final, as with hyperopt's own workers; the end of a job is no failure."""

    pace = SERVER
    rule: Rule | None = None
    disk_first = False

    def __init__(self, connect: Callable[[], Connection], exp_key: str, jobdir: JobDir, source: Path) -> None:
        self.name = exp_key
        self.jobdir = jobdir
        self.trial = TrialSpec()
        self.retries = Retries(objective=0, timeout=0, oom=0, worker=0)
        self.mem_gb: float | None = None
        self._connect = connect
        self._source = source
        self._pickles = tempfile.TemporaryDirectory(prefix="hpcho-")
        self._domain_id: str | None = None
        self._looked_at = 0.0

    def close(self) -> None:
        """Remove what it has unpacked."""
        self._pickles.cleanup()

    def open_store(self) -> TrialStore:
        """The experiment's part of the database."""
        connection = self._connect()
        try:
            return StockStore(connection, self.name)
        except BaseException:
            connection.client.close()
            raise

    def plan(self, mark: str) -> Plan:
        """Without an objective: the store has it."""
        return Plan({}, self._source, isolate=False, job_dir=self.jobdir.path, mark=mark)

    def objective(self, store: TrialStore, *, fresh: bool) -> dict[str, Any] | None:
        """The domain that is in the database now, in a file; None while there is none."""
        assert isinstance(store, StockStore)
        if not fresh and self._domain_id is not None and time.monotonic() < self._looked_at + FRESH_S:
            return self._spec(self._domain_id)
        present = store.domain_id()
        self._looked_at = time.monotonic()
        if present != self._domain_id:
            data = None if present is None else store.domain(present)
            self._domain_id = None if data is None else present
            log.info("the objective is %s", self._domain_id or "not there: waiting for its driver")
            if data is not None:
                self._file(present).write_bytes(data)
        return None if self._domain_id is None else self._spec(self._domain_id)

    def params(self, vals: Vals) -> dict[str, Any]:
        """The domain makes its own of the point."""
        del vals
        return {}

    def _spec(self, domain_id: str) -> dict[str, Any]:
        return {"fmin": str(self._file(domain_id))}

    def _file(self, domain_id: str | None) -> Path:
        return Path(self._pickles.name) / f"{domain_id}.pickle"
