"""Every test of the contract runs once for each store in store_processes.OPENERS."""

import contextlib

import pytest
from store_processes import OPENERS, Place


@pytest.fixture(params=sorted(OPENERS))
def place(request, tmp_path):
    """Where an empty store is; ``place.open()`` gives another object for it."""
    if request.param == "mongo":
        request.getfixturevalue("mongo_url")
    folder = tmp_path / "job"
    folder.mkdir()
    place = Place(request.param, folder)
    yield place
    place.remove()


@pytest.fixture
def store(place):
    """The one store object of most tests."""
    with contextlib.closing(place.open()) as opened:
        yield opened


@pytest.fixture
def attach(tmp_path):
    """Makes a file that a finish may take over."""

    def make(data=b"data", name="made"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return make
