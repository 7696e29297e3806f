"""Whole runs through the command line, in a folder of their own."""

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

COMMAND = [sys.executable, "-m", "hpcho"]


def command_line(process: psutil.Process) -> str:
    """Of a process that may be gone by now."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


class Lab:
    """A folder with an experiment, and the command line on it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.yaml = folder / "experiment.yaml"
        self.job_dir = folder / "runs" / "lab"
        self.environment = dict(os.environ)

    def write(self, code: str, settings: str, name: str = "objective.py") -> None:
        (self.folder / name).write_text(textwrap.dedent(code), encoding="utf-8")
        self.yaml.write_text("name: lab\n" + textwrap.dedent(settings), encoding="utf-8")

    def start(self, *arguments: str, **options) -> subprocess.Popen:
        return subprocess.Popen(
            [*COMMAND, arguments[0], str(self.yaml), *arguments[1:]],
            text=True,
            env=self.environment,
            **{
                "cwd": self.folder,
                "encoding": "utf-8",
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                **options,
            },
        )

    def hpcho(self, *arguments: str, timeout: float = 90, **options) -> subprocess.CompletedProcess:
        process = self.start(*arguments, **options)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            pytest.fail(f"{arguments} took longer than {timeout} s\n{out}\n{err}\n{self.logs()}")
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def run(self, *arguments: str, code: int = 0, **options) -> subprocess.CompletedProcess:
        done = self.hpcho("run", *arguments, **options)
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.logs()}"
        return done

    def json(self, command: str, *arguments: str):
        done = self.hpcho(command, "--json", *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def trials(self) -> list[dict]:
        return self.json("trials")

    def states(self) -> dict[str, int]:
        return self.json("status")["trials"]

    def until(self, condition, timeout: float = 30.0) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"not within {timeout} s\n{self.logs()}"
            time.sleep(0.05)

    def until_running(self, count: int = 1) -> None:
        self.until(lambda: self.job_dir.exists() and self._running() >= count)

    def _running(self) -> int:
        done = self.hpcho("status", "--json")
        return json.loads(done.stdout)["trials"]["running"] if done.returncode == 0 else 0

    def processes(self) -> list[psutil.Process]:
        """Everything alive that was started for this folder's runs."""
        found = []
        for process in psutil.process_iter():
            try:
                mine = str(self.folder) in " ".join(process.cmdline()) or process.environ().get(
                    "HPCHO_JOB_DIR", ""
                ).startswith(str(self.folder))
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def logs(self) -> str:
        return "\n".join(
            f"--- {log}\n{log.read_text(errors='replace')[-3000:]}" for log in sorted(self.job_dir.glob("logs/*.log"))
        )


SQUARE = """
def objective(params):
    return (params["x"] - 1) ** 2
"""

SQUARE_SETTINGS = """
objective: {python: "objective.py:objective"}
space: {x: {float: [-5, 5]}}
sampler: {name: random, seed: 3}
budget: {trials: 12}
launcher: {local: {workers: 2}}
"""
