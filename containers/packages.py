"""The Python packages of the image's variants, chosen and fetched by pip for the Python and the C library in there.

``python containers/packages.py lock VARIANT...`` writes containers/requirements-VARIANT.lock: what pip chooses now for
the variant's extras, with hashes. ``python containers/packages.py fetch VARIANT FOLDER`` fetches what that names.
"""

import json
import platform
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PYTHON = "3.11.2"  # Debian 12's: what a later 3.11 could have as well
GLIBC_MINOR = 36
HEAD = """\
# What the image's variant "{variant}" consists of beside hpcho itself: hpcho[{extras}]
# and pip, for Python {python} on x86_64. Written by `make lock`.
"""


def pip(*words: str) -> str:
    """What pip prints about wheels for the image; none other is looked at."""
    tags = [f"manylinux_2_{minor}_x86_64" for minor in range(5, GLIBC_MINOR + 1)]
    tags += [f"manylinux{year}_x86_64" for year in (1, 2010, 2014)]
    options = ["--only-binary", ":all:", "--python-version", PYTHON, "--implementation", "cp"]
    options += [word for tag in tags for word in ("--platform", tag)]
    command = [sys.executable, "-m", "pip", words[0], "-qq", *options, *words[1:]]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def extras_of(variant: str) -> str:
    """The extras of hpcho in a variant, as its build arguments name them."""
    lines = (HERE / f"{variant}.args").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)["extras"]


def lock(variant: str) -> None:
    """Write the lock file of a variant: a line ``name==version --hash=...`` for each package."""
    # Markers such as `python_version < "3.12"` are about the Python that pip runs on.
    if sys.version_info[:2] != (3, 11) or platform.machine() != "x86_64":
        raise SystemExit("the image has Python 3.11 on x86_64: call this with such a one, make lock PYTHON=python3.11")
    extras = extras_of(variant)
    # pip: the image begins without one, and whoever builds on the image will want it.
    report = pip("install", "--dry-run", "--ignore-installed", "--report", "-", "pip", f"{HERE.parent}[{extras}]")
    lines = []
    for chosen in json.loads(report)["install"]:
        if archive := chosen["download_info"].get("archive_info"):  # hpcho itself is a folder
            name = re.sub(r"[-_.]+", "-", chosen["metadata"]["name"]).lower()
            lines.append(f"{name}=={chosen['metadata']['version']} --hash=sha256:{archive['hashes']['sha256']}\n")
    head = HEAD.format(variant=variant, extras=extras, python=PYTHON)
    (HERE / f"requirements-{variant}.lock").write_text(head + "".join(sorted(lines)))


def fetch(variant: str, folder: str) -> None:
    """Fetch the wheels that the lock file of a variant names, and no others, into a folder."""
    pip("download", "--no-deps", "--require-hashes", "-r", str(HERE / f"requirements-{variant}.lock"), "--dest", folder)


def main(command: str, *words: str) -> None:
    """Call one of the two."""
    if command == "fetch":
        fetch(*words)
    else:
        for variant in words:
            lock(variant)


if __name__ == "__main__":
    main(*sys.argv[1:])
