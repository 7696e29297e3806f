"""The words for what went wrong, where the real event cannot be had in a test."""

import signal

from hpcho.trial import Cause
from hpcho.worker import deaths, faults


def test_a_kill_while_the_kernels_counter_rose_is_oom():
    failure = deaths.died(-signal.SIGKILL, "", for_memory=True, doing="early", more_memory="raise launcher.x.mem_gb")
    assert failure.cause is Cause.OOM
    assert failure.error == (
        "the kernel killed the process for memory early: raise launcher.x.mem_gb, or lower what these params take."
    )


def test_a_crash_is_no_oom_though_the_counter_rose():
    assert deaths.died(-signal.SIGSEGV, "", for_memory=True, doing="now", more_memory="").cause is Cause.WORKER


def test_an_unknown_signal_has_a_number():
    assert "was ended by signal 60" in deaths.died(-60, "", for_memory=False, doing="now", more_memory="").error


def test_a_ring_of_exceptions_has_an_end():
    a, b = ValueError("a"), ValueError("b")
    a.__context__, b.__context__ = b, a
    cause, text = faults.describe(a)
    assert cause is Cause.OBJECTIVE
    assert text.endswith("ValueError: a\n")


def test_jax_out_of_memory_is_told_by_its_text():
    error = type("XlaRuntimeError", (RuntimeError,), {})("RESOURCE_EXHAUSTED: Out of memory allocating")
    assert faults.describe(error)[0] is Cause.OOM
