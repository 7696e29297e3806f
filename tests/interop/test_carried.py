"""What travels to hyperopt's own workers means what it means here."""

import pickle
import random
import subprocess
import sys

import pytest
from hyperopt.base import Domain

from hpcho import space
from hpcho.experiment.schema import ObjectiveSpec
from hpcho.objective.carried import decode
from hpcho.objective.domain_blob import described, domain

SPACE = {
    "units": {"int": [13, 64], "step": 4},
    "layers": {"int": [1, 200], "log": True},
    "x": {"float": [-5, 5]},
    "lr": {"float": [1e-5, 1e-1], "log": True},
    "drop": {"float": [0.1, 0.7], "step": 0.2},
    "q": {"hp": "quniform(1, 4, 1)"},
    "r": {"hp": "randint(2, 9)"},
    "nested": {"hp": "choice([1, (uniform(0, 1), {'a': randint(3)}), [normal(0, 1)]])"},
    "option": {"choice": [None, [1, 2], {"value": {"a": 1}}, {"sgd": {"momentum": {"float": [0, 0.9]}}}]},
}


def test_params_are_those_of_the_space():
    built, rng = space.build(SPACE), random.Random(7)
    table = pickle.loads(pickle.dumps(described(built)))
    for _ in range(300):
        vals = built.sample(rng)
        assert decode(table, vals) == built.decode(vals)
        assert [type(value) for value in decode(table, vals).values()] == [type(v) for v in built.decode(vals).values()]


def test_what_a_trial_does_to_a_list_does_not_reach_the_next():
    built = space.build({"option": {"choice": [[1, 2]]}})
    table = described(built)
    decode(table, {"option": [0]})["option"].append(3)
    assert decode(table, {"option": [0]}) == {"option": [1, 2]}


@pytest.mark.parametrize(
    "signature",
    [
        "params",
        "params, trial",
        "trial, params",
        "params, *, trial",
        "params, data",
        "data, params, trial=None",
        "*both",
        "params, more=3",
    ],
)
def test_an_objective_gets_what_it_asks_for(tmp_path, signature):
    names = [name for name in ("params", "data", "trial", "both") if name in signature]
    got = ", ".join(f"{name!r}: {name}" for name in names)
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").touch()
    (tmp_path / "pack" / "more.py").write_text("NUMBER = 5\n")
    (tmp_path / "pack" / "train.py").write_text(
        "from pack.more import NUMBER\ndef data(): return {'rows': NUMBER}\n"
        f"async def objective({signature}):\n    return {{'loss': 1, 'got': {{{got}}}}}\n"
    )
    has_data = "data" in names or "both" in names
    spec = ObjectiveSpec(python="pack/train.py:objective", data="pack/train.py:data" if has_data else None)
    (tmp_path / "blob").write_bytes(domain(space.build({"x": {"float": [0, 1]}}), spec, tmp_path))
    code = """
import pickle, sys
from hyperopt.base import Ctrl, Trials
domain = pickle.load(open(sys.argv[1], "rb"))
document = {"tid": 3, "misc": {"vals": {"x": [0.5]}}}
print(domain.evaluate({"x": 0.5}, Ctrl(Trials(), document))["got"])
"""
    said = subprocess.run(
        [sys.executable, "-I", "-c", code, tmp_path / "blob"], capture_output=True, text=True, check=True
    ).stdout
    if "params" in names:
        assert "'params': {'x': 0.5}" in said
    if "data" in names:
        assert "'data': {'rows': 5}" in said
    if "both" in names:
        assert "'both': [{'x': 0.5}, {'rows': 5}]" in said


def test_the_pickle_names_nothing_of_hpcho(tmp_path):
    (tmp_path / "train.py").write_text("def objective(params): return params['x']\n")
    data = domain(space.build({"x": {"float": [0, 1]}}), ObjectiveSpec(python="train.py:objective"), tmp_path)
    code = "import sys; sys.modules['hpcho'] = None; import pickle; print(pickle.load(sys.stdin.buffer).expr.name)"
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    assert done.stdout == b"dict\n"
    assert isinstance(pickle.loads(data), Domain)
