"""The script of worker jobs, written without a SLURM."""

import subprocess

import pytest

from hpcho.errors import LauncherError
from hpcho.experiment.launchers import SlurmLauncher as Spec
from hpcho.jobdir import JobDir
from hpcho.launchers.arrays import warning_s
from hpcho.launchers.slurm import SlurmLauncher


@pytest.fixture
def launcher(tmp_path):
    def make(spec, folder="run"):
        jobdir = JobDir(tmp_path / folder)
        spec = Spec.model_validate(spec)
        return SlurmLauncher(spec, jobdir, uuid="1234", name="mnist", entry=print, heartbeat_s=5.0)

    return make


def options(launcher, workers=None):
    lines = launcher.script(workers).splitlines()
    return [line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")]


def test_every_option_of_a_job(launcher, tmp_path):
    spec = {
        "workers": 16,
        "partition": "gpu",
        "gpus": 1,
        "cpus": 8,
        "mem_gb": 32,
        "walltime": "04:00:30",
        "options": {
            "account": "abc",
            "constraint": "a100",
            "mail-type": "END",
            "exclusive": True,
            "nice": 0,
            "x11": False,
        },
    }
    assert options(launcher(spec)) == [
        "account=abc",
        "array=0-15%16",
        f"chdir={tmp_path}/run",
        "comment=hpcho:1234",
        "constraint=a100",
        "cpus-per-task=8",
        "exclusive",
        "gpus-per-node=1",
        "job-name=hpcho-mnist",
        "mail-type=END",
        "mem=32768M",
        "nice=0",
        "no-requeue",
        "nodes=1",
        "ntasks-per-node=1",
        "open-mode=append",
        f"output={tmp_path}/run/jobs/%A_%a_0_log.out",
        "partition=gpu",
        "signal=USR2@60",
        "time=04:00:30",
    ]


def test_jobs_of_several_workers_ask_for_all_of_them(launcher):
    spec = {"workers": 10, "gpus": 2, "mem_gb": 1.5, "workers_per_job": 4, "gpu_type": "a100"}
    made = launcher(spec)
    assert made.capacity == 8
    assert {"array=0-1%2", "gpus-per-node=a100:8", "mem=6144M", "ntasks-per-node=4"} <= set(options(made))
    assert "array=0-0%1" in options(made, 1)


def test_workers_that_share_a_gpu_ask_for_one(launcher):
    made = launcher({"workers": 1, "gpus": 1, "workers_per_gpu": 3, "gpus_as": "gres", "options": {"gres": "tmp:1"}})
    assert made.capacity == 3
    assert {"gres=gpu:1,tmp:1", "ntasks-per-node=3"} <= set(options(made))
    assert "export HPCHO_WORKERS_PER_GPU=3" in made.script()


def test_a_comment_of_the_users_keeps_the_runs_mark(launcher):
    assert "comment='mine hpcho:1234'" in options(launcher({"options": {"comment": "mine"}}))


def test_a_wckey_only_when_asked(launcher):
    assert not [option for option in options(launcher({})) if option.startswith("wckey")]
    assert "wckey=k" in options(launcher({"options": {"wckey": "k"}}))


def test_the_python_of_compute_nodes_is_shell_text(launcher):
    script = launcher({"python": "apptainer exec 'my image.sif' python3", "cpus": 3}).script()
    (line,) = [line for line in script.splitlines() if line.startswith("srun ")]
    assert " apptainer exec 'my image.sif' python3 -u -m submitit.core._submit " in line
    assert "--cpus-per-task=3" in line
    assert "--wait=0" in line


@pytest.mark.parametrize(
    ("walltime", "grace_s", "expected"),
    [
        ("04:00:00", 60, 60),
        ("04:00:00", 900, 900),
        ("10:00", 600, 135),
        ("4:00", 60, 45),
        ("1:00", 60, 1),
        ("4:00", 0.5, 1),
    ],
)
def test_the_warning_before_the_wall_time(walltime, grace_s, expected):
    assert warning_s(Spec.model_validate({"walltime": walltime, "grace_s": grace_s})) == expected


def test_a_failing_setup_line_ends_the_job_and_a_sourced_file_may_do_as_it_likes(launcher, tmp_path):
    (tmp_path / "env.sh").write_text("false\nexport LOADED=1\nfalse\n")
    spec = {
        "setup": [f"source {tmp_path}/env.sh", "if false; then", "exit 9", "fi", "echo loaded $LOADED", "ls /nosuch"]
    }
    script = launcher(spec).script()
    (tmp_path / "setup").write_text(script[script.index("# setup") : script.index("# command")])
    (tmp_path / "run" / "jobs").mkdir(parents=True)
    done = subprocess.run(["bash", tmp_path / "setup"], capture_output=True, text=True, check=False)
    assert done.stdout == "loaded 1\n"
    assert done.returncode == 1
    assert done.stderr.endswith("launcher.slurm.setup: exit status 2: ls /nosuch\n")


def test_a_folder_with_a_percent_sign_is_refused(launcher):
    with pytest.raises(LauncherError, match=r"with % in its name: rename it"):
        launcher({}, folder="100%")
