"""Kernels of a fit in tiles, files of a folder: a fit that was killed goes on, and groups are read one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from hamlearn.artifacts import load_arrays, save_arrays
from hamlearn.config import WignerSettings
from hamlearn.errors import ConfigError
from hamlearn.kernels import BlockKernel, Centres
from hamlearn.kernels.block_tiles import Kernels, Wanted
from hamlearn.kernels.nodes import Irrep
from hamlearn.models.kernel_rows import as_matrix, kernel_rows, row_ranges
from hamlearn.structures.samples import Family

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Tile = tuple[int, int]


@dataclass(frozen=True)
class KernelTiles:
    """Kernels of samples with a basis, kept in a folder of their own that is named after all they depend on.

    Args:
        kernel: fitted.
        rows: samples of the rows.
        basis: samples of the columns.
        wanted: (L, sigma) needed of every family.
        folder: where the folder of the tiles is, or will be made.
        is_symmetric: the basis are the rows: tiles begin at the columns of their own structures, the others follow.
    """

    kernel: BlockKernel
    rows: Centres
    basis: Centres
    wanted: Wanted
    folder: Path
    is_symmetric: bool = False

    def computed(self, executor: str = "serial") -> Iterator[tuple[int, int, Kernels]]:
        """Yield structures start ... stop - 1 and their kernels, those that are in the folder first; then all are.

        Raises:
            ConfigError: if the folder cannot be written, or a task kills its worker twice.
        """
        missing = []
        for tile in self._ranges:
            if self._path(tile).exists():
                yield *tile, {name: self._load(tile, *name) for name in self._names}
            else:
                missing.append(tile)
        tiles = kernel_rows(self.kernel, self.rows, self.basis, self.wanted, executor, missing, self.is_symmetric)
        for start, stop, kernels in tiles:
            self._save((start, stop), kernels)
            yield start, stop, kernels

    def parts(self, family: Family, irrep: Irrep) -> Iterator[tuple[slice, FloatArray]]:
        """Yield where the rows (sample, M) of every tile lie, ascending, and their kernels as a matrix."""
        for tile in self._ranges:
            width, where = 2 * irrep[0] + 1, self.rows.part(*tile)[1][family]
            yield slice(width * where.start, width * where.stop), as_matrix(self._load(tile, family, irrep))

    def matrix(self, family: Family, irrep: Irrep, samples: IntArray | None = None) -> FloatArray:
        """Return the kernel of all samples, or of some of not symmetric tiles, with the basis [row, column].

        Args:
            family: of samples.
            irrep: (L, sigma).
            samples: which of the family, ascending; all by default.
        """
        width = 2 * irrep[0] + 1
        n_rows, n_columns = (width * centres.count(family) for centres in (self.rows, self.basis))
        wanted = np.arange(n_rows) if samples is None else (width * samples[:, None] + np.arange(width)).ravel()
        out = np.empty((len(wanted), n_columns))
        for where, k in self.parts(family, irrep):
            to = slice(*np.searchsorted(wanted, [where.start, where.stop]))
            columns = slice(where.start if self.is_symmetric else 0, n_columns)
            out[to, columns] = k[wanted[to] - where.start]
            if self.is_symmetric:
                out[columns, to] = k.T
        return out

    @cached_property
    def _ranges(self) -> list[Tile]:
        return row_ranges(self.rows, self.basis, self.wanted)

    @cached_property
    def _names(self) -> list[tuple[Family, Irrep]]:
        return [(family, irrep) for family, irreps in self.wanted.items() for irrep in irreps]

    @cached_property
    def _home(self) -> Path:
        """Folder of these tiles: of the same kernels, rows, basis and (L, sigma), whatever they are used for."""
        return self.folder / fingerprint(self.kernel.settings, [self.rows, self.basis], self._names, self.is_symmetric)

    def _path(self, tile: Tile) -> Path:
        return self._home / f"{tile[0]}-{tile[1]}.npz"

    def _save(self, tile: Tile, kernels: Kernels) -> None:
        arrays = {_member(family, irrep): k for (family, irrep), k in kernels.items()}
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            save_arrays(self._path(tile), arrays)
        except OSError as error:
            total = 8e-9 * sum(a.size for a in arrays.values()) * self.rows.n_structures / (tile[1] - tile[0])
            raise ConfigError(
                f"kernels cannot be kept in {self.folder} ({error.strerror or error}); the fit needs about "
                f"{total:.2g} GB there: free them, or name another place (of temporary files: export TMPDIR=FOLDER)"
            ) from None

    def _load(self, tile: Tile, family: Family, irrep: Irrep) -> FloatArray:
        name = _member(family, irrep)
        return load_arrays(self._path(tile), f"delete {self._home} and run again", [name])[name]


def fingerprint(settings: WignerSettings, samples: Sequence[Centres], *rest: object) -> str:
    """Return a name of kernels, told by their settings and samples, and of whatever else decides a result."""
    digest = hashlib.sha256(repr((settings, rest)).encode())
    for centres in samples:  # they hold all that a fitted kernel knows of them
        for name, value in sorted(centres.tensors().items()):
            digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()[:32]


@contextmanager
def scratch_folder(folder: Path | None = None) -> Iterator[Path]:
    """Give this folder, or a temporary one that is removed afterwards."""
    if folder is not None:
        yield folder
        return
    with TemporaryDirectory(prefix="hamlearn-kernels-") as temporary:
        yield Path(temporary)


def _member(family: Family, irrep: Irrep) -> str:
    return f"{family.kind}.{family.species_i}.{family.species_j}.{irrep[0]}.{irrep[1]}"
