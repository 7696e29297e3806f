"""What makes a newer Debian's programs run on an older C library; containers/testbed/apptainer has it at work."""

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "containers" / "testbed" / "older_glibc.py"


def call(path):
    return subprocess.run([sys.executable, SCRIPT, path], capture_output=True, text=True, check=False)


def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n" + 100 * "true\n")
    done = call(script)
    assert done.returncode == 1
    assert done.stderr == f"{script}: not a 64-bit little-endian ELF file\n"
    assert script.read_text() == "#!/bin/sh\n" + 100 * "true\n"


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or tuple(map(int, platform.libc_ver()[1].split("."))) >= (2, 38),
    reason="this C library's own programs may want it as new as it is",
)
def test_a_program_that_has_nothing_too_new_stays_as_it_is(tmp_path):
    program = Path(shutil.copy(shutil.which("true"), tmp_path))
    before = program.read_bytes()
    assert call(program).stdout == f"{program}: nothing to change\n"
    assert program.read_bytes() == before
