"""From a path or a URL to an experiment and its store."""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcho.errors import ExperimentError, UsageError
from hpcho.jobdir import JobDir

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from hpcho.experiment import Source
    from hpcho.experiment.schema import Experiment, ObjectiveSpec
    from hpcho.space import Space
    from hpcho.store import TrialStore

__all__ = ["Opened", "Run", "find_job_dir", "open_experiment", "open_run", "open_trials"]


@dataclass(frozen=True)
class Opened:
    """An experiment as its YAML describes it now.

    ``folder`` is the YAML's own. ``space`` comes from the snapshot's objective or, before the first run, from the
    objective in ``folder``. ``record`` is None before the first run.
    """

    experiment: Experiment
    source: Source
    folder: Path
    jobdir: JobDir
    space: Space
    record: dict[str, Any] | None

    @property
    def spec(self) -> ObjectiveSpec:
        """The objective as declared."""
        return self.experiment.objective


@dataclass(frozen=True)
class Run:
    """An experiment that was run at least once, as it was run: its settings in force, its space and its store."""

    experiment: Experiment
    jobdir: JobDir
    record: dict[str, Any]
    space: Space
    store: TrialStore


def open_experiment(path: Path, settings: Sequence[str] = (), *, fresh: bool = False) -> Opened:
    """Load the YAML at ``path``, with ``settings`` (KEY=VALUE) in place of its own. Raises UsageError.

    ``fresh``: an earlier run does not matter; the objective in the YAML's folder does.
    """
    # pydantic, yaml and the space's parts cost most of a start: `hpcho --help` does without.
    from hpcho import experiment as experiments  # noqa: PLC0415 - see above
    from hpcho import objective, space  # noqa: PLC0415 - see above

    folder = path.absolute().parent
    experiment, source = experiments.load(path, settings)
    _check_url(experiment, source)
    jobdir = _job_dir(experiment.job_dir, experiment.name, folder)
    record = jobdir.read_record()
    code = jobdir.source if record and not fresh else folder
    built = space.build(experiment.space, objective.templates(experiment.objective, code))
    return Opened(experiment, source, folder, jobdir, built, record)


def _check_url(experiment: Experiment, source: Source) -> None:
    """``store:`` names a database in a way that pymongo understands, and shows no secret. Raises ExperimentError."""
    if experiment.mongo is None or experiment.mongo.url is None:
        return
    from hpcho.store.administration import url_flaw  # noqa: PLC0415 - pymongo: most experiments do without

    flaw = url_flaw(experiment.mongo.url)
    if flaw is not None:
        raise ExperimentError([source.problem(("store", "mongo", "url"), flaw)])


@contextmanager
def open_run(path: Path) -> Iterator[Run]:
    """Open what ``run`` has left for the experiment at ``path``: its YAML, or its job directory.

    The settings are those that were in force when it ran last: trials are read with the space they came from, even
    when the YAML has been edited since. Raises UsageError when there was no run yet, StoreError.
    """
    from hpcho import objective, space  # noqa: PLC0415 - as in open_experiment
    from hpcho.controller import check_not_lost  # noqa: PLC0415 - as in open_experiment
    from hpcho.experiment.schema import Experiment  # noqa: PLC0415 - as in open_experiment
    from hpcho.store import attend, open_store  # noqa: PLC0415 - as in open_experiment

    jobdir = find_job_dir(path)
    record = jobdir.read_record()
    if record is None:
        raise UsageError(f"{path}: no run yet: `hpcho run {path}` starts one")
    experiment = Experiment.model_validate_json(json.dumps(record["experiment"]))
    built = space.build(experiment.space, objective.templates(experiment.objective, jobdir.source))

    def elsewhere() -> str | None:
        from hpcho.opening.chain import elsewhere  # noqa: PLC0415 - only where a server would have to be started

        return elsewhere(jobdir)

    with attend(jobdir, elsewhere=elsewhere), closing(open_store(jobdir)) as store:
        check_not_lost(store, jobdir)
        yield Run(experiment, jobdir, record, built, store)


def open_trials(place: str, exp_key: str | None, password_file: Path | None) -> AbstractContextManager[Run]:
    """Open a run for reading: its YAML or job directory, or the URL of a database that holds it, or hyperopt's own."""
    from hpcho.opening.database import is_url, open_database  # noqa: PLC0415 - as in open_experiment

    if is_url(place):
        return open_database(place, exp_key, password_file)
    if exp_key is not None or password_file is not None:
        raise UsageError("--exp-key and --password-file belong to the URL of a database: mongodb://user@host:port/name")
    return open_run(Path(place))


def find_job_dir(path: Path, settings: Sequence[str] = ()) -> JobDir:
    """The job directory that belongs to ``path``: a YAML file, a job directory, or the YAML's copy inside one.

    ``settings`` are those of ``open_experiment``, for a YAML. Once there was a run, a YAML with mistakes in it, or an
    objective that has been moved, does not stand in the way.
    """
    if path.is_dir() or path.name == "experiment.yaml":
        jobdir = JobDir((path if path.is_dir() else path.parent).absolute())
        if jobdir.record_file.is_file():
            return jobdir
    if path.is_dir():
        raise UsageError(f"{path}: not a job directory (it has no experiment.json); name the experiment's YAML file")
    from hpcho import experiment as experiments  # noqa: PLC0415 - as in open_experiment
    from hpcho.experiment.extends import read  # noqa: PLC0415 - as in open_experiment
    from hpcho.experiment.settings import apply  # noqa: PLC0415 - as in open_experiment

    folder = path.absolute().parent
    data = apply(read(path)[0], settings)[0]
    name, parent = data.get("name"), data.get("job_dir", "runs")
    if isinstance(name, str) and isinstance(parent, str) and _job_dir(parent, name, folder).record_file.is_file():
        return _job_dir(parent, name, folder)
    experiment = experiments.load(path, settings)[0]
    return _job_dir(experiment.job_dir, experiment.name, folder)


def _job_dir(parent: str, name: str, folder: Path) -> JobDir:
    return JobDir(folder / Path(parent).expanduser() / name)
