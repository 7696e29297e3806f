"""The docs site: it builds, its links lead somewhere, and what stands in it works."""

import importlib.util
import os
import re
import shlex
import stat
import subprocess
import sys

import pytest
from pages import ROOT, TESTED, blocks, name
from reference_pages import PAGES

PARSED_ONLY = ("slurm", "server")
"""What a test of the docs does not have: a cluster (tests/slurm has one), and a server of somebody's."""


@pytest.fixture
def typed(tmp_path):
    """Types a line in a shell that has this hpcho and this Python; fails when it does."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool, line in (("hpcho", "-m hpcho"), ("python", ""), ("python3", "")):
        (tools / tool).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {line} "$@"\n')
        (tools / tool).chmod(stat.S_IRWXU)
    env = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "MLFLOW_TRACKING_URI": ""}

    def call(line, folder):
        done = subprocess.run(
            ["bash", "-c", line], cwd=folder, env=env, capture_output=True, text=True, timeout=280, check=False
        )
        assert done.returncode == 0, f"$ {line}\n{done.stdout}{done.stderr}"
        return done.stdout

    return call


def type_page(page, folder, typed, *, with_keras):
    """Write the page's files and type its commands, in their order."""
    folder.mkdir()
    for block in blocks(page):
        if block.title:
            (folder / block.title).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.title).write_text(block.text)
        elif block.kind == "python":
            compile(block.text, name(page), "exec")
        if block.kind != "console" or block.needs in PARSED_ONLY or (block.needs == "keras" and not with_keras):
            continue
        if block.needs not in (None, "keras") and importlib.util.find_spec(block.needs) is None:
            continue
        for line in block.commands:
            typed(line, folder)


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in TESTED if any(b.kind == "console" for b in blocks(p))], ids=name)
def test_what_a_page_says_to_type_works(page, tmp_path, typed):
    type_page(page, tmp_path / "page", typed, with_keras=False)


@pytest.mark.keras
@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in TESTED if any(b.needs == "keras" for b in blocks(p))], ids=name)
def test_what_a_page_says_to_type_works_with_keras(page, tmp_path, typed):
    pytest.importorskip("keras", reason="needs keras")
    type_page(page, tmp_path / "page", typed, with_keras=True)


@pytest.mark.parametrize("page", TESTED, ids=name)
def test_every_command_is_one_of_hpchos(page):
    from typer.main import get_command

    from hpcho.cli.app import app

    commands = get_command(app).commands
    for block in blocks(page):
        for line in block.commands if block.kind == "console" else ():
            words = [word for word in shlex.split(line) if "=" not in word or word.startswith("-") or "." in word]
            if words[0] == "hpcho" and not words[1].startswith("-"):
                commands[words[1]].make_context(words[1], words[2:])


@pytest.mark.parametrize("page", TESTED, ids=name)
def test_every_yaml_loads(page, tmp_path):
    import hpcho.experiment
    from hpcho.experiment.yaml12 import parse

    (tmp_path / "train.py").write_text("def objective(params): ...\ndef data(): ...\n")
    (tmp_path / "optimise_task.py").write_text("")
    for block in blocks(page):
        if block.kind == "yaml" and block.of == "points":
            assert parse(block.text, "points.yaml") is not None
        elif block.kind == "yaml":
            (tmp_path / "experiment.yaml").write_text(block.text)
            assert hpcho.experiment.load(tmp_path / "experiment.yaml")[0].name


@pytest.mark.parametrize("page", PAGES)
def test_the_reference_is_what_the_code_says(page):
    assert (ROOT / page).read_text(encoding="utf-8") == PAGES[page](), "out of date: `make docs` writes it"


def test_every_key_of_the_yaml_is_in_the_reference():
    from hpcho.experiment.schema import Experiment

    text = PAGES["docs/reference/keys.md"]()
    assert all(f"| `{key}` |" in text for key in Experiment.model_fields)


@pytest.mark.slow
def test_the_site_builds_without_a_broken_link_and_fetches_nothing(tmp_path):
    if importlib.util.find_spec("material") is None:
        pytest.skip("needs mkdocs-material: pip install 'hpcho[docs]'")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(TESTED)
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|img|iframe)[^>]+src="(?:https?:)?//[^"]+', text), page
        assert not re.findall(r'<link[^>]+rel="(?:stylesheet|preconnect|preload)"[^>]+href="(?:https?:)?//', text), page
        for target, anchor in re.findall(r'href="([^"#:?]*)(#[^"]*)?"', text):
            there = (page.parent / target) if target else page
            assert there.exists() or target.startswith("/"), f"{page} links to {target}"
            if anchor and len(anchor) > 1 and there.suffix == ".html":
                wanted = anchor[1:]
                assert re.search(rf'id="?{re.escape(wanted)}["\s>]', there.read_text()), f"{page}: {target}{anchor}"
