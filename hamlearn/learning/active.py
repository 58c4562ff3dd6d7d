"""Active sets of sparse kernel models: how many atoms of each element and pairs of two, and which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_numbers

from hamlearn.artifacts import load_arrays
from hamlearn.config.learners import ActiveBy
from hamlearn.errors import ConfigError
from hamlearn.job import SILENT, Job
from hamlearn.kernels import BlockKernel, Centres, EnvironmentKernel, Environments
from hamlearn.learning.domain import family_counts
from hamlearn.learning.groups import family_name
from hamlearn.learning.tiles import CHOICE, fingerprint, results, save_kernels
from hamlearn.regression.farthest import farthest_points
from hamlearn.structures.families import Family
from hamlearn.types import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

CANDIDATES = 2.0
"""How many samples, drawn at random, the farthest ones are chosen from, in units of the number chosen: columns of a
kernel of pairs cost as much as the rest of a fit if all samples were candidates."""
SMALLEST_DISTANCE = 1e-10
"""Squared distance, relative to the largest norm, below which environments count as equal."""
Active = int | Mapping[str, int] | None
"""How many samples of every family are active: one number, numbers by name such as {C: 500, C-H: 2000}, or all."""
ORDERS = {"max_nu_centre": 2, "max_nu_pair": 1}
"""Largest orders of the kernel that measures distances: what is far apart there is far apart in higher orders, and the
grid has a fifth of the nodes."""
PLAIN = {"form": "sum", "mixture_i": None, "mixture_j": None, "message_passing": False}


def choose_active(
    kernel: BlockKernel,
    centres: Centres,
    most: Active,
    by: ActiveBy = "farthest",
    job: Job = SILENT,
) -> tuple[Centres, dict[Family, IntArray]]:
    """Return the samples that make the basis of a sparse model, and which of every family they are.

    - ``farthest``: from each other in the metric of the invariant kernel of low orders, of some drawn at random;
    - ``structures``: all of a structure, of one structure after another in an order drawn at random. Their pairs share
      environments, whose kernels cost a third less; samples of few structures say less where structures differ much.

    Args:
        kernel: fitted.
        centres: all samples of the training set.
        most: number of samples of every family; where there are fewer, and of those without a name, all.
        by: farthest or structures.
        job: where kernels are computed, one task for every family, and the folder that keeps choices, so that the same
            one is not made again.

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
        chosen = _farthest_samples(kernel, centres, numbers, job)
    minus = {Family("minus", f.species_i, f.species_j): rows for f, rows in chosen.items() if f.kind == "plus"}
    return centres.select(chosen), chosen | minus


def _of_structures(centres: Centres, numbers: Mapping[Family, int]) -> dict[Family, IntArray]:
    """Return the first samples of every family, structures in one random order for all families."""
    rank = np.random.default_rng(0).permutation(centres.n_structures)
    order_of = {family: np.argsort(rank[centres.owners(family)], kind="stable") for family in numbers}
    return {family: np.sort(order_of[family][:k]) for family, k in numbers.items()}


def _farthest_samples(
    kernel: BlockKernel,
    centres: Centres,
    numbers: Mapping[Family, int],
    job: Job,
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
    for family, rows in _farthest_of(tasks, job):
        chosen[family] = np.sort(chosen[family][rows])
    return chosen


def _farthest_of(
    tasks: Mapping[Family, tuple[BlockKernel, Centres, Family, int]], job: Job
) -> Iterator[tuple[Family, IntArray]]:
    """Yield which candidates of each family are farthest from each other; what was chosen before lies in the folder."""
    files = {}
    if job.scratch is not None:
        names = {f: fingerprint(kernel, [own], *rest) for f, (kernel, own, *rest) in tasks.items()}
        files = {family: job.scratch / f"{CHOICE}{name}.npz" for family, name in names.items()}
    missing = [f for f in tasks if f not in files or not files[f].exists()]
    for family in tasks.keys() - missing:
        yield family, load_arrays(files[family], f"delete {files[family]} and run again", ["rows"])["rows"]
    with job.called("").progress("active set, families", [tasks[f][1].count(f) ** 2 for f in missing]) as progress:
        for index, rows in results(job.executor, _farthest, [tasks[f] for f in missing]):
            if files:
                save_kernels(files[missing[index]], {"rows": rows})
            yield missing[index], rows
            progress.advance(items=[index])


def _farthest(kernel: BlockKernel, candidates: Centres, family: Family, k: int) -> IntArray:
    """Return the rows of the k farthest samples."""
    matrix = kernel.between(candidates, candidates, {family: [(0, 1)]})[family, (0, 1)][:, 0, :, 0]
    return farthest_points(lambda column: matrix[:, column], matrix.diagonal(), k)  # no copies of it


def choose_environments(
    kernel: EnvironmentKernel, env: Environments, most: Active, mixture: FloatArray
) -> dict[int, IntArray]:
    """Return which environments of each element are active, ascending: all, or the farthest in the metric of a mixture.

    Source: farthest points as in Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eq. 9.
    """
    out = {}
    for family, n in active_counts({Family("on_site", z, z): env.count(z) for z in env.species}, most).items():
        z = family.species_i
        out[z] = np.arange(env.count(z))
        if n < len(out[z]):
            own = env.select({z: out[z]})

            def column(row: int, z: int = z, own: Environments = own) -> FloatArray:
                return mixture @ kernel.environment_matrix(own, own.select({z: np.array([row])}))[z][:, :, 0]

            diagonal = mixture @ kernel.environment_diagonal(own)[z]
            out[z] = np.sort(farthest_points(column, diagonal, n, tolerance=SMALLEST_DISTANCE))
    return out


def sample_counts(structures: Sequence[Atoms], pairs: bool = True) -> dict[str, int]:
    """Return the number of atoms of every element and of pairs of every two, by name, of those that occur."""
    return {family_name(family): n for family, n in family_counts(structures, pairs).items()}


def active_counts(counts: Mapping[Family, int], most: Active) -> dict[Family, int]:
    """Return how many samples of every family are active, given how many there are: all where nothing is said."""
    asked = {_ordered(name): k for name, k in most.items()} if isinstance(most, Mapping) else most
    return {
        f: min(asked.get(family_name(f), n) if isinstance(asked, dict) else asked or n, n) for f, n in counts.items()
    }


def clipped_active(most: Active, structures: Sequence[Atoms], pairs: bool = True) -> int | dict[str, int] | None:
    """Return an active set that fewer structures hold, as the points of a learning curve need."""
    counts = sample_counts(structures, pairs)
    if isinstance(most, Mapping):
        return {name: min(k, counts[_ordered(name)]) for name, k in most.items() if _ordered(name) in counts}
    return most and min(most, max(counts.values()))


def check_active(most: Active, structures: Sequence[Atoms], pairs: bool = True) -> None:
    """Refuse an active set, of atoms and perhaps pairs, that a training set does not hold.

    Raises:
        ConfigError: for atoms and pairs that do not occur, or more of them than there are.
    """
    counts = sample_counts(structures, pairs)
    if isinstance(most, Mapping):
        unknown = sorted(name for name in most if _ordered(name) not in counts)
        if unknown:
            raise ConfigError(f"model.active names {', '.join(unknown)}; the training set has {', '.join(counts)}")
        for name, k in most.items():
            if k > (n := counts[_ordered(name)]):
                raise ConfigError(f"model.active asks for {k} samples of {name}, the training set has {n}; lower it")
    elif most is not None and most > max(counts.values()):
        name = max(counts, key=lambda each: counts[each])
        raise ConfigError(
            f"model.active is {most}, but the training set has at most {counts[name]} samples of a kind ({name}); "
            "lower it, or remove it"
        )


def _ordered(name: str) -> str:
    """Return the name of a pair with the lighter element first; other names as they are."""
    parts = name.split("-")
    return "-".join(sorted(parts, key=lambda s: atomic_numbers.get(s, 0))) if len(parts) == 2 else name
