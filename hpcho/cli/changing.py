"""Commands that change a run's trials by hand: enqueue, requeue."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hpcho.cli.arguments import ExperimentOrJobDir
from hpcho.cli.output import say
from hpcho.errors import ClaimLost, ExperimentError, SpaceError, UsageError
from hpcho.opening import Run, open_run
from hpcho.trial import Cause, Draft, Failure, Trial, TrialState

__all__ = ["enqueue", "requeue"]


def enqueue(
    experiment: ExperimentOrJobDir,
    params: Annotated[
        Path,
        typer.Argument(metavar="PARAMS.yaml", help="A mapping of params, or a list of them.", show_default=False),
    ],
) -> None:
    """Add points by hand. What a point leaves out is sampled; they run even when the budget is met."""
    with open_run(experiment) as run:
        added = run.store.add(_drafts(run, params))
    say(f"added {_trials(added)}; a run that is going takes them up, else `hpcho run {experiment}` does")


def requeue(
    experiment: ExperimentOrJobDir,
    tids: Annotated[list[int], typer.Argument(metavar="TID...", help="Ids of failed trials.", show_default=False)],
) -> None:
    """Put failed trials back, to be evaluated again. They run even when the budget is met.

    Also a running trial of a worker of hyperopt's own, when you know that it is gone: nobody else can tell.
    """
    with open_run(experiment) as run:
        chosen = _failed(run, tids)
        _remember(run, chosen)
        for trial in chosen:
            try:
                run.store.move(trial, TrialState.NEW, failure=_taken_back(trial))
            except ClaimLost:
                raise UsageError(f"trial {trial.tid} has just changed; `hpcho trials` shows what it is now") from None
    say(f"put back {_trials(chosen)}; a run that is going takes them up, else `hpcho run {experiment}` does")


def _drafts(run: Run, path: Path) -> list[Draft]:
    """The points in a file, all of them or none. Raises ExperimentError with the place of each that is wrong."""
    from hpcho.experiment.source import Source  # noqa: PLC0415 - yaml: `hpcho --help` does without
    from hpcho.experiment.yaml12 import Builder, parse  # noqa: PLC0415 - as above

    text = _text(path)
    root = parse(text, str(path))
    if root is None:
        raise UsageError(f"{path}: is empty: write a mapping of params, or a list of them")
    source, builder = Source(str(path), text, root), Builder()
    value = builder.value(root, ())
    problems = [source.flaw(flaw) for flaw in builder.flaws]
    points = {(i,): point for i, point in enumerate(value)} if isinstance(value, list) else {(): value}
    drafts = []
    for place, point in points.items():
        if not isinstance(point, dict):
            problems.append(source.problem(place, f"must be a mapping of params, not {point!r}"))
            continue
        try:
            drafts.append(Draft(run.space.encode(point, random.Random()), origin="enqueued"))
        except SpaceError as error:
            problems.append(source.problem((*place, *error.path), error.message))
    if problems:
        raise ExperimentError(problems)
    if not drafts:
        raise UsageError(f"{path}: the list is empty: nothing was added")
    return drafts


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 text: save it as UTF-8") from error


def _failed(run: Run, tids: Sequence[int]) -> list[Trial]:
    """The trials of these ids. Everything is checked before anything is moved."""
    known = {trial.tid: trial for trial in run.store.changes()[1]}
    wanted = list(dict.fromkeys(tids))
    wrong = [f"there is no trial {tid}" for tid in wanted if tid not in known]
    wrong += [
        f"trial {tid} is {known[tid].state.label}, not error"
        for tid in wanted
        if tid in known and known[tid].state is not TrialState.ERROR and not _taken_back(known[tid])
    ]
    if wrong:
        raise UsageError(f"nothing was put back: {'; '.join(wrong)}. `hpcho trials` shows which trials have failed")
    return [known[tid] for tid in wanted]


def _taken_back(trial: Trial) -> Failure | None:
    """What ends the attempt of a worker of hyperopt's own, which only a person can know to be gone; else None."""
    if trial.state is not TrialState.RUNNING or trial.owner is None or not trial.owner.is_silent:
        return None
    return Failure(Cause.NODE, f"taken back by hand from hyperopt's worker {trial.owner}")


def _remember(run: Run, trials: Sequence[Trial]) -> None:
    """Record that they were asked for: the end of a run cancels what nobody has."""
    before = run.store.get("requeued")
    after = sorted({*(before or ()), *(trial.tid for trial in trials)})
    if before != after and not run.store.put("requeued", after, expected=before):
        raise UsageError("another `hpcho requeue` has just put trials back; type it again")


def _trials(trials: Sequence[Trial]) -> str:
    tids = ", ".join(str(trial.tid) for trial in trials)
    return f"trial {tids}" if len(trials) == 1 else f"trials {tids}"
