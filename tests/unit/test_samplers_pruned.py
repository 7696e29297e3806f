"""What auto makes of trials that were pruned."""

import numpy as np
import pytest

from hpcho import space
from hpcho.samplers.coordinates import Coordinates
from hpcho.samplers.memory import Kind, Memory, medians
from hpcho.trial import Report, Result, Trial, TrialState


def made(tid, losses, *, pruned=False, x=0.5, loss=None, **fields):
    reports = tuple(Report(step, value) for step, value in enumerate(losses, 1))
    result = Result(losses[-1] if loss is None else loss, pruned=pruned)
    fields = {"state": TrialState.DONE, "result": result, **fields}
    return Trial(tid=tid, version=1, vals={"x": [x]}, reports=reports, **fields)


@pytest.fixture
def memory():
    return Memory(Coordinates(space.build({"x": {"float": [0, 1]}})))


WHOLE = [made(0, [5.0, 4.0, 1.0]), made(1, [6.0, 5.0, 2.0]), made(2, [8.0, 7.0, 5.0])]


def counted(memory, *pruned):
    memory.update([*WHOLE, *pruned])
    return memory.losses[len(WHOLE) :].tolist()


def test_a_pruned_trial_counts_as_if_it_had_gained_what_whole_ones_have(memory):
    # from the second step on, the median gain is -3
    assert counted(memory, made(3, [5.5, 4.5], pruned=True)) == [1.5]


def test_it_is_never_better_than_the_best_whole_one(memory):
    assert counted(memory, made(3, [5.0, 3.0], pruned=True)) == [1.0]


def test_it_is_never_worse_than_their_median(memory):
    assert counted(memory, made(3, [100.0], pruned=True)) == [2.0]


def test_what_whole_trials_have_gained_is_looked_at_anew(memory):
    pruned = made(3, [5.5, 4.5], pruned=True)
    assert counted(memory, pruned) == [1.5]
    memory.update([*WHOLE, pruned, made(4, [5.0, 5.0, 4.5]), made(5, [5.0, 5.0, 4.5])])
    assert memory.losses[3] == pytest.approx(2.5)  # a gain of -2 now


def test_where_few_are_whole_its_loss_is_all_there_is(memory):
    memory.update([WHOLE[0], made(1, [9.0], pruned=True, loss=9.0)])
    assert memory.losses.tolist() == [1.0, 5.0]


def test_an_objective_that_returns_something_else_is_taken_at_its_word(memory):
    trials = [made(tid, [5.0, 4.0], loss=loss) for tid, loss in enumerate([1.0, 2.0, 3.0])]
    memory.update([*trials, made(3, [0.5], pruned=True, loss=1.5)])
    assert memory.losses[3] == 1.5


def test_one_that_was_promoted_counts_until_its_successor_is_done(memory):
    pruned = made(3, [5.5, 4.5], pruned=True, x=0.25)
    going = made(4, [5.5, 4.5], x=0.25, parent=3, state=TrialState.RUNNING, result=None)
    memory.update([*WHOLE, pruned, going])
    assert memory.kinds[3:].tolist() == [Kind.LOSS, Kind.PENDING]
    memory.update([*WHOLE, pruned, made(4, [5.5, 4.5, 1.25], x=0.25, parent=3)])
    assert memory.kinds[3:].tolist() == [Kind.NOTHING, Kind.LOSS]
    assert np.isinf(memory.rows[3]).all()


def test_medians_leave_nan_aside():
    nan = np.nan
    rows = np.array([[1.0, nan, 3.0, nan], [2.0, 5.0, nan, nan], [4.0, 7.0, nan, nan]])
    assert medians(rows).tolist() == [2.0, 6.0, 3.0, 0.0]
    assert medians(rows[:0]).tolist() == [0.0] * 4
