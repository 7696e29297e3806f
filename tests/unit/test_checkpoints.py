"""Whether an attempt has saved work is told from the files in the trial's folder."""

import os

import pytest

from hpcho import checkpoints


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "trial"


def write(path, text="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_new_trials_folder_is_not_made(folder):
    checkpoints.begin(folder)
    assert not folder.exists()
    assert not checkpoints.saved(folder)


@pytest.mark.parametrize("name", ["state", "deep/er/state", "deep/result.json", "résumé.keras"])
def test_a_file_of_the_objectives_is_saved_work(folder, name):
    checkpoints.begin(folder)
    write(folder / name)
    assert checkpoints.saved(folder)


@pytest.mark.parametrize(
    "name",
    [
        "stdout.log",
        "stderr.log",
        "attachments/m",
        "late-3.json",
        "late-3/0",
        "result.json",
        "result/m",
        ".draft",
        "a/.b",
    ],
)
def test_hpchos_own_files_and_drafts_are_not(folder, name):
    checkpoints.begin(folder)
    write(folder / name)
    assert not checkpoints.saved(folder)


def test_what_an_earlier_attempt_saved_does_not_count(folder):
    checkpoints.begin(folder)
    write(folder / "a/state")
    checkpoints.begin(folder)
    assert not checkpoints.saved(folder)
    write(folder / "a/state", "more")
    assert checkpoints.saved(folder)


def test_the_same_size_at_the_same_time_is_another_file_where_it_was_replaced(folder):
    state = write(folder / "state")
    before = state.stat()
    checkpoints.begin(folder)
    write(folder / ".new").replace(state)
    os.utime(state, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert checkpoints.saved(folder)


def test_removing_files_saves_nothing(folder):
    write(folder / "tmp")
    checkpoints.begin(folder)
    (folder / "tmp").unlink()
    assert not checkpoints.saved(folder)


def test_links_and_pipes_are_passed_over(folder):
    checkpoints.begin(folder)
    folder.mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to("/nowhere")
    assert not checkpoints.saved(folder)


def test_a_mark_that_cannot_be_read_or_written_fails_nothing(folder, caplog):
    write(folder / "state")
    (folder / ".attempt.json").mkdir()
    checkpoints.begin(folder)
    assert "whether this attempt saves work will not be known" in caplog.text
    assert not checkpoints.saved(folder)
    assert "taken as if nothing had been saved" in caplog.text


def test_discard_removes_what_the_keras_callback_keeps_and_nothing_else(folder):
    kept = checkpoints.of_training(folder, 2)
    write(kept)
    write(kept.with_name(f".{kept.name}.node1.77"))
    write(folder / "mine.checkpoint")
    checkpoints.discard(folder)
    assert [path.name for path in folder.iterdir()] == ["mine.checkpoint"]
    checkpoints.discard(folder / "nowhere")


def test_work_of_another_trial_is_taken_over_once(tmp_path):
    source, folder = tmp_path / "3", tmp_path / "9"
    write(source / "model", "theirs")
    checkpoints.take_over(source, folder, list)
    assert (folder / "model").read_text() == "theirs"
    write(folder / "model", "mine")
    checkpoints.take_over(source, folder, list)
    assert (folder / "model").read_text() == "mine"


def test_work_that_was_copied_in_part_when_its_worker_died_is_copied_again(tmp_path):
    source, folder = tmp_path / "3", tmp_path / "9"
    write(source / "model", "theirs")
    write(source / "state", "theirs")
    write(folder / "model", "theirs")
    checkpoints.take_over(source, folder, list)
    assert (folder / "state").read_text() == "theirs"


def test_a_large_model_is_copied_in_pieces_and_signs_of_life_go_out_between_them(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "PIECE", 4)
    source, folder, signs = tmp_path / "3", tmp_path / "9", []
    write(source / "model", "a large model")
    checkpoints.take_over(source, folder, lambda: signs.append(1))
    assert (folder / "model").read_text() == "a large model"
    assert len(signs) == 4
