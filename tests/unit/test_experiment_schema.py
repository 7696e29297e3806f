"""The JSON Schema of experiment.yaml agrees with what hpcho reads."""

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from hpcho.experiment import json_schema
from hpcho.experiment.yaml12 import Builder, parse

ROOT = Path(__file__).parents[2]
SCHEMA = json_schema()

WHOLE = """\
name: mnist
objective: {python: "train.py:objective", data: "train.py:data"}
space:
  units: {int: [12, 256], step: 4}
  lr: {float: [1e-5, 1e-1], log: true}
  depth: {hp: "quniform(1, 4, 1)"}
  optimizer:
    choice: [rmsprop, 1, null, [1, 2], {sgd: {momentum: {float: [0, 0.99]}}}, {adam: }, {value: {a: 1}},
             {value: 2, space: {k: {choice: [1]}}}]
sampler: {name: tpe, seed: 42, gamma: 0.25}
pruner: none
budget: {trials: 50, hours: 12, loss: 0.01, failures: 10}
retries: {objective: 0, timeout: 1, oom: 1, worker: 1, infrastructure: 5}
trial: {timeout_min: 60, isolate: false, recycle_after: 200}
points: [{units: 64}]
warm_start: [old.yaml, {experiment: runs/old}, {url: "mongodb://h/jobs", exp_key: a}]
keep: {best: 5}
launcher: {local: {workers: 2}}
store: auto
job_dir: runs
group: null
"""


def value(text):
    return Builder().value(parse(text, "x.yaml"), ())


def errors(text):
    return [error.message for error in Draft202012Validator(SCHEMA).iter_errors(value(text))]


def test_it_is_a_schema_of_the_2020_12_draft():
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["properties"]["name"]["description"]


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*/experiment.yaml")), ids=lambda path: path.parent.name)
def test_the_examples_are_valid(path):
    assert errors(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        WHOLE,
        WHOLE.replace("{name: tpe, seed: 42, gamma: 0.25}", "random"),
        WHOLE.replace("{name: tpe, seed: 42, gamma: 0.25}", "{name: 'optuna:TPESampler', multivariate: true}"),
        WHOLE.replace("pruner: none", "pruner: asha"),
        WHOLE.replace("pruner: none", "pruner: {name: hyperband, grace: 2, factor: 4, max_steps: 50}"),
        WHOLE.replace("{local: {workers: 2}}", "local"),
        WHOLE.replace("{local: {workers: 2}}", "none").replace("store: auto", "store: sqlite"),
        WHOLE.replace("store: auto", "store: mongo"),
        WHOLE.replace("store: auto", "store: {mongo: {port: 27018, stock_workers: true}}"),
        WHOLE.replace("store: auto", "store: mongodb://ada@db/jobs"),
        WHOLE.replace("store: auto", "store: {mongo: mongodb://ada@db/jobs}"),
        "name: a\nobjective: {hyperas: task.py}\n",
    ],
)
def test_every_form_is_valid(text):
    assert errors(text) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: mnist", "nam: mnist"),
        ("name: mnist", "name: a b"),
        ("{int: [12, 256], step: 4}", "{int: [12], step: 4}"),
        ("{int: [12, 256], step: 4}", "{int: [12, 256], stp: 4}"),
        ("{int: [12, 256], step: 4}", "{int: [12, 256], float: [1, 2]}"),
        ("{int: [12, 256], step: 4}", "64"),
        ('{hp: "quniform(1, 4, 1)"}', '{hp: "quniform(1, 4, 1)", step: 1}'),
        ("momentum: {float: [0, 0.99]}", "momentum: 3"),
        ('data: "train.py:data"', "command: [a]"),
        ("gamma: 0.25", "gama: 0.25"),
        ("{experiment: runs/old}", "{}"),
        (", exp_key: a", ""),
        ("name: tpe", "name: tpee"),
        ("{local: {workers: 2}}", "{}"),
        ("{local: {workers: 2}}", "slrm"),
        ("{trials: 50, hours: 12, loss: 0.01, failures: 10}", "{}"),
        ("workers: 2", "workers: 0"),
        ("store: auto", "store: mango"),
        ("store: auto", "store: {mongo: {prot: 1}}"),
    ],
)
def test_mistakes_are_invalid(old, new):
    assert old in WHOLE
    assert errors(WHOLE.replace(old, new))
