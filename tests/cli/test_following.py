"""A command that is followed to its end, and the interrupts that go to it: real processes, real signals."""

import subprocess
import sys
import textwrap

import pytest

FOLLOW = """
import os, signal, sys, threading, time
from hpcho.api.following import follow

def interrupt(times, pause_s=0.0):
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(pause_s)

COUNTS = '''
import signal, sys, time
heard = 0
def hear(number, frame):
    global heard
    heard += 1
signal.signal(signal.SIGINT, hear)
print("ready", flush=True)
until = time.monotonic() + 20
while heard < int(sys.argv[1]) and time.monotonic() < until:
    for i in range(500):
        print(i, flush=True)
    time.sleep(0.01)
print("heard", heard, flush=True)
sys.exit(7)
'''
"""


def following(code, **options):
    done = subprocess.run(
        [sys.executable, "-c", FOLLOW + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )
    return done.stdout, done.stderr


def test_lines_are_printed_or_given_back():
    said, warned = following("""
        child = "import sys; print('a'); print('W b', file=sys.stderr); print('c', file=sys.stderr); sys.exit(3)"
        print(follow([sys.executable, "-c", child], lambda line: line.startswith("W")))
    """)
    assert said.splitlines() == ["a", "(3, ['c'], False)"]
    assert warned == "W b\n"


@pytest.mark.parametrize("times", [1, 3])
def test_every_interrupt_arrives_once_while_lines_pour(times):
    said, warned = following(f"""
        ready = threading.Event()
        class Out:
            def write(self, text):
                sys.__stdout__.write(text)
                if "ready" in text:
                    ready.set()
            def flush(self):
                sys.__stdout__.flush()
        sys.stdout = Out()
        threading.Thread(target=lambda: (ready.wait(), interrupt({times}, 0.2)), daemon=True).start()
        code, kept, was_interrupted = follow([sys.executable, "-c", COUNTS, "{times}"], lambda line: True)
        print("end", code, kept, was_interrupted)
    """)
    assert warned == ""
    *lines, heard, end = said.splitlines()
    assert heard == f"heard {times}"
    assert end == "end 7 [] True"
    assert lines == ["ready"] + [str(i) for i in range(500)] * (len(lines) // 500)


def test_who_does_not_answer_is_ended():
    said, _ = following("""
        child = "import signal, time; signal.signal(signal.SIGINT, lambda *_: None); print('ready', flush=True)"
        child += chr(10) + "while True: time.sleep(1)"
        threading.Thread(target=lambda: (time.sleep(1), interrupt(4, 0.1)), daemon=True).start()
        print(follow([sys.executable, "-c", child], lambda line: True))
    """)
    assert said.splitlines()[-1] == "(-9, [], True)"


def test_an_open_pipe_of_a_grandchild_does_not_hold_the_end_up():
    said, _ = following("""
        child = "import subprocess, sys; subprocess.Popen(['sleep', '30']); print('done')"
        begun = time.monotonic()
        print(follow([sys.executable, "-c", child], lambda line: True), time.monotonic() - begun < 15)
    """)
    assert said.splitlines() == ["done", "(0, [], False) True"]


def test_where_lines_cannot_be_printed_the_command_ends_first():
    said, warned = following("""
        class Broken:
            def write(self, text):
                raise BrokenPipeError(32, "gone")
            def flush(self):
                pass
        child = "import os, time; print(os.getpid(), flush=True); time.sleep(100)"
        import hpcho.api.following as module
        Popen, started = module.subprocess.Popen, []
        module.subprocess.Popen = lambda *a, **k: started.append(Popen(*a, **k)) or started[-1]
        sys.stdout = Broken()
        try:
            follow([sys.executable, "-c", child], lambda line: True)
        except BrokenPipeError:
            print("broken", started[0].poll(), file=sys.stderr)
    """)
    assert said == ""
    assert warned == "broken -15\n"


def test_signals_stay_as_they_were():
    said, _ = following("""
        before = signal.getsignal(signal.SIGINT)
        follow([sys.executable, "-c", ""], lambda line: True)
        print(signal.getsignal(signal.SIGINT) is before)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as nohup and & have it
        child = "import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
        follow([sys.executable, "-c", child], lambda line: True)
        threading.Thread(target=lambda: follow([sys.executable, "-c", "print('other')"], lambda line: True)).start()
    """)
    assert said.splitlines() == ["True", "True", "other"]
