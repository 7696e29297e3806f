"""What experiment.yaml may say, how it is refused, and how --set changes it."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpcho.errors import ExperimentError
from hpcho.experiment import Experiment, load

PLAIN = """\
name: lab
objective: {python: "train.py:objective"}
space: {x: {float: [0, 1]}}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write x.yaml beside a train.py; without a text, a plain experiment."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").touch()

    def write(text=PLAIN, more=""):
        path = tmp_path / "x.yaml"
        path.write_text(text + more, encoding="utf-8")
        return path.relative_to(tmp_path)

    return write


def problems(path, *settings):
    with pytest.raises(ExperimentError) as caught:
        load(path, settings)
    return str(caught.value).splitlines()


def test_defaults_are_those_of_the_documentation(write):
    experiment, source = load(write())
    assert experiment.budget.trials == 50
    assert experiment.sampler.name == "auto"
    assert experiment.launcher.local.workers == 1
    assert experiment.retries.infrastructure == 5
    assert experiment.store.auto is not None
    assert experiment.mongo is None
    assert source.text == PLAIN


def test_an_experiment_travels_as_json(write):
    more = """\
sampler: {name: tpe, seed: 42, gamma: 0.3}
budget: {trials: 3, hours: 1}
points: [{x: 0.5}]
launcher: local
"""
    text = PLAIN.replace("space:", "space: &s").replace("x: {float: [0, 1]}", "x: {choice: [1, .inf, null, [a]]}")
    experiment, _ = load(write(text, more))
    assert Experiment.model_validate_json(experiment.model_dump_json()) == experiment
    assert Experiment.model_validate(json.loads(json.dumps(experiment.model_dump(mode="json")))) == experiment
    assert experiment.sampler.options == {"gamma": 0.3}
    assert experiment.space["x"]["choice"][1] == float("inf")


@pytest.mark.parametrize(
    ("more", "check"),
    [
        ("sampler: random", lambda e: e.sampler.name == "random" and e.sampler.options == {}),
        ("sampler: {seed: 3}", lambda e: (e.sampler.name, e.sampler.seed) == ("auto", 3)),
        ("sampler: {name: tpe, n_startup_jobs: 5}", lambda e: e.sampler.options == {"n_startup_jobs": 5}),
        ("launcher: local", lambda e: e.launcher.local.workers == 1),
        ("launcher: {local: }", lambda e: e.launcher.local.workers == 1),
        ("launcher: {local: {workers: 3}}", lambda e: e.launcher.local.workers == 3),
        ("launcher: none\nstore: sqlite", lambda e: e.launcher.none is not None and e.launcher.local is None),
        ("launcher: none\nstore: sqlite", lambda e: e.mongo is None),
        ("launcher: none", lambda e: e.mongo is not None and e.mongo.url is None),
        ("store: mongo", lambda e: e.mongo is not None and not e.mongo.stock_workers),
        ("store: {mongo: }", lambda e: e.mongo is not None),
        ("store: {mongo: {port: 27018, host: login1}}", lambda e: (e.mongo.port, e.mongo.host) == (27018, "login1")),
        ("store: mongodb+srv://ada@db.example.org/jobs", lambda e: e.mongo.url.startswith("mongodb+srv://ada@")),
        ("budget: {hours: 12}", lambda e: e.budget.hours == 12.0 and e.budget.trials is None),
        ("group: null", lambda e: e.group is None),
    ],
)
def test_short_forms(write, more, check):
    assert check(load(write(more=more))[0])


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("sampelr: tpe", "4:1: sampelr: unknown key \"sampelr\"; did you mean 'sampler'?"),
        ("trial: {timeoutmin: 3}", "4:9: trial.timeoutmin: unknown key \"timeoutmin\"; did you mean 'timeout_min'?"),
        ("keep: {zzz: 3}", '4:8: keep.zzz: unknown key "zzz"; here are best'),
        (
            "sampler: tpee",
            "4:10: sampler: must be auto, tpe, anneal, random, atpe, optuna:CmaEs",
        ),
        ("launcher: locl", "4:11: launcher: unknown launcher \"locl\"; did you mean 'local'?"),
        ("budget: {trials: 0}", "4:18: budget.trials: must be at least 1, not 0"),
        ("budget: {hours: -1}", "4:17: budget.hours: must be greater than 0, not -1"),
        ("budget: {loss: .nan}", "4:16: budget.loss: must be a finite number, not .nan"),
        ("budget: {trials: 1e3}", "4:18: budget.trials: must be an integer, not 1000.0; write 1000"),
        ("budget: {trials: true}", "4:18: budget.trials: must be an integer, not true"),
        ("budget: {hours: true}", "4:17: budget.hours: must be a number, not true"),
        ('budget: {hours: "3"}', '4:17: budget.hours: must be a number, not "3"; remove the quotes'),
        ("budget: {}", "4:9: budget: needs at least one limit: trials, hours, loss or failures; {trials: 50}, say"),
        ("budget: 50", "4:9: budget: must be a mapping like {trials: 50}, not 50"),
        ("budget:", "4:8: budget: must be a mapping like {trials: 50}, not null"),
        ("trial: {isolate: yes}", '4:18: trial.isolate: must be true or false, not "yes"; write true'),
        ("points: {x: 1}", "4:9: points: must be a list, not {x: 1}; write [{x: 1}]"),
        ("points: [{x: 1}, 3]", "4:18: points.1: must be a mapping, not 3"),
        ("points: [{1: 1}]", '4:11: points.0.1: a key here must be a string: write "1" in quotes'),
        ("job_dir: 7", '4:10: job_dir: must be a string, not 7; write "7" in quotes'),
        ('job_dir: ""', "4:10: job_dir: must be a folder beside the YAML"),
        ("sampler: {name: random, gamma: 1}", '4:25: sampler.gamma: unknown option "gamma" of random'),
        ("sampler: {name: tpe, gama: 1}", "4:22: sampler.gama: unknown option \"gama\" of tpe; did you mean 'gamma'?"),
        (
            "sampler: {gamma: 1}",
            '4:11: sampler.gamma: unknown option "gamma" of auto; it is one of tpe: write `name: tpe`',
        ),
        ("sampler: {name: tpe, gamma: 0}", "4:29: sampler.gamma: must be a number greater than 0, not 0"),
        ("sampler: {name: tpe, n_startup_jobs: 2.5}", "4:38: sampler.n_startup_jobs: must be an integer, 1 or more"),
        ("sampler: {name: anneal, avg_best_idx: 0.5}", "4:39: sampler.avg_best_idx: must be a number, 1 or more"),
        ("launcher: {}", "4:11: launcher: needs exactly one launcher (local, slurm, ssh or none), and has none"),
        (
            "launcher: {local: {}, none: {}}",
            "4:11: launcher: needs exactly one launcher (local, slurm, ssh or none), and has local",
        ),
        (
            "launcher: {slurm: {walltime: 1h}}",
            "4:30: launcher.slurm.walltime: must be a time as SLURM writes it (HH:MM:SS, D-HH:MM:SS or minutes, and ",
        ),
        (
            "launcher: {slurm: {options: {time: 5}}}",
            "4:30: launcher.slurm.options.time: is said by another key: launcher.slurm.walltime",
        ),
        (
            "launcher: {slurm: {options: {requeue: true}}}",
            "4:30: launcher.slurm.options.requeue: must be removed: hpcho sends new jobs itself",
        ),
        (
            "launcher: {slurm: {workers_per_gpu: 2}}",
            "4:20: launcher.slurm.workers_per_gpu: is for workers that share a GPU: it needs gpus: 1",
        ),
        ("launcher: {ssh: {}}", "4:12: launcher.ssh.hosts: is required: a file beside the YAML"),
        (
            "launcher: slurm\nstore: sqlite",
            "5:8: store: must be mongo with the slurm launcher, or left out: sqlite files get damaged when several",
        ),
        ("store: sqlight", "4:8: store: unknown store \"sqlight\"; did you mean 'sqlite'?"),
        ("store: {}", "4:8: store: needs exactly one store (auto, sqlite or mongo), and has none"),
        ("store: {sqlite: , mongo: }", "4:8: store: needs exactly one store (auto, sqlite or mongo), and has none"),
        (
            "store: {mongo: {}, sqlite: {}}",
            "4:8: store: needs exactly one store (auto, sqlite or mongo), and has mongo",
        ),
        ("store: {mongo: {port: 70000}}", "4:23: store.mongo.port: must be at most 65535, not 70000"),
        ("store: {mongo: {prot: 1}}", "4:17: store.mongo.prot: unknown key \"prot\"; did you mean 'port'?"),
        ("store: {mongo: {password_file: pw}}", "4:17: store.mongo.password_file: belongs to the server at a url: add"),
        (
            "store: {mongo: {url: 'mongodb://h/d', port: 1}}",
            "4:39: store.mongo.port: belongs to a managed server: remove it, or url",
        ),
        ("store: {mongo: {stock_workers: yes}}", '4:32: store.mongo.stock_workers: must be true or false, not "yes"'),
        ("minimise: loss", '4:11: minimise: must be a list, not "loss"; write [loss]'),
        ("minimise: []", "4:11: minimise: must be a list that is not empty, not []"),
        ("minimise: [loss, loss]", '4:18: minimise.1: "loss" is there already: remove it'),
        (
            "minimise: [loss, a b]",
            "4:18: minimise.1: must be loss, duration_s, or the name of a number that the objective returns beside its",
        ),
        (
            "constraints: params_m < 10",
            '4:14: constraints: must be a list, not "params_m < 10"; write',
        ),
        (
            "constraints: [params_m = 10]",
            "4:15: constraints.0: must be NAME < NUMBER, with <, <=, > or >= in the middle: params_m < 10, say (it is",
        ),
        (
            "constraints: [x < 1, 10 >= params_m]",
            "4:22: constraints.1: must end in a number, and params_m is none; write the name first: params_m <= 10",
        ),
        ("constraints: [x < y]", '4:15: constraints.0: must end in a number, and y is none (it is "x < y")'),
        ("constraints: [x < .nan]", "4:15: constraints.0: must end in a number, and .nan is none"),
        (
            "minimise: [loss, duration_s]\npruner: asha",
            "5:9: pruner: knows the loss alone, and others would be judged by it, too: remove it, or write",
        ),
        (
            "minimise: [error]\nwarm_start: [old.yaml]",
            "5:13: warm_start: brings the loss alone, and others would be judged by it, too: remove it, or write",
        ),
        (
            "warm_start: [{from: a}]",
            '4:15: warm_start.0.from: unknown key "from"; here are experiment, url, exp_key and',
        ),
        (
            "sampler: optuna:TPE",
            "4:10: sampler: must be auto, tpe, anneal, random, atpe, optuna:CmaEsSampler, optuna:GPSampler, opt",
        ),
    ],
)
def test_a_wrong_value_is_told_with_its_place_and_what_is_right(write, more, problem):
    (found,) = problems(write(more=more))
    assert found.startswith(f"x.yaml:{problem}")


@pytest.mark.parametrize("name", ["a b", "", ".", "..", "a/b", "ä", "x" * 65, '"a\\n"'])
def test_a_name_must_fit_a_folder(write, name):
    quoted = name if name.startswith('"') else f'"{name}"'
    (found,) = problems(write(PLAIN.replace("lab", quoted)))
    assert found.startswith("x.yaml:1:7: name: must be letters, digits, '_', '-' and '.', at most 64 of them")


def test_a_number_as_name_needs_quotes(write):
    assert problems(write(PLAIN.replace("lab", "2024"))) == [
        'x.yaml:1:7: name: must be a string, not 2024; write "2024" in quotes'
    ]


def test_what_is_missing_is_told_at_its_parent(write):
    assert [line.partition(" is required")[0] for line in problems(write("pruner: none\n"))] == [
        "x.yaml:1:1: name:",
        "x.yaml:1:1: objective:",
    ]


def test_all_problems_are_told_at_once_in_the_order_of_the_file(write):
    text = """\
name: a b
objective: {python: train.py, data: 3}
space:
  x: {float: [1, 0]}
store: {mongo: {port: 0}}
budget: {trials: x}
retires: {}
"""
    places = [":".join(line.split(":")[1:4]) for line in problems(write(text))]
    assert places == [
        "1:7: name",
        "2:21: objective.python",
        "2:37: objective.data",
        "4:14: space.x.float",
        "5:23: store.mongo.port",
        "6:18: budget.trials",
        "7:1: retires",
    ]


@pytest.mark.parametrize(
    ("objective", "problem"),
    [
        ("{}", "12: objective: needs exactly one of python, hyperas or command, and has none"),
        (
            "{python: 'm:f', command: [a]}",
            "12: objective: needs exactly one of python, hyperas or command, and has python and command",
        ),
        ("train.py:objective", "12: objective: must be a mapping like {python: train.py:objective}"),
        ("{pyhton: 'm:f'}", "13: objective.pyhton: unknown key \"pyhton\"; did you mean 'python'?"),
        ("{python: train.py}", "21: objective.python: must name a function: write train.py:FUNCTION"),
        ("{python: 'a b:f'}", "21: objective.python: must name a function: write FILE.py:FUNCTION or package.module"),
        ("{python: 'trian.py:f'}", "21: objective.python: there is no file trian.py in .; did you mean train.py?"),
        ("{python: 'm:f', data: 'x.py:d'}", "34: objective.data: there is no file x.py in ."),
        ("{python: '../train.py:f'}", "21: objective.python: ../train.py must stand beside the YAML"),
        ("{command: [a], data: 'train.py:d'}", "27: objective.data: belongs to a python objective"),
        ("{command: []}", "22: objective.command: must be a list that is not empty, not []"),
        ("{command: python a.py --x 1}", "22: objective.command: must be a list, not"),
        ("{command: [a, {x}]}", '26: objective.command.1: must be a string, not {x: null}; write "{x}" in quotes'),
        ("{command: [a, 5]}", '26: objective.command.1: must be a string, not 5; write "5" in quotes'),
        ("{command: [a, '--u={unit}']}", "31: objective.command.1: {unit} is no parameter of the space; they are x"),
        ("{command: [a, '}']}", "27: objective.command.1: } has a single }: write }} for a brace, {name} for a"),
    ],
)
def test_an_objective_that_is_none(write, objective, problem):
    text = PLAIN.replace('{python: "train.py:objective"}', objective)
    (found,) = problems(write(text))
    assert found.startswith(f"x.yaml:2:{problem}")


@pytest.mark.parametrize(
    "objective",
    [
        "{python: 'train.py:f', data: 'train.py:d'}",
        "{python: 'package.module:f'}",
        "{python: 'm:Class.method'}",
        "{command: [a, '{x}', '{{x}}']}",
    ],
)
def test_objectives_that_are_fine(write, objective):
    load(write(PLAIN.replace('{python: "train.py:objective"}', objective)))


def test_a_hyperas_objective_brings_its_own_space(write):
    text = PLAIN.replace('python: "train.py:objective"', "hyperas: train.py")
    assert problems(write(text)) == [
        "x.yaml:3:1: space: must be removed: a hyperas objective's templates are its space"
    ]
    load(write(text.replace("space: {x: {float: [0, 1]}}\n", "")))


def test_other_objectives_need_a_space(write):
    (found,) = problems(write(PLAIN.replace("space: {x: {float: [0, 1]}}\n", "")))
    assert found.startswith("x.yaml:1:1: space: is required: the parameters, such as")


def test_set_replaces_and_adds(write):
    settings = ["launcher.local.workers=4", "budget.hours=1.5", "points.0.x=0.25", "space.y={int: [1, 3]}", "group="]
    experiment, _ = load(write(more="points: [{x: 1}]\nlauncher: local\ngroup: staff\n"), settings)
    assert experiment.launcher.local.workers == 4
    assert experiment.budget.hours == 1.5
    assert experiment.points == ({"x": 0.25},)
    assert experiment.space["y"] == {"int": [1, 3]}
    assert experiment.group is None


def test_set_takes_short_forms(write):
    experiment, _ = load(write(more="sampler: random\n"), ["launcher=local", "sampler.seed=3"])
    assert (experiment.sampler.name, experiment.sampler.seed) == ("random", 3)


def test_set_reaches_one_of_two_places_that_share_an_anchor(write):
    text = PLAIN.replace("{x: {float: [0, 1]}}", "{x: &r {float: [0, 1]}, y: *r}")
    experiment, _ = load(write(text), ["space.x.float.1=2"])
    assert experiment.space == {"x": {"float": [0, 2]}, "y": {"float": [0, 1]}}


def test_a_wrong_set_value_names_the_option_and_no_line(write):
    assert problems(write(), "launcher.local.workers=x") == [
        '--set launcher.local.workers=x: must be an integer, not "x"'
    ]
    assert problems(write(), "launcher={local: {workrs: 1}}") == [
        "--set launcher={local: {workrs: 1}}: launcher.local.workrs: unknown key \"workrs\"; did you mean 'workers'?"
    ]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("workers", "must be KEY=VALUE, as in launcher.local.workers=4"),
        ("a..b=1", "must be KEY=VALUE"),
        ("name=[a", "is not valid YAML"),
        ("name.x=1", "name is \"lab\" in the YAML, so it has nothing named 'x' in it"),
        ("space.x.float.2=1", "space.x.float is a list of 2: it has no element '2'"),
        ("trails=3", 'unknown key "trails"'),
        ("name={a: 1, a: 2}", "this key was given before"),
    ],
)
def test_a_setting_that_fits_nowhere(write, setting, message):
    (found,) = problems(write(), setting)
    assert found.startswith(f"--set {setting}: {message}")


def test_a_place_in_the_yaml_is_found_for_any_path(write):
    _, source = load(write(more="points:\n  - {x: 1}\n"), ["budget.trials=3"])
    assert str(source.problem(("points", 0, "x"), "no")) == "x.yaml:5:9: points.0.x: no"
    assert str(source.problem(("points", 0, "x"), "no", at_key=True)) == "x.yaml:5:6: points.0.x: no"
    assert str(source.problem(("points", 0, "y"), "no")) == "x.yaml:5:5: points.0.y: no"
    assert str(source.problem(("space", "x", "float"), "no")) == "x.yaml:3:20: space.x.float: no"
    assert str(source.problem((), "no")) == "x.yaml:1:1: no"
    assert str(source.problem(("budget",), "no")) == "--set budget.trials=3: budget: no"


JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(st.text(max_size=5), below, max_size=3)),
    max_leaves=5,
)

KEYS = [
    "name",
    "objective.python",
    "objective.command",
    "objective",
    "space",
    "space.x",
    "space.x.float",
    "space.x.float.0",
    "space.x.choice",
    "space.x.hp",
    "sampler",
    "sampler.gamma",
    "budget",
    "points",
    "points.0",
    "launcher",
    "launcher.local",
    "launcher.local.workers",
    "store",
    "store.mongo",
    "store.mongo.url",
    "trial.isolate",
]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(KEYS), JUNK), min_size=1, max_size=3))
def test_whatever_is_written_is_an_experiment_or_told_as_a_problem(write, changes):
    path = write()
    try:
        experiment, _ = load(path, [f"{key}={json.dumps(value)}" for key, value in changes])
    except ExperimentError as error:
        told = [problem.message for problem in error.problems]
    else:
        told = [str(Experiment.model_validate_json(experiment.model_dump_json()) == experiment)]
    assert told
    assert all(told)
    assert "False" not in told
