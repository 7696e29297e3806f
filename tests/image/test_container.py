"""Workers in an image: what the YAML says of it, the script that is their Python, and how versions are compared.

No image is needed: where one is started, a script takes Apptainer's place and shows what it gets.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from relay_lab import until

import hpcho
from hpcho import container, inside
from hpcho.cli import launching
from hpcho.doctor import Level
from hpcho.doctor import container as doctor
from hpcho.errors import ExperimentError, LauncherError
from hpcho.experiment import load
from hpcho.experiment.containers import ContainerSpec
from hpcho.opening import open_experiment

EXPERIMENT = """\
name: lab
objective: {python: "train.py:objective"}
space: {x: {float: [0, 1]}}
launcher: {slurm: {workers: 2}}
"""
SHOWS = f"""\
#!{sys.executable} -IS
import json, os, sys
if sys.argv[1:] == ["--version"]:
    print("apptainer version 1.4.5")
else:
    json.dump([sys.argv[1:], dict(os.environ)], sys.stdout)
    sys.exit(int(os.environ.get("EXIT", "0")))
"""
INSIDE = {"APPTAINER_CONTAINER": "/x/hpcho.sif", "HPCHO_IMAGE": "/x/hpcho.sif"}


@pytest.fixture
def yaml(tmp_path, monkeypatch):
    """Writes experiment.yaml with more lines in it; this process is in no image."""
    for name in INSIDE | {"HPCHO_RELAY": "", "HPCHO_LAUNCHER": ""}:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "train.py").write_text("def objective(params):\n    return params['x']\n")

    def write(text, whole=EXPERIMENT):
        path = tmp_path / "experiment.yaml"
        path.write_text(whole + text)
        return path

    return write


@pytest.fixture
def bin_(tmp_path):
    """A folder for programs, with what scripts call."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "env", "sed", "uname"):
        (folder / name).symlink_to(shutil.which(name))
    return folder


def program(folder, name, text=SHOWS):
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


# -- the YAML ----------------------------------------------------------------------------------------------------------


def test_a_container_in_the_yaml(yaml):
    experiment, _ = load(yaml("container: {image: a.sif, binds: [/scratch, /data:/in:ro], nv: false}\n"))
    assert experiment.container == ContainerSpec(image="a.sif", binds=("/scratch", "/data:/in:ro"), nv=False)
    assert type(experiment).model_validate_json(experiment.model_dump_json()) == experiment
    assert load(yaml("container: a.sif\n"))[0].container == ContainerSpec(image="a.sif")
    assert load(yaml(""))[0].container is None


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("container: {}", "5:1: container.image: is required: an image file"),
        ("container: {image: 3}", "5:20: container.image: must be a string, not 3"),
        (
            'container: {image: "docker://x"}',
            "5:20: container.image: must be an image file: `apptainer pull hpcho.sif docker",
        ),
        ("container: {image: a.sif, binds: [scratch]}", "5:35: container.binds.0: must be FOLDER, FOLDER:INSIDE or"),
        ('container: {image: a.sif, binds: ["/a,/b"]}', "a comma would be the end of it, for Apptainer"),
        ('container: {image: a.sif, binds: ["/a:/b:xy"]}', "container.binds.0: must be FOLDER"),
        ("container: {image: a.sif, bind: [/a]}", "unknown key bind"),
        ("container: {image: a.sif, nv: yes}", "must be true or false"),
    ],
)
def test_what_is_wrong_has_its_place(yaml, line, error):
    with pytest.raises(ExperimentError) as raised:
        load(yaml(line + "\n"))
    assert error in str(raised.value).replace('"', "")


def test_the_ssh_launcher_goes_without(yaml):
    whole = EXPERIMENT.replace("slurm: {workers: 2}", "ssh: {hosts: hosts.txt}")
    with pytest.raises(
        ExperimentError, match=r"5:1: container: does not go with the ssh launcher: .*launcher.ssh.python"
    ):
        load(yaml("container: a.sif\n", whole))


def test_an_image_that_is_not_there(yaml):
    opened = open_experiment(yaml("container: {image: no.sif}\n"))
    with pytest.raises(ExperimentError, match=r"experiment.yaml:5:20: container.image: there is no image /.*/no.sif"):
        launching.check_container(opened)


def test_self_is_for_hpcho_in_an_image(yaml):
    with pytest.raises(LauncherError, match="this hpcho does not run from an image: name the file"):
        launching.check_container(open_experiment(yaml("container: self\n")))


def test_local_workers_run_where_hpcho_does(yaml, monkeypatch):
    path = yaml("container: a.sif\n", EXPERIMENT.replace("slurm:", "local:"))
    with pytest.raises(LauncherError, match="Start hpcho itself from the image"):
        launching.check_container(open_experiment(path))
    for name, value in INSIDE.items():
        monkeypatch.setenv(name, value)
    launching.check_container(open_experiment(path))


def test_from_an_image_workers_get_the_same_one_unless_told_otherwise(yaml):
    experiment, _ = load(yaml(""))
    assert container.of(experiment, {}) is None
    assert container.of(experiment, INSIDE) == ContainerSpec(image="self")
    assert container.image_of(ContainerSpec(image="self"), Path("/y"), INSIDE) == Path("/x/hpcho.sif")
    other, _ = load(yaml("", EXPERIMENT.replace("workers: 2", "workers: 2, python: /usr/bin/python3")))
    assert container.of(other, INSIDE) is None
    local, _ = load(yaml("", EXPERIMENT.replace("slurm:", "local:")))
    assert container.of(local, INSIDE) is None


def test_relative_images_begin_at_the_yaml():
    assert container.image_of(ContainerSpec(image="../a.sif"), Path("/y/z"), {}) == Path("/y/z/../a.sif")
    assert container.image_of(ContainerSpec(image="~/a.sif"), Path("/y"), {}) == Path.home() / "a.sif"


# -- the script --------------------------------------------------------------------------------------------------------


class Python:
    """The script for an image of no content, and what Apptainer would get from it."""

    def __init__(self, folder, bin_, spec=None):
        self.image = folder / "it's a $(touch OWNED).sif"
        self.image.touch()
        self.bin = bin_
        self.file = folder / "python"
        spec = spec or ContainerSpec(image=str(self.image))
        folders = [folder / "with a blank", Path("/b")]
        self.file.write_text(container.python_script(spec, image=self.image, folders=folders, version="1.2"))
        self.file.chmod(0o755)

    def __call__(self, *words, **environ):
        environ = {"PATH": str(self.bin), "HOME": "/h", **environ}
        return subprocess.run([self.file, *words], env=environ, capture_output=True, text=True, check=False)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck")
def test_the_script_is_clean(tmp_path, bin_):
    done = subprocess.run(
        ["shellcheck", "--exclude=SC2016", Python(tmp_path, bin_).file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_words_and_exit_codes_pass_through(tmp_path, bin_):
    program(bin_, "apptainer")
    python = Python(tmp_path, bin_)
    words = ["-c", "print('$(touch OWNED)')", "a\nb", "", "*"]
    done = python(*words, EXIT="37")
    assert done.returncode == 37
    argv = json.loads(done.stdout)[0]
    binds = ["--bind", f"{tmp_path}/with a blank", "--bind", "/b"]
    assert argv == ["--quiet", "exec", "--cleanenv", *binds, str(python.image), "/opt/hpcho/bin/python", *words]
    assert not list(tmp_path.rglob("OWNED"))


def test_only_what_is_wanted_of_the_environment_comes_through(tmp_path, bin_):
    program(bin_, "apptainer")
    odd = "a,b=c\nSLURM_FAKE=$(touch OWNED)\n'\""
    given = {"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "0,1", "HPCHO_ODD": odd, "SUBMITIT_EXECUTOR": "slurm"}
    others = {"PYTHONPATH": "/p", "LD_PRELOAD_": "x", "HPCHO_RELAY": "/r", "APPTAINERENV_MINE": "1", "XSLURM_Y": "2"}
    done = Python(tmp_path, bin_)(**given, **others)
    environ = json.loads(done.stdout)[1]
    handed = {name: value for name, value in environ.items() if name.startswith("APPTAINERENV_")}
    expected = {**given, "HPCHO_CONTROLLER_VERSION": "1.2", "MINE": "1", "SLURM_FAKE": ""}
    assert handed == {f"APPTAINERENV_{name}": value for name, value in expected.items()}


def test_a_job_s_folder_for_temporary_files_is_seen(tmp_path, bin_):
    program(bin_, "apptainer")
    argv, environ = json.loads(Python(tmp_path, bin_)(TMPDIR=str(tmp_path)).stdout)
    assert environ["APPTAINERENV_TMPDIR"] == str(tmp_path)
    assert str(tmp_path) in argv
    assert "APPTAINERENV_TMPDIR" not in json.loads(Python(tmp_path, bin_)(TMPDIR="/not/there").stdout)[1]


def test_binds_of_the_yaml_come_last_and_once(tmp_path, bin_):
    program(bin_, "apptainer")
    python = Python(tmp_path, bin_, ContainerSpec(image="x", binds=("/b", "/c:/d:ro"), nv=False))
    argv = json.loads(python().stdout)[0]
    assert argv[argv.index("/b") + 1 :][:3] == ["--bind", "/c:/d:ro", str(python.image)]
    assert "--nv" not in python.file.read_text()


def test_singularity_will_do(tmp_path, bin_):
    program(bin_, "singularity", SHOWS.replace("apptainer version", "singularity-ce version"))
    environ = json.loads(Python(tmp_path, bin_)(SLURM_JOB_ID="7").stdout)[1]
    assert environ["SINGULARITYENV_SLURM_JOB_ID"] == "7"
    assert not [name for name in environ if name.startswith("APPTAINERENV_")]


def test_a_machine_without_apptainer_says_so(tmp_path, bin_):
    done = Python(tmp_path, bin_)()
    assert done.returncode == 127
    assert f"hpcho: on {os.uname().nodename}: neither apptainer nor singularity is on PATH" in done.stderr
    assert "launcher.slurm.setup" in done.stderr


def test_an_image_that_is_gone_or_another_s(tmp_path, bin_):
    program(bin_, "apptainer")
    python = Python(tmp_path, bin_)
    if os.geteuid() != 0:
        python.image.chmod(0)
        assert "cannot be read" in python().stderr
    python.image.unlink()
    done = python()
    assert done.returncode == 126
    assert "a file that compute nodes see, too" in done.stderr


def test_a_folder_that_apptainer_cannot_take():
    with pytest.raises(LauncherError, match="/a:b: Apptainer takes no folder with a comma or colon"):
        container.python_script(ContainerSpec(image="x"), image=Path("/x"), folders=[Path("/a:b")], version="1")


def test_it_is_written_for_workers_to_find(yaml, tmp_path, monkeypatch, bin_):
    program(bin_, "apptainer", f"#!/bin/sh\necho {hpcho.__version__}\n")
    monkeypatch.setenv("PATH", f"{bin_}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "a.sif").touch()
    opened = open_experiment(yaml("container: a.sif\n"))
    opened.jobdir.path.mkdir(parents=True)
    launching.build(opened, "uuid").close()
    python = opened.jobdir.path / "jobs" / "python"
    assert f"image={tmp_path}/a.sif\n" in python.read_text()
    assert f" {python} -u -m submitit" in launching.script(opened)
    assert launching.image_words(opened.experiment) == "a.sif"


# -- versions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("echo 0.0.1", r"a.sif has hpcho 0.0.1, and the controller is hpcho \S+: .*Build the image anew"),
        ("echo boom >&2; exit 255", "does not start, or has no hpcho in it: boom. `apptainer test"),
        (f"echo {hpcho.__version__}", None),
    ],
)
def test_the_image_s_version_against_the_controller_s(yaml, tmp_path, monkeypatch, bin_, text, error):
    program(bin_, "apptainer", f"#!/bin/sh\n{text}\n")
    monkeypatch.setenv("PATH", str(bin_))
    (tmp_path / "a.sif").touch()
    opened = open_experiment(yaml("container: a.sif\n"))
    if error is None:
        launching.check_container(opened)
        return
    with pytest.raises(LauncherError, match=error):
        launching.check_container(opened)


def test_a_worker_of_another_version_than_its_controller_leaves(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "hpcho.worker", tmp_path],
        env={**os.environ, **INSIDE, "HPCHO_CONTROLLER_VERSION": "9.9"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert f"the image /x/hpcho.sif has hpcho {hpcho.__version__}, and the controller is hpcho 9.9" in done.stderr


# -- inside ------------------------------------------------------------------------------------------------------------


def test_what_is_inside_knows_its_image():
    assert inside.image_here({}) is None
    assert inside.image_here({"HPCHO_IMAGE": "/x"}) is None
    assert inside.image_here({"APPTAINER_CONTAINER": "/y"}) == "/y"
    assert inside.image_here({"SINGULARITY_CONTAINER": "/y", "HPCHO_IMAGE": "/x"}) == "/x"


def test_what_needs_the_launcher_says_so():
    assert inside.launcher({}) is None
    assert inside.launcher({**INSIDE, "HPCHO_LAUNCHER": "/a b"}) == "env HPCHO_IMAGE=/x/hpcho.sif '/a b' --python"
    with pytest.raises(LauncherError, match=r"needs hpcho's launcher.*`./hpcho.sif install ~/bin`"):
        inside.launcher(INSIDE)
    assert "install" in inside.where_to_submit(INSIDE)
    assert "login node" in inside.where_to_submit({**INSIDE, "HPCHO_RELAY": "/r"})
    assert inside.again(Path("/log"), ["run"], INSIDE) is None
    assert inside.again(Path("/log"), ["run"], {"HPCHO_RELAY": "/r"}) is None
    words = inside.again(Path("/log"), ["run", "x"], {**INSIDE, "HPCHO_RELAY": "/r"})
    assert words == ["env", "HPCHO_RELAY=/r", "/opt/hpcho/relay/again", "/log", "run", "x"]


HEARS = """
import signal, sys, time
from hpcho.inside import Echo
echo, heard = Echo(), []
for number in (signal.SIGTERM, signal.SIGUSR2):
    signal.signal(number, lambda n, f: heard.append((n, echo.is_one(n))))
print("ready", flush=True)
while len(heard) < int(sys.argv[1]):
    time.sleep(0.01)
print(sum(not is_echo for _, is_echo in heard))
"""


@pytest.mark.parametrize(("environ", "heard"), [(INSIDE, 2), ({}, 3)])
def test_a_signal_that_comes_twice_in_an_image_is_one(environ, heard):
    outside = {name: value for name, value in os.environ.items() if name not in INSIDE}
    with subprocess.Popen(
        [sys.executable, "-c", HEARS, "3"], env={**outside, **environ}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGTERM):
            process.send_signal(number)
            until(lambda: _is_idle(process.pid))
        assert process.stdout.read() == f"{heard}\n"


def _is_idle(pid):
    """Whether the process has no signal waiting for it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True
    return all(f"{name}:\t0000000000000000" in status for name in ("SigPnd", "ShdPnd"))


# -- doctor ------------------------------------------------------------------------------------------------------------


def found(findings):
    return {finding.name: (str(finding.level), finding.words) for finding in findings}


def test_doctor_on_a_machine_without_apptainer(monkeypatch, bin_, yaml):
    monkeypatch.setenv("PATH", str(bin_))
    assert found(doctor.machine())["Apptainer"][0] == "ok"
    (missing,) = doctor.image(load(yaml("container: no.sif\n"))[0], Path("/y"))
    assert (missing.level, missing.words) == (Level.FAILED, "/y/no.sif is not there")
    assert "compute nodes" in missing.mend


def test_doctor_says_what_an_image_has_to_say(monkeypatch, bin_, yaml, tmp_path):
    program(bin_, "apptainer", "#!/bin/sh\necho 0.0.1\n")
    monkeypatch.setenv("PATH", str(bin_))
    (tmp_path / "a.sif").touch()
    experiment, _ = load(yaml("container: a.sif\n"))
    assert found(doctor.machine())["Apptainer"] == ("ok", "0.0.1")
    (finding,) = doctor.image(experiment, tmp_path)
    assert finding.level is Level.FAILED
    assert "has hpcho 0.0.1" in finding.words
    assert finding.mend.startswith("Build the image anew")


@pytest.mark.parametrize(
    ("environ", "name", "words"),
    [
        ({}, "launcher", "was not used, so SLURM cannot be called"),
        ({"HPCHO_RELAY": "/r", "HPCHO_SLURM": "relay", "HPCHO_SLURM_WHY": "it says so"}, "way to SLURM", "relay: "),
        ({"HPCHO_RELAY": "/r", "HPCHO_SLURM": "bind", "HPCHO_SLURM_WHY": "it works"}, "way to SLURM", "bind: "),
    ],
)
def test_doctor_inside_says_how_slurm_is_called(monkeypatch, yaml, environ, name, words):
    for key, value in {**INSIDE, **environ}.items():
        monkeypatch.setenv(key, value)
    said = found(doctor.machine())
    assert said["image"][1].endswith("runs from /x/hpcho.sif")
    assert said["namespaces"][1].startswith("this image runs ")
    assert "GPU driver" in said
    assert said[name][1].startswith(words)
    assert list(doctor.image(load(yaml("container: self\n"))[0], Path("/y"))) == []


@pytest.mark.parametrize(
    ("tried", "text", "bind", "relay"),
    [
        ("bind they work", "exit 0", "works: they work", ("ok", "works: the launcher outside had sinfo answer")),
        ("relay no munge", "echo gone >&2; exit 69", "does not work, and need not", ("failed", "does not work: gone")),
    ],
)
def test_doctor_inside_tells_of_both_ways_to_slurm(monkeypatch, bin_, tried, text, bind, relay):
    program(bin_, "sinfo", f'#!/bin/sh\n[ "$HPCHO_SLURM" = relay ] || exit 1\n{text}\n')
    monkeypatch.setattr(doctor, "SHIMS", bin_)
    told = {"HPCHO_RELAY": "/r", "HPCHO_SLURM_TRIED": tried, "HPCHO_LAUNCHER_PROGRAM": "apptainer version 1.4.5"}
    for key, value in {**INSIDE, **told}.items():
        monkeypatch.setenv(key, value)
    said = found(doctor.machine())
    assert said["Apptainer"] == ("ok", "apptainer version 1.4.5")
    assert said["SLURM by bind"][0] == "ok"
    assert said["SLURM by bind"][1].startswith(bind)
    assert said["SLURM by relay"] == relay


def test_doctor_in_a_job_looks_for_the_driver(monkeypatch, yaml):
    assert list(doctor.in_job(1)) == []
    monkeypatch.setenv("APPTAINER_CONTAINER", "/x/hpcho.sif")
    assert list(found(doctor.in_job(0))) == ["image"]
    assert list(found(doctor.in_job(1))) == ["image", "GPU driver"]
