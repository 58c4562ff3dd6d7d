"""How steep blocks are along the variables of bonds, found by a Gaussian process on some of the training structures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from hamlearn.config import BondDensity, BondFrameKernel, KernelRidgeSettings
from hamlearn.features.bond_frame import BondVariables, SlopesOf, Sums
from hamlearn.features.bond_rows import Bonds
from hamlearn.job import SILENT, Job
from hamlearn.kernels.bond_kernel import BondKernel, BondSet
from hamlearn.learning.bond_answers import BondAnswers
from hamlearn.learning.bond_problems import problems_of
from hamlearn.learning.bond_process_fits import Training, fit_full_lot
from hamlearn.learning.bond_process_kernels import folded
from hamlearn.learning.data import Data
from hamlearn.learning.domain import family_counts
from hamlearn.structures.samples import Samples
from hamlearn.types import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

FEWEST_STRUCTURES, MOST_STRUCTURES = 30, 100
"""A process on fewer says little of slopes; more say little new."""

MOST_SAMPLES = 2000
"""Of one family of atoms or pairs in the process: 32 MB for its kernel, 128 MB for |M| > 0."""

SAMPLED_BONDS, PROBES = 200, 6
"""Bonds of every kind whose slopes are averaged, and random sums of answers whose derivatives stand for all."""

TOGETHER = 50
"""Bonds whose derivatives are found at once."""

TOGETHER_GB = 0.3
"""Kernels of problems that are made at once."""


def slopes_of(structures: Sequence[Atoms], data: Data, settings: BondDensity, job: Job = SILENT) -> SlopesOf | None:
    """Return what finds mean products of derivatives of blocks by variables; None where they are not asked for, or of
    too few structures.
    """
    if settings.relevance == 0 or len(structures) < FEWEST_STRUCTURES:
        return None
    chosen = _chosen(structures, data.order)
    if len(chosen) < FEWEST_STRUCTURES:
        job.say(
            f"variables count as they vary: {len(chosen)} of these molecules hold {MOST_SAMPLES} pairs of one kind, "
            f"and slopes are taken from {FEWEST_STRUCTURES} or more"
        )
        return None

    def found(variables: BondVariables[Any]) -> dict[Bonds, list[Tensor]]:
        return _slopes(variables, [structures[k] for k in chosen], data.part(chosen), job)

    return found


def _chosen(structures: Sequence[Atoms], order: IntArray) -> IntArray:
    """Return structures at random, by a fixed seed, as many as the bounds let, ascending."""
    taken: list[int] = []
    counts: dict[Any, int] = {}
    for index in np.argsort(order)[:MOST_STRUCTURES].tolist():
        own = family_counts([structures[index]])
        counts = {family: counts.get(family, 0) + own.get(family, 0) for family in counts | own}
        if max(counts.values()) > MOST_SAMPLES:
            break
        taken.append(index)
    return np.sort(np.array(taken, dtype=np.int64))


def _slopes(
    variables: BondVariables[Any], structures: Sequence[Atoms], data: Data, job: Job
) -> dict[Bonds, list[Tensor]]:
    kernel = _kernel_of(variables)
    batches = [Samples.of(structures)]
    kernel.basis_ = kernel.seen(batches)
    training = Training(kernel, kernel.basis_, data, KernelRidgeSettings(kernel=kernel.settings), False)
    problems = [problem for problem in problems_of(data.groups) if problem.kinds(kernel)]
    weights: dict[int, FloatArray] = {}
    with job.progress("slopes, fits", training.costs(problems, is_full=True)) as progress:
        for lot in training.lots(problems, TOGETHER_GB):
            for index, fit in zip(lot, fit_full_lot(training, [problems[k] for k in lot]), strict=True):
                weights[index] = folded(kernel, problems[index], fit.weights)
            progress.advance(items=lot)
    nothing = {group: np.zeros(n) for group, n in data.n_targets.items()}
    sums = BondAnswers(kernel, problems, [weights[k] for k in range(len(problems))], nothing).sums()
    out = {}
    with job.progress("slopes, kinds of bonds", [len(kernel.basis_.sets[kind].sample) for kind in sums]) as progress:
        for kind, own in sums.items():
            out[kind] = _slopes_of_kind(kernel, kind, own)
            progress.advance()
    return out


def _kernel_of(variables: BondVariables[Any]) -> BondKernel:
    """Return a kernel of the same variables, at its own length."""
    shared = {name: getattr(variables.settings, name) for name in BondDensity.model_fields if name != "length"}
    kernel = BondKernel(BondFrameKernel(**shared))
    kernel.expansion_, kernel.charges_ = variables.expansion_, dict(variables.charges_)
    factor = variables.settings.length / kernel.settings.length
    kernel.contractions_ = {kind: own.scaled(factor) for kind, own in variables.contractions_.items()}
    return kernel


def _slopes_of_kind(kernel: BondKernel, kind: Bonds, sums: Sums) -> list[Tensor]:
    """Return the mean over bonds of the products of derivatives of all answers, by |m| [variable, variable]."""
    basis, contraction = kernel.basis_.sets[kind], kernel.contractions_[kind]
    points = _both_ends(basis)
    rows = np.random.default_rng(0).permutation(points.shape[1])[:SAMPLED_BONDS]
    counts = np.bincount(contraction.charges, minlength=len(contraction.vectors)).tolist()
    sizes = [*counts, *counts[1:]]
    out = [points.new_zeros((n, n)) for n in counts]
    for start in range(0, len(rows), TOGETHER):
        own = points[:, torch.from_numpy(rows[start : start + TOGETHER])]
        for slope in _probed(sums, own, seed=start):
            for k, x in enumerate(slope.split(sizes)):  # of real parts, then imaginary ones
                m = k if k < len(counts) else k - len(counts) + 1
                out[m] += x @ x.T
    out = [x / (2 if m else 1) for m, x in enumerate(out)]
    return contraction.symmetrised(out) if kind.is_like else out


def _both_ends(bonds: BondSet) -> Tensor:
    """Return the variables of bonds, of like pairs seen from either end."""
    return bonds.components if bonds.exchanged is None else torch.cat([bonds.components, bonds.exchanged], dim=1)


def _probed(sums: Sums, components: Tensor, seed: int) -> list[Tensor]:
    """Return derivatives of sums of answers with random signs; their products are those of all answers in the mean."""
    generator = torch.Generator().manual_seed(seed)
    with torch.inference_mode(False), torch.enable_grad():
        x = components.clone().requires_grad_()
        answers = sums.rows(x)
        signs = (torch.randint(0, 2, answers.shape, generator=generator) * 2.0 - 1 for _ in range(PROBES))
        return [torch.autograd.grad((s.to(x) * answers).sum(), x, retain_graph=True)[0] for s in signs]
