"""Which molecules to compute next: the least certain ones, the ones farthest from what is known, or both."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from hamlearn.display import Shown, listed
from hamlearn.equality import ByValue
from hamlearn.errors import ConfigError, DomainError, HamlearnWarning
from hamlearn.job import SILENT, Job
from hamlearn.kernels import BlockKernel
from hamlearn.model.coverage import Coverage
from hamlearn.model.hamiltonian import HamiltonianModel
from hamlearn.structures import Structures, as_structures, check_structures
from hamlearn.ties import first_of_best
from hamlearn.types import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

By = Literal["uncertainty", "farthest", "both"]
Of = Literal["gap", "levels"]
PREDICTED_AT_ONCE = 256
"""Candidates whose matrices are held together."""


@dataclass(frozen=True, eq=False, repr=False)
class Selection(ByValue, Shown):
    """Chosen candidates, in the order of their choice.

    Attributes:
        indices: which candidates, fewer than asked for if all others are copies of known or chosen ones [k].
        stds_ev: standard deviation of the gap, or root mean square of those of the levels [k]; nan for farthest.
        distances: from everything known or chosen before, of a kernel without unit [k].
        outside: candidates the model cannot answer for, with the reason, by index; none of them is chosen.
    """

    indices: IntArray
    stds_ev: FloatArray
    distances: FloatArray
    outside: Mapping[int, str]


def select_structures(
    model: HamiltonianModel,
    candidates: Structures,
    n: int,
    by: By = "uncertainty",
    of: Of = "gap",
    known: Structures = (),
    job: Job = SILENT,
) -> IntArray:
    """Return which candidates to compute next, one after the other those of largest s D / D_0, D, or s D.

    s is the error bar of a candidate and D its distance from everything known or chosen so far: the root mean square,
    over its atoms, of the kernel distance to the nearest known atom of the same element. D_0 is D before anything was
    chosen. The three are called

    - ``uncertainty``, s D / D_0: an error bar shrinks about as fast as the nearest data come closer, so that of two
      candidates alike only one is chosen, without a new fit in between;
    - ``farthest``, D: farthest point sampling, begun at the training set; it needs no error bars, and covers
      geometries whether or not they matter to the levels;
    - ``both``, s D: an error bar weighted with how new the atoms are. Error bars alone crowd where one quantity is
      hard, distances alone at the rim of the set.

    Candidates outside the model's domain would teach it most of all, but cannot be ranked: a warning lists them.

    Args:
        model: fitted. The metric is that of its kernels of single atoms; of learners without, that of
            :meth:`hamlearn.Learner.metric`, for ridge regression with the model's cut-off and widths.
        candidates: geometries, Å; a path, one of them or a list.
        n: how many to choose.
        by: uncertainty, farthest or both.
        of: error bars of the gap, or root mean square of those of all levels.
        known: structures that need no computing, beside those the model remembers: all of the training set, or the
            active set, of a model with kernels; none of other learners.
        job: where kernels are computed.

    Returns:
        Indices in the order of their choice [n], fewer if all other candidates are copies of known or chosen ones.
        Turning, inverting or permuting the atoms of candidates changes nothing, ties apart.

    Raises:
        ConfigError: for a model without error bars where they are needed, a learner that remembers nothing and is not
            told what is known where distances from it decide, a model of a property, or n out of range.
        StructureError: if a candidate is no acceptable geometry.
        DomainError: if fewer than n candidates lie inside the model's domain, or one has no gap.

    Source: farthest points as in Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eq. 9; distances
    to the nearest atom as in the best match of De, Bartók, Csányi, Ceriotti, Phys. Chem. Chem. Phys. 18, 13754 (2016).
    """
    found = choose(model, candidates, n, by, of, known, job)
    if found.outside:
        reasons = listed([f"{index}: {why}" for index, why in found.outside.items()], 10, "; ")
        warnings.warn(
            f"{len(found.outside)} candidates are outside what the model was trained for, and worth computing for "
            f"that: {reasons}",
            HamlearnWarning,
            stacklevel=2,
        )
    return found.indices


def choose(
    model: HamiltonianModel,
    candidates: Structures,
    n: int,
    by: By = "uncertainty",
    of: Of = "gap",
    known: Structures = (),
    job: Job = SILENT,
) -> Selection:
    """Return a selection with error bars, distances, and the candidates outside; see :func:`select_structures`."""
    candidates, known = as_structures(candidates, "the candidates"), as_structures(known, "the known structures")
    _check(model, candidates, n, by, of, known)
    domain = model.learner_.domain_
    beyond = {index: why for index, atoms in enumerate(candidates) if (why := domain.lacks(atoms))}
    inside = np.setdiff1d(np.arange(len(candidates)), list(beyond))
    if n > len(inside):
        reasons = listed([f"structure {index}: {why}" for index, why in beyond.items()], 20, "\n  ")
        raise DomainError(
            f"{n} of the candidates are to be chosen, but {len(inside)} of {len(candidates)} lie inside what the model "
            f"was trained for; choose fewer. Worth computing first are those outside:\n  {reasons}"
        )
    chosen = [candidates[index] for index in inside]
    stds = np.full(len(inside), np.nan) if by == "farthest" else _stds_ev(model, chosen, of, job)
    coverage = _coverage(model, chosen, known, job)
    weights = np.ones_like(stds) if by == "farthest" else stds
    if by == "uncertainty":
        at_first = coverage.distances()
        weights = np.divide(stds, at_first, out=np.zeros_like(stds), where=at_first > coverage.smallest)
    picks, distances = _pick(coverage, weights, n)
    return Selection(inside[picks], stds[picks], distances, beyond)


def _pick(coverage: Coverage, weights: FloatArray, n: int) -> tuple[IntArray, FloatArray]:
    """Return the candidates of largest weight x distance, one at a time, and that distance."""
    picks: list[int] = []
    found: list[float] = []
    while len(picks) < n:
        distances = coverage.distances()
        distances[picks] = 0.0
        new = distances > coverage.smallest
        if not new.any():
            break
        picks.append(int(first_of_best(np.where(new, weights * distances, -1.0))))
        found.append(float(distances[picks[-1]]))
        coverage.add(picks[-1])
    if not picks:
        raise ConfigError("all candidates are copies of known structures; give others")
    if len(picks) < n:
        words = f"{len(picks)} of {n} candidates were chosen: all others are copies of known or chosen ones"
        warnings.warn(words, HamlearnWarning, stacklevel=4)
    return np.array(picks, dtype=np.int64), np.array(found)


def _stds_ev(model: HamiltonianModel, structures: Sequence[Atoms], of: Of, job: Job) -> FloatArray:
    """Return the error bar of every structure [structure], eV."""
    stds: list[float] = []
    for start in range(0, len(structures), PREDICTED_AT_ONCE):
        predictions = model.predict(structures[start : start + PREDICTED_AT_ONCE], job, std="levels", flags=False)
        stds += [p.gap_std_ev if of == "gap" else np.sqrt(np.mean(p.eigenvalues_std_ev**2)) for p in predictions]
    out = np.array(stds)
    if not np.isfinite(out).all():
        bad = structures[int(np.argmin(np.isfinite(out)))].get_chemical_formula()
        raise DomainError(
            f"{bad} has no virtual level, and so no gap to be uncertain of; use of='levels' (--of levels)"
        )
    return out


def _coverage(model: HamiltonianModel, candidates: Sequence[Atoms], known: Sequence[Atoms], job: Job) -> Coverage:
    """Return the distances of candidates from what is known."""
    learner = model.learner_
    if remembered := learner.remembered():
        out = Coverage(remembered[0], candidates, job)
        out.add_known(remembered[1])
        known = [atoms for atoms in known if not learner.domain_.lacks(atoms)]  # others are far from all candidates
    else:
        out = Coverage(BlockKernel(learner.metric()).fit([*known, *candidates]), candidates, job)
    if known:
        out.add_known(out.kernel.centres(known))
    return out


def _check(
    model: HamiltonianModel, candidates: Sequence[Atoms], n: int, by: str, of: str, known: Sequence[Atoms]
) -> None:
    if not isinstance(model, HamiltonianModel):
        raise ConfigError(f"select got a {type(model).__name__}; expected a model of Hamiltonians")
    for name, value, valid in (("by", by, get_args(By)), ("of", of, get_args(Of))):
        if value not in valid:
            raise ConfigError(f"{name} is '{value}'; expected {', '.join(valid)}")
    remembered = model.learner_.remembered()
    if not 1 <= n <= len(candidates):
        raise ConfigError(f"n is {n}, and there are {len(candidates)} candidates; choose from 1 to {len(candidates)}")
    if by != "farthest" and not model.has_error_bars:
        raise ConfigError(
            f"by {by} needs error bars, and the model was fitted without; set model.error_bars: true and fit it again, "
            "or select by farthest"
        )
    if by != "uncertainty" and remembered is None and not known:
        raise ConfigError(
            f"by {by} measures distances from the training set, which model.kind {model.model.kind} does not remember; "
            "give it as known structures (--known FILE), or select by uncertainty"
        )
    check_structures(candidates, source="the candidates", qm=model.qm)
    model.check_state(candidates)
    if known:
        check_structures(known, source="the known structures", qm=model.qm)
