"""Python objectives: how they are found, loaded and called."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from hpcho import objective
from hpcho.errors import ObjectiveLoadError
from hpcho.experiment.schema import ObjectiveSpec


class Trial:
    """A trial that remembers what it was told."""

    tid = 7

    def __init__(self, folder):
        self.dir = folder
        self.reports = []

    def report(self, step, loss):
        self.reports.append((step, loss))

    def should_prune(self):
        return False

    def should_stop(self):
        return False


@pytest.fixture
def trial(tmp_path):
    return Trial(tmp_path)


@pytest.fixture(autouse=True)
def _fresh_modules(monkeypatch):
    """Each test's files are modules of that test alone."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    yield
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if "pytest-of" in file:
            del sys.modules[name]


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def evaluate(source, trial, code, params=None, **spec):
    (source / "task.py").write_text(code)
    loaded = objective.load(ObjectiveSpec(python="task.py:objective", **spec), source)
    loaded.prepare()
    return loaded.evaluate({"x": 3} if params is None else params, {}, trial)


def refusal(source, code, **spec):
    with pytest.raises(ObjectiveLoadError) as caught:
        evaluate(source, None, code, **spec)
    return str(caught.value)


def test_a_function_gets_the_params(source, trial):
    assert evaluate(source, trial, "def objective(params): return params['x'] * 2") == 6


def test_a_plain_dict_is_as_good_as_the_model(source, trial):
    (source / "task.py").write_text("def objective(params): return params['x']")
    loaded = objective.load({"python": "task.py:objective", "data": None}, source)
    assert loaded.evaluate({"x": 4}, {}, trial) == 4


def test_data_is_made_once_and_given_second(source, trial):
    (source / "task.py").write_text(
        "calls = []\ndef data():\n    calls.append(1)\n    return calls\n"
        "def objective(params, arrays): return len(arrays)"
    )
    loaded = objective.load(ObjectiveSpec(python="task.py:objective", data="task.py:data"), source)
    loaded.prepare()
    loaded.prepare()
    assert [loaded.evaluate({}, {}, trial) for _ in range(3)] == [1, 1, 1]


def test_data_may_live_in_another_file(source, trial):
    (source / "arrays.py").write_text("def make(): return [1, 2]")
    code = "def objective(params, data): return sum(data)"
    assert evaluate(source, trial, code, data="arrays.py:make") == 3


@pytest.mark.parametrize(
    "signature",
    [
        "(params, data, trial)",
        "(trial, params, data)",
        "(params, trial, data)",
        "(params, data, *, trial)",
        "(p, d, /, verbose=1, *, trial=None)",
        "(params, verbose=1, data=None, trial=None)",
        "(params, *, data, trial)",
        "(*args, trial)",
        "(trial, *args, **options)",
    ],
)
def test_trial_and_data_arrive_wherever_they_stand(source, trial, signature):
    body = """:
    given = locals()
    args = given.get("args", (None,))
    return given.get("params", given.get("p", args[0])), given.get("data", given.get("d", args[-1])), trial.tid
"""
    code = f"def data(): return 'D'\ndef objective{signature}{body}"
    assert evaluate(source, trial, code, data="task.py:data") == ({"x": 3}, "D", 7)


@pytest.mark.parametrize(("signature", "takes"), [("(params)", False), ("(params, trial)", True), ("(*trial)", False)])
def test_it_is_known_whether_the_objective_looks_at_its_trial(source, signature, takes):
    (source / "task.py").write_text(f"def objective{signature}: pass")
    loaded = objective.load({"python": "task.py:objective"}, source)
    loaded.prepare()
    assert loaded.takes_trial is takes


def test_the_trial_receives_reports(source, trial):
    evaluate(source, trial, "def objective(params, trial): trial.report(1, 0.5)")
    assert trial.reports == [(1, 0.5)]


@pytest.mark.parametrize(
    "code",
    [
        "async def objective(params):\n    import asyncio\n    await asyncio.sleep(0)\n    return params['x']",
        "from functools import partial\ndef f(k, params): return params['x'] * k\nobjective = partial(f, 1)",
        "class F:\n    def __call__(self, params): return params['x']\nobjective = F()",
        "class F:\n    async def __call__(self, params): return params['x']\nobjective = F()",
        "objective = lambda params: params['x']",
    ],
    ids=["coroutine", "partial", "object", "coroutine object", "lambda"],
)
def test_all_kinds_of_callables(source, trial, code):
    assert evaluate(source, trial, code) == 3


def test_a_method_can_be_named(source, trial):
    (source / "task.py").write_text("class F:\n    def run(self, params): return 5\nf = F()")
    assert objective.load({"python": "task.py:f.run"}, source).evaluate({}, {}, trial) == 5


@pytest.mark.parametrize(
    ("code", "spec", "words"),
    [
        ("def objective(x, y): pass", {}, ["objective(params)", "objective(x, y)", "also needs y"]),
        ("def objective(**params): pass", {}, ["no place for params", "one dict in the first argument"]),
        ("def objective(trial): pass", {}, ["no place for params"]),
        ("def objective(params, data): pass", {}, ["also needs data", "objective.data in the YAML"]),
        (
            "def data(): pass\ndef objective(params): pass",
            {"data": "task.py:data"},
            ["no place for data", "take objective.data out"],
        ),
        (
            "def data(path): pass\ndef objective(params, data): pass",
            {"data": "task.py:data"},
            ["objective.data", "data(path)", "give its parameters defaults"],
        ),
        ("class objective: pass", {}, ["is a class"]),
        ("objective = 3", {}, ["is of type int and cannot be called"]),
        ("def objectiv(params): pass", {}, ["task.py has no 'objective'", "did you mean 'objectiv'?"]),
    ],
)
def test_what_cannot_be_called_is_refused_with_a_reason(source, code, spec, words):
    message = refusal(source, code, **spec)
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize(
    ("python", "words"),
    [
        ("tsk.py:objective", ["there is no tsk.py", "did you mean 'task.py'?"]),
        ("sub/task.py:objective", ["there is no sub/task.py"]),
        ("../task.py:objective", ["not in the YAML's folder"]),
        ("/task.py:objective", ["not in the YAML's folder"]),
        ("sub/task.txt:objective", ["must end with .py"]),
        ("task.py", ["names no function", "FILE.py:FUNCTION"]),
        ("task.py:my objective", ["names no function"]),
        ("my task:objective", ["neither a FILE.py nor a module's name"]),
    ],
)
def test_what_cannot_be_found_is_refused_before_anything_runs(source, python, words):
    (source / "task.py").write_text("raise RuntimeError")
    with pytest.raises(ObjectiveLoadError) as caught:
        objective.load({"python": python}, source)
    assert [word for word in words if word not in str(caught.value)] == []


def test_an_absent_module_is_refused_with_the_nearest(source):
    (source / "training.py").write_text("")
    loaded = objective.load({"python": "trainin:objective"}, source)
    with pytest.raises(
        ObjectiveLoadError, match=r"no module named 'trainin' beside the YAML .* did you mean 'training'"
    ):
        loaded.prepare()


def test_errors_of_the_users_imports_come_through_untouched(source):
    (source / "task.py").write_text("import nonexistent_thing")
    loaded = objective.load({"python": "task.py:objective"}, source)
    with pytest.raises(ModuleNotFoundError, match="nonexistent_thing") as caught:
        loaded.prepare()
    assert str(source / "task.py") in str(caught.traceback[-1].path)
    (source / "bad_syntax.py").write_text("def objective(:")
    with pytest.raises(SyntaxError):
        objective.load({"python": "bad_syntax:objective"}, source).prepare()


def test_a_module_in_a_package_beside_the_yaml(source, trial):
    (source / "pack").mkdir()
    (source / "pack" / "__init__.py").write_text("")
    (source / "pack" / "a.py").write_text("from . import b\ndef objective(params): return b.loss")
    (source / "pack" / "b.py").write_text("loss = 4")
    assert objective.load({"python": "pack.a:objective"}, source).evaluate({}, {}, trial) == 4
    assert objective.load({"python": "pack/a.py:objective"}, source).evaluate({}, {}, trial) == 4


def test_an_installed_module(source, trial):
    assert objective.load({"python": "math:fsum"}, source).evaluate([1, 2], {}, trial) == 3


def test_a_file_in_a_folder_imports_what_lies_beside_it_and_beside_the_yaml(source, trial):
    (source / "deep").mkdir()
    (source / "deep" / "run.py").write_text("import near, far\ndef objective(params): return near.x + far.x")
    (source / "deep" / "near.py").write_text("x = 1")
    (source / "far.py").write_text("x = 2")
    assert objective.load({"python": "deep/run.py:objective"}, source).evaluate({}, {}, trial) == 3


def test_a_file_that_has_the_name_of_a_loaded_module_is_refused(source):
    (source / "pickle.py").write_text("def objective(params): return 1")
    loaded = objective.load({"python": "pickle.py:objective"}, source)
    with pytest.raises(ObjectiveLoadError, match=r"another module named 'pickle' already .*: rename the file"):
        loaded.prepare()
    assert sys.modules["pickle"] is pickle


def test_the_main_block_is_not_run_and_no_bytecode_is_written(source, trial):
    code = "import other\ndef objective(params): return other.x\nif __name__ == '__main__': raise SystemExit(3)"
    (source / "other.py").write_text("x = 1")
    assert evaluate(source, trial, code) == 1
    assert sorted(path.name for path in source.iterdir()) == ["other.py", "task.py"]


def test_a_module_that_failed_can_be_loaded_again(source, trial):
    (source / "task.py").write_text("raise OSError('disk')")
    loaded = objective.load({"python": "task.py:objective"}, source)
    with pytest.raises(OSError, match="disk"):
        loaded.prepare()
    (source / "task.py").write_text("def objective(params): return 9")
    assert loaded.evaluate({}, {}, trial) == 9


@pytest.mark.slow
def test_the_objective_may_start_processes_of_its_own(source, trial):
    code = (
        "import multiprocessing\ndef double(x): return 2 * x\n"
        "def objective(params):\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool: return pool.map(double, [params['x']])[0]\n"
    )
    assert evaluate(source, trial, code) == 6
    assert [path.name for path in source.iterdir()] == ["task.py"]


def test_paths_with_spaces_and_other_letters(tmp_path, trial):
    folder = tmp_path / "mein Ordner für Ähnliches"
    folder.mkdir()
    (folder / "größe-1.py").write_text("def objective(params): return 2", encoding="utf-8")
    assert objective.load({"python": "größe-1.py:objective"}, folder).evaluate({}, {}, trial) == 2


def test_a_spec_that_names_nothing_is_refused(tmp_path):
    with pytest.raises(ObjectiveLoadError, match="write python, hyperas or command"):
        objective.load({}, tmp_path)


def test_only_a_hyperas_objective_brings_templates(tmp_path):
    assert objective.templates(ObjectiveSpec(command=("true",)), tmp_path) == ()


def test_loading_is_light(source):
    (source / "task.py").write_text("def objective(params): return 1")
    code = (
        "import sys; from pathlib import Path; from hpcho import objective; import hpcho.objective.encode as e;"
        f"print(objective.load({{'python': 'task.py:objective'}}, Path({str(source)!r})).evaluate({{}}, {{}}, None));"
        "e.encode(0.5, Path('nowhere'));"
        "print([m for m in ('numpy', 'pydantic', 'yaml', 'hyperopt', 'asyncio', 'psutil') if m in sys.modules])"
    )
    root = Path(objective.__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert ran.stdout.split("\n")[:2] == ["1", "[]"]
