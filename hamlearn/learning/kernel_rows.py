"""Kernels of many structures in chunks of rows, in this process or over an executor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from hamlearn.errors import ConfigError
from hamlearn.kernels import BlockKernel, Centres
from hamlearn.kernels.block_tiles import Kernels, Wanted
from hamlearn.learning.groups import Group
from hamlearn.parallel import WorkerDied, run_tasks
from hamlearn.structures.families import Family
from hamlearn.types import FloatArray, Irrep

SMALLEST_TASKS = 16  # structures; fewer are not worth sending
ENTRIES_OF_A_TASK = 4e6  # numbers of a kernel matrix that travel back together
MOST_ENTRIES = 2e7  # 160 MB, beyond which even fewer structures make a task


def wanted_of(groups: Iterable[Group]) -> dict[Family, list[Irrep]]:
    """Return the (L, sigma) that groups of blocks need of every family."""
    out: dict[Family, list[Irrep]] = {}
    for group in groups:
        out.setdefault(group.family, []).append(group.irrep)
    return out


def as_matrix(k: FloatArray) -> FloatArray:
    """Return a kernel [A, 2L+1, B, 2L+1] as a matrix, rows and columns counted by sample, then component."""
    return k.reshape(k.shape[0] * k.shape[1], k.shape[2] * k.shape[3])


def kernel_rows(
    kernel: BlockKernel,
    rows: Centres,
    basis: Centres,
    wanted: Wanted,
    executor: str = "serial",
    ranges: Sequence[tuple[int, int]] | None = None,
    is_symmetric: bool = False,
) -> Iterator[tuple[int, int, Kernels]]:
    """Yield structures start ... stop - 1 and their kernels with a basis, in any order.

    Args:
        kernel: fitted.
        rows: samples of the rows.
        basis: samples of the columns.
        wanted: (L, sigma) needed of every family.
        executor: see :func:`hamlearn.parallel.open_executor`.
        ranges: the structures wanted; all by default.
        is_symmetric: the basis are the rows, and columns begin at the structure start.
    """
    ranges = row_ranges(rows, basis, wanted) if ranges is None else ranges
    if is_symmetric:
        n = rows.n_structures
        tasks = [(kernel, rows.part(a, b)[0], rows.part(b, n)[0] if b < n else None, wanted) for a, b in ranges]
        results_of = results(executor, _with_itself_and, tasks)
    else:
        results_of = results(executor, _between, [(kernel, rows.part(*r)[0], basis, wanted) for r in ranges])
    for index, k in results_of:
        yield *ranges[index], k


def self_kernels(kernel: BlockKernel, centres: Centres, structures: Sequence[int], wanted: Wanted) -> list[Kernels]:
    """Return the kernels of every structure with itself."""
    parts = [centres.part(s, s + 1)[0] for s in structures]
    return [kernel.between(part, part, wanted) for part in parts]


def row_ranges(rows: Centres, basis: Centres, wanted: Wanted) -> list[tuple[int, int]]:
    """Return ranges of structures whose kernels travel together."""
    n, entries = rows.n_structures, max(entries_of(rows, basis, wanted), 1)
    fewest = min(SMALLEST_TASKS, int(n * MOST_ENTRIES / entries))
    step = max(1, min(n, max(fewest, int(n * ENTRIES_OF_A_TASK / entries))))
    return [(start, min(start + step, n)) for start in range(0, n, step)]


def entries_of(rows: Centres, basis: Centres, wanted: Wanted) -> int:
    """Return how many numbers all kernels of some samples with a basis are."""
    return sum(
        rows.count(family) * basis.count(family) * (2 * L + 1) ** 2
        for family, irreps in wanted.items()
        for L, _ in irreps
    )


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


def _with_itself_and(kernel: BlockKernel, a: Centres, others: Centres | None, wanted: Wanted) -> Kernels:
    own = kernel.between(a, a, wanted)
    if others is None:
        return own
    rest = kernel.between(a, others, wanted)
    return {name: np.concatenate([k, rest[name]], axis=2) for name, k in own.items()}
