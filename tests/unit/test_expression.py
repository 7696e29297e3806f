"""Search-space expressions: what is read, what is refused and where, and what a point's value is."""

import importlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcho.errors import ExpressionError
from hpcho.expression import (
    DISTRIBUTIONS,
    Choice,
    Distribution,
    Literal,
    Opaque,
    Structure,
    Template,
    leaves,
    parse,
    value,
)


def refused(text, label="x"):
    """(column, message) of the error."""
    with pytest.raises(ExpressionError) as caught:
        parse(text, label)
    return caught.value.column, str(caught.value)


@pytest.mark.parametrize(
    ("text", "name", "args"),
    [
        ("uniform(0, 1)", "uniform", (0, 1)),
        ("quniform(1, 10, 3)", "quniform", (1, 10, 3)),
        ("loguniform(-5, 0)", "loguniform", (-5, 0)),
        ("qloguniform(0, 5.5, 2)", "qloguniform", (0, 5.5, 2)),
        ("normal(0, 1e-3)", "normal", (0, 0.001)),
        ("qnormal(0, 1, 0.5)", "qnormal", (0, 1, 0.5)),
        ("lognormal(-1, 2)", "lognormal", (-1, 2)),
        ("qlognormal(0, 1, 2)", "qlognormal", (0, 1, 2)),
        ("randint(5)", "randint", (5,)),
        ("randint(2, 5)", "randint", (2, 5)),
        ("uniformint(1, 5)", "uniformint", (1, 5)),
        ("hp.uniform(0, 1)", "uniform", (0, 1)),
        ("uniform(high=+1, low=-1)", "uniform", (-1, 1)),
        ("qnormal(0, q=2, sigma=1)", "qnormal", (0, 1, 2)),
        ("randint(low=2, high=5)", "randint", (2, 5)),
        ("hp.uniform('x', 0, 1)", "uniform", (0, 1)),
        ("  uniform(0,\n    1)  # a comment\n", "uniform", (0, 1)),
    ],
)
def test_distributions(text, name, args):
    assert parse(text, "x") == Distribution("x", name, args)


@pytest.mark.parametrize(
    ("text", "constant"),
    [
        ("5", 5),
        ("-2.5", -2.5),
        ("'a'", "a"),
        ("None", None),
        ("True", True),
        ("[1, (2, 'b'), {'n': [None]}]", [1, (2, "b"), {"n": [None]}]),
        ("()", ()),
        ("{}", {}),
        ("1, 2", (1, 2)),
    ],
)
def test_constants(text, constant):
    assert parse(text, "x") == Literal(constant)


def test_inner_distributions_are_labelled_in_order():
    assert parse(
        "choice([uniform(0, 1), ['a', normal(0, 1)], {'n': (randint(3), 0)}, choice([1, uniform(1, 2)])])", "x"
    ) == (
        Choice(
            "x",
            (
                Distribution("x_1", "uniform", (0, 1)),
                Structure("list", (Literal("a"), Distribution("x_2", "normal", (0, 1)))),
                Structure("dict", (Structure("tuple", (Distribution("x_3", "randint", (3,)), Literal(0))),), ("n",)),
                Choice("x_4", (Literal(1), Distribution("x_5", "uniform", (1, 2)))),
            ),
        )
    )


def test_pchoice_keeps_its_weights():
    assert parse("pchoice([(0.3, 'a'), [0.7, uniform(0, 1)]])", "x") == Choice(
        "x", (Literal("a"), Distribution("x_1", "uniform", (0, 1))), (0.3, 0.7)
    )


def test_inner_distributions_may_bring_their_labels():
    node = parse("choice('x', [hp.uniform('x_1', 0, 1), uniform(0, 1), hp.choice('deep', [1, normal(0, 1)])])", "x")
    assert [leaf.label for leaf in leaves(node)] == ["x", "x_1", "x_2", "deep", "x_3"]


def test_leaves_of_code_are_those_of_its_templates():
    inner = Distribution("Dropout", "uniform", (0, 1))
    node = Choice("x", (Literal(1), Opaque("Dropout({{uniform(0, 1)}})", (Template("Dropout", inner),))))
    assert list(leaves(node)) == [node, inner]


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("unifrom(0, 1)", 0, "unifrom(...) is not one of hyperopt's distributions; did you mean uniform? Allowed are"),
        ("hp.QUniform(0, 1, 1)", 0, "hp.QUniform(...) is not one of hyperopt's distributions; did you mean quniform?"),
        (
            "[1, os.system('x')]",
            4,
            "os.system(...) is not one of hyperopt's distributions. Allowed are constants, lists,",
        ),
        ("uniform", 0, "uniform needs its arguments: uniform(low, high)"),
        ("hp.randint", 0, "randint needs its arguments: randint(upper) or randint(low, high)"),
        ("choice([a])", 8, "a cannot stand in an expression: write the value itself. Allowed are constants"),
        ("x.y", 0, "x.y cannot stand in an expression"),
        ("1 + 1", 0, "1 + 1 cannot stand in an expression"),
        ("uniform(0, 10**3)", 11, "10 ** 3 cannot stand in an expression"),
        ("[n for n in y]", 0, "[n for n in y] cannot stand in an expression"),
        ("lambda: 1", 0, "lambda: 1 cannot stand in an expression"),
        ("f'{x}'", 0, "cannot stand in an expression"),
        ("choice([*a])", 8, "*a cannot stand in an expression"),
        ("choice(*a)", 7, "*a cannot stand in an expression"),
        ("{**a}", 0, "{**a} cannot stand in an expression"),
        ("uniform(**a)", 10, "uniform has no argument **: it is uniform(low, high)"),
        ("{1, 2}", 0, "{1, 2} cannot stand in an expression"),
        ("b'x'", 0, "b'x' cannot stand in an expression"),
        ("(x := 1)", 1, "cannot stand in an expression"),
        ("1) + (2", 0, "1 + 2 cannot stand in an expression"),
        ("uniform(0, 1e999)", 11, "cannot stand in an expression"),
        ("loguniform(log(1e-5), 0)", 11, "log(...) cannot stand here: loguniform takes the logarithms themselves"),
        ("loguniform(-5, np.log(1))", 15, "{float: [low, high], log: true} takes real bounds"),
        ("loguniform(0, 1000)", 14, "loguniform takes logarithms: e to the power of 1000 is infinite"),
        ("uniform(1, 0)", 11, "low must be less than high: 1 is not less than 0"),
        ("uniformint(low=2, high=2)", 23, "low must be less than high: 2 is not less than 2"),
        ("quniform(0, 1, 0)", 15, "q must be greater than 0, not 0"),
        ("normal(0, -1)", 10, "sigma must be greater than 0, not -1"),
        ("randint(0)", 8, "randint's upper bound must be at least 1, not 0"),
        ("randint(5, 2)", 11, "low must be less than high: 5 is not less than 2"),
        ("randint(1.5)", 8, "randint takes whole numbers, not 1.5"),
        ("uniform(0, 'a')", 11, "uniform takes numbers, not 'a'"),
        ("uniform(True, 2)", 8, "uniform takes numbers, not True"),
        ("uniform(0, 1" + "0" * 400 + ")", 11, "uniform takes numbers up to 1e300"),
        ("uniform(0)", 0, "high missing: it is uniform(low, high)"),
        ("quniform(high=1)", 0, "low and q missing: it is quniform(low, high, q)"),
        ("randint()", 0, "low and high missing: it is randint(upper) or randint(low, high)"),
        ("uniform(0, 1, 2)", 14, "3 arguments are too many: it is uniform(low, high)"),
        ("uniform(0, hi=1)", 14, "uniform has no argument hi: it is uniform(low, high)"),
        ("uniform(0, low=1)", 15, "low is given twice: it is uniform(low, high)"),
        ("choice([])", 7, "choice has no options: it is choice([a, b])"),
        ("choice(5)", 7, "choice needs its options written out as a list: choice([a, b])"),
        ("pchoice([(0.5, 1), (0.6, 2)])", 8, "pchoice's weights must not be negative and must sum to 1, not 1.1"),
        ("pchoice([(-0.5, 1), (1.5, 2)])", 8, "pchoice's weights must not be negative and must sum to 1, not 1"),
        ("pchoice([1, 2])", 8, "each option of pchoice is a pair of its weight and its value"),
        ("uniform('y', 0, 1)", 8, "drop the label 'y': the parameter's name is 'x'"),
        (
            "choice([uniform('a', 0, 1), uniform('a', 0, 2)])",
            36,
            "the label 'a' stands twice: drop it, and one is made",
        ),
        ("choice([uniform('x', 0, 1)])", 16, "the label 'x' stands twice"),
        ("{'a': 1, 'a': 2}", 0, "this dict has the same key twice"),
        ("['é', foo(1)]", 6, "foo(...) is not one of hyperopt's distributions"),
        ("[1,\n  foo(1)]", 6, "foo(...) is not one of hyperopt's distributions"),
        ("uniform(0, 1", 0, "the expression is not valid Python: '(' was never closed"),
        ("uniform(0, 1))", 14, "the expression is not valid Python: unmatched ')'"),
        ("", 0, "the expression is empty"),
        ("# nothing", 0, "the expression is empty"),
    ],
)
def test_anything_else_is_refused_with_its_column(text, column, message):
    where, says = refused(text)
    assert message in says
    assert where == column


def test_the_error_names_all_that_is_allowed():
    assert refused("foo(1)")[1].endswith(
        "Allowed are constants, lists, tuples and dicts of them, and uniform, quniform, loguniform, qloguniform, "
        "normal, qnormal, lognormal, qlognormal, randint, uniformint, choice, pchoice"
    )


@pytest.mark.parametrize(
    "text",
    [
        "-" * 15_000 + "1",
        "(" * 300,
        "[" * 150 + "]" * 150,
        "x" + ".a" * 9000,
        "1+" * 9000 + "1",
        "not " * 4000 + "1",
        "choice([" * 60 + "1" + "])" * 60,
        "9" * 5000,
        "a" * 50_000,
        "uniform(\0, 1)",
        "\ud800",
    ],
)
def test_deep_large_and_odd_texts_are_refused_not_fatal(text):
    refused(text)


FRAGMENTS = st.sampled_from(
    [*DISTRIBUTIONS, "hp.", "(", ")", "[", "]", "{", "}", ",", "'a'", "0", "1.5", "-", "=", "*", ":"]
)


@given(st.lists(FRAGMENTS | st.text(max_size=3), max_size=12))
def test_no_text_raises_anything_but_an_expression_error(fragments):
    text = "".join(fragments)
    try:
        parse(text, "x")
    except ExpressionError as error:
        assert 0 <= error.column <= len(text)  # noqa: PT017 - both outcomes are right


def hyperopts(text):
    """The same expression as hyperopt itself builds it; its labels stand in the text."""
    hp = importlib.import_module("hyperopt").hp
    return eval(text, {"hp": hp})


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("hp.uniform('x', 0, 1)", {"x": 0.25}),
        ("hp.quniform('x', 1, 10, 3)", {"x": 6.0}),
        ("hp.qloguniform('x', 0, 3, 2)", {"x": 4.0}),
        ("hp.qnormal('x', 0, 3, 2)", {"x": -4.0}),
        ("hp.randint('x', 7)", {"x": 3}),
        ("hp.randint('x', 2, 7)", {"x": 5}),
        ("hp.uniformint('x', 1, 7)", {"x": 5.0}),
        ("hp.choice('x', ['a', {'n': hp.quniform('n', 0, 4, 2)}])", {"x": 1, "n": 2.0}),
        ("hp.choice('x', ['a', {'n': hp.quniform('n', 0, 4, 2)}])", {"x": 0}),
        ("hp.pchoice('x', [(0.2, (hp.randint('n', 4), 'b')), (0.8, None)])", {"x": 0, "n": 3}),
        ("hp.choice('x', [hp.choice('n', [1, hp.normal('m', 0, 1)]), 2])", {"x": 0, "n": 1, "m": -0.5}),
    ],
)
def test_a_point_has_the_value_that_hyperopt_gives_it(text, point):
    node = parse(text, "x")
    ours = value(node, {leaf.label: [point[leaf.label]] if leaf.label in point else [] for leaf in leaves(node)})
    theirs = importlib.import_module("hyperopt").space_eval(hyperopts(text), point)
    assert ours == theirs
    assert type(ours) is type(theirs)


def test_the_value_of_code_is_its_text_and_lists_stay_lists():
    node = Structure("list", (Opaque("Dropout(0.5)"), Distribution("x_1", "randint", (3,))))
    assert value(node, {"x_1": [2]}) == ["Dropout(0.5)", 2]


def test_a_value_is_the_receiver_s_own():
    node = parse("choice([[1, [2]], 0])", "x")
    value(node, {"x": [0]})[1].append(3)
    assert value(node, {"x": [0]}) == [1, [2]]
