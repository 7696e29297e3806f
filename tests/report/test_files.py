from dataclasses import replace

import pytest
import report_trials as made

from hpcho.jobdir import JobDir
from hpcho.report import files, rows
from hpcho.report.files import Folders, as_shown
from hpcho.trial import Result


@pytest.fixture
def folders(tmp_path):
    return Folders(JobDir(tmp_path / "runs"), tmp_path / "runs" / "report")


def logged(folders, tid, text, name="stdout.log"):
    folders.jobdir.trial(tid).mkdir(parents=True, exist_ok=True)
    (folders.jobdir.trial(tid) / name).write_bytes(text.encode() if isinstance(text, str) else text)


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("\x1b[1mEpoch 1/2\x1b[0m\n", "Epoch 1/2\n"),
        ("\x1b[1m1/9\x1b[0m loss: 2\r\x1b[1m9/9\x1b[0m loss: 1\n", "9/9 loss: 1\n"),
        ("1/9\b\b\b9/9\r\n", "9/9\n"),
        ("\x1b]0;a title\x07text\x1b]8;;http://x\x1b\\", "text"),
        ("windows\r\nlines\r\n", "windows\nlines\n"),
        ("50%\r", "50%"),
        ("working |\b/\b-\bfor you\b\b", "working for you"),
    ],
)
def test_a_log_is_as_a_terminal_shows_it_in_the_end(written, seen):
    assert as_shown(written) == seen


def test_a_log_s_end_is_kept(folders):
    logged(folders, 0, "epoch 1\n" * 10_000 + "ValueError: the end")
    logged(folders, 0, "warning\n", "stderr.log")
    logged(folders, 1, b"\xff half a sign")
    tails = folders.tails(rows(made.SPACE, [made.done(0, 0.5), made.done(1, 0.4), made.new(2)]))
    assert [name for name, _ in tails[0]] == ["stdout.log", "stderr.log"]
    assert tails[0][0][1].startswith("…")
    assert tails[0][0][1].endswith("ValueError: the end")
    assert len(tails[0][0][1]) == files.TAIL + 1
    assert tails[1] == [("stdout.log", "\N{REPLACEMENT CHARACTER} half a sign")]
    assert 2 not in tails


def test_of_many_logs_the_best_trial_s_and_those_of_failures_are_kept(folders, monkeypatch):
    monkeypatch.setattr(files, "TOTAL", 60)
    for tid in range(6):
        logged(folders, tid, "x" * 20)
    trials = [
        made.done(0, 0.5),
        made.done(1, 0.1),
        made.failed(2),
        made.done(3, 0.3),
        made.failed(4),
        made.done(5, 0.2),
    ]
    assert list(folders.tails(rows(made.SPACE, trials))) == [1, 4, 2]


def test_attachments_are_linked_from_where_the_page_lies(folders):
    trial = replace(made.done(3, 0.5), result=Result(0.5, attachments=("a b.keras", "../../secret", "gone")))
    folder = folders.jobdir.trial(3) / "attachments"
    folder.mkdir(parents=True)
    (folder / "a b.keras").write_text("")
    (folder / "%2E.%2F..%2Fsecret").write_text("")
    assert folders.attachments([trial, made.done(4, 0.5)]) == {
        3: [
            ("a b.keras", "./../trials/3/attachments/a%20b.keras"),
            ("../../secret", "./../trials/3/attachments/%252E.%252F..%252Fsecret"),
            ("gone", None),
        ]
    }
