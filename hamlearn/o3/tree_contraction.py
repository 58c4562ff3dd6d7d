"""Weighted sums of the features of a monomial tree: by a compiled loop that holds no feature, or with torch."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hamlearn.o3.compiled import load_function
from hamlearn.o3.horner import HornerTable
from hamlearn.o3.monomial_levels import Key
from hamlearn.o3.monomials import MonomialTree
from hamlearn.types import FloatArray

# of the compiled loop, see _monomials.c
OUTPUTS = 4  # at once
WIDEST = 64  # bytes of a vector where the processor has them
BLOCK_BYTES = 2 * WIDEST  # of every variable, at most, at once

TERMS_PER_THREAD = 2**24  # features times outputs times rows; fewer are not worth a thread


class _Table(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("nodes", "leaves", "weights")),
        *((name, ctypes.c_int64) for name in ("n_nodes", "n_out", "re", "im")),
    ]


@cache
def _loops() -> dict[torch.dtype, Callable[..., Any]] | None:
    """Return the compiled loop of every precision, None where it was not built."""
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    argtypes = [number, pointer, number, pointer, *[number] * 5, pointer, number, pointer]
    single, double = (
        load_function("_monomials", f"hamlearn_monomials_{name}", argtypes) for name in ("float", "double")
    )
    return None if single is None or double is None else {torch.float32: single, torch.float64: double}


def is_compiled() -> bool:
    """Return whether the compiled loop was built when hamlearn was installed."""
    return _loops() is not None


class TreeContraction:
    """sum_f w_fo phi_f of the features phi of a tree.

    Compiled on CPUs where no derivatives are recorded, in the precision of the variables; otherwise with torch, on any
    device and differentiable any number of times. The numbers are the same up to rounding.

    Args:
        tree: which features there are.
        weights: real, of some or all keys [feature, output].

    Raises:
        ValueError: if the tree has no such key or another number of features.

    Answers transform as the features do, see :class:`MonomialTree`.
    """

    def __init__(self, tree: MonomialTree, weights: Mapping[Key, FloatArray]) -> None:
        self.tree, self.weights = tree, {key: np.asarray(w, dtype=np.float64) for key, w in weights.items()}
        for key, w in self.weights.items():
            if key not in tree.keys:
                raise ValueError(f"weights of {key}, but the tree has features of {tree.keys}")
            if w.ndim != 2 or len(w) != tree.n_features(key):
                raise ValueError(f"weights of {key} are {w.shape}; expected [{tree.n_features(key)} features, output]")
        self._programs: dict[torch.dtype, _Program] = {}
        self._tensors: dict[tuple[torch.device, torch.dtype], dict[Key, tuple[Tensor, ...]]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what makes it again: addresses are those of one process."""
        return TreeContraction, (self.tree, self.weights)

    def __call__(self, components: Tensor) -> dict[Key, Tensor]:
        """Return the sums of every key [output, row], real at charge 0, complex otherwise.

        Args:
            components: as for :meth:`MonomialTree.features` [part, row], float32 or float64; fastest where rows are
                contiguous.

        Raises:
            ValueError: if there are more or fewer parts than those of the variables.
        """
        loop = self._loop(components)
        return self._by_torch(components) if loop is None else self._program(components.dtype).run(loop, components)

    def rows(self, components: Tensor) -> Tensor:
        """Return the same as real numbers, of every key real parts before imaginary ones [part, row]."""
        loop = self._loop(components)
        if loop is None:
            return real_rows(self._by_torch(components))
        return self._program(components.dtype).rows_of(loop, components)

    def _loop(self, components: Tensor) -> Callable[..., Any] | None:
        """Return the compiled loop for components, None where torch is needed."""
        self.tree.variables.check(components)
        recorded = torch.is_grad_enabled() and components.requires_grad
        loops = None if recorded or components.device.type != "cpu" else _loops()
        return None if loops is None else loops.get(components.dtype)

    def _program(self, dtype: torch.dtype) -> _Program:
        if dtype not in self._programs:
            self._programs[dtype] = _Program(self.tree, self.weights, dtype)
        return self._programs[dtype]

    def _by_torch(self, components: Tensor) -> dict[Key, Tensor]:
        sums = [self._tile(tile) for tile in torch.split(components, self.tree.rows_at_once(components), dim=1)]
        return {key: torch.cat([tile[key] for tile in sums], dim=1) for key in self.weights}

    def _tile(self, components: Tensor) -> dict[Key, Tensor]:
        weights, out = self._weights_by_degree(components), dict[Key, Tensor]()
        for k, features in enumerate(self.tree.by_degree(components)):
            for key, parts in weights.items():
                w, phi = parts[k], features[key]
                term = torch.complex(w @ phi.real, w @ phi.imag) if phi.is_complex() else w @ phi
                out[key] = out[key] + term if key in out else term
        return out

    def _weights_by_degree(self, like: Tensor) -> dict[Key, tuple[Tensor, ...]]:
        """Return the weights of every key and degree [output, feature], made once for every device and precision."""
        where = like.device, like.dtype
        if where not in self._tensors:
            self._tensors[where] = {
                key: torch.from_numpy(w.T.copy())
                .to(device=like.device, dtype=like.dtype)
                .split([len(level.chosen[key].monomial) for level in self.tree.levels], dim=1)
                for key, w in self.weights.items()
            }
        return self._tensors[where]


class _Program:
    """What the compiled loop reads: the tables of all keys in one precision, of at most OUTPUTS outputs each."""

    def __init__(self, tree: MonomialTree, weights: Mapping[Key, FloatArray], dtype: torch.dtype) -> None:
        variables = tree.variables
        self.n_imaginary = variables.n_components - len(variables.charges)
        n_vectors = variables.n_components + self.n_imaginary + 1 + 2 * OUTPUTS * (tree.degree + 1)
        self.work_bytes = n_vectors * BLOCK_BYTES
        self.n_terms = sum(w.size for w in weights.values())
        self.rows: dict[Key, tuple[int, int, int]] = {}  # among the answers: first real, first imaginary, end
        self.arrays: list[NDArray[Any]] = []  # what the tables point to
        self.n_rows = 0
        tables = []
        for key, w in weights.items():
            start = self.n_rows
            middle = start + (w.shape[1] if key != (0, -1) else 0)
            self.n_rows = middle + (w.shape[1] if key != (0, 1) else 0)
            self.rows[key] = start, middle, self.n_rows
            if w.size:
                tables += self._tables_of(HornerTable.of(tree, key), w, key, dtype)
        self.tables = (_Table * len(tables))(*tables)

    def _tables_of(self, table: HornerTable, weights: FloatArray, key: Key, dtype: torch.dtype) -> list[_Table]:
        in_order = torch.from_numpy(table.in_order(weights)).to(dtype).numpy()
        start, middle, end = self.rows[key]
        out = []
        for first in range(0, weights.shape[1], OUTPUTS):
            part = np.ascontiguousarray(in_order[:, first : first + OUTPUTS])
            arrays = [table.nodes, table.leaves, part]
            self.arrays += arrays
            rows = (start + first if middle > start else -1), (middle + first if end > middle else -1)
            out.append(_Table(*(a.ctypes.data for a in arrays), len(table.nodes), part.shape[1], *rows))
        return out

    def run(self, loop: Callable[..., Any], components: Tensor) -> dict[Key, Tensor]:
        """Return the sums of every key [output, row]."""
        out, answers = self.rows_of(loop, components), {}
        for key, (start, middle, end) in self.rows.items():
            re, im = out[start:middle], out[middle:end]
            answers[key] = torch.complex(re, im) if key[0] else (re if key[1] == 1 else im)
        return answers

    def rows_of(self, loop: Callable[..., Any], components: Tensor) -> Tensor:
        """Return real and imaginary parts of all sums [part, row]."""
        components = components.detach()
        values = components if components.stride(1) == 1 else components.contiguous()
        n_parts, n = values.shape
        out = values.new_zeros((self.n_rows, n))

        def rows(first: int, last: int) -> None:
            work = np.empty(self.work_bytes + WIDEST, dtype=np.uint8)
            aligned = work.ctypes.data + -work.ctypes.data % WIDEST
            loop(
                WIDEST, self.tables, len(self.tables), values.data_ptr(), n_parts, self.n_imaginary, values.stride(0),
                first, last, out.data_ptr(), n, aligned,
            )  # fmt: skip

        _in_threads(rows, n, BLOCK_BYTES // values.element_size(), self.n_terms * n // TERMS_PER_THREAD)
        return out


def real_rows(sums: Mapping[Key, Tensor]) -> Tensor:
    """Return sums as real numbers, of every key real parts before imaginary ones [part, row]."""
    parts = [(x.real, x.imag) if x.is_complex() else (x,) for x in sums.values()]
    return torch.cat([part for both in parts for part in both])


def _in_threads(rows: Callable[[int, int], None], n: int, block: int, n_worth: int) -> None:
    """Call a function on ranges of n rows that are multiples of a block, in at most as many threads as are worth it."""
    n_threads = min(torch.get_num_threads(), n // block, n_worth)
    if n_threads < 2:
        rows(0, n)
        return
    ends = np.linspace(0, n // block, n_threads + 1).astype(int) * block
    ends[-1] = n
    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(rows, ends[:-1].tolist(), ends[1:].tolist()))
