"""The lock files against what pyproject.toml asks for; nothing is built."""

import re
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
VARIANTS = sorted(path.stem for path in (ROOT / "containers").glob("*.args"))
LINE = re.compile(r"([a-z0-9-]+)==(\S+) --hash=sha256:[0-9a-f]{64}")
IN_THE_IMAGE = {"python_version": "3.11", "python_full_version": "3.11.2", "implementation_version": "3.11.2"}


def arguments(variant):
    lines = (ROOT / "containers" / f"{variant}.args").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def pinned(variant):
    lines = (ROOT / "containers" / f"requirements-{variant}.lock").read_text().splitlines()
    return dict(LINE.fullmatch(line).groups() for line in lines if not line.startswith("#"))


def wanted(project, extra=None):
    """The requirements of hpcho itself, or of an extra; those of the extras that it is made of are in there."""
    for text in project["optional-dependencies"][extra] if extra else project["dependencies"]:
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({**default_environment(), **IN_THE_IMAGE}):
            continue
        if requirement.name == project["name"]:
            for further in requirement.extras:
                yield from wanted(project, further)
        else:
            yield requirement


@pytest.fixture(scope="module")
def project():
    tomllib = pytest.importorskip("tomllib", reason="pyproject.toml is read from Python 3.11 on")
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_lock_fits_what_hpcho_asks_for(project, variant):
    versions = pinned(variant)
    extras = arguments(variant)["extras"].split(",")
    requirements = [*wanted(project), *(one for extra in extras for one in wanted(project, extra))]
    misfits = [
        f"{requirement}, not {versions.get(canonicalize_name(requirement.name))}"
        for requirement in requirements
        if not requirement.specifier.contains(versions.get(canonicalize_name(requirement.name), "0"), prereleases=True)
    ]
    assert misfits == [], "call: make lock"


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_lock_has_what_the_image_begins_with(variant):
    assert "pip" in pinned(variant)


def test_the_full_image_has_the_libraries_for_gpus_and_the_others_do_not():
    for variant in VARIANTS:
        names = [name for name in pinned(variant) if name.startswith("nvidia-")]
        assert bool(names) == (variant == "full")
        assert ("tensorflow" in pinned(variant)) == (variant != "small")
