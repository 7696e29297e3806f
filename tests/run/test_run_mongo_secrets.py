"""The password of a run's database: in its one file, and nowhere else."""

import os
import shutil
import signal
import stat
import sys
import threading
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from run_lab import SQUARE_SETTINGS

from hpcho.store.server import lease

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which("secantusd-py", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])),
        reason="needs secantusd-py: pip install 'hpcho[embedded-mongo]'",
    ),
]

CODE = """
import os, pathlib, pickle, time
def objective(params, trial):
    pathlib.Path(f"../begun-{trial.tid}").touch()
    time.sleep(0.3)
    print(dict(os.environ))
    if trial.tid == 3:
        raise ValueError("no such params")
    return {"loss": params["x"], "status": "ok", "attachments": {"model": pickle.dumps(params)}}
"""


class Scan:
    """Looks through what any process of this machine shows of itself, over and over."""

    def __init__(self, folder):
        self._folder = folder
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.seen = {}
        """What was shown, by the process and the file."""

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._over.set()
        self._thread.join()

    def _look(self):
        while not self._over.wait(0.03):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    line = (process / "cmdline").read_bytes()
                    if str(self._folder).encode() in line or b"hpcho" in line or b"secantus" in line:
                        self.seen.setdefault((process.name, "cmdline"), set()).add(line)
                        self.seen.setdefault((process.name, "environ"), set()).add((process / "environ").read_bytes())
                except OSError:
                    continue

    def holds(self, secret):
        return [where for where, texts in self.seen.items() if any(secret in text for text in texts)]


def files_with(folder, secrets):
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in files if any(secret in path.read_bytes() for secret in secrets)]


def test_the_password_is_in_its_file_alone(lab):
    lab.write(CODE, SQUARE_SETTINGS.replace("trials: 12", "trials: 12, failures: 5") + "store: mongo\n")
    said = []

    def run(*arguments, **options):
        done = lab.hpcho(*arguments, **options)
        said.append(done.stdout + done.stderr)
        return done

    with Scan(lab.folder) as scan:
        process = lab.start("run", "--debug")
        lab.until(lambda: len(list(lab.job_dir.glob("begun-*"))) >= 2)
        os.kill(lease.read(lab.job_dir / "mongo").server.pid, signal.SIGKILL)
        said += process.communicate(timeout=120)
        assert process.returncode == 0, said
        for command in ("status", "trials", "best"):
            assert run(command, "--json", "--debug").returncode == 0
        assert run("report", "--debug").returncode == 0
    password_file = lab.job_dir / "mongo" / "password"
    password = password_file.read_text().strip()
    assert stat.S_IMODE(password_file.stat().st_mode) == 0o600
    secrets = [password.encode(), quote_plus(password).encode()]

    shown = b"".join(text for texts in scan.seen.values() for text in texts)
    kinds = {word for word in (b"hpcho.worker", b"--auth") if word in shown}
    assert kinds == {b"hpcho.worker", b"--auth"}, "workers and the server were looked at"
    assert [scan.holds(secret) for secret in secrets] == [[], []]
    assert files_with(lab.folder, secrets) == [password_file]
    assert not [text for text in said if password in text]

    # With the wrong one, and with hpcho's own traceback asked for, nothing shows either of the two.
    password_file.write_text("not-the-password\n")
    wrong = run("run", "--debug")
    assert wrong.returncode == 3
    assert "is another one than the database was given" in wrong.stderr
    secrets.append(b"not-the-password")
    assert not [text for text in said if any(secret.decode() in text for secret in secrets)]
    assert files_with(lab.folder, secrets) == [password_file]
