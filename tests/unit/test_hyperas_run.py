"""How a hyperas file runs: unmodified, once as a module, and then its model function for each point."""

import importlib
import inspect
import linecache
import pickle
import sys
import traceback

import pytest

from hpcho.errors import ObjectiveLoadError
from hpcho.objective.hyperas import compile_file


@pytest.fixture(autouse=True)
def _fresh_modules(monkeypatch):
    """Each test's files are modules of that test alone."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    yield
    for name in set(sys.modules) - before:
        if "pytest-of" in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


@pytest.fixture
def load(tmp_path):
    def loaded(text, name="task.py"):
        file = tmp_path / name
        file.write_text(text, encoding="utf-8")
        linecache.clearcache()
        return compile_file(file).load()

    return loaded


def evaluate(objective, **vals):
    return objective.evaluate({}, {label: [value] for label, value in vals.items()}, None)


def model(body, returned="y"):
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"def data():\n    return 10\n\ndef model(x):\n{lines}    return {returned}\n"


CLASSIC = """\
from __future__ import print_function
from hyperas import optim
from hyperas.distributions import choice, uniform, conditional
import hyperas, json
from hyperopt import Trials, STATUS_OK, tpe
from hyperopt.mongoexp import MongoTrials
from hyperopt import mongoexp

def data():
    print("data")
    return [1, 2], [3]

def helper(rate):
    return rate * 2

def create_model(x_train, y_train):
    rate = {{uniform(0, 1)}}
    if conditional({{choice(['three', 'four'])}}) == 'four':
        rate = helper(rate)
    return {'loss': -rate, 'status': STATUS_OK, 'model': (x_train, y_train)}

if __name__ == '__main__':
    best_run, best_model = optim.minimize(model=create_model, data=data, functions=[helper], algo=tpe.suggest,
                                          max_evals=5, trials=MongoTrials('mongo://localhost:27017/jobs/jobs'))
    print({{uniform(0, 1)}})
"""


def test_a_classic_file_runs_as_it_is(load, capsys):
    objective = load(CLASSIC)
    assert capsys.readouterr().out == ""
    objective.prepare()
    objective.prepare()
    assert capsys.readouterr().out == "data\n"
    assert evaluate(objective, rate=0.25, conditional=0) == {"loss": -0.25, "status": "ok", "model": ([1, 2], [3])}
    assert evaluate(objective, rate=0.25, conditional=1)["loss"] == -0.5
    assert capsys.readouterr().out == ""


class Absent:
    """A finder of modules that makes some of them fail to import, as a missing package does."""

    def find_spec(self, name, path=None, target=None):
        if name in ("hyperas", "hyperopt.mongoexp"):
            raise ModuleNotFoundError("No module named 'pymongo'", name="pymongo")


def test_neither_hyperas_nor_mongoexp_need_be_there(load, monkeypatch):
    hyperopt = importlib.import_module("hyperopt")
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    monkeypatch.delitem(sys.modules, "hyperopt.mongoexp", raising=False)
    monkeypatch.delattr(hyperopt, "mongoexp", raising=False)
    assert evaluate(load(CLASSIC), rate=0.25, conditional=0)["status"] == "ok"


def test_nothing_is_written_beside_the_file(load, tmp_path):
    (tmp_path / "layers.py").write_text("SIZE = 3\n")
    (tmp_path / "later.py").write_text("")
    objective = load("from layers import SIZE\n" + model("import later\ny = {{choice([SIZE, 5])}}"))
    assert evaluate(objective, y=0) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["later.py", "layers.py", "task.py"]


def test_only_the_chosen_option_is_evaluated_in_its_own_scope(load):
    objective = load(
        model("z = 5\ndone = []\ny = {{choice([done.append(1), z + x, done.append(z), {'n': z}, 'text'])}}", "y, done")
    )
    assert [evaluate(objective, y=index) for index in range(5)] == [
        (None, [1]),
        (15, []),
        (None, [5]),
        ({"n": 5}, []),
        ("text", []),
    ]


def test_options_are_told_apart_by_their_index(load):
    objective = load(model("count = iter(range(9))\ny = {{choice([(next(count), 'a'), (next(count), 'b')])}}"))
    assert [evaluate(objective, y=index) for index in (0, 1)] == [(0, "a"), (0, "b")]


def test_options_are_made_anew_for_each_trial(load):
    objective = load(model("y = {{choice([[1], [2]])}}\ny.append(0)"))
    assert [evaluate(objective, y=0), evaluate(objective, y=0)] == [[1, 0], [1, 0]]


def test_templates_inside_of_options(load):
    objective = load(model("y = {{choice([abs({{uniform(-1, 0)}}), {'n': randint(3)}, {{quniform(0, 9, 3)}}])}}"))
    assert evaluate(objective, y=0, abs=-0.5) == 0.5
    assert evaluate(objective, y=1, y_2=2) == {"n": 2}
    assert evaluate(objective, y=2, y_1=3) == 3.0


@pytest.mark.parametrize(
    ("body", "label", "value", "result"),
    [
        ("y = 1 if {{choice([True, False])}} else 2", "if", 1, 2),
        ("if {{choice(['a', 'b'])}} == 'b': y = 1\nelse: y = 2", "if", 1, 1),
        ("y = dict(a={{choice([1, 2])}})", "a", 1, {"a": 2}),
        ("y = f\"{x}{ {{choice(['a', 'b'])}} }!\"", "y", 1, "10b!"),
        ("y = max({{uniform(0, 20)}}, x)", "max", 15.0, 15.0),
        ("y = [i for i in range({{randint(5)}})]", "range", 3, [0, 1, 2]),
        ("y = (lambda k: k * {{quniform(0, 4, 2)}})(x)", "y", 2, 20.0),
        ("class C:\n    size = {{choice([x, 7])}}\ny = C.size", "size", 0, 10),
        ("y = {{choice(range(500))}}", "y", 321, 321),
        ("y = {{pchoice([(0.5, 'a'), (0.5, x)])}}", "y", 1, 10),
        ("y = {{randint(3, 9)}}", "y", 4.0, 4),
        ("y = {{choice(['only'])}}", "y", 0, "only"),
        ("match {{choice([1, 2])}}:\n    case 2: y = 'two'", "match", 1, "two"),
    ],
)
def test_a_template_may_stand_wherever_an_expression_may(body, label, value, result, load):
    found = evaluate(load(model(body)), **{label: value})
    assert found == result
    assert type(found) is type(result)


@pytest.mark.parametrize(
    ("data", "signature", "result"),
    [
        ("return 1, 2", "(a, b)", (1, 2)),
        ("return 1", "(a)", (1,)),
        ("return [1, 2]", "(a)", ([1, 2],)),
        ("return", "(a)", (None,)),
        ("a = 1; b = 2; return b, a", "(a, b)", (1, 2)),
        ("a = 1; b = 2; c = 3; return a, b, c", "(c, a)", (3, 1)),
        ("a = 1; b = 2; return (a, b)", "(b)", (2,)),
        ("return (1, 2)", "(a, b, c=5)", (1, 2, 5)),
        ("a = 1; b = 2; return a * 2, b", "(a, b)", (2, 2)),
        ("a = 1; b = 2; return a, b", "()", (1, 2)),
        ("return 1, 2, 3", "(a, *b)", (1, (2, 3))),
    ],
)
def test_data_goes_to_the_model_by_position_and_by_name_where_hyperas_goes_by_name(data, signature, result, load):
    names = "a, b" if signature == "()" else signature[1:-1].replace("*", "").replace("=5", "")
    body = f"def data():\n    {data}\ndef model{signature}:\n    r = {{{{uniform(0, 1)}}}}\n    return ({names},)\n"
    assert evaluate(load(body), r=0.5) == result


def test_variables_of_data_are_there_for_the_model_unless_the_file_has_them(load):
    text = "n = 1\ndef data():\n    n, classes, sum = 5, 10, 7\n    return n\n"
    text += "def block():\n    return classes\ndef model(x):\n    return {{uniform(0, 1)}}, n, block(), sum([1])\n"
    assert evaluate(load(text), model=0.5) == (0.5, 1, 10, 1)


def test_data_that_do_not_fit_are_told(load):
    objective = load("def data():\n    return 1, 2\ndef model(a, b, c):\n    y = {{uniform(0, 1)}}\n")
    with pytest.raises(ObjectiveLoadError, match=r"data\(\) returned 2 value\(s\), which do not fit model\(a, b, c\)$"):
        objective.prepare()


def test_a_traceback_shows_the_file_s_own_lines(load, tmp_path):
    objective = load(model("y = {{choice([\n    1,\n    x / 0,\n])}}"))
    with pytest.raises(ZeroDivisionError) as caught:
        evaluate(objective, y=1)
    frame = traceback.extract_tb(caught.tb)[-1]
    assert (frame.filename, frame.lineno, frame.name) == (str(tmp_path / "task.py"), 7, "model")
    assert frame.line == "x / 0,"


def test_an_error_while_the_file_is_read_is_the_user_s_own_and_can_be_met_again(load, tmp_path):
    objective = load("from hyperas import optim\n\nimport no_such_module\n" + model("y = {{uniform(0, 1)}}"))
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="no_such_module") as caught:
            objective.prepare()
        frame = traceback.extract_tb(caught.tb)[-1]
        assert (frame.filename, frame.lineno, frame.line) == (str(tmp_path / "task.py"), 3, "import no_such_module")


def test_a_typing_error_in_an_import_of_hyperopt_is_the_user_s_own(load):
    with pytest.raises(ImportError, match="cannot import name 'STATUS_OKAY' from 'hyperopt'"):
        load("from hyperopt import STATUS_OKAY\n" + model("y = {{uniform(0, 1)}}")).prepare()


@pytest.mark.parametrize(
    ("imported", "code", "error"),
    [
        (
            "from hyperas import optim",
            "optim.minimize(x)",
            r"hyperas\.optim\.minimize does not run here: hpcho does the search",
        ),
        (
            "import hyperas.utils as u",
            "u.eval_hyperopt_space(x)",
            r"hyperas\.utils\.eval_hyperopt_space does not run here",
        ),
        ("from hyperas.distributions import *", "uniform(0, 1)", r"hyperas\.distributions\.uniform has no value here"),
        (
            "import hyperas.distributions",
            "hyperas.distributions.choice([1])",
            r"write \{\{choice\(\.\.\.\)\}\} in the model",
        ),
        (
            "from hyperopt.nothing import Some",
            "Some()",
            r"hyperopt\.nothing\.Some could not be imported \(No module named",
        ),
        (
            "import hyperopt.nothing as n",
            "n.Some()",
            r"hyperopt\.nothing\.Some could not be imported \(No module named",
        ),
    ],
)
def test_only_the_use_of_what_is_not_there_is_an_error(imported, code, error, load):
    objective = load(f"{imported}\n" + model("y = {{choice([1, 2])}}\n" + f"if y == 2: {code}"))
    assert evaluate(objective, y=0) == 1
    with pytest.raises(ObjectiveLoadError, match=error):
        evaluate(objective, y=1)


def test_imports_that_are_there_work(load):
    text = "import hyperopt, hyperopt.base as base, json as j\nfrom hyperopt import hp as space, STATUS_FAIL\n"
    objective = load(
        text + model("y = {{choice([1])}}", "space.uniform, base.STATUS_OK, hyperopt.STATUS_OK, STATUS_FAIL, j")
    )
    hyperopt = importlib.import_module("hyperopt")
    expected = (hyperopt.hp.uniform, "ok", "ok", "fail", importlib.import_module("json"))
    assert evaluate(objective, y=0) == expected


def test_a_search_without_a_main_block_is_left_out(load, capsys):
    text = "from hyperas import optim\n" + model("y = late({{choice([1, 2])}})")
    text += "best = optim.minimize(model, data)\nprint(best)\ndef late(y):\n    return y\n"
    assert evaluate(load(text), late=1) == 2
    assert capsys.readouterr().out == ""


def test_a_template_that_is_reached_in_some_hidden_way_is_told(load, tmp_path):
    objective = load(
        "def hidden():\n    return {{uniform(0, 1)}}\n" + model("y = globals()['hid' + 'den']({{choice([1])}})")
    )
    with pytest.raises(TypeError):
        evaluate(objective, globals=0)
    objective = load(
        "def hidden(z):\n    return {{uniform(0, 1)}}\n" + model("z = {{choice([1])}}\ny = globals()['hid' + 'den'](z)")
    )
    with pytest.raises(ObjectiveLoadError, match="reached a template in a function that it does not call by its name"):
        evaluate(objective, z=0)


def test_a_template_outside_of_a_trial_is_told(load):
    text = "def shared():\n    return {{uniform(0, 1)}}\ndef data():\n    return shared()\n"
    text += "def model(x):\n    return shared()\n"
    with pytest.raises(ObjectiveLoadError, match="the template shared was reached outside of a trial"):
        load(text).prepare()


def test_the_file_is_a_module_like_any_other(load, tmp_path):
    text = "class Net:\n    size = 3\n" + model("y = {{choice([1, 2])}}", "Net, __name__, __file__")
    net, name, file = evaluate(load(text), y=0)
    assert pickle.loads(pickle.dumps(net())).size == 3
    assert inspect.getsource(net) == "class Net:\n    size = 3\n"
    assert (name, file) == ("task", str(tmp_path / "task.py"))


def test_a_file_with_the_name_of_a_loaded_module_hides_nothing(load):
    assert evaluate(load(model("y = {{choice([1, 2])}}"), "json.py"), y=1) == 2
    assert sys.modules["json"] is importlib.import_module("json")
    assert hasattr(sys.modules["json"], "dumps")


def test_odd_texts_and_paths(load):
    text = "# -*- coding: utf-8 -*-\r\n" + model("größe = 'é'; y = größe + {{choice(['ü', größe])}} + 'ñ'", "y")
    objective = load(text.replace("\n", "\r\n").replace("\r\r", "\r"), "größe und mehr.py")
    assert [evaluate(objective, y=index) for index in (0, 1)] == ["éüñ", "ééñ"]


def test_the_file_s_own_future_imports_hold_and_ours_do_not(load):
    text = model("def inner(a: int): pass\ny = {{choice([1])}}", "inner.__annotations__['a']")
    assert evaluate(load(text), y=0) is int
    assert evaluate(load("from __future__ import annotations\n" + text), y=0) == "int"
