"""The copy of the objective's source: what is copied, what is linked, what is left out."""

import errno
import json
import os
import stat
import sys
from pathlib import Path

import pytest

from hpcho import objective
from hpcho.errors import ObjectiveLoadError
from hpcho.experiment.schema import ObjectiveSpec
from hpcho.objective.snapshot import edited, take

PYTHON = ObjectiveSpec(python="train.py:objective")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "projekt mit Ä"
    folder.mkdir()
    return folder


@pytest.fixture
def target(folder):
    return folder / "runs" / "mnist" / "source"


def write(folder, *names, **texts):
    """Python files by path without suffix: empty ones, and ones with a text."""
    for name, text in {**dict.fromkeys(names, ""), **texts}.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def snapshot(folder, target, spec=PYTHON):
    manifest = take(spec, folder, target, folder / "runs")
    assert json.loads(json.dumps(manifest)) == manifest
    assert [path.name for path in target.parent.iterdir()] == ["source"]
    return manifest


def copies(target):
    """The relative paths of the real files below ``target``."""
    return sorted(
        str(path.relative_to(target))
        for path in target.rglob("*")
        if path.is_file()
        and not path.is_symlink()
        and not any(parent.is_symlink() for parent in path.parents if parent.is_relative_to(target))
    )


def links(target):
    return sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_symlink())


def test_the_objective_and_all_that_it_imports_are_copied(folder, target):
    write(
        folder,
        "deep",
        "unrelated",
        train="import os, numpy.linalg, near\ndef objective(params):\n    from deep import far as f",
        near="if True:\n    import further",
        further="import train",
    )
    manifest = snapshot(folder, target)
    assert list(manifest["files"]) == copies(target) == ["deep.py", "further.py", "near.py", "train.py"]
    assert manifest["mode"] == "python"
    assert links(target) == ["unrelated.py"]


def test_data_in_another_file_is_copied_too(folder, target):
    write(folder, "train", "cleaning", arrays="import cleaning")
    snapshot(folder, target, ObjectiveSpec(python="train.py:objective", data="arrays.py:data"))
    assert copies(target) == ["arrays.py", "cleaning.py", "train.py"]


def test_a_package_is_copied_as_a_whole_without_large_files(folder, target):
    write(
        folder,
        "pack/__init__",
        train="from pack.a import x",
        **{"pack/a": "from .. import no", "pack/sub/b": "import helper"},
    )
    write(folder, "helper", "pack/sub/deep")
    (folder / "pack" / "names.json").write_text("{}")
    (folder / "pack" / "weights.h5").write_bytes(bytes(1_000_000))
    (folder / "pack" / "__pycache__").mkdir()
    (folder / "pack" / "__pycache__" / "a.pyc").write_bytes(b"")
    snapshot(folder, target)
    assert copies(target) == [
        "helper.py",
        "pack/__init__.py",
        "pack/a.py",
        "pack/names.json",
        "pack/sub/b.py",
        "pack/sub/deep.py",
        "train.py",
    ]
    assert links(target) == ["pack/weights.h5"]
    assert (target / "pack" / "weights.h5").stat().st_size == 1_000_000


def test_a_folder_of_images_in_a_package_is_linked(folder, target):
    write(folder, "pack/__init__", train="import pack")
    images = folder / "pack" / "images"
    images.mkdir()
    for number in range(1001):
        (images / str(number)).touch()
    snapshot(folder, target)
    assert copies(target) == ["pack/__init__.py", "train.py"]
    assert links(target) == ["pack/images"]


def test_folders_without_init_count_where_a_module_is_in_them(folder, target):
    write(
        folder,
        "src/layer",
        train="import src.model\nfrom lib import thing\nimport data",
        **{"src/model": "from . import layer"},
    )
    write(folder, "lib/thing", "data/other")
    snapshot(folder, target)
    assert copies(target) == ["lib/thing.py", "src/layer.py", "src/model.py", "train.py"]
    assert links(target) == ["data"]


def test_an_objective_in_a_folder_brings_what_lies_beside_it(folder, target):
    write(folder, "code/near", "top", "code/other", **{"code/train": "import near, top"})
    (folder / "code" / "table.csv").write_text("1")
    snapshot(folder, target, ObjectiveSpec(python="code/train.py:objective"))
    assert copies(target) == ["code/near.py", "code/train.py", "top.py"]
    assert links(target) == ["code/other.py", "code/table.csv"]
    assert (target / "code" / "table.csv").read_text() == "1"


def test_an_objective_in_a_package_brings_the_package(folder, target):
    write(folder, "pack/__init__", "pack/train", "pack/other")
    snapshot(folder, target, ObjectiveSpec(python="pack/train.py:objective"))
    assert copies(target) == ["pack/__init__.py", "pack/other.py", "pack/train.py"]
    by_name = snapshot(folder, target, ObjectiveSpec(python="pack.train:objective"))
    assert (copies(target), by_name["installed"]) == (["pack/__init__.py", "pack/other.py", "pack/train.py"], {})


def test_the_rest_is_linked_but_for_the_job_directory_git_and_caches(folder, target):
    write(folder, "train")
    for name in (".git", "__pycache__", "data", "runs"):
        (folder / name).mkdir()
    (folder / "data" / "x.csv").write_text("1,2")
    (folder / "experiment.yaml").write_text("")
    (folder / "dangling").symlink_to("nowhere")
    snapshot(folder, target)
    assert links(target) == ["dangling", "data", "experiment.yaml"]
    assert (target / "data" / "x.csv").read_text() == "1,2"


def test_the_folder_may_be_moved_with_its_runs(folder, target, tmp_path):
    write(folder, "train")
    (folder / "x.csv").write_text("1,2")
    snapshot(folder, target)
    moved = folder.rename(tmp_path / "moved")
    assert (moved / "runs" / "mnist" / "source" / "x.csv").read_text() == "1,2"


def test_a_job_directory_elsewhere_is_linked_absolutely(folder, tmp_path):
    write(folder, "train")
    (folder / "x.csv").write_text("1,2")
    target = tmp_path / "scratch" / "mnist" / "source"
    take(PYTHON, folder, target, tmp_path / "scratch")
    assert (target / "x.csv").readlink() == folder / "x.csv"


@pytest.mark.parametrize("job_dir", ["deep/er", "."])
def test_a_job_directory_at_any_place_in_the_folder_is_left_out(folder, job_dir):
    write(folder, "train", "deep/beside")
    target = folder / job_dir / "mnist" / "source"
    take(PYTHON, folder, target, folder / job_dir)
    assert not list(target.rglob("source"))
    assert (target / "deep" / "beside.py").exists()
    assert not (target / "deep" / "er").exists()


def test_a_half_written_target_is_replaced(folder, target):
    write(folder, train="x = 1")
    target.mkdir(parents=True)
    (target / "train.py").write_text("x")
    (target / "old").symlink_to(folder)
    snapshot(folder, target)
    assert (copies(target), links(target)) == (["train.py"], [])
    assert (target / "train.py").read_text() == "x = 1"
    assert (folder / "train.py").exists()


def test_a_file_system_without_links_is_good_enough(folder, target, monkeypatch):
    def refuse(path, place):
        raise OSError(errno.EPERM, "no links here", str(path))

    monkeypatch.setattr(Path, "symlink_to", refuse)
    write(folder, "train", "other")
    snapshot(folder, target)
    assert [path.name for path in target.iterdir()] == ["train.py"]


def test_an_edit_is_noticed(folder, target):
    write(folder, "a", "b", "c", train="import a, b, c")
    manifest = snapshot(folder, target)
    assert edited(manifest, folder) == []
    (folder / "b.py").write_text("x = 1")
    (folder / "a.py").unlink()
    assert edited(manifest, folder) == ["a.py", "b.py"]
    assert (target / "b.py").read_text() == ""


def test_a_read_only_folder_and_files(folder, tmp_path):
    write(folder, "pack/__init__", train="import pack")
    for path in (folder / "train.py", folder / "pack" / "__init__.py", folder / "pack", folder):
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    target = tmp_path / "runs" / "mnist" / "source"
    try:
        for _ in range(2):
            take(PYTHON, folder, target, tmp_path / "runs")
    finally:
        folder.chmod(0o755)
        (folder / "pack").chmod(0o755)
    assert copies(target) == ["pack/__init__.py", "train.py"]


def test_sources_that_are_links_are_copied_by_content(folder, target, tmp_path):
    write(tmp_path, **{"real/train": "import pack", "real/pack/__init__": "x = 1"})
    (folder / "train.py").symlink_to(tmp_path / "real" / "train.py")
    (folder / "pack").symlink_to(tmp_path / "real" / "pack")
    manifest = snapshot(folder, target)
    assert copies(target) == list(manifest["files"]) == ["pack/__init__.py", "train.py"]
    (tmp_path / "real" / "pack" / "__init__.py").write_text("x = 2")
    assert edited(manifest, folder) == ["pack/__init__.py"]


def test_an_installed_module_is_only_recorded(folder, target):
    installed = snapshot(folder, target, ObjectiveSpec(python="yaml.nodes:Node", data="json:loads"))["installed"]
    assert installed.keys() == {"yaml.nodes", "json"}
    assert installed["yaml.nodes"].startswith("6")
    assert installed["json"] is None
    assert copies(target) == []


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            ObjectiveSpec(python="trian.py:objective"),
            "objective.python: there is no trian.py in .* did you mean 'train.py'",
        ),
        (ObjectiveSpec(python="train.py:objective", data="dta.py:data"), r"objective.data: there is no dta.py"),
        (ObjectiveSpec(hyperas="task.py"), "objective.hyperas: there is no task.py"),
        (ObjectiveSpec(python="../train.py:objective"), "is not in the YAML's folder"),
    ],
)
def test_a_missing_file_is_refused_and_nothing_is_left(folder, target, spec, words):
    write(folder, "train")
    with pytest.raises(ObjectiveLoadError, match=words):
        take(spec, folder, target, folder / "runs")
    assert not target.parent.exists()


def test_a_file_that_python_cannot_read_is_copied_all_the_same(folder, target):
    write(folder, train="def objective(:")
    assert list(snapshot(folder, target)["files"]) == ["train.py"]


def test_a_hyperas_file_brings_its_imports(folder, target):
    write(folder, "layers", task="from layers import block\nx = {{uniform(0, 1)}}\nif {{choice([1, 2])}}:\n    pass")
    manifest = snapshot(folder, target, ObjectiveSpec(hyperas="task.py"))
    assert (manifest["mode"], copies(target)) == ("hyperas", ["layers.py", "task.py"])


def test_the_files_that_a_command_names_are_copied(folder, target):
    write(folder, "near", "pack/__init__", "pack/main", "other", train="import near")
    (folder / "settings.ini").write_text("")
    (folder / "large.csv").write_bytes(bytes(1_000_000))
    (folder / "go.sh").write_text("#!/bin/sh\n")
    (folder / "go.sh").chmod(0o755)
    command = (
        "./go.sh",
        "python",
        "train.py",
        "--conf=settings.ini",
        "--data",
        "large.csv",
        "-m",
        "pack.main",
        "{x}",
        "..",
    )
    manifest = snapshot(folder, target, ObjectiveSpec(command=command))
    assert manifest["mode"] == "command"
    assert copies(target) == ["go.sh", "near.py", "pack/__init__.py", "pack/main.py", "settings.ini", "train.py"]
    assert links(target) == ["large.csv", "other.py"]
    assert os.access(target / "go.sh", os.X_OK)


def test_a_command_names_nothing_outside_of_the_folder(folder, target, tmp_path):
    (tmp_path / "outside.py").write_text("")
    command = ("python", "../outside.py", str(tmp_path / "outside.py"), "")
    assert snapshot(folder, target, ObjectiveSpec(command=command))["files"] == {}


def test_the_copy_is_what_a_worker_runs(folder, target, monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path.copy())
    write(
        folder,
        snapshot_task="import snapshot_part\nfrom pathlib import Path\ndef objective(params): return snapshot_part.x",
    )
    write(folder, snapshot_part="x = 1")
    spec = ObjectiveSpec(python="snapshot_task.py:objective")
    snapshot(folder, target, spec)
    write(folder, snapshot_part="x = 2")
    assert objective.load(spec, target).evaluate({}, {}, None) == 1
    assert sorted(path.name for path in Path(folder).iterdir()) == ["runs", "snapshot_part.py", "snapshot_task.py"]
