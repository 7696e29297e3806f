"""What is pruned, when, and what goes on after all."""

import math
import statistics
from dataclasses import replace

import pytest

from hpcho.experiment.pruners import PrunerSpec
from hpcho.pruners import Judge, Peers, Rule, rule_of
from hpcho.trial import Report, Result, Trial, TrialState, rank


def rule(name="asha", **options):
    defaults = {"grace": 1} if name == "median" else {"grace": 1, "factor": 3}
    return Rule(PrunerSpec(name=name, **{**defaults, **options}))


def running(tid, losses=(), *, first=1, x=0.0, **fields):
    reports = tuple(Report(step, loss) for step, loss in enumerate(losses, first))
    return Trial(tid=tid, state=TrialState.RUNNING, version=0, vals={"x": [x]}, reports=reports, **fields)


def done(trial, *, pruned=False):
    return replace(trial, state=TrialState.DONE, result=Result(trial.reports[-1].loss, pruned=pruned))


def judged(of, losses, record, trial=None):
    """How many of the losses a trial is allowed to report."""
    judge = Judge(of, trial or running(99))
    for count, loss in enumerate(losses, 1):
        judge.hear(Report(count, loss))
        if judge.gives_up(record):
            return count
    return len(losses)


def peers(of, *trials):
    made = Peers(of)
    made.learn(trials)
    return made


# -- milestones --------------------------------------------------------------------------------------------------------


def test_rungs_lie_a_factor_apart_from_the_grace_on():
    assert rule(grace=2, factor=4).milestones(0, 200) == [2, 8, 32, 128]


def test_a_milestone_is_reached_with_the_first_step_that_is_as_far():
    assert rule(factor=3).milestones(0, 8) == [1, 3]
    assert rule(factor=3).milestones(0, 9) == [1, 3, 9]


def test_a_whole_trial_is_not_looked_at():
    assert rule(factor=3, max_steps=27).milestones(0, 27) == [1, 3, 9]


def test_the_medians_steps_are_all_at_first_and_few_later():
    steps = rule("median", grace=3).milestones(0, 10**6)
    assert steps[:8] == [3, 4, 5, 6, 7, 8, 9, 10]
    assert len(steps) < 140


def test_hyperbands_brackets_begin_at_every_rung_in_its_proportions():
    of = rule("hyperband", factor=3, max_steps=27)
    brackets = [of.bracket({"x": [i / 7]}) for i in range(6000)]
    shares = [brackets.count(bracket) / len(brackets) for bracket in range(4)]
    # s = 3, 2, 1, 0 begin with 27, 12, 6 and 4 trials (Li et al. 2018, table 1 has as many for R = 27)
    assert shares == pytest.approx([27 / 49, 12 / 49, 6 / 49, 4 / 49], abs=0.02)
    assert [of.milestones(bracket, 27) for bracket in range(4)] == [[1, 3, 9], [3, 9], [9], []]


# -- asha --------------------------------------------------------------------------------------------------------------


def test_the_best_third_goes_on():
    record = peers(rule(), *(running(tid, [loss]) for tid, loss in enumerate([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]))).record()
    assert record["cutoffs"] == {"0": {"1": 0.2}}
    assert judged(rule(), [0.2, 0.1], record) == 2
    assert judged(rule(), [0.21, 0.1], record) == 1


def test_nobody_is_pruned_before_enough_have_come():
    record = peers(rule(), running(0, [0.1]), running(1, [0.2])).record()
    assert judged(rule(), [9.0, 9.0], record) == 2


def test_what_could_not_be_decided_is_decided_later():
    judge, made = Judge(rule(), running(9)), peers(rule(), running(0, [0.1]))
    judge.hear(Report(1, 0.5))
    assert judge.is_open
    assert not judge.gives_up(made.record())
    made.learn([running(1, [0.2]), running(9, [0.5])])
    judge.hear(Report(2, 0.01))
    assert judge.gives_up(made.record())


def test_a_decision_stands():
    judge, made = Judge(rule(), running(9)), peers(rule(), *(running(tid, [0.5]) for tid in range(3)))
    judge.hear(Report(1, 0.5))
    assert not judge.gives_up(made.record())
    made.learn([running(tid, [0.1]) for tid in range(10, 20)])
    judge.hear(Report(2, 0.5))
    assert not judge.is_open
    assert not judge.gives_up(made.record())


def test_every_rung_has_its_own_cutoff():
    record = peers(rule(), *(running(tid, [0.1 * tid, 9, 0.5]) for tid in range(3))).record()
    assert record["cutoffs"] == {"0": {"1": 0.0, "3": 0.5}}


def test_a_loss_that_is_no_number_is_the_worst_and_does_not_go_on():
    assert judged(rule(), [math.nan, 0.1], None) == 1
    record = peers(rule(), running(0, [math.nan]), running(1, [0.5]), running(2, [math.inf])).record()
    assert record["cutoffs"] == {"0": {"1": 0.5}}


def test_the_cutoffs_of_other_settings_do_not_count():
    record = peers(rule(), *(running(tid, [0.1]) for tid in range(3))).record()
    assert judged(rule(factor=2), [0.5, 0.5], record) == 2


def test_steps_that_leave_rungs_out_count_at_all_of_them():
    made = Peers(rule())
    made.learn([running(tid, [0.1], first=10) for tid in range(3)])
    assert set(made.record()["cutoffs"]["0"]) == {"1", "3", "9"}


def test_whole_trials_tell_where_the_end_is():
    made = peers(rule(), *(running(tid, [0.1] * 9) for tid in range(3)))
    assert "9" in made.record()["cutoffs"]["0"]
    made.learn([done(running(0, [0.1] * 9))])
    assert set(made.record()["cutoffs"]["0"]) == {"1", "3"}


# -- promotion ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def paused():
    """0.3 was the worst of three and was paused; then worse ones came."""
    made = peers(rule(), running(0, [0.1]), running(1, [0.2]), done(running(2, [0.3]), pruned=True))
    made.learn([done(running(tid, [1.0]), pruned=True) for tid in range(3, 9)])
    return made


def test_a_paused_trial_is_promoted_once_it_is_among_the_best(paused):
    assert [trial.tid for trial in paused.promotable()] == [2]


def test_it_is_promoted_once(paused):
    paused.learn([running(9, [0.3], parent=2)])
    assert list(paused.promotable()) == []


def test_one_that_was_promoted_counts_as_the_trial_that_it_goes_on_from(paused):
    before = paused.record()
    paused.learn([running(9, [0.3], parent=2)])
    assert paused.record() == before


def test_one_that_was_promoted_is_not_judged_again_where_its_parent_was():
    record = peers(rule(), *(running(tid, [0.1]) for tid in range(3))).record()
    promoted = running(9, [0.3], parent=2)
    judge = Judge(rule(), promoted)
    judge.hear(Report(2, 0.3))
    assert not judge.is_open
    assert not judge.gives_up(record)


def test_it_may_be_paused_and_promoted_again_further_up(paused):
    again = done(running(9, [0.3, 0.3, 0.3], parent=2), pruned=True)
    paused.learn([running(0, [0.1] * 3), running(1, [0.2] * 3), again])
    paused.learn([running(tid, [0.9] * 3) for tid in range(20, 26)])
    assert [trial.tid for trial in paused.promotable()] == [9]


def test_the_median_promotes_nobody():
    of = rule("median", startup=1)
    assert list(peers(of, done(running(0, [0.1]), pruned=True)).promotable()) == []


# -- median ------------------------------------------------------------------------------------------------------------


def test_the_best_loss_so_far_is_held_against_the_median_of_the_means_so_far():
    curves = [[0.9, 0.5, 0.1], [0.8, 0.6, 0.2], [0.7, 0.7, 0.3]]
    of = rule("median", startup=3)
    made = peers(of, *(done(running(tid, curve)) for tid, curve in enumerate(curves)))
    means = [statistics.median(statistics.fmean(curve[:steps]) for curve in curves) for steps in (1, 2)]
    assert list(made.record()["cutoffs"]["0"].values()) == pytest.approx(means)  # the third step is the last
    assert judged(of, [0.8, 0.9, 0.9], made.record()) == 2
    assert judged(of, [0.6, 0.9, 0.9], made.record()) == 3  # its best stays better than the median


def test_the_median_waits_until_enough_trials_are_done():
    of = rule("median", startup=5)
    trials = [done(running(tid, [0.1, 0.1])) for tid in range(4)]
    assert peers(of, *trials, running(4, [0.1, 0.1])).record()["cutoffs"] == {}
    assert peers(of, *trials, done(running(4, [0.1, 0.1]))).record()["cutoffs"] == {"0": {"1": 0.1}}


# -- all of them -------------------------------------------------------------------------------------------------------


def test_none_is_no_rule():
    assert rule_of(PrunerSpec()) is None


@pytest.mark.parametrize("name", ["asha", "median"])
def test_what_was_learnt_bit_by_bit_is_what_is_learnt_at_once(name):
    of = rule(name, grace=1)
    curves = [[(7 * tid + 3 * step) % 11 for step in range(12)] for tid in range(30)]
    whole = [done(running(tid, curve)) for tid, curve in enumerate(curves)]
    slowly = Peers(of)
    for length in range(1, 13):
        slowly.learn([running(tid, curve[:length]) for tid, curve in enumerate(curves)])
    slowly.learn(whole)
    assert slowly.record() == peers(of, *whole).record()


def test_whole_trials_rank_before_pruned_ones():
    pruned, whole = done(running(0, [0.1]), pruned=True), done(running(1, [0.5, 0.5]))
    assert sorted([pruned, whole], key=rank) == [whole, pruned]
    assert pruned.is_ok
    assert pruned.loss == 0.1


def test_a_pruned_result_survives_its_json():
    pruned = Result(0.5, data={"a": 1}, pruned=True)
    assert pruned.to_json() == {"a": 1, "loss": 0.5, "status": "ok", "attachments": [], "hpcho": {"pruned": True}}
    assert Result.from_json(pruned.to_json()) == pruned


def test_what_an_objective_calls_hpcho_is_its_own():
    own = Result(0.5, data={"hpcho": 1})
    assert Result.from_json(own.to_json()) == own
