"""The examples run to their end, as they are."""

import json
import shutil
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(tmp_path, hpcho):
    """Runs a copy of an example and gives back its YAML file and its trials."""

    def run(name):
        shutil.copytree(EXAMPLES / name, tmp_path / name, ignore=shutil.ignore_patterns("runs"))
        yaml = tmp_path / name / "experiment.yaml"
        done = hpcho("run", yaml)
        assert done.returncode == 0, done.stdout + done.stderr
        return yaml, json.loads(hpcho("trials", yaml, "--json").stdout)

    return run


@pytest.mark.slow
def test_command(example):
    _, trials = example("command")
    assert sum(trial["status"] == "ok" for trial in trials) == 40
    assert all(trial["state"] == "done" for trial in trials)


@pytest.mark.slow
@pytest.mark.keras
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own, with numpy 2
def test_digits_trains_and_its_best_model_opens(example, hpcho, tmp_path):
    keras = pytest.importorskip("keras", reason="needs keras")
    sklearn_datasets = pytest.importorskip("sklearn.datasets", reason="needs scikit-learn")
    yaml, trials = example("digits")
    assert [trial["status"] for trial in trials] == ["ok"] * 12
    assert all(("momentum" in trial["params"]) == (trial["params"]["optimizer"] == "sgd") for trial in trials)
    assert hpcho("best", yaml, "--export", "best.keras").returncode == 0
    images, labels = sklearn_datasets.load_digits(return_X_y=True)
    predicted = keras.models.load_model(tmp_path / "best.keras").predict(images / 16, verbose=0)
    assert (predicted.argmax(axis=1) == labels).mean() > 0.9
