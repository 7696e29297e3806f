"""The launcher's relay: what goes through it, what does not, and what is left when a side dies. No image is needed."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from relay_lab import LAUNCHER, PATIENCE_S, SHIMS, Lab, shells, until

pytestmark = pytest.mark.slow

ODD = [
    "$(touch OWNED)", "`touch OWNED`", "; touch OWNED", "&& touch OWNED", "| touch OWNED", "> OWNED", "<OWNED",
    "$HOME", "${HOME}", "$((1+1))", "*", "?", "[a-z]*", "~", "~root", "!!", "#", "# comment", "'", '"',
    "'$(touch OWNED)'", '"$(touch OWNED)"', "\\", "\\\\", "\\n", "\\0", "a\\", "%s%n", "%", "-n", "-e", "--", "-", "",
    " ", "  two  blanks ", "\t", "\ttab\t", "\n", "\n\n", "a\nb", "a\n", "\na", "a\n\nb\n\n", "w", "n", ".", "\n.",
    "\n.\nquit", "w\nn\n.\nm000", "m777", "uPATH", "\nuPATH", "quit", "\r", "\r\n", "a\rb", "\x01", "\x02\x03",
    "\x1b[31mred\x1b[0m", "\x7f", b"\x81", bytes(range(1, 256)), bytes(reversed(range(1, 256))), b"\xff\xfe",
    b"\x80\x81\x82\x88", "é", "日本", "\u202e", "x" * 10_000, "a=b", "--export=$(touch OWNED)", "--export=ALL,X=`id`",
    "--wrap=echo $(hostname); exit 3", "--format=%i|%T|%M|%r|%N|%k", "--job-name=a b", '--comment="x" \'y\'',
    "--chdir=/", "../sbatch", "/bin/sh", "-c", "sh -c 'touch OWNED'", "eval", "exec", "exit 1", "return", "{a,b}",
    "a;b", "a&b", "(a)", "$1", "$@", '"$@"', "$$", "$?", "$!", "IFS=x", "IFS", "set -x", "\\$(x)", "'\n'", '"\n"',
    "$'\\n'", "<(x)", ">(x)", "2>&1", "<<EOF", "EOF", "\nEOF\n", "case", "esac", "fi", "done", "0", "1\n2\n3",
]  # fmt: skip


@pytest.fixture(params=shells())
def lab(request, tmp_path):
    return Lab(tmp_path, request.param)


@pytest.fixture
def one(tmp_path):
    """With one shell alone: what is tested hangs on none."""
    return Lab(tmp_path)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck")
def test_the_scripts_are_clean():
    scripts = [LAUNCHER, SHIMS / "slurm", SHIMS / "srun"]
    done = subprocess.run(["shellcheck", "--shell=sh", *scripts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


# -- what goes through -------------------------------------------------------------------------------------------------


def test_words_arrive_as_they_are(lab):
    assert len(ODD) >= 100
    words = [os.fsencode(word) if isinstance(word, str) else word for word in ODD]
    (lab.folder / "words").write_bytes(b"\0".join(words))
    done = lab.run(f"""
        words = Path("words").read_bytes().split(b"\\0")
        shim = [{lab.shell!r}, os.environ["SHIMS"] + "/squeue"]
        for chunk in [[word] for word in words] + [words]:
            code = subprocess.run([*shim, *chunk], capture_output=True)
            said = code.stdout.split(b"\\0")
            assert said == [b"squeue", os.fsencode(os.getcwd()), *chunk], (chunk, said, code.stderr)
    """)
    assert done.returncode == 0, done.stderr.decode()
    assert not list(lab.folder.rglob("OWNED"))


def test_any_bytes_at_all(lab):
    rng = random.Random(1)
    words = [bytes(rng.randrange(1, 256) for _ in range(rng.randrange(40))) for _ in range(400)]
    (lab.folder / "words").write_bytes(b"\0".join(words))
    done = lab.run(f"""
        words = Path("words").read_bytes().split(b"\\0")
        said = subprocess.run([{lab.shell!r}, os.environ["SHIMS"] + "/squeue", *words], capture_output=True).stdout
        assert said.split(b"\\0")[2:] == words
    """)
    assert done.returncode == 0, done.stderr.decode()


def test_both_streams_and_the_exit_code_come_back(lab):
    done = lab.run("print(call('sacct', 'x'))\nsys.exit(call('squeue')[0])", env={"EXIT": "37"})
    assert done.returncode == 37
    assert b"sacct" in done.stdout
    assert b"27 SBATCH_X=None" in done.stdout


def test_a_command_ended_by_a_signal_says_so_as_shells_do(one):
    one.program("outside/squeue", "#!/bin/sh\nkill -SEGV $$\n")
    assert one.run("sys.exit(call('squeue')[0])").returncode == 128 + signal.SIGSEGV


def test_much_output_is_whole(one):
    one.program("outside/squeue", f"#!{sys.executable}\nprint('x' * 5_000_000)")
    done = one.run("code, out, err = call('squeue')\nprint(code, len(out))")
    assert done.stdout == b"0 5000001\n"


def test_variables_that_the_caller_took_out_are_taken_out(one):
    done = one.run(
        """
        print(call("sbatch", "--wrap=x")[2])
        print(call("sbatch", "--wrap=x", env={k: v for k, v in os.environ.items() if k != "SBATCH_X"})[2])
        """,
        env={"SBATCH_X": "1", "SLURM_Y": "2"},
    )
    assert done.stdout.decode().split("\n")[:2] == ["27 SBATCH_X=1 SLURM_Y=2", "27 SBATCH_X=None SLURM_Y=2"]


def test_commands_have_the_environment_of_the_outside(one):
    one.program("outside/sbatch", "#!/bin/sh\nenv\n")
    said = one.run("sys.stdout.write(call('sbatch', '--wrap=x', env={**os.environ, 'X': '1'})[1].decode())").stdout
    assert b"HPCHO_RELAY" not in said
    assert b"APPTAINERENV" not in said
    assert b"\nX=1" not in said


def test_sbatch_reads_its_script_from_standard_input(one):
    one.program("outside/sbatch", "#!/bin/sh\ncat\n")
    script = "#!/bin/sh\necho hello\n\n"
    done = one.run(f"print(call('sbatch', '--parsable', input={script.encode()!r})[1] == {script.encode()!r})")
    assert done.stdout == b"True\n"


def test_a_hundred_calls_at_once_are_answered_right(lab):
    done = lab.run("""
        from concurrent.futures import ThreadPoolExecutor
        def ask(i):
            return call(["squeue", "sacct", "scontrol"][i % 3], str(i), "x" * i)[1].split(b"\\0")[2:]
        with ThreadPoolExecutor(100) as pool:
            answers = list(pool.map(ask, range(100)))
        assert answers == [[b"%d" % i, b"x" * i] for i in range(100)], answers
    """)
    assert done.returncode == 0, done.stderr.decode()


def test_a_slow_call_holds_up_no_other(one):
    one.program("outside/sbatch", "#!/bin/sh\nwhile [ ! -e go ]; do sleep 0.1; done\n")
    done = one.run("""
        slow = start("sbatch", "--wrap=x")
        assert call("squeue")[0] == 0
        assert slow.poll() is None
        Path("go").touch()
        assert slow.wait(20) == 0
    """)
    assert done.returncode == 0, done.stderr.decode()


# -- what is seen inside ----------------------------------------------------------------------------------------------


BINDS = [
    ("container: {image: a.sif, binds: [/L/a, '/L/b:/in:ro'], nv: true}", [], ["/L/a", "/L/b:/in:ro"]),
    ("container:\n  binds:  # two\n  - /L/a  # one\n  - '/L/b:/in:ro'\n", [], ["/L/a", "/L/b:/in:ro"]),
    (
        "container: {binds: [/L/a,  # one\n    # none: /L/c\n    /L/b], nv: false}\njob_dir: /L/c",
        [],
        ["/L/a", "/L/b", "/L/c"],
    ),
    (
        "container: {binds: [/L/a,\n  /L/b], image: x}\nstore: {mongo: {data_dir: /L/c/new}}",
        [],
        ["/L/a", "/L/b", "/L/c"],
    ),
    ("extends: [../a/site.yaml]", [], ["/L/a", "/L/b"]),
    ("name: x", ["--set", "job_dir=/L/a", "--set=store.mongo.data_dir=/L/b/new/er"], ["/L/a", "/L/b"]),
    ("name: x", ["--set", "container={image: self, binds: [/L/a, /L/b]}"], ["/L/a", "/L/b"]),
    ("name: x", ["--set", "container.binds=[/L/a]", "--export", "/L/b/model.keras"], ["/L/a", "/L/b"]),
    ("# job_dir: /L/a\nnote: 'binds are /L/b'", [], []),
]


@pytest.mark.parametrize(("yaml", "words", "seen"), BINDS)
def test_folders_that_the_yaml_and_the_command_line_name_are_seen_inside(lab, yaml, words, seen):
    for name in ("a", "b", "c", "y"):
        (lab.folder / name).mkdir()
    put = str(lab.folder)
    (lab.folder / "a" / "site.yaml").write_text(f"container:\n  binds: [{put}/b]\n")
    (lab.folder / "y" / "x.yaml").write_text(yaml.replace("/L/", f"{put}/") + "\n")
    lab.run("pass", "run", "y/x.yaml", *(word.replace("/L/", f"{put}/") for word in words))
    argv = (lab.folder / "apptainer.argv").read_text().splitlines()
    binds = {argv[i + 1] for i, word in enumerate(argv) if word == "--bind" and "hpcho-relay." not in argv[i + 1]}
    assert binds == {put, f"{put}/y", *(place.replace("/L/", f"{put}/") for place in seen)}


# -- what does not -----------------------------------------------------------------------------------------------------

ASKED = """
def ask(*lines, whole=True):
    folder = relay / f"mine.{os.urandom(4).hex()}"
    folder.mkdir(mode=0o700)
    os.mkfifo(folder / "here"), os.mkfifo(folder / "done")
    here, done = (os.open(folder / name, os.O_RDWR) for name in ("here", "done"))
    (folder / "request").write_bytes(b"".join(line + b"\\n" for line in lines) + (b".\\n" if whole else b""))
    door = os.open(relay / "door", os.O_RDWR)
    os.write(door, folder.name.encode() + b"\\n")
    said = b""
    while b"status" not in said or not said.endswith(b"\\n"):
        said += os.read(done, 100)
    err = (folder / "err").read_text(errors="replace") if (folder / "err").exists() else ""
    os.close(here), os.close(done), os.close(door)
    until(lambda: not folder.exists())
    return int(said.split()[-1]), err
"""
REFUSED = [
    "sh", "/bin/sh", "../sbatch", "./sbatch", "/usr/bin/sbatch", "sbatch ", " sbatch", "sbatch\n", "sbatch;id",
    "SBATCH", "", "-", "--", "salloc", "srun", "scancel scontrol", "sbatch squeue", "s*", "sbatc?", "[s]batch",
    "$(id)", "`id`", "env", "eval", "command", "exec", "cd", ".", "w", "\x1b[2J", "sacctmgr", "*",
    "sbatch sacct scancel", "again;", "sbatch\tsqueue",
]  # fmt: skip


def test_commands_outside_the_list_are_refused_and_logged(lab):
    for name in ("sh", "salloc", "srun", "sacctmgr", "env", "s*", "w"):
        lab.program(f"outside/{name}", "#!/bin/sh\ntouch OWNED\n") if "/" not in name else None
    names = [os.fsencode(name) if isinstance(name, str) else name for name in REFUSED + ODD]
    assert len(names) >= 100
    (lab.folder / "names").write_bytes(b"\0".join(names))
    done = lab.run(
        ASKED
        + """
for name in Path("names").read_bytes().split(b"\\0"):
    words = (b"w" + name).split(b"\\n")
    code, err = ask(words[0], *(b"n" + more for more in words[1:]), b"w" + os.fsencode(os.getcwd()), b"wx")
    assert code == 126 and "can be called from inside the image" in err, (name, code, err)
"""
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr.count(b"hpcho: the relay refuses") == len(names)
    assert b"\x1b" not in done.stderr
    assert not list(lab.folder.rglob("OWNED"))


def test_what_is_refused_is_logged_where_stderr_cannot_be_opened_again(one):
    one.inside(ASKED + 'assert ask(b"wsh", b"w" + os.fsencode(os.getcwd()), b"wx")[0] == 126')
    here, there = socket.socketpair()
    with here, there, one.start(stderr=there) as process:
        assert process.wait(PATIENCE_S) == 0
    one.await_clean(process.pid)
    log = one.folder / ".cache" / "hpcho" / "refused.log"
    assert log.read_text().splitlines()[-1].startswith("hpcho: the relay refuses sh: only sbatch squeue")


def test_requests_that_are_none_are_refused(one):
    done = one.run(
        ASKED
        + """
here = b"w" + os.fsencode(os.getcwd())
assert ask()[0] == 126
assert ask(b"wsqueue")[0] == 126
assert ask(b"wsqueue", here, b"wx", whole=False) == (126, "hpcho: the relay refuses a call that is not whole\\n")
assert ask(b"wsqueue", here, *[b"wx"] * 2500) == (126, "hpcho: the relay refuses a call of more than 2000 words\\n")
assert ask(b"wsqueue", here, b"u; touch OWNED", b"uPATH;", b"m$(touch OWNED)")[0] == 0
code, err = ask(b"wsqueue", b"w/not/there")
assert code == 126 and "/not/there, which is not there outside the image" in err, err
code, err = call("sinfo")[::2]
assert code == 127 and "sinfo: not found on the PATH outside the image" in err, err
for line in (b"../../etc", b"/etc", b".", b"..", b"", b"a b", b"$(touch OWNED)", b"x" * 1000):
    with open(relay / "door", "r+b", buffering=0) as door:
        door.write(line + b"\\n")
assert call("squeue")[0] == 0
code, err = ask(b"wagain", here, b"wlog", b"wstop")
assert code == 126 and "only a run or a store's server" in err, err
"""
    )
    assert done.returncode == 0, done.stderr.decode()
    assert not list(one.folder.rglob("OWNED"))


def test_srun_explains_itself():
    done = subprocess.run([SHIMS / "srun", "hostname"], capture_output=True, text=True, check=False)
    assert done.returncode == 127
    assert "Steps are started in jobs" in done.stderr


def test_a_command_without_the_launcher_says_what_is_missing():
    done = subprocess.run(
        [SHIMS / "sbatch"], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 127
    assert "hpcho was started without its launcher" in done.stderr


# -- the ends of things ------------------------------------------------------------------------------------------------


def test_signals_reach_hpcho_and_its_exit_code_comes_back(lab):
    lab.inside("""
        heard = []
        signal.signal(signal.SIGTERM, lambda n, f: heard.append(n))
        print("ready", flush=True)
        until(lambda: heard)
        assert call("squeue")[0] == 0  # the relay is there to the last
        sys.exit(42)
    """)
    with lab.start() as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 42
        assert process.stderr.read() == b""
    lab.await_clean(process.pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_group_leaves_the_relay_to_hpcho(one, number):
    one.inside(f"""
        heard = []
        signal.signal({int(number)}, lambda n, f: heard.append(n))
        print("ready", flush=True)
        until(lambda: heard)
        time.sleep(0.2)
        print(len(heard), call("squeue")[0])
    """)
    with one.start(start_new_session=True) as process:
        assert process.stdout.readline() == b"ready\n"
        os.killpg(process.pid, number)
        assert process.stdout.read() == b"1 0\n"
    one.await_clean(process.pid)


def test_a_reader_sees_the_end_at_once(one):
    """The relay, which outlives hpcho by a moment, holds none of its streams."""
    one.inside("print('x')")
    with one.start() as process:
        process.stdout.read()
        process.stderr.read()
        assert one.folders(process.pid)  # still there: nobody has waited for the relay


def test_hpcho_killed_leaves_nothing(lab):
    lab.program("outside/squeue", "#!/bin/sh\ntouch called\nexec sleep 1000\n")
    lab.inside("start('squeue')\nprint(relay, flush=True)\ntime.sleep(1000)")
    with lab.start() as process:
        process.stdout.readline()
        until((lab.folder / "called").exists)
        process.kill()
    lab.await_clean(process.pid)


def test_the_relay_killed_in_the_middle(lab):
    """A call that was taken is answered; the next one is told what has happened; the folder goes all the same."""
    lab.program("outside/sbatch", "#!/bin/sh\ntouch called\nwhile [ ! -e go ]; do sleep 0.1; done\necho 12\n")
    done = lab.run("""
        taken = start("sbatch", "--wrap=x")
        until(Path("called").exists)
        loops = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if os.path.samefile(place / "fd" / "8", relay / "alive"):
                    loops.append(int(place.name))
            except OSError:
                pass
        assert len(loops) == 1, loops
        os.kill(loops[0], signal.SIGKILL)
        code, out, err = call("squeue")
        assert code == 69 and "its relay is gone" in err, (code, err)
        Path("go").touch()
        assert taken.communicate(timeout=20)[0] == b"12\\n", taken.stderr
        until(lambda: not relay.exists())
        code, out, err = call("squeue")
        assert code == 69 and "its relay is gone" in err, (code, err)
    """)
    assert done.returncode == 0, done.stderr.decode()


def test_what_serves_a_call_killed_in_the_middle(one):
    one.program("outside/sbatch", "#!/bin/sh\necho $PPID >called\nsleep 2\n")
    done = one.run("""
        caller = start("sbatch", "--wrap=x")
        until(lambda: Path("called").exists() and Path("called").read_text().strip())
        os.kill(int(Path("called").read_text()), signal.SIGKILL)
        out, err = caller.communicate(timeout=20)
        assert caller.returncode == 69 and b"may have been done all the same" in err, (caller.returncode, err)
        assert call("squeue")[0] == 0
    """)
    assert done.returncode == 0, done.stderr.decode()


def test_a_caller_killed_in_the_middle_ends_its_command(lab):
    lab.program("outside/squeue", "#!/bin/sh\necho $$ >called\nexec sleep 1000\n")
    done = lab.run("""
        for _ in range(3):
            Path("called").unlink(missing_ok=True)
            caller = start("squeue")
            until(lambda: Path("called").exists() and Path("called").read_text().strip())
            caller.kill()
            caller.communicate(timeout=20)  # nothing holds its streams
            pid = int(Path("called").read_text())
            until(lambda: not Path(f"/proc/{pid}").exists())
            until(lambda: sorted(path.name for path in relay.iterdir()) == ["alive", "door"])
        assert call("sacct")[0] == 0
    """)
    assert done.returncode == 0, done.stderr.decode()


def test_a_folder_that_a_killed_relay_left_goes_with_the_next_start(one):
    with subprocess.Popen(["true"]) as gone:
        pass
    old = Path(f"/tmp/hpcho-relay.{gone.pid}.abcdefgh")
    old.mkdir(0o700)
    os.mkfifo(old / "alive")
    one.run("pass")
    assert not old.exists()


def test_what_goes_on_outside_outlives_hpcho(one):
    one.program("go-on", "#!/bin/sh\n")
    one.inside("""
        if sys.argv[1:] == ["run", "x.yaml"]:
            print("the second", relay, flush=True)
            until(Path("go").exists)
            print(call("squeue")[0], os.getsid(0) == os.getpid() or "same", flush=True)
            Path("ended").touch()
        else:
            start("again", "log", "run", "x.yaml")
            until(lambda: Path("log").exists() and "second" in Path("log").read_text())
    """)
    with one.start("run", "y.yaml", "--detach") as process:
        assert process.wait(PATIENCE_S) == 0, process.stderr.read()
    until(lambda: not one.folders(process.pid))
    (one.folder / "go").touch()
    until((one.folder / "ended").exists)
    until(lambda: not one.processes())
    assert (one.folder / "log").read_text().splitlines()[1].startswith("0 ")
