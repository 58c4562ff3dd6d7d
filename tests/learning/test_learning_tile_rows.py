"""Kernels in chunks of rows."""

import numpy as np
import pytest
from noisy_waters import SMALL, N

from hamlearn.errors import ConfigError
from hamlearn.kernels import BlockKernel
from hamlearn.learning.groups import Group
from hamlearn.learning.tiles import KernelTiles, as_matrix, results, self_kernels, wanted_of
from hamlearn.parallel import WorkerDied
from hamlearn.structures.families import Family

HO, O = Family("cross", 1, 8), Family("on_site", 8, 8)
WANTED = {HO: [(1, 1), (0, 1)], O: [(2, 1)]}


@pytest.fixture(scope="module")
def kernel(waters):
    return BlockKernel(SMALL).fit(waters[:N])


@pytest.fixture(scope="module")
def centres(kernel, waters):
    return kernel.centres(waters[:N])


def test_groups_want_their_irreps():
    groups = [Group((HO,), 1, 1), Group((O,), 2, 1), Group((HO,), 0, 1)]
    assert wanted_of(groups) == WANTED


def test_entries_are_counted(centres):
    assert KernelTiles(None, centres, centres, WANTED).n_entries == (2 * N) ** 2 * (9 + 1) + N**2 * 25


def test_large_molecules_travel_in_smaller_tiles(centres, monkeypatch):
    wanted = {HO: [(1, 1)]}
    assert KernelTiles(None, centres, centres, wanted)._ranges == [(0, N)]
    monkeypatch.setattr("hamlearn.learning.tiles.ENTRIES_OF_A_TASK", 1)
    monkeypatch.setattr("hamlearn.learning.tiles.MOST_ENTRIES", 5 * 18 * N)  # those of five of N, nine a pair
    assert KernelTiles(None, centres, centres, wanted)._ranges[0][1] < 5


@pytest.mark.parametrize("is_symmetric", [False, True])
def test_chunks_are_rows_of_the_kernel(kernel, centres, is_symmetric):
    """From the first column, or from that of the chunk's first structure on."""
    whole = kernel.between(centres, centres, WANTED)
    tiles = KernelTiles(kernel, centres, centres, WANTED, is_symmetric=is_symmetric)
    (all_rows,) = tiles.tiles()
    assert all_rows[:2] == (0, N)
    found = list(tiles._made([(3, 5), (9, N)], "serial"))
    assert [(start, stop) for start, stop, _ in found] == [(3, 5), (9, N)]
    for start, stop, kernels in found:
        for name, k in kernels.items():
            per_structure = 2 if name[0] == HO else 1
            rows = slice(per_structure * start, per_structure * stop)
            columns = slice(per_structure * start if is_symmetric else 0, None)
            np.testing.assert_allclose(k, whole[name][rows, :, columns], atol=1e-12)


def test_kernels_of_structures_with_themselves(kernel, centres):
    whole = as_matrix(kernel.between(centres, centres, WANTED)[HO, (1, 1)])
    for s, own in zip((2, 11), self_kernels(kernel, centres, [2, 11], WANTED), strict=True):
        block = slice(6 * s, 6 * s + 6)
        np.testing.assert_allclose(as_matrix(own[HO, (1, 1)]), whole[block, block], atol=1e-12)


def test_workers_that_die_are_told_of(monkeypatch):
    monkeypatch.setattr("hamlearn.learning.tiles.run_tasks", lambda *a: [(0, 1.0), (1, WorkerDied())])
    found = results("local:2", print, [(), ()])
    assert next(found) == (0, 1.0)
    with pytest.raises(ConfigError, match=r"killed its worker twice .* smaller model.active"):
        next(found)
