"""The commands that take a database's URL."""

import contextlib
import json
import subprocess
import sys

import pytest
from stock_lab import KEY, add, done

from hpcho.compat import MongoTrials


@pytest.fixture
def hpcho(database, tmp_path):
    def call(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "hpcho", *map(str, arguments)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return call


@pytest.fixture
def collection(database):
    """hyperopt's own trials of an experiment."""
    with contextlib.closing(MongoTrials(database.url, exp_key=KEY)) as trials:
        for number, loss in enumerate((3.0, 1.0, 2.0)):
            tids = add(trials, **done(loss, number=number))
            vals = {"x": [0.5 + number], "c": [number % 2], "q": [] if number else [4.0]}
            database.jobs.update_one({"tid": tids[0]}, {"$set": {"misc.vals": vals}})
        add(trials, state=3, owner=["h:1"], error=["<class 'ValueError'>", "no good"])
        trials.trial_attachments(trials.trials[1])["model.keras"] = b"weights"
    return database.plain_url


def test_trials_of_a_collection(hpcho, collection):
    listed = json.loads(hpcho("trials", collection, "--exp-key", KEY, "--json").stdout)
    assert [row["loss"] for row in listed] == [3.0, 1.0, 2.0, None]
    assert listed[0]["params"] == {"c": 0, "q": 4, "x": 0.5}
    assert listed[1]["params"] == {"c": 1, "x": 1.5}
    assert (listed[3]["state"], listed[3]["error"]) == ("error", "<class 'ValueError'>: no good")


def test_the_best_of_a_collection_and_its_file(hpcho, collection, tmp_path):
    found = json.loads(hpcho("best", collection, "--exp-key", KEY, "--json").stdout)
    assert (found["loss"], found["params"], found["result"]["number"]) == (1.0, {"c": 1, "x": 1.5}, 1)
    written = hpcho("best", collection, "--exp-key", KEY, "--export", "m.bin", "--attachment", "model.keras")
    assert written.returncode == 0, written.stderr
    assert (tmp_path / "m.bin").read_bytes() == b"weights"


def test_a_search_begins_with_the_trials_of_a_collection(hpcho, collection, tmp_path):
    (tmp_path / "train.py").write_text("def objective(params):\n    return params['x']\n")
    (tmp_path / "experiment.yaml").write_text(
        "name: lab\nobjective: {python: 'train.py:objective'}\nsampler: tpe\n"
        "space: {x: {float: [0, 2]}, c: {choice: [a, b]}}\n"
        f"warm_start: [{{url: '{collection}', exp_key: {KEY}}}]\n"
    )
    done = hpcho("check", "experiment.yaml")
    assert done.returncode == 0, done.stderr
    used = f"warm_start: 2 of 4 trials of {KEY} in {collection} are used"
    assert f"{used}; not used: 1 with x outside this space, 1 failed" in done.stdout


@pytest.mark.slow
def test_a_report_of_a_collection(hpcho, collection, tmp_path, database):
    made = hpcho("report", collection, "--exp-key", KEY, "--password-file", database.password_file)
    assert made.returncode == 0, made.stderr
    page = tmp_path / "an_experiment" / "report" / "report.html"
    assert str(page) in made.stdout
    assert KEY in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ([], "name the experiment in the database: --exp-key KEY"),
        (["--exp-key", "none"], "no trials of 'none' there: see the database's name and --exp-key"),
        (["--exp-key", KEY, "--password-file", "absent"], "absent: the password of the database cannot be read"),
    ],
)
def test_what_cannot_be_read_is_said(hpcho, collection, options, why):
    said = hpcho("trials", collection, *options)
    assert said.returncode in (2, 3)
    assert why in said.stderr


def test_a_password_does_not_belong_on_the_command_line(hpcho):
    for arguments in (["trials"], ["worker", "--trust-pickle", "--mongo-url"]):
        said = hpcho(*arguments, "mongo://u:secret@127.0.0.1:1/db/jobs", "--exp-key", KEY)
        assert said.returncode == 2
        assert "the URL holds a password, which others see in the list of processes" in said.stderr
        assert "secret" not in said.stderr


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--mongo-url", "mongo://h:1/d", "--exp-key", KEY], "unpickling it runs whatever code is in it"),
        (["--mongo-url", "mongo://h:1/d", "--trust-pickle"], "--mongo-url needs --exp-key KEY"),
        (["x.yaml", "--mongo-url", "mongo://h:1/d"], "name the EXPERIMENT to work for, or a database"),
        ([], "name the EXPERIMENT to work for, or a database"),
        (["x.yaml", "--trust-pickle"], "belong to --mongo-url URL"),
    ],
)
def test_a_worker_is_told_what_is_wrong(hpcho, arguments, why):
    said = hpcho("worker", *arguments)
    assert said.returncode == 2
    assert why in said.stderr


def test_a_file_has_no_exp_key(hpcho):
    said = hpcho("trials", "x.yaml", "--exp-key", KEY)
    assert said.returncode == 2
    assert "--exp-key and --password-file belong to the URL of a database" in said.stderr
