"""What an experiment has learnt, as Python has it: read once, then independent of the run and its store."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcho.api import display, frames
from hpcho.jobdir import JobDir
from hpcho.opening import open_trials
from hpcho.report import best, param_names, pareto, render, rows
from hpcho.standing import read

if TYPE_CHECKING:
    import os

    import pandas as pd

    from hpcho.experiment.schema import Experiment
    from hpcho.report import Row
    from hpcho.space import Space
    from hpcho.standing import Standing
    from hpcho.trial import Trial

__all__ = ["Results", "load"]


@dataclass(frozen=True)
class Results:
    """An experiment's trials as they were when they were read; ``hpcho.load`` again has the newer ones.

    Reading a run disturbs nothing: it may be going on meanwhile. Shown in a notebook it is a table of the best trials.
    """

    experiment: Experiment = field(repr=False)
    """The settings in force when the experiment ran last."""
    path: Path
    """The job directory."""
    standing: Standing = field(repr=False)
    """The state of the run, how many trials there are in each state, who works, for how long."""
    _space: Space = field(repr=False)
    _trials: tuple[Trial, ...] = field(repr=False)

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.experiment.name

    @property
    def best(self) -> dict[str, Any] | None:
        """The best trial, as ``hpcho best --json`` prints it, or None as long as there is none that is feasible.

        Its keys: tid, loss, params (flat, inactive ones absent), result (all that the objective returned), duration_s;
        where not the loss alone is minimised ``values``, what is, by name; where several numbers are, ``pareto``.
        """
        return best(self._space, self._trials, self.experiment.goals)

    @property
    def pareto(self) -> list[dict[str, Any]]:
        """The trials than which no other is better in all that is minimised, with the keys of ``best``.

        Sorted by what is minimised first. Where that is one number, it is the best trial, and any that are as good.
        """
        return pareto(self._space, self._trials, self.experiment.goals)

    @property
    def params(self) -> tuple[str, ...]:
        """The names of all parameters, as declared."""
        return param_names(self._space, self._rows())

    def rows(self) -> list[dict[str, Any]]:
        """One dict a trial, as ``hpcho trials --json`` prints them; needs no pandas."""
        return [row.to_json() for row in self._rows()]

    def trials(self) -> pd.DataFrame:
        """One row a trial, by tid, with the columns of trials.csv: params are ``params.NAME``, missing where inactive.

        ``started`` and ``finished`` are UTC times, ``duration_s`` seconds. Raises UsageError without pandas.
        """
        return frames.of_rows(self._rows(), self.params)

    def reports(self) -> pd.DataFrame:
        """What trials told with ``trial.report(step, loss)``: the columns tid, step, loss, in the order of telling.

        Raises UsageError without pandas.
        """
        return frames.of_reports(self._trials)

    def report(self, out: str | os.PathLike[str] | None = None, *, axes: tuple[str, str] | None = None) -> Path:
        """Write the report as ``hpcho report`` does, into the folder ``out``; gives back the page's path.

        ``axes``: the two parameters of the 3D figure. Raises UsageError where it cannot be written.
        """
        folder = self.path / "report" if out is None else Path(out)
        return render(
            self.experiment,
            self._space,
            self._trials,
            folder,
            elapsed_s=self.standing.elapsed_s,
            axes=axes,
            jobdir=JobDir(self.path),
            went=self.standing.went,
        )[0]

    def _rows(self) -> tuple[Row, ...]:
        return rows(self._space, self._trials, self.experiment.goals)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return display.html(self.standing, self.experiment.budget, self._rows(), self.params)


def load(
    experiment: str | os.PathLike[str],
    *,
    exp_key: str | None = None,
    password_file: str | os.PathLike[str] | None = None,
) -> Results:
    """Read an experiment that was run at least once, whether it is going on or not.

    ``experiment``: its YAML file, its job directory (``runs/NAME``), or the URL of a MongoDB that holds it, hpcho's or
    hyperopt's own; then ``exp_key`` says which, and ``password_file`` holds the password. Raises UsageError when there
    is none, StoreError when it cannot be read.
    """
    secret = None if password_file is None else Path(password_file)
    with open_trials(str(experiment), exp_key, secret) as run:
        standing = read(run.experiment.name, run.space, run.store, goals=run.experiment.goals)
        trials = tuple(run.store.changes()[1])
        return Results(run.experiment, run.jobdir.path, standing, run.space, trials)
