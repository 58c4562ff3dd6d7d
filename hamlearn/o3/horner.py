"""Sums of monomials laid out as Horner sums them, for the compiled loop of contractions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hamlearn.o3.monomial_levels import Key, Variables
from hamlearn.o3.monomials import MonomialTree
from hamlearn.types import BoolArray, FloatArray, IntArray

HAS_INNER, COMPLEX_LEAVES, FIRST, COMPLEX_VARIABLE, COMPLEX_SUM = 1, 2, 4, 8, 16  # flags, as in _monomials.c


@dataclass(frozen=True, eq=False)
class HornerTable:
    """The features of one key as a tree: f(node) = sum over leaves of w z + sum over inner children of z f(child).

    Leaves are the features, each at the product of its other factors; inner nodes are these products, and the products
    of all but the last factor of inner nodes. Charged factors come first, so that most sums and most leaves are real,
    and among them those in most features, so that inner nodes are few.

    Attributes:
        nodes: depth, rows of the real and imaginary part of the last factor, number of leaves, flags [node, 5], int32;
            in post-order. The root, the last one, has depth 1 and the factor 1.
        leaves: rows of the last factor of every feature, of both parts where it is complex, int32; leaves of one node
            all have one charge, the one missing from that of the key.
        feature: position of every leaf among the features [leaf].
        coefficient: of that feature [leaf].
    """

    nodes: NDArray[np.int32]
    leaves: NDArray[np.int32]
    feature: IntArray
    coefficient: FloatArray

    @classmethod
    def of(cls, tree: MonomialTree, key: Key) -> HornerTable:
        """Lay out the features of a key, of which there is at least one."""
        factors, coefficient = tree.factors(key)
        rows, is_complex = _rows(tree.variables), np.append(tree.variables.all_charges != 0, False)
        order = _order(factors, is_complex[:-1])
        none = len(order) - 1
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        paths = np.sort(place[factors], axis=1)  # what stands behind the last factor is larger than all
        feature = np.lexsort(paths.T[::-1])
        inner, parent = _inner_nodes(paths[feature], none)
        by_parent = np.argsort(parent, kind="stable")
        feature, parent = feature[by_parent], parent[by_parent]

        last = order[_last(paths[feature], none)]
        leaves = rows[last][np.stack([np.ones_like(is_complex[last]), is_complex[last]], axis=1)]
        complex_leaves = np.zeros(len(inner), dtype=bool)
        complex_leaves[parent] = is_complex[last]
        own = order[_last(inner, none)]
        flags = _flags((inner < none).sum(axis=1), is_complex[own], complex_leaves)
        n_leaves = np.bincount(parent, minlength=len(inner))
        nodes = np.column_stack([(inner < none).sum(axis=1) + 1, rows[own], n_leaves, flags])
        return cls(nodes.astype(np.int32), leaves.astype(np.int32), feature, coefficient[feature])

    def in_order(self, weights: FloatArray) -> FloatArray:
        """Return weights [feature, output] times the coefficients, in the order of the leaves."""
        return weights[self.feature] * self.coefficient[:, None]


def _rows(variables: Variables) -> IntArray:
    """Return where the real and imaginary part of every variable, of conjugates and of 1 stand [variable, 2].

    Real parts are followed by imaginary parts, by their negatives and by 1; imaginary parts of real numbers are not
    used.
    """
    n, n_real, n_imaginary = len(variables.charges), variables.n_real, len(variables.charges) - variables.n_real
    re = np.concatenate([np.arange(n), np.arange(n_real, n), [n + 2 * n_imaginary]])
    im = np.concatenate([np.zeros(n_real, dtype=np.int64), n + np.arange(2 * n_imaginary), [0]])
    return np.stack([re, im], axis=1)


def _order(factors: IntArray, is_complex: BoolArray) -> IntArray:
    """Return the variables, complex ones first, those of most features first among them; last, -1 for none."""
    uses = np.bincount(factors[factors >= 0], minlength=len(is_complex))
    return np.append(np.lexsort((-uses, ~is_complex)), -1)


def _last(paths: IntArray, none: int) -> IntArray:
    """Return the last factor of every path [path], ``none`` of the empty one."""
    n = (paths < none).sum(axis=1)
    return np.where(n > 0, paths[np.arange(len(paths)), n - 1], none)


def _inner_nodes(paths: IntArray, none: int) -> tuple[IntArray, IntArray]:
    """Return the paths of all inner nodes in post-order [node, degree], and the node that every feature is a leaf of.

    Args:
        paths: of the features [feature, degree], in lexical order.
        none: what stands behind the last factor.
    """
    n = (paths < none).sum(axis=1)
    inner, parent, found = [], np.zeros(len(paths), dtype=np.int64), 0
    for k in range(paths.shape[1]):
        longer = np.flatnonzero(n > k)
        head = paths[longer, :k]
        is_new = np.ones(len(longer), dtype=bool)
        is_new[1:] = (head[1:] != head[:-1]).any(axis=1)
        own = found + np.cumsum(is_new) - 1
        parent[longer] = own  # of those of k + 1 factors; longer ones are set again
        new = np.full((is_new.sum(), paths.shape[1]), none)
        new[:, :k] = head[is_new]
        inner.append(new)
        found += len(new)
    every = np.concatenate(inner)
    order = np.lexsort(every.T[::-1])
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    return every[order], position[parent]


def _flags(depth: IntArray, complex_variable: BoolArray, complex_leaves: BoolArray) -> IntArray:
    """Return the flags of nodes in post-order from their depths, 0 at the root."""
    has_inner, first = np.zeros(len(depth), dtype=bool), np.zeros(len(depth), dtype=bool)
    complex_sum = complex_leaves.copy()
    first[-1] = True
    for k in range(depth.max(), 0, -1):
        own, above = np.flatnonzero(depth == k), np.flatnonzero(depth == k - 1)
        parent = above[np.searchsorted(above, own)]
        has_inner[parent] = True
        first[own[np.unique(parent, return_index=True)[1]]] = True
        complex_sum[parent[complex_variable[own] | complex_sum[own]]] = True
    return (
        HAS_INNER * has_inner
        + COMPLEX_LEAVES * complex_leaves
        + FIRST * first
        + COMPLEX_VARIABLE * complex_variable
        + COMPLEX_SUM * complex_sum
    )
