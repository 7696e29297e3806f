"""Typing what pages say, in a shell that has this hpcho and this Python."""

import importlib.util
import os
import shlex
import stat
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import pytest
from fences import NEEDED_ELSEWHERE, TRAINING, Typed, treatment
from pages import blocks

FOLDERS = {package: str(Path(__file__).parents[2] / "build" / package) for package in ("jax", "torch")}
"""Packages that must not be importable elsewhere: only blocks that need one see its folder.

tests/all brings jax. torch is for who has 6 GB to spare: pip install --target build/torch torch.
"""


class Shell:
    """A user's shell. Everything that is typed must succeed."""

    def __init__(self, folder):
        tools = folder / "tools"
        tools.mkdir()
        for tool, line in (("hpcho", "-m hpcho"), ("python", ""), ("python3", "")):
            (tools / tool).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {line} "$@"\n')
            (tools / tool).chmod(stat.S_IRWXU)
        path = f"{tools}{os.pathsep}{os.environ['PATH']}"
        self.env = {**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": ""}

    def type(self, line, folder, *, need=None):
        env = self.env
        if need in FOLDERS:
            paths = [FOLDERS[need], *filter(None, [env.get("PYTHONPATH")])]
            env = {**env, "PYTHONPATH": os.pathsep.join(paths)}
        done = subprocess.run(
            ["bash", "-c", line], cwd=folder, env=env, capture_output=True, text=True, timeout=280, check=False
        )
        assert done.returncode == 0, f"$ {line}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def shell(tmp_path):
    return Shell(tmp_path)


def is_here(need):
    """Whether a package can be imported. Python would take slurm/ and benchmarks/server.py for one."""
    if need in ("server", "slurm"):
        return False
    spec = PathFinder.find_spec(need, [FOLDERS[need]]) if need in FOLDERS else importlib.util.find_spec(need)
    return spec is not None and spec.origin is not None


def is_typed(block):
    """Whether its page's test types it, as far as its kind goes."""
    return block.kind == "console" or isinstance(treatment(block), Typed)


def type_page(page, folder, shell, *, trains=False):
    """Write the page's files and type its commands, in their order."""
    folder.mkdir()
    lacking = set()
    for block in blocks(page):
        said = treatment(block)
        if block.title:
            (folder / block.title).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.title).write_text(block.text)
        elif not is_typed(block) or (block.needs in TRAINING and not trains):
            continue
        elif block.needs and not is_here(block.needs):
            if (block.page, block.needs) not in NEEDED_ELSEWHERE:
                lacking.add(block.needs)
        elif block.kind == "python":
            (folder / said.folder / "typed.py").write_text(block.text)
            shell.type("python typed.py", folder / said.folder)
        elif block.kind == "console":
            for line in block.commands:
                shell.type(line, folder, need=block.needs)
        else:
            shell.type(f"set -e\n{block.text}", folder / said.folder)
    if lacking:
        pytest.skip(f"needs {', '.join(sorted(lacking))}: tests/all installs it")
