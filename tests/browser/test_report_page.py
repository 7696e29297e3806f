"""The report in a real browser."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import report as benchmark
import report_trials as made

from hpcho import space
from hpcho.jobdir import JobDir
from hpcho.report import summarise
from hpcho.report.files import Folders
from hpcho.report.island import island
from hpcho.report.page import page
from hpcho.trial import Attempt, Cause, Failure, Result

pytestmark = pytest.mark.slow

AXE = Path(__file__).parent / "axe.min.js"
HOSTILE = "</script><script>document.title='run'</script><img src=x onerror=\"document.title='run'\">{b|$&`'"
SCRIPTS = "学习率 معدل_التعلم दर ค่า 🜂 {a} $x$"


def written(folder, trials, of=made.SPACE, experiment=made.EXPERIMENT, jobdir=None, **options):
    """The page alone: figures take seconds."""
    summary = summarise(experiment, of, trials, elapsed_s=3725.0, made_at=1.7e9)
    folders = Folders(jobdir, folder) if jobdir else None
    path = folder / "report.html"
    html = page(summary, island(summary, trials, folders, None), **options)
    path.write_bytes(html.encode("utf-8", errors="backslashreplace"))
    return path


@pytest.fixture(scope="module")
def study():
    """300 trials with all that there is: failures, interruptions, curves, running ones, attachments."""
    return benchmark.study(300)


@pytest.fixture
def whole(tmp_path, study):
    experiment, of, trials = study
    return written(tmp_path, trials, of, experiment)


def shown_tids(view):
    return [int(text) for text in view.locator("#trials tbody td:first-child").all_inner_texts()]


@pytest.mark.parametrize("trials", made.ODD.values(), ids=made.ODD)
def test_whatever_the_trials_the_page_works_and_asks_for_nothing(tmp_path, opened, trials):
    report = opened(written(tmp_path, sorted(trials, key=lambda trial: trial.tid)))
    report.look_through()
    assert report.view.locator("#trials h2").is_visible()
    assert len(shown_tids(report.view)) == len(trials)
    has_losses = any(trial.loss is not None and math.isfinite(trial.loss) for trial in trials)
    assert report.view.get_by_role("heading", name="What mattered").is_visible() == has_losses
    assert report.view.get_by_text("There are no trials yet.").is_visible() == (not trials)
    report.check_quiet()


def test_every_view_is_drawn_when_it_is_scrolled_to(whole, opened):
    report = opened(whole)
    titles = report.view.locator("figure h3, figure h2").all_inner_texts()
    assert titles == [
        "Loss history",
        "Importance",
        "Loss over two parameters",
        "Loss in three dimensions",
        "Loss against duration",
        "Loss against each parameter",
        "Parallel coordinates",
        "Learning curves",
        "Distribution of the losses",
        "GPU-hours lost, by cause",
        "Workers",
    ]
    drawn = report.view.locator(".plot:has(canvas)")
    before = drawn.count()
    report.look_through()
    assert before < drawn.count() == report.view.locator(".plot").count()
    report.check_quiet()


@pytest.mark.parametrize("limit", ["size < 9", "size < 0"], ids=["some feasible", "none feasible"])
def test_what_is_minimised_and_limited_is_shown(tmp_path, opened, limit):
    experiment = made.EXPERIMENT.model_copy(update={"minimise": ("loss", "size"), "constraints": (limit,)})
    trials = [
        replace(trial, result=replace(trial.result, data={"size": 0.1 * trial.tid})) if trial.result else trial
        for trial in made.sampled(120)
    ]
    report = opened(written(tmp_path, trials, experiment=experiment))
    report.look_through()
    assert report.view.get_by_role("heading", name="Loss against size").is_visible()
    assert "grey: not feasible" in report.view.locator("#history .note").inner_text()
    assert report.view.locator("#trials th button", has_text="size").count() == 1
    report.view.locator("#filter").fill("infeasible size<9.5 size>=9")
    assert len(shown_tids(report.view)) == sum(
        trial.result is not None and 9 <= trial.result.data["size"] < 9.5 for trial in trials
    )
    report.check_quiet()


def test_the_history_may_run_over_trials_time_and_gpu_hours(whole, opened):
    view = opened(whole).view
    plot = view.locator("#history .plot")
    pictures = set()
    for name in ("over trials", "over time", "over GPU-hours"):
        view.get_by_role("button", name=name).click()
        pictures.add(plot.screenshot())
        assert view.get_by_role("button", name=name).get_attribute("aria-pressed") == "true"
    assert len(pictures) == 3


def test_the_axis_of_the_loss_is_the_readers_choice(whole, opened):
    view = opened(whole).view
    plot = view.locator("#history .plot")
    chosen = view.get_by_role("group", name="Axis of the loss").locator("[aria-pressed=true]")
    assert chosen.inner_text() == "linear loss"  # these are not spread over orders of magnitude
    pictures = []
    for name in ("linear loss", "log loss"):
        view.get_by_role("button", name=name).click()
        assert chosen.inner_text() == name
        pictures.append(plot.screenshot())
    assert pictures[0] != pictures[1]
    view.reload()
    assert chosen.inner_text() == "log loss"


def test_the_table_sorts_both_ways_and_keeps_trials_without_a_value_last(whole, opened):
    view = opened(whole).view
    losses = "#trials tbody td:nth-child(3)"
    head = view.locator("#trials th", has_text="loss").first
    assert head.get_attribute("aria-sort") == "ascending"
    up = [float(text) for text in view.locator(losses).all_inner_texts()]
    assert up == sorted(up)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    down = [float(text) for text in view.locator(losses).all_inner_texts()]
    assert down == sorted(down, reverse=True)
    assert down[0] > up[0]


def test_the_table_is_filtered_by_words_comparisons_and_state(whole, opened, study):
    view = opened(whole).view
    _, of, trials = study
    view.get_by_role("button", name="Show 500 more").click()
    assert len(shown_tids(view)) == 300
    view.locator("#filter").fill("units>=256 optimizer=sgd loss<0.5")
    params = {trial.tid: of.decode(trial.vals) for trial in trials}
    wanted = {
        trial.tid
        for trial in trials
        if params[trial.tid]["units"] >= 256 and params[trial.tid]["optimizer"] == "sgd"
        if trial.loss is not None and trial.loss < 0.5
    }
    assert wanted == set(shown_tids(view))
    assert wanted
    view.locator("#filter").fill("momentum=inactive")
    assert (
        view.get_by_role("status")
        .inner_text()
        .startswith(f"{sum('momentum' not in p for p in params.values())} of 300")
    )
    view.locator("#filter").fill("loss is nan")
    view.get_by_label("State or cause").select_option("objective")
    assert set(shown_tids(view)) == {trial.tid for trial in trials if trial.cause is Cause.OBJECTIVE}
    view.locator("#filter").fill("no such trial")
    assert shown_tids(view) == []


def test_a_click_shows_a_trial_s_params_error_logs_and_attachments(tmp_path, opened):
    jobdir = JobDir(tmp_path)
    folder = jobdir.trial(1) / "attachments"
    folder.mkdir(parents=True)
    (folder / "model.keras").write_text("weights")
    (jobdir.trial(1) / "stdout.log").write_text("epoch 1\n" * 5000 + "epoch 2\n")
    best = made.done(1, 0.5, {"optimizer": "rmsprop"})
    best = replace(best, result=Result(0.5, attachments=("model.keras", "gone.png")))
    jobdir.report.mkdir()
    report = opened(written(jobdir.report, [best, made.failed(2)], jobdir=jobdir))
    view = report.view
    view.get_by_role("button", name="Trial 1").click()
    dialog = view.get_by_role("dialog")
    assert "epoch 2" in dialog.inner_text()
    assert dialog.locator("div", has_text="momentum").last.inner_text().split() == ["momentum", "inactive"]
    link = dialog.get_by_role("link", name="model.keras")
    assert Path(link.evaluate("a => decodeURI(new URL(a.href).pathname)")).read_text() == "weights"
    assert dialog.get_by_text("gone.png").evaluate("item => item.querySelector('a')") is None
    view.keyboard.press("Escape")
    assert not dialog.is_visible()
    view.locator("#trials tbody tr", has_text="error").locator("td").nth(1).click()
    assert "ValueError: loss is nan" in dialog.locator("pre").first.inner_text()
    report.check_quiet()


def test_params_are_copied_as_json(tmp_path, opened):
    report = opened(written(tmp_path, [made.done(0, 0.5)]), permissions=["clipboard-read", "clipboard-write"])
    report.view.locator("#best").get_by_role("button", name="Copy params").click()
    report.view.get_by_role("button", name="Copied").wait_for()
    copied = json.loads(report.view.evaluate("navigator.clipboard.readText()"))
    assert copied == {"units": 64, "lr": 1e-3, "optimizer": "rmsprop", "fixed": "only"}


def test_any_trial_s_params_are_copied_as_they_were(tmp_path, opened):
    of = space.build({"seed": {"choice": [1, 2**64 + 1]}, "x": {"float": [0, 1]}, "on": {"choice": [True, "true"]}})
    other = made.done(1, 0.5, {"seed": 2**64 + 1, "x": 0.1, "on": "true"}, of=of)
    report = opened(
        written(tmp_path, [made.done(0, 0.1, of=of), other], of), permissions=["clipboard-read", "clipboard-write"]
    )
    report.view.get_by_role("button", name="Trial 1").click()
    dialog = report.view.get_by_role("dialog")
    assert str(2**64 + 1) in dialog.inner_text()
    dialog.get_by_role("button", name="Copy params").click()
    dialog.get_by_role("button", name="Copied").wait_for()
    assert json.loads(report.view.evaluate("navigator.clipboard.readText()")) == of.decode(other.vals)


def test_nothing_in_a_trial_runs_in_the_page(tmp_path, opened):
    of = space.build({HOSTILE: {"choice": [HOSTILE, "b"]}, SCRIPTS: {"float": [0, 1]}, "__proto__": {"float": [0, 1]}})
    attempt = Attempt(replace(made.OWNER, host=HOSTILE), 1000.0, 1010.0)
    trials = [replace(made.done(tid, 0.5 + tid, {HOSTILE: HOSTILE}, of=of), attempts=(attempt,)) for tid in range(12)]
    trials.append(made.failed(12, Failure(Cause.OBJECTIVE, f"{HOSTILE}\n{HOSTILE}\x00\udcff"), of=of))
    experiment = made.EXPERIMENT.model_copy(update={"name": HOSTILE})
    report = opened(written(tmp_path, trials, of, experiment))
    view = report.view
    report.look_through()
    for plot in view.locator(".plot").all():
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        for x in range(40, int(box["width"]), 60):
            view.mouse.move(box["x"] + x, box["y"] + box["height"] / 2)
    view.get_by_role("button", name="Trial 12").click()
    assert HOSTILE in view.get_by_role("dialog").locator("pre").first.inner_text()
    assert SCRIPTS in view.get_by_role("dialog").inner_text()
    assert view.evaluate("document.title") == f"{HOSTILE}: report"
    assert view.locator("img").count() == 0
    report.check_quiet()


def test_it_is_dark_where_the_reader_s_system_is_and_remembers_what_the_reader_chose(whole, opened):
    view = opened(whole, color_scheme="dark").view
    background = "getComputedStyle(document.body).backgroundColor"
    dark = view.evaluate(background)
    view.get_by_role("button", name="Light").click()
    light = view.evaluate(background)
    assert [sum(map(int, colour[4:-1].split(","))) > 400 for colour in (dark, light)] == [False, True]
    view.reload()
    assert view.evaluate(background) == light


def test_it_prints_whole_and_on_white(whole, opened):
    report = opened(whole, color_scheme="dark")
    printed = report.view.pdf()
    assert printed.startswith(b"%PDF")
    assert report.view.locator(".plot:has(canvas)").count() == report.view.locator(".plot").count()
    # A plot of two layers would print as its lower one.
    assert report.view.locator(".plot canvas + canvas").count() == 0
    assert report.view.evaluate("document.documentElement.dataset.theme") == "dark"
    report.check_quiet()


def test_a_phone_needs_no_scrolling_sideways(whole, opened):
    report = opened(whole, phone=True)
    report.look_through()
    assert report.view.evaluate("document.documentElement.scrollWidth") == 390


def test_the_plot_in_three_dimensions_turns(whole, opened):
    view = opened(whole).view
    plot = view.locator("figure", has_text="Loss in three dimensions").locator(".plot")
    plot.scroll_into_view_if_needed()
    plot.locator("canvas").first.wait_for()
    before = plot.screenshot()
    box = plot.bounding_box()
    view.mouse.move(box["x"] + 100, box["y"] + 20)
    view.mouse.down()
    view.mouse.move(box["x"] + 220, box["y"] + 60, steps=4)
    view.mouse.up()
    view.wait_for_timeout(200)
    dragged = plot.screenshot()
    plot.focus()
    view.keyboard.press("ArrowLeft")
    view.wait_for_timeout(200)
    assert len({before, dragged, plot.screenshot()}) == 3


def test_a_dot_opens_its_trial(tmp_path, opened):
    view = opened(written(tmp_path, [made.done(7, 0.5, took=5.0)])).view
    plot = view.locator("#history .plot")
    box = plot.bounding_box()
    for down in range(40, int(box["height"]) - 40, 6):
        view.mouse.click(box["x"] + 58, box["y"] + down)
        if view.get_by_role("dialog").is_visible():
            break
    assert view.get_by_role("dialog").get_by_role("heading", name="Trial 7").is_visible()


def test_a_page_that_is_watched_opens_itself_again_as_it_was(tmp_path, study, opened):
    experiment, of, trials = study
    path = written(tmp_path, trials[:200], of, experiment, reload_s=2)
    view = opened(path).view
    view.locator("#filter").fill("loss<0.3")
    view.get_by_role("button", name="over time").click()
    view.evaluate("scrollTo(0, 700)")
    written(tmp_path, trials, of, experiment)
    view.locator("html[data-reload='']").wait_for()
    assert view.get_by_role("status").inner_text().split(" trials")[0].endswith("of 300")
    assert view.locator("#filter").input_value() == "loss<0.3"
    assert view.get_by_role("button", name="over time").get_attribute("aria-pressed") == "true"
    assert view.evaluate("scrollY") == 700


def test_a_watched_page_waits_while_it_is_in_use_and_while_it_is_paused(tmp_path, study, opened):
    experiment, of, trials = study
    written(tmp_path, trials[:100], of, experiment, reload_s=0.5)
    view = opened(tmp_path / "report.html").view
    status = view.get_by_role("status")
    view.get_by_role("button", name="Trial 0", exact=True).click()
    written(tmp_path, trials[:150], of, experiment, reload_s=0.5)
    view.wait_for_timeout(4500)
    assert "of 100 trials" in status.inner_text()
    view.keyboard.press("Escape")
    view.get_by_text("of 150 trials").wait_for()
    view.get_by_role("button", name="Pause").click()
    view.reload()
    written(tmp_path, trials[:200], of, experiment, reload_s=0.5)
    view.wait_for_timeout(1500)
    assert "of 150 trials" in status.inner_text()
    view.get_by_role("button", name="Resume").click()
    view.get_by_text("of 200 trials").wait_for()
    # What is being typed is typed on.
    view.locator("#filter").press_sequentially("loss<")
    written(tmp_path, trials, of, experiment)
    view.get_by_text("of 300 trials").wait_for()
    view.keyboard.type("0.3")
    assert view.locator("#filter").input_value() == "loss<0.3"


def test_the_column_that_the_table_is_sorted_by_is_kept_by_name(tmp_path, opened):
    few, more = ({name: {"float": [0, 1]} for name in names} for names in (("b", "loss"), ("a", "b", "loss")))
    path = written(tmp_path, made.sampled(20, space.build(few)), space.build(few))
    view = opened(path).view
    view.locator("#trials th", has_text="b").last.get_by_role("button").click()
    written(tmp_path, made.sampled(20, space.build(more)), space.build(more))
    view.reload()
    assert view.locator("#trials th[aria-sort]").all_inner_texts() == ["b"]
    view.locator("#trials th", has_text="loss").last.get_by_role("button").click()
    assert view.locator("#trials th[aria-sort]").count() == 1


def test_names_with_spaces_and_signs_are_filtered_in_quotes(tmp_path, opened):
    names = {"batch size": {"int": [1, 64]}, "a<b": {"choice": ["my adam", "sgd"]}, "loss": {"float": [0, 1]}}
    of = space.build(names)
    trials = [
        made.done(0, 5.0, {"batch size": 8, "a<b": "my adam", "loss": 0.1}, of=of),
        made.done(1, 6.0, {"batch size": 32, "a<b": "sgd", "loss": 0.2}, of=of),
    ]
    view = opened(written(tmp_path, trials, of)).view
    for text, tids in {
        '"batch size">=16': [1],
        "`Batch Size`<16": [0],
        '"a<b"="my adam" "batch size"<16': [0],
        '"my adam"': [0],
        "loss>5.5": [1],
        "params.loss<0.15": [0],
        'a"b': [],
        "": [0, 1],
    }.items():
        view.locator("#filter").fill(text)
        assert shown_tids(view) == tids, text


def test_a_plane_is_never_of_one_parameter(whole, opened):
    view = opened(whole).view
    figure = view.locator("figure", has_text="Loss over two parameters")
    first, second = figure.get_by_label("First parameter"), figure.get_by_label("Second parameter")
    before = [one.input_value() for one in (first, second)]
    first.select_option(before[1])
    assert [one.input_value() for one in (first, second)] == before[::-1]
    view.reload()
    assert [one.input_value() for one in (first, second)] == before[::-1]


def test_trials_without_times_are_left_out_over_time_and_counted(tmp_path, opened):
    view = opened(written(tmp_path, made.ODD["partly untimed"])).view
    assert view.get_by_text("1 trial without times, left out over time and worker-hours").is_visible()
    view.get_by_role("button", name="over time").click()
    assert "Left out: 1 trial without times." in view.locator("figure", has_text="Workers").last.inner_text()
    none = opened(written(tmp_path, made.ODD["untimed"])).view
    assert none.get_by_role("button", name="over time").count() == 0
    assert none.get_by_text("No trial tells when it ran.").count() == 1
    assert none.get_by_text("No trial tells how long it took.").count() == 1
    assert "1970" not in none.locator("body").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("phone", [False, True], ids=["laptop", "phone"])
def test_axe_finds_nothing_serious(whole, opened, scheme, phone):
    report = opened(whole, phone=phone, color_scheme=scheme, bypass_csp=True)
    report.look_through()
    report.view.add_script_tag(content=AXE.read_text())
    assert _serious(report.view) == []
    report.view.locator("#trials tbody tr").first.locator("button").click()
    assert _serious(report.view) == []


def _serious(view):
    found = view.evaluate("axe.run().then((result) => result.violations)")
    return [
        (one["id"], one["impact"], [node["html"][:120] for node in one["nodes"]][:5])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def test_ten_thousand_trials_stay_usable_and_small(tmp_path, opened):
    experiment, of, trials = benchmark.study(10_000)
    path = written(tmp_path, trials, of, experiment)
    assert path.stat().st_size < 15_000_000
    report = opened(path)
    report.look_through()
    assert "10000 of 10000 trials" in report.view.get_by_role("status").inner_text()
    report.view.locator("#filter").fill("layers=3 activation=tanh")
    report.view.locator("#trials th", has_text="seconds").get_by_role("button").click()
    assert len(shown_tids(report.view)) == 100
    report.check_quiet()


def test_a_hundred_parameters_are_no_hindrance(tmp_path, opened):
    of = space.build({f"p{i}": {"float": [0, 1]} for i in range(100)})
    report = opened(written(tmp_path, made.sampled(300, of), of))
    report.view.get_by_role("button", name="Show 92 more").click()
    report.look_through()
    assert report.view.get_by_text("24 of 100 parameters").is_visible()
    report.check_quiet()


def test_pruned_and_promoted_trials_lead_to_each_other(tmp_path, opened):
    report = opened(written(tmp_path, made.ODD["promoted"]))
    rows = report.view.locator("#trials tbody tr")
    rows.filter(has_text="pruned").click()
    dialog = report.view.locator("#trial")
    dialog.get_by_role("button", name="Trial 2").click()
    assert dialog.locator("h2").inner_text() == "Trial 2"
    dialog.get_by_role("button", name="Trial 0").click()
    assert dialog.locator("h2").inner_text() == "Trial 0"
    report.check_quiet()
