"""Trials as pandas has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcho.errors import UsageError
from hpcho.report.table import number_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from hpcho.report import Row
    from hpcho.trial import Trial

__all__ = ["of_reports", "of_rows"]

BEFORE = ("state", "status", "loss", "duration_s", "attempts", "interrupted", "cause", "owner")
TIMES = ("started", "finished")
INT64 = 2**63


def of_rows(rows: Sequence[Row], params: Sequence[str]) -> pd.DataFrame:
    """One row a trial; see ``Results.trials``."""
    pandas = _pandas()
    index = pandas.Index([row.tid for row in rows], name="tid", dtype="int64")
    columns: dict[str, Any] = {key: _column(pandas, index, [getattr(row, key) for row in rows]) for key in BEFORE}
    for key in ("loss", "duration_s"):
        columns[key] = columns[key].astype("float64")
    for key in TIMES:
        columns[key] = pandas.Series(pandas.to_datetime([getattr(row, key) for row in rows], utc=True), index=index)
    for name in number_names(rows):
        columns[f"numbers.{name}"] = pandas.Series([row.numbers[name] for row in rows], index=index, dtype="float64")
    for name in params:
        columns[f"params.{name}"] = _column(pandas, index, [row.params.get(name) for row in rows])
    columns["pruned"] = pandas.Series([row.pruned for row in rows], index=index, dtype="bool")
    columns["parent"] = pandas.Series([row.parent for row in rows], index=index, dtype="Int64")
    columns["infeasible"] = pandas.Series([row.infeasible for row in rows], index=index, dtype="bool")
    columns["error"] = _column(pandas, index, [row.error for row in rows])
    return pandas.DataFrame(columns, index=index)


def _column(pandas: Any, index: Any, values: list[Any]) -> Any:
    """The values as the narrowest type that leaves them as they are: whole numbers stay so beside missing ones."""
    there = [value for value in values if value is not None]
    if there and all(type(value) is int for value in there):
        # None of pandas' whole numbers holds more than 64 bits, and those beyond 63 mix with no others.
        if not all(-INT64 <= value < INT64 for value in there):
            return pandas.Series(values, index=index, dtype="object")
        return pandas.Series(values, index=index, dtype="Int64" if len(there) < len(values) else "int64")
    return pandas.Series(values, index=index, dtype=None if there else "object")


def of_reports(trials: Sequence[Trial]) -> pd.DataFrame:
    """One row a reported step; see ``Results.reports``."""
    told = [(trial.tid, report.step, report.loss) for trial in trials for report in trial.reports]
    frame: pd.DataFrame = _pandas().DataFrame(told, columns=["tid", "step", "loss"])
    return frame.astype({"tid": "int64", "step": "int64", "loss": "float64"})


def _pandas() -> Any:
    """Pandas, which is an extra. Raises UsageError."""
    try:
        import pandas  # noqa: PLC0415, ICN001 - an extra, and slow to import
    except ImportError as error:
        raise UsageError(
            f"a DataFrame needs pandas, which is not there ({error}): `pip install 'hpcho[pandas]'` brings it; "
            "rows() gives the same as plain dicts"
        ) from error
    return pandas
