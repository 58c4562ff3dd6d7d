"""Kernels of structures from kernels of the environments they hold."""

from __future__ import annotations

from itertools import pairwise
from math import lcm
from typing import Literal

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from hamlearn.errors import ConfigError
from hamlearn.kernels.environments import added_up
from hamlearn.types import IntArray

Padding = Literal["replicate", "isolated"]
SMALLEST_FLOW = 1e-15  # between environments of a match, far below any error of W that is tolerated


def structure_density(density: Tensor, structure: Tensor | IntArray, average: bool = True) -> Tensor:
    """Return c(A) = sum_{i in A} c(i) / N_A, or the sum, of every structure [structure, (max_l + 1)^2, q].

    Give them to :func:`hamlearn.kernels.density_kernel` in place of those of environments: any kernel becomes that of
    all environments laid on top of each other, with no cross-talk between them left to tell apart.

    Args:
        density: of environments [n, (max_l + 1)^2, q].
        structure: structure of every environment, 0, 1, ... [n].
        average: divide by the number of environments.

    Raises:
        ConfigError: if the structures do not fit the densities or one has no environment.

    Transformation: as the density; no order of environments matters.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eqs. 62 and 63.
    """
    sizes = _size_of_each(torch.as_tensor(structure), len(density))
    total = added_up(density, 0, structure, len(sizes))
    return total / sizes[:, None, None] if average else total


def best_match_kernel(
    kernel: Tensor,
    structure_i: Tensor,
    structure_j: Tensor,
    padding: Padding = "replicate",
    isolated_i: Tensor | None = None,
    isolated_j: Tensor | None = None,
) -> Tensor:
    """Return K(A, B) = max over permutations pi of (1/N) sum_i k(i, pi(i)) [A, B], the best one-to-one match.

    NOT positive semi-definite in general: a fit may need a larger regulariser, or :func:`rematch_kernel`.

    Args:
        kernel: of environments, invariant [i, j].
        structure_i: structure of every environment, 0, 1, ... [i].
        structure_j: the same of the columns [j].
        padding: of unequal sizes: both structures replicated to the least common multiple of their sizes, or the
            smaller one joined by isolated atoms, N then being the larger size.
        isolated_i: kernel of every environment with an isolated atom [i], zero by default.
        isolated_j: the same of the columns [j].

    Raises:
        ConfigError: if the structures do not fit the kernel or the padding is unknown.

    No order of environments matters. Differentiable wherever the best match is unique.

    Source: De, Bartók, Csányi, Ceriotti, Phys. Chem. Chem. Phys. 18, 13754 (2016).
    """
    if padding not in ("replicate", "isolated"):
        raise ConfigError(f"unknown padding '{padding}' of a best match; expected replicate or isolated")
    rows, columns = _members(kernel, structure_i, structure_j)
    alone_i = kernel.new_zeros(len(kernel)) if isolated_i is None else isolated_i
    alone_j = kernel.new_zeros(kernel.shape[1]) if isolated_j is None else isolated_j
    best = []
    for a in rows:
        for b in columns:
            block = kernel[a][:, b]
            extended = _replicated(block) if padding == "replicate" else _joined(block, alone_i[a], alone_j[b])
            matched = linear_sum_assignment(extended.detach().cpu().numpy(), maximize=True)
            best.append(extended[matched].mean())
    return torch.stack(best).view(len(rows), len(columns))


def rematch_kernel(
    kernel: Tensor,
    structure_i: Tensor,
    structure_j: Tensor,
    gamma: float,
    tolerance: float = 1e-10,
    max_iterations: int = 1000,
) -> Tensor:
    """Return K(A, B) = sum_ij W_ij k(i, j) [A, B], W = argmin sum_ij W_ij (d2_ij + gamma ln W_ij).

    W has rows that add up to 1/N_A and columns that add up to 1/N_B; d2 = 2 - 2 k. For gamma -> infinity (which may be
    given) it is the average kernel, for gamma -> 0 the best match, which is not positive semi-definite.

    Args:
        kernel: of environments, invariant and normalised, k(i, i) = 1 [i, j].
        structure_i: structure of every environment, 0, 1, ... [i].
        structure_j: the same of the columns [j].
        gamma: strength of the entropy, positive.
        tolerance: of the row sums of W, relative.
        max_iterations: of Sinkhorn's algorithm for each of the decreasing gammas that lead to the one asked for.

    Raises:
        ConfigError: if gamma is not positive, the kernel not normalised, or the iterations do not converge.

    No order of environments matters. Differentiable.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eqs. 64 and 65.
    """
    if not gamma > 0:
        raise ConfigError(f"gamma is {gamma}; expected a positive number (for its limit 0 use best_match_kernel)")
    rounding = torch.finfo(kernel.dtype).eps
    tolerance = max(tolerance, 100 * rounding)
    if bool((kernel.abs() > 1 + max(1e-8, 100 * rounding)).any()):
        raise ConfigError("REMatch got kernels above 1; normalise them (zeta = 1) before")
    rows, columns = _members(kernel, structure_i, structure_j)
    places = pad_sequence(columns, batch_first=True, padding_value=-1)  # [B, j]
    out = []
    for a in rows:
        blocks = kernel[a[:, None, None], places.clamp(min=0)].transpose(0, 1)  # [B, i, j]
        plan = _transport(2 - 2 * blocks, places >= 0, gamma, tolerance, max_iterations)
        out.append((plan * blocks).sum((1, 2)))
    return torch.stack(out)


def _transport(d2: Tensor, present: Tensor, gamma: float, tolerance: float, max_iterations: int) -> Tensor:
    """Return W = exp(u_i + v_j - d2_ij / gamma) of the wanted row and column sums [B, i, j].

    Sinkhorn's algorithm in logarithms, followed from gamma = 1 downwards, with Newton's step for u in place of the
    plain one: that would need exp(difference of d2 / gamma) iterations to move weight between well separated matches.

    Args:
        d2: squared distances [B, i, j].
        present: columns that are no padding [B, j].
        gamma: strength of the entropy.
        tolerance: of the row sums.
        max_iterations: for each gamma.
    """
    steps = _decreasing(min(gamma, 1e300))
    u = d2.new_zeros(d2.shape[:2])
    for last, step in pairwise([steps[0], *steps]):
        u = u * (last / step)
        for _ in range(max_iterations):
            plan = _plan(u, d2.detach() / step, present)
            if float(_excess(plan).abs().max()) * d2.shape[1] < tolerance:
                break
            u = u + _newton_step(plan, _excess(plan), present)
        else:
            raise ConfigError(
                f"REMatch did not converge in {max_iterations} iterations for gamma {step:.3g}; take a larger gamma, "
                "or best_match_kernel for its limit 0"
            )
    with_gradient = _plan(u, d2 / steps[-1], present)  # the last step is exact, and so are its derivatives
    return _plan(u + _newton_step(plan, _excess(with_gradient), present), d2 / steps[-1], present)


def _plan(u: Tensor, cost: Tensor, present: Tensor) -> Tensor:
    """Return W with the right column sums."""
    v = -present.sum(1, keepdim=True).to(cost).log() - torch.logsumexp(u[:, :, None] - cost, 1)
    return torch.exp(u[:, :, None] + torch.where(present, v, -torch.inf)[:, None] - cost)


def _excess(plan: Tensor) -> Tensor:
    """Return the error of the row sums [B, i]."""
    return plan.sum(2) - 1 / plan.shape[1]


def _newton_step(plan: Tensor, excess: Tensor, present: Tensor) -> Tensor:
    """Return the change of u that brings the excess of the row sums to zero to first order, at most 1 [B, i]."""
    flow = present.sum(1)[:, None, None] * plan @ plan.transpose(1, 2)
    flow.diagonal(dim1=1, dim2=2).zero_()
    common = flow.mean((1, 2), keepdim=True)  # fixes the sum of u, which is free
    step = -torch.linalg.solve(torch.diag_embed(flow.sum(2) + SMALLEST_FLOW) - flow + common, excess)
    return step / step.detach().abs().amax(1, keepdim=True).clamp(min=1.0)


def _decreasing(gamma: float) -> list[float]:
    """Return 1, 1/4, 1/16, ... above gamma, and gamma."""
    steps = []
    step = 1.0
    while step > gamma:
        steps.append(step)
        step /= 4
    return [*steps, gamma]


def _replicated(block: Tensor) -> Tensor:
    """Return the kernels of two structures replicated to the least common multiple of their sizes."""
    n = lcm(*block.shape)
    return block.repeat_interleave(n // block.shape[0], 0).repeat_interleave(n // block.shape[1], 1)


def _joined(block: Tensor, alone_i: Tensor, alone_j: Tensor) -> Tensor:
    """Return the kernels of two structures, the smaller one joined by isolated atoms."""
    missing = block.shape[0] - block.shape[1]
    if missing > 0:
        return torch.cat([block, alone_i[:, None].expand(-1, missing)], 1)
    return torch.cat([block, alone_j.expand(-missing, -1)], 0)


def _size_of_each(structure: Tensor, n: int) -> Tensor:
    if len(structure) != n or n == 0:
        raise ConfigError(f"{len(structure)} environments have a structure, {n} have a kernel; expected equally many")
    sizes = torch.bincount(structure)
    if bool((sizes == 0).any()):
        empty = (sizes == 0).nonzero()[:, 0].tolist()
        raise ConfigError(f"structures {empty} have no environment; number those that have one 0, 1, 2, ...")
    return sizes


def _members(kernel: Tensor, structure_i: Tensor, structure_j: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Return the positions of the environments of every structure."""
    n_i, n_j = (len(_size_of_each(s, n)) for s, n in zip((structure_i, structure_j), kernel.shape, strict=True))
    left = [(structure_i == a).nonzero()[:, 0] for a in range(n_i)]
    return left, [(structure_j == b).nonzero()[:, 0] for b in range(n_j)]
