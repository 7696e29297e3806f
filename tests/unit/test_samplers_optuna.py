"""Optuna's samplers as pure functions over trials."""

import json
import logging
import math
import random
import warnings
from dataclasses import replace

import optuna
import pytest

from hpcho import space as spaces
from hpcho.errors import UsageError
from hpcho.experiment.schema import SamplerSpec
from hpcho.samplers import build
from hpcho.samplers.optuna_space import OptunaSpace
from hpcho.trial import Attempt, Cause, Result, Trial, TrialState

NAMES = ("CmaEsSampler", "NSGAIISampler", "QMCSampler", "RandomSampler", "TPESampler")
NOTING = ("CmaEsSampler", "NSGAIISampler", "QMCSampler")
LEARNING = ("CmaEsSampler", "NSGAIISampler", "TPESampler")

NESTED = {
    "x": {"float": [-1, 1]},
    "lr": {"float": [1e-5, 1e-1], "log": True},
    "units": {"int": [10, 200], "step": 10},
    "width": {"int": [1, 300], "log": True},
    "share": {"float": [0.1, 0.7], "step": 0.2},
    "kind": {
        "choice": [
            "none",
            {"deep": {"depth": {"int": [0, 3]}, "inner": {"choice": ["a", {"b": {"rate": {"float": [0, 1]}}}]}}},
        ]
    },
}
EXPRESSIONS = {
    name: {"hp": text}
    for name, text in {
        "uniform": "uniform(0, 1)",
        "quniform": "quniform(0, 10, 2)",
        "uniformint": "uniformint(1, 9)",
        "loguniform": "loguniform(-5, 0)",
        "qloguniform": "qloguniform(0, 5, 1)",
        "small": "qloguniform(-3, 5, 2)",
        "normal": "normal(0, 1)",
        "qnormal": "qnormal(0, 3, 1)",
        "lognormal": "lognormal(0, 1)",
        "qlognormal": "qlognormal(0, 1, 1)",
        "randint": "randint(5)",
        "below_zero": "randint(-5, 0)",
        "choice": "choice([1, 2, 3])",
        "pchoice": "pchoice([(0.0, 1), (0.25, 2), (0.75, 3)])",
    }.items()
}
SQUARE = {"x": {"float": [-5, 5]}, "y": {"float": [-5, 5]}}


def sampler_of(name, declared=NESTED, **options):
    return build(SamplerSpec(name=f"optuna:{name}", options=options), spaces.build(declared))


def done(tid, vals, loss, *, status="ok"):
    """A trial as one worker makes it: it is added when all before it have finished."""
    result = Result(loss, status)
    times = {"created_at": tid + 0.5, "finished_at": tid + 1.0}
    return Trial(tid=tid, state=TrialState.DONE, version=1, vals=vals, result=result, **times)


def failed(tid, vals):
    attempt = Attempt(None, 0.0, 1.0, Cause.OBJECTIVE, "it failed")
    times = {"created_at": tid + 0.5, "finished_at": tid + 1.0}
    return Trial(tid=tid, state=TrialState.ERROR, version=1, vals=vals, attempts=(attempt,), **times)


def in_state(tid, vals, state):
    return Trial(tid=tid, state=state, version=0, vals=vals, created_at=tid + 0.5)


def loss_of(vals):
    return vals["x"][0] ** 2 + (vals["kind"][0] - 1) ** 2 + sum(vals["rate"])


def distance(vals):
    return math.dist((vals["x"][0], vals["y"][0]), (1, 2))


def grow(sampler, count, seed=1, loss=loss_of, trials=()):
    trials = list(trials)
    for tid in range(len(trials), count):
        (vals,) = sampler.suggest(trials, 1, seed)
        trials.append(done(tid, vals, loss(vals)))
    return trials


@pytest.fixture(scope="module")
def history():
    return grow(sampler_of("RandomSampler"), 25)


# -- points


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("declared", [NESTED, EXPRESSIONS], ids=["nested", "expressions"])
def test_points_are_plain_json_within_the_space(name, declared):
    space = spaces.build(declared)
    for trial in grow(sampler_of(name, declared), 20, loss=lambda vals: sum(map(len, vals.values()))):
        assert json.loads(json.dumps(trial.vals)) == trial.vals
        assert set(trial.vals) == set(space.labels)
        params = space.decode(trial.vals)
        assert space.decode(space.encode(params, random.Random(0))) == params
        assert params.get("pchoice") != 1  # an option without weight is never taken


@pytest.mark.parametrize("name", NAMES)
def test_what_belongs_to_another_option_is_inactive(name):
    trials = grow(sampler_of(name), 30)
    for vals in [trial.vals for trial in trials]:
        assert len(vals["depth"]) == len(vals["inner"]) == vals["kind"][0]
        assert len(vals["rate"]) == (vals["inner"] == [1])
    assert {trial.vals["kind"][0] for trial in trials} == {0, 1}


def test_stored_points_and_params_of_optuna_are_two_ways_to_say_the_same():
    for declared in (NESTED, EXPRESSIONS):
        space = spaces.build(declared)
        theirs = OptunaSpace(space)
        for seed in range(20):
            vals = space.sample(random.Random(seed))
            params = theirs.params(vals)
            again = theirs.walk(lambda label, _, params=params: params[label])
            for label, stored in vals.items():
                assert again[label] == pytest.approx(stored, rel=1e-6, abs=1e-6)
            for label, distribution in theirs.distributions(params).items():
                assert distribution._contains(distribution.to_internal_repr(params[label]))


# -- purity


@pytest.mark.parametrize("name", NAMES)
def test_the_same_arguments_give_the_same_points_whatever_was_asked_before(name, history):
    used = sampler_of(name)
    used.suggest(history[:7], 2, 9)
    used.suggest([], 1, 3)
    assert used.suggest(history, 3, 5) == sampler_of(name).suggest(history, 3, 5) == used.suggest(history, 3, 5)
    assert used.suggest(history, 0, 5) == []


@pytest.mark.parametrize("name", [name for name in NAMES if name != "QMCSampler"])
def test_another_seed_gives_other_points(name, history):
    assert sampler_of(name).suggest(history, 1, 5) != sampler_of(name).suggest(history, 1, 6)


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_search_goes_on_as_if_it_had_not_been_interrupted(name):
    whole = grow(sampler_of(name), 24)
    assert grow(sampler_of(name), 24, trials=whole[:15]) == whole


@pytest.mark.parametrize("name", NAMES)
def test_two_at_once_are_the_two_one_by_one(name, history):
    sampler = sampler_of(name)
    first, second = sampler.suggest(history, 2, 5)
    assert first != second
    assert sampler.suggest([*history, in_state(25, first, TrialState.NEW)], 1, 5) == [second]


@pytest.mark.parametrize("name", LEARNING)
def test_changed_results_are_noticed(name, history):
    changed = [replace(trial, result=Result(1000.0 - trial.loss)) for trial in history]
    used = sampler_of(name)
    used.suggest(history, 1, 5)
    assert used.suggest(changed, 1, 5) == sampler_of(name).suggest(changed, 1, 5)


def test_trials_that_were_not_suggested_and_those_that_have_gone_are_noticed(history):
    used = sampler_of("TPESampler")
    used.suggest(history[:20], 4, 5)
    other = [*history[:20], replace(history[21], tid=20), in_state(21, history[20].vals, TrialState.RUNNING)]
    assert used.suggest(other, 2, 5) == sampler_of("TPESampler").suggest(other, 2, 5)
    fewer = [*history[:9], *history[10:]]
    assert used.suggest(fewer, 2, 5) == sampler_of("TPESampler").suggest(fewer, 2, 5)


# -- what Optuna is told


def test_pending_trials_are_running_failed_ones_are_failures_and_a_revived_one_runs_again(history):
    def states(sampler):
        trials = sampler._study.study.get_trials(deepcopy=False)
        return [trials[known.number].state.name for known in sampler._study._known.values()]

    sampler = sampler_of("TPESampler")
    trials = [
        *history[:3],
        in_state(3, history[3].vals, TrialState.NEW),
        in_state(4, history[4].vals, TrialState.RUNNING),
        failed(5, history[5].vals),
        done(6, history[6].vals, None, status="fail"),
        in_state(7, history[7].vals, TrialState.CANCEL),
    ]
    sampler.suggest(trials, 0, 1)
    assert states(sampler) == [*["COMPLETE"] * 3, "RUNNING", "RUNNING", "FAIL", "FAIL", "FAIL"]
    trials[3:6] = history[3], failed(4, history[4].vals), in_state(5, history[5].vals, TrialState.NEW)
    sampler.suggest(trials, 0, 1)
    assert states(sampler) == [*["COMPLETE"] * 4, "FAIL", "RUNNING", "FAIL", "FAIL"]


@pytest.mark.parametrize("name", NAMES)
def test_points_are_those_that_optuna_gives_by_ask_and_tell(name):
    """With the seeds that hpcho derives; a study of Optuna's own, and its own define-by-run."""
    from hpcho.samplers.history import seed_for

    study, theirs = optuna.create_study(), []
    for tid in range(25):
        given = {"seed": seed_for(1, tid) % 2**32}
        if name == "QMCSampler":  # one sequence
            given = {"seed": 1, "independent_sampler": optuna.samplers.RandomSampler(**given)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study.sampler = getattr(optuna.samplers, name)(**given)
            trial = study.ask()
            x, y = trial.suggest_float("x", -5, 5), trial.suggest_float("y", -5, 5)
            study.tell(trial, distance({"x": [x], "y": [y]}))
        theirs.append({"x": [x], "y": [y]})
    ours = grow(sampler_of(name, SQUARE), 25, loss=distance)
    assert [trial.vals for trial in ours] == theirs


@pytest.mark.parametrize("name", LEARNING)
def test_it_goes_where_losses_are_small(name):
    def later(sampler):
        return sum(trial.loss for trial in grow(sampler, 90, loss=distance)[60:])

    assert later(sampler_of(name, SQUARE)) < 0.9 * later(sampler_of("RandomSampler", SQUARE))


@pytest.mark.parametrize("name", NOTING)
def test_trials_that_somebody_else_has_proposed_are_taken_in(name):
    points = grow(sampler_of("RandomSampler", SQUARE), 20, loss=distance)
    assert len(grow(sampler_of(name, SQUARE), 30, loss=distance, trials=points)) == 30


@pytest.mark.parametrize("loss", [0.0, -1e9, 1e300])
@pytest.mark.parametrize("name", NAMES)
def test_losses_that_are_all_equal_or_huge_are_no_trouble(name, loss):
    assert len(grow(sampler_of(name), 14, loss=lambda vals: loss)) == 14


def test_options_are_those_of_optunas_class():
    spec = SamplerSpec.model_validate({"name": "optuna:TPESampler", "multivariate": True, "n_startup_trials": 3})
    assert spec.options == {"multivariate": True, "n_startup_trials": 3}
    space = spaces.build(SQUARE)
    plain, other = (
        grow(build(each, space), 8, loss=distance) for each in (SamplerSpec(name="optuna:TPESampler"), spec)
    )
    assert [trial.vals for trial in plain[:3]] == [trial.vals for trial in other[:3]]
    assert [trial.vals for trial in plain] != [trial.vals for trial in other]


def test_optuna_says_nothing_on_the_terminal_and_keeps_its_voice(history, capfd):
    level = logging.getLogger("optuna").level
    sampler_of("CmaEsSampler").suggest(history, 2, 1)
    sampler_of("TPESampler", multivariate=True, group=True).suggest(history, 2, 1)
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("optuna").level == level


# -- errors


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"multivariat": True}, "unexpected keyword argument 'multivariat'"),
        ({"n_startup_trials": "few"}, "'<' not supported between instances of 'int' and 'str'"),
        ({"gamma": 3}, "'int' object is not callable"),
        ({"group": True, "multivariate": False}, "``group`` option can only be enabled"),
    ],
)
def test_a_wrong_option_is_told_in_optunas_words_before_anything_is_run(options, said):
    with pytest.raises(UsageError, match=r"^sampler optuna:TPESampler: ") as caught:
        sampler_of("TPESampler", **options)
    assert said in str(caught.value)


def test_what_optuna_cannot_do_in_the_middle_of_a_run_is_told_with_the_way_out(history):
    sampler = sampler_of("CmaEsSampler", with_margin=True)  # Optuna's has no answer to conditional parameters
    with pytest.raises(UsageError, match=r"sampler optuna:CmaEsSampler cannot go on: ValueError: .*change `sampler:`"):
        sampler.suggest(history, 2, 1)


def test_a_missing_optuna_is_told_with_the_command_that_installs_it(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "hpcho.samplers.optuna_sampler", raising=False)
    with pytest.raises(UsageError, match=r"sampler optuna:TPESampler needs Optuna.*pip install \"hpcho\[optuna\]\""):
        sampler_of("TPESampler")


def test_what_a_sampler_needs_besides_is_told_before_anything_is_run(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UsageError, match=r"sampler optuna:GPSampler.*torch"):
        sampler_of("GPSampler")
