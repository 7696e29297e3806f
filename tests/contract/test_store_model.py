"""Any sequence of calls, stale ones included, leaves a store as a small model of the contract says."""

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from store_processes import OPENERS, Place

from hpcho.errors import ClaimLost
from hpcho.store import MOVES
from hpcho.trial import Cause, Draft, Failure, Owner, Report, Result, Trial, TrialState

OWNERS = [Owner("a", 1), Owner("b", 2)]
LOST = Failure(Cause.NODE, "gone")
STEPS = 40


@dataclass
class Modelled:
    """What a trial must be."""

    state: TrialState = TrialState.NEW
    version: int = 0
    owner: Owner | None = None
    beat: int = 0
    loss: float | None = None
    causes: list[Cause | None] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)

    def end(self, state, step, owner=None, causes=(), loss=None):
        self.state, self.owner, self.loss = state, owner, loss
        self.version += step
        self.causes += causes

    def describes(self, trial: Trial):
        loss = None if trial.result is None else trial.result.loss
        return (
            (self.state, self.version, self.owner, self.beat, self.loss)
            == (trial.state, trial.version, trial.owner, trial.beat, loss)
            and self.causes == [attempt.cause for attempt in trial.attempts]
            and self.reports == list(trial.reports)
        )


class StoreMachine(RuleBasedStateMachine):
    """Holds every Trial object it was ever given, as a forgetful worker would, and writes with any of them."""

    def __init__(self, kind):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="hpcho-model-")
        self.place = Place(kind, Path(self.folder.name))
        self.store = self.place.open()
        self.model, self.held, self.seen, self.records, self.cursor = {}, [], {}, {}, None

    def teardown(self):
        self.store.close()
        self.place.remove()
        self.folder.cleanup()

    def draw_held(self, data):
        """Any trial held, of any age; every other time one that is as its holder believes."""
        fresh = [trial for trial in self.held if self.stands(trial, trial.state)]
        stale_too = st.sampled_from(self.held)
        return data.draw(st.sampled_from(fresh) | stale_too if fresh else stale_too)

    def stands(self, trial, state):
        modelled = self.model[trial.tid]
        return (modelled.version, modelled.state, modelled.owner) == (trial.version, state, trial.owner)

    def try_write(self, trial, expected, write):
        """``write`` succeeds just when the model says that ``trial`` still is as ``expected`` of it."""
        if self.stands(trial, expected):
            written = write()
            if written is not None:
                self.held.append(written)
            return self.model[trial.tid]
        with pytest.raises(ClaimLost):
            write()
        return None

    @initialize()
    def begin(self):
        self.add(2)
        self.claim(OWNERS[0])

    @rule(n=st.integers(0, 2))
    def add(self, n):
        added = self.store.add([Draft({"x": [1.0]})] * n)
        first = max(self.model, default=added[0].tid - 1 if added else 0) + 1
        assert [trial.tid for trial in added] == list(range(first, first + n))
        self.model.update({trial.tid: Modelled() for trial in added})
        self.held += added

    @rule(owner=st.sampled_from(OWNERS))
    def claim(self, owner):
        trial = self.store.claim(owner)
        new = [tid for tid, modelled in self.model.items() if modelled.state is TrialState.NEW]
        if trial is None:
            assert not new
            return
        assert trial.tid == min(new)
        modelled = self.model[trial.tid]
        modelled.state, modelled.owner, modelled.beat = TrialState.RUNNING, owner, 0
        self.held.append(trial)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), losses=st.lists(st.floats(-1, 1), max_size=3))
    def heartbeat(self, data, losses):
        trial = self.draw_held(data)
        reports = [Report(i, loss) for i, loss in enumerate(losses)]
        if modelled := self.try_write(trial, TrialState.RUNNING, lambda: self.store.heartbeat(trial, reports)):
            modelled.beat += 1
            modelled.reports += reports

    @precondition(lambda self: self.held)
    @rule(data=st.data(), loss=st.floats(-1, 1))
    def finish(self, data, loss):
        trial = self.draw_held(data)
        if modelled := self.try_write(trial, TrialState.RUNNING, lambda: self.store.finish(trial, Result(loss))):
            modelled.end(TrialState.DONE, 1, trial.owner, [None], loss)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), retry=st.booleans())
    def fail(self, data, retry):
        trial = self.draw_held(data)
        if modelled := self.try_write(trial, TrialState.RUNNING, lambda: self.store.fail(trial, LOST, retry=retry)):
            to, owner = (TrialState.NEW, None) if retry else (TrialState.ERROR, trial.owner)
            modelled.end(to, 1, owner, [LOST.cause])

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data):
        trial = self.draw_held(data)
        if modelled := self.try_write(trial, TrialState.RUNNING, lambda: self.store.release(trial)):
            modelled.end(TrialState.NEW, 1)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), to=st.sampled_from(TrialState), failed=st.booleans())
    def move(self, data, to, failed):
        trial = self.draw_held(data)
        loss = 0.5 if to is TrialState.DONE else None
        change = {"result": Result(loss)} if loss else {"failure": LOST} if failed else {}
        if (trial.state, to) not in MOVES:
            with pytest.raises(ValueError, match="cannot be moved"):
                self.store.move(trial, to, **change)
        elif modelled := self.try_write(trial, trial.state, lambda: self.store.move(trial, to, **change)):
            causes = [None] if loss else [LOST.cause] if failed else []
            modelled.end(to, 2, causes=causes, loss=loss)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def pretend(self, data):
        """Another worker that writes under its own name to a trial that it does not have."""
        trial = self.draw_held(data)
        stranger = replace(trial, owner=Owner("stranger", 3))
        with pytest.raises(ClaimLost):
            self.store.finish(stranger, Result(0.0))

    @rule(key=st.sampled_from("ab"), value=st.none() | st.integers(0, 2), expected=st.none() | st.integers(0, 2))
    def put(self, key, value, expected):
        fits = self.records.get(key) == expected
        assert self.store.put(key, value, expected=expected) == fits
        if fits:
            self.records[key] = value

    @rule()
    def follow(self):
        self.cursor, changed = self.store.changes(self.cursor)
        self.seen.update({trial.tid: trial for trial in changed})
        self.held += changed
        assert self.seen.keys() == self.model.keys()
        assert all(self.model[tid].describes(trial) for tid, trial in self.seen.items())

    @invariant()
    def stands_as_modelled(self):
        trials = self.store.changes()[1]
        assert [trial.tid for trial in trials] == sorted(self.model)
        assert all(self.model[trial.tid].describes(trial) for trial in trials)
        assert all(self.store.get(key) == value for key, value in self.records.items())


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(OPENERS))
def test_any_sequence_of_calls(kind, request):
    if kind == "mongo":
        request.getfixturevalue("mongo_url")
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(
        lambda: StoreMachine(kind),
        settings=settings(max_examples=80, stateful_step_count=STEPS, deadline=None, suppress_health_check=checks),
    )
