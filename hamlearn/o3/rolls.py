"""Kernels of O(2): a function of the distance of two points, averaged over all rolls and mirrors of one of them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from hamlearn.o3.compiled import load_function
from hamlearn.o3.monomials import Key
from hamlearn.types import FloatArray, IntArray

Form: TypeAlias = Literal["matern", "gaussian"]

MOST_CHARGE, MOST_ROLLS = 12, 240
"""Of the compiled loop; see _rolls.c."""

CELLS, HEIGHT = 2**15, 64
"""Pairs of rows, and rows against all of a basis, at once: what is known of them stays in the cache."""

WIDEST, TILE_BYTES = 64, 64
"""Bytes of a vector where the processor has them, and of the points that a tile holds of a variable; see _rolls.c."""

SAME = 1e-16
"""Squared distance of points that are one: the slope of their distance has no direction."""


class _Plan(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("n_a", "n_b", "max_m", "max_M", "n_quarter", "is_gaussian")),
        *((name, ctypes.c_void_p) for name in ("trig", "place", "n", "a", "b", "norm_a", "norm_b")),
        ("n_sums", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("n_outputs", "weights", "sums")),
    ]


@cache
def _loops() -> dict[torch.dtype, Callable[..., Any]] | None:
    """Return the compiled loop for every precision, None where it was not built."""
    names = {torch.float32: "hamlearn_rolls_float", torch.float64: "hamlearn_rolls_double"}
    argtypes = [ctypes.c_int64, ctypes.POINTER(_Plan), ctypes.c_void_p]
    found = {dtype: load_function("_rolls", name, argtypes) for dtype, name in names.items()}
    loops = {dtype: loop for dtype, loop in found.items() if loop is not None}
    return loops if len(loops) == len(names) else None


def is_compiled() -> bool:
    """Return whether the compiled loop was built when hamlearn was installed."""
    return _loops() is not None


@dataclass(frozen=True, eq=False)
class Points:
    """Rows of variables with charges, laid out for products of all of them.

    Attributes:
        parts: by charge m their real parts, for m > 0 followed by imaginary ones [1 or 2, row, variable].
        norms: half of the squared norms [row].
        whole: points that these are some of, from the row ``first`` on.
    """

    parts: list[Tensor]
    norms: Tensor
    first: int = 0
    whole: Points | None = None

    @classmethod
    def of(cls, components: Tensor, charges: IntArray, dtype: torch.dtype = torch.float64) -> Points:
        """Lay out variables.

        Args:
            components: real parts of all variables, then imaginary parts of those with a charge [part, row].
            charges: of the variables, ascending; complex ones count twice, as they and their conjugates do.
            dtype: float32 or float64.
        """
        counts = np.bincount(charges, minlength=1).tolist()
        real, imaginary = components[: len(charges)].split(counts), components[len(charges) :].split(counts[1:])
        double = 2**0.5
        parts = [real[0].T[None], *(double * torch.stack([x.T, y.T]) for x, y in zip(real[1:], imaginary, strict=True))]
        parts = [x.to(dtype).contiguous() for x in parts]
        return cls(parts, sum((x.square().sum(dim=(0, 2)) for x in parts), torch.zeros((), dtype=dtype)) / 2)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.norms)

    def rows(self, start: int, stop: int) -> Points:
        """Return some of the rows."""
        return Points([x[:, start:stop] for x in self.parts], self.norms[start:stop], start, self)

    @property
    def width(self) -> int:
        """How many rows a tile has."""
        return TILE_BYTES // self.norms.element_size()

    @cached_property
    def tiles(self) -> Tensor:
        """All variables of every so many rows, as the compiled loop reads them [tile, m, variable, part, row]."""
        if self.whole is not None and self.first % self.width == 0:
            return self.whole.tiles[self.first // self.width :]
        padded = [torch.nn.functional.pad(x, (0, 0, 0, -len(self) % self.width)) for x in self.parts]
        tiles = [x.unflatten(1, (-1, self.width)).permute(1, 3, 0, 2).flatten(1, 2) for x in padded]
        return torch.cat(tiles, dim=1).contiguous()


class RollAverage:
    """k_M(a, b) = mean of D_M(g) F(|x_a - g x_b|) over rolls and mirrors g of O(2), with D_M(g) orthogonal matrices.

    At M = 0 they are numbers, the signs of mirrors for odd ones; at M > 0 [2, 2], acting on real and imaginary part.
    F is exp(-d^2 / 2), or (1 + u + u^2 / 3) exp(-u) with u = 5^(1/2) d (Matern 5/2). The kernels are positive for any
    number of rolls, of equal steps; k_M(a, R_phi b) = k_M(a, b) D_M(R_phi)^T is exact for those, and for all to what
    they leave of the integral. With the exponential and all rolls they are the scalar products of all monomials of
    charge M, times exp(-(|x_a|^2 + |x_b|^2) / 2).

    Args:
        form: F.
        n_rolls: a multiple of 4.
        keys: which M are wanted, and for M = 0 which symmetry under mirrors.

    Source: Rasmussen, Williams, Gaussian Processes for Machine Learning (2006), eq. 4.17; averages over groups as in
    Glielmo, Sollich, De Vita, Phys. Rev. B 95, 214302 (2017), eq. 9.
    """

    def __init__(self, form: Form, n_rolls: int, keys: Sequence[Key]) -> None:
        if n_rolls < 4 or n_rolls % 4:
            raise ValueError(f"got {n_rolls} rolls, expected a multiple of 4")
        self.form, self.n_rolls, self.keys = form, n_rolls, tuple(keys)

    def between(self, a: Points, b: Points) -> dict[Key, Tensor]:
        """Return the kernels of every key [row of a, part, row of b, part], parts real and imaginary for M > 0."""
        shapes = {key: (2, 2) if key[0] else (1, 1) for key in self.keys}
        dtype = a.norms.dtype
        out = {key: torch.empty((len(a), p, len(b), q), dtype=dtype) for key, (p, q) in shapes.items()}
        for rows, columns, planes in self._tiles(a, b):
            for key, place in self._places.items():
                own = planes[place].unflatten(0, shapes[key])
                out[key][rows, :, columns] = own.permute(2, 0, 3, 1)
        return out

    def weighted(self, a: Points, b: Points, weights: Mapping[Key, Tensor]) -> dict[Key, Tensor]:
        """Return sum_b k(a, b) w_b of every key, real at charge 0, complex otherwise [output, row of a].

        Weights of either sign cancel: they are float64, and so are the sums, whatever the precision of the kernels.

        Args:
            a: rows.
            b: rows of the basis.
            weights: [output, part, row of b].
        """
        sums = {key: torch.zeros((*w.shape[:2], len(a)), dtype=torch.float64) for key, w in weights.items()}
        if a.norms.dtype == torch.float64 and self._is_compiled_for(a):
            for start in range(0, len(a), HEIGHT):
                own = a.rows(start, start + HEIGHT)
                for key, some in self._sums(own, b, weights).items():
                    sums[key][:, :, start : start + HEIGHT] = some
            return {key: torch.complex(*x.unbind(dim=1)) if key[0] else x[:, 0] for key, x in sums.items()}
        for rows, columns, planes in self._tiles(a, b):
            every = planes.double()
            for key, w in weights.items():
                n_parts = w.shape[1]
                own = every[self._places[key]].unflatten(0, (n_parts, n_parts))
                for part in range(n_parts):
                    for other in range(n_parts):
                        sums[key][:, part, rows] += w[:, other, columns] @ own[part, other].T
        return {key: torch.complex(*x.unbind(dim=1)) if key[0] else x[:, 0] for key, x in sums.items()}

    @cached_property
    def _places(self) -> dict[Key, slice]:
        """Where the planes of every key are, rr, ri, ir and ii for M > 0."""
        ends = np.cumsum([0, *(4 if key[0] else 1 for key in self.keys)])
        return {key: slice(int(a), int(b)) for key, a, b in zip(self.keys, ends[:-1], ends[1:], strict=True)}

    def _tiles(self, a: Points, b: Points) -> Iterator[tuple[slice, slice, Tensor]]:
        """Yield rows, columns and the planes of their kernels [plane, row, column]."""
        step = max(1, min(len(b), CELLS // max(1, min(len(a), 32)) // b.width * b.width))
        height = max(1, CELLS // step)
        for first in range(0, len(a), height):
            last = min(first + height, len(a))
            own = a.rows(first, last)
            for start in range(0, len(b), step):
                stop = min(start + step, len(b))
                yield slice(first, last), slice(start, stop), self.planes(own, b.rows(start, stop))

    def planes(self, a: Points, b: Points) -> Tensor:
        """Return the kernels of all keys one after another, rr, ri, ir and ii for M > 0 [plane, row of a, row of b]."""
        if not self._is_compiled_for(a):
            return self._by_torch(_products(a, b), a.norms, b.norms)
        out = a.norms.new_empty((max((place.stop for place in self._places.values()), default=0), len(a), len(b)))
        self._run(a, b, out.data_ptr(), {})
        return out

    def _sums(self, a: Points, b: Points, weights: Mapping[Key, Tensor]) -> dict[Key, Tensor]:
        """Return sum_b k(a, b) w_b of every key [output, part, row of a]; kernels are not held."""
        ordered = sorted(weights, key=lambda key: (key[0], -key[1]))
        n_outputs = np.zeros(2 + max((M for M, _ in self.keys), default=0), dtype=np.int64)
        for M, sign in ordered:
            n_outputs[M + 1 if M else int(sign == -1)] = len(weights[M, sign])
        sizes = [weights[key].shape[0] * weights[key].shape[1] for key in ordered]
        every = (
            torch.cat([weights[key].flatten(0, 1) for key in ordered]) if ordered else a.norms.new_zeros((0, len(b)))
        )
        sums = a.norms.new_zeros((len(a), len(every), b.width))
        others = {
            "n_sums": len(every),
            "n_outputs": n_outputs.ctypes.data,
            "weights": every.data_ptr(),
            "sums": sums.data_ptr(),
        }
        self._run(a, b, None, others)
        parts = sums.sum(dim=2).T.split(sizes)
        return {key: x.unflatten(0, weights[key].shape[:2]) for key, x in zip(ordered, parts, strict=True)}

    def _is_compiled_for(self, a: Points) -> bool:
        """Return whether the compiled loop takes points."""
        largest = max(len(a.parts) - 1, max((M for M, _ in self.keys), default=0))
        return is_compiled() and not a.norms.requires_grad and largest <= MOST_CHARGE and self.n_rolls <= MOST_ROLLS

    def _run(self, a: Points, b: Points, out: int | None, others: Mapping[str, int]) -> None:
        """Run the compiled loop."""
        loops, max_m, max_M = _loops(), len(a.parts) - 1, max((M for M, _ in self.keys), default=0)
        assert loops is not None
        place, trig = self._table_of_places, _trigonometry(self.n_rolls, max(max_m, max_M))
        counts = np.array([x.shape[2] for x in a.parts])
        parts = [part.contiguous() for x in a.parts for part in (x[0], x[-1])]
        left = (ctypes.c_void_p * len(parts))(*(x.data_ptr() for x in parts))
        tiles, norm_a, norm_b = b.tiles, a.norms.contiguous(), b.norms.contiguous()
        plan = _Plan(
            len(a), len(b), max_m, max_M, self.n_rolls // 4, self.form == "gaussian", trig.ctypes.data,
            place.ctypes.data, counts.ctypes.data, ctypes.addressof(left), tiles.data_ptr(), norm_a.data_ptr(),
            norm_b.data_ptr(), **others,
        )  # fmt: skip
        loops[a.norms.dtype](WIDEST, plan, out)

    @cached_property
    def _table_of_places(self) -> IntArray:
        """The same as the compiled loop wants them, -1 for planes that are not wanted."""
        out = np.full(2 + 4 * max((M for M, _ in self.keys), default=0), -1, dtype=np.int64)
        for key, place in self._places.items():
            first = 4 * key[0] - 2 if key[0] else int(key[1] == -1)
            out[first : first + place.stop - place.start] = np.arange(place.start, place.stop)
        return out

    def _by_torch(self, table: Tensor, norm_a: Tensor, norm_b: Tensor) -> Tensor:
        """Return the same from all scalar products."""
        angles = 2 * np.pi * np.arange(self.n_rolls) / self.n_rolls
        rr, ir, ri, ii = (table[1 + k :: 4] for k in range(4))
        ms = np.arange(1, len(rr) + 1)
        cosines, sines = (torch.from_numpy(f(np.outer(angles, ms))).to(table) for f in (np.cos, np.sin))
        base = table[0] - norm_a[:, None] - norm_b
        sums = []
        for re, im in ((rr + ii, ir - ri), (rr - ii, ir + ri)):  # as it is, and mirrored
            s = base + torch.tensordot(cosines, re, 1) + torch.tensordot(sines, im, 1)
            sums.append(_function(s.clamp(max=0), self.form))
        planes = []
        for M, sign in self.keys:
            c, s = (torch.from_numpy(f(M * angles) / (2 * self.n_rolls)).to(table) for f in (np.cos, np.sin))
            (c0, c1), (s0, s1) = ([torch.tensordot(f, x, 1) for x in sums] for f in (c, s))
            planes += [c0 + c1, s1 - s0, s1 + s0, c0 - c1] if M else [c0 + sign * c1]
        return torch.stack(planes)


def _function(s: Tensor, form: Form) -> Tensor:
    """Return F of s = -d^2 / 2."""
    if form == "gaussian":
        return torch.exp(s)
    u = (-10 * s).clamp(min=SAME).sqrt()
    return (1 + u + u**2 / 3) * torch.exp(-u)


def _products(a: Points, b: Points) -> Tensor:
    """Return scalar products [1 + 4 m, row of a, row of b]; of m > 0 (re, re), (im, re), (re, im), (im, im)."""
    if a.norms.requires_grad:
        x0, *xs = a.parts
        others = (x[p] @ y[q].T for x, y in zip(xs, b.parts[1:], strict=True) for q in range(2) for p in range(2))
        return torch.stack([x0[0] @ b.parts[0][0].T, *others])
    out = a.norms.new_empty((4 * len(a.parts) - 3, len(a), len(b)))
    for m, (x, y) in enumerate(zip(a.parts, b.parts, strict=True)):
        if m == 0:
            torch.mm(x[0], y[0].T, out=out[0])
            continue
        own = out[4 * m - 3 : 4 * m + 1].view(2, 2 * len(a), len(b))
        left = x.reshape(2 * len(a), -1)
        for part in range(2):
            torch.mm(left, y[part].T, out=own[part])
    return out


@cache
def _trigonometry(n_rolls: int, most: int) -> FloatArray:
    """Return cos(m phi) and sin(m phi) of a quarter of the rolls and its end [angle, m, 2]."""
    angles = np.outer(2 * np.pi * np.arange(n_rolls // 4 + 1) / n_rolls, np.arange(most + 1))
    return np.ascontiguousarray(np.stack([np.cos(angles), np.sin(angles)], axis=2))
