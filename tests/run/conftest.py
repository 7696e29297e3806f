import signal

import pytest
from run_lab import SQUARE, SQUARE_SETTINGS, Lab


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path)
    yield lab
    for process in lab.processes():
        process.send_signal(signal.SIGKILL)


@pytest.fixture
def square(lab):
    """A lab with a quick objective, 12 trials, 2 workers."""
    lab.write(SQUARE, SQUARE_SETTINGS)
    return lab
