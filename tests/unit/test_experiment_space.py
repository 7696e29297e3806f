"""The space section of experiment.yaml: every form, and every mistake at its place."""

import pytest

from hpcho.errors import ExperimentError
from hpcho.experiment import load

HEAD = "name: a\nobjective: {command: [a]}\nspace:\n"


@pytest.fixture
def problems(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = (tmp_path / "x.yaml").relative_to(tmp_path)

    def problems(space):
        """What is wrong with a space, each problem without the file's name."""
        path.write_text(HEAD + space)
        try:
            load(path)
        except ExperimentError as error:
            return [str(problem).removeprefix("x.yaml:") for problem in error.problems]
        return []

    return problems


@pytest.mark.parametrize(
    "space",
    [
        "  x: {int: [12, 256], step: 4}",
        "  x: {int: [-5, 5]}",
        "  x: {int: [1, 1000], log: true}",
        "  x: {float: [0, 1]}",
        "  x: {float: [1e-5, 1e-1], log: true}",
        "  x: {float: [0, 1], step: 0.1, log: false}",
        "  x: {float: [0.1, 0.3], step: 0.2}",
        "  x: {int: [0, 9007199254740992], step: 1}",
        "  x: {hp: 'quniform(1, 4, 1)'}",
        "  x: {choice: [a, 1, 1.5, true, null, [1, 2], {value: {a: 1}}]}",
        "  x: {choice: [a, {b: {}}, {c: }, {d: {y: {int: [1, 2]}}}]}",
        "  x: {choice: [{value: 2, space: {y: {int: [1, 2]}}}, {value: 3}]}",
        "  x: {choice: [{a: {y: {choice: [{c: {z: {int: [1, 2]}}}, d]}}}, {b: {z: {float: [0, 1]}}}]}",
        "  loss: {float: [0, 1]}\n  status: {float: [0, 1]}\n  ä b: {float: [0, 1]}",
    ],
)
def test_every_form(problems, space):
    assert problems(space) == []


@pytest.mark.parametrize(
    ("space", "problem"),
    [
        ("  x: {int: [256, 12]}", "4:12: space.x.int: low must be less than high, and 256 is not less than 12"),
        ("  x: {float: [1, 1]}", "4:14: space.x.float: low must be less than high, and 1 is not less than 1"),
        ("  x: {int: 5}", "4:12: space.x.int: must be [low, high], not 5"),
        ("  x: {int: [1, 2, 3]}", "4:12: space.x.int: must be [low, high], not [1, 2, 3]"),
        ("  x: {int: [1, 2.5]}", "4:16: space.x.int.1: must be an integer, not 2.5"),
        ("  x: {int: [1, 1e3]}", "4:16: space.x.int.1: must be an integer, not 1000.0; write 1000"),
        ("  x: {int: [true, 3]}", "4:13: space.x.int.0: must be an integer, not true"),
        ("  x: {int: [0, 9007199254740993]}", "4:16: space.x.int.1: must lie within -2**53 and 2**53"),
        ("  x: {float: [0, .inf]}", "4:18: space.x.float.1: must be a finite number, not .inf"),
        ("  x: {float: [0, a]}", '4:18: space.x.float.1: must be a finite number, not "a"'),
        ("  x: {float: [-1.7e308, 1.7e308]}", "4:14: space.x.float: is too wide for floating-point numbers"),
        (
            "  x: {float: [0, 1], log: true}",
            "4:15: space.x.float.0: must be greater than 0 with log: true (real bounds",
        ),
        ("  x: {int: [0, 9], log: true}", "4:13: space.x.int.0: must be 1 or more with log: true"),
        ("  x: {int: [1, 9], log: yes}", '4:25: space.x.log: must be true or false, not "yes"'),
        ("  x: {int: [1, 9], log: true, step: 2}", "4:31: space.x.step: does not go with log: remove one of the two"),
        ("  x: {int: [1, 9], step: 0}", "4:26: space.x.step: must be an integer, 1 or more, not 0"),
        ("  x: {int: [1, 9], step: 1.5}", "4:26: space.x.step: must be an integer, 1 or more, not 1.5"),
        ("  x: {float: [1, 9], step: -1}", "4:28: space.x.step: must be a number greater than 0, not -1"),
        ("  x: {int: [1, 9], step: 9}", "4:26: space.x.step: must not be larger than the range [1, 9], and is 9"),
        ("  x: {float: [0, 1], step: 1e-300}", "4:28: space.x.step: is too small for the range [0, 1]"),
        ("  x: {int: [1, 9], stpe: 2}", "4:20: space.x.stpe: unknown key \"stpe\"; did you mean 'step'?"),
        ("  x: {choice: [1, 9], step: 2}", '4:23: space.x.step: unknown key "step"; choice takes no further keys'),
        ("  x: {chioce: [1]}", "4:7: space.x.chioce: unknown form \"chioce\"; did you mean 'choice'?"),
        ("  x: {uniform: [0, 1]}", '4:7: space.x.uniform: unknown form "uniform"; write {hp: "uniform(0, 1)"}'),
        ("  x: {int: [1, 2], float: [1, 2]}", "4:6: space.x: a parameter has one form, and this one has int and float"),
        ("  x: {}", "4:6: space.x: a parameter needs a form: {int: [1, 10]}"),
        ("  x: {log: true}", "4:6: space.x: log alone is no form"),
        ("  x: 64", "4:6: space.x: a parameter is {int: [1, 10]}"),
        ("  x: {choice: []}", "4:15: space.x.choice: needs at least one option"),
        ("  x: {choice: relu}", '4:15: space.x.choice: must be a list of options, not "relu"'),
        ("  x: {choice: [a, b, a]}", '4:22: space.x.choice.2: the option "a" was given before, at 0: remove one'),
        ("  x: {choice: [1, 1.0]}", "4:19: space.x.choice.1: the option 1.0 was given before, at 0: remove one"),
        ("  x: {choice: [{a: {}, b: {}}]}", "4:16: space.x.choice.0: an option with parameters is {name: {parameter:"),
        (
            "  x: {choice: [{a: 1}]}",
            '4:20: space.x.choice.0.a: must be a mapping of the parameters that exist only with "a"',
        ),
        ("  x: {choice: [{2: {y: {int: [1, 2]}}}]}", "4:17: space.x.choice.0.2: write {value: 2, space: {...}} for it"),
        ("  x: {choice: [{value: {1: a}}]}", "4:25: space.x.choice.0.value.1: a dict option's keys must be strings"),
        ("  x: {choice: [{a: {y: 5}}]}", "4:24: space.x.choice.0.a.y: a parameter is {int: [1, 10]}"),
        ("  x: {hp: 5}", '4:11: space.x.hp: must be a hyperopt expression such as "uniform(0, 1)", not 5'),
        ('  "": {int: [1, 2]}', "4:3: space.: a parameter's name must not be empty"),
        ("  1: {int: [1, 2]}", '4:3: space.1: a key here must be a string: write "1" in quotes'),
        ("  x: {choice: [{a: {1: {int: [1, 2]}}}]}", "4:21: space.x.choice.0.a.1: a parameter's name must be a string"),
        ("  {}", "4:3: space: needs at least one parameter, such as lr: {int: [1, 10]}"),
        ("  [a]", '4:3: space: must be a mapping, not ["a"]'),
    ],
)
def test_every_mistake_is_told_at_its_place(problems, space, problem):
    (found,) = problems(space)
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("64", "write {choice: [64]} for a constant"),
        ("[1, 2]", "write {choice: [1, 2]} for these options"),
        ("relu", 'write {choice: ["relu"]} for a constant'),
        ('"quniform(1, 4, 1)"', 'write {hp: "quniform(1, 4, 1)"}'),
    ],
)
def test_a_bare_value_is_answered_with_the_form_it_needs(problems, value, hint):
    (found,) = problems(f"  x: {value}")
    assert found.endswith(hint)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("{hp: 'quniform(1, 4)'}", 12),
        ("\n    hp: uniform(0, foo)", 20),
        ('{hp: "uniform(0, foo)"}', 23),
        ("{hp: 'uniform(0, foo)'}", 23),
        ('{hp: "uniform(0,\\tfoo)"}', 11),  # an escape: the text is not what stands in the file
    ],
)
def test_an_expression_is_refused_at_the_column_that_is_wrong(problems, text, column):
    (found,) = problems(f"  x: {text}")
    line = 4 + text.count("\n")
    assert found.startswith(f"{line}:{column}: space.x.hp: ")


def test_an_expression_that_a_comma_cuts_needs_quotes(problems):
    (found,) = problems("  x: {hp: quniform(1, 4, 1)}")
    assert found.startswith("4:11: space.x.hp: must stand in quotes")


def test_a_name_may_stand_in_two_options_of_one_choice_only(problems):
    both = "  x: {choice: [{a: {y: {int: [1, 2]}}}, {b: {y: {int: [1, 3]}}}]}\n"
    assert problems(both) == []
    (found,) = problems(both + "  y: {int: [1, 2]}")
    assert found.startswith(
        "5:3: space.y: x.choice.0.a.y has this name too, and both can be active at once: rename one"
    )
    assert len(problems("  x: {choice: [{a: {x: {int: [1, 2]}}}]}")) == 1
    two_choices = "  x: {choice: [{a: {z: {int: [1, 2]}}}]}\n  y: {choice: [p, {b: {z: {int: [1, 3]}}}]}"
    assert len(problems(two_choices)) == 1


def test_all_mistakes_of_a_space_are_told(problems):
    found = problems("  x: {int: [3, 1], stp: 1}\n  y: 3\n  z: {choice: [{a: {w: {float: [0, a]}}}, {b: 3}]}\n")
    assert [line.split(": ")[1] for line in found] == [
        "space.x.int",
        "space.x.stp",
        "space.y",
        "space.z.choice.0.a.w.float.1",
        "space.z.choice.1.b",
    ]


def test_a_wrong_parameter_still_counts_for_placeholders(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("name: a\nobjective: {command: [a, '{x}']}\nspace: {x: 3}\n")
    with pytest.raises(ExperimentError) as caught:
        load(path)
    assert len(caught.value.problems) == 1
