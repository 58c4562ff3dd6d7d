"""Densities of the ends of bonds in the frames of the bonds, contracted to the variables that carry a training set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from hamlearn.config import BondDensity
from hamlearn.density.radial import RadialFunctions, radial_functions
from hamlearn.features.bond_rows import BondRows, Bonds
from hamlearn.o3.bonds import Side, TurnedContraction
from hamlearn.types import FloatArray, IntArray

ROUNDING = 1e-12
"""Variances below this fraction of the mean square are those of variables that never change."""

RELEVANCE = 1e-3, 1e2
"""Least and largest squared slope along a variable, in units of their mean: what lies beyond is noise of few data."""

DISTANCE_SHARE = 0.2
"""Mean squared norm of the functions of the distance, before they are centred; that of each density is 1."""


@dataclass
class BondContraction:
    """Principal components of the raw variables of one kind of bonds, of every |m| by itself.

    Those of m = 0 are centred. All are divided by the root of their total variance and by a length, complex ones also
    by 2^(1/2), so that their squares add up to those of all real and imaginary parts.

    Attributes:
        mean: of the raw variables of m = 0.
        vectors: by m [raw, component].
        variances: of all components, m ascending [variable].
        n_channels: of the densities.
    """

    mean: Tensor
    vectors: list[Tensor]
    variances: FloatArray
    n_channels: int
    _compiled: TurnedContraction | None = field(default=None, init=False, repr=False)

    @cached_property
    def _projections(self) -> dict[str, list[Tensor]]:
        """The vectors by m, transposed [component, raw]: as they are, and for rows seen from the other end."""
        n_l, q = len(self.vectors), self.n_channels
        with torch.inference_mode(False):  # whoever asks first, derivatives may be asked for later
            turned = [exchange(v, n_l - m, q) if len(v) >= 2 * (n_l - m) * q else v for m, v in enumerate(self.vectors)]
            return {"i": [v.T.contiguous() for v in self.vectors], "j": [v.T.contiguous() for v in turned]}

    @cached_property
    def _shift(self) -> Tensor:
        """What the mean is in the components of m = 0 [component, 1]."""
        with torch.inference_mode(False):
            return (self.mean @ self.vectors[0])[:, None]

    @property
    def charges(self) -> IntArray:
        """M of every variable."""
        return np.repeat(np.arange(len(self.vectors)), [v.shape[1] for v in self.vectors])

    def components(self, rows: BondRows, side: Side = "i") -> Tensor:
        """Return real parts of all variables, then imaginary parts of those with a charge [part, row].

        Args:
            rows: of this kind.
            side: the end they are seen from; from j ends are exchanged, and the third axis of the frame is mirrored.
                "both": from i, followed by from j.
        """
        if rows.frames.are_plain:
            if self._compiled is None:
                vectors = [v.T for v in self._projections["i"]]
                self._compiled = TurnedContraction(vectors, self._shift, rows.kind.n_ends, self.n_channels)
            return self._compiled(rows.frames, rows.own, side)
        if side == "both":
            return torch.cat([self._by_torch(rows, "i"), self._by_torch(rows, "j")], dim=1)
        return self._by_torch(rows, side)

    def _by_torch(self, rows: BondRows, side: Side) -> Tensor:
        n, real, imaginary = len(rows), [], []
        for m, (v, x) in enumerate(zip(self._projections[side], rows.raw, strict=True)):
            y = v.to(x) @ x.T
            if m:
                imaginary.append(y[:, n:])
            real.append(y[:, :n] if m else y - self._shift.to(y))
        return torch.cat([*real, *imaginary])

    def scaled(self, factor: float) -> BondContraction:
        """Return the contraction to variables that are so many times larger."""
        vectors = [factor * v for v in self.vectors]
        return BondContraction(self.mean, vectors, factor**2 * self.variances, self.n_channels)

    def stretched(self, slopes: Sequence[Tensor], power: float, smallest: float) -> BondContraction:
        """Return the contraction to x' = A^(power / 2) x, principal components anew; their total variance stays.

        Args:
            slopes: A of every |m|, mean products of derivatives of what is learned by the variables [variable,
                variable]; of rows seen from either end where ends may be exchanged.
            power: 0 leaves variables as they are, as slopes of nothing do; at 1 distances are those of what is
                learned, to first order.
            smallest: share of the total variance below which components are dropped.

        Source: Radhakrishnan, Beaglehole, Pandit, Belkin, Science 383, 1461 (2024), eq. 1.
        """
        counts = [v.shape[1] for v in self.vectors]
        by_m = torch.from_numpy(self.variances).split(counts)
        total = float(self.variances.sum())
        unit = sum(float(s.diagonal() @ x) for s, x in zip(slopes, by_m, strict=True)) / max(total, ROUNDING)
        if not unit > 0:
            slopes, unit = [torch.eye(n, dtype=torch.float64) for n in counts], 1.0
        found = []
        for v, a, variances in zip(self.vectors, slopes, by_m, strict=True):
            relevance, directions = torch.linalg.eigh(a / unit)
            stretch = (directions * relevance.clamp(*RELEVANCE) ** (power / 2)) @ directions.T
            values, turn = torch.linalg.eigh(stretch @ torch.diag(variances) @ stretch)
            found.append((values.flip(0), v @ stretch @ turn.flip(1)))
        factor = total / sum(float(values.sum()) for values, _ in found)
        kept = [factor * values > smallest * total for values, _ in found]
        vectors = [(factor**0.5 * v[:, k]).contiguous() for (_, v), k in zip(found, kept, strict=True)]
        variances = torch.cat([factor * values[k] for (values, _), k in zip(found, kept, strict=True)])
        return BondContraction(self.mean, vectors, variances.numpy(), self.n_channels)

    def symmetrised(self, slopes: Sequence[Tensor]) -> list[Tensor]:
        """Return the mean of products of derivatives of rows as they are and seen from the other end."""
        out = []
        for m, (v, a) in enumerate(zip(self.vectors, slopes, strict=True)):
            other = torch.linalg.lstsq(v, exchange(v, len(self.vectors) - m, self.n_channels)).solution
            out.append((a + other.T @ a @ other) / 2)
        return out

    def state(self) -> dict[str, Tensor]:
        """Return everything by name."""
        named = {f"vectors.{m}": v for m, v in enumerate(self.vectors)}
        numbers = {"variances": torch.from_numpy(self.variances), "n_channels": torch.tensor(self.n_channels)}
        return named | numbers | {"mean": self.mean}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> BondContraction:
        """Return the contraction whose :meth:`state` this is."""
        vectors = [state[f"vectors.{m}"] for m in range(len(state) - 3)]
        return cls(state["mean"], vectors, state["variances"].numpy(), int(state["n_channels"]))


class Moments:
    """First and second moments of raw variables, gathered tile by tile.

    Args:
        kind: of bonds; rows of like pairs count as they are and exchanged.
    """

    def __init__(self, kind: Bonds) -> None:
        self._is_like, self._is_pair = kind.is_like, kind.n_ends == 2
        self.n_rows, self._n_channels = 0, 0
        self._mean: Tensor | float = 0.0
        self._squares: list[Tensor] = []

    def add(self, rows: BondRows) -> None:
        """Take in the rows of a tile."""
        if not len(rows):
            return
        self.n_rows += len(rows)
        self._n_channels = rows.n_channels
        self._mean = self._mean + rows.raw[0].sum(dim=0)
        squares = [x.T @ x for x in rows.raw]
        self._squares = [a + b for a, b in zip(self._squares, squares, strict=True)] if self._squares else squares

    def contraction(self, length: float, smallest: float) -> BondContraction:
        """Return the contraction of all rows.

        Args:
            length: in units of the spread of all variables together.
            smallest: share of the total variance below which components are dropped.
        """
        n_l, q = len(self._squares), self._n_channels
        mean, squares = torch.as_tensor(self._mean) / self.n_rows, [s / self.n_rows for s in self._squares]
        if self._is_like:
            mean = (mean + exchange(mean, n_l, q)) / 2
            squares = [(s + exchange(exchange(s, n_l - m, q).T, n_l - m, q)) / 2 for m, s in enumerate(squares)]
        radial = squares[0].diagonal()[(1 + self._is_pair) * n_l * q :]
        scale = torch.ones(len(mean)).to(mean)
        scale[len(mean) - len(radial) :] = (DISTANCE_SHARE / radial.sum()) ** 0.5
        scaled = [squares[0] * torch.outer(scale, scale), *squares[1:]]
        least = ROUNDING * float(sum(s.trace() for s in scaled))
        scaled[0] = scaled[0] - torch.outer(scale * mean, scale * mean)
        values, vectors = zip(*(torch.linalg.eigh(s) for s in scaled), strict=True)
        total = max(float(sum(v.clamp(min=0).sum() for v in values)), least) or 1.0
        kept = [(v > max(smallest * total, least)).nonzero()[:, 0].flip(0) for v in values]
        units = [length**2 * total * (1 + (m > 0)) for m in range(n_l)]
        variances = torch.cat([v[k] / unit for v, k, unit in zip(values, kept, units, strict=True)])
        chosen = [(v[:, k] / unit**0.5).contiguous() for v, k, unit in zip(vectors, kept, units, strict=True)]
        return BondContraction(mean, [scale[:, None] * chosen[0], *chosen[1:]], variances.numpy(), q)


def exchange(x: Tensor, n_l: int, n_channels: int) -> Tensor:
    """Return raw variables seen from the other end, (-1)^(l+m) of the density there [raw, ...].

    The map is its own inverse and transpose, so that it turns vectors as well as variables.

    Args:
        x: of l = m, ..., m + n_l - 1 of either end, and others that stay as they are [raw, ...].
        n_l: how many l there are.
        n_channels: of the densities.
    """
    n = n_l * n_channels
    sign = x.new_tensor([(-1.0) ** k for k in range(n_l)]).repeat_interleave(n_channels)  # l + m = 2 m + k
    sign = sign.reshape(-1, *[1] * (x.ndim - 1))
    return torch.cat([sign * x[n : 2 * n], sign * x[:n], x[2 * n :]])


def distance_functions(settings: BondDensity) -> RadialFunctions:
    """Return the functions of the length of a bond that variables of m = 0 have beside the densities."""
    return radial_functions(settings.density().model_copy(update={"cutoff_angstrom": settings.pair_cutoff_angstrom}))
