from dataclasses import replace

import report_trials as made

from hpcho.experiment.launchers import LauncherSpec, SlurmLauncher
from hpcho.experiment.schema import MongoSpec, StoreSpec
from hpcho.report.timeline import Span, gpus_of, timeline
from hpcho.trial import Attempt, Cause, Owner, TrialState

A, B = Owner("node01", 1, 7), Owner("node02", 2, 7)


def test_every_attempt_is_a_span_of_its_worker():
    attempts = (Attempt(A, 100.0, 110.0, Cause.PREEMPTED, "gone", saved=True), Attempt(B, 120.0, 125.0))
    trials = [
        made.trial(0, TrialState.DONE, attempts=attempts, result=made.done(0, 0.5).result),
        replace(made.done(1, None, status="fail"), attempts=(Attempt(A, 111.0, 112.0),)),
        replace(made.running(2), owner=A, claimed_at=115.0),
        made.new(3),
    ]
    line = timeline(trials, now=130.0)
    assert line.began_at == 100.0
    assert line.workers == ("node01:1", "node02:2")
    assert line.spans == (
        Span(0, "node01:1", 0.0, 10.0, "preempted", saved=True),
        Span(1, "node01:1", 11.0, 12.0, "rejected"),
        Span(2, "node01:1", 15.0, 30.0, "running"),
        Span(0, "node02:2", 20.0, 25.0, "ok"),
    )
    assert line.busy_s() == [(10.0, 10.0), (12.0, 11.0), (25.0, 16.0)]


def test_without_a_time_of_its_own_it_ends_with_the_last_moment():
    assert timeline([made.done(0, 0.5), made.running(1)]).spans[-1] == Span(1, "node01:4242", 500.0, 500.0, "running")
    assert timeline([]).spans == ()


def test_trials_of_which_nobody_knows_when_have_no_span_and_are_counted():
    line = timeline(made.ODD["partly untimed"], now=2000.0)
    assert (line.began_at, line.untimed) == (1000.0, 1)
    assert [(span.tid, span.start, span.end) for span in line.spans] == [(1, 0.0, 1.0), (2, 5.0, 6.0)]
    none = timeline(made.ODD["untimed"], now=2000.0)
    assert (none.spans, none.untimed) == ((), 3)


def test_a_clock_set_back_makes_no_negative_span():
    (span,) = timeline([made.done(0, 0.5, start=100, took=-50)]).spans
    assert span.end == span.start


def test_a_worker_without_a_name_has_a_row_too():
    attempt = Attempt(None, 0.0, 1.0, Cause.WORKER, "gone")
    assert timeline([made.trial(0, TrialState.NEW, attempts=(attempt,))]).workers == ("unknown worker",)


def test_workers_that_share_a_gpu_have_a_part_of_it_each():
    def with_(**slurm):
        launcher = LauncherSpec(slurm=SlurmLauncher(**slurm))
        return made.EXPERIMENT.model_copy(update={"launcher": launcher, "store": StoreSpec(mongo=MongoSpec())})

    assert gpus_of(with_(gpus=2)) == 2.0
    assert gpus_of(with_(gpus=1, workers_per_gpu=4)) == 0.25
    assert gpus_of(with_()) == gpus_of(made.EXPERIMENT) == 0.0
