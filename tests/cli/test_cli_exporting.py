"""export: read back with the programs that it is for."""

import json
import time

import pytest

ADAM = {"x": 1.0, "units": 16, "optimizer": "adam"}
SGD = {"x": 0.5, "units": 32, "optimizer": "sgd", "momentum": 0.25}


@pytest.fixture
def told(run):
    """The lab's run, with a running trial that has reported two steps."""
    from hpcho.trial import Owner, Report

    store = run.store()
    trial = store.claim(Owner.here())
    store.heartbeat(trial, [Report(1, 0.5), Report(2, 0.25)])
    store.close()
    return run


@pytest.fixture
def tensorboard():
    pytest.importorskip("tensorboardX", reason="needs tensorboardX")
    return pytest.importorskip("tensorboard", reason="needs tensorboard")


@pytest.fixture
def mlflow():
    pytest.importorskip("sqlalchemy", reason="needs sqlalchemy")
    return pytest.importorskip("mlflow", reason="needs mlflow")


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def plugin(folder, field):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    events = EventAccumulator(str(folder))
    events.Reload()
    content = events.SummaryMetadata(f"_hparams_/{field}").plugin_data.content
    return getattr(HParamsPluginData.FromString(content), field)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_has_losses_and_reported_steps(told, hpcho, tensorboard):
    done = hpcho("export", told.yaml, "--to", "tensorboard")
    folder = told.jobdir.path / "tensorboard"
    assert done.returncode == 0, done.stderr
    assert f"wrote 5 trials to {folder}" in done.stdout
    assert f"`tensorboard --logdir {folder}`" in done.stdout
    assert scalars(folder / "trial-1")["loss"] == [(0, 0.25)]
    assert scalars(folder / "trial-4") == {"reported_loss": [(1, 0.5), (2, 0.25)]}
    assert "loss" not in scalars(folder / "trial-3")


@pytest.fixture
def pruned(run):
    """The lab's run, with a pruned trial and one that goes on from it; their tids."""
    from hpcho.trial import Draft, Owner, Result

    store = run.store()
    parent = store.finish(store.claim(Owner.here()), Result(0.75, pruned=True))
    store.add([Draft(parent.vals, "promoted", parent.tid, parent.reports)])
    child = store.finish(store.claim(Owner.here()), Result(0.625))
    store.close()
    return parent.tid, child.tid


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_tells_pruned_and_promoted_trials(run, pruned, hpcho, tensorboard):
    parent, child = pruned
    hpcho("export", run.yaml, "--to", "tensorboard")
    folder = run.jobdir.path / "tensorboard"
    assert scalars(folder / f"trial-{parent}")["pruned"] == [(0, 1.0)]
    assert scalars(folder / f"trial-{child}")["parent"] == [(0, parent)]
    assert {"pruned", "parent"}.isdisjoint(scalars(folder / "trial-0"))
    metrics = [info.name.tag for info in plugin(folder, "experiment").metric_infos]
    assert metrics == ["loss", "duration_s", "pruned"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_has_params_by_type_and_every_params_column(told, hpcho, tensorboard, tmp_path):
    from tensorboard.plugins.hparams import api_pb2

    hpcho("export", told.jobdir.path, "--to", "tensorboard", "--out", tmp_path / "tb")
    start = plugin(tmp_path / "tb" / "trial-1", "session_start_info")
    assert start.hparams["units"].number_value == 32
    assert start.hparams["optimizer"].string_value == "sgd"
    assert "momentum" not in plugin(tmp_path / "tb" / "trial-0", "session_start_info").hparams
    columns = plugin(tmp_path / "tb", "experiment")
    assert {info.name for info in columns.hparam_infos} == {"x", "units", "optimizer", "momentum"}
    assert {info.name: info.domain_interval.max_value for info in columns.hparam_infos}["units"] == 32
    assert list({info.name: info.domain_discrete for info in columns.hparam_infos}["optimizer"]) == ["adam", "sgd"]
    statuses = [plugin(tmp_path / "tb" / f"trial-{tid}", "session_end_info").status for tid in (1, 3, 4)]
    assert statuses == [api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_RUNNING]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_again_replaces_what_was_there(run, hpcho, tensorboard, tmp_path):
    for _ in range(2):
        hpcho("export", run.yaml, "--to", "tensorboard", "--out", tmp_path / "tb")
    files = sorted(path.relative_to(tmp_path / "tb") for path in (tmp_path / "tb").rglob("*") if path.is_file())
    assert len(files) == 5  # four that were begun, and the columns
    assert scalars(tmp_path / "tb" / "trial-0")["loss"] == [(0, 1.0)]


def runs_of(uri):
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("lab").experiment_id
    return client, {int(run.data.tags["hpcho.tid"]): run for run in client.search_runs([experiment])}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_tells_pruned_and_promoted_trials(run, pruned, hpcho, mlflow):
    parent, child = pruned
    hpcho("export", run.yaml, "--to", "mlflow", env={"MLFLOW_TRACKING_URI": ""})
    _, runs = runs_of(f"sqlite:///{run.jobdir.path}/mlflow.db")
    assert (runs[parent].data.tags["hpcho.pruned"], runs[child].data.tags["hpcho.parent"]) == ("true", str(parent))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_has_each_trial_and_is_brought_up_to_date(told, hpcho, mlflow):
    done = hpcho("export", told.yaml, "--to", "mlflow", env={"MLFLOW_TRACKING_URI": ""})
    assert done.returncode == 0, done.stderr
    uri = f"sqlite:///{told.jobdir.path}/mlflow.db"
    assert f"wrote 5 trials, new or changed, to {uri}" in done.stdout
    client, runs = runs_of(uri)
    assert runs[1].data.params == {"x": "0.5", "units": "32", "optimizer": "sgd", "momentum": "0.25"}
    assert runs[1].data.metrics["loss"] == 0.25
    assert "momentum" not in runs[0].data.params
    assert [runs[tid].info.status for tid in (1, 3, 4)] == ["FINISHED", "FAILED", "RUNNING"]
    assert runs[3].data.tags["hpcho.cause"] == "objective"
    assert "no such optimizer" in runs[3].data.tags["hpcho.error"]
    steps = client.get_metric_history(runs[4].info.run_id, "reported_loss")
    assert [(metric.step, metric.value) for metric in steps] == [(1, 0.5), (2, 0.25)]
    assert runs[1].info.end_time >= runs[1].info.start_time > (time.time() - 600) * 1000

    told.finish(ADAM, 0.125)
    done = hpcho("export", told.yaml, "--to", "mlflow", "--out", uri)
    assert "wrote 2 trials, new or changed" in done.stdout  # the new one, and the running one
    assert len(runs_of(uri)[1]) == 6
    assert len(client.get_metric_history(runs[4].info.run_id, "reported_loss")) == 2


@pytest.mark.slow
def test_an_mlflow_that_is_away_is_named(run, hpcho, mlflow):
    done = hpcho("export", run.yaml, "--to", "mlflow", "--out", "http://127.0.0.1:9")
    assert done.returncode == 3
    assert "MLflow at http://127.0.0.1:9" in done.stderr


def test_params_keep_names_of_their_own_in_mlflow():
    from hpcho.exports.mlflow import _keyed

    assert _keyed({"a+b": 1, "a_b": 2, "größe": 3}) == {"a_b": 1, "a_b_2": 2, "größe": 3}


def test_values_that_are_no_numbers_are_text(bench):
    from hpcho.exports.params import plain
    from hpcho.opening import open_experiment

    bench.write("""
        name: lab
        objective: {python: "train.py:objective"}
        space: {shape: {choice: [{value: [1, 2]}, null, true]}}
    """)
    for point in ([1, 2], None, True):
        bench.add({"shape": point})
    space = open_experiment(bench.yaml).space
    assert [plain(space, trial)["shape"] for trial in bench.trials()] == [json.dumps([1, 2]), "null", True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "mlflow", "--out", "folder"], "a tracking URI is wanted"),
        (["--to", "tensorboard", "--out", "http://here"], "TensorBoard reads a folder"),
        ([], "--to"),
    ],
)
def test_a_wrong_place_is_refused(run, hpcho, arguments, message):
    done = hpcho("export", run.yaml, *arguments)
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.parametrize(("to", "package"), [("tensorboard", "tensorboardX"), ("mlflow", "mlflow")])
def test_without_the_extra_it_says_what_brings_it(run, hpcho, tmp_path, to, package):
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / f"{package}.py").write_text(f"raise ImportError('No module named {package}')")
    import os

    path = os.pathsep.join([str(tmp_path / "away"), os.environ["PYTHONPATH"]])
    done = hpcho("export", run.yaml, "--to", to, env={"PYTHONPATH": path})
    assert done.returncode == 2
    assert f"pip install 'hpcho[{to}]'" in done.stderr
