"""Labels of templates: the same that hyperas 0.4.1's own parser gives, and sensible ones where that parser fails."""

import ast
import importlib
import re
import sys
import types
from pathlib import Path

import pytest

from hpcho.expression import Opaque, leaves, parse
from hpcho.objective.hyperas import compile_file

CORPUS = Path(__file__).parent / "hyperas_corpus"


def functions(file):
    """(source, comments above it) of each function in a corpus file."""
    text = (CORPUS / file).read_text(encoding="utf-8")
    lines = text.splitlines()

    def above(function):
        return dict(re.findall(r"# (\w+): (.*)", "\n".join(lines[function.lineno - 3 : function.lineno - 1])))

    return [
        pytest.param(ast.get_source_segment(text, function), above(function), id=function.name)
        for function in ast.parse(text).body
    ]


@pytest.fixture(scope="module")
def hyperas():
    """hyperas.optim, the real one. What only its notebooks and ensembles need is not there: its parser does without.

    Under Keras 3 it could not be imported at all: keras.models has no model_from_yaml any more.
    """
    absent = {"keras": (), "keras.models": ("model_from_yaml",), "nbformat": (), "nbconvert": ("PythonExporter",)}
    before, path = dict(sys.modules), list(sys.path)
    for name, attributes in absent.items():
        sys.modules[name] = types.ModuleType(name)
        for attribute in attributes:
            setattr(sys.modules[name], attribute, None)
    try:
        return importlib.import_module("hyperas.optim")
    except ModuleNotFoundError:
        pytest.skip("needs hyperas: pip install --no-deps hyperas==0.4.1")
    finally:
        sys.path[:] = path
        for name in [*absent, *(name for name in sys.modules if name.partition(".")[0] == "hyperas")]:
            sys.modules.pop(name, None)
            if name in before:
                sys.modules[name] = before[name]


def theirs(hyperas, source):
    return hyperas.hyperparameter_names(hyperas.remove_imports(source))


@pytest.fixture
def templates(tmp_path):
    def compiled(source):
        name = re.match(r"def (\w+)", source)[1]
        file = tmp_path / "task.py"
        search = (
            f"from hyperas import optim\n\nif __name__ == '__main__':\n    optim.minimize(model={name}, data=data)\n"
        )
        file.write_text(f"def data():\n    return 1\n\n\n{source}\n\n\n{search}", encoding="utf-8")
        return compile_file(file).templates

    return compiled


def labels(templates):
    return [leaf.label for template in templates for leaf in leaves(template.node)]


@pytest.mark.parametrize(("source", "_"), functions("equal.py"))
def test_labels_are_those_of_hyperas(source, _, hyperas, templates):
    assert labels(templates(source)) == theirs(hyperas, source)


@pytest.mark.parametrize(("source", "_"), functions("equal.py"))
def test_distributions_are_those_that_hyperas_reads(source, _, hyperas, templates):
    ours = templates(source)
    texts = hyperas.get_hyperparameters(hyperas.remove_imports(source))
    for template, text in zip(ours, texts, strict=True):
        if not re.search(r"\*|np\.|range|[A-Z]|rms|#", text):  # code, which only the objective and the folding read
            assert not any(isinstance(option, Opaque) for option in getattr(template.node, "options", ()))
            assert template.node == parse(text, template.label)


@pytest.mark.parametrize(("source", "says"), functions("broken.py"))
def test_labels_are_sensible_where_hyperas_fails(source, says, hyperas, templates):
    try:
        reads = ", ".join(theirs(hyperas, source)) or "nothing"
    except IndexError:
        reads = "IndexError"
    assert reads == says["hyperas"]
    assert ", ".join(labels(templates(source))) == says["hpcho"]


def test_a_helper_s_templates_come_after_the_model_function_s(tmp_path):
    file = tmp_path / "task.py"
    file.write_text(
        "def block():\n"
        "    return Dropout({{uniform(0, 1)}})\n"
        "def unused():\n"
        "    return Dropout({{uniform(0, 9)}})\n"
        "class Head:\n"
        "    def build(self):\n"
        "        return Dense(8, {{choice(['relu', 'tanh'])}})\n"
        "BUILDERS = [Head]\n"
        "def data():\n"
        "    return 1\n"
        "def model(x):\n"
        "    Dropout({{uniform(0, 0.5)}})\n"
        "    return block(), BUILDERS[0]().build()\n",
        encoding="utf-8",
    )
    assert labels(compile_file(file).templates) == ["Dropout", "Dropout_1", "Dense"]


def test_a_label_is_never_given_twice(templates):
    source = (
        "def model(x):\n"
        "    a = {{choice([uniform(0, 1), uniform(1, 2)])}}\n"
        "    a_1 = {{choice([uniform(0, 1), {{uniform(0, 1)}}])}}\n"
        "    a = {{choice([uniform('own', 0, 1), 2])}}\n"
    )
    assert labels(templates(source)) == ["a", "a_3", "a_4", "a_1", "a_1_2", "a_1_1", "a_2", "own"]
