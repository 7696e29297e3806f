"""Undelivered results on disk."""

import pytest

from hpcho import late
from hpcho.trial import Result


def test_what_is_saved_is_loaded_with_its_files_whatever_their_names(tmp_path):
    staged = tmp_path / "staged"
    staged.write_bytes(b"x")
    saved = late.save(tmp_path / "7", 2, Result(0.5, data={"a": [1]}, attachments=("../b",)), {"../b": staged})
    assert not staged.exists()
    assert late.load(tmp_path / "7") == [saved]
    assert saved.files["../b"].read_bytes() == b"x"


def test_results_come_in_the_order_of_their_claims(tmp_path):
    for version in (10, 9):
        late.save(tmp_path, version, Result(float(version)), {})
    assert [found.version for found in late.load(tmp_path)] == [9, 10]


def test_saving_can_be_repeated_after_it_failed_half_way(tmp_path):
    staged = tmp_path / "staged"
    staged.write_bytes(b"x")
    (tmp_path / "late-0.json").mkdir()  # replacing it fails, after the file was moved
    with pytest.raises(OSError):
        late.save(tmp_path, 0, Result(1.0), {"m": staged})
    (tmp_path / "late-0.json").rmdir()
    assert late.save(tmp_path, 0, Result(1.0), {"m": staged}).files["m"].read_bytes() == b"x"


def test_discarding_leaves_nothing_and_may_be_repeated(tmp_path):
    staged = tmp_path / "staged"
    staged.write_bytes(b"x")
    late.save(tmp_path, 0, Result(1.0), {"m": staged})
    late.discard(tmp_path, 0)
    late.discard(tmp_path, 0)
    assert list(tmp_path.iterdir()) == []


def test_there_is_nothing_where_there_is_no_folder(tmp_path):
    assert late.load(tmp_path / "none") == []


def test_one_that_was_damaged_is_left_out_and_said(tmp_path, caplog):
    saved = late.save(tmp_path, 3, Result(0.5), {})
    (tmp_path / "late-1.json").write_text('{"version": 1, "resu')
    (tmp_path / "late-2.json").write_text("[]")
    assert late.load(tmp_path) == [saved]
    assert "late-1.json cannot be read and is left out" in caplog.text
