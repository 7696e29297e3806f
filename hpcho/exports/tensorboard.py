"""TensorBoard: a run for each trial, with its params and loss in the HParams tab and its reported steps as scalars.

Each trial is one event file with a name of its own, written anew as a whole: exporting again replaces it. The files are
written by tensorboardX, which is a small part of what TensorBoard itself brings.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

from hpcho.errors import UsageError
from hpcho.exports.params import plain, tried
from hpcho.trial import TrialState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from hpcho.exports.params import Plain
    from hpcho.space import Space
    from hpcho.trial import Trial

__all__ = ["write"]

FILE_NAME = "events.out.tfevents.hpcho"
"""TensorBoard takes any file with "tfevents" in its name."""
LOSS, DURATION, REPORTED, PRUNED, PARENT = "loss", "duration_s", "reported_loss", "pruned", "parent"
MOST_OPTIONS = 40
"""A param with more different texts than these is no choice to filter by."""
STATUSES = {
    TrialState.DONE: "STATUS_SUCCESS",
    TrialState.ERROR: "STATUS_FAILURE",
    TrialState.RUNNING: "STATUS_RUNNING",
}


def write(name: str, space: Space, trials: Sequence[Trial], folder: Path) -> int:
    """Write the trials that were begun below ``folder``, ``trial-<tid>/`` each; returns how many.

    ``name`` is the experiment's. Raises UsageError without tensorboardX, and where ``folder`` cannot be written.
    """
    try:
        from tensorboardX import proto, record_writer  # noqa: F401, PLC0415 - an extra
    except ImportError as error:
        raise UsageError(
            f"event files need tensorboardX, which is not there ({error}): `pip install 'hpcho[tensorboard]'` brings it"
        ) from error
    count = 0
    values: dict[str, list[Plain]] = {}
    try:
        for trial in tried(trials):
            params = plain(space, trial)
            for key, value in params.items():
                values.setdefault(key, []).append(value)
            _write_events(folder / f"trial-{trial.tid}", _trial_events(trial, params), trial.claimed_at or 0.0)
            count += 1
        created_s = min((trial.created_at for trial in trials), default=0.0)
        metrics = [LOSS, DURATION, *([PRUNED] if any(trial.is_pruned for trial in trials) else [])]
        _write_events(folder, [(created_s, 0, [_experiment(name, values, metrics, created_s)])], created_s)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}; choose another with --out") from error
    return count


def _trial_events(trial: Trial, params: Mapping[str, Plain]) -> Iterable[tuple[float, int, list[Any]]]:
    """(wall time in seconds, step, summary values) of a trial, in order."""
    started_s = trial.claimed_at or 0.0
    ended_s = trial.attempts[-1].ended_at if trial.attempts and trial.state is not TrialState.RUNNING else None
    yield started_s, 0, [_start(trial, params, started_s)]
    for report in trial.reports:
        if math.isfinite(report.loss):
            yield started_s, report.step, [_scalar(REPORTED, report.loss)]
    if ended_s is not None:
        last = max((report.step for report in trial.reports), default=0)
        values = [_scalar(LOSS, trial.loss)] if trial.loss is not None and math.isfinite(trial.loss) else []
        values += [_scalar(PRUNED, 1.0)] if trial.is_pruned else []
        values += [_scalar(PARENT, trial.parent)] if trial.parent is not None else []
        yield ended_s, last, [*values, _scalar(DURATION, trial.duration_s or 0.0)]
    yield ended_s or started_s, 0, [_end(trial, ended_s)]


def _scalar(tag: str, value: float) -> Any:
    from tensorboardX.proto.summary_pb2 import Summary  # noqa: PLC0415 - as in write

    return Summary.Value(tag=tag, simple_value=value)


def _start(trial: Trial, params: Mapping[str, Plain], started_s: float) -> Any:
    from tensorboardX.proto.plugin_hparams_pb2 import SessionStartInfo  # noqa: PLC0415 - as in write

    start = SessionStartInfo(group_name=f"trial {trial.tid}", start_time_secs=started_s)
    for key, value in params.items():
        if isinstance(value, bool):
            start.hparams[key].bool_value = value
        elif isinstance(value, str):
            start.hparams[key].string_value = value
        else:
            start.hparams[key].number_value = value
    return _hparams("session_start_info", start)


def _end(trial: Trial, ended_s: float | None) -> Any:
    from tensorboardX.proto import api_pb2, plugin_hparams_pb2  # noqa: PLC0415 - as in write

    status = api_pb2.Status.Value(STATUSES.get(trial.state, "STATUS_UNKNOWN"))
    return _hparams("session_end_info", plugin_hparams_pb2.SessionEndInfo(status=status, end_time_secs=ended_s or 0.0))


def _experiment(name: str, values: Mapping[str, Sequence[Plain]], metrics: Sequence[str], created_s: float) -> Any:
    """What the HParams tab has as columns: one for all trials, as each alone lacks the params inactive in it."""
    from tensorboardX.proto import api_pb2  # noqa: PLC0415 - as in write

    return _hparams(
        "experiment",
        api_pb2.Experiment(
            name=name,
            time_created_secs=created_s,
            hparam_infos=[_column(key, seen) for key, seen in values.items()],
            metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in metrics],
        ),
    )


def _column(key: str, seen: Sequence[Plain]) -> Any:
    """A param with the values seen: a range of numbers, or a few others, which TensorBoard filters by."""
    from tensorboardX.proto import api_pb2  # noqa: PLC0415 - as in write

    if all(isinstance(value, bool) for value in seen):
        info = api_pb2.HParamInfo(name=key, type=api_pb2.DATA_TYPE_BOOL)
        info.domain_discrete.extend(sorted({bool(value) for value in seen}))
        return info
    numbers = [float(value) for value in seen if not isinstance(value, str)]
    if len(numbers) == len(seen):
        info = api_pb2.HParamInfo(name=key, type=api_pb2.DATA_TYPE_FLOAT64)
        info.domain_interval.min_value, info.domain_interval.max_value = min(numbers), max(numbers)
        return info
    info = api_pb2.HParamInfo(name=key, type=api_pb2.DATA_TYPE_STRING)
    texts = sorted({str(value) for value in seen})
    if len(texts) <= MOST_OPTIONS:
        info.domain_discrete.extend(texts)
    return info


def _hparams(field: str, content: Any) -> Any:
    """A message to the HParams plugin, as a summary's value."""
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData  # noqa: PLC0415 - as in write
    from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata  # noqa: PLC0415 - as in write

    data = HParamsPluginData(version=0, **{field: content}).SerializeToString()
    plugin = SummaryMetadata.PluginData(plugin_name="hparams", content=data)
    return Summary.Value(tag=f"_hparams_/{field}", metadata=SummaryMetadata(plugin_data=plugin))


def _write_events(folder: Path, events: Iterable[tuple[float, int, list[Any]]], begun_s: float) -> None:
    """Write one event file and put it in its place: a TensorBoard that looks on sees the old one or the new one."""
    from tensorboardX.proto.event_pb2 import Event  # noqa: PLC0415 - as in write
    from tensorboardX.proto.summary_pb2 import Summary  # noqa: PLC0415 - as in write
    from tensorboardX.record_writer import RecordWriter  # noqa: PLC0415 - as in write

    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{FILE_NAME.replace('tfevents', 'draft')}.{os.getpid()}"
    writer = RecordWriter(str(draft))
    try:
        writer.write(Event(wall_time=begun_s, file_version="brain.Event:2").SerializeToString())
        for wall_time, step, values in events:
            event = Event(wall_time=wall_time, step=step, summary=Summary(value=values))
            writer.write(event.SerializeToString())
        writer.close()
        draft.replace(folder / FILE_NAME)
    finally:
        draft.unlink(missing_ok=True)
