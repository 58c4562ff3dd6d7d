"""Kernels in files: kept, found again, refused, removed."""

import shutil
import tempfile
from types import SimpleNamespace

import numpy as np
import pytest
from noisy_waters import BARS, SMALL, SPARSE, N, fit, noisy_waters

from hamlearn.blocks import Blocks
from hamlearn.errors import ArtifactError, ConfigError
from hamlearn.kernels import BlockKernel
from hamlearn.learning.kernel_learner import KernelBlockModel
from hamlearn.learning.rows import row_ranges
from hamlearn.learning.tiles import fingerprint, remove_kernels
from hamlearn.structures.samples import Family


@pytest.fixture(scope="module")
def data(waters, water_lowdin):
    return noisy_waters(waters, water_lowdin)


@pytest.mark.parametrize("model", [BARS, SPARSE], ids=["full", "sparse"])
def test_tiles_that_are_there_are_not_computed_again(data, waters, model, tmp_path, monkeypatch):
    """A fit goes on after a kill; a model of other values of the same blocks computes no kernels."""
    monkeypatch.setattr("hamlearn.learning.rows.SMALLEST_TASKS", 6)
    monkeypatch.setattr("hamlearn.learning.rows.ENTRIES_OF_A_TASK", 1e3)

    def fitted_in(folder, values=data[1]):
        return KernelBlockModel(SMALL, model, folder).fit(data[0], values, held_out=True)

    first = fitted_in(tmp_path)
    tiles = sorted(tmp_path.rglob("*/*.npz"))
    before = first.predict(waters[N:])
    assert len(tiles) == 3
    for tile in tiles[:2]:
        tile.unlink()
    left = {tile: tile.stat().st_mtime_ns for tile in tiles[2:]}
    again = fitted_in(tmp_path)
    assert all(tile.exists() for tile in tiles)
    assert {tile: tile.stat().st_mtime_ns for tile in tiles[2:]} == left
    for one in (again.predict(waters[N:]), fit(data, model).predict(waters[N:])):
        for key, values in before.values.items():
            np.testing.assert_allclose(one.values[key], values, atol=1e-8)
    monkeypatch.setattr("hamlearn.learning.tiles.kernel_rows", lambda *a: [] if not a[5] else pytest.fail())
    twice = Blocks(data[1].samples, {key: 2 * values for key, values in data[1].values.items()})
    doubled = fitted_in(tmp_path, twice).predict(waters[N:])
    for key, values in before.values.items():
        np.testing.assert_allclose(doubled.values[key], 2 * values, atol=1e-7)


@pytest.mark.parametrize("model", [BARS, SPARSE], ids=["full", "sparse"])
def test_kernels_need_a_folder_and_room(data, model, tmp_path, monkeypatch):
    taken = tmp_path / "file"
    taken.touch()
    with pytest.raises(ConfigError, match=r"cannot be kept in .*make room, or name another place"):
        KernelBlockModel(SMALL, model, taken).fit(*data[:2])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(ConfigError, match=r"the kernels need \S+ GB in .*, which has 1e-06 GB"):
        KernelBlockModel(SMALL, model, tmp_path / "new").fit(*data[:2])


def test_a_damaged_tile_is_named(data, tmp_path):
    KernelBlockModel(SMALL, BARS, tmp_path).fit(*data[:2])
    (tile, *_) = tmp_path.rglob("*.npz")
    tile.write_bytes(tile.read_bytes()[:200])
    with pytest.raises(ArtifactError, match=f"damaged.*delete {tile} and run again"):
        KernelBlockModel(SMALL, BARS, tmp_path).fit(*data[:2])


def test_other_settings_structures_and_kernels_have_other_tiles(data):
    names = set()
    moved = [atoms.copy() for atoms in data[0]]
    moved[3].positions[1, 2] += 1e-9

    class Other(BlockKernel):
        pass

    for kind, wigner, structures in [
        (BlockKernel, SMALL, data[0]),
        (BlockKernel, SMALL, moved),
        (BlockKernel, SMALL.model_copy(update={"rate": 1.01}), data[0]),
        (Other, SMALL, data[0]),
    ]:
        kernel = kind(wigner).fit(data[0])
        names.add(fingerprint(kernel, [kernel.centres(structures)], "same"))
    assert len(names) == 4


def test_only_kernels_are_removed_from_a_folder(data, tmp_path):
    (tmp_path / "thesis.tex").touch()
    KernelBlockModel(SMALL, SPARSE, tmp_path).fit(*data[:2])
    assert len(list(tmp_path.iterdir())) > 2
    remove_kernels(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    remove_kernels(tmp_path / "absent")


def test_temporary_kernels_leave_nothing(data, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fit(data)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):

        def killed(*arguments):
            raise KeyboardInterrupt

        patched.setattr("hamlearn.learning.kernel_training.fit_groups_full", killed)
        fit(data)
    assert not list(tmp_path.iterdir())


def test_large_molecules_travel_in_smaller_tiles(data, monkeypatch):
    centres = BlockKernel(SMALL).fit(data[0]).centres(data[0])
    wanted = {Family("cross", 1, 8): [(1, 1)]}
    assert row_ranges(centres, centres, wanted) == [(0, N)]
    monkeypatch.setattr("hamlearn.learning.rows.ENTRIES_OF_A_TASK", 1)
    monkeypatch.setattr("hamlearn.learning.rows.MOST_ENTRIES", 5 * 18 * N)  # those of five of N, nine a pair
    assert row_ranges(centres, centres, wanted)[0][1] < 5
