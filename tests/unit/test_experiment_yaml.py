"""How experiment.yaml is read as YAML: 1.2's scalars, places, and what is no YAML at all."""

import math

import pytest

from hpcho.errors import ExperimentError
from hpcho.experiment import load
from hpcho.experiment.yaml12 import Builder, parse


def value(text):
    builder = Builder()
    made = builder.value(parse(text, "x.yaml"), ())
    assert not builder.flaws
    return made


def said(path, *settings):
    with pytest.raises(ExperimentError) as caught:
        load(path, settings)
    return str(caught.value)


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write x.yaml into the current folder, where problems call it by its short name."""
    monkeypatch.chdir(tmp_path)

    def write(content):
        path = tmp_path / "x.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path.relative_to(tmp_path)

    return write


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-5", 1e-5),
        ("1E+3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("-.inf", -math.inf),
        ("0o17", 15),
        ("0x1F", 31),
        ("-007", -7),
        ("~", None),
        ("True", True),
        ("on", "on"),
        ("no", "no"),
        ("yes", "yes"),
        ("24:00:00", "24:00:00"),
        ("1_000", "1_000"),
        ("2024-01-31", "2024-01-31"),
        ("0b11", "0b11"),
        ("1e", "1e"),
        ('"1"', "1"),
        ("!!str 1", "1"),
        ("!!float 1", 1.0),
        ("<<", "<<"),
        ('"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        ("=", "="),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text, expected):
    made = value(text)
    assert made == expected
    assert type(made) is type(expected)


def test_nan_is_a_number():
    assert math.isnan(value(".nan"))


def test_an_alias_repeats_what_its_anchor_holds():
    assert value("a: &x [1, 2]\nb: *x\n") == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x.yaml:1:1: is empty: it needs at least name:, objective: and budget:"),
        (b"# only a remark\n", "x.yaml:1:1: is empty"),
        (b"- a\n- b\n", 'x.yaml:1:1: must be a mapping (name: ..., objective: ...), not ["a", "b"]'),
        (b"just text\n", 'x.yaml:1:1: must be a mapping (name: ..., objective: ...), not "just text"'),
        (b"name: a\n\tb: 1\n", "x.yaml:2:1: a tab stands where YAML wants spaces"),
        (b"name: a: b\n", "x.yaml:1:8: this ':' begins another value: put a text with ': ' in it in quotes"),
        (b"name: [a\nb: 1\n", "x.yaml:2:2: is not valid YAML: expected ',' or ']'"),
        (b"name: a\n---\nname: b\n", "x.yaml:2:1: a second document begins here"),
        (b"name: *a\n", "x.yaml:1:7: this alias (*name) has no anchor (&name) above it"),
        (b"name: a\nb: \xff\n", "x.yaml:2:4: is not UTF-8 text (byte 0xff): save it as UTF-8"),
        ("name: a\n".encode("utf-16"), "x.yaml:1:1: is not UTF-8 text"),
        (b"name: a\nb: \x07\n", "x.yaml:2:4: the control character U+0007 cannot stand in YAML"),
        (b"a: " + b"[" * 1000, "x.yaml:1:1: is nested too deeply"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_place(write, content, message):
    assert said(write(content)).startswith(message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: a\nname: b\n", "x.yaml:2:1: name: this key was given before, in line 1: remove one of the two"),
        ("name: a\n[1]: b\n", "x.yaml:2:1: a key must be plain text, not a list or a mapping"),
        ("name: !!python/name:os.system ''\n", "x.yaml:1:7: name: the tag tag:yaml.org,2002:python/name:os.system"),
        ("name: !!int abc\n", 'x.yaml:1:7: name: the tag tag:yaml.org,2002:int does not fit "abc": remove it'),
        ('name: "\\ud83d"\n', "x.yaml:1:7: name: an escape such as \\ud83d is half a character"),
        ("name: !mine [a]\n", "x.yaml:1:7: name: the tag !mine is not known here: remove it"),
        (f"points: {'[' * 101}{']' * 101}\n", f"x.yaml:1:108: points{'.0' * 99}: is nested more than 100 levels"),
        ("points: &a [*a]\n", "x.yaml:1:9: points.0: an anchor (&name) must not contain itself (*name)"),
    ],
)
def test_odd_yaml_is_told_beside_all_other_problems(write, content, message):
    lines = said(write(content)).splitlines()
    assert any(line.startswith(message) for line in lines), lines
    assert any("objective: is required" in line for line in lines)


def test_a_byte_order_mark_and_windows_line_ends_are_fine(write):
    text = "\ufeffname: a\r\nobjective: {command: ['true']}\r\nspace: {x: {float: [0, 1]}}\r\n"
    experiment, _ = load(write(text))
    assert experiment.name == "a"


def test_a_missing_file_is_told_with_its_neighbour(tmp_path):
    (tmp_path / "experiment.yaml").write_text("")
    path = tmp_path / "experimnt.yaml"
    assert said(path) == f"{path}: there is no such file; did you mean {tmp_path / 'experiment.yaml'}?"
    assert said(tmp_path / "no" / "x.yaml").endswith(f"there is no such file, nor its folder {tmp_path / 'no'}")


def test_files_are_looked_for_beside_the_link_that_a_yaml_may_be(tmp_path):
    (tmp_path / "shared").mkdir()
    real = tmp_path / "shared" / "experiment.yaml"
    real.write_text("name: a\nobjective: {python: 'train.py:f'}\nspace: {x: {float: [0, 1]}}\n")
    (tmp_path / "shared" / "train.py").write_text("")
    link = tmp_path / "mine.yaml"
    link.symlink_to(real)
    assert said(link).endswith(
        f"there is no file train.py in {tmp_path}: mine.yaml is a link there, so name {real} itself"
    )
    (tmp_path / "train.py").symlink_to("shared/train.py")
    assert load(link)[0].name == "a"


def test_a_folder_is_no_experiment(tmp_path):
    assert said(tmp_path) == f"{tmp_path}: is a folder: name the YAML file in it"
