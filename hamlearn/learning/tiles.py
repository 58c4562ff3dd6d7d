"""Kernels of a fit in tiles, files of a folder: a fit that was killed goes on, and groups are read one by one."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from hamlearn.artifacts import load_arrays, save_arrays
from hamlearn.config import installed_versions
from hamlearn.errors import ConfigError
from hamlearn.kernels import BlockKernel, Centres
from hamlearn.kernels.block_tiles import Kernels, Wanted
from hamlearn.learning.kernel_rows import as_matrix, entries_of, kernel_rows, row_ranges
from hamlearn.structures.families import Family
from hamlearn.types import FloatArray, IntArray, Irrep

Tile = tuple[int, int]
KERNELS_VERSION = 1
"""Raised whenever the same settings and samples give other kernels."""
TILES, CHOICE = "kernels-", "active-"
ADVICE = "make room, or name another place (Job(scratch=FOLDER); of temporary files: export TMPDIR=FOLDER)"


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

    def compute(self, executor: str = "serial") -> Iterator[Tile]:
        """Yield ranges of structures whose kernels are in the folder, those that are there already first; then all are.

        Raises:
            ConfigError: if the folder cannot be written or has no room, or a task kills its worker twice.
        """
        missing = [tile for tile in self._ranges if not self._path(tile).exists()]
        yield from (tile for tile in self._ranges if tile not in set(missing))
        self._check_room(sum(stop - start for start, stop in missing))
        tiles = kernel_rows(self.kernel, self.rows, self.basis, self.wanted, executor, missing, self.is_symmetric)
        for start, stop, kernels in tiles:
            arrays = {_member(family, irrep): k for (family, irrep), k in kernels.items()}
            save_kernels(self._path((start, stop)), arrays)
            yield start, stop

    def tiles(self, executor: str = "serial") -> Iterator[tuple[int, int, Kernels]]:
        """Yield structures start ... stop - 1 and their kernels; see :meth:`compute`."""
        names = [(family, irrep) for family, irreps in self.wanted.items() for irrep in irreps]
        for tile in self.compute(executor):
            yield *tile, {name: self._load(tile, *name) for name in names}

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
    def _home(self) -> Path:
        """Folder of these tiles: of the same kernels, rows, basis and (L, sigma), whatever they are used for."""
        rest = [(family, list(irreps)) for family, irreps in self.wanted.items()], self.is_symmetric
        return self.folder / f"{TILES}{fingerprint(self.kernel, [self.rows, self.basis], *rest)}"

    def _path(self, tile: Tile) -> Path:
        return self._home / f"{tile[0]}-{tile[1]}.npz"

    def _check_room(self, n_structures: int) -> None:
        """Refuse, before hours of work, what the disk will not hold."""
        entries = entries_of(self.rows, self.basis, self.wanted) / (2 if self.is_symmetric else 1)
        needed = 8e-9 * entries * n_structures / max(self.rows.n_structures, 1)
        existing = next(folder for folder in (self._home, *self._home.parents) if folder.exists())
        free = 1e-9 * shutil.disk_usage(existing).free
        if needed > free:
            raise ConfigError(f"the kernels need {needed:.2g} GB in {self.folder}, which has {free:.2g} GB; {ADVICE}")

    def _load(self, tile: Tile, family: Family, irrep: Irrep) -> FloatArray:
        name = _member(family, irrep)
        path = self._path(tile)
        return load_arrays(path, f"delete {path} and run again", [name])[name]


def fingerprint(kernel: BlockKernel, samples: Sequence[Centres], *rest: object) -> str:
    """Return a name of kernels of some samples, and of whatever else decides a result.

    Samples hold all that a fitted kernel knows of them; what it makes of them is told by its class and versions.
    """
    versions = KERNELS_VERSION, installed_versions()["hamlearn"], type(kernel).__qualname__
    digest = hashlib.sha256(repr((versions, kernel.settings, rest)).encode())
    for centres in samples:
        for name, value in sorted(centres.tensors().items()):
            digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()[:32]


def save_kernels(path: Path, arrays: Mapping[str, FloatArray | IntArray]) -> None:
    """Write kernels, or what was chosen by them.

    Raises:
        ConfigError: if that is not possible.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_arrays(path, arrays)
    except OSError as error:
        raise ConfigError(f"kernels cannot be kept in {path.parent} ({error.strerror or error}); {ADVICE}") from None


def remove_kernels(folder: Path) -> None:
    """Remove what was kept in a folder, and the folder if nothing else is in it."""
    for tiles in folder.glob(f"{TILES}*"):
        shutil.rmtree(tiles, ignore_errors=True)
    for choice in folder.glob(f"{CHOICE}*"):
        choice.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


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
