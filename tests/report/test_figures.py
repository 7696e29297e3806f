import io
import subprocess
import sys
from xml.etree import ElementTree as ET

import matplotlib as mpl
import pytest
import report_trials as made
from PIL import Image

from hpcho import space
from hpcho.errors import UsageError
from hpcho.report import figures, summarise
from hpcho.report.look import encode, short
from hpcho.report.marks import sample

DRAWS = (figures.progress, figures.importance, figures.scatter3d, figures.duration, figures.parallel, figures.slices)
SVG = "{http://www.w3.org/2000/svg}"


def summary_of(trials, of=made.SPACE):
    return summarise(made.EXPERIMENT, of, trials, elapsed_s=60.0)


def texts(figure):
    """Everything that is written in a figure."""
    return [text.get_text().replace("\n", " ") for text in figure.findobj(mpl.text.Text) if text.get_text()]


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("trials", made.ODD.values(), ids=made.ODD)
def test_every_figure_draws_whatever_the_trials(trials, draw):
    figure = draw(summary_of(trials))
    assert ET.fromstring(encode(figure, "svg")).tag == f"{SVG}svg"
    assert Image.open(io.BytesIO(encode(figure, "png"))).width > 500


def test_what_has_no_times_is_left_out_over_time():
    assert "no trial has times" in texts(figures.progress(summary_of(made.ODD["untimed"])))
    shown = " ".join(texts(figures.progress(summary_of(made.ODD["partly untimed"]))))
    assert "left out over time: 1 without times" in shown
    assert "days" not in shown


def test_drawing_leaves_no_trace_in_the_process():
    program = (
        "import sys; sys.path.insert(0, 'tests/report')\n"
        "import matplotlib, report_trials as made\n"
        "matplotlib.rcParams['font.size'] = 33\n"
        "from hpcho.report import summarise\n"
        "from hpcho.report.figures import encode, scatter3d\n"
        "encode(scatter3d(summarise(made.EXPERIMENT, made.SPACE, made.sampled(20), elapsed_s=1)), 'png')\n"
        "assert matplotlib.rcParams['font.size'] == 33\n"
        "assert 'matplotlib.pyplot' not in sys.modules and 'tkinter' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_the_same_trials_give_the_same_files():
    one, other = (encode(figures.parallel(summary_of(made.sampled(20))), "svg") for _ in range(2))
    assert one == other


NAMES = [
    "$x^2$ cost",
    r"\frac{$",
    "</svg><script>alert(1)</script>",
    "学习率",
    "معدل",
    "a\x00b\nc",
    "😀",
    "x" * 300,
    "]]>",
    "&amp;",
    "--",
]


def test_names_in_any_script_and_with_any_markup_stay_text():
    of = space.build({name: {"float": [0, 1]} for name in NAMES})
    for picture in figures.pictures(summary_of(made.sampled(20, of), of)):
        tags = {element.tag for element in ET.fromstring(picture.files["svg"]).iter()}
        assert f"{SVG}script" not in tags
    figure = figures.importance(summary_of(made.sampled(20, of), of))
    assert {"$x^2$ cost", "学习率", "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"} <= set(texts(figure))
    assert f"{'x' * 25}…" in texts(figure)


def test_options_in_any_script_and_with_any_markup_stay_text():
    of = space.build({"x": {"choice": NAMES}, "y": {"float": [0, 1]}})
    for picture in figures.pictures(summary_of(made.sampled(60, of), of), axes=("x", "y")):
        ET.fromstring(picture.files["svg"])


def test_a_long_text_is_cut_and_a_strange_one_made_printable():
    assert short("abcdef", 4) == "abc…"
    assert short("a\ud800\x07b") == "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}b"


def test_a_hundred_parameters_are_paged():
    of = space.build({f"p{i:03}": {"float": [0, 1]} for i in range(130)})
    summary = summary_of(made.sampled(40, of), of)
    first, last = figures.slices(summary, 0), figures.slices(summary, 5)
    assert len(first.axes) == 20
    assert any("parameters 101 to 120 of 130" in text for text in texts(last))
    assert any("the 12 most important of 130 parameters" in text for text in texts(figures.parallel(summary)))
    assert any("105 parameters are not shown" in text for text in texts(figures.importance(summary)))


def test_inactive_parameters_are_shown_apart():
    summary = summary_of(made.sampled(40))
    momentum = next(ax for ax in figures.slices(summary).axes if ax.get_title(loc="left") == "momentum")
    inactive = sum("momentum" not in row.params for row in summary.usable)
    beside = [x for dots in momentum.collections for x, _ in dots.get_offsets() if x < -0.05]
    assert len(beside) == inactive > 0
    assert "inactive" in texts(momentum)
    assert "inactive" in texts(figures.parallel(summary))


def test_losses_beyond_the_axis_are_marked_and_told():
    figure = figures.progress(summary_of([*made.sampled(30), made.done(99, 1e30)]))
    assert any("1 loss beyond the axis (up to 1e30) drawn at its end" in text for text in texts(figure))


def test_of_many_trials_the_best_and_an_even_sample_are_drawn():
    items = list(range(1000, 0, -1))
    chosen = sample(items, 50, key=float)
    assert len(chosen) == 50
    assert set(range(1, 11)) <= set(chosen)
    assert chosen == sorted(chosen, reverse=True)
    assert sample(items[:5], 50, key=float) == items[:5]
    figure = figures.parallel(summary_of(made.sampled(500)))
    assert any(
        "300 of 4" in text and "trials drawn (the best, and evenly of the rest)" in text for text in texts(figure)
    )


def test_the_3d_scatter_takes_the_axes_it_is_given():
    figure = figures.scatter3d(summary_of(made.sampled(30)), ("momentum", "units"))
    assert "Loss against momentum and units" in texts(figure)
    assert any("trials in which not both are active" in text for text in texts(figure))


def test_unknown_axes_are_refused_before_anything_is_drawn():
    with pytest.raises(UsageError, match="did you mean 'units'"):
        next(figures.pictures(summary_of([]), ("unit", "lr")))


@pytest.mark.parametrize("minimise", [["loss", "size"], ["duration_s", "size"], ["size", "loss", "duration_s"]])
def test_what_is_minimised_is_drawn_against_each_other(minimise):
    experiment = made.EXPERIMENT.model_copy(update={"minimise": tuple(minimise), "constraints": ("size < 9",)})
    trials = [made.done(tid, 1 / (tid + 1), start=tid, took=tid + 1.0, size=float(tid)) for tid in range(12)]
    summary = summarise(experiment, made.SPACE, trials, elapsed_s=60.0)
    drawn = texts(figures.duration(summary))
    assert summary.tradeoff.title in drawn
    assert any("the Pareto front" in text for text in drawn)


@pytest.mark.parametrize("draw", DRAWS)
def test_every_figure_draws_where_no_trial_is_feasible(draw):
    experiment = made.EXPERIMENT.model_copy(update={"minimise": ("loss", "size"), "constraints": ("loss < -1e9",)})
    for trials in (made.sampled(30), [made.done(tid, 0.1 * tid, start=tid, size=1.0) for tid in range(9)]):
        summary = summarise(experiment, made.SPACE, trials, elapsed_s=60.0)
        assert summary.best is None
        encode(draw(summary), "png")
