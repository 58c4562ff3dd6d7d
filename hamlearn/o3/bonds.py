"""Compiled loops into the frames of bonds and back; what they return is said where torch does the same."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from hamlearn.o3.compiled import load_function
from hamlearn.types import FloatArray, IntArray

Side: TypeAlias = Literal["i", "j", "both"]
"""The end that bonds are seen from: all rows as they are, all exchanged, or one after the other."""

WIDTH, BLOCK, MOST_L = 8, 8, 12  # see _bonds.c
_SIDES: dict[Side, int] = {"i": 0, "j": 1, "both": 2}
_POINTER, _NUMBER = ctypes.c_void_p, ctypes.c_int64


class _Contraction(ctypes.Structure):
    _fields_ = [
        *((name, _NUMBER) for name in ("n_ends", "max_l", "n_channels", "n_distance")),
        *((name, _POINTER) for name in ("n_components", "vectors", "shift")),
    ]


class _Rows(ctypes.Structure):
    _fields_ = [(name, _POINTER) for name in ("i", "j", "sample", "weight", "density", "rotations", "distance")]


class _Answers(ctypes.Structure):
    _fields_ = [
        ("n_parts", _NUMBER),
        *((name, _POINTER) for name in ("constants", "eta")),
        ("n_L", _NUMBER),
        *((name, _POINTER) for name in ("L", "n_targets", "place", "sign")),
    ]


@cache
def _loops() -> tuple[Callable[..., Any], ...]:
    """Return the loop into the frames and the one back; none where they were not built."""
    both = [_POINTER, _POINTER, _NUMBER, _NUMBER]  # what is known of a kind of bonds, all rows, and its own
    into = load_function("_bonds", "hamlearn_bond_components", [*both, _NUMBER, *[_POINTER] * 2, _NUMBER])
    back = load_function("_bonds", "hamlearn_bond_blocks", [*both, _POINTER, _NUMBER, *[_POINTER] * 3])
    return () if into is None or back is None else (into, back)


def is_compiled() -> bool:
    """Return whether the compiled loops were built when hamlearn was installed."""
    return bool(_loops())


@dataclass(frozen=True, eq=False)
class Frames:
    """Bonds of all kinds in their frames.

    Attributes:
        i: first atom, whose density stands at the one end [row].
        j: second atom, whose density stands at the other, if there are two [row].
        sample: whose blocks a row adds to [row].
        weight: of the row [row].
        density: of all atoms [atom, lm, channel].
        rotations: D^l of the frames, by l [row, 2l+1, 2l+1].
        distance: functions of the length of the bond [row, function].
    """

    i: IntArray
    j: IntArray
    sample: IntArray
    weight: Tensor
    density: Tensor
    rotations: list[Tensor]
    distance: Tensor

    @cached_property
    def are_plain(self) -> bool:
        """Whether the compiled loops take them: float64 on the CPU, l they know, and no derivatives are recorded."""
        tensors = [self.weight, self.density, self.distance, *self.rotations]
        plain = all(x.dtype == torch.float64 and x.device.type == "cpu" for x in tensors)
        plain = plain and self.density.shape[1] <= (MOST_L + 1) ** 2
        return is_compiled() and plain and not (torch.is_grad_enabled() and any(x.requires_grad for x in tensors))

    @cached_property
    def _rows(self) -> tuple[Any, ...]:
        """What the loops read, and what it points to."""
        numbers = [np.ascontiguousarray(x, dtype=np.int64) for x in (self.i, self.j, self.sample)]
        tensors = [x.detach().contiguous() for x in (self.weight, self.density, self.distance)]
        turns = [d.detach().contiguous() for d in self.rotations]
        pointers = (_POINTER * len(turns))(*(d.data_ptr() for d in turns))
        weight, density, distance = (x.data_ptr() for x in tensors)
        integers = (x.ctypes.data for x in numbers)
        rows = _Rows(*integers, weight, density, ctypes.addressof(pointers), distance)
        return rows, numbers, tensors, turns, pointers

    @property
    def address(self) -> Any:
        """What the loops read."""
        return ctypes.byref(self._rows[0])


class TurnedContraction:
    """sum over raw of V_m densities turned into the frames, for all m.

    Args:
        vectors: by m [raw, component].
        shift: subtracted from the components of m = 0.
        n_ends: 1 or 2.
        n_channels: of the densities.
    """

    def __init__(self, vectors: Sequence[Tensor], shift: Tensor, n_ends: int, n_channels: int) -> None:
        self._made_of = list(vectors), shift, n_ends, n_channels
        counts = np.array([v.shape[1] for v in vectors])
        padded = [np.pad(v.numpy(), ((0, 0), (0, -v.shape[1] % WIDTH))) for v in vectors]
        n_l, n_raw = len(vectors), n_ends * n_channels
        self._arrays = [counts, np.ascontiguousarray(shift.numpy()), *map(np.ascontiguousarray, padded)]
        self._vectors = (_POINTER * n_l)(*(x.ctypes.data for x in self._arrays[2:]))
        self._n_parts = 2 * int(counts.sum()) - int(counts[0])
        sizes = [n_raw * (n_l - m) for m in range(n_l)]
        n_distance = len(vectors[0]) - sizes[0]
        self._n_work = BLOCK * (2 * sum(sizes) + n_distance)
        place = counts.ctypes.data, ctypes.addressof(self._vectors), self._arrays[1].ctypes.data
        self._plan = _Contraction(n_ends, n_l - 1, n_channels, n_distance, *place)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what makes it again: addresses are those of one process."""
        return TurnedContraction, self._made_of

    def __call__(self, frames: Frames, own: slice, side: Side = "i") -> Tensor:
        """Return real parts of all components, then imaginary parts of those of m > 0 [part, row], of some rows."""
        n_columns = (own.stop - own.start) * (2 if side == "both" else 1)
        out, work = torch.empty((self._n_parts, n_columns), dtype=torch.float64), np.empty(self._n_work)
        _loops()[0](
            ctypes.byref(self._plan), frames.address, own.start, own.stop, _SIDES[side], work.ctypes.data,
            out.data_ptr(), n_columns,
        )  # fmt: skip
        return out


class TurnedBlocks:
    """w (x + c) of bonds in their frames, turned back and added to blocks in the laboratory.

    Args:
        constants: c [part].
        eta: sign of rows seen from the other end, which follow the others [part]; None where there are none.
        sizes: of every L the number of targets.
        place: parts of M = -L ... L and all targets, one L after another.
        sign: what they are multiplied by.
    """

    def __init__(
        self, constants: FloatArray, eta: FloatArray | None, sizes: dict[int, int], place: IntArray, sign: FloatArray
    ) -> None:
        self._made_of = constants, eta, sizes, place, sign
        numbers = [np.array(list(x), dtype=np.int64) for x in (sizes, sizes.values())]
        self._arrays = [np.ascontiguousarray(x) for x in (constants, *numbers, place, sign)]
        self._eta = None if eta is None else np.ascontiguousarray(eta)
        constant, *others = (x.ctypes.data for x in self._arrays)
        other_end = None if self._eta is None else self._eta.ctypes.data
        self._plan = _Answers(len(constants), constant, other_end, len(sizes), *others)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what makes it again: addresses are those of one process."""
        return TurnedBlocks, self._made_of

    def add(self, sums: Tensor, frames: Frames, own: slice, out: Tensor, offsets: IntArray) -> None:
        """Add to blocks.

        Args:
            sums: x of all rows, and of all seen from the other end [part, row].
            frames: bonds.
            own: rows.
            out: blocks of every L of ``sizes``, [sample, 2L+1, target] flattened, and others.
            offsets: where they begin.
        """
        sums, work = sums.contiguous(), np.empty(len(sums))
        _loops()[1](
            ctypes.byref(self._plan), frames.address, own.start, own.stop, sums.data_ptr(), sums.shape[1],
            work.ctypes.data, out.data_ptr(), offsets.ctypes.data,
        )  # fmt: skip
