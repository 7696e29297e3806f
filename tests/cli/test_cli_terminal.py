"""What commands look like on a terminal, in a pipe and in CI."""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys

import mongo_server
import pytest
from terminal import Screen, Session, plain

from hpcho.cli.canvas import Canvas
from hpcho.cli.output import last_words
from hpcho.cli.progress import Block, Lines, Silence, Talk, Terminal, headline, left_s, open_progress
from hpcho.cli.standing_text import standing_text
from hpcho.cli.trial_table import trial_table
from hpcho.experiment.schema import Budget
from hpcho.report.table import Row
from hpcho.standing import Standing

EXPERIMENT = """
name: lab
objective: {python: "train.py:objective"}
space: {x: {float: [-5, 5]}, learning_rate: {float: [0.001, 0.1], log: true}, units: {int: [8, 64]}}
sampler: {name: random, seed: 3}
budget: {trials: 12}
launcher: {local: {workers: 2}}
"""
SLOW = """
import time
def objective(params):
    time.sleep(0.4)
    return params["x"] ** 2
"""
ADVICE = "give units at least 16 in the search space of experiment.yaml, and then put the trial back with requeue"


def standing(**more):
    best = {"tid": 3, "loss": 0.0188, "params": {"learning_rate": 0.0004, "units": 24, "optimizer": "adam", "x": 1.5}}
    trials = {"new": 2, "running": 2, "done": 13, "error": 3, "cancel": 0}
    given = {"state": "running", "trials": trials, "best": best, "workers": [], "elapsed_s": 10.0}
    given |= {"trials_per_hour": 4466.0, "ok": 13, "failures": {"objective": 3}, **more}
    return Standing(name="a-search-with-a-long-name", **given)


def row(tid, error=None, params=None):
    plain = {"status": None if error else "ok", "loss": None if error else 0.5, "duration_s": 1.0, "attempts": 1}
    plain |= {"owner": None, "cause": "objective" if error else None, "started": None, "finished": None}
    return Row(tid=tid, state="error" if error else "done", params=params or {"units": 8}, error=error, **plain)


def drawn(width, **more):
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width, force_terminal=True, no_color=True, legacy_windows=False)
    with console.capture() as captured:
        console.print(Block(standing(**more), Budget(trials=40)), soft_wrap=False)
    return [line for line in plain(captured.get()).splitlines() if line.strip()]


@pytest.mark.parametrize("width", [40, 80, 160])
def test_a_runs_block_fits_the_terminal(width):
    lines = drawn(width)
    assert max(map(len, lines)) <= width
    assert "a-search-with-a-long-name" in lines[0]
    assert "13/40 trials" in lines[0]
    assert any(line.startswith("best  0.0188") for line in lines)
    assert any("failed: 3 objective" in line for line in lines)
    assert len(lines) == (4 if width == 160 else 6)


@pytest.mark.parametrize("width", [40, 80])
def test_a_notice_is_wrapped_and_never_cut(width):
    notice = "waiting: SLURM has not started 3 jobs yet (Priority)"
    assert notice in " ".join(line.strip() for line in drawn(width, notice=notice))


@pytest.mark.parametrize("width", [40, 80, 160])
def test_status_fits_the_terminal(width):
    lines = standing_text(standing(), Budget(trials=40), width=width).splitlines()
    assert max(map(len, lines)) <= width
    said = " ".join(" ".join(lines).split())
    assert "optimizer=adam" in said
    assert "about 21.8s left" in said


def test_time_left_is_what_comes_first():
    assert left_s(standing(), Budget(trials=40)) == pytest.approx(27 / 4466 * 3600)
    assert left_s(standing(), Budget(trials=40, hours=0.005)) == pytest.approx(8.0)
    assert left_s(standing(trials_per_hour=0.0), Budget(trials=40)) is None


@pytest.mark.parametrize("width", [40, 80, 160, None])
def test_a_trials_error_is_never_cut(width):
    table = trial_table([row(0), row(1, f"ValueError: {ADVICE}")], ["units"], width)
    assert ADVICE in " ".join(table.split())
    if width:
        assert max(map(len, table.splitlines())) <= width


def test_in_a_pipe_a_trial_is_one_line():
    table = trial_table([row(0), row(1, f"Traceback (most recent call last):\n  x\nValueError: {ADVICE}")], [], None)
    assert len(table.splitlines()) == 3
    assert table.splitlines()[0].split() == ["tid", "state", "loss", "time", "tries", "cause", "error"]


def test_params_that_do_not_fit_are_left_out_and_counted():
    params = {f"parameter_{i}": i for i in range(9)}
    lines = trial_table([row(0, params=params)], list(params), 80).splitlines()
    assert "parameter_0" in lines[0]
    assert "parameter_8" not in lines[0]
    assert "params do not fit here" in lines[-1]
    assert "parameter_8" in trial_table([row(0, params=params)], list(params), None)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (None, ""),
        ("its job was preempted:\n  submit it again", "its job was preempted: submit it again"),
        ('Traceback (most recent call last):\n  File "x"\n    y()\nValueError: a\nb', "ValueError: a b"),
        ("Traceback (most recent call last):\n  cut", "cut"),
    ],
)
def test_an_error_in_one_line(error, words):
    assert last_words(error) == words


def on_terminal(command, *, typed=(), **where):
    """What the command prints on a terminal of its own, and its exit code; ``typed``: (what to wait for, answer)."""
    session = Session(command, **where)
    for words, answer in typed:
        assert session.until(lambda words=words: words in session.said), session.said
        session.type(answer)
    return session.end()


def test_init_asks_on_a_terminal(tmp_path):
    typed = [("Folder [first]:", ""), ("Template [python]:", "magic"), ("none of", "command")]
    said, code = on_terminal(["init"], typed=typed, cwd=tmp_path)
    assert code == 0
    assert "'magic' is none of python, hyperas, command, slurm" in said
    assert "command" in (tmp_path / "first" / "experiment.yaml").read_text()


def test_init_asks_nothing_where_nobody_can_answer(hpcho):
    done = hpcho("init")
    assert done.returncode == 2
    assert "`hpcho init DIR`" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("env", [{"CI": ""}, {"CI": "true"}, {"CI": "", "TERM": "dumb"}, {"CI": "", "NO_COLOR": "1"}])
def test_a_run_on_a_terminal_ends_with_what_to_type_next(bench, env):
    said, code = on_terminal(["run", bench.yaml], env=env)
    assert code == 0
    assert said.rstrip().splitlines()[-1].endswith("go on from here.") or "Next: `hpcho report" in said.replace(
        "\n", ""
    )
    assert ("━" in said) == (env in ({"CI": ""}, {"CI": "", "NO_COLOR": "1"}))


@pytest.mark.slow
def test_without_colour_a_run_is_drawn_all_the_same(bench):
    session = Session(["run", bench.yaml], env={"NO_COLOR": "1"})
    session.end()
    assert "\x1b[J" in session.said
    assert not re.search(r"\x1b\[[0-9;]*(3[0-7]|9[0-7]|38;[0-9;]*)m", session.said)


@pytest.mark.slow
def test_a_run_follows_the_width_of_its_terminal(bench):
    bench.write(EXPERIMENT.replace("trials: 12", "trials: 40"), SLOW)
    session = Session(["run", bench.yaml], width=120)
    assert session.until(lambda: any(row.startswith("now ") and "2 busy" in row for row in session.screen.rows))
    announced = next(row for row in session.screen.rows if row.startswith("lab: random"))

    def has_one_block():
        rows = session.screen.rows
        heads = sum("/40 trials" in row for row in rows)
        return heads == 1 and all(sum(row.startswith(word) for row in rows) == 1 for word in ("best ", "now "))

    for width in (40, 90, 33):
        before = len(session.said)
        session.resize(width)
        assert session.until(lambda before=before: session.said.count("\x1b[J", before) >= 3)
        # Half a block is on its way to the whole one; a second block would stay.
        assert session.until(has_one_block, timeout=5), session.screen.rows
        assert "".join(session.screen.rows).startswith(announced)
    session.process.send_signal(signal.SIGINT)
    said, code = session.end()
    assert code == 130
    assert "goes on." in said
    assert session.screen.has_cursor


def test_watching_on_a_narrow_terminal_breaks_between_words(run):
    store = run.store()
    store.put("end", {"reason": "trials", "message": "3 successful trials", "usable": True})
    store.close()
    session = Session(["status", run.yaml, "--watch"], width=40)
    said, code = session.end()
    assert code == 0
    assert "ended" in said
    assert all(len(row) <= 40 for row in said.splitlines())
    assert session.screen.has_cursor


@pytest.mark.parametrize(
    ("staff", "words"),
    [
        (None, "2 running; 2 trials waiting"),
        ({"busy": 2, "idle": 0, "starting": 0, "queued": 0, "lost": 0}, "workers: 2 busy; 2 trials waiting"),
        (
            {"busy": 0, "idle": 1, "starting": 2, "queued": 6, "lost": 3},
            "workers: 0 busy, 1 idle, 2 starting, 6 queued, 3 lost; 2 trials waiting",
        ),
    ],
)
def test_workers_are_told_by_what_they_do(staff, words):
    shown = standing(staff=staff)
    assert words in headline(shown, Budget(trials=40))
    assert any(line.endswith(words) for line in drawn(160, staff=staff))
    if staff:
        assert ("  ".join(f"{n} {what}" for what, n in staff.items() if n)) in standing_text(shown, Budget(trials=40))


def test_a_canvas_that_was_made_narrower_leaves_nothing_behind(monkeypatch):
    screen = Screen(30)

    class Terminal(io.StringIO):
        def isatty(self):
            return True

        def write(self, text):
            screen.feed(text)
            return len(text)

    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((screen.width, 24)))
    for name in ("COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    canvas = Canvas()
    canvas.note("said before")
    canvas.draw("one two three four five six\n-\nseven eight nine")
    for width in (11, 40, 5):
        screen.width = width
        canvas.draw("a b\nc")
        assert screen.rows[-2:] == ["a b", "c"]
        canvas.note("x")
        canvas.draw("one two\nthree")
    canvas.draw("last")
    canvas.close()
    assert "".join(screen.rows) == "said beforexxxlast"


@pytest.mark.slow
def test_quiet_and_verbose(bench, hpcho):
    quiet = hpcho("run", bench.yaml, "--quiet", "--set", "budget.trials=3").stdout.splitlines()
    assert [line.split()[0] for line in quiet] == ["3", "Finished:", "Next:"]
    verbose = hpcho("run", bench.yaml, "-v", "--set", "budget.trials=6").stdout
    assert sum(" done after " in line and ": loss " in line for line in verbose.splitlines()) == 3
    both = hpcho("run", bench.yaml, "-v", "-q")
    assert both.returncode == 2
    assert "--quiet and --verbose: choose one" in both.stderr


def test_progress_fits_where_it_goes(monkeypatch):
    assert isinstance(open_progress(Budget(trials=3), Talk.QUIET), Silence)
    assert isinstance(open_progress(Budget(trials=3)), Lines)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    progress = open_progress(Budget(trials=3))
    progress.close()
    assert isinstance(progress, Terminal)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_commands(hpcho, shell):
    # Told which shell it is: what a test runs in may be none.
    shown = hpcho("--show-completion", shell, env={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"})
    assert shown.returncode == 0
    assert "_HPCHO_COMPLETE" in shown.stdout
    words = {"COMP_WORDS": "hpcho st", "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": "hpcho st"}
    words["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    done = hpcho(env={"_HPCHO_COMPLETE": f"complete_{shell}", **words})
    assert "status" in done.stdout
    assert "stop" in done.stdout
    assert "trials" not in done.stdout.split()


def test_bash_completes_what_is_typed(tmp_path):
    """In a real bash, as a user has it who evaluates the script in .bashrc."""
    program = tmp_path / "hpcho"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m hpcho "$@"\n')
    program.chmod(0o755)
    script = """
        eval "$(hpcho --show-completion bash)"
        try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _hpcho_completion hpcho; echo "${COMPREPLY[*]}"; }
        try hpcho st
        try hpcho run --f
        try hpcho init --template ""
        complete -p hpcho
    """
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    env["_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"] = "1"
    done = subprocess.run(["bash", "--norc", "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "status stop",
        "--fresh",
        "python hyperas command slurm",
        "complete -o default -F _hpcho_completion hpcho",
    ], done.stderr


def test_help_tells_examples_exit_codes_and_environment(hpcho):
    shown = hpcho("--help", env={"COLUMNS": "80"}).stdout
    for words in ("Examples:", "  hpcho init first\n", "  130  interrupted", "  NO_COLOR  ", "Environment:"):
        assert words in shown
    assert "..." not in shown.partition("Commands:")[2]  # every command's line is whole
    assert max(map(len, shown.splitlines())) <= 80
    assert "  130  interrupted; the same command goes on" in hpcho("run", "--help").stdout


def test_every_commands_help_has_examples_that_are_commands(hpcho):
    import shlex

    from typer.main import get_command

    from hpcho.cli.app import EXAMPLES, app

    commands = get_command(app).commands
    assert set(EXAMPLES) == set(commands)
    for name, lines in EXAMPLES.items():
        for line in lines:
            words = shlex.split(line.partition(">")[0], comments=True)
            assert words[:2] == ["hpcho", name]
            commands[name].make_context(name, words[2:], resilient_parsing=False)


def test_watching_in_a_pipe_says_lines(run, hpcho):
    store = run.store()
    store.put("end", {"reason": "trials", "message": "3 successful trials", "usable": True})
    store.close()
    done = hpcho("status", run.yaml, "--watch")
    assert "\x1b" not in done.stdout
    assert done.stdout.startswith("lab\n  state ")


@pytest.fixture
def server(bench, tmp_path):
    """A MongoDB with a trial of the bench's experiment in it; it may be killed and started."""
    folder = tmp_path / "server"
    folder.mkdir()
    server = mongo_server.Server(folder)
    (bench.folder / "pw").write_text("secret")
    (bench.folder / "pw").chmod(0o600)
    url = f"{server.url('db', user='test@')}&serverSelectionTimeoutMS=500"
    with bench.yaml.open("a") as yaml:
        yaml.write(f'store: {{mongo: {{url: "{url}", password_file: pw}}}}\n')
    bench.finish({"x": 1.0}, 1.0)
    yield server
    server.stop()


@contextlib.contextmanager
def watching(command, bench):
    """A process that looks on."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "hpcho", command, str(bench.yaml), "--watch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def end(bench):
    store = bench.store()
    store.put("end", {"reason": "trials", "message": "enough", "usable": True})
    store.close()


@pytest.mark.slow
def test_watching_survives_a_store_that_is_away_for_a_moment(bench, server):
    with watching("status", bench) as process:
        assert "1/12 trials" in process.stdout.readline()
        server.kill()
        away = process.stdout.readline()
        assert "the store is away (" in away
        assert "looking again every second" in away
        server.start()
        assert "the store is there again" in process.stdout.readline()
        end(bench)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "enough" in out


@pytest.mark.slow
def test_a_report_is_watched_through_a_store_that_is_away_for_a_moment(bench, server):
    page = bench.jobdir.report / "report.html"
    with watching("report", bench) as process:
        assert "wrote " in process.stdout.readline()
        server.kill()
        assert "looking again every 5 seconds" in process.stdout.readline()
        server.start()
        assert "the store is there again" in process.stdout.readline()
        assert "the store is away" not in page.read_text(encoding="utf-8")
        end(bench)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "the run has ended" in out
    assert "finished: enough" in page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_ctrl_c_ends_the_watching_of_a_report_whose_store_is_away(bench, server):
    page = bench.jobdir.report / "report.html"
    with watching("report", bench) as process:
        assert "wrote " in process.stdout.readline()
        assert 'data-reload="5"' in page.read_text(encoding="utf-8")
        server.kill()
        assert "the store is away (" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        assert "Traceback" not in err
    assert 'data-reload=""' in page.read_text(encoding="utf-8")
