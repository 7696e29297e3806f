"""Undelivered results on disk."""

from dataclasses import replace

import pytest

from hpcho import results
from hpcho.trial import Attempt, Cause, Owner, Result, Trial, TrialState


def held(version=0, tid=7):
    return Trial(
        tid=tid, state=TrialState.RUNNING, version=version, vals={"x": [1]}, owner=Owner("n1", 5, 9), claimed_at=2.0
    )


def test_what_is_saved_is_loaded_with_its_files_whatever_their_names(tmp_path):
    staged = tmp_path / "staged"
    staged.write_bytes(b"x")
    saved = results.save(tmp_path / "7", held(2), Result(0.5, data={"a": [1]}, attachments=("../b",)), {"../b": staged})
    assert not staged.exists()
    assert results.load(tmp_path / "7") == [saved]
    assert saved.files["../b"].read_bytes() == b"x"


def test_results_come_in_the_order_of_their_claims(tmp_path):
    for version in (10, 9):
        results.save(tmp_path, held(version), Result(float(version)), {})
    assert [found.version for found in results.load(tmp_path)] == [9, 10]


def test_saving_can_be_repeated_after_it_failed_half_way(tmp_path):
    staged = tmp_path / "staged"
    staged.write_bytes(b"x")
    (tmp_path / "late-0.json").mkdir()  # replacing it fails, after the file was moved
    with pytest.raises(OSError):
        results.save(tmp_path, held(0), Result(1.0), {"m": staged})
    (tmp_path / "late-0.json").rmdir()
    assert results.save(tmp_path, held(0), Result(1.0), {"m": staged}).files["m"].read_bytes() == b"x"


def test_discarding_leaves_nothing_and_may_be_repeated(tmp_path):
    staged = tmp_path / "staged"
    staged.write_bytes(b"x")
    results.save(tmp_path, held(0), Result(1.0), {"m": staged})
    results.discard(tmp_path, 0)
    results.discard(tmp_path, 0)
    assert list(tmp_path.iterdir()) == []


def test_there_is_nothing_where_there_is_no_folder(tmp_path):
    assert results.load(tmp_path / "none") == []


def test_one_that_was_damaged_is_left_out_and_said(tmp_path, caplog):
    saved = results.save(tmp_path, held(3), Result(0.5), {})
    (tmp_path / "late-1.json").write_text('{"version": 1, "resu')
    (tmp_path / "late-2.json").write_text("[]")
    assert results.load(tmp_path) == [saved]
    assert "late-1.json cannot be read and is left out" in caplog.text


def test_a_result_that_has_arrived_is_what_its_trial_is_rebuilt_from(tmp_path):
    staged = tmp_path / "staged"
    staged.write_bytes(b"x")
    earlier = Attempt(Owner("n0", 4, 8), 0.5, 1.0, Cause.NODE, "gone")
    trial = Trial(
        tid=7,
        state=TrialState.RUNNING,
        version=3,
        vals={"x": [1], "y": []},
        origin="point",
        owner=Owner("n1", 5, 9),
        attempts=(earlier,),
        created_at=0.25,
        claimed_at=2.0,
    )
    late = results.save(tmp_path, trial, Result(0.5, data={"a": [1]}), {"m": staged}, synced=False)
    results.sync(tmp_path, late)
    late.files["m"].rename(tmp_path / "kept")
    results.settle(tmp_path, 3)
    assert results.load(tmp_path) == []
    back, files = results.recall(tmp_path, lambda name: tmp_path / "kept")
    assert files == {"m": tmp_path / "kept"}
    assert back.state is TrialState.DONE
    assert (back.tid, back.version, back.vals, back.origin) == (7, 4, {"x": [1], "y": []}, "point")
    assert back.result == Result(0.5, data={"a": [1]}, attachments=("m",))
    assert back.attempts[0] == earlier
    assert (back.attempts[1].owner, back.attempts[1].started_at, back.attempts[1].cause) == (trial.owner, 2.0, None)


def test_one_on_its_way_is_recalled_with_its_files_where_they_are(tmp_path):
    staged = tmp_path / "staged"
    staged.write_bytes(b"x")
    late = results.save(tmp_path, held(2), Result(0.5), {"m": staged})
    trial, files = results.recall(tmp_path, lambda name: tmp_path / "none")
    assert (trial.version, files) == (3, late.files)


def test_a_folder_without_a_result_recalls_nothing(tmp_path):
    (tmp_path / "result.json").write_text('{"version": 1, "files": {}, "result": {"loss": 1.0}}')
    assert results.recall(tmp_path, lambda name: tmp_path / name) is None
    assert results.recall(tmp_path / "none", lambda name: tmp_path / name) is None


def test_a_result_answers_the_trial_it_was_computed_for_and_none_of_the_same_number(tmp_path):
    results.save(tmp_path, held(), Result(0.5), {})
    (found,) = results.load(tmp_path)
    assert found.answers(held(version=3))
    assert not found.answers(replace(held(), vals={"x": [2]}))
