"""What the tests with hyperopt's own programs share."""

import os
import subprocess
import venv
from pathlib import Path

import mongo_server
import pytest
from stock_lab import ROOT, Database, Programs

STOCK = ["hyperopt==0.3.0", "pymongo==3.13.0", "setuptools<81"]


@pytest.fixture(scope="session")
def stock_venv():
    """The folder of an environment with hyperopt as it is published, on the last pymongo that it works with."""
    named = os.environ.get("HPCHO_STOCK_VENV")
    folder = Path(named) if named else ROOT / "build" / "stock-venv"
    if not (folder / "bin" / "hyperopt-mongo-worker").exists():
        venv.create(folder, with_pip=True, clear=True)
        made = subprocess.run(
            [folder / "bin" / "pip", "install", "--quiet", *STOCK], capture_output=True, text=True, check=False
        )
        if made.returncode:
            pytest.skip(f"needs hyperopt's own environment, which cannot be made: {made.stderr[-500:]}")
    return folder


@pytest.fixture
def database(mongo_url, tmp_path, monkeypatch):
    made = Database(tmp_path)
    monkeypatch.setenv("HOME", str(made.home))
    yield made
    mongo_server.drop(tmp_path)
    for opened in (*made.opened, made.client):
        opened.close()


@pytest.fixture
def programs(database, tmp_path):
    made = Programs(database, tmp_path)
    yield made
    made.end()


@pytest.fixture
def stock(programs, stock_venv):
    """Programs, hyperopt's own among them."""
    programs.use(stock_venv)
    return programs
