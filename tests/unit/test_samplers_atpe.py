"""hyperopt's ATPE where hyperopt's own entry to it fails, and where it does not."""

import random
import sys
from datetime import datetime

import numpy as np
import pytest
from hyperopt import atpe, hp, trials_from_docs

from hpcho.errors import UsageError
from hpcho.experiment.schema import SamplerSpec
from hpcho.samplers import build, check_workers
from hpcho.samplers.history import seed_for
from hpcho.samplers.hyperopt_sampler import domain_of
from hpcho.trial import Result, Trial, TrialState, to_document

_NOW = datetime(2024, 1, 1)  # noqa: DTZ001 - naive, as hyperopt keeps times


class Graph:
    def __init__(self, make):
        self.hyperopt = make


def sampler_of(make):
    return build(SamplerSpec(name="atpe"), Graph(make))


def grow(sampler, count, loss):
    trials = []
    for tid in range(count):
        (vals,) = sampler.suggest(trials, 1, 7)
        trials.append(Trial(tid=tid, state=TrialState.DONE, version=1, vals=vals, result=Result(loss(vals))))
    return trials


def flat():
    return {"x": hp.uniform("x", -3, 3), "lr": hp.loguniform("lr", -9, 0), "k": hp.choice("k", [1, 2, 3])}


def flat_loss(vals):
    return (vals["x"][0] - 1) ** 2 + abs(np.log(vals["lr"][0]) + 4) + vals["k"][0] - 3


@pytest.mark.slow
def test_a_long_run_of_one_worker_repeats_and_finds_the_minimum():
    trials = grow(sampler_of(flat), 45, flat_loss)
    assert [trial.vals for trial in trials] == [trial.vals for trial in grow(sampler_of(flat), 45, flat_loss)]
    assert min(trial.loss for trial in trials) < min(trial.loss for trial in trials[:10])


def test_points_are_those_of_hyperopts_own_entry_where_that_one_works():
    trials = grow(sampler_of(flat), 30, flat_loss)
    space = Graph(flat)
    for count in (0, 5, 29):
        documents = [to_document(trial, "") | {"book_time": _NOW, "refresh_time": _NOW} for trial in trials[:count]]
        seed = seed_for(7, count)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - the generator that hyperopt draws from
        with np.errstate(all="ignore"):
            (theirs,) = atpe.suggest([count], domain_of(space), trials_from_docs(documents, validate=False), seed)
        assert theirs["misc"]["vals"] == trials[count].vals


def test_parameters_that_few_trials_have_are_no_trouble():
    def space():
        return hp.choice("c", [{f"x{i}": hp.uniform(f"x.{i}.y", 0, 1)} for i in range(8)])

    trials = grow(sampler_of(space), 40, lambda vals: 1 - sum(values[0] for values in vals.values() if values))
    assert all(sum(map(len, trial.vals.values())) == 2 for trial in trials)


def test_pending_and_failed_trials_are_left_out():
    sampler = sampler_of(flat)
    trials = grow(sampler, 15, flat_loss)
    (vals,) = sampler.suggest(trials, 1, 1)
    beside = [
        Trial(tid=-9 + state, state=state, version=0, vals=vals)
        for state in (TrialState.NEW, TrialState.RUNNING, TrialState.ERROR, TrialState.CANCEL)
    ]
    failed = Trial(tid=-1, state=TrialState.DONE, version=1, vals=vals, result=Result(None, "fail"))
    assert sampler.suggest([*beside, failed, *trials], 1, 1) == [vals]


def test_nothing_is_written_into_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grow(sampler_of(flat), 12, flat_loss)
    assert list(tmp_path.iterdir()) == []


def test_more_than_one_worker_is_refused_with_the_reason():
    check_workers("atpe", 1)
    with pytest.raises(
        UsageError, match=r"sampler atpe works with one worker only, and there may be 2: .*still running"
    ):
        check_workers("atpe", 2)


def test_pchoice_is_refused_by_its_name():
    with pytest.raises(UsageError, match="sampler atpe knows no pchoice, which 'p' uses"):
        sampler_of(lambda: hp.pchoice("p", [(0.1, 1), (0.9, 2)]))


@pytest.mark.parametrize("package", ["lightgbm", "sklearn"])
def test_a_missing_extra_is_named_with_the_command_that_installs_it(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError) as refused:
        sampler_of(flat)
    assert package in str(refused.value)
    assert 'pip install "hpcho[atpe]"' in str(refused.value)
