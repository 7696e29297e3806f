"""Where the trials are, by the record and the YAML, and the way in."""

import pickle
import warnings

import pytest

from hpcho.errors import ResumeError, StoreError
from hpcho.store.address import Address, managed, read_password
from hpcho.store.administration import url_flaw
from hpcho.store.server import attend, mongo_of, way_in

SQLITE = {"host": "here", "path": "trials.db"}
MANAGED = {"kind": "mongo", "host": "here", "path": "mongo"}
ELSEWHERE = {"kind": "mongo", "host": "here", "path": None}
URL = "mongodb://ada@db:27017/jobs"


def record_of(bench, noted):
    record = bench.jobdir.read_record()
    return record if noted is None else {**record, "database": noted}


@pytest.mark.parametrize(
    ("store", "launcher", "is_mongo"),
    [
        ("auto", "local", False),
        ("auto", "none", True),
        ("sqlite", "none", False),
        ("mongo", "local", True),
        ({"mongo": {"url": URL}}, "local", True),
    ],
)
def test_at_first_the_yaml_decides(bench, store, launcher, is_mongo):
    bench.write(store, launcher=launcher)
    assert (mongo_of(bench.jobdir.read_record()) is not None) == is_mongo


@pytest.mark.parametrize(("noted", "is_mongo"), [(SQLITE, False), (MANAGED, True)])
@pytest.mark.parametrize("launcher", ["local", "none"])
def test_auto_stays_with_what_there_is_whatever_becomes_of_the_launcher(bench, noted, is_mongo, launcher):
    experiment = bench.write("auto", launcher=launcher)
    for given in (None, experiment):
        assert (mongo_of(record_of(bench, noted), given) is not None) == is_mongo


@pytest.mark.parametrize(
    ("noted", "store", "where"),
    [
        (SQLITE, "mongo", "sqlite"),
        (MANAGED, "sqlite", "a MongoDB of its own"),
        (MANAGED, {"mongo": {"url": URL}}, "a MongoDB of its own"),
        (ELSEWHERE, "mongo", "the MongoDB of a url"),
        (ELSEWHERE, "auto", "the MongoDB of a url"),
        (ELSEWHERE, "sqlite", "the MongoDB of a url"),
    ],
)
def test_another_store_than_where_the_trials_are_is_refused(bench, noted, store, where):
    experiment = bench.write(store)
    with pytest.raises(ResumeError, match=f"the trials of t are in {where}, and `store:` in the YAML says otherwise"):
        mongo_of(record_of(bench, noted), experiment)


def test_a_record_without_settings_is_sqlite_s():
    assert mongo_of({"uuid": "u", "name": "t"}) is None
    assert mongo_of({"uuid": "u", "name": "t", "database": SQLITE}) is None


def test_the_way_to_a_url(bench, tmp_path):
    experiment = bench.write({"mongo": {"url": URL, "password_file": "pw"}})
    record = bench.jobdir.read_record()
    with pytest.raises(StoreError, match=r"pw: the password of the database cannot be read: No such file"):
        way_in(bench.jobdir, record, experiment.mongo)
    (tmp_path / "pw").write_text("s/e:c@ret\n")
    (tmp_path / "pw").chmod(0o600)
    way = way_in(bench.jobdir, record, experiment.mongo)
    assert (way.url, way.password) == (URL, "s/e:c@ret")


def test_a_url_is_nobody_s_to_start(bench):
    bench.write({"mongo": {"url": URL}})
    with attend(bench.jobdir) as service:
        service.look()
    assert bench.jobdir.read_record()["database"]["path"] is None
    assert not bench.folder.exists()


def test_no_run_yet(tmp_path, bench):
    bench.jobdir.record_file.unlink()
    with pytest.raises(StoreError, match=r"no experiment here .*`hpcho run` starts one"), attend(bench.jobdir):
        pass


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [
        (b"secret", 0o644, r"others may read this password \(mode 644\): `chmod 600` it"),
        (b"\n", 0o600, "is empty: write the password"),
        (b"\xff\xfe", 0o600, "is not UTF-8"),
    ],
)
def test_a_password_file_that_will_not_do(tmp_path, content, mode, problem):
    path = tmp_path / "pw"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(StoreError, match=problem) as error:
        read_password(path)
    assert "secret" not in str(error.value)


def test_only_the_newline_at_the_end_is_no_part_of_the_password(tmp_path):
    path = tmp_path / "pw"
    path.write_bytes(b" a b \r\n")
    path.chmod(0o600)
    assert read_password(path) == " a b "


def test_an_address_shows_no_password_and_is_not_pickled():
    address = Address(URL, "secret")
    assert "secret" not in repr(address) + str(address) + f"{address}"
    with pytest.raises(TypeError, match="holds a password and cannot be pickled") as error:
        pickle.dumps(address)
    assert "secret" not in str(error.value)


def test_a_managed_server_has_no_password_in_its_url_either():
    assert managed("10.0.0.7", 27018, "secret").url == (
        "mongodb://hyperopt@10.0.0.7:27018/hpcho?authSource=admin&directConnection=true"
    )
    assert "@[fe80::1]:1/" in managed("fe80::1", 1, "secret").url


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "mongodb://db/jobs",
        "mongodb://ada@db1:1,db2:2/jobs?replicaSet=rs0&tls=true&authSource=admin",
        "mongodb+srv://ada@cluster.example.invalid/jobs",
        f"mongodb://CN%3Dada@db/jobs?authMechanism=MONGODB-X509&tls=true&tlsCertificateKeyFile={__file__}",
        "mongodb://%2Ftmp%2Fmongod.sock/jobs",
    ],
)
def test_urls_that_will_do(url):
    assert url_flaw(url) is None


@pytest.mark.parametrize(
    ("url", "flaw"),
    [
        ("mongodb://ada:secret@db/jobs", "must hold no password: put it into a file"),
        ("mongodb+srv://ada:secret@cluster.example.invalid/jobs", "must hold no password"),
        ("mongodb://ada:s%2Fecret@db/jobs", "must hold no password"),
        ("mongodb://ada:sec/ret@db/jobs", "is no MongoDB URL. Write mongodb://user@host:27017/database"),
        ("mongodb://ada:sec:ret@db/jobs", "is no MongoDB URL. Write"),
        (
            f"mongodb://h/j?tls=true&tlsCertificateKeyFile={__file__}&tlsCertificateKeyFilePassword=secret",
            "no secret",
        ),
        ("mongodb://db/jobs?tls=true&tlsCertificateKeyFile=/no/key", "names a file that cannot be used: The tls"),
        ("mongodb://db/jobs?authMechanism=MONGODB-AWS&authMechanismProperties=AWS_SESSION_TOKEN:secret", "no secret"),
        ("http://db/jobs", "is no MongoDB URL: Invalid URI scheme"),
        ("mongo://db/jobs", "is no MongoDB URL: Invalid URI scheme"),
        ("mongodb://db:port/jobs", "is no MongoDB URL: "),
        ("mongodb://db", "names no database: let it end with /jobs"),
        ("mongodb://db/jobs.jobs", r"must end with the database: leave away .jobs"),
        ("mongodb://db/jobs?w=1&wrong=option", "is no MongoDB URL: "),
    ],
)
def test_urls_that_will_not(url, flaw):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told = url_flaw(url)
    assert told.startswith(flaw) or flaw in told
    assert "sec" not in told.replace("no secret", "")
