"""Trials as rows of plain data, for ``hpcho trials``, ``hpcho best`` and ``trials.csv``."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TextIO

from hpcho.goals import USUAL, Goals, measured
from hpcho.trial import INFRASTRUCTURE, Attempt, Trial, TrialState

if TYPE_CHECKING:
    from hpcho.space import Space

__all__ = ["Row", "best", "iso", "number_names", "param_names", "pareto", "rows", "trial_rows", "write_csv"]


@dataclass(frozen=True, slots=True)
class Row:
    """One trial. ``params`` are flat, inactive ones absent; ``duration_s`` is the last ended attempt's.

    ``started`` and ``finished`` are UTC ISO strings of the last attempt; ``loss`` is finite, of a successful trial.
    ``interruptions`` are the attempts that the infrastructure ended; ``parent``: the pruned trial that it goes on from.
    ``values`` are what is minimised, by name, and None where one of them is missing; ``infeasible``: it is successful
    and does not keep to a constraint, or lacks what is minimised. ``numbers`` are what is minimised or limited beside
    loss and duration, by name, None where the trial has none.
    """

    tid: int
    state: str
    status: str | None
    loss: float | None
    params: Mapping[str, Any]
    duration_s: float | None
    owner: str | None
    attempts: int
    cause: str | None
    error: str | None
    started: str | None
    finished: str | None
    interruptions: tuple[Attempt, ...] = ()
    pruned: bool = False
    parent: int | None = None
    values: Mapping[str, float] | None = None
    infeasible: bool = False
    numbers: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def rank(self) -> tuple[bool, bool, float, int]:
        """The best row first, as ``Goals.rank`` has it."""
        value = next(iter(self.values.values()), None) if self.values else self.loss
        return self.infeasible, self.pruned, math.inf if value is None else value, self.tid

    @property
    def state_words(self) -> str:
        """How the trial stands, for people: pruned or its state, and what else is to be said: ``done (fail)``."""
        state = "pruned" if self.pruned else self.state
        more = [] if self.pruned or self.status in (None, "ok") else [str(self.status)]
        more += ["infeasible"] if self.infeasible else []
        return f"{state} ({', '.join(more)})" if more else state

    @property
    def interrupted(self) -> str:
        """The interruptions in a cell: ``preempted 2, node 1 (2 saved)``."""
        counts = Counter(str(attempt.cause) for attempt in self.interruptions)
        saved = sum(attempt.saved for attempt in self.interruptions)
        words = ", ".join(f"{cause} {count}" for cause, count in counts.items())
        return f"{words} ({saved} saved)" if saved else words

    def to_json(self) -> dict[str, Any]:
        """The row as ``hpcho trials --json`` prints it."""
        keys = ("tid", "state", "status", "loss", "params", "duration_s", "owner", "attempts", "cause", "error")
        interruptions = [
            {
                "cause": str(attempt.cause),
                "saved": attempt.saved,
                "owner": str(attempt.owner) if attempt.owner else None,
                "error": attempt.error,
            }
            for attempt in self.interruptions
        ]
        own: dict[str, Any] = {"pruned": self.pruned, "parent": self.parent, "infeasible": self.infeasible}
        if self.values is not None and set(self.values) != {"loss"}:
            own["values"] = dict(self.values)
        if self.numbers:
            own["numbers"] = dict(self.numbers)
        return {**{key: getattr(self, key) for key in keys}, "interruptions": interruptions, **own}


def rows(space: Space, trials: Sequence[Trial], goals: Goals = USUAL) -> tuple[Row, ...]:
    """One row a trial, in the order of ``trials``."""
    return tuple(_row(space, trial, goals) for trial in trials)


def trial_rows(space: Space, trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """The document of ``hpcho trials --json``."""
    return [row.to_json() for row in rows(space, trials)]


def best(space: Space, trials: Sequence[Trial], goals: Goals = USUAL) -> dict[str, Any] | None:
    """The document of ``hpcho best --json``: the best feasible trial, see ``Goals.rank``; or None.

    Where several numbers are minimised, the best by the first, and the Pareto set under ``pareto``.
    """
    feasible = [trial for trial in trials if goals.are_met(trial)]
    if not feasible:
        return None
    document = _document(space, min(feasible, key=goals.rank), goals)
    return {**document, "pareto": pareto(space, trials, goals)} if goals.are_several else document


def pareto(space: Space, trials: Sequence[Trial], goals: Goals = USUAL) -> list[dict[str, Any]]:
    """Documents of the trials in the Pareto set, as ``best`` has them; see ``Goals.front``."""
    return [_document(space, trial, goals) for trial in goals.front(trials)]


def _document(space: Space, trial: Trial, goals: Goals) -> dict[str, Any]:
    assert trial.result is not None
    row = _row(space, trial, goals)
    result = _plain(trial.result.to_json())
    values = {} if goals.is_loss_alone else {"values": row.values}
    return {
        "tid": row.tid,
        "loss": row.loss,
        **values,
        "params": row.params,
        "result": result,
        "duration_s": row.duration_s,
    }


def param_names(space: Space, table: Sequence[Row] = ()) -> tuple[str, ...]:
    """The names of all parameters as declared, each once; then any others in ``table``."""
    names = dict.fromkeys(parameter.name for parameter in space.parameters)
    names.update(dict.fromkeys(name for row in table for name in row.params))
    return tuple(names)


def number_names(table: Sequence[Row]) -> tuple[str, ...]:
    """The names of the rows' further numbers, which all rows have."""
    return tuple(table[0].numbers) if table else ()


def write_csv(space: Space, table: Sequence[Row], file: TextIO) -> None:
    """``trials.csv``: params under ``params.NAME``, empty where inactive; open ``file`` with ``newline=""``.

    Further numbers that are minimised or limited stand under ``numbers.NAME``. A cell that a spreadsheet would run as a
    formula gets a leading apostrophe.
    """
    names = param_names(space, table)
    plain = ["tid", "state", "status", "loss", "duration_s", "attempts", "interrupted", "cause", "owner"]
    plain += ["started", "finished", "pruned", "parent", "infeasible"]
    writer = csv.writer(file)  # its "\r\n" has both characters quoted inside of cells
    numbers = number_names(table)
    heads = [*(f"numbers.{name}" for name in numbers), *(f"params.{name}" for name in names)]
    writer.writerow([*plain, *heads, "error"])
    for row in table:
        cells = [row.numbers.get(name) for name in numbers]
        params = (_cell(row.params[name]) if name in row.params else "" for name in names)
        writer.writerow([*(_inert(getattr(row, key)) for key in plain), *cells, *params, _inert(row.error)])


def iso(seconds: float | None) -> str | None:
    """Seconds since the epoch as a UTC ISO string."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


def _row(space: Space, trial: Trial, goals: Goals) -> Row:
    last = trial.attempts[-1] if trial.attempts and trial.attempts[-1].is_timed else None
    running = trial.state is TrialState.RUNNING
    ended = trial.state in (TrialState.DONE, TrialState.ERROR)
    return Row(
        tid=trial.tid,
        state=trial.state.label,
        status=trial.result.status if trial.result else None,
        loss=trial.loss if trial.loss is not None and math.isfinite(trial.loss) else None,
        params={name: _plain(value) for name, value in space.decode(trial.vals).items()},
        # A clock set back in the middle of an attempt makes no negative times.
        duration_s=None if trial.duration_s is None else max(trial.duration_s, 0.0),
        owner=_owner(trial),
        attempts=trial.attempt_count,
        cause=trial.cause.value if trial.cause else None,
        error=trial.error,
        started=iso(trial.claimed_at if running else last.started_at if last else None),
        finished=iso(last.ended_at if ended and last else None),
        interruptions=tuple(attempt for attempt in trial.attempts if attempt.cause in INFRASTRUCTURE),
        pruned=trial.is_pruned,
        parent=trial.parent,
        values=goals.values(trial),
        infeasible=trial.is_ok and not goals.are_met(trial),
        numbers={name: measured(trial, name) for name in goals.names if name not in ("loss", "duration_s")},
    )


def _owner(trial: Trial) -> str | None:
    """Who holds the trial, or else who had it last."""
    owner = trial.owner or (trial.attempts[-1].owner if trial.attempts else None)
    return str(owner) if owner else None


def _plain(value: Any) -> Any:
    """The value as JSON can hold it: numbers that are not finite become None, unknown objects their text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)


def _cell(value: Any) -> Any:
    """A param's value in a cell: strings bare, structures, None and bools as JSON."""
    if isinstance(value, str):
        return _inert(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return _inert(json.dumps(value, ensure_ascii=False))


def _inert(value: Any) -> Any:
    """Text that starts like a formula gets an apostrophe before it, unless it is a number."""
    if not isinstance(value, str):
        return value
    value = value.encode(errors="backslashreplace").decode()  # half a surrogate pair has no UTF-8
    if not value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
