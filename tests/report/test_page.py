import hashlib
import re
from base64 import b64decode, b64encode
from html.parser import HTMLParser

import pytest
import report_trials as made

from hpcho import space
from hpcho.report import summarise
from hpcho.report.figures import Picture, pictures
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


def page_of(trials, of=made.SPACE, drawn=()):
    return page(summarise(made.EXPERIMENT, of, trials, elapsed_s=3725.0, made_at=1e9), drawn)


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
    assert "Interruptions" not in page_of([failed])
    attempts = (Attempt(made.OWNER, 0, 9, Cause.PREEMPTED, "its job was preempted", saved=True),)
    page = page_of([made.trial(1, TrialState.NEW, attempts=attempts)])
    assert "<h2>Failures</h2>" not in page
    text = " ".join(" ".join(Reader(page).text).split())
    assert "Interruptions cause trials ended by it attempts with work saved time lost preempted 0 1 1 0 s" in text
    assert "preempted 1 (1 saved)" in text


@pytest.mark.parametrize("trials", made.ODD.values(), ids=made.ODD)
def test_any_trials_make_a_page(trials):
    reader = Reader(page_of(trials))
    assert sum(tag == "tr" for tag, _ in reader.tags) >= len(trials) + 1


def test_nothing_is_loaded_from_anywhere():
    html = page_of(
        made.sampled(20), drawn=list(pictures(summarise(made.EXPERIMENT, made.SPACE, made.sampled(20), elapsed_s=1)))
    )
    reader = Reader(html)
    for tag, attributes in reader.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form", "a")
        assert attributes.get("src", "data:").startswith("data:")
        assert not {"href", "srcset", "action", "style"} & set(attributes)
    assert not re.search(r"url\(|@import|https?:", re.sub(r'src="data:[^"]*"', "", html))
    images = [attributes["src"] for tag, attributes in reader.tags if tag == "img"]
    assert len(images) == 6
    for image in images:
        kind, data = image.split(",", 1)
        assert kind == "data:image/svg+xml;base64"
        assert not re.search(rb'href="(?!#|data:image/png;)|<script|<foreignObject', b64decode(data))


def test_the_policy_lets_only_the_pages_own_script_and_style_run():
    html = page_of([])
    policy = next(a["content"] for tag, a in Reader(html).tags if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "data:"
    for element in ("script", "style"):
        (content,) = re.findall(rf"<{element}>(.*?)</{element}>", html, re.DOTALL)
        digest = b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[f"{element}-src"] == f"'sha256-{digest}'"


def test_hostile_names_values_and_errors_stay_text():
    of = space.build({HOSTILE: {"choice": [HOSTILE, "b"]}, "x": {"float": [0, 1]}})
    trials = [
        made.done(0, 0.5, {HOSTILE: HOSTILE}, of=of),
        made.failed(1, Failure(Cause.OBJECTIVE, f"{HOSTILE}\n{HOSTILE}"), of=of),
    ]
    reader = Reader(page_of(trials, of))
    assert sum(tag == "script" for tag, _ in reader.tags) == 1
    assert not [
        tag for tag, attributes in reader.tags if tag == "img" or any(name.startswith("on") for name in attributes)
    ]
    # head, best trial (name and value), table (head, cell), error (line and twice in its text), failures likewise
    assert "".join(reader.text).count("<script>alert(1)</script>") >= 6
    assert "\x00" not in page_of(trials, of)


def test_a_large_svg_gives_way_to_its_png():
    drawn = [
        Picture("progress", "a", {"svg": b"x" * 1_000_001, "png": b"small"}),
        Picture("parallel", "b", {"svg": b"x", "png": b""}),
    ]
    sources = [attributes["src"] for tag, attributes in Reader(page_of([], drawn=drawn)).tags if tag == "img"]
    assert [source.split(";")[0] for source in sources] == ["data:image/png", "data:image/svg+xml"]


def test_the_table_is_bounded_and_says_so():
    reader = Reader(page_of([made.done(tid, float(tid)) for tid in range(1100)]))
    assert any("the 1000 best of 1100 trials" in text for text in reader.text)
    many = space.build({f"p{i}": {"float": [0, 1]} for i in range(40)})
    assert any("24 of 40 parameters" in text for text in Reader(page_of(made.sampled(15, many), many)).text)


def test_a_long_error_shows_its_end():
    error = "Traceback\n" + "x" * 10_000 + "\nValueError: the end"
    html = page_of([made.failed(0, Failure(Cause.OBJECTIVE, error))])
    assert "<summary" in html
    assert "ValueError: the end" in html
    assert "x" * 3001 not in html


def test_an_option_of_none_is_not_taken_for_an_inactive_one():
    of = space.build({"x": {"choice": [None, "a"]}, "y": {"float": [0, 1]}})
    assert "<td><bdi>null</bdi></td>" in page_of([made.done(0, 0.5, {"x": None}, of=of)], of)
