"""What a worker works for: an experiment of hpcho's, in its job directory."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from hpcho import objective, space
from hpcho.errors import StoreError, UsageError
from hpcho.experiment.schema import Experiment
from hpcho.pruners import rule_of
from hpcho.store import open_store
from hpcho.worker.process import Plan

if TYPE_CHECKING:
    from hpcho.experiment.schema import Retries, TrialSpec
    from hpcho.jobdir import JobDir
    from hpcho.pruners import Rule
    from hpcho.store import TrialStore
    from hpcho.trial import Vals

__all__ = ["NEAR", "SERVER", "Duty", "ExperimentDuty", "Pace"]


@dataclass(frozen=True)
class Pace:
    """How often a worker asks its store; times are in seconds, ``idle`` ones once it has had nothing for a while."""

    busy_s: float
    """The longest pause between two looks for a new trial."""
    idle_s: float
    control_s: float
    """How old may be what is known of the ``control`` record before a trial is taken."""
    idle_control_s: float


NEAR = Pace(0.1, 0.1, 0.05, 0.05)
"""For a database on this machine's disk: reading it for each of a thousand trials a second would be no use."""
SERVER = Pace(0.08, 0.56, 1.0, 5.0)
"""For one that a thousand workers share: two questions a second from each that is idle, and a new trial waits for
little more than half a second."""


class Duty(Protocol):
    """Where a worker finds its trials and their objective."""

    name: str
    jobdir: JobDir
    """Where trials have their folders, and the worker its log."""
    trial: TrialSpec
    retries: Retries
    mem_gb: float | None
    pace: Pace
    rule: Rule | None
    """What ends trials early."""
    disk_first: bool
    """Whether a result is written to the trial's folder before the store hears of it, and stays there."""

    def open_store(self) -> TrialStore:
        """The store; the caller closes it. Raises StoreError, also when it is somebody else's."""

    def plan(self, mark: str) -> Plan:
        """What children are started with, but for the objective where that comes from the store."""

    def objective(self, store: TrialStore, *, fresh: bool) -> dict[str, Any] | None:
        """The objective as children load it; None where there is none now. Not ``fresh``: seconds ago is good enough.

        Raises StoreError.
        """

    def params(self, vals: Vals) -> dict[str, Any]:
        """The params of a point."""


class ExperimentDuty:
    """The experiment in ``jobdir``. Raises UsageError where there is none, or one that cannot be read."""

    def __init__(self, jobdir: JobDir) -> None:
        record = jobdir.read_record()
        if record is None:
            raise UsageError(f"{jobdir.path}: no run yet (it has no {jobdir.record_file.name}): `hpcho run` makes one")
        experiment = Experiment.model_validate_json(json.dumps(record["experiment"]))
        templates = objective.templates(experiment.objective, jobdir.source)
        self.name = experiment.name
        self.jobdir = jobdir
        self.trial = experiment.trial
        self.retries = experiment.retries
        self.rule = rule_of(experiment.pruner)
        self.mem_gb = experiment.launcher.local.mem_gb if experiment.launcher.local else None
        self.params = space.build(experiment.space, templates).decode
        self.disk_first = experiment.mongo is not None
        self.pace = SERVER if self.disk_first else NEAR
        self._uuid = record["uuid"]
        self._objective: dict[str, Any] = experiment.objective.model_dump(mode="json")

    def open_store(self) -> TrialStore:
        """The one that the record names."""
        with contextlib.ExitStack() as on_error:
            store = open_store(self.jobdir)
            on_error.callback(store.close)
            identity = store.get("identity")
            if identity is not None and identity["uuid"] != self._uuid:
                raise StoreError(
                    f"the store of {self.jobdir.path} belongs to another experiment: "
                    "bring back the job directory that it was made with"
                )
            on_error.pop_all()
        return store

    def plan(self, mark: str) -> Plan:
        """The copy of the source that was made at the first run is what is evaluated."""
        return Plan(self._objective, self.jobdir.source, self.trial.isolate, self.jobdir.path, mark)

    def objective(self, store: TrialStore, *, fresh: bool) -> dict[str, Any]:
        """Always the same."""
        del store, fresh
        return self._objective
