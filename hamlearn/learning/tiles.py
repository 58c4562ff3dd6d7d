"""Kernels of many structures in tiles of rows, over an executor, and in files: a fit that was killed goes on."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from hamlearn.artifacts import load_arrays, save_arrays
from hamlearn.config import installed_versions
from hamlearn.errors import ConfigError
from hamlearn.kernels import BlockKernel, Centres
from hamlearn.kernels.block_tiles import Kernels, Wanted
from hamlearn.learning.groups import Group, in_lots
from hamlearn.parallel import WorkerDied, run_tasks
from hamlearn.structures.families import Family
from hamlearn.types import FloatArray, IntArray, Irrep

Tile = tuple[int, int]
SMALLEST_TASKS = 16  # structures; fewer are not worth sending
ENTRIES_OF_A_TASK = 4e6  # numbers of a kernel matrix that travel back together
MOST_ENTRIES = 2e7  # 160 MB, beyond which even fewer structures make a task
KERNELS_VERSION = 1
"""Raised whenever the same settings and samples give other kernels."""
TILES, CHOICE = "kernels-", "active-"
ADVICE = "make room, or name another place (Job(scratch=FOLDER); of temporary files: export TMPDIR=FOLDER)"


@dataclass(frozen=True)
class KernelTiles:
    """Kernels of samples with a basis, structures start ... stop - 1 together.

    Args:
        kernel: fitted.
        rows: samples of the rows.
        basis: samples of the columns.
        wanted: (L, sigma) needed of every family.
        folder: where they are kept, in a folder of their own that is named after all they depend on; None: nowhere.
        is_symmetric: the basis are the rows: tiles begin at the columns of their own structures, the others follow.
    """

    kernel: BlockKernel
    rows: Centres
    basis: Centres
    wanted: Wanted
    folder: Path | None = None
    is_symmetric: bool = False

    def tiles(self, executor: str = "serial") -> Iterator[tuple[int, int, Kernels]]:
        """Yield start, stop and the kernels of every tile, in any order, with the errors of :meth:`compute`."""
        if self.folder is None:
            yield from self._made(self._ranges, executor)
            return
        names = [(family, irrep) for family, irreps in self.wanted.items() for irrep in irreps]
        for tile in self.compute(executor):
            yield *tile, {name: self._load(tile, *name) for name in names}

    def compute(self, executor: str = "serial") -> Iterator[Tile]:
        """Yield ranges of structures whose kernels are in the folder, those that are there already first; then all are.

        Args:
            executor: see :func:`hamlearn.parallel.open_executor`.

        Raises:
            ConfigError: if the folder cannot be written or has no room, or a task kills its worker twice.
        """
        missing = [tile for tile in self._ranges if not self._path(tile).exists()]
        yield from (tile for tile in self._ranges if tile not in set(missing))
        self._check_room(sum(stop - start for start, stop in missing))
        for start, stop, kernels in self._made(missing, executor):
            arrays = {_member(family, irrep): k for (family, irrep), k in kernels.items()}
            save_kernels(self._path((start, stop)), arrays)
            yield start, stop

    def parts(self, family: Family, irrep: Irrep) -> Iterator[tuple[slice, FloatArray]]:
        """Yield where the rows (sample, M) of every tile in the folder lie, ascending, and their kernel as a matrix."""
        for tile in self._ranges:
            width, where = 2 * irrep[0] + 1, self.rows.part(*tile)[1][family]
            yield slice(width * where.start, width * where.stop), as_matrix(self._load(tile, family, irrep))

    def matrix(self, family: Family, irrep: Irrep, samples: IntArray | None = None) -> FloatArray:
        """Return the kernel of all samples of a family with the basis [row, column], from tiles in the folder.

        Of tiles that are not symmetric also those of some samples, ascending.
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

    @property
    def costs(self) -> FloatArray:
        """Return how many kernels of two samples belong to each structure [structure]."""
        costs = np.zeros(self.rows.n_structures)
        for family in self.wanted:
            counts = np.bincount(self.rows.owners(family), minlength=len(costs))
            costs += counts * (np.cumsum(counts[::-1])[::-1] if self.is_symmetric else self.basis.count(family))
        return costs

    @property
    def n_entries(self) -> int:
        """How many numbers all kernels are, were they not symmetric."""
        return sum(
            self.rows.count(family) * self.basis.count(family) * (2 * L + 1) ** 2
            for family, irreps in self.wanted.items()
            for L, _ in irreps
        )

    @cached_property
    def _ranges(self) -> list[Tile]:
        """Ranges of structures whose kernels travel together."""
        n, entries = self.rows.n_structures, max(self.n_entries, 1)
        fewest = min(SMALLEST_TASKS, int(n * MOST_ENTRIES / entries))
        return list(in_lots(n * [1.0], max(1, fewest, int(n * ENTRIES_OF_A_TASK / entries))))

    def _made(self, ranges: Sequence[Tile], executor: str) -> Iterator[tuple[int, int, Kernels]]:
        """Yield tiles that are computed now."""
        tasks: list[tuple[Any, ...]] = []
        for start, stop in ranges:
            own, n = self.rows.part(start, stop)[0], self.rows.n_structures
            others = self.rows.part(stop, n)[0] if self.is_symmetric and stop < n else None
            tasks.append((self.kernel, own, own if self.is_symmetric else self.basis, others, self.wanted))
        for index, kernels in results(executor, _between, tasks):
            yield *ranges[index], kernels

    @cached_property
    def _home(self) -> Path:
        """Folder of these tiles: of the same kernels, rows, basis and (L, sigma), whatever they are used for."""
        assert self.folder is not None
        rest = [(family, list(irreps)) for family, irreps in self.wanted.items()], self.is_symmetric
        return self.folder / f"{TILES}{fingerprint(self.kernel, [self.rows, self.basis], *rest)}"

    def _path(self, tile: Tile) -> Path:
        return self._home / f"{tile[0]}-{tile[1]}.npz"

    def _check_room(self, n_structures: int) -> None:
        """Refuse, before hours of work, what the disk will not hold."""
        entries = self.n_entries / (2 if self.is_symmetric else 1)
        needed = 8e-9 * entries * n_structures / max(self.rows.n_structures, 1)
        existing = next(folder for folder in (self._home, *self._home.parents) if folder.exists())
        free = 1e-9 * shutil.disk_usage(existing).free
        if needed > free:
            raise ConfigError(f"the kernels need {needed:.2g} GB in {self.folder}, which has {free:.2g} GB; {ADVICE}")

    def _load(self, tile: Tile, family: Family, irrep: Irrep) -> FloatArray:
        name, path = _member(family, irrep), self._path(tile)
        return load_arrays(path, f"delete {path} and run again", [name])[name]


def wanted_of(groups: Iterable[Group]) -> dict[Family, list[Irrep]]:
    """Return the (L, sigma) that groups of blocks need of every family."""
    out: dict[Family, list[Irrep]] = {}
    for group in groups:
        out.setdefault(group.family, []).append(group.irrep)
    return out


def as_matrix(k: FloatArray) -> FloatArray:
    """Return a kernel [A, 2L+1, B, 2L+1] as a matrix, rows and columns counted by sample, then component."""
    return k.reshape(k.shape[0] * k.shape[1], k.shape[2] * k.shape[3])


def self_kernels(kernel: BlockKernel, centres: Centres, structures: Sequence[int], wanted: Wanted) -> list[Kernels]:
    """Return the kernels of every structure with itself."""
    parts = [centres.part(s, s + 1)[0] for s in structures]
    return [kernel.between(part, part, wanted) for part in parts]


def results(
    executor: str, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[int, Any]]:
    """Yield (index, result) of tasks on kernels as they end, in any order.

    Raises:
        ConfigError: if a task kills its worker twice.
    """
    for index, result in run_tasks(executor, function, arguments):
        if isinstance(result, WorkerDied):
            raise ConfigError(
                "a tile of kernels killed its worker twice (out of memory, or a crash in compiled code); use fewer "
                "workers, or a smaller model.active"
            )
        yield index, result


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
    """Write kernels, or what was chosen by them; ConfigError if that is not possible."""
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


def _between(kernel: BlockKernel, a: Centres, b: Centres, others: Centres | None, wanted: Wanted) -> Kernels:
    """Return kernels with samples, and with others behind them."""
    own = kernel.between(a, b, wanted)
    if others is None:
        return own
    rest = kernel.between(a, others, wanted)
    return {name: np.concatenate([k, rest[name]], axis=2) for name, k in own.items()}


def _member(family: Family, irrep: Irrep) -> str:
    return f"{family.kind}.{family.species_i}.{family.species_j}.{irrep[0]}.{irrep[1]}"
