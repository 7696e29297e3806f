"""The examples run to their end, as they are."""

import json
import os
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


STAND_IN = """
# MNIST cannot be had where there is no network, and Keras checks its cached file's hash: real digits, of the same size.
import sys

def load_data():
    import numpy
    from sklearn.datasets import load_digits
    images, labels = load_digits(return_X_y=True)
    images = numpy.kron(images.reshape(-1, 8, 8), numpy.ones((4, 4)))[:, 2:-2, 2:-2] * (255 / 16)
    images = images.astype("uint8")
    return (images[:1400], labels[:1400]), (images[1400:], labels[1400:])

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "keras.datasets":
            sys.meta_path.remove(self)
            from keras.datasets import mnist
            mnist.load_data = load_data
        return None

sys.meta_path.insert(0, Finder())
"""


@pytest.mark.slow
@pytest.mark.keras
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own, with numpy 2
def test_a_classic_hyperas_file_runs_as_it_is(tmp_path, hpcho):
    keras = pytest.importorskip("keras", reason="needs keras")
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    folder = tmp_path / "hyperas_mnist"
    shutil.copytree(EXAMPLES / "hyperas_mnist", folder, ignore=shutil.ignore_patterns("runs"))
    before = sorted(path.name for path in folder.iterdir())
    stand_in = tmp_path / "stand_in"
    stand_in.mkdir()
    (stand_in / "sitecustomize.py").write_text(STAND_IN)
    paths = os.pathsep.join([str(stand_in), os.environ.get("PYTHONPATH", "")])
    done = hpcho("run", folder / "experiment.yaml", "--set", "budget.trials=4", env={"PYTHONPATH": paths})
    assert done.returncode == 0, done.stdout + done.stderr
    trials = json.loads(hpcho("trials", folder / "experiment.yaml", "--json").stdout)
    assert [trial["status"] for trial in trials] == ["ok"] * 4
    assert {"layer_1_size", "l1_dropout", "activation", "batch_size"} <= set(trials[0]["params"])
    assert hpcho("best", folder / "experiment.yaml", "--export", "best.keras").returncode == 0
    assert keras.models.load_model(tmp_path / "best.keras").input_shape == (None, 784)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*before, "runs"])
    assert (folder / "optimise_task.py").read_bytes() == (EXAMPLES / "hyperas_mnist/optimise_task.py").read_bytes()
