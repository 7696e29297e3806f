"""What a report shows, as plain data: trials in, Summary out. Drawing is for figures.py, writing for page.py."""

from __future__ import annotations

import difflib
import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcho.errors import UsageError
from hpcho.report import table
from hpcho.report.axis import Axis, loss_axis, real, text_of
from hpcho.report.importance import Share, importances
from hpcho.report.timeline import Timeline, gpus_of, timeline
from hpcho.report.tradeoff import Tradeoff, tradeoff
from hpcho.trial import INFRASTRUCTURE, Cause, Trial, TrialState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcho.experiment.schema import Experiment, ObjectiveSpec
    from hpcho.goals import Goals
    from hpcho.report.table import Row
    from hpcho.space import Parameter, Space

__all__ = ["CauseCount", "Step", "Summary", "choose_pair", "summarise"]

CATEGORIES = 40
"""Values that are no numbers and were not declared as options make an axis up to so many different ones."""


@dataclass(frozen=True, slots=True)
class Step:
    """A trial's end, in the order in which trials ended; those of which nobody knows when come first, by tid.

    ``seconds`` are since the first trial's start, None where that is not known. ``loss`` is None for a trial without
    one; ``best`` is the least loss of a feasible trial that was not pruned up to here, None as long as there is none.
    """

    tid: int
    seconds: float | None
    loss: float | None
    best: float | None


@dataclass(frozen=True, slots=True)
class CauseCount:
    """What failures of one cause cost: trials that ended by it, attempts that did, and the time that was lost.

    ``saved``: so many of the attempts had saved work to go on from, and their time is not counted as lost.
    """

    cause: str
    trials: int
    attempts: int
    wasted_s: float
    saved: int = 0

    @property
    def is_infrastructure(self) -> bool:
        """Whether the cause says nothing about the params."""
        return Cause(self.cause) in INFRASTRUCTURE


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Everything that figures, page and tables show of one experiment."""

    name: str
    objective: str
    sampler: str | None
    """None: not known."""
    wanted: int | None
    """Successful trials that the budget asks for."""
    made_at: str | None
    """UTC ISO string."""
    elapsed_s: float
    spent_s: float
    """Sum of all ended attempts' durations."""
    wasted_s: float
    """The part of it that came to nothing."""
    states: Mapping[str, int]
    """Trials by state; all five states."""
    ok: int
    failed: int
    """Trials in state error."""
    rejected: int
    """Trials that are done, but without a usable loss: the objective's status was not ok."""
    causes: tuple[CauseCount, ...]
    """Worst first."""
    best: Row | None
    rows: tuple[Row, ...]
    """By tid."""
    param_names: tuple[str, ...]
    steps: tuple[Step, ...]
    loss: Axis
    axes: tuple[Axis, ...]
    """One a parameter, as declared; parameters that cannot vary have none."""
    importance: Mapping[str, float | None]
    """By axis; see ``importance.importances``."""
    shares: Mapping[str, Share | None]
    """The same with their confidence intervals."""
    timeline: Timeline
    gpus: float
    """GPUs that each worker has; 0: none, or not known."""
    pair: tuple[str, str] | None
    """The two parameters worth seeing together."""
    tradeoff: Tradeoff
    """What a better loss costs in time, or whatever else is minimised."""
    goals: Goals
    """What ``best`` and the Pareto set are told by."""

    @property
    def usable(self) -> tuple[Row, ...]:
        """The successful trials' rows."""
        return tuple(row for row in self.rows if row.loss is not None)

    @property
    def ranked_axes(self) -> tuple[Axis, ...]:
        """The axes, most important first; of equally important ones as declared."""
        return tuple(sorted(self.axes, key=lambda axis: -(self.importance[axis.name] or 0.0)))

    @property
    def trials_per_hour(self) -> float | None:
        """Ended trials over the time that a controller ran; None before any time went by."""
        return len(self.steps) / self.elapsed_s * 3600 if self.elapsed_s > 0 else None


def summarise(
    experiment: Experiment,
    space: Space,
    trials: Sequence[Trial],
    *,
    elapsed_s: float,
    made_at: float | None = None,
) -> Summary:
    """The Summary of ``trials`` as they stand; pure.

    ``elapsed_s``: how long controllers have run; ``made_at``: seconds since the epoch, shown in the report.
    """
    trials = sorted(trials, key=lambda trial: trial.tid)
    goals = experiment.goals
    rows = table.rows(space, trials, goals)
    usable = [row for row in rows if row.loss is not None]
    axes = _axes(space, usable or rows)
    shares = importances(axes, [(row.params, row.loss) for row in usable if row.loss is not None])
    importance = {name: share.value if share else None for name, share in shares.items()}
    attempts = [attempt for trial in trials for attempt in trial.attempts]
    causes = _causes(trials)
    line = timeline(trials, made_at)
    objective = _objective(experiment.objective)
    return Summary(
        name=experiment.name,
        objective=objective,
        # Where no objective is known, the experiment is one of another program's, with a sampler of its own.
        sampler=experiment.sampler.name if objective else None,
        wanted=experiment.budget.trials,
        made_at=table.iso(made_at),
        elapsed_s=elapsed_s,
        spent_s=sum(max(attempt.ended_at - attempt.started_at, 0.0) for attempt in attempts),
        wasted_s=sum(cause.wasted_s for cause in causes),
        states={state.label: sum(trial.state is state for trial in trials) for state in TrialState},
        ok=sum(trial.is_ok for trial in trials),
        failed=sum(trial.state is TrialState.ERROR for trial in trials),
        rejected=sum(trial.state is TrialState.DONE and not trial.is_ok for trial in trials),
        causes=causes,
        best=min((row for row in usable if not row.infeasible), key=lambda row: row.rank, default=None),
        rows=rows,
        param_names=table.param_names(space, rows),
        steps=_steps(trials, line.began_at, goals),
        loss=loss_axis([row.loss for row in usable if row.loss is not None]),
        axes=axes,
        importance=importance,
        shares=shares,
        timeline=line,
        gpus=gpus_of(experiment),
        pair=_pair(axes, importance, usable),
        tradeoff=tradeoff(trials, goals),
        goals=goals,
    )


def choose_pair(summary: Summary, names: tuple[str, str] | None) -> tuple[Axis, Axis] | None:
    """The axes called ``names``, or those of ``summary.pair``. Raises UsageError for a name that has no axis."""
    by_name = {axis.name: axis for axis in summary.axes}
    for name in names or ():
        if name in summary.param_names and name not in by_name:
            raise UsageError(f"--axes: parameter {name!r} has one value only, so it spans no axis; choose another")
        if name not in by_name:
            near = difflib.get_close_matches(name, by_name, 1, cutoff=0.0)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            known = ", ".join(list(by_name)[:20]) or "none that varies"
            raise UsageError(f"--axes: no parameter is called {name!r}{hint} (parameters: {known})")
    if names and names[0] == names[1]:
        raise UsageError(f"--axes: {names[0]!r} is named twice; name two different parameters")
    pair = names or summary.pair
    return (by_name[pair[0]], by_name[pair[1]]) if pair else None


def _objective(spec: ObjectiveSpec) -> str:
    return spec.python or spec.hyperas or " ".join(spec.command or ())


def _causes(trials: Sequence[Trial]) -> tuple[CauseCount, ...]:
    ended = Counter(trial.cause for trial in trials if trial.state is TrialState.ERROR and trial.cause)
    attempts = defaultdict(list)
    for trial in trials:
        for attempt in trial.attempts:
            if attempt.cause:
                attempts[attempt.cause].append(attempt)
    counts = (
        CauseCount(
            cause.value,
            ended[cause],
            len(of_cause),
            sum((max(one.ended_at - one.started_at, 0.0) for one in of_cause if not one.saved), 0.0),
            sum(one.saved for one in of_cause),
        )
        for cause, of_cause in attempts.items()
    )
    return tuple(sorted(counts, key=lambda count: (-count.trials, -count.attempts, count.cause)))


def _steps(trials: Sequence[Trial], began_at: float, goals: Goals) -> tuple[Step, ...]:
    ended = [t for t in trials if t.state in (TrialState.DONE, TrialState.ERROR) and t.attempts]
    best: float | None = None
    steps = []
    for trial in sorted(ended, key=lambda trial: (trial.attempts[-1].ended_at, trial.tid)):
        loss = trial.loss if trial.loss is not None and math.isfinite(trial.loss) else None
        if loss is not None and not trial.is_pruned and goals.are_met(trial):
            best = loss if best is None else min(best, loss)
        last = trial.attempts[-1]
        seconds = max(last.ended_at - began_at, 0.0) if last.is_timed else None
        steps.append(Step(trial.tid, seconds, loss, best))
    return tuple(steps)


def _axes(space: Space, rows: Sequence[Row]) -> tuple[Axis, ...]:
    """One axis a name: options of a choice may each hold a parameter of the same name."""
    declared = defaultdict(list)
    for parameter in space.parameters:
        declared[parameter.name].append(parameter)
    axes = (_axis(name, group, [r.params[name] for r in rows if name in r.params]) for name, group in declared.items())
    return tuple(axis for axis in axes if axis is not None)


def _axis(name: str, group: Sequence[Parameter], seen: Sequence[Any]) -> Axis | None:
    """Declared bounds widened by what was seen; None where nothing can vary, or nearly every value is another thing."""
    numeric = all(not parameter.options for parameter in group)
    numbers = [x for x in map(real, seen) if x is not None]
    if not numeric or len(numbers) < len(seen):
        options = [text_of(option) for parameter in group for option in parameter.options or ()]
        categories = tuple(dict.fromkeys([*options, *map(text_of, seen)]))
        most = max(len(options), CATEGORIES)
        return Axis(name, "categorical", categories=categories) if 1 < len(categories) <= most else None
    bounds = [x for parameter in group for x in (real(parameter.low), real(parameter.high)) if x is not None]
    # loss_axis keeps a far outlier of an unbounded distribution from pressing all others together.
    span = loss_axis(numbers) if numbers and not bounds else None
    low = min([span.low] if span else [*bounds, *numbers], default=0.0)
    high = max([span.high] if span else [*bounds, *numbers], default=0.0)
    if low == high:
        return None
    log = all(parameter.log for parameter in group) and low > 0
    integer = all(parameter.kind == "int" for parameter in group)
    return Axis(name, "log" if log else "linear", low, high, integer=integer)


def _pair(
    axes: Sequence[Axis], importance: Mapping[str, float | None], usable: Sequence[Row]
) -> tuple[str, str] | None:
    """The two most important parameters of those that are active together in half of the trials, if any are."""
    ranked = sorted(axes, key=lambda axis: -(importance[axis.name] or 0.0))[:12]
    active = {axis.name: {row.tid for row in usable if axis.name in row.params} for axis in ranked}
    pairs = [(a.name, b.name) for i, a in enumerate(ranked) for b in ranked[i + 1 :]]

    def worth(pair: tuple[str, str]) -> tuple[float, float]:
        together = len(active[pair[0]] & active[pair[1]])
        enough = min(2 * together / max(len(usable), 1), 1.0)
        return enough, sum(importance[name] or 0.0 for name in pair)

    return max(pairs, key=worth, default=None)
