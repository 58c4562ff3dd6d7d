"""The active set of a sparse kernel model: atoms of every element and pairs of two, farthest ones or of structures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_numbers

from hamlearn.angular.elements import symbol
from hamlearn.artifacts import load_arrays
from hamlearn.blocks.keys import families
from hamlearn.config.regression import ActiveBy
from hamlearn.errors import ConfigError
from hamlearn.kernels import BlockKernel, Centres
from hamlearn.learning.rows import results
from hamlearn.learning.tiles import CHOICE, fingerprint, save_kernels
from hamlearn.progress import Progress
from hamlearn.regression.farthest import farthest_points
from hamlearn.structures.samples import Family
from hamlearn.types import Echo, IntArray

if TYPE_CHECKING:
    from ase import Atoms

CANDIDATES = 2.0
"""How many samples, drawn at random, the farthest ones are chosen from, in units of the number chosen: columns of a
kernel of pairs cost as much as the rest of a fit if all samples were candidates."""
ORDERS = {"max_nu_centre": 2, "max_nu_pair": 1}
"""Largest orders of the kernel that measures distances: what is far apart there is far apart in higher orders, and the
grid has a fifth of the nodes."""
PLAIN = {"form": "sum", "mixture_i": None, "mixture_j": None, "message_passing": False}


def choose_active(
    kernel: BlockKernel,
    centres: Centres,
    most: int | Mapping[str, int],
    by: ActiveBy = "farthest",
    executor: str = "serial",
    echo: Echo = None,
    folder: Path | None = None,
) -> tuple[Centres, dict[Family, IntArray]]:
    """Return the samples that make the basis of a sparse model, and which of every family they are.

    - ``farthest``: from each other in the metric of the invariant kernel of low orders, of some drawn at random;
    - ``structures``: all of a structure, of one structure after another in an order drawn at random. Their pairs share
      environments, whose kernels cost a third less; samples of few structures say less where structures differ much.

    Args:
        kernel: fitted.
        centres: all samples of the training set.
        most: number of samples of every family, or by name such as {C: 500, C-H: 2000}; where there are fewer, and of
            those without a name, all.
        by: farthest or structures.
        executor: where kernels are computed, one task for every family.
        echo: receives lines about the progress; None for silence.
        folder: where choices are kept, so that the same one is not made again; None: nowhere.

    Returns:
        The samples, and their ascending rows among those of each family, the same for plus and minus. Both are
        invariant under rotation and inversion; another order of structures is another random draw.

    Raises:
        ConfigError: if a task kills its worker twice, or the folder cannot be written.

    Source: farthest points as in Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eq. 9.
    """
    present = [Family("on_site", z, z) for z in centres.sites]
    present += [Family("plus" if a == b else "cross", a, b) for a, b in centres.bonds]
    numbers = active_counts({f: n for f in present if (n := centres.count(f))}, most)
    if by == "structures":
        chosen = _of_structures(centres, numbers)
    else:
        chosen = _farthest_samples(kernel, centres, numbers, executor, echo, folder)
    minus = {Family("minus", f.species_i, f.species_j): rows for f, rows in chosen.items() if f.kind == "plus"}
    return centres.select(chosen), chosen | minus


def active_counts(counts: Mapping[Family, int], most: int | Mapping[str, int]) -> dict[Family, int]:
    """Return how many samples of every family :func:`choose_active` chooses, given how many there are."""
    asked = most if isinstance(most, int) else {_ordered(name): k for name, k in most.items()}
    return {f: min(asked if isinstance(asked, int) else asked.get(family_name(f), n), n) for f, n in counts.items()}


def _of_structures(centres: Centres, numbers: Mapping[Family, int]) -> dict[Family, IntArray]:
    """Return the first samples of every family, structures in one random order for all families."""
    rank = np.random.default_rng(0).permutation(centres.n_structures)
    order_of = {family: np.argsort(rank[centres.owners(family)], kind="stable") for family in numbers}
    return {family: np.sort(order_of[family][:k]) for family, k in numbers.items()}


def _farthest_samples(
    kernel: BlockKernel,
    centres: Centres,
    numbers: Mapping[Family, int],
    executor: str,
    echo: Echo,
    folder: Path | None,
) -> dict[Family, IntArray]:
    """Return the farthest samples of every family among some that were drawn at random."""
    orders = {name: min(most_nu, getattr(kernel.settings, name)) for name, most_nu in ORDERS.items()}
    quick = replace(kernel, settings=kernel.settings.model_copy(update=orders | PLAIN))
    chosen, tasks = {}, {}
    for family, k in numbers.items():
        n = centres.count(family)
        chosen[family] = np.arange(n)
        if k < n:
            chosen[family] = np.sort(np.random.default_rng(0).permutation(n)[: max(k, int(CANDIDATES * k))])
            tasks[family] = (quick, centres.select({family: chosen[family]}), family, k)
    for family, rows in _farthest_of(tasks, folder, executor, echo):
        chosen[family] = np.sort(chosen[family][rows])
    return chosen


def _farthest_of(
    tasks: Mapping[Family, tuple[BlockKernel, Centres, Family, int]],
    folder: Path | None,
    executor: str,
    echo: Echo,
) -> Iterator[tuple[Family, IntArray]]:
    """Yield which candidates of each family are farthest from each other."""
    files, missing = {}, list(tasks)
    if folder is not None:
        names = {f: fingerprint(kernel, [own], *rest) for f, (kernel, own, *rest) in tasks.items()}
        files = {family: folder / f"{CHOICE}{name}.npz" for family, name in names.items()}
        missing = [f for f in tasks if not files[f].exists()]
    for family in tasks.keys() - missing:
        yield family, load_arrays(files[family], f"delete {files[family]} and run again", ["rows"])["rows"]
    with Progress("active set, families", len(missing), echo) as progress:
        for index, rows in results(executor, _farthest, [tasks[f] for f in missing]):
            if folder is not None:
                save_kernels(files[missing[index]], {"rows": rows})
            yield missing[index], rows
            progress.advance()


def _farthest(kernel: BlockKernel, candidates: Centres, family: Family, k: int) -> IntArray:
    """Return the rows of the k farthest samples."""
    matrix = kernel.between(candidates, candidates, {family: [(0, 1)]})[family, (0, 1)][:, 0, :, 0]
    return farthest_points(lambda column: matrix[:, column], k, matrix.diagonal(), first=0)[0]  # no copies of it


def family_name(family: Family) -> str:
    """Return C for atoms, C-H for pairs."""
    first, second = symbol(family.species_i), symbol(family.species_j)
    return first if family.kind == "on_site" else f"{first}-{second}"


def family_counts(structures: Sequence[Atoms]) -> dict[Family, int]:
    """Return the number of samples of every family that occurs."""
    numbers = [np.asarray(atoms.numbers, dtype=np.int64) for atoms in structures]
    species = sorted({int(z) for zs in numbers for z in zs})
    return {family: n for family in families(species) if (n := len(family.samples(numbers)))}


def sample_counts(structures: Sequence[Atoms]) -> dict[str, int]:
    """Return the number of atoms of every element and of pairs of every two, by name, of those that occur."""
    return {family_name(family): n for family, n in family_counts(structures).items()}


def clipped_active(most: int | dict[str, int] | None, structures: Sequence[Atoms]) -> int | dict[str, int] | None:
    """Return an active set that fewer structures hold, as the points of a learning curve need."""
    counts = sample_counts(structures)
    if isinstance(most, int):
        return min(most, max(counts.values()))
    return most and {name: min(k, counts[_ordered(name)]) for name, k in most.items() if _ordered(name) in counts}


def check_active(most: int | Mapping[str, int], structures: Sequence[Atoms]) -> None:
    """Refuse an active set that a training set does not hold.

    Raises:
        ConfigError: for atoms and pairs that do not occur, or more of them than there are.
    """
    counts = sample_counts(structures)
    if isinstance(most, int):
        if most > max(counts.values()):
            name = max(counts, key=lambda each: counts[each])
            raise ConfigError(
                f"model.active is {most}, but the training set has at most {counts[name]} samples of a kind ({name}); "
                "lower it, or set model.basis: full"
            )
        return
    unknown = sorted(name for name in most if _ordered(name) not in counts)
    if unknown:
        raise ConfigError(f"model.active names {', '.join(unknown)}; the training set has {', '.join(counts)}")
    for name, k in most.items():
        if k > counts[_ordered(name)]:
            raise ConfigError(
                f"model.active asks for {k} samples of {name}, the training set has {counts[_ordered(name)]}; lower it"
            )


def _ordered(name: str) -> str:
    """Return the name of a pair with the lighter element first; other names as they are."""
    parts = name.split("-")
    return "-".join(sorted(parts, key=lambda s: atomic_numbers.get(s, 0))) if len(parts) == 2 else name
