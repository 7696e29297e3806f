"""What a notebook shows of an experiment: how it stands, and its best trials. Everything in it is escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpcho.experiment.schema import Budget
    from hpcho.report import Row
    from hpcho.standing import Standing

__all__ = ["html"]

SHOWN_TRIALS, SHOWN_PARAMS = 10, 8


def html(standing: Standing, budget: Budget, rows: Sequence[Row], params: Sequence[str]) -> str:
    """An HTML fragment without script or style of its own, so that it takes the notebook's look, light or dark."""
    counts = ", ".join(f"{count} {state}" for state, count in standing.trials.items() if count) or "no trials yet"
    wanted = f" of {budget.trials} wanted" if budget.trials else ""
    words = [f"<b>{escape(standing.name)}</b>: {standing.state}, {counts}{wanted}"]
    if standing.failures:
        words.append("failed: " + ", ".join(f"{count} {cause}" for cause, count in standing.failures.items()))
    if standing.end and standing.end.get("message"):
        words.append(f"ended: {escape(str(standing.end['message']))}")
    ranked = sorted((row for row in rows if row.loss is not None), key=lambda row: row.rank)
    body = _table(ranked[:SHOWN_TRIALS], params) if ranked else ""
    return f"<div><p>{'; '.join(words)}</p>{body}{_left_out(len(ranked), len(params))}</div>"


def _table(rows: Sequence[Row], params: Sequence[str]) -> str:
    names = params[:SHOWN_PARAMS]
    head = "".join(f"<th>{escape(name)}</th>" for name in ("trial", "loss", *names, "seconds"))
    lines = (
        "".join(f"<td>{cell}</td>" for cell in (row.tid, _cell(row.loss), *_params(row, names), _cell(row.duration_s)))
        for row in rows
    )
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _params(row: Row, names: Sequence[str]) -> list[str]:
    return [_cell(row.params[name]) if name in row.params else "" for name in names]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return escape(f"{value:.6g}" if isinstance(value, float) else str(value))


def _left_out(trials: int, params: int) -> str:
    more = [f"{trials - SHOWN_TRIALS} more trials"] if trials > SHOWN_TRIALS else []
    more += [f"{params - SHOWN_PARAMS} more params"] if trials and params > SHOWN_PARAMS else []
    return f"<p>and {' and '.join(more)}: <code>.rows()</code> has all</p>" if more else ""
