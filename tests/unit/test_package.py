"""What is handed out: the wheel has every file that hpcho reads, and every licence of what is in it."""

import fnmatch
import importlib.util
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORDS = {
    "MIT": "Permission is hereby granted, free of charge",
    "Apache-2.0": "Apache License\nVersion 2.0",
    "BSD-3-Clause": "Neither the name of",
}
"""What a licence's text is known by."""


@pytest.fixture(scope="module")
def project():
    toml = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli", reason="needs tomli")
    return toml.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def data_files():
    """All files of the package but its modules."""
    files = (path for path in (ROOT / "hpcho").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc"))
    return sorted(str(path.relative_to(ROOT)) for path in files)


def test_the_package_is_handed_out_whole(project):
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel == {"packages": ["hpcho"]}, "an include or exclude here could leave data files out"
    assert {"page.html", "echarts.min.js", "experiment.yaml.txt"} <= {Path(file).name for file in data_files()}


def test_no_data_file_is_one_that_git_ignores():
    """The build leaves out what .gitignore names."""
    if not (ROOT / ".git").exists():
        pytest.skip("no checkout")
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", *data_files()], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, ""), done.stderr


def test_the_licence_is_that_of_all_that_is_in_it(project):
    globs = project["project"]["license-files"]
    texts = [file for file in data_files() if re.search(r"LICEN[CS]E|NOTICE", Path(file).name)]
    assert not [file for file in texts if not any(fnmatch.fnmatch(file, glob) for glob in globs)]
    found = set()
    for file in ["LICENSE", *texts]:
        text = re.sub(r"\n\s+", "\n", (ROOT / file).read_text(encoding="utf-8"))
        found |= {name for name, words in WORDS.items() if words in text}
    assert set(project["project"]["license"].split(" AND ")) == found == set(WORDS)


def test_the_wheel_has_all_of_it(tmp_path):
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("needs hatchling: pip install -e '.[dev]'")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
    assert not [file for file in data_files() if file not in names]
    assert "License-Expression: MIT AND Apache-2.0 AND BSD-3-Clause\n" in metadata
    for licence in ("LICENSE", "echarts.LICENSE", "echarts.LICENSE-d3", "echarts.NOTICE"):
        assert any(re.search(rf"\.dist-info/licenses/.*{re.escape(licence)}$", name) for name in names), licence


def test_every_extra_for_users_is_in_the_readme(project):
    extras = set(project["project"]["optional-dependencies"]) - {"benchmarks", "dev", "docs"}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [extra for extra in extras if not re.search(rf"`{extra}`|'\.\[(\w+,)*{extra}[,\]]", readme)]
