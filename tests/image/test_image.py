"""The image, as its users meet it: root, and an ordinary user."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
import testbed

import hpcho

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # the first one builds it

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "Apptainer.def"
SCRIPTS = ["containers/build", "containers/install", "containers/testbed/apptainer"]
PATIENT = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
print("ready", flush=True)
sys.exit(signal.sigwait({signal.SIGUSR2}) + 30)
"""
STAND_IN = """\
#!/opt/hpcho/bin/python
import sys
if sys.argv[1:] == ["--version"]:
    sys.exit(print("db version: a stand-in"))
"""
SERVER = """\
Bootstrap: localimage
From: {base}

%files
    {mongod} /usr/bin/mongod

%post
    chmod 755 /usr/bin/mongod
"""
ROOM_BYTES = 4 * 10**9


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck")
@pytest.mark.parametrize("script", SCRIPTS)
def test_the_scripts_are_clean(script):
    done = subprocess.run(["shellcheck", "-x", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.usefixtures("image")  # whose wheels are there, and what it begins with
def test_an_ordinary_user_builds_it_too(apptainer):
    """Packages and hpcho, and its own test, by the commands that root's is built with."""
    if os.geteuid() != 0:
        pytest.skip("the image was built by an ordinary user")
    user = testbed.Person("build", {"PATH": f"{apptainer.parent}:/usr/bin:/bin"})
    recipe = ("Apptainer.def", "containers", "hpcho", "pyproject.toml", "README.md", "LICENSE")
    for name in (*recipe, "build/wheels", "build/debian.sif"):
        kind = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        (user.folder / name).parent.mkdir(exist_ok=True)
        kind(ROOT / name, user.folder / name)
    subprocess.run(["chown", "-R", f"{testbed.USER}:", user.folder], check=True)
    try:
        done = user.run(["containers/build", "small"], env={"PYTHON": user.python[0]}, timeout=600)
        assert done.stdout.splitlines()[-1] == "build/hpcho-small.sif"
        built = user.folder / "build" / "hpcho-small.sif"
        assert built.owner() == testbed.USER
        assert user.run([built, "--version"]).stdout == f"hpcho {hpcho.__version__}\n"
    finally:
        shutil.rmtree(user.folder / "build")  # hundreds of MB


SECTIONS = re.findall(
    r"^%(post|environment|runscript|test)\n(.*?)(?=^%|^Bootstrap|\Z)", RECIPE.read_text(), re.MULTILINE | re.DOTALL
)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck")
@pytest.mark.parametrize(("name", "text"), SECTIONS, ids=[name for name, _ in SECTIONS])
def test_the_recipe_s_shell_is_clean(tmp_path, name, text):
    script = tmp_path / name
    script.write_text("#!/bin/sh\n" + re.sub(r"\{\{ (\w+) \}\}", r"\1", text))
    done = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


# -- what it says ------------------------------------------------------------------------------------------------------


def test_it_passes_its_own_test(person, image):
    said = person.run(["apptainer", "test", image]).stdout
    assert f"hpcho {hpcho.__version__}" in said
    assert list(person.folder.glob("[!.]*")) == []


def test_started_by_its_name_it_is_hpcho(person, image):
    assert "Usage: hpcho" in person.run([image, "--help"]).stdout
    done = person.run([image, "run", "nowhere.yaml"], check=False)
    assert done.returncode == 2
    assert "nowhere.yaml" in done.stderr


def test_its_labels_are_of_what_is_inside(image, person):
    said = json.loads(person.run(["apptainer", "inspect", "--json", "--labels", image]).stdout)
    labels = said["data"]["attributes"]["labels"]
    assert labels["hpcho.version"] == hpcho.__version__
    assert labels["hpcho.variant"] == "small"
    assert labels["hpcho.extras"] == "embedded-mongo"
    assert labels["hpcho.commit"]


def test_it_helps(image, person):
    assert "./hpcho.sif install ~/bin" in person.run(["apptainer", "run-help", image]).stdout


# -- what it runs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", ["sqlite", "mongo"])
def test_an_experiment_runs_inside(person, image, store):
    person.run([image, "init", "first", "--template", "command"])
    settings = ["--set", f"store={store}", "--set", "budget.trials=8"]
    person.run([image, "run", "first/experiment.yaml", *settings])
    status = json.loads(person.run([image, "status", "first/experiment.yaml", "--json"]).stdout)
    assert (status["state"], status["trials"]["done"]) == ("finished", 8)
    person.run([image, "report", "first/experiment.yaml"], timeout=300)  # matplotlib looks for fonts first


def test_exit_codes_and_signals_pass_through(person, image):
    inside = ["apptainer", "exec", image]
    assert person.run([*inside, "sh", "-c", "exit 37"], check=False).returncode == 37
    with person.popen([*inside, "python", "-c", PATIENT], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGUSR2)
        assert process.wait(testbed.PATIENCE_S) == signal.SIGUSR2 + 30


def test_the_python_of_the_host_stays_outside(person, image):
    person.write("hpcho.py", "raise SystemExit('the one outside')\n")
    outside = {"PYTHONPATH": str(person.folder), "PYTHONHOME": "/nowhere", "LC_ALL": "xx_YY"}
    told = "import hpcho, locale, site; print(hpcho.__file__, locale.getpreferredencoding(), site.ENABLE_USER_SITE)"
    said = person.run(["apptainer", "exec", image, "python", "-Pc", told], env=outside).stdout
    assert said.startswith("/opt/hpcho/lib/python3.11/site-packages/hpcho/__init__.py")
    assert said.split()[1:] == ["UTF-8", "False"]


def test_slurm_s_commands_are_inside_only_where_a_relay_is_outside(person, image):
    look = ["apptainer", "exec", image, "sh", "-c", "for name in sbatch srun python; do command -v $name; done"]
    assert person.run(look).stdout.split() == ["/opt/hpcho/bin/python"]
    said = person.run(look, env={"APPTAINERENV_HPCHO_RELAY": str(person.folder)}).stdout.split()
    assert said == ["/opt/hpcho/relay/sbatch", "/opt/hpcho/relay/srun", "/opt/hpcho/bin/python"]


# -- its launcher ------------------------------------------------------------------------------------------------------


def test_it_installs_its_launcher(person, image):
    """And again over an older one; a name with blanks, quotes and what sed minds is one as any."""
    odd = person.folder / "an & image's \\1 |.sif"
    odd.symlink_to(image)
    for _ in range(2):
        said = person.run(["apptainer", "run", odd, "install", person.folder / "bin"]).stdout
        assert str(person.folder / "bin" / "hpcho") in said
    launcher = person.folder / "bin" / "hpcho"
    assert [path.name for path in launcher.parent.iterdir()] == ["hpcho"]
    assert os.access(launcher, os.X_OK)
    line = next(line for line in launcher.read_text().splitlines() if line.startswith("installed_from="))
    installed_from = Path(shlex.split(line)[0].removeprefix("installed_from="))
    assert installed_from in {odd, image}
    assert person.run([launcher, "--version"]).stdout == f"hpcho {hpcho.__version__}\n"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], "say which folder"),
        (["--help"], "install takes a folder and no options"),
        (["/usr/local/bin"], "cannot write to /usr/local/bin from inside the image: try apptainer run --bind"),
    ],
)
def test_what_it_cannot_install_it_explains(person, image, words, error):
    done = person.run([image, "install", *words], check=False)
    assert done.returncode == 2
    assert f"hpcho: {error}" in done.stderr


# -- mongod ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(apptainer, image):
    """Builds an image with a mongod of the text that is given: what that said, and the image's folder."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to build on images that root made")
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > ROOM_BYTES
    with tempfile.TemporaryDirectory(dir=memory if roomy else None) as folder:
        environment = {**os.environ, "PATH": f"{apptainer.parent}:/usr/bin:/bin", "APPTAINER_TMPDIR": folder}

        def build(target, recipe, *options):
            command = [apptainer, "build", "--sandbox", *options, target, recipe]
            return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)

        def shop(text):
            (Path(folder) / "mongod").write_text(text)
            recipe = Path(folder) / "server.def"
            recipe.write_text(SERVER.format(base=ROOT / "build" / "debian.sif", mongod=Path(folder) / "mongod"))
            server, target = Path(folder) / "server", Path(folder) / "image"
            made = build(server, recipe)
            assert made.returncode == 0, made.stderr
            arguments = {
                "bootstrap": "localimage",
                "from": "build/packages-small.sif",
                "wheels": "build/wheels/hpcho",
                "mongo_from": server,
            }
            options = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
            return build(target, "Apptainer.def", "--build-arg-file", "containers/small.args", *options), target

        yield shop


def test_a_mongod_is_taken_over_and_used(shop):
    text = STAND_IN + (ROOT / "tests" / "mongo" / "mongod_stand_in.py").read_text()
    built, target = shop(text)
    assert built.returncode == 0, built.stderr
    # The image's own test, at the end of a build, ran with it.
    assert "db version: a stand-in" in built.stdout + built.stderr
    assert target.exists()


def test_a_mongod_that_cannot_run_on_the_base_ends_the_build(shop):
    built, target = shop("#!/bin/sh\necho \"version 'GLIBC_2.99' not found\" >&2\nexit 1\n")
    assert built.returncode != 0
    assert "does not run on build/packages-small.sif: choose two that fit" in built.stderr
    assert not target.exists()
