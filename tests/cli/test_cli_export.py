"""best --export: the saved model, wherever the objective put it."""

import io
import os
import zipfile

import pytest


def zipped(*names):
    """The bytes of a zip with these members, as a .keras file is one."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "{}")
    return buffer.getvalue()


KERAS = zipped("config.json", "metadata.json", "model.weights.h5")
HDF5 = b"\x89HDF\r\n\x1a\n" + b"weights"
POINT = {"x": 1.0}


def export(bench, hpcho, *arguments, file="out.keras", code=0):
    done = hpcho("best", bench.yaml, "--export", file, *arguments)
    assert done.returncode == code, done.stderr
    return done


def test_an_attachment_is_given_back(bench, hpcho):
    bench.finish(POINT, 1.0, {"model.keras": KERAS})
    done = export(bench, hpcho)
    assert (bench.folder / "out.keras").read_bytes() == KERAS
    assert done.stdout == "wrote out.keras: model.keras of trial 0, loss 1\n"
    assert done.stderr == ""


def test_a_model_is_known_by_its_content_among_other_attachments(bench, hpcho):
    bench.finish(
        POINT,
        1.0,
        {"net": KERAS, "predictions.npz": zipped("arr_0.npy"), "notes": b"text"},
        best_net={"attachment": "net"},
    )
    export(bench, hpcho)
    assert (bench.folder / "out.keras").read_bytes() == KERAS


def test_a_single_attachment_is_given_back_whatever_it_holds(bench, hpcho):
    bench.finish(POINT, 1.0, {"weights": b"of another library"})
    export(bench, hpcho, file="out.bin")
    assert (bench.folder / "out.bin").read_bytes() == b"of another library"


def test_of_several_models_one_must_be_chosen(bench, hpcho):
    bench.finish(POINT, 1.0, {"a.keras": KERAS, "b": HDF5}, best={"attachment": "b"})
    done = export(bench, hpcho, code=2)
    assert "several: choose with --attachment NAME" in done.stderr
    assert "a.keras (" in done.stderr
    assert "b (" in done.stderr
    export(bench, hpcho, "--attachment", "a.keras")
    assert (bench.folder / "out.keras").read_bytes() == KERAS
    export(bench, hpcho, "--attachment", "best", file="out.h5")  # the result's key names it too
    assert (bench.folder / "out.h5").read_bytes() == HDF5


def test_an_unknown_name_is_answered_with_the_known_ones(bench, hpcho):
    bench.finish(POINT, 1.0, {"a.keras": KERAS})
    done = export(bench, hpcho, "--attachment", "b", code=2)
    assert "trial 0 has no 'b'. It has: a.keras" in done.stderr


def test_the_newest_model_under_the_trials_folder_is_given_back(bench, hpcho):
    tid = bench.finish(POINT, 1.0)
    folder = bench.jobdir.trial(tid) / "checkpoints"
    folder.mkdir(parents=True)
    for age, (name, content) in enumerate([("new.keras", KERAS), ("old.keras", b"old"), ("later.weights.h5", HDF5)]):
        (folder / name).write_bytes(content)
        os.utime(folder / name, (1000 - age, 1000 - age))
    os.utime(folder / "later.weights.h5", (2000, 2000))  # newest of all, but weights alone
    (folder.parent / "stdout.log").write_text("done")
    assert "checkpoints/new.keras of trial 0" in export(bench, hpcho).stdout
    assert (bench.folder / "out.keras").read_bytes() == KERAS


def test_weights_alone_come_with_a_warning(bench, hpcho):
    tid = bench.finish(POINT, 1.0)
    bench.jobdir.trial(tid).mkdir(parents=True, exist_ok=True)
    (bench.jobdir.trial(tid) / "last.weights.h5").write_bytes(HDF5)
    done = export(bench, hpcho, file="out.weights.h5")
    assert "warning: out.weights.h5 holds weights alone" in done.stderr


def test_a_suffix_that_keras_would_not_open_is_warned_of(bench, hpcho):
    bench.finish(POINT, 1.0, {"model": HDF5})
    done = export(bench, hpcho, file="out.keras")
    assert "warning: out.keras holds the .h5 format" in done.stderr
    assert (bench.folder / "out.keras").read_bytes() == HDF5


def test_a_trial_that_saved_nothing_says_how_to(bench, hpcho):
    bench.finish(POINT, 1.0)
    done = export(bench, hpcho, code=2)
    assert "trial 0 saved no model" in done.stderr
    assert "trial.dir" in done.stderr
    assert not (bench.folder / "out.keras").exists()


def test_nothing_is_overwritten_without_force(bench, hpcho):
    bench.finish(POINT, 1.0, {"model.keras": KERAS})
    target = bench.folder / "out.keras"
    target.write_bytes(b"mine")
    done = export(bench, hpcho, code=2)
    assert "out.keras exists; --force replaces it" in done.stderr
    assert target.read_bytes() == b"mine"
    export(bench, hpcho, "--force")
    assert target.read_bytes() == KERAS
    assert [path.name for path in bench.folder.glob(".out*")] == []


def test_a_folder_and_a_place_that_is_not_there_are_said(bench, hpcho):
    bench.finish(POINT, 1.0, {"model.keras": KERAS})
    assert "is a folder; name a file" in export(bench, hpcho, file=".", code=2).stderr
    assert (
        "cannot write gone/out.keras: No such file or directory"
        in export(bench, hpcho, file="gone/out.keras", code=2).stderr
    )


def test_json_stays_one_document(bench, hpcho):
    import json

    bench.finish(POINT, 1.0, {"model": HDF5})
    assert json.loads(export(bench, hpcho, "--json").stdout)["result"]["attachments"] == ["model"]


@pytest.mark.slow
@pytest.mark.keras
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own, with numpy 2
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_keras_opens_what_was_exported(bench, hpcho, tmp_path, suffix):
    keras = pytest.importorskip("keras", reason="needs keras")
    import numpy as np

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.save(tmp_path / f"saved{suffix}")
    bench.finish(POINT, 1.0, {"model": (tmp_path / f"saved{suffix}").read_bytes()}, model={"attachment": "model"})
    export(bench, hpcho, file=f"best{suffix}")
    opened = keras.models.load_model(tmp_path / f"best{suffix}", compile=False)
    x = np.ones((1, 3))
    np.testing.assert_allclose(opened.predict(x, verbose=0), model.predict(x, verbose=0))
