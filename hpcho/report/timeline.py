"""Who ran what and when: the workers' attempts as spans of time, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcho.trial import Trial, TrialState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcho.experiment.schema import Experiment

__all__ = ["Span", "Timeline", "gpus_of", "timeline"]

UNKNOWN = "unknown worker"


@dataclass(frozen=True, slots=True)
class Span:
    """An attempt. Times are seconds since the first trial began; ``end`` of a running one is the report's time.

    ``outcome``: ok, pruned, rejected (the objective's status was not ok), running, or the cause that ended it.
    """

    tid: int
    worker: str
    start: float
    end: float
    outcome: str
    saved: bool = False


@dataclass(frozen=True, slots=True)
class Timeline:
    """All spans by their start, the workers by theirs, and the first start (seconds since the epoch).

    ``untimed``: so many trials were begun, nobody knows when; they have no spans.
    """

    began_at: float
    workers: tuple[str, ...]
    spans: tuple[Span, ...]
    untimed: int = 0

    def busy_s(self) -> list[tuple[float, float]]:
        """(moment, seconds of work in the attempts that had ended by then), by moment; running ones do not count."""
        total, ends = 0.0, []
        for span in sorted(self.spans, key=lambda span: span.end):
            if span.outcome != "running":
                total += span.end - span.start
                ends.append((span.end, total))
        return ends


def timeline(trials: Sequence[Trial], now: float | None = None) -> Timeline:
    """The attempts of ``trials``; ``now``: seconds since the epoch (None: the last moment that they tell of)."""
    running = [t.claimed_at for t in trials if t.state is TrialState.RUNNING and t.claimed_at is not None]
    attempts = [attempt for trial in trials for attempt in trial.attempts if attempt.is_timed]
    if now is None:
        now = max([*running, *(attempt.ended_at for attempt in attempts)], default=0.0)
    began_at = min([*running, *(attempt.started_at for attempt in attempts)], default=now)
    spans = [span for trial in trials for span in _spans(trial, began_at, now)]
    spans.sort(key=lambda span: (span.start, span.tid))
    known = {span.tid for span in spans}
    untimed = sum(trial.attempt_count > 0 and trial.tid not in known for trial in trials)
    return Timeline(began_at, tuple(dict.fromkeys(span.worker for span in spans)), tuple(spans), untimed)


def _spans(trial: Trial, began_at: float, now: float) -> list[Span]:
    spans = []
    for i, attempt in enumerate(trial.attempts):
        if not attempt.is_timed:
            continue
        outcome = str(attempt.cause) if attempt.cause else "ok"
        if outcome == "ok" and i == len(trial.attempts) - 1 and trial.result:
            outcome = "pruned" if trial.is_pruned else "ok" if trial.result.status == "ok" else "rejected"
        start = attempt.started_at - began_at
        # A clock set back in the middle of an attempt makes no negative times.
        end = max(attempt.ended_at - began_at, start)
        worker = str(attempt.owner) if attempt.owner else UNKNOWN
        spans.append(Span(trial.tid, worker, start, end, outcome, attempt.saved))
    if trial.state is TrialState.RUNNING and trial.claimed_at is not None:
        start = trial.claimed_at - began_at
        worker = str(trial.owner) if trial.owner else UNKNOWN
        spans.append(Span(trial.tid, worker, start, max(now - began_at, start), "running"))
    return spans


def gpus_of(experiment: Experiment) -> float:
    """GPUs that each worker has, as far as the experiment says: a share of one where several workers share it, or 0."""
    slurm = experiment.launcher.slurm
    return slurm.gpus / slurm.workers_per_gpu if slurm else 0.0
