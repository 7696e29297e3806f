import hashlib
import json
import re
from base64 import b64encode
from html.parser import HTMLParser
from importlib import resources

import pytest
import report_trials as made

from hpcho import space
from hpcho.report import summarise
from hpcho.report.island import island
from hpcho.report.page import page
from hpcho.trial import Attempt, Cause, Failure, TrialState

HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(1)>$title\x00\"'&lt;"


class Reader(HTMLParser):
    """Collects tags with their attributes, and the text of each."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.open = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


def page_of(trials, of=made.SPACE, **options):
    summary = summarise(made.EXPERIMENT, of, trials, elapsed_s=3725.0, made_at=1e9)
    return page(summary, island(summary, sorted(trials, key=lambda trial: trial.tid), None, None), **options)


def read(html):
    """The page without its scripts, and their data."""
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    return Reader(re.sub(r"<(script|style)\b.*?</\1>", "", html, flags=re.DOTALL)), json.loads(data)


def test_the_page_shows_what_matters_first():
    text = " ".join(
        Reader(page_of([made.done(0, 0.5), made.done(1, 0.125, {"lr": 0.01}), made.failed(2, took=90.0)])).text
    )
    for shown in (
        "digits",
        "2 of 80",
        "0.125",
        "#1",
        "0.01",
        "1 h 2 min",
        "2001-09-09T01:46:40Z",
        "objective",
        "1 min 30 s",
    ):
        assert shown in text


def test_failures_and_interruptions_are_told_apart():
    failed = made.failed(0)
    assert "Interruptions" not in " ".join(read(page_of([failed]))[0].text)
    attempts = (Attempt(made.OWNER, 0, 9, Cause.PREEMPTED, "its job was preempted", saved=True),)
    html = page_of([made.trial(1, TrialState.NEW, attempts=attempts)])
    assert "<h2>Failures</h2>" not in html
    reader, data = read(html)
    text = " ".join(" ".join(reader.text).split())
    assert "Interruptions cause trials ended by it attempts with work saved time lost preempted 0 1 1 0 s" in text
    assert data["trials"]["interrupted"] == ["preempted 1 (1 saved)"]


@pytest.mark.parametrize("trials", made.ODD.values(), ids=made.ODD)
def test_any_trials_make_a_page(trials):
    _, data = read(page_of(trials))
    assert len(data["trials"]["tid"]) == len(trials)


def test_where_nothing_succeeded_the_failures_come_first():
    html = page_of([made.failed(0)])
    assert html.index("<h2>Failures</h2>") < html.index("What mattered")
    html = page_of([made.failed(0), made.done(1, 0.5)])
    assert html.index("<h2>Failures</h2>") > html.index("What mattered")


def test_nothing_is_loaded_from_anywhere():
    reader, _ = read(page_of(made.sampled(20)))
    for tag, attributes in reader.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form", "a", "img")
        assert not {"href", "src", "srcset", "action", "style"} & set(attributes)


def test_the_policy_lets_only_the_pages_own_scripts_and_style_run():
    html = page_of([])
    policy = next(a["content"] for tag, a in Reader(html).tags if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "data:"
    for element in ("script", "style"):
        contents = re.findall(rf"<{element}>(.*?)</{element}>", html, re.DOTALL)
        digests = [b64encode(hashlib.sha256(content.encode()).digest()).decode() for content in contents]
        assert rules[f"{element}-src"] == " ".join(f"'sha256-{digest}'" for digest in digests)


def test_hostile_names_values_and_errors_stay_text():
    of = space.build({HOSTILE: {"choice": [HOSTILE, "b"]}, "x": {"float": [0, 1]}})
    trials = [
        made.done(0, 0.5, {HOSTILE: HOSTILE}, of=of),
        made.failed(1, Failure(Cause.OBJECTIVE, f"{HOSTILE}\n{HOSTILE}"), of=of),
    ]
    html = page_of(trials, of)
    assert html.count("<script") - html.split("<script>")[1].count("<script") == 3  # the data, the library, ours
    reader, data = read(html)
    assert not [tag for tag, attributes in reader.tags if tag == "img" or any(n.startswith("on") for n in attributes)]
    # the best trial's name and value, the error's line and twice in its text
    assert "".join(reader.text).count("<script>alert(1)</script>") == 5
    assert data["params"][0]["name"] == HOSTILE
    assert "\x00" not in html


def test_a_long_error_shows_its_end():
    error = "Traceback\n" + "x" * 10_000 + "\nValueError: the end"
    html = page_of([made.failed(0, Failure(Cause.OBJECTIVE, error))])
    assert "<summary" in html
    assert "ValueError: the end" in html
    assert "x" * 3001 not in html


def test_the_best_params_can_be_copied_whole():
    reader, _ = read(page_of([made.done(0, 0.5, {"lr": 0.00123456789})]))
    (copied,) = [attributes["data-copy"] for _, attributes in reader.tags if "data-copy" in attributes]
    assert json.loads(copied)["lr"] == 0.00123456789


def test_a_page_opens_itself_again_only_if_asked():
    assert '<html lang="en" data-reload="">' in page_of([])
    assert '<html lang="en" data-reload="5">' in page_of([], reload_s=5.0)


def test_the_library_inside_is_the_one_that_its_licence_and_notes_speak_of():
    vendor = resources.files("hpcho.report") / "vendor"
    digest = hashlib.sha256((vendor / "echarts.min.js").read_bytes()).hexdigest()
    assert digest in (vendor / "README.md").read_text(encoding="utf-8")
    assert "Apache License" in (vendor / "echarts.LICENSE").read_text(encoding="utf-8")


def test_goals_are_shown_as_text():
    experiment = made.EXPERIMENT.model_copy(update={"minimise": ("loss", "size"), "constraints": ("a&b >= 1",)})
    trials = [made.done(0, 0.5, size=8.5, **{"a&b": 1}), made.done(1, 0.1, size=7.25, **{"a&b": 0})]
    summary = summarise(experiment, made.SPACE, trials, elapsed_s=1.0)
    reader, data = read(page(summary, island(summary, trials, None, None)))
    text = " ".join(reader.text)
    for shown in ("minimises loss, size", "a&b >= 1", "trials in the Pareto set", "infeasible trials", "8.5"):
        assert shown in text
    assert data["trials"]["state"] == ["done", "done (infeasible)"]
    none = experiment.model_copy(update={"constraints": ("size < 0",)})
    summary = summarise(none, made.SPACE, trials, elapsed_s=1.0)
    assert "No trial is feasible yet." in page(summary, island(summary, trials, None, None))
    assert data["numbers"] == [{"name": "size", "values": [8.5, 7.25]}, {"name": "a&b", "values": [1.0, 0.0]}]
    assert (data["best"], data["tradeoff"]["front"], data["tradeoff"]["xs"]) == (0, [0], [8.5, 7.25])
