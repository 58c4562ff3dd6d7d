"""Kernels in files: kept, found again, refused, removed."""

import shutil
import tempfile
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from noisy_waters import BARS, SMALL, SPARSE, N, fit, noisy_waters

from hamlearn.errors import ArtifactError, ConfigError
from hamlearn.job import SILENT, Job
from hamlearn.kernels import BlockKernel
from hamlearn.learning.pair_kernels import PairKernelLearner
from hamlearn.learning.tiles import KernelTiles, as_matrix, fingerprint, remove_kernels
from hamlearn.structures.families import Family

HO = Family("cross", 1, 8)


@pytest.fixture(scope="module")
def known(waters, water_lowdin):
    return noisy_waters(waters, water_lowdin)


@pytest.fixture(scope="module")
def kernel(known):
    return BlockKernel(SMALL).fit(known.structures)


@pytest.fixture
def small_tasks(monkeypatch):
    """Three tiles of the waters in place of one."""
    monkeypatch.setattr("hamlearn.learning.tiles.SMALLEST_TASKS", 6)
    monkeypatch.setattr("hamlearn.learning.tiles.ENTRIES_OF_A_TASK", 1e3)


MADE = KernelTiles._made


def none_made(self, ranges, executor):
    """Stands for the computation of kernels, of which those that are kept are all there."""
    if self.folder is not None and ranges:
        pytest.fail("kernels were computed")
    return MADE(self, ranges, executor)


@pytest.mark.usefixtures("small_tasks")
@pytest.mark.parametrize("settings", [BARS, SPARSE], ids=["full", "sparse"])
def test_tiles_that_are_there_are_not_computed_again(known, waters, settings, tmp_path, monkeypatch):
    """A fit goes on after a kill; a learner of other values of the same blocks computes no kernels."""

    kept = Job(scratch=tmp_path)

    def predicted(data=known.data, job=kept):
        return fit(known, settings, job, held_out=True, data=data).predict(waters[N:], SILENT).values()

    before = predicted()
    tiles = sorted(tmp_path.rglob("*/*.npz"))
    assert len(tiles) == 3
    for tile in tiles[:2]:
        tile.unlink()
    left = {tile: tile.stat().st_mtime_ns for tile in tiles[2:]}
    again = predicted()
    assert all(tile.exists() for tile in tiles)
    assert {tile: tile.stat().st_mtime_ns for tile in tiles[2:]} == left
    for one in (again, predicted(job=SILENT)):
        for group, values in before.items():
            np.testing.assert_allclose(one[group], values, atol=1e-8)
    monkeypatch.setattr(KernelTiles, "_made", none_made)
    twice = replace(known.data, values={group: 2 * values for group, values in known.data.values.items()})
    for group, values in predicted(twice).items():
        np.testing.assert_allclose(values, 2 * before[group], atol=1e-7)


@pytest.mark.usefixtures("small_tasks")
@pytest.mark.parametrize("is_symmetric", [True, False])
def test_tiles_put_together_are_the_kernel(known, kernel, tmp_path, is_symmetric):
    """All of it, some of its rows, and tile by tile."""
    rows = kernel.centres(known.structures)
    basis = rows if is_symmetric else kernel.centres(known.structures[::3])
    tiles = KernelTiles(kernel, rows, basis, {HO: [(1, 1)]}, tmp_path, is_symmetric)
    assert len(list(tiles.compute())) == 3
    expected = as_matrix(kernel.between(rows, basis, {HO: [(1, 1)]})[HO, (1, 1)])
    np.testing.assert_allclose(tiles.matrix(HO, (1, 1)), expected, atol=1e-12)
    if is_symmetric:
        return
    some = np.array([1, 2, 20, 31])
    own = (3 * some[:, None] + np.arange(3)).ravel()
    np.testing.assert_allclose(tiles.matrix(HO, (1, 1), some), expected[own], atol=1e-12)
    for where, k in tiles.parts(HO, (1, 1)):
        np.testing.assert_allclose(k, expected[where], atol=1e-12)
    starts = [(start, stop) for start, stop, _ in tiles.tiles()]
    assert starts == [(0, 6), (6, 12), (12, N)]


@pytest.mark.parametrize("settings", [BARS, SPARSE], ids=["full", "sparse"])
def test_kernels_need_a_folder_and_room(known, settings, tmp_path, monkeypatch):
    taken = tmp_path / "file"
    taken.touch()
    with pytest.raises(ConfigError, match=r"cannot be kept in .*make room, or name another place"):
        fit(known, settings, Job(scratch=taken))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(ConfigError, match=r"the kernels need \S+ GB in .*, which has 1e-06 GB"):
        fit(known, settings, Job(scratch=tmp_path / "new"))


def test_a_damaged_tile_is_named(known, tmp_path):
    fit(known, job=Job(scratch=tmp_path))
    (tile, *_) = tmp_path.rglob("*.npz")
    tile.write_bytes(tile.read_bytes()[:200])
    with pytest.raises(ArtifactError, match=f"damaged.*delete {tile} and run again"):
        fit(known, job=Job(scratch=tmp_path))


def test_predictions_keep_their_kernels_where_they_are_told_to(known, waters, tmp_path, monkeypatch):
    """And find them again."""
    learner = fit(known)
    expected = learner.predict(waters[N : N + 3], SILENT).values()
    for _ in range(2):
        found = learner.predict(waters[N : N + 3], Job(scratch=tmp_path)).values()
        for group, values in expected.items():
            np.testing.assert_allclose(found[group], values, atol=1e-10)
        monkeypatch.setattr(KernelTiles, "_made", none_made)


def test_other_settings_structures_and_kernels_have_other_tiles(known):
    names = set()
    moved = [atoms.copy() for atoms in known.structures]
    moved[3].positions[1, 2] += 1e-9

    class Other(BlockKernel):
        pass

    for kind, settings, structures in [
        (BlockKernel, SMALL, known.structures),
        (BlockKernel, SMALL, moved),
        (BlockKernel, SMALL.model_copy(update={"rate": 1.01}), known.structures),
        (Other, SMALL, known.structures),
    ]:
        kernel = kind(settings).fit(known.structures)
        names.add(fingerprint(kernel, [kernel.centres(structures)], "same"))
    assert len(names) == 4


def test_a_learner_may_have_kernels_of_another_class(known):
    class Other(BlockKernel):
        pass

    class Learner(PairKernelLearner):
        def new_kernel(self, settings):
            return Other(settings)

    learner = Learner(BARS).fit(known.structures, known.data, SILENT)
    assert type(learner.kernel_) is Other


def test_only_kernels_are_removed_from_a_folder(known, tmp_path):
    (tmp_path / "thesis.tex").touch()
    fit(known, SPARSE, Job(scratch=tmp_path))
    assert len(list(tmp_path.iterdir())) > 2
    remove_kernels(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    remove_kernels(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    remove_kernels(tmp_path / "empty")
    assert not (tmp_path / "empty").exists()


def test_temporary_kernels_leave_nothing(known, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fit(known)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):

        def killed(*arguments):
            assert list(tmp_path.rglob("*.npz"))
            raise KeyboardInterrupt

        patched.setattr("hamlearn.learning.group_fits.fits_of_groups", killed)
        fit(known)
    assert not list(tmp_path.iterdir())
