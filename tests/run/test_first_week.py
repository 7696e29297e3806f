"""The troubles that a first week on a cluster brings: full disks, odd paths, old locales, tight limits."""

import grp
import os
import stat
import subprocess
import sys

import pytest
from run_lab import SQUARE_SETTINGS, Lab

pytestmark = pytest.mark.slow

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_the_job_directory_is_private(square):
    square.run()
    assert mode(square.job_dir) == 0o700
    assert mode(square.job_dir / "trials.db") & 0o077 == 0


def test_a_group_opens_it_to_that_group(square):
    name = grp.getgrgid(os.getgid()).gr_name
    code = square.folder / "objective.py"
    code.write_text(code.read_text().replace("return", "print('hello'); return"))
    square.run("--set", f"group={name}")
    assert mode(square.job_dir) == 0o2770
    assert mode(square.job_dir / "trials.db") & 0o777 == 0o660
    assert mode(square.job_dir / "trials" / "0") & 0o070 == 0o070


def test_an_unknown_group_is_an_error(square):
    done = square.run("--set", "group=no-such-group", code=2)
    assert "no group 'no-such-group'" in done.stderr


def test_spaces_and_other_scripts_in_paths_under_lang_c(tmp_path):
    folder = tmp_path / "mes données 実験"
    folder.mkdir()
    lab = Lab(folder)
    lab.environment |= {"LANG": "C", "LC_ALL": "C"}
    lab.environment.pop("PYTHONUTF8", None)
    lab.write("def objective(params):\n    print('naïve 実験')\n    return params['größe'] ** 2\n", "")
    lab.yaml.write_text(
        'name: lab\nobjective: {python: "objective.py:objective"}\nspace: {größe: {float: [0, 1]}}\n'
        "sampler: random\nbudget: {trials: 3}\n",
        encoding="utf-8",
    )
    lab.run()
    assert "größe" in lab.trials()[0]["params"]
    assert "naïve 実験" in (lab.job_dir / "trials" / "0" / "stdout.log").read_text(encoding="utf-8")


def test_a_read_only_source_folder_with_job_dir_elsewhere(square, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("scratch")
    square.folder.chmod(0o555)
    try:
        square.run("--set", f"job_dir={elsewhere}")
    finally:
        square.folder.chmod(0o755)
    assert (elsewhere / "lab" / "trials.db").exists()
    assert not (square.folder / "runs").exists()


def test_a_job_directory_that_cannot_be_made_is_an_error(square):
    done = square.run("--set", "job_dir=/proc/nowhere", code=2)
    assert "cannot make the job directory /proc/nowhere/lab" in done.stderr
    assert "Set `job_dir:` to a folder that you can write to" in done.stderr


def test_low_limits_of_files_and_processes(square):
    line = f"ulimit -n 64; exec {sys.executable} -m hpcho run {square.yaml} --set trial.recycle_after=1"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, timeout=120, cwd=square.folder, check=False
    )
    assert done.returncode == 0, done.stderr + square.logs()
    assert square.states()["done"] == 12


@needs_root
def test_a_full_disk_pauses_the_run_and_loses_nothing(lab, tmp_path):
    code = """
    import time
    def objective(params, trial):
        time.sleep(0.05)
        return {"loss": params["x"], "status": "ok", "curve": "c" * 20000}
    """
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", small], check=True)
    try:
        lab.write(code, SQUARE_SETTINGS.replace("trials: 12", "trials: 60") + f"job_dir: {small}\n")
        lab.job_dir = small / "lab"
        output = tmp_path / "output.txt"
        with output.open("w") as file:
            process = lab.start("run", stdout=file, stderr=file)
        lab.until_running(1)
        ballast = small / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"b" * 4096)
            except OSError:
                pass
        lab.until(lambda: "waiting: " in output.read_text())
        done_before = {row["tid"]: row["loss"] for row in lab.trials() if row["state"] == "done"}
        ballast.unlink()
        subprocess.run(["mount", "-o", "remount,size=30m", small], check=True)
        assert process.wait(timeout=90) == 0, f"{output.read_text()}\n{lab.logs()}"
        assert "going on" in output.read_text()
        assert "Traceback" not in output.read_text()
        rows = lab.trials()
        assert sum(row["state"] == "done" for row in rows) == 60
        assert {row["attempts"] for row in rows} == {1}, "no finished trial was computed twice"
        assert done_before.items() <= {row["tid"]: row["loss"] for row in rows}.items()
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_an_old_pid_used_again_is_not_taken_for_the_controller(square):
    square.run("--set", "budget.trials=1")
    line = (
        "from hpcho.jobdir import JobDir; from hpcho.store import open_store; import pathlib, os, sys, socket;"
        "s = open_store(JobDir(pathlib.Path(sys.argv[1])));"
        "o = {'host': socket.gethostname(), 'pid': int(sys.argv[2]), 'started': 1, 'job': None};"
        "s.put('seat', {'owner': o, 'beat': 0})"
    )
    subprocess.run([sys.executable, "-c", line, str(square.job_dir), str(os.getpid())], check=True)
    assert square.json("status")["state"] == "finished"
    square.run()
    assert square.states()["done"] == 12


def test_workers_that_cannot_start_end_the_run_with_their_words(square):
    square.environment["HPCHO_JOB_DIR"] = "x"
    (square.folder / "sitecustomize.py").write_text(
        "import sys\nif 'hpcho.worker' in ' '.join(sys.orig_argv):\n    sys.exit('no worker on this machine')\n"
    )
    square.environment["PYTHONPATH"] = str(square.folder)
    done = square.run(code=4)
    assert "workers cannot start" in done.stderr
    assert "no worker on this machine" in done.stderr


def test_hpcho_worker_by_hand_joins_a_run_without_launcher(square):
    square.yaml.write_text(
        square.yaml.read_text().replace("launcher: {local: {workers: 2}}", "launcher: none\nstore: sqlite")
    )
    process = square.start("run")
    square.until(lambda: square.job_dir.exists() and square.hpcho("status").returncode == 0)
    worker = square.hpcho("worker", "--idle-exit", "2", "--max-trials", "5")
    assert worker.returncode == 0, worker.stderr
    second = square.hpcho("worker", "--idle-exit", "2")
    assert second.returncode == 0, second.stderr
    assert process.wait(timeout=30) == 0
    process.communicate()
    owners = {row["owner"] for row in square.trials()}
    assert len(owners) == 2
    assert square.states()["done"] == 12


def test_a_worker_by_hand_leaves_when_the_run_has_ended(square):
    square.run()
    worker = square.hpcho("worker")
    assert worker.returncode == 0
    assert "the run has ended" in square.logs()


def test_source_is_used_from_the_copy_while_the_run_goes_on(lab):
    lab.write(
        "import time\ndef objective(params):\n    time.sleep(0.3)\n    return params['x'] ** 2\n", SQUARE_SETTINGS
    )
    process = lab.start("run")
    lab.until_running(1)
    (lab.folder / "objective.py").write_text("raise SystemExit('edited in the middle')\n")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, f"{out}\n{err}"
    assert lab.states()["done"] == 12
