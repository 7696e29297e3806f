"""tpe, anneal, random and atpe as pure functions over trials, on hand-built hyperopt graphs."""

import json
import math
import random
import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hyperopt import Trials, anneal, fmin, hp, rand, tpe

from hpcho.experiment.schema import SamplerSpec
from hpcho.samplers import build, check_workers
from hpcho.samplers.history import History, seed_for
from hpcho.samplers.hyperopt_sampler import domain_of
from hpcho.trial import Attempt, Cause, Owner, Result, Trial, TrialState

NAMES = ("tpe", "anneal", "random", "atpe")
WITH_HISTORY = ("tpe", "anneal", pytest.param("atpe", marks=pytest.mark.slow))

LABELS = {"x", "lr", "units", "steps", "noise", "kind", "depth", "inner", "rate"}
INTEGERS = {"steps", "kind", "depth", "inner"}


class Graph:
    """As much of a search space as a sampler needs."""

    def __init__(self, make):
        self.hyperopt = make


def nested():
    return {
        "x": hp.uniform("x", -1, 1),
        "lr": hp.loguniform("lr", math.log(1e-5), math.log(1e-1)),
        "units": hp.quniform("units", 10, 200, 10),
        "steps": hp.randint("steps", 3, 9),
        "noise": hp.normal("noise", 0, 1),
        "kind": hp.choice(
            "kind",
            [
                "none",
                {"depth": hp.randint("depth", 4), "inner": hp.choice("inner", [1, {"rate": hp.uniform("rate", 0, 1)}])},
            ],
        ),
    }


def every_distribution():
    return [
        hp.uniform("uniform", 0, 1),
        hp.quniform("quniform", 0, 10, 2),
        hp.uniformint("uniformint", 1, 9),
        hp.loguniform("loguniform", -5, 0),
        hp.qloguniform("qloguniform", 0, 5, 1),
        hp.normal("normal", 0, 1),
        hp.qnormal("qnormal", 0, 3, 1),
        hp.lognormal("lognormal", 0, 1),
        hp.qlognormal("qlognormal", 0, 1, 1),
        hp.randint("randint", 5),
        hp.randint("below_zero", -5, 0),
        hp.choice("choice", [1, 2, 3]),
    ]


def sampler_of(name, make=nested, **options):
    return build(SamplerSpec(name=name, options=options), Graph(make))


def done(tid, vals, loss, *, status="ok"):
    return Trial(tid=tid, state=TrialState.DONE, version=1, vals=vals, result=Result(loss, status))


def in_state(tid, vals, state):
    return Trial(tid=tid, state=state, version=0, vals=vals)


def loss_of(vals):
    return sum(abs(values[0]) for values in vals.values() if values)


def grow(sampler, count, seed=1, loss=loss_of):
    """What one worker does: suggest, evaluate, suggest."""
    trials = []
    for tid in range(count):
        (vals,) = sampler.suggest(trials, 1, seed)
        trials.append(done(tid, vals, loss(vals)))
    return trials


@pytest.fixture(scope="module")
def history():
    return grow(sampler_of("random"), 30)


# -- what every sampler promises


@pytest.mark.parametrize("name", NAMES)
def test_the_first_point_comes_without_any_trial(name):
    (vals,) = sampler_of(name).suggest([], 1, 0)
    assert set(vals) == LABELS


@pytest.mark.parametrize("name", NAMES)
def test_points_are_plain_json_with_integers_where_integers_belong(name, history):
    for vals in sampler_of(name).suggest(history, 3, 5):
        assert json.loads(json.dumps(vals)) == vals
        for label, values in vals.items():
            assert all(type(value) is (int if label in INTEGERS else float) for value in values)
            assert all(math.isfinite(value) for value in values)


@pytest.mark.parametrize("name", NAMES)
def test_labels_of_options_not_taken_are_there_and_empty(name):
    trials = grow(sampler_of(name), 40)
    for vals in (trial.vals for trial in trials):
        assert set(vals) == LABELS
        assert [len(vals[label]) for label in ("x", "kind")] == [1, 1]
        assert len(vals["depth"]) == len(vals["inner"]) == vals["kind"][0]
        assert len(vals["rate"]) == (vals["inner"] == [1])
    assert {trial.vals["kind"][0] for trial in trials} == {0, 1}


@pytest.mark.parametrize("name", NAMES)
def test_the_same_arguments_give_the_same_points_whatever_was_asked_before(name, history):
    used = sampler_of(name)
    used.suggest(history[:7], 2, 9)
    used.suggest([], 1, 3)
    assert used.suggest(history, 3, 5) == sampler_of(name).suggest(history, 3, 5) == used.suggest(history, 3, 5)


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_result_under_the_same_version_is_noticed(name, history):
    changed = [replace(trial, result=Result(1000.0 - trial.loss)) for trial in history]
    used = sampler_of(name)
    used.suggest(history, 1, 5)
    assert used.suggest(changed, 1, 5) == sampler_of(name).suggest(changed, 1, 5)


@pytest.mark.parametrize("name", NAMES)
def test_another_seed_gives_other_points(name, history):
    assert sampler_of(name).suggest(history, 1, 5) != sampler_of(name).suggest(history, 1, 6)


@pytest.mark.parametrize("name", NAMES)
def test_asking_for_no_point_gives_none(name, history):
    assert sampler_of(name).suggest(history, 0, 5) == []


@pytest.mark.parametrize("name", NAMES)
def test_arguments_and_global_random_states_are_left_alone(name, history):
    def drawn():
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002 - the global generator is meant
        return lambda: (random.random(), np.random.random())  # noqa: NPY002 - the global generator is meant

    expected = drawn()()
    sampler, before, draw = sampler_of(name), list(history), drawn()
    sampler.suggest(history, 2, 5)
    assert history == before
    assert draw() == expected


@pytest.mark.parametrize("name", NAMES)
def test_failed_and_cancelled_trials_count_only_as_used_ids(name, history):
    """Their params say nothing, but the next trial's id, and so its seed, is beyond theirs."""
    lost = [in_state(30, history[0].vals, TrialState.ERROR), in_state(31, history[0].vals, TrialState.CANCEL)]
    elsewhere = [in_state(30, history[9].vals, TrialState.CANCEL), in_state(31, history[9].vals, TrialState.ERROR)]
    sampler = sampler_of(name)
    assert sampler.suggest([*history, *lost], 1, 5) == sampler.suggest([*history, *elsewhere], 1, 5)
    assert sampler.suggest([*history, *lost], 1, 5) != sampler.suggest(history, 1, 5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("state", [TrialState.ERROR, TrialState.CANCEL, TrialState.NEW, TrialState.RUNNING])
def test_a_history_without_any_result_still_gives_points(name, state, history):
    trials = [in_state(trial.tid, trial.vals, state) for trial in history]
    assert len(sampler_of(name).suggest(trials, 2, 5)) == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_history_of_done_trials_that_all_say_fail_still_gives_points(name, history):
    trials = [done(trial.tid, trial.vals, None, status="fail") for trial in history]
    assert len(sampler_of(name).suggest(trials, 2, 5)) == 2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("loss", [0.0, 1.0, -1e9, 1e300])
def test_losses_that_are_all_equal_or_huge_are_no_trouble(name, loss):
    assert len(grow(sampler_of(name), 24, loss=lambda vals: loss)) == 24


@pytest.mark.parametrize("name", ["tpe", "anneal", "random", pytest.param("atpe", marks=pytest.mark.slow)])
def test_every_distribution_of_hyperopt_gives_values_within_its_bounds(name):
    for trial in grow(sampler_of(name, every_distribution), 60):
        (value,) = zip(*trial.vals.values(), strict=True)
        vals = dict(zip(trial.vals, value, strict=True))
        assert 0 <= vals["uniform"] <= 1
        assert vals["quniform"] in {0, 2, 4, 6, 8, 10}
        assert vals["uniformint"] in set(range(1, 10))
        assert math.exp(-5) <= vals["loguniform"] <= 1
        assert 1 <= vals["qloguniform"] <= round(math.exp(5))
        assert vals["qnormal"] == round(vals["qnormal"])
        assert vals["lognormal"] > 0
        assert vals["qlognormal"] >= 0
        assert vals["randint"] in range(5)
        assert vals["below_zero"] in range(-5, 0)
        assert vals["choice"] in range(3)


@pytest.mark.parametrize("name", WITH_HISTORY)
def test_samplers_with_history_go_where_losses_are_small(name):
    def later_losses(sampler):
        trials = grow(sampler, 60, seed=3, loss=lambda vals: abs(vals["x"][0] - 0.3))
        return sum(trial.loss for trial in trials[30:])

    def space():
        return [hp.uniform("x", -10, 10)]

    assert later_losses(sampler_of(name, space)) < 0.9 * later_losses(sampler_of("random", space))


# -- batches and pending trials


@pytest.mark.parametrize("name", ["random", "tpe", "anneal"])
def test_two_at_once_are_the_two_one_by_one(name, history):
    sampler = sampler_of(name)
    both = sampler.suggest(history, 2, 5)
    first = sampler.suggest(history, 1, 5)
    pending = in_state(30, first[0], TrialState.NEW)
    assert both == first + sampler.suggest([*history, pending], 1, 5)


@pytest.mark.parametrize("name", NAMES)
def test_points_of_one_batch_differ(name, history):
    first, second = sampler_of(name).suggest(history, 2, 5)
    assert first != second


def test_a_pending_trial_changes_what_tpe_suggests_and_running_counts_as_new(history):
    sampler = sampler_of("tpe", n_startup_jobs=5)

    def points(state):
        trials = [*history, in_state(30, history[0].vals, state)]
        return [sampler.suggest(trials, 1, seed) for seed in range(10)]

    assert points(TrialState.NEW) == points(TrialState.RUNNING) != points(TrialState.CANCEL)


def test_hyperopt_takes_a_pending_trial_as_infinitely_bad(history):
    sampler = sampler_of("tpe")
    pending = in_state(30, history[0].vals, TrialState.NEW)
    assert sampler.suggest([*history, pending], 1, 5) == sampler.suggest(
        [*history, done(30, history[0].vals, math.inf)], 1, 5
    )


def test_random_looks_at_nothing_but_the_seed_and_the_id(history):
    sampler = sampler_of("random")
    other = [done(trial.tid, history[0].vals, 0.0) for trial in history]
    assert sampler.suggest(history, 2, 5) == sampler.suggest(other, 2, 5)
    assert sampler.suggest([], 32, 5)[30:] == sampler.suggest(history, 2, 5)


def test_seeds_of_trials_are_independent():
    seeds = {seed_for(seed, tid) for seed in range(50) for tid in range(50)}
    assert len(seeds) == 2500


# -- the same as hyperopt


class Seeds:
    """Gives hyperopt's ``fmin`` the seeds that hpcho derives."""

    def __init__(self, seed):
        self.seed, self.tid = seed, -1

    def integers(self, _high):
        self.tid += 1
        return seed_for(self.seed, self.tid)


@pytest.mark.parametrize(
    ("name", "suggest", "options"),
    [
        ("tpe", tpe.suggest, {}),
        ("tpe", tpe.suggest, {"n_startup_jobs": 5, "n_EI_candidates": 8, "gamma": 0.5, "prior_weight": 0.7}),
        ("anneal", anneal.suggest, {}),
        ("anneal", anneal.suggest, {"avg_best_idx": 1.5, "shrink_coef": 0.3}),
        ("random", rand.suggest, {}),
    ],
)
def test_points_are_those_of_hyperopts_own_loop_with_the_same_seeds(name, suggest, options):
    theirs = Trials()

    def objective(_params):
        return loss_of(theirs.trials[-1]["misc"]["vals"])

    with np.errstate(all="ignore"):
        fmin(
            objective,
            nested(),
            algo=partial(suggest, **options),
            max_evals=40,
            trials=theirs,
            rstate=Seeds(11),
            verbose=False,
        )
    ours = grow(sampler_of(name, **options), 40, seed=11)
    assert [trial.vals for trial in ours] == [document["misc"]["vals"] for document in theirs.trials]


@pytest.mark.parametrize(
    "make", [nested, every_distribution, lambda: hp.pchoice("p", [(0.1, 1), (0.9, hp.normal("n", 0, 1))])]
)
def test_random_draws_exactly_what_hyperopts_random_search_draws(make):
    space = Graph(make)
    domain, trials = domain_of(space), Trials()
    theirs = [rand.suggest([tid], domain, trials, seed_for(2, tid))[0]["misc"]["vals"] for tid in range(50)]
    assert build(SamplerSpec(name="random"), space).suggest([], 50, 2) == theirs


# -- the history


def test_documents_of_unchanged_trials_are_made_once(history):
    known = History()
    before = known.documents(history)
    finished = done(30, history[0].vals, 1.0)
    after = known.documents([*history, finished])
    assert all(a is b for a, b in zip(before, after, strict=False))
    assert after[-1]["result"] == {"loss": 1.0, "status": "ok"}


def test_a_requeued_trial_is_seen_in_its_new_state(history):
    known = History()
    attempt = Attempt(Owner("host", 1), 0.0, 1.0, Cause.TIMEOUT, "took too long")
    requeued = replace(history[3], state=TrialState.NEW, result=None, attempts=(attempt,))
    known.documents(history)
    (document,) = known.documents([requeued])
    assert document["state"] == 0
    assert document["result"] == {"status": "new"}


# -- workers


@pytest.mark.parametrize("name", ["tpe", "anneal", "random"])
def test_any_number_of_workers_may_share_these(name):
    check_workers(name, 1000)


def test_only_random_may_be_asked_far_ahead():
    assert [name for name in NAMES if not sampler_of(name).uses_history] == ["random"]


def test_samplers_are_built_without_importing_hyperopt_or_numpy():
    code = (
        "import sys\n"
        "from hpcho.experiment.schema import SamplerSpec\n"
        "from hpcho.samplers import build\n"
        "for name in ('tpe', 'anneal', 'random'):\n"
        "    build(SamplerSpec(name=name), None)\n"
        "print([name for name in ('hyperopt', 'numpy', 'lightgbm') if name in sys.modules])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
