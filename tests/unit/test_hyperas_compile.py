"""What a hyperas file's templates are read as, and what is refused, with file and line."""

import math

import pytest

from hpcho.errors import ObjectiveLoadError
from hpcho.expression import Choice, Distribution, Literal, Opaque, Structure, Template
from hpcho.objective import templates
from hpcho.objective.hyperas import compile_file

DATA = "def data():\n    return 1\n"


@pytest.fixture
def compiled(tmp_path):
    def write(text, name="task.py"):
        file = tmp_path / name
        file.write_text(text, encoding="utf-8")
        return compile_file(file)

    return write


@pytest.fixture
def nodes(compiled):
    """The nodes of the templates in one expression of a model function."""
    return lambda code: [each.node for each in compiled(f"{DATA}def model(x):\n    y = {code}\n").templates]


@pytest.fixture
def refused(compiled, tmp_path):
    """The error of a file, without its path."""

    def error(text, name="task.py"):
        with pytest.raises(ObjectiveLoadError) as caught:
            compiled(text, name)
        return str(caught.value).removeprefix(str(tmp_path / name))

    return error


def test_literal_options_are_values_and_code_is_its_text(nodes):
    assert nodes("{{choice(['a', 1.5, None, (1, 2), {'n': [1]}, Dropout(rate,  'x'), -x])}}") == [
        Choice(
            "y",
            (
                Literal("a"),
                Literal(1.5),
                Literal(None),
                Literal((1, 2)),
                Literal({"n": [1]}),
                Opaque("Dropout(rate,  'x')"),
                Opaque("-x"),
            ),
        )
    ]


def test_an_option_of_several_lines_is_one_line_of_text(nodes):
    assert nodes("{{choice([Dropout(\n        0.5,  # half\n    ), 1])}}") == [
        Choice("y", (Opaque("Dropout(0.5)"), Literal(1)))
    ]


def test_templates_in_code_are_children_of_their_option(nodes):
    assert nodes("{{choice([Dropout({{uniform(0, 1)}}), [Dense({{randint(9)}}), 1]])}}") == [
        Choice(
            "y",
            (
                Opaque(
                    "Dropout({{uniform(0, 1)}})", (Template("Dropout", Distribution("Dropout", "uniform", (0, 1))),)
                ),
                Opaque("[Dense({{randint(9)}}), 1]", (Template("Dense", Distribution("Dense", "randint", (9,))),)),
            ),
        )
    ]


def test_distributions_as_options_need_no_brackets(nodes):
    assert nodes("{{choice([0, uniform(0, 1), {{normal(0, 1)}}, {'n': randint(3)}])}}") == [
        Choice(
            "y",
            (
                Literal(0),
                Distribution("y_2", "uniform", (0, 1)),
                Distribution("y_1", "normal", (0, 1)),
                Structure("dict", (Distribution("y_3", "randint", (3,)),), ("n",)),
            ),
        )
    ]


def test_numbers_are_worked_out(nodes):
    assert nodes("{{loguniform(np.log(1e-4), math.log(0.1) + 0.5 / 2)}}") == [
        Distribution("y", "loguniform", (math.log(1e-4), math.log(0.1) + 0.25))
    ]
    assert nodes("{{quniform(-2 ** 3, 2 ** 5 - 1, q=1)}}") == [Distribution("y", "quniform", (-8, 31, 1))]


def test_options_are_worked_out(nodes):
    assert nodes("{{choice([2**5, 2**6, np.power(2, 7)])}}") == [
        Choice("y", (Literal(32), Literal(64), Opaque("np.power(2, 7)")))
    ]
    assert nodes("{{choice(list(range(1, 6, 2)))}}") == [Choice("y", (Literal(1), Literal(3), Literal(5)))]


def test_weights_of_pchoice(nodes):
    assert nodes("{{pchoice([(0.25, Dense(1)), (1 - 0.25, 'b')])}}") == [
        Choice("y", (Opaque("Dense(1)"), Literal("b")), (0.25, 0.75))
    ]


def test_the_folder_s_files_are_read_through_the_objective(compiled, tmp_path):
    compiled(f"{DATA}def model(x):\n    y = {{{{uniform(0, 1)}}}}\n")
    assert [each.label for each in templates({"hyperas": "task.py"}, tmp_path)] == ["y"]


TWO = f"{DATA}def a(x):\n    y = {{{{uniform(0, 1)}}}}\ndef b(x):\n    z = {{{{uniform(0, 1)}}}}\n"


@pytest.mark.parametrize(
    "search",
    [
        "from hyperas import optim\nif __name__ == '__main__':\n    best = optim.minimize(model=b, data=data)",
        "from hyperas import optim as o\ndef main():\n    o.minimize(b, data)",
        "from hyperas.optim import minimize\nminimize(data=data, model=b)\nprint('best')",
        "import hyperas.optim\nif '__main__' == __name__:\n    hyperas.optim.best_models(3, b, data, functions=[a])",
        "def main():\n    from hyperas.optim import best_ensemble as search\n    search(5, b, data)",
    ],
)
def test_the_search_call_names_the_model_function(search, compiled):
    assert [each.label for each in compiled(TWO + search).templates] == ["z"]


def test_data_may_come_from_another_module(compiled):
    assert compiled("from loading import data\ndef create_model(x):\n    y = {{uniform(0, 1)}}\n").data == "data"


def test_another_library_s_minimize_is_no_search(compiled):
    text = "from scipy import optimize\ndef b(x):\n    pass\n" + DATA
    text += "def model(x):\n    optimize.minimize(b, {{uniform(0, 1)}})\n"
    assert [each.label for each in compiled(text).templates] == ["minimize"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("print 'hello'\n", ":1: not valid Python 3: Missing parentheses in call to 'print'"),
        ("x = {{uniform(0, 1}}\n", ":1: not valid Python 3: closing parenthesis '}' does not match"),
        ("x = '\0'\n", ":1: not valid Python 3: source code string cannot contain null bytes"),
        ("x = " + "-" * 9000 + "1\n", "cannot be read"),
        (
            DATA,
            ": there is no function create_model() or model() at the top of this file: define it, or name another one",
        ),
        ("def model(x):\n    return {{uniform(0, 1)}}\n", ": there is no function data() at the top of this file"),
        (f"{TWO}create_model = model = a\n", ": there is no function create_model() or model()"),
        (
            f"{DATA}def model(x): pass\ndef create_model(x): pass\n",
            ": both create_model() and model() could be the model function: say which in optim.minimize(model=...)",
        ),
        (
            f"from hyperas import optim\n{TWO}def main():\n    optim.minimize(a, data)\n    optim.minimize(b, data)\n",
            ":9: this file searches with model=a (line 9) and model=b (line 10): keep one search a file",
        ),
        (f"{DATA}def model(x):\n    pass\n", ":3: model() has no template such as {{uniform(0, 1)}}"),
        (
            f"import hyperas.optim as o\n{TWO}o.minimize(a, data,\n  notebook_name='n')\n",
            ":9: notebook_name= reads a Jupyter notebook, which is not supported",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(text, error, refused):
    assert error in refused(text)


def test_notebooks_are_refused(refused):
    assert refused("{}", "task.ipynb").startswith(": Jupyter notebooks are not supported: save it as a Python file")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ObjectiveLoadError, match=r"nowhere\.py: there is no such file"):
        compile_file(tmp_path / "nowhere.py")


@pytest.mark.parametrize(
    ("template", "error"),
    [
        (
            "{{unifrom(0, 1)}}",
            ":4: in the template y: unifrom(...) is not one of hyperopt's distributions; did you mean uniform?",
        ),
        ("{{uniform(1, 0)}}", ":4: in the template y: low must be less than high: 1 is not less than 0"),
        ("{{uniform(0)}}", ":4: in the template y: high missing: it is uniform(low, high)"),
        ("{{uniform(0, n)}}", ":4: in the template y: n cannot stand in an expression: write the value itself"),
        ("{{choice(sizes)}}", ":4: in the template y: choice needs its options written out as a list: choice([a, b])"),
        ("{{choice(range(n))}}", ":4: in the template y: choice needs its options written out as a list"),
        ("{{choice([])}}", ":4: in the template y: choice has no options"),
        ("{{choice([1,\n  2, uniform(3, 2)])}}", ":5: in the template y: low must be less than high"),
        ("{{choice([1, Dropout(\n {{uniform(3, 2)}})])}}", ":5: in the template Dropout: low must be less than high"),
        ("{{uniform('rate', 0, 1)}}", ":4: in the template y: drop the label 'rate': the parameter's name is 'y'"),
        (
            "{{uniform(0, 1), 2}}",
            ":4: this is no template: {{uniform(0, 1), 2}}. Between {{ and }} stands one distribution",
        ),
        ("{{uniform(0, 1)}, 3}", ":4: this is no template"),
        ("{{x}}", ":4: this is no template"),
    ],
)
def test_a_malformed_template_is_refused(template, error, refused):
    assert error in refused(f"{DATA}def model(x):\n    y = {template}\n")


MODEL = "def model(x):\n    y = {{uniform(0, 1)}}\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"{DATA}{MODEL}rate = {{{{uniform(0, 1)}}}}\n", 5),
        (f"{DATA}{MODEL}if {{{{choice([True, False])}}}}:\n    pass\n", 5),
        (f"{DATA}def model(x, rate={{{{uniform(0, 1)}}}}):\n    pass\n", 3),
        (f"{DATA}{MODEL}class Net:\n    rate = {{{{uniform(0, 1)}}}}\n", 6),
        (f"{MODEL}def data():\n    return {{{{choice([1, 2])}}}}\n", 4),
        (f"{MODEL}def load():\n    return {{{{choice([1, 2])}}}}\ndef data():\n    return load()\n", 4),
    ],
)
def test_a_template_outside_of_the_model_function_is_refused(text, line, refused):
    error = refused(text)
    assert error.startswith(f":{line}: this template stands ")
    assert "outside of the model function" in error
    assert error.endswith("ove it into model()")


def test_templates_that_never_run_do_not_matter(compiled):
    text = f"{DATA}{MODEL}def old_model(x):\n    z = {{{{unifrom(0, 1)}}}}\n"
    text += "if __name__ == '__main__':\n    z = {{1}}\n"
    assert [each.label for each in compiled(text).templates] == ["y"]
