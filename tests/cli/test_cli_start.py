"""The command line itself: help, versions, errors, exit codes."""

import json
import os
import subprocess
import sys

import pytest

HEAVY = {"tensorflow", "keras", "hyperopt", "numpy", "matplotlib", "pydantic", "yaml", "sqlite3", "psutil"}


def modules_after(*arguments):
    """What is imported by the time a command line has ended."""
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('\\nMODULES', *sys.modules))\n"
        f"from hpcho.cli import main\nmain({list(arguments)!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("MODULES")[2].split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments):
    assert not modules_after(*arguments) & HEAVY


@pytest.mark.parametrize("command", ["run", "best"])
def test_a_commands_help_imports_nothing_heavy_either(command):
    assert modules_after(command, "--help") & HEAVY <= {"pydantic"}  # which typer itself takes to convert options


def test_reading_trials_draws_and_trains_nothing(run, hpcho):
    assert modules_after("trials", str(run.yaml)).isdisjoint({"tensorflow", "keras", "hyperopt", "matplotlib"})


def test_no_arguments_show_the_help(hpcho):
    assert hpcho().stdout == hpcho("--help").stdout
    assert hpcho().returncode == 0


def test_version(hpcho):
    import hpcho as package

    assert hpcho("--version").stdout == f"hpcho {package.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["statsu"], "No such command 'statsu'. Did you mean 'status'"),
        (["status"], "Missing argument 'EXPERIMENT'. `hpcho status --help` shows what it takes"),
        (["check", "x.yaml", "--smaples", "3"], "No such option: --smaples"),
        (["requeue", "x.yaml", "one"], "TID"),
        (["status", "x.yaml", "--json", "--watch"], "--json prints one document and --watch many: choose one"),
        (["trials", "x.yaml", "--json", "--csv"], "--json and --csv: choose one"),
        (["best", "x.yaml", "--attachment", "model"], "give --export FILE too"),
    ],
)
def test_a_wrong_command_line_is_one_message_and_exit_2(hpcho, arguments, says):
    done = hpcho(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("hpcho: ")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["check", "run", "status", "trials", "best", "report", "stop", "worker"])
def test_a_file_that_is_not_there_is_said_by_every_command(hpcho, command):
    done = hpcho(command, "nothere.yaml")
    assert done.returncode == 2
    assert "nothere.yaml" in done.stderr
    assert "no such file" in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback_wherever_it_stands(hpcho):
    for arguments in (["--debug", "status", "nothere.yaml"], ["status", "nothere.yaml", "--debug"]):
        done = hpcho(*arguments)
        assert done.returncode == 2
        assert done.stderr.startswith("Traceback (most recent call last)")
        assert "no such file" in done.stderr.splitlines()[-1]


def test_an_error_that_nobody_foresaw_says_how_to_get_its_traceback(hpcho, run):
    run.jobdir.record_file.write_text('{"name": "lab"}')
    done = hpcho("status", run.yaml)
    assert done.returncode == 1
    assert done.stderr.startswith("hpcho: KeyError: 'experiment'\n")
    assert f"`hpcho --debug status {run.yaml}` shows the traceback" in done.stderr
    assert "logs/controller.log" in done.stderr


def test_a_reader_that_goes_away_is_no_error(run):
    for i in range(300):
        run.add({"x": i / 100})
    command = f"{sys.executable} -m hpcho trials {run.yaml} --json | head -1; echo codes ${{PIPESTATUS[@]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == "[\ncodes 141 0\n"
    assert done.stderr == ""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_error(run, closed):
    run.add({"x": 0.5})
    command = f"{sys.executable} -m hpcho trials {run.yaml} {closed}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_an_old_locale_neither_breaks_text_nor_json(bench, hpcho, locale):
    bench.write(
        """
        name: lab
        objective: {python: "train.py:objective"}
        space: {größe: {choice: [klein, groß]}}
        """
    )
    bench.finish({"größe": "groß"}, 1.0)
    done = hpcho("trials", bench.yaml, "--json", env=locale)
    assert json.loads(done.stdout)[0]["params"] == {"größe": "groß"}
    assert hpcho("trials", bench.yaml, env=locale).returncode == 0
    assert hpcho("best", bench.yaml, env=locale).returncode == 0


def test_interrupted_is_exit_130(bench, hpcho):
    bench.finish({"x": 1.0}, 1.0)
    process = subprocess.Popen(
        [sys.executable, "-m", "hpcho", "status", bench.yaml, "--watch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    import signal
    import time

    time.sleep(2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == "hpcho: interrupted\n"


def test_the_schema_is_one_json_document(hpcho):
    import jsonschema

    schema = json.loads(hpcho("schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert {"name", "objective", "space", "launcher"} <= set(schema["properties"])
