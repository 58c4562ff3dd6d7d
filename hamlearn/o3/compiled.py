"""Products of functions on O(3) by a compiled loop over products of Clebsch-Gordan coefficients."""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hamlearn.angular.clebsch_gordan import clebsch_gordan
from hamlearn.o3.layout import component_slice, l_of_component, n_components
from hamlearn.types import FloatArray, IntArray, Irrep

WIDTH = 16  # columns the compiled loop takes at once; see _bilinear.c for it and for the two layouts
TWO_TERMS = np.dtype([("c", "f8"), ("d", "f8"), ("i", "i4"), ("j", "i4"), ("k", "i4"), ("unused", "i4")])
ONE_TERM = np.dtype([("c", "f8"), ("i", "i4"), ("j", "i4")])
COLUMNS_PER_THREAD = 512  # fewer are not worth a thread


class _Matrix(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("rows", ctypes.c_int64),
        ("row_stride", ctypes.c_int64),
        ("column_stride", ctypes.c_int64),
    ]


def load_function(module: str, name: str, argtypes: list[Any]) -> Callable[..., Any] | None:
    """Return a function of an extension module of this folder, None where it was not built."""
    spec = importlib.util.find_spec(f"hamlearn.o3.{module}")
    if spec is None or spec.origin is None:
        return None
    try:
        function = getattr(ctypes.CDLL(spec.origin), name)
    except (OSError, AttributeError):  # built for another machine or by another version
        return None
    function.argtypes, function.restype = argtypes, None
    return function


@cache
def _loop() -> Callable[..., Any] | None:
    """Return the compiled loop, None where it was not built."""
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    matrix = ctypes.POINTER(_Matrix)
    argtypes = [number] * 3 + [pointer] * 4 + [matrix] * 2 + [pointer, number, pointer]
    return load_function("_bilinear", "hamlearn_bilinear", argtypes)


def is_compiled() -> bool:
    """Return whether the compiled loop was built when hamlearn was installed."""
    return _loop() is not None


@dataclass(frozen=True, eq=False)
class Table:
    """A sparse bilinear map out[o] = sum_t c_t a[i_t] b[j_t], laid out for the compiled loop."""

    n_out: int
    two_start: IntArray
    twos: NDArray[np.void]
    one_start: IntArray
    ones: NDArray[np.void]

    @classmethod
    def from_terms(cls, n_out: int, o: IntArray, i: IntArray, j: IntArray, c: FloatArray) -> Table:
        """Sort terms by output and take those of one output that share i two at a time."""
        order = np.lexsort((j, i, o))
        o, i, j, c = o[order], i[order], j[order], c[order]
        starts = np.flatnonzero(np.diff(o, prepend=-1) | np.diff(i, prepend=-1))
        size = np.diff(starts, append=len(o))
        position = np.arange(len(o)) - np.repeat(starts, size)
        has_partner = position + 1 < np.repeat(size, size)
        first = np.flatnonzero((position % 2 == 0) & has_partner)
        alone = np.flatnonzero((position % 2 == 0) & ~has_partner)
        twos, ones = np.zeros(len(first), TWO_TERMS), np.zeros(len(alone), ONE_TERM)
        for name, values in zip("cdijk", (c[first], c[first + 1], i[first], j[first], j[first + 1]), strict=True):
            twos[name] = values
        for name, values in zip("cij", (c[alone], i[alone], j[alone]), strict=True):
            ones[name] = values
        two_start, one_start = (np.searchsorted(o[t], np.arange(n_out + 1)) for t in (first, alone))
        return cls(n_out, two_start.astype(np.int64), twos, one_start.astype(np.int64), ones)

    @property
    def n_flop(self) -> int:
        """Multiplications and additions per column, three per term."""
        return 3 * (2 * len(self.twos) + len(self.ones))


def apply_table(table: Table, a: FloatArray, b: FloatArray) -> FloatArray:
    """Return out[o] = sum_t c_t a[i_t] b[j_t] [n_out, column].

    Args:
        table: the map.
        a: [row, column], any strides, float64.
        b: [row, column]; the same array as ``a`` for a square.
    """
    loop = _loop()
    if loop is None:
        raise RuntimeError("the compiled loop was not built; use the grid back end")
    n = a.shape[1]
    if b.shape[1] != n:
        raise ValueError(f"a product of {n} and {b.shape[1]} functions; give as many of each")
    out = np.empty((table.n_out, n))
    left, right = _matrix(a), _matrix(b)
    pointers = [x.ctypes.data for x in (table.two_start, table.twos, table.one_start, table.ones)]

    def columns(first: int, last: int) -> None:
        work = np.empty((len(a) + len(b)) * WIDTH + 8)
        aligned = work[(-work.ctypes.data % 64) // 8 :]
        loop(first, last, table.n_out, *pointers, left, right, out.ctypes.data, n, aligned.ctypes.data)

    n_threads = min(torch.get_num_threads(), n // COLUMNS_PER_THREAD)
    if n_threads < 2:
        columns(0, n)
    else:
        ends = np.linspace(0, n // WIDTH, n_threads + 1).astype(int) * WIDTH
        ends[-1] = n
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(columns, ends[:-1].tolist(), ends[1:].tolist()))
    return out


@cache
def product_table(
    max_l: tuple[int, int, int],
    n_sigma: tuple[int, int],
    square: bool = False,
    plus_only: bool = False,
    irrep: Irrep | None = None,
) -> Table:
    """Return the table of (k_a k_b)^{L s}_{MM'} = sum C^{l1 l2 L}_{m1 m2 M} C^{l1 l2 L}_{m1' m2' M'} k_a k_b.

    Args:
        max_l: largest l of a, of b and of the result.
        n_sigma: 1 if a (or b) has sigma = +1 only, 2 if both.
        square: a is b; equal terms are merged.
        plus_only: leave out the results with sigma = -1.
        irrep: the only (L, sigma) wanted; then the outputs are its (M, M') alone.
    """
    n_a, n_b, n_out = (n_components(l) for l in max_l)
    parts: list[list[NDArray[Any]]] = []
    for l1 in range(max_l[0] + 1):
        for l2 in range(max_l[1] + 1):
            for l in range(abs(l1 - l2), min(l1 + l2, max_l[2]) + 1):
                if irrep is not None and irrep[0] != l:
                    continue
                o, i, j, c = _coupled_components(l1, l2, l)
                for s1 in range(n_sigma[0]):
                    for s2 in range(n_sigma[1]):
                        s = (s1 + s2 + l1 + l2 + l) % 2
                        if not (plus_only and s) and (irrep is None or irrep[1] == 1 - 2 * s):
                            parts.append([o + s * n_out, i + s1 * n_a, j + s2 * n_b, c])
    nothing = [np.zeros(0, np.int64)] * 3 + [np.zeros(0)]  # such as (0, -) of two functions with sigma = +1
    o, i, j, c = (np.concatenate(columns) for columns in zip(*parts, nothing, strict=True))
    if irrep is not None:
        first = component_slice(irrep[0]).start + (n_out if irrep[1] == -1 else 0)
        o, n_out = o - first, (2 * irrep[0] + 1) ** 2
    if square:
        o, i, j, c = _merged(o, np.minimum(i, j), np.maximum(i, j), c, n_sigma[0] * n_a)
    return Table.from_terms(n_out * (1 if plus_only or irrep else 2), o, i, j, c)


@cache
def inner_table(max_l: int, n_sigma: int) -> Table:
    """Return the table of sum_{l sigma} sum_{mm'} k_a k_b / (2l + 1), the invariant part of a product."""
    weight = np.tile(1.0 / (2 * l_of_component(max_l) + 1), n_sigma)
    rows = np.arange(len(weight))
    return Table.from_terms(1, np.zeros_like(rows), rows, rows, weight)


def _coupled_components(l1: int, l2: int, l: int) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
    """Return components of result, a and b and the coefficient of every term of one (l1, l2, l)."""
    coupling = clebsch_gordan(l1, l2, l)
    m1, m2, m = np.nonzero(coupling)
    value = coupling[m1, m2, m]

    def component(k: int, index: IntArray) -> IntArray:
        return component_slice(k).start + np.add.outer(index * (2 * k + 1), index).ravel()

    return component(l, m), component(l1, m1), component(l2, m2), np.multiply.outer(value, value).ravel()


def _merged(o: IntArray, i: IntArray, j: IntArray, c: FloatArray, n: int) -> tuple[Any, Any, Any, Any]:
    """Add up terms that are equal."""
    key, inverse = np.unique((o * n + i) * n + j, return_inverse=True)
    total = np.bincount(inverse, c)
    kept = np.abs(total) > 1e-14
    key = key[kept]
    return key // (n * n), key // n % n, key % n, total[kept]


def _matrix(x: FloatArray) -> _Matrix:
    if x.dtype != np.float64 or any(stride % 8 for stride in x.strides):
        raise TypeError(f"the compiled loop takes float64, got {x.dtype}")
    return _Matrix(x.ctypes.data, len(x), x.strides[0] // 8, x.strides[1] // 8)
