"""What all tests share."""

import os
import signal
from pathlib import Path

import mongo_server
import pytest

ROOT = Path(__file__).parent.parent

# Commands and workers that tests start in other folders are those of this checkout, installed or not.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
# What starts tests in the background may ignore these, and all that they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's greetings are not what a test's output is for


def _fail_what_is_needed(report):
    """In CI a service or package that is not there is a failure: there, everything is installed.

    A test says what it lacks with a reason that begins with "needs"; other skips stay skips.
    """
    if report.skipped and os.environ.get("CI") == "true" and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if reason.startswith("needs "):
            report.outcome = "failed"
            report.longrepr = f"skipped in CI: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    return _fail_what_is_needed((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    return _fail_what_is_needed((yield))


@pytest.fixture(scope="session")
def mongo_url(tmp_path_factory):
    """The URL of a MongoDB that tests may fill with databases: HPCHO_TEST_MONGO_URL, or a server of this session."""
    with mongo_server.running(tmp_path_factory) as url:
        yield url
