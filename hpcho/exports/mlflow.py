"""MLflow: an MLflow run for each trial, with its params, its loss and its reported steps.

Exporting again brings what is there up to date: a run is known by the tags ``hpcho.source`` and ``hpcho.tid``, and one
whose trial has not changed since (``hpcho.version``) is left alone.
"""

from __future__ import annotations

import math
import os
import re
from typing import TYPE_CHECKING, Any

from hpcho.errors import StoreError, UsageError
from hpcho.exports.params import plain, tried
from hpcho.trial import TrialState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hpcho.exports.params import Plain
    from hpcho.space import Space
    from hpcho.trial import Trial

__all__ = ["write"]

STATUSES = {TrialState.DONE: "FINISHED", TrialState.ERROR: "FAILED", TrialState.CANCEL: "KILLED"}
BATCH_METRICS, BATCH_PARAMS = 1000, 100
"""What MLflow takes at once."""
LONGEST_PARAM, LONGEST_TAG = 6000, 5000
"""Characters that MLflow takes of a value."""
NOT_IN_KEYS = re.compile(r"[^\w./ :-]")
SETTINGS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_DISABLE_TELEMETRY": "true"}
"""Unless the user says otherwise: MLflow waits for minutes where nobody answers, and tells its makers of its use."""


def write(name: str, source: str, space: Space, trials: Sequence[Trial], uri: str) -> int:
    """Write the trials that were begun into the MLflow at ``uri``; returns how many were new there or had changed.

    ``name`` is the experiment's here and there; ``source`` tells this experiment from another of its name. Raises
    UsageError without MLflow or for a tracking URI that it does not take, StoreError where that cannot be reached.
    """
    for setting, value in SETTINGS.items():
        os.environ.setdefault(setting, value)
    try:
        from mlflow import MlflowClient  # noqa: PLC0415 - an extra
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - as above
    except ImportError as error:
        raise UsageError(f"MLflow is not there ({error}): `pip install 'hpcho[mlflow]'` brings its client") from error
    try:
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(name)
        key = experiment.experiment_id if experiment else client.create_experiment(name)
        there = _there(client, key, source)
        changed = [trial for trial in tried(trials) if not _is_there(trial, there)]
        for trial in changed:
            _write_trial(client, key, source, trial, plain(space, trial), there.get(trial.tid, ("", ""))[0])
    except MlflowException as error:
        kind = StoreError if uri.startswith(("http://", "https://")) else UsageError
        raise kind(f"MLflow at {uri} refuses: {error}") from error
    return len(changed)


def _there(client: Any, experiment: str, source: str) -> dict[int, tuple[str, str]]:
    """The runs of this source: MLflow's id and the trial's version then, by tid."""
    found: dict[int, tuple[str, str]] = {}
    token: str | None = None
    wanted = "tags.`hpcho.source` = '{}'".format(source.replace("'", "''"))
    while True:
        page = client.search_runs([experiment], wanted, max_results=1000, page_token=token)
        for run in page:
            tags = run.data.tags
            found[int(tags["hpcho.tid"])] = (run.info.run_id, tags.get("hpcho.version", ""))
        token = page.token
        if not token:
            return found


def _is_there(trial: Trial, there: Mapping[int, tuple[str, str]]) -> bool:
    """Whether it is there as it is; a running trial's steps come without a new version."""
    return trial.state in STATUSES and there.get(trial.tid, ("", ""))[1] == str(trial.version)


def _write_trial(
    client: Any, experiment: str, source: str, trial: Trial, params: Mapping[str, Plain], run_id: str
) -> None:
    """The version goes last: what is cut short is written again the next time."""
    from mlflow.entities import Param, RunTag  # noqa: PLC0415 - as in write

    if not run_id:
        tags = {"hpcho.source": source, "hpcho.tid": str(trial.tid)}
        run = client.create_run(experiment, _ms(trial.claimed_at or 0.0), tags, run_name=f"trial {trial.tid}")
        run_id = run.info.run_id
    metrics = list(_metrics(trial))
    for start in range(0, len(metrics), BATCH_METRICS):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH_METRICS])
    told = [Param(key, str(value)[:LONGEST_PARAM]) for key, value in _keyed(params).items()]
    for start in range(0, len(told), BATCH_PARAMS):
        client.log_batch(run_id, params=told[start : start + BATCH_PARAMS])
    if trial.state in STATUSES:
        ended_s = trial.attempts[-1].ended_at if trial.attempts else trial.claimed_at or 0.0
        client.set_terminated(run_id, STATUSES[trial.state], _ms(ended_s))
    else:
        client.update_run(run_id, "RUNNING" if trial.state is TrialState.RUNNING else "SCHEDULED")
    words = {"hpcho.cause": str(trial.cause) if trial.cause else "", "hpcho.error": trial.error or ""}
    words |= {"hpcho.pruned": "true" if trial.is_pruned else ""}
    words |= {"hpcho.parent": "" if trial.parent is None else str(trial.parent)}
    words |= {"hpcho.owner": str(trial.owner) if trial.owner else "", "hpcho.version": str(trial.version)}
    client.log_batch(run_id, tags=[RunTag(key, value[:LONGEST_TAG]) for key, value in words.items()])


def _metrics(trial: Trial) -> Iterable[Any]:
    from mlflow.entities import Metric  # noqa: PLC0415 - as in write

    started = _ms(trial.claimed_at or 0.0)
    for report in trial.reports:
        if math.isfinite(report.loss):
            yield Metric("reported_loss", report.loss, started, report.step)
    if trial.attempts and trial.state in STATUSES:
        ended = _ms(trial.attempts[-1].ended_at)
        if trial.loss is not None and math.isfinite(trial.loss):
            yield Metric("loss", trial.loss, ended, 0)
        yield Metric("duration_s", trial.duration_s or 0.0, ended, 0)


def _keyed(params: Mapping[str, Plain]) -> dict[str, Plain]:
    """The params under names that MLflow takes, each still under one of its own."""
    named: dict[str, Plain] = {}
    for name, value in params.items():
        key = base = NOT_IN_KEYS.sub("_", name)
        number = 1
        while key in named:
            number += 1
            key = f"{base}_{number}"
        named[key] = value
    return named


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
