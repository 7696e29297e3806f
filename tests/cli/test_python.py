"""hpcho from Python: load, run and the Results that both give."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest

import hpcho as package
from hpcho.errors import Interrupted, RunFailed, UsageError

ADAM = {"x": 1.0, "units": 16, "optimizer": "adam"}
SGD = {"x": 0.5, "units": 32, "optimizer": "sgd", "momentum": 0.25}
FAILS = """
def objective(params):
    raise ValueError("no such data")
"""
SLEEPS = """
import pathlib, time
def objective(params, trial):
    pathlib.Path(trial.dir).mkdir(parents=True, exist_ok=True)
    print("begun", flush=True)
    time.sleep(1)
    return params["x"] ** 2
"""

MANY_TRIALS = """
name: lab
objective: {python: "train.py:objective"}
space: {x: {float: [0, 1]}}
budget: {trials: 50}
launcher: {local: {workers: 1}}
"""
CALL = """
import hpcho
from hpcho.errors import Interrupted
try:
    hpcho.run({yaml!r})
except Interrupted as error:
    print("interrupted:", error)
"""
START = """
import os, signal, subprocess
class Popen(subprocess.Popen):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGINT)
subprocess.Popen = Popen
"""
END = """
import builtins, os, signal
say = builtins.print
def print(*words, **how):
    say(*words, **how)
    if str(words[0]).startswith("Next:"):
        os.kill(os.getpid(), signal.SIGINT)
builtins.print = print
"""


def calling(bench):
    """A script that calls hpcho.run and says when that was interrupted."""
    code = CALL.format(yaml=str(bench.yaml))
    return subprocess.Popen([sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ)


def waited_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def test_the_package_is_light_and_names_what_it_gives():
    code = "import sys, hpcho; print(dir(hpcho)); print({'pydantic', 'numpy', 'rich', 'yaml'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names, heavy = done.stdout.splitlines()
    assert "'load'" in names
    assert "'run'" in names
    assert heavy == "set()"


def test_what_the_package_gives():
    assert sorted(package.__all__) == ["Results", "__version__", "load", "run"]
    with pytest.raises(AttributeError, match="no attribute 'train'"):
        package.train  # noqa: B018 - the look-up is what is tested


@pytest.mark.parametrize("place", ["yaml", "job directory"])
def test_load_gives_the_best_and_the_rows(run, place):
    results = package.load(run.yaml if place == "yaml" else run.jobdir.path)
    assert results.name == "lab"
    assert results.path == run.jobdir.path
    assert results.standing.state == "idle"
    assert results.best["tid"] == 1
    assert results.best["params"] == SGD
    assert results.best["result"]["val_accuracy"] == 0.9
    assert [row["state"] for row in results.rows()] == ["done", "done", "done", "error", "new"]
    assert results.params == ("x", "units", "optimizer", "momentum")


def test_load_before_the_first_run_says_what_starts_one(bench):
    with pytest.raises(UsageError, match=r"no run yet: `hpcho run .*` starts one"):
        package.load(bench.yaml)


def test_load_reads_a_database(run, mongo_url):
    with pytest.raises(UsageError, match="exp_key= in Python"):
        package.load(f"{mongo_url.rstrip('/').partition('?')[0]}/nothing")


def test_trials_are_a_frame_with_types_and_gaps(run):
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    frame = package.load(run.yaml).trials()
    assert list(frame.index) == [0, 1, 2, 3, 4]
    assert frame.index.name == "tid"
    assert frame.loc[1, "loss"] == 0.25
    assert frame["loss"].idxmin() == 1
    assert frame["params.units"].dtype == "int64"
    assert frame["params.momentum"].isna().tolist() == [True, False, True, True, True]
    assert frame.loc[3, "cause"] == "objective"
    assert "no such optimizer" in frame.loc[3, "error"]
    assert str(frame["started"].dtype).endswith("UTC]")
    assert frame.loc[1, "finished"] >= frame.loc[1, "started"]
    assert pandas.isna(frame.loc[4, "started"])


def test_whole_numbers_stay_whole_beside_missing_ones(bench):
    pytest.importorskip("pandas", reason="needs pandas")
    bench.write("""
        name: lab
        objective: {python: "train.py:objective"}
        space: {kind: {choice: [shallow, {deep: {layers: {int: [2, 9]}}}]}}
    """)
    bench.finish({"kind": "deep", "layers": 3}, 1.0)
    bench.finish({"kind": "shallow"}, 2.0)
    frame = package.load(bench.yaml).trials()
    assert str(frame["params.layers"].dtype) == "Int64"
    assert frame.loc[0, "params.layers"] == 3


def test_whole_numbers_of_any_size_are_kept(bench):
    pytest.importorskip("pandas", reason="needs pandas")
    seeds = {"small": [1, -5], "edge": [2**63 - 1, -(2**63)], "big": [2**63, -1], "huge": [10**30, 1]}
    space = ", ".join(f"{name}: {{choice: {options}}}" for name, options in seeds.items())
    bench.write(f"""
        name: lab
        objective: {{python: "train.py:objective"}}
        space: {{{space}, kind: {{choice: [plain, {{seeded: {{seed: {{choice: [{2**64}, 3]}}}}}}]}}}}
    """)
    firsts, seconds = ({name: options[i] for name, options in seeds.items()} for i in (0, 1))
    bench.finish({**firsts, "kind": "seeded", "seed": 2**64}, 1.0)
    bench.finish({**seconds, "kind": "plain"}, 2.0)
    frame = package.load(bench.yaml).trials()
    for name, options in seeds.items():
        assert frame[f"params.{name}"].tolist() == options
    assert [str(frame[f"params.{name}"].dtype) for name in seeds] == ["int64", "int64", "object", "object"]
    assert frame["params.seed"].tolist() == [2**64, None]


def test_a_frame_tells_pruned_trials_and_parents(run):
    from hpcho.trial import Draft, Owner, Result

    store = run.store()
    parent = store.finish(store.claim(Owner.here()), Result(0.75, pruned=True))
    store.add([Draft(parent.vals, "promoted", parent.tid)])
    store.close()
    frame = package.load(run.yaml).trials()
    assert frame["pruned"].sum() == frame.loc[parent.tid, "pruned"] == 1
    assert frame["parent"].dropna().tolist() == [parent.tid]


def test_a_frame_of_no_trials_has_the_columns(bench):
    pytest.importorskip("pandas", reason="needs pandas")
    bench.make_job_dir()
    results = package.load(bench.yaml)
    assert results.best is None
    assert {"loss", "started", "params.x", "error"} <= set(results.trials().columns)
    assert list(results.reports().columns) == ["tid", "step", "loss"]


def test_reported_steps_are_a_frame(bench):
    pytest.importorskip("pandas", reason="needs pandas")
    from hpcho.trial import Owner, Report

    bench.add(ADAM)
    store = bench.store()
    trial = store.claim(Owner.here())
    store.heartbeat(trial, [Report(1, 0.5), Report(2, 0.25)])
    store.close()
    frame = package.load(bench.yaml).reports()
    assert frame.to_dict("list") == {"tid": [0, 0], "step": [1, 2], "loss": [0.5, 0.25]}


def test_without_pandas_the_error_says_what_brings_it(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"pip install 'hpcho\[pandas\]'.*rows\(\) gives the same as plain dicts"):
        package.load(run.yaml).trials()


def test_report_is_written_where_asked(run, tmp_path):
    page = package.load(run.yaml).report(out=tmp_path / "there")
    assert page == tmp_path / "there" / "report.html"
    assert page.stat().st_size > 1000


def test_a_notebook_shows_the_best_trials_first_and_runs_nothing(bench):
    bench.write("""
        name: lab
        objective: {python: "train.py:objective"}
        space:
          <script>alert(1)</script>: {choice: ["<img src=x onerror=alert(1)>", b]}
    """)
    bench.finish({"<script>alert(1)</script>": "<img src=x onerror=alert(1)>"}, 2.0)
    bench.finish({"<script>alert(1)</script>": "b"}, 1.0)
    shown = package.load(bench.yaml)._repr_html_()
    assert "<script" not in shown
    assert "<img" not in shown
    assert "&lt;img" in shown
    assert shown.index("<td>1</td>") < shown.index("<td>0</td>")
    assert "<b>lab</b>: idle, 2 done" in shown


def test_a_notebook_says_what_it_leaves_out(bench):
    for loss in range(12):
        bench.finish(ADAM, float(loss))
    assert "and 2 more trials: <code>.rows()</code> has all" in package.load(bench.yaml)._repr_html_()


@pytest.mark.slow
def test_run_runs_resumes_and_prints(bench, capfd):
    results = package.run(bench.yaml, {"budget.trials": 3, "sampler.name": "random"})
    assert results.standing.state == "finished"
    assert len(results.rows()) == 3
    assert "Finished: " in capfd.readouterr().out
    assert len(package.run(bench.yaml, ["budget.trials=5"]).rows()) == 5
    assert len(package.run(bench.yaml, {"budget.trials": 2}, fresh=True).rows()) == 2


@pytest.mark.slow
def test_run_raises_what_the_command_ends_with(bench):
    with pytest.raises(UsageError, match=r"--set budget\.trails=3.*did you mean|budget\.trails"):
        package.run(bench.yaml, {"budget.trails": 3})
    bench.write(
        """
        name: lab
        objective: {python: "train.py:objective"}
        space: {x: {float: [0, 1]}}
        budget: {trials: 3, failures: 2}
    """,
        FAILS,
    )
    with pytest.raises(RunFailed):
        package.run(bench.yaml)
    assert package.load(bench.yaml).standing.failures["objective"] >= 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [("budget.trials=3", "give a dict"), ({"budget.trials": object()}, "values are what YAML has")],
)
def test_settings_of_another_kind_are_refused(bench, settings, message):
    with pytest.raises(UsageError, match=message):
        package.run(bench.yaml, settings)


@pytest.mark.slow
def test_an_interrupt_lets_running_trials_finish(bench):
    bench.write(
        """
        name: lab
        objective: {python: "train.py:objective"}
        space: {x: {float: [0, 1]}}
        budget: {trials: 50}
        launcher: {local: {workers: 1}}
    """,
        SLEEPS,
    )
    script = calling(bench)
    logs = bench.jobdir.trials
    until = time.monotonic() + 60
    while not list(logs.glob("*/stdout.log")) and time.monotonic() < until:
        time.sleep(0.05)
    script.send_signal(signal.SIGINT)
    said, _ = script.communicate(timeout=60)
    assert "Ctrl-C again gives it back" in said
    assert "interrupted:" in said
    states = [row["state"] for row in package.load(bench.yaml).rows()]
    assert "running" not in states
    assert states.count("done") >= 1
    assert Interrupted.exit_code == 130


@pytest.mark.slow
def test_a_second_interrupt_gives_running_trials_back(bench):
    bench.write(MANY_TRIALS, SLEEPS.replace("sleep(1)", "sleep(100)"))
    script = calling(bench)
    assert waited_for(lambda: list(bench.jobdir.trials.glob("*/stdout.log")))
    script.send_signal(signal.SIGINT)
    heard = []
    while "Ctrl-C again gives" not in (line := script.stdout.readline()):
        heard.append(line)
        assert line, heard
    script.send_signal(signal.SIGINT)
    said, _ = script.communicate(timeout=60)
    assert "giving running trials back" in said
    assert "interrupted:" in said
    assert package.load(bench.yaml).standing.trials["running"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("edge", ["START", "END"])
def test_an_interrupt_at_the_edges_of_a_run_is_not_lost(bench, edge):
    code = {"START": START, "END": END}[edge] + CALL.format(yaml=str(bench.yaml))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "interrupted: " in done.stdout, done.stderr
    assert "KeyboardInterrupt" not in done.stderr
    assert package.run(bench.yaml).standing.state == "finished"


@pytest.mark.slow
def test_a_run_elsewhere_is_found_and_says_how_to_find_it(bench, hpcho, capfd):
    results = package.run(bench.yaml, {"budget.trials": 2, "name": "other", "job_dir": "else where"})
    assert results.path == bench.folder / "else where" / "other"
    assert results.standing.state == "finished"
    commands = re.findall(r"`(hpcho (?:best|report|run) [^`]+)`", capfd.readouterr().out)
    assert len(commands) == 3
    for command in commands:
        done = hpcho(*[word for word in shlex.split(command)[1:] if word != "--open"])
        assert done.returncode == 0, (command, done.stderr)
    assert not bench.jobdir.path.exists()


@pytest.mark.slow
def test_a_script_that_is_killed_leaves_a_run_that_can_go_on(bench):
    bench.write(
        """
        name: lab
        objective: {python: "train.py:objective"}
        space: {x: {float: [0, 1]}}
        budget: {trials: 500}
    """,
        SLEEPS,
    )
    code = f"import hpcho; hpcho.run({str(bench.yaml)!r})"
    script = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not list(bench.jobdir.trials.glob("*/stdout.log")) and time.monotonic() < until:
        time.sleep(0.05)
    script.kill()
    script.wait()
    while (standing := package.load(bench.yaml).standing).state != "idle" and time.monotonic() < until:
        time.sleep(0.5)
    assert standing.state == "idle"
    assert standing.trials["running"] == 0
