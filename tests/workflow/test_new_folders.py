"""Folders that a command fills once."""

from __future__ import annotations

from pathlib import Path

import pytest

from hamlearn.errors import ArtifactError
from hamlearn.workflow.new_folders import new_folder, refuse_used

UNFINISHED = ("matrices.h5",)


def test_a_new_and_an_empty_folder_are_fine(tmp_path: Path) -> None:
    refuse_used(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "absent" / "deep", tmp_path / "empty"):
        with new_folder(folder):
            (folder / "written").touch()


def test_files_of_others_are_refused_and_stay(tmp_path: Path) -> None:
    """Also one that is named like ours, where nothing of ours has ever been; and a file in place of the folder."""
    (tmp_path / "matrices.h5").write_text("mine")
    for folder, words in ((tmp_path, r"not empty \(matrices.h5\); give"), (tmp_path / "matrices.h5", "is a file")):
        with pytest.raises(ArtifactError, match=words), new_folder(folder, UNFINISHED):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["matrices.h5"]
    assert (tmp_path / "matrices.h5").read_text() == "mine"


def test_a_killed_try_can_be_done_again_and_a_finished_one_cannot(tmp_path: Path) -> None:
    with new_folder(tmp_path, UNFINISHED):
        (tmp_path / ".table.csv.1.tmp").touch()
        (tmp_path / "matrices.h5").touch()
    with new_folder(tmp_path, UNFINISHED):
        (tmp_path / "table.csv").touch()
    with pytest.raises(ArtifactError, match=r"not empty \(table.csv\)"):
        refuse_used(tmp_path, UNFINISHED)
