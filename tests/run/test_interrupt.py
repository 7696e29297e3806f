"""Ctrl-C, stop, attach, detach."""

import os
import pty
import signal
import subprocess
import time

import pytest
from run_lab import COMMAND, SQUARE_SETTINGS

pytestmark = pytest.mark.slow

NAP = """
import time
def objective(params):
    time.sleep({seconds})
    return params["x"]
"""


@pytest.fixture
def nap(lab):
    lab.write(NAP.format(seconds=3), SQUARE_SETTINGS.replace("trials: 12", "trials: 6"))
    return lab


@pytest.fixture
def long_nap(lab):
    lab.write(NAP.format(seconds=60), SQUARE_SETTINGS)
    return lab


def end_of(process, timeout=30):
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def test_ctrl_c_once_finishes_running_trials(nap):
    process = nap.start("run")
    nap.until_running(2)
    process.send_signal(signal.SIGINT)
    code, out, err = end_of(process)
    assert code == 130, err
    assert "finishing 2 running trials" in out
    assert "goes on" in out
    states = nap.states()
    assert states["running"] == 0
    assert states["done"] >= 2
    assert all(row["attempts"] <= 1 for row in nap.trials())
    assert nap.json("status")["state"] == "stopped"
    nap.run()
    assert nap.states()["done"] == 6


def test_ctrl_c_twice_gives_running_trials_back(long_nap):
    process = long_nap.start("run")
    long_nap.until_running(2)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    code, out, _ = end_of(process)
    assert code == 130
    assert "nothing is lost" in out
    rows = long_nap.trials()
    assert {row["state"] for row in rows} == {"new"}
    assert {row["attempts"] for row in rows} == {0}, "a voluntary release counts nowhere"
    assert long_nap.processes() == []


def test_sigterm_gives_running_trials_back_at_once(long_nap):
    process = long_nap.start("run")
    long_nap.until_running(2)
    process.send_signal(signal.SIGTERM)
    assert end_of(process)[0] == 130
    assert long_nap.states()["running"] == 0
    assert long_nap.processes() == []


def test_stop_lets_running_trials_finish(nap):
    process = nap.start("run")
    nap.until_running(2)
    stopped = nap.hpcho("stop")
    assert stopped.returncode == 0
    assert "2 running trials finish first" in stopped.stdout
    code, out, _ = end_of(process)
    assert code == 0
    assert "Stopped" in out
    assert nap.states()["running"] == 0
    nap.run()
    assert nap.states()["done"] == 6


def test_stop_now_gives_them_back(long_nap):
    process = long_nap.start("run")
    long_nap.until_running(2)
    assert long_nap.hpcho("stop", "--now").returncode == 0
    assert end_of(process)[0] == 0
    assert long_nap.states()["running"] == 0
    assert long_nap.json("status")["state"] == "stopped"


def test_a_second_run_attaches_and_its_ctrl_c_only_detaches(nap):
    first = nap.start("run")
    nap.until_running(1)
    second = nap.start("run")
    assert "looking on" in second.stdout.readline()
    second.send_signal(signal.SIGINT)
    code, out, err = end_of(second)
    assert code == 0, err
    assert "the run goes on" in out
    assert end_of(first)[0] == 0
    assert nap.states()["done"] == 6


def test_an_attached_run_ends_with_the_run(nap):
    first = nap.start("run")
    nap.until_running(1)
    second = nap.run()
    assert "6 trials" in second.stdout
    assert end_of(first)[0] == 0


def test_detach_returns_at_once_and_the_run_goes_on(nap):
    done = nap.run("--detach")
    assert "running in the background" in done.stdout
    nap.until(lambda: nap.json("status")["state"] == "finished", timeout=60)
    assert nap.states()["done"] == 6
    nap.until(lambda: nap.processes() == [])


def test_detach_says_so_and_returns_when_the_run_is_going_already(long_nap):
    first = long_nap.start("run")
    long_nap.until_running()
    assert f":{first.pid}" in long_nap.run("--detach").stdout
    assert first.poll() is None
    long_nap.hpcho("stop", "--now")
    first.communicate(timeout=30)


def test_a_detached_run_that_cannot_begin_says_why(nap):
    nap.run("--set", "budget.trials=1")
    nap.yaml.write_text(nap.yaml.read_text().replace("[-5, 5]", "[-6, 5]"))
    done = nap.run("--detach", code=2)
    assert "search space" in done.stderr


def test_fresh_refuses_while_the_run_is_going(long_nap):
    process = long_nap.start("run")
    long_nap.until_running(1)
    done = long_nap.run("--fresh", code=2)
    assert "is being run by" in done.stderr
    process.send_signal(signal.SIGTERM)
    assert end_of(process)[0] == 130


def test_on_a_terminal_it_draws_a_block_and_leaves_the_terminal_as_it_was(square):
    leader, follower = pty.openpty()
    child = subprocess.Popen(
        [*COMMAND, "run", str(square.yaml)],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        env={name: value for name, value in os.environ.items() if name != "CI"},  # there, lines are written
    )
    os.close(follower)
    seen = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    os.close(leader)
    assert child.wait(timeout=30) == 0
    text = seen.decode()
    assert "12/12 trials" in text
    assert "best" in text
    assert text.rstrip().endswith("go on from here.")
    assert text.count("\x1b[?25h") >= text.count("\x1b[?25l"), "the cursor is shown again"
