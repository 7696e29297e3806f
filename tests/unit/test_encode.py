"""What objectives return -> results and files."""

import datetime as dt
import errno
import json
import marshal
import os
import pickle
import resource
import subprocess
import sys
from collections import OrderedDict, deque
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from hpcho.objective import attachments
from hpcho.objective.attachments import safe_name
from hpcho.objective.encode import BadResult, encode


class Colour(Enum):
    RED = "red"
    POINT = (1, 2)


class Level(IntEnum):
    HIGH = 3


class Loss(Enum):
    OK = "ok"


class Pair(NamedTuple):
    a: int
    b: Path


@dataclass
class Setup:
    rate: float
    layers: tuple


class Plain:
    """Pickles by reference to this module."""

    def __eq__(self, other):
        return isinstance(other, Plain)

    __hash__ = None


class Hostile:
    """Refuses everything."""

    def __repr__(self):
        raise RuntimeError("no repr")

    def __reduce_ex__(self, protocol):
        raise RuntimeError("no pickle")

    def __float__(self):
        raise RuntimeError("no number")


class Tensor:
    """Like a framework's tensor of one element that only knows how to become numpy's."""

    shape = (1, 1)
    dtype = "float32"

    def __init__(self, value):
        self._value = value

    def __getitem__(self, index):
        inner = Tensor(self._value)
        inner.shape = self.shape[1:]
        return inner

    def numpy(self):
        return np.float32(self._value)


def data(value, folder):
    """The data of a good result with ``value`` under the key x."""
    result, _ = encode({"loss": 1, "x": value}, folder)
    json.dumps(result.to_json(), allow_nan=False)
    return result.data["x"]


def filed(value, folder):
    """The name and bytes of the file that ``value`` became."""
    result, files = encode({"loss": 1, "x": value}, folder)
    name = result.data["x"]["attachment"]
    assert result.attachments == tuple(files) == (name,)
    return name, files[name].read_bytes()


def refused(value, folder):
    with pytest.raises(BadResult) as caught:
        encode(value, folder)
    json.dumps(caught.value.result.to_json(), allow_nan=False)
    return caught.value


@pytest.mark.parametrize(
    "loss",
    [
        2,
        2.0,
        np.float32(2),
        np.int64(2),
        np.longdouble(2),
        np.array(2.0),
        np.array([2.0]),
        np.array([[2]]),
        Decimal(2),
        Fraction(4, 2),
        Level.HIGH - 1,
        Tensor(2.0),
    ],
)
def test_a_number_of_any_kind_is_the_loss(tmp_path, loss):
    for value in (loss, {"loss": loss}, OrderedDict(loss=loss, status="ok")):
        result, files = encode(value, tmp_path)
        assert (result.loss, type(result.loss), result.status) == (2.0, float, "ok")
        assert (result.data, result.attachments, files) == ({}, (), {})
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "returned None where its loss should be: does each of its paths end with `return`?"),
        ({"loss": None}, "returned None"),
        (float("nan"), "the objective's loss is nan: it must be finite"),
        ({"loss": np.float32("inf")}, "the objective's loss is inf: it must be finite"),
        ("0.5", "loss is '0.5' of type str: it must be one number"),
        (b"1", "of type bytes"),
        (True, "loss is True of type bool"),
        (np.True_, "loss is np.True_ of type bool"),
        (np.array([1, 2]), "loss is array([1, 2]) of type ndarray: it must be one number"),
        (1j, "of type complex"),
        (10**400, "of type int"),
        ((0.5, {}), "of type tuple"),
        (Hostile(), "of type Hostile"),
        ({"accuracy": 1, 2: 3}, "has no 'loss': it has 'accuracy', 2"),
        ({}, "has no 'loss': it has nothing"),
        ({"loss": 1, "status": "done"}, "status is 'done': it is 'ok', or 'fail'"),
        ({"loss": 1, "status": np.array([1, 2])}, "status is array([1, 2])"),
        ({"loss": 1, "status": None}, "status is None"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_loss_is_refused_in_words(tmp_path, value, words):
    error = refused(value, tmp_path)
    assert words in str(error)
    assert error.result.status == "fail"


def test_a_refused_result_keeps_all_that_was_computed(tmp_path):
    error = refused({"loss": float("nan"), "accuracy": 0.9, "attachments": {"model.bin": b"abc"}}, tmp_path)
    assert (error.result.loss, error.result.data) == (None, {"accuracy": 0.9})
    assert {name: path.read_bytes() for name, path in error.files.items()} == {"model.bin": b"abc"}
    assert refused(np.arange(3), tmp_path).result.data == {"returned": [0, 1, 2]}
    assert refused({"loss": 2, "status": "?"}, tmp_path).result.loss == 2


@pytest.mark.parametrize("value", [{"status": "fail"}, {"status": "fail", "loss": float("nan")}])
def test_status_fail_needs_no_loss(tmp_path, value):
    result, _ = encode(value, tmp_path)
    assert (result.loss, result.status) == (None, "fail")


def test_status_is_told_by_an_enum_too(tmp_path):
    assert encode({"loss": 1, "status": Loss.OK}, tmp_path)[0].status == "ok"


def test_what_is_stored_is_plain_whatever_class_it_had(tmp_path):
    value = {"loss": np.float64(1), "status": np.str_("ok"), np.str_("key"): np.str_("text"), "n": np.int64(2)}
    result, _ = encode(value, tmp_path)
    assert type(result.status) is str
    assert marshal.loads(marshal.dumps(result.to_json())) == result.to_json()


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (True, True),
        (np.True_, True),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.longdouble(0.5), 0.5),
        (np.str_("s"), "s"),
        (2**63, str(2**63)),
        (-(2**63), -(2**63)),
        (float("nan"), "nan"),
        ([float("inf"), -np.inf], ["inf", "-inf"]),
        (Decimal("1.5"), 1.5),
        (1 + 2j, "(1+2j)"),
        ((1, 2), [1, 2]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ({1, "a"}, ["a", 1]),
        (deque([1]), [1]),
        ({}.keys(), []),
        (Path("a/b"), "a/b"),
        (Colour.RED, "red"),
        (Colour.POINT, [1, 2]),
        (Level.HIGH, 3),
        (Pair(1, Path("x")), {"a": 1, "b": "x"}),
        (Setup(0.1, (1, 2)), {"rate": 0.1, "layers": [1, 2]}),
        (dt.date(2024, 1, 2), "2024-01-02"),
        (dt.datetime(2024, 1, 2, 3, tzinfo=dt.timezone.utc), "2024-01-02T03:00:00+00:00"),
        (dt.timedelta(minutes=1), 60.0),
        ({1: "a", "1": "b", None: 0, b"k": 0, (1, 2): 0}, {"1": "a", "1-2": "b", "None": 0, "k": 0, "(1, 2)": 0}),
        ({Colour.RED: 1, np.int64(4): 2}, {"red": 1, "4": 2}),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        (np.array([np.nan, 1]), ["nan", 1.0]),
        (np.array([{1}, None], dtype=object), [[1], None]),
        (np.datetime64("2024-01-02"), "2024-01-02"),
        ("lone \ud800 surrogate", "lone \\ud800 surrogate"),
    ],
)
def test_values_become_plain_data(tmp_path, value, plain):
    encoded = data(value, tmp_path)
    assert encoded == plain
    assert type(encoded) is type(plain)
    assert not any(tmp_path.iterdir())


def test_a_value_that_contains_itself(tmp_path):
    circle = [1]
    circle.append({"again": circle})
    assert data(circle, tmp_path) == [1, {"again": "<recursion>"}]
    twice = [2]
    assert data([twice, twice], tmp_path) == [[2], [2]]


def test_bytes_anywhere_become_files(tmp_path):
    result, files = encode({"loss": 1, "h": {"a": [b"one", bytearray(b"two")]}, "m": memoryview(b"3")}, tmp_path)
    assert result.data == {
        "h": {"a": [{"attachment": "h.a.0"}, {"attachment": "h.a.1"}]},
        "m": {"attachment": "m"},
    }
    assert [files[name].read_bytes() for name in ("h.a.0", "h.a.1", "m")] == [b"one", b"two", b"3"]


def test_attachments_of_all_kinds(tmp_path):
    (tmp_path / "own.h5").write_bytes(b"weights")
    given = {
        "bytes": b"b",
        "text": "ü",
        "file": tmp_path / "own.h5",
        "missing": Path("nowhere"),
        "array": np.arange(3),
        "table": {"a": [1]},
        "thing": Plain(),
        5: b"",
    }
    result, files = encode({"loss": 1, "attachments": given}, tmp_path)
    assert result.data == {}
    assert result.attachments == tuple(files)
    contents = {name: path.read_bytes() for name, path in files.items()}
    assert np.array_equal(np.load(files["array.npy"]), np.arange(3))
    assert pickle.loads(contents["thing.pkl"]) == Plain()
    for name, content in {
        "bytes": b"b",
        "text": "ü".encode(),
        "file": b"weights",
        "missing": b"nowhere",
        "table.json": b'{"a": [1]}',
        "5": b"",
    }.items():
        assert contents[name] == content
    assert (tmp_path / "own.h5").exists()


def test_attachments_that_are_no_dict(tmp_path):
    assert list(encode({"loss": 1, "attachments": [b"x"]}, tmp_path)[1]) == ["attachments.0", "attachments.json"]


def test_a_large_array_becomes_npy(tmp_path):
    array = np.arange(1001.0)
    name, _ = filed(array, tmp_path)
    assert name == "x.npy"
    assert np.array_equal(np.load(tmp_path / f".result-{os.getpid()}" / name), array)
    assert data(array[:1000], tmp_path) == list(array[:1000])


def test_a_large_array_of_objects_that_cannot_be_pickled(tmp_path):
    name, content = filed(np.array([Hostile()] * 1001, dtype=object), tmp_path)
    assert (name, b"ndarray" in content) == ("x.txt", True)


@pytest.mark.parametrize("value", ["s" * 1_000_001, [0.5] * 300_000, {str(i): i for i in range(100_000)}])
def test_what_is_too_large_for_a_document_becomes_json(tmp_path, value):
    name, content = filed(value, tmp_path)
    assert name == "x.json"
    assert json.loads(content) == value


def test_what_is_nested_too_deep_becomes_json(tmp_path):
    nested = []
    for _ in range(100):
        nested = [nested]
    name, content = filed(nested, tmp_path)
    assert (name, json.loads(content)) == ("x.json", nested)
    shallow = nested
    for _ in range(30):
        shallow = shallow[0]
    assert data(shallow, tmp_path) == shallow


def test_what_is_nested_beyond_all_bounds_is_kept_in_some_form(tmp_path):
    nested = []
    for _ in range(100_000):
        nested = [nested]
    result, files = encode({"loss": 1, "x": nested, "y": 2}, tmp_path)
    assert result.data["y"] == 2
    assert files


def test_many_entries_that_are_too_large_together(tmp_path):
    result, files = encode({"loss": 1, "small": 1, **{f"k{i}": "s" * 400_000 for i in range(4)}}, tmp_path)
    assert set(result.data) == {"small", "more", "k2", "k3"}
    assert json.loads(files["more.json"].read_bytes()).keys() == {"k0", "k1"}


def test_objects_are_pickled_or_described(tmp_path):
    assert pickle.loads(filed(Plain(), tmp_path)[1]) == Plain()
    name, content = filed(lambda: 41, tmp_path)
    assert (name, pickle.loads(content)()) == ("x.pkl", 41)
    name, content = filed(Hostile(), tmp_path)
    assert name == "x.txt"
    assert b"Hostile object" in content
    assert b"It could not be saved: RuntimeError('no pickle')" in content
    shared = Plain()
    result, files = encode({"loss": 1, "a": shared, "b": shared}, tmp_path)
    assert (result.data["a"], len(files)) == (result.data["b"], 1)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("model.h5", "model.h5"),
        ("a/b", "a%2Fb"),
        ("..", "%2E."),
        (".hidden", "%2Ehidden"),
        ("", "attachment"),
        ("a b\0ü", "a%20b%00%C3%BC"),
        ("n" * 300 + ".keras", "n" * 114 + ".keras"),
        ("v1." + "x" * 300, "v1." + "x" * 117),
    ],
)
def test_attachment_names_are_safe_file_names(name, safe):
    assert safe_name(name) == safe


def test_attachment_names_do_not_collide(tmp_path):
    given = {"a.bin": b"1", "A.bin": b"2", 1: b"3", "1": b"4", "l" * 200: b"5", "l" * 201: b"6"}
    _, files = encode({"loss": 1, "attachments": given}, tmp_path)
    assert [files[name].read_bytes() for name in ("a.bin", "A-2.bin", "1", "1-2")] == [b"1", b"2", b"3", b"4"]
    assert len({path.name.lower() for path in files.values()}) == len(given)


def test_encoding_again_replaces_the_files_of_the_first_try(tmp_path):
    encode({"loss": 1, "x": b"1", "y": b"2"}, tmp_path)
    _, files = encode({"loss": 1, "x": b"3"}, tmp_path)
    folder = tmp_path / f".result-{os.getpid()}"
    assert [path.name for path in folder.iterdir()] == ["x"]
    assert files == {"x": folder / "x"}
    assert files["x"].read_bytes() == b"3"


def test_no_room_is_the_callers_error_and_leaves_nothing(tmp_path):
    code = (
        "import numpy, resource, signal; from pathlib import Path; from hpcho.objective.encode import encode\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "for value in (b'x' * 100_000, 's' * 2_000_000, numpy.zeros(2000)):\n"
        "    try: encode({'loss': 1, 'a': b'x' * 10, 'b': value}, folder)\n"
        "    except OSError as error: print(error.errno)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "print(list(folder.iterdir()))\n"
        "print(len(encode({'loss': 1, 'b': b'x' * 100_000}, folder)[1]))\n"
    )
    root = Path(attachments.__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert ran.stdout.split("\n") == [str(errno.EFBIG), str(errno.EFBIG), str(errno.ENOSPC), "[]", "1", ""]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


@pytest.fixture(scope="module")
def model():
    keras = pytest.importorskip("keras", reason="needs keras")
    return keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])


@pytest.mark.keras
@pytest.mark.slow
def test_a_keras_model_is_saved_so_that_keras_opens_it(tmp_path, model):
    import keras

    result, files = encode({"loss": 1, "model": model, "best": model, "attachments": {"m": model}}, tmp_path)
    assert result.data == {"model": {"attachment": "m.keras"}, "best": {"attachment": "m.keras"}}
    opened = keras.models.load_model(files["m.keras"])
    assert [w.shape for w in opened.get_weights()] == [(2, 1), (1,)]


@pytest.mark.keras
@pytest.mark.slow
def test_tensors_and_variables_are_arrays(tmp_path, model):
    tensorflow = pytest.importorskip("tensorflow", reason="needs tensorflow")
    assert encode(tensorflow.constant(0.5), tmp_path)[0].loss == 0.5
    assert "it must be one number" in str(refused(tensorflow.constant(True), tmp_path))
    result, _ = encode({"loss": model.weights[1][0], "w": tensorflow.constant([1, 2])}, tmp_path)
    assert (result.loss, result.data) == (0.0, {"w": [1, 2]})


@pytest.mark.keras
@pytest.mark.slow
def test_a_history_is_its_dict(tmp_path, model):
    model.compile(loss="mse")
    history = model.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=2, verbose=0)
    assert len(data(history, tmp_path)["loss"]) == 2
