"""Kernels of many structures in chunks of rows, in this process or over an executor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hamlearn.errors import ConfigError
from hamlearn.kernels import BlockKernel, Centres
from hamlearn.kernels.block_tiles import Kernels, Wanted
from hamlearn.models.block_groups import Group
from hamlearn.parallel import WorkerDied, run_tasks
from hamlearn.structures.samples import Family

FloatArray = NDArray[np.float64]
SMALLEST_TASKS = 16  # structures; fewer are not worth sending
ENTRIES_OF_A_TASK = 4e6  # numbers of a kernel matrix that travel back together


def wanted_of(groups: Iterable[Group]) -> dict[Family, list[tuple[int, int]]]:
    """Return the (L, sigma) that groups of blocks need of every family."""
    out: dict[Family, list[tuple[int, int]]] = {}
    for group in groups:
        out.setdefault(group.family, []).append((group.L, group.sigma))
    return out


def as_matrix(k: FloatArray) -> FloatArray:
    """Return a kernel [A, 2L+1, B, 2L+1] as a matrix, rows and columns counted by sample, then component."""
    return k.reshape(k.shape[0] * k.shape[1], k.shape[2] * k.shape[3])


def kernel_rows(
    kernel: BlockKernel, rows: Centres, basis: Centres, wanted: Wanted, executor: str = "serial"
) -> Iterator[tuple[int, int, Kernels]]:
    """Yield structures start ... stop - 1 and their kernels with a basis, in any order.

    Args:
        kernel: fitted.
        rows: samples of the rows.
        basis: samples of the columns.
        wanted: (L, sigma) needed of every family.
        executor: see :func:`hamlearn.parallel.open_executor`.
    """
    ranges = _ranges(rows, basis, wanted)
    parts = [(kernel, rows.part(*r)[0], basis, wanted) for r in ranges]
    for index, k in results(executor, _between, parts):
        yield *ranges[index], k


def symmetric_kernels(kernel: BlockKernel, centres: Centres, wanted: Wanted, executor: str = "serial") -> Kernels:
    """Return the kernels of samples with themselves [A, 2L+1, A, 2L+1]; each pair of structures is computed once."""
    ranges = _ranges(centres, centres, wanted)
    if executor == "serial" or len(ranges) < 2:
        return kernel.between(centres, centres, wanted)
    n = centres.n_structures
    parts = [(kernel, centres.part(a, b)[0], centres.part(a, n)[0], wanted) for a, b in ranges]
    out: Kernels = {}
    for family, irreps in wanted.items():
        for irrep in irreps:
            size, m = centres.count(family), 2 * irrep[0] + 1
            out[family, irrep] = np.zeros((size, m, size, m))
    for index, kernels in results(executor, _between, parts):
        at, to = centres.part(*ranges[index])[1], centres.part(ranges[index][0], n)[1]
        for (family, irrep), k in kernels.items():
            out[family, irrep][at[family], :, to[family]] = k
            out[family, irrep][to[family], :, at[family]] = k.transpose(2, 3, 0, 1)
    return out


def self_kernels(kernel: BlockKernel, centres: Centres, structures: Sequence[int], wanted: Wanted) -> list[Kernels]:
    """Return the kernels of every structure with itself."""
    parts = [centres.part(s, s + 1)[0] for s in structures]
    return [kernel.between(part, part, wanted) for part in parts]


def _ranges(rows: Centres, basis: Centres, wanted: Wanted) -> list[tuple[int, int]]:
    """Return ranges of structures whose kernels travel together."""
    entries = sum(
        rows.count(family) * basis.count(family) * (2 * L + 1) ** 2
        for family, irreps in wanted.items()
        for L, _ in irreps
    )
    n = rows.n_structures
    step = max(1, min(n, max(SMALLEST_TASKS, int(n * ENTRIES_OF_A_TASK / max(entries, 1)))))
    return [(start, min(start + step, n)) for start in range(0, n, step)]


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


def _between(kernel: BlockKernel, a: Centres, b: Centres, wanted: Wanted) -> Kernels:
    return kernel.between(a, b, wanted)
