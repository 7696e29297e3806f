"""What samplers make of other experiments' trials."""

import json
import statistics

import pytest

from hpcho import space as spaces
from hpcho.errors import UsageError
from hpcho.experiment.schema import SamplerSpec
from hpcho.jobdir import JobDir
from hpcho.samplers import Knowledge, build, read_knowledge
from hpcho.samplers.knowledge import Informed, write_knowledge
from hpcho.trial import Result, Trial, TrialState

SPACE = {
    "x": {"float": [0, 1]},
    "y": {"float": [0, 1]},
    "kind": {"choice": ["plain", {"rich": {"m": {"float": [0, 1]}}}]},
}
INFORMED = ("auto", "tpe", "anneal", "optuna:TPESampler", "optuna:CmaEsSampler")


def space():
    return spaces.build(SPACE)


def loss_of(vals):
    return abs(vals["x"][0] - 0.2) + abs(vals["y"][0] - 0.8) + (0.5 if vals["m"] else 0.0)


def done(tid, vals, loss):
    times = {"created_at": tid + 0.5, "finished_at": tid + 1.0}
    return Trial(tid=tid, state=TrialState.DONE, version=1, vals=vals, result=Result(loss), **times)


def grow(sampler, count, seed=1, loss=loss_of, trials=()):
    trials = list(trials)
    for tid in range(len(trials), count):
        (vals,) = sampler.suggest(trials, 1, seed)
        trials.append(done(tid, vals, loss(vals)))
    return trials


def known(loss=loss_of, count=40, seed=9):
    trials = grow(build(SamplerSpec(name="random"), space()), count, seed, loss)
    return Knowledge("old", count, tuple((trial.vals, trial.loss) for trial in trials))


def sampler(name, *knowledge):
    return build(SamplerSpec(name=name), space(), knowledge)


@pytest.mark.parametrize("name", INFORMED)
def test_the_same_arguments_give_the_same_points_and_the_knowledge_matters(name):
    trials = grow(sampler("random"), 12)
    used = sampler(name, known())
    used.suggest(trials[:5], 2, 3)
    points = used.suggest(trials, 3, 5)
    assert points == sampler(name, known()).suggest(trials, 3, 5)
    assert points != sampler(name).suggest(trials, 3, 5)
    assert len(sampler(name, known()).suggest([], 4, 5)) == 4


def test_random_makes_nothing_of_it():
    assert sampler("random", known()).suggest([], 5, 1) == sampler("random").suggest([], 5, 1)


def test_what_has_nothing_in_it_changes_nothing():
    nothing = Knowledge("old", 3, (), {"failed": 3})
    for name in ("auto", "tpe"):
        assert grow(sampler(name, nothing), 12) == grow(sampler(name), 12)


# -- auto


def best_of_first(knowledge, first=3, seeds=range(5), loss=loss_of):
    return statistics.median(
        min(trial.loss for trial in grow(sampler("auto", *knowledge), first, seed, loss)) for seed in seeds
    )


def test_auto_begins_where_others_were_best():
    assert best_of_first([known()]) < 0.5 * best_of_first([])


@pytest.mark.parametrize(("factor", "shift"), [(1000.0, -5e6), (1e-6, 3.0)])
def test_the_scale_of_anothers_losses_does_not_mislead(factor, shift):
    scaled = known(lambda vals: factor * loss_of(vals) + shift)
    assert best_of_first([scaled]) < 0.5 * best_of_first([])
    ours, theirs = (grow(sampler("auto", k), 4) for k in (known(), scaled))
    for one, other in zip(ours, theirs, strict=True):
        assert one.vals["x"] == pytest.approx(other.vals["x"], abs=0.15)


def test_knowledge_that_is_wrong_here_is_soon_forgotten():
    wrong = known(lambda vals: -loss_of(vals))
    found = [min(trial.loss for trial in grow(sampler("auto", wrong), 25, seed)) for seed in range(3)]
    assert statistics.median(found) < 0.1


def test_of_two_sources_the_one_that_holds_here_counts():
    right, wrong = known(), known(lambda vals: -loss_of(vals), seed=3)
    late = [trial.loss for trial in grow(sampler("auto", wrong, right), 14)[8:]]
    assert statistics.median(late) < 0.25


def test_others_points_may_come_here_too_and_no_point_of_this_experiment_comes_twice():
    small = spaces.build({"n": {"int": [1, 6]}})
    knowledge = Knowledge("old", 6, tuple(({"n": [float(n)]}, float(n)) for n in range(1, 7)))
    trials = grow(build(SamplerSpec(), small, [knowledge]), 6, loss=lambda vals: vals["n"][0])
    assert sorted(trial.vals["n"][0] for trial in trials) == [1, 2, 3, 4, 5, 6]
    assert trials[0].vals["n"] == [1]


@pytest.mark.parametrize("count", [1, 2, 3, 400])
def test_few_or_many_of_anothers_trials_are_no_trouble(count):
    assert len(grow(sampler("auto", known(count=count)), 6)) == 6


def test_equal_losses_elsewhere_are_no_trouble():
    assert len(grow(sampler("auto", known(lambda vals: 1.0)), 6)) == 6


# -- the others


class Seeing:
    """A sampler that keeps what it was shown."""

    name, uses_history, max_workers = "seeing", True, None

    def suggest(self, trials, n, seed):
        self.seen = list(trials)
        return []


def shown(knowledge, trials):
    seeing = Seeing()
    Informed(seeing, knowledge).suggest(trials, 1, 0)
    return seeing.seen


def test_others_trials_come_first_as_finished_ones_with_ids_below_zero():
    knowledge = known(count=5)
    seen = shown([knowledge, knowledge], grow(sampler("random"), 2))
    assert [trial.tid for trial in seen] == [*range(-10, 0), 0, 1]
    assert all(trial.state is TrialState.DONE for trial in seen)
    assert [trial.loss for trial in seen[:5]] == [loss for _, loss in knowledge.points]


def test_others_losses_are_brought_to_the_scale_of_this_experiment_once_it_has_one():
    trials = grow(sampler("random"), 40)
    knowledge = known(lambda vals: 100 * loss_of(vals) + 7000)
    assert min(trial.loss for trial in shown([knowledge], trials[:3])[:40]) > 7000
    theirs = [trial.loss for trial in shown([knowledge], trials)[:40]]
    assert statistics.median(theirs) == pytest.approx(statistics.median(trial.loss for trial in trials), abs=0.3)
    assert sorted(range(40), key=theirs.__getitem__) == sorted(range(40), key=lambda i: knowledge.points[i][1])


def test_others_trials_are_the_same_objects_until_the_scale_changes():
    seeing = Seeing()
    informed, trials = Informed(seeing, [known(count=5)]), grow(sampler("random"), 9)
    informed.suggest(trials[:6], 1, 0)
    before = seeing.seen[0]
    informed.suggest(trials[:7], 1, 0)
    assert seeing.seen[0] is before
    informed.suggest(trials[:9], 1, 0)
    assert seeing.seen[0] is not before


# -- kept


def test_it_is_kept_in_the_job_directory_as_it_is(tmp_path):
    knowledge = Knowledge("old", 7, known(count=3).points, {"failed": 4})
    write_knowledge(JobDir(tmp_path), [knowledge])
    assert read_knowledge(JobDir(tmp_path)) == (knowledge,)
    assert read_knowledge(JobDir(tmp_path / "other")) == ()


@pytest.mark.parametrize("text", ["[{", '[{"place": "old"}]', "3"])
def test_a_damaged_file_is_told(tmp_path, text):
    JobDir(tmp_path).knowledge.write_text(text)
    with pytest.raises(UsageError, match=r"knowledge\.json is damaged .* or move it away to go on without"):
        read_knowledge(JobDir(tmp_path))


def test_it_says_what_is_used_and_why_the_rest_is_not():
    points = known(count=2).points
    words = Knowledge("old.yaml", 9, points, {"with x outside this space": 5, "failed": 2}).words
    assert words == ("warm_start: 2 of 9 trials of old.yaml are used; not used: 5 with x outside this space, 2 failed")
    assert Knowledge("old.yaml", 2, points).words == "warm_start: 2 of 2 trials of old.yaml are used"
    assert Knowledge("old.yaml", 3, (), {"unfinished": 3}).words == (
        "warm_start: old.yaml has nothing to begin with: 3 unfinished"
    )
    assert json.loads(json.dumps(Knowledge("old", 2, points).to_json()))["trials"][0]["loss"] == points[0][1]
