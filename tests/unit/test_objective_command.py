"""Command objectives: argv, environment, output, progress, and how they end."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from hpcho import objective
from hpcho.errors import ObjectiveLoadError
from hpcho.experiment.schema import ObjectiveSpec
from hpcho.objective.command import CommandFailed, arguments, placeholders


class Trial:
    """A trial that can be stopped or pruned after some reports, and remembers them."""

    tid = 12

    def __init__(self, folder, stop_after=None, prune_after=None):
        self.dir = folder
        self.reports = []
        self._stop_after = stop_after
        self._prune_after = prune_after

    def report(self, step, loss):
        self.reports.append((step, loss))

    def should_prune(self):
        return self._prune_after is not None and len(self.reports) >= self._prune_after

    def should_stop(self):
        return self._stop_after is not None and len(self.reports) >= self._stop_after


@pytest.fixture
def trial(tmp_path):
    return Trial(tmp_path)


@pytest.fixture
def run(tmp_path, trial):
    """Runs Python code as the command and returns what evaluate does."""

    def run(code, *arguments, params=None, trial=trial):
        (tmp_path / "task.py").write_text(textwrap.dedent(code), encoding="utf-8")
        spec = ObjectiveSpec(command=(sys.executable, "task.py", *arguments))
        loaded = objective.load(spec, tmp_path)
        loaded.prepare()
        return loaded.evaluate(params or {}, {}, trial)

    return run


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until_gone(pid):
    for _ in range(500):
        if is_gone(pid):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    ("command", "params", "argv"),
    [
        (["a", "{x}", "--y={y}"], {"x": 1e-5, "y": 3}, ["a", "1e-05", "--y=3"]),
        (["{x}{y}", "{{x}}", "}}{{"], {"x": "s", "y": True}, ["sTrue", "{x}", "}{"]),
        (["a", "{x}"], {"x": "two words; $HOME"}, ["a", "two words; $HOME"]),
        (["a", "{x}"], {"x": {"k": [1, None]}}, ["a", '{"k": [1, null]}']),
        (["a", "--m", "{m}", "b"], {}, ["a", "b"]),
        (["a", "-m", "{m}"], {}, ["a"]),
        (["a", "--m={m}", "b"], {}, ["a", "b"]),
        (["a", "--flag", "x{m}"], {}, ["a", "--flag"]),
        (["a", "--n=1", "{m}"], {}, ["a", "--n=1"]),
        (["a", "--", "{m}"], {}, ["a", "--"]),
        (["a", "file", "{m}"], {}, ["a", "file"]),
        (["a", "--m", "{m}", "{k}"], {}, ["a"]),
        (["a", "--x", "{x}", "--m", "{m}"], {"x": 1}, ["a", "--x", "1"]),
    ],
)
def test_placeholders_become_values_and_inactive_ones_leave_with_their_flag(command, params, argv):
    assert arguments(command, params) == argv


def test_the_names_that_a_command_asks_for():
    assert placeholders(["a", "{x}", "{y}-{x}", "{{z}}"]) == {"x", "y"}


@pytest.mark.parametrize("argument", ["{", "a}b", "{}", "{{x}"])
def test_a_single_brace_is_refused(tmp_path, argument):
    with pytest.raises(ObjectiveLoadError, match=r"has a single .*: write '(\{\{|\}\})' for a brace, \{name\} for"):
        objective.load(ObjectiveSpec(command=("a", argument)), tmp_path)


@pytest.mark.parametrize(
    ("printed", "loss"),
    [
        ("0.25", 0.25),
        ("epoch 1\n  1e-3  \n\n", 1e-3),
        ('{"loss": 2, "accuracy": [1]}', {"loss": 2, "accuracy": [1]}),
        ('{"status": "fail"}', {"status": "fail"}),
        ("10%\r50%\r0.5", 0.5),
        ("x" * 100_000 + "\n7", 7.0),
    ],
)
def test_the_last_line_is_the_loss(run, printed, loss):
    assert run(f"print({printed!r}, end='')") == loss


def test_nan_is_passed_on_for_the_encoding_to_refuse(run):
    assert str(run("print('nan')")) == "nan"


@pytest.mark.parametrize(("printed", "words"), [("done", "not 'done'"), ("", "but it printed nothing")])
def test_no_loss_on_the_last_line_is_an_error_that_shows_it(run, printed, words):
    with pytest.raises(CommandFailed, match=r'must print its loss, or a JSON object with "loss".*' + words):
        run(f"print({printed!r})")


def test_the_environment_tells_the_trial(run, tmp_path):
    code = """
        import json, os
        keys = ("HPCHO_PARAMS", "HPCHO_TID", "HPCHO_TRIAL_DIR")
        print(json.dumps({"loss": 1, "seen": [os.environ[k] for k in keys], "cwd": os.getcwd()}))
    """
    result = run(code, params={"x": 1.5, "name": "ü"})
    params, tid, folder = result["seen"]
    assert json.loads(params) == {"x": 1.5, "name": "ü"}
    assert (tid, folder, result["cwd"]) == ("12", str(tmp_path), str(tmp_path))


def test_lines_with_step_and_loss_are_reports(run, trial):
    code = """
        print('{"step": 0, "loss": 0.5}')
        print('{"step": 1, "loss": NaN}')
        print('{"step": "2", "loss": 1}')
        print('{"step": 3, "loss": 0.25, "lr": 1}')
        print(0.25)
    """
    assert run(code) == 0.25
    assert trial.reports == [(0, 0.5), (3, 0.25)]


def test_output_goes_to_the_logs_as_well(run, capfd):
    run("import sys; print('out'); print('err', file=sys.stderr); print(1)")
    assert tuple(capfd.readouterr()) == ("out\n1\n", "err\n")


def test_much_output_is_streamed(run, capfd):
    assert run("print(('y' * 999 + '\\n') * 20_000); print(3)") == 3
    assert len(capfd.readouterr().out) == 20_000_003


def test_an_exit_code_is_an_error_with_the_end_of_stderr(run):
    with pytest.raises(CommandFailed, match=r"task.py --lr 0.1 ended with exit code 3") as caught:
        run("import sys\nfor i in range(30): print('line', i, file=sys.stderr)\nprint(1); sys.exit(3)", "--lr", "0.1")
    assert caught.value.returncode == 3
    assert str(caught.value).endswith("\nline 28\nline 29")
    assert "line 9\n" not in str(caught.value)
    assert "line 10\n" in str(caught.value)


def test_a_signal_is_named(run):
    with pytest.raises(CommandFailed, match="was ended by SIGSEGV, and wrote nothing to stderr"):
        run("import os; os.kill(os.getpid(), 11)")


def test_a_process_left_behind_does_not_hold_the_trial(run, trial):
    code = """
        import subprocess, sys
        left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print('{"step": %d, "loss": 1}' % left.pid)
        print(4)
    """
    assert run(code) == 4
    pid = trial.reports[0][0]
    assert not is_gone(pid)
    os.kill(pid, signal.SIGKILL)


def test_a_command_may_close_its_output_before_it_ends(run):
    assert run("import os, time; print(5, flush=True); os.close(1); os.close(2); time.sleep(0.7)") == 5


SAVES_ON_SIGTERM = """
    import os, signal, sys, time
    def save(*_):
        open(os.environ["HPCHO_TRIAL_DIR"] + "/saved", "w").close()
        sys.exit(143)
    signal.signal(signal.SIGTERM, save)
    print('{"step": 1, "loss": 0.5}')
    time.sleep(60)
"""


def test_a_stop_lets_the_command_save_and_is_no_failure(run, tmp_path):
    assert run(SAVES_ON_SIGTERM, trial=Trial(tmp_path, stop_after=1)) is None
    assert (tmp_path / "saved").exists()


def test_a_stop_reaches_the_commands_own_processes(run, tmp_path):
    code = """
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print('{"step": %d, "loss": 1}' % child.pid)
        child.wait()
        print(9)
    """
    trial = Trial(tmp_path, stop_after=1)
    run("import signal; signal.signal(signal.SIGTERM, lambda *_: None)\n" + textwrap.dedent(code), trial=trial)
    assert wait_until_gone(trial.reports[0][0])


def test_a_stopped_command_that_still_finishes_gives_its_loss(run, tmp_path):
    code = """
        import signal, sys, time
        def finish(*_):
            print(0.125); sys.exit(0)
        signal.signal(signal.SIGTERM, finish)
        print('{"step": 1, "loss": 0.5}')
        time.sleep(60)
    """
    assert run(code, trial=Trial(tmp_path, stop_after=1)) == 0.125


def test_the_last_report_is_a_pruned_commands_loss(run, tmp_path):
    assert run(SAVES_ON_SIGTERM, trial=Trial(tmp_path, prune_after=1)) == 0.5


def test_an_error_in_the_trial_ends_the_command(run, tmp_path):
    class Broken(Trial):
        def report(self, step, loss):
            super().report(step, loss)
            raise RuntimeError("pipe")

    trial = Broken(tmp_path)
    code = 'import os, time; print(\'{"step": %d, "loss": 1}\' % os.getpid()); time.sleep(60)'
    with pytest.raises(RuntimeError, match="pipe"):
        run(code, trial=trial)
    assert is_gone(trial.reports[0][0])


def test_sigterm_reaches_a_command_whose_parent_ignores_it(run, tmp_path):
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        code = 'import time; print(\'{"step": 1, "loss": 0.5}\'); time.sleep(60)'
        assert run(code, trial=Trial(tmp_path, stop_after=1)) is None
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the parent-death signal is Linux's")
def test_the_command_dies_with_the_process_that_runs_it(tmp_path):
    (tmp_path / "task.py").write_text(
        "import os, time\nopen('pid.new', 'w').write(str(os.getpid()))\nos.rename('pid.new', 'pid')\ntime.sleep(60)"
    )
    code = f"""
from pathlib import Path
from hpcho import objective
class Trial:
    tid, dir = 1, Path({str(tmp_path)!r})
    def should_stop(self): return False
objective.load({{"command": [{sys.executable!r}, "task.py"]}}, Trial.dir).evaluate({{}}, {{}}, Trial())
"""
    root = Path(objective.__file__).parents[2]
    child = subprocess.Popen([sys.executable, "-c", code], cwd=root)
    while not (tmp_path / "pid").exists():
        assert child.poll() is None
        time.sleep(0.02)
    child.kill()
    child.wait()
    assert wait_until_gone(int((tmp_path / "pid").read_text()))


def test_python_is_found_on_a_machine_that_knows_none(tmp_path, trial, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    loaded = objective.load(ObjectiveSpec(command=("python", "-c", "print(6)")), tmp_path)
    loaded.prepare()
    assert loaded.evaluate({}, {}, trial) == 6


@pytest.mark.parametrize(
    ("program", "mend"), [("no-such-program", "install it"), ("./task.sh", "there and executable, or its interpreter")]
)
def test_a_program_that_is_not_there_is_refused(tmp_path, program, mend):
    (tmp_path / "task.sh").write_text("echo 1")
    loaded = objective.load(ObjectiveSpec(command=(program,)), tmp_path)
    with pytest.raises(ObjectiveLoadError, match=f"no program '{program}' can be run here: .*{mend}"):
        loaded.prepare()


def test_a_script_beside_the_yaml(tmp_path, trial):
    script = tmp_path / "task.sh"
    script.write_text("#!/bin/sh\necho $1")
    script.chmod(0o755)
    loaded = objective.load(ObjectiveSpec(command=("./task.sh", "{x}")), tmp_path)
    loaded.prepare()
    assert loaded.evaluate({"x": 0.5}, {}, trial) == 0.5
