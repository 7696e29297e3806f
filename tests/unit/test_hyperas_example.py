"""examples/hyperas_mnist: a classic hyperas file, untouched, trains a real model."""

from pathlib import Path

import pytest

from hpcho.experiment import load
from hpcho.expression import leaves
from hpcho.objective.hyperas import compile_file

EXAMPLE = Path(__file__).parents[2] / "examples" / "hyperas_mnist"


def test_the_templates_are_the_search_space():
    experiment, _ = load(EXAMPLE / "experiment.yaml")
    templates = compile_file(EXAMPLE / experiment.objective.hyperas).templates
    labels = [leaf.label for template in templates for leaf in leaves(template.node)]
    assert labels == [
        "layer_1_size",
        "l1_dropout",
        "activation",
        "if",
        "Dense",
        "add",
        "learning_rate",
        "batch_size",
    ]


@pytest.fixture
def digits(monkeypatch):
    """Stands in for the MNIST download: scikit-learn's 8 by 8 digits, as 28 by 28 pixels of 0 to 255."""
    keras = pytest.importorskip("keras", reason="needs TensorFlow and Keras")
    np = pytest.importorskip("numpy")
    bunch = pytest.importorskip("sklearn.datasets", reason="needs scikit-learn").load_digits()
    images = np.kron(bunch.images, np.ones((3, 3)))
    pixels = np.pad(images * 255 / 16, ((0, 0), (2, 2), (2, 2))).astype("uint8")
    halves = (pixels[:1200], bunch.target[:1200]), (pixels[1200:], bunch.target[1200:])
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: halves)


@pytest.mark.slow
@pytest.mark.keras
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Keras's own, when it saves a model
def test_one_point_is_trained(digits, tmp_path):
    objective = compile_file(EXAMPLE / "optimise_task.py").load()
    objective.prepare()
    vals = {"layer_1_size": [64.0], "l1_dropout": [0.1], "activation": [0], "if": [1], "Dense": [1], "add": [0]}
    result = objective.evaluate({}, {**vals, "learning_rate": [1], "batch_size": [0]}, None)
    assert result["status"] == "ok"
    assert -1 <= result["loss"] < -0.5

    saved = tmp_path / "model.keras"
    saved.write_bytes(result["model_serial"])
    assert (
        len(pytest.importorskip("keras").models.load_model(saved).layers) == 6
    )  # a third one, with a dropout after it
