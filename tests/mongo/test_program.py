"""Which program serves, and what it is told. No mongod can be installed here: a stand-in reads what one would."""

import json
import sys
from pathlib import Path

import pymongo
import pytest
import yaml

from hpcho.errors import StoreError
from hpcho.store.server import program
from hpcho.store.server.program import EMBEDDED, MONGOD, Program, find

STAND_IN = Path(__file__).parent / "mongod_stand_in.py"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder on PATH; there is nothing beside Python."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python" / "bin" / "python"))
    found = tmp_path / "bin"
    found.mkdir()
    return found


def make(folder, name):
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_mongod_comes_before_the_embedded_one(folder):
    environ = {"PATH": str(folder)}
    embedded = make(folder, "secantusd-py")
    assert find(None, environ) == Program(EMBEDDED, str(embedded))
    mongod = make(folder, "mongod")
    assert find(None, environ) == Program(MONGOD, str(mongod))


def test_the_embedded_one_is_found_beside_python(folder):
    beside = Path(sys.executable).parent
    beside.mkdir(parents=True)
    embedded = make(beside, "secantusd-py")
    assert find(None, {"PATH": str(folder)}) == Program(EMBEDDED, str(embedded))


def test_hpcho_mongod_comes_first(folder, tmp_path):
    make(folder, "mongod")
    own = make(tmp_path, "mongod-8.0")
    assert find(None, {"PATH": str(folder), "HPCHO_MONGOD": str(own)}) == Program(MONGOD, str(own))
    own = make(tmp_path, "secantusd-py")
    assert find(None, {"PATH": str(folder), "HPCHO_MONGOD": str(own)}) == Program(EMBEDDED, str(own))


def test_hpcho_mongod_that_is_none_is_an_error(folder):
    make(folder, "mongod")
    with pytest.raises(StoreError, match=r"\$HPCHO_MONGOD is /no/mongod, and there is no program .*mend it"):
        find(None, {"PATH": str(folder), "HPCHO_MONGOD": "/no/mongod"})


def test_where_there_is_none_the_three_ways_are_told(folder):
    with pytest.raises(StoreError) as error:
        find(None, {"PATH": str(folder)})
    told = str(error.value)
    assert "three ways" in told
    assert "password_file" in told
    assert "$HPCHO_MONGOD" in told
    assert "hpcho[embedded-mongo]" in told
    assert "`store: sqlite` needs no server" in told


def test_data_are_served_by_the_kind_of_program_that_wrote_them(folder):
    embedded, mongod = make(folder, "secantusd-py"), make(folder, "mongod")
    environ = {"PATH": str(folder)}
    assert find(EMBEDDED, environ).path == str(embedded)
    mongod.unlink()
    with pytest.raises(StoreError, match=r"data that mongod has written, and it cannot be found here; there is only"):
        find(MONGOD, environ)


def test_what_mongod_is_told(tmp_path):
    command = Program(MONGOD, "/opt/mongod").secured(tmp_path, "10.0.0.7", 27018)
    assert command == ["/opt/mongod", "--config", str(tmp_path / "mongod.conf")]
    assert (tmp_path / "mongod.conf").stat().st_mode & 0o777 == 0o600
    settings = yaml.safe_load((tmp_path / "mongod.conf").read_text())
    assert settings == {
        "storage": {"dbPath": str(tmp_path / "db"), "wiredTiger": {"engineConfig": {"cacheSizeGB": 0.5}}},
        "net": {"port": 27018, "bindIp": "10.0.0.7", "ipv6": False, "unixDomainSocket": {"enabled": False}},
        "security": {"authorization": "enabled"},
        "setParameter": {"diagnosticDataCollectionEnabled": False},
    }
    assert (tmp_path / "db").stat().st_mode & 0o777 == 0o700


def test_before_there_is_a_user_mongod_listens_on_a_private_socket_alone(tmp_path):
    private = tmp_path / "private"
    _, url = Program(MONGOD, "/opt/mongod").unsecured(tmp_path, private, 1)
    settings = yaml.safe_load((tmp_path / "mongod.conf").read_text())
    assert settings["net"] == {
        "bindIp": str(private / "mongod.sock"),
        "unixDomainSocket": {"pathPrefix": str(private)},
    }
    assert "security" not in settings
    with pymongo.MongoClient(url, connect=False) as client:
        assert client.topology_description.server_descriptions().keys() == {(str(private / "mongod.sock"), None)}


def test_what_the_embedded_one_is_told(tmp_path):
    secured = Program(EMBEDDED, "/opt/secantusd-py").secured(tmp_path, "10.0.0.7", 27018)
    assert {"--auth", "--sync-on-commit", "--standalone"} <= set(secured)
    assert secured[secured.index("--host") + 1] == "10.0.0.7"
    unsecured, url = Program(EMBEDDED, "/opt/secantusd-py").unsecured(tmp_path, tmp_path, 27019)
    assert "--auth" not in unsecured
    assert unsecured[unsecured.index("--host") + 1] == "127.0.0.1"
    assert url == "mongodb://127.0.0.1:27019/?directConnection=true"


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    path = tmp_path / "mongod"
    path.write_text(f"#!{sys.executable}\n{STAND_IN.read_text()}")
    path.chmod(0o755)
    monkeypatch.setenv("HPCHO_MONGOD", str(path))
    return path


@pytest.mark.slow
def test_mongod_s_way_from_the_first_start_on(bench, stand_in):
    for value in range(2):
        with bench.attend():
            way = bench.way()
            with pymongo.MongoClient(way.url, password=way.password, journal=True) as client:
                client.hpcho.things.insert_one({"value": value})
                assert client.hpcho.things.count_documents({}) == value + 1
    assert bench.processes() == []
    told = [json.loads(line) for line in (bench.folder / "told.jsonl").read_text().splitlines()]
    first, *rest = [each["settings"] for each in told]
    assert "security" not in first
    assert first["net"]["bindIp"].endswith("/mongod.sock")
    assert not Path(first["net"]["bindIp"]).parent.exists()
    assert [each["security"] for each in rest] == [{"authorization": "enabled"}] * 2
    assert bench.password not in json.dumps(told)
    assert json.loads((bench.folder / "provisioned.json").read_text()) == {"program": MONGOD, "has_user": True}
    assert program.find(MONGOD).path == str(stand_in)
