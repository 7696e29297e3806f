"""What becomes of each block of the pages. A block that is nowhere here, and not seen to by its kind, fails a test.

By their kind: a block with a title is written, and `console` blocks are typed, page by page; YAML is loaded, whole or
with what it lacks; what is shown of Python is compiled, and each `hpcho ...` of a shell block goes through hpcho's own
parser. Shell and Python blocks are named here besides, with what runs them.
"""

import re
from dataclasses import dataclass

NEEDED_ELSEWHERE = {
    ("docs/howto/exports.md", "server"): "an MLflow server of somebody's; tests/cli/test_cli_export.py writes its file",
    ("docs/howto/pytorch.md", "torch"): "its one wheel for Linux brings gigabytes of CUDA; typed where build/torch is",
    ("docs/tutorial/cluster.md", "slurm"): "a cluster; tests/slurm has one, and does the same on it",
}
"""What `console` blocks need and the tests of the docs do not have: these are parsed and not typed.

Of the page on PyTorch, `hpcho run` of the file that imports torch is left out. Its YAML is loaded, its Python compiled,
and its second half, a program, is typed.
"""
BROUGHT = ("mlflow", "pandas", "tensorboardX")
"""What blocks need that the extra dev brings. Where it is not there, the page's test says so as skipped."""
TRAINING = ("keras", "jax")
"""What blocks need that train models of Keras: typed by tests of their own. tests/all brings jax, not the extra dev."""


@dataclass(frozen=True)
class Typed:
    """The block is typed, or run by Python, in this folder, after those before it on its page."""

    folder: str = "."


@dataclass(frozen=True)
class Objective:
    """A file train.py: with these lines before it, it is run for real."""

    before: str
    experiment: str | None = None
    """The YAML; without one, the page's own."""
    keras: bool = False


@dataclass(frozen=True)
class Elsewhere:
    """The block is checked by its kind only, for this reason; the test does what it says."""

    test: str
    why: str


@dataclass(frozen=True)
class Shown:
    """Nothing but its kind's check, for this reason."""

    why: str


STEPS = """\
name: steps
objective: {python: "train.py:objective"}
space: {rate: {float: [0.1, 0.9]}}
budget: {trials: 2}
"""
IMPROVED = """\
import json


def improved(x, params):
    return x * params["rate"]


"""
KERAS = """\
import keras
import numpy as np

import hpcho.keras


def data():
    return np.ones((32, 4), "float32"), np.zeros((32, 1), "float32")


def build(params):
    model = keras.Sequential([keras.Input(shape=(4,)), keras.layers.Dense(params["units"]), keras.layers.Dense(1)])
    model.compile(optimizer=params["optimizer"], loss="mse")
    fit = model.fit
    model.fit = lambda *data, **more: fit(*data, validation_data=data, epochs=1, verbose=0, **more)
    return model


"""
A_CLUSTER = "it needs a cluster"
TABLE = {
    ("README.md", "python3 -m venv .venv"): Elsewhere(
        "tests/cli/test_cli_examples.py::test_digits_trains_and_its_best_model_opens", "it installs TensorFlow"
    ),
    ("README.md", ".venv/bin/hpcho best examples/digits/experiment.yaml"): Elsewhere(
        "tests/cli/test_cli_examples.py::test_digits_trains_and_its_best_model_opens", "--open opens a browser"
    ),
    ("README.md", "hpcho init my-search"): Typed(),
    ("README.md", "def objective(params, data, trial):"): Objective(KERAS, keras=True),
    ("README.md", "pip install '.[embedded-mongo]'"): Elsewhere(
        "tests/slurm/test_site.py::test_doctor_looks_from_a_compute_node", A_CLUSTER
    ),
    ("README.md", "import hpcho"): Typed("my-search"),
    ("README.md", "tests/all"): Shown("it is what runs all tests"),
    ("docs/cluster.md", "make image"): Elsewhere(
        "tests/image/test_image.py::test_an_ordinary_user_builds_it_too", "the full image is gigabytes"
    ),
    ("docs/cluster.md", "cd /scratch/me"): Elsewhere(
        "tests/image/test_image.py::test_it_installs_its_launcher", "it needs an image"
    ),
    ("docs/cluster.md", "hpcho doctor"): Elsewhere(
        "tests/image/test_run_in_image.py::test_doctor_tries_both_ways_to_slurm_and_looks_from_a_job", A_CLUSTER
    ),
    ("docs/cluster.md", "hpcho init mnist"): Typed(),
    ("docs/cluster.md", "hpcho doctor experiment.yaml"): Elsewhere(
        "tests/image/test_run_in_image.py::test_doctor_tries_both_ways_to_slurm_and_looks_from_a_job", A_CLUSTER
    ),
    ("docs/cluster.md", "hpcho run experiment.yaml"): Elsewhere(
        "tests/image/test_run_in_image.py::test_a_run_in_the_background_goes_on_when_its_command_has_ended", A_CLUSTER
    ),
    ("docs/cluster.md", "hpcho report experiment.yaml"): Elsewhere(
        "tests/image/test_run_in_image.py::test_a_whole_run", A_CLUSTER
    ),
    ("docs/slurm.md", "hpcho doctor experiment.yaml"): Elsewhere(
        "tests/slurm/test_site.py::test_doctor_looks_from_a_compute_node", A_CLUSTER
    ),
    ("docs/slurm.md", "hpcho run experiment.yaml --as-job"): Elsewhere(
        "tests/slurm/test_site.py::test_the_controller_goes_from_job_to_job_and_leaves_none_behind", A_CLUSTER
    ),
    ("docs/slurm.md", "sbatch --array=0-15"): Elsewhere(
        "tests/slurm/test_site.py::test_an_array_of_workers_serves_a_run_that_starts_none", A_CLUSTER
    ),
    ("docs/experiment.md", "def objective(params, trial):"): Objective(IMPROVED, STEPS),
    ("docs/howto/python.md", "import hpcho"): Typed(),
    ("docs/hyperopt.md", "from hpcho.compat import MongoTrials"): Elsewhere(
        "tests/interop/test_fmin_drivers.py::test_our_driver_with_our_worker", "it needs a MongoDB"
    ),
    ("docs/hyperopt.md", "cd the/folder/of/the/script"): Elsewhere(
        "tests/interop/test_fmin_drivers.py::test_our_driver_with_our_worker", "it needs a MongoDB"
    ),
    ("docs/hyperopt.md", "hyperopt-mongo-worker"): Elsewhere(
        "tests/interop/test_run_stock_workers.py::test_twenty_trials_by_hyperopt_s_own_worker",
        "it needs hyperopt's own environment",
    ),
    ("docs/hyperopt.md", "hpcho report mongodb://"): Elsewhere(
        "tests/interop/test_commands.py::test_a_report_of_a_collection", "it needs a MongoDB"
    ),
    ("docs/howto/warm-start.md", "warm_start: 41 of 50"): Shown(
        "a line that is printed; tests/cli/test_cli_warm_start.py reads it"
    ),
    ("docs/ssh.md", "# user and port"): Elsewhere(
        "tests/docs/test_docs.py::test_the_file_of_hosts_is_read", "it is no command, and read there"
    ),
}
"""(page, how the block's first line begins) -> what becomes of it. The longest beginning counts."""


def key_of(block):
    """The entry of the table that means a block; None where there is none."""
    begins = [key for key in TABLE if key[0] == block.page and block.first.startswith(key[1])]
    return None if by_kind(block) else max(begins, key=lambda key: len(key[1]), default=None)


def treatment(block):
    """What the table says of a block; None where it says nothing."""
    return TABLE.get(key_of(block))


def by_kind(block):
    """Whether a block is seen to by its kind and needs no entry."""
    return bool(block.title or block.kind in ("yaml", "console"))


def inline_calls(text):
    """`hpcho ...` in a page's sentences and tables: the words of each."""
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    for code in re.findall(r"`(hpcho [^`]+)`", prose):
        yield code.replace("\\|", "/")
