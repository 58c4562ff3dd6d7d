"""Rows of groups under rotations, and how far they are from each other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hamlearn.learning.groups import Group
from hamlearn.testing.moved_samples import rotation_of
from hamlearn.types import FloatArray


def rotated_rows(rows: FloatArray, group: Group, rotation: FloatArray) -> FloatArray:
    """Return what rows [sample x M, ...] of some structures become when these are rotated."""
    samples = rows.reshape(-1, group.width, *rows.shape[1:])
    return np.einsum("mn,sn...->sm...", rotation_of(group.irrep, rotation), samples).reshape(rows.shape)


def rotated_covariance(covariance: FloatArray, group: Group, rotation: FloatArray) -> FloatArray:
    """Return D V D^T for the covariance [target, row, row] of the rows of a structure that is rotated."""
    d = np.kron(np.eye(covariance.shape[1] // group.width), rotation_of(group.irrep, rotation))
    return d @ covariance @ d.T


def assert_rows(found: Mapping[Group, FloatArray], expected: Mapping[Group, FloatArray], tolerance: float) -> None:
    """Fail unless rows of the same groups agree, relative to the largest number of each group or 1."""
    __tracebackhide__ = True
    assert found.keys() == expected.keys(), f"groups {list(found)} in place of {list(expected)}"
    for group, rows in expected.items():
        bound = tolerance * max(1.0, float(np.abs(rows).max(initial=0.0)))
        assert found[group].shape == rows.shape, f"{group.name}: {found[group].shape} in place of {rows.shape}"
        np.testing.assert_allclose(found[group], rows, rtol=0, atol=bound, err_msg=f"{group}")
