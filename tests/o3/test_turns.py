"""Wigner matrices by the compiled recursion against those that turn harmonics."""

import numpy as np
import pytest
import torch

from hamlearn.angular.bond_frame import rotations_of
from hamlearn.o3 import turns
from hamlearn.structures import random_rotation


@pytest.fixture(params=["compiled", "torch"])
def backend(request, monkeypatch):
    if request.param == "torch":
        monkeypatch.setattr(turns, "_loop", lambda: None)
    elif not turns.is_compiled():
        pytest.skip("not compiled")


def rotations(n):
    rng = np.random.default_rng(0)
    return torch.from_numpy(np.array([random_rotation(rng) for _ in range(n)]).reshape(n, 3, 3))


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("max_l", [0, 1, 2, 8, 12, 13])
@pytest.mark.parametrize("n", [0, 1, 8, 19])
def test_they_turn_harmonics(max_l, n):
    """Of more and fewer rotations than a vector has numbers, and of larger l than the loop knows."""
    found, expected = turns.turns_of(rotations(n), max_l), rotations_of(rotations(n), max_l)
    assert len(found) == max_l + 1
    for d, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(d, e, rtol=0, atol=1e-13)
        assert d.is_contiguous()


@pytest.mark.usefixtures("backend")
def test_special_rotations():
    """The identity, and half turns about the axes."""
    some = torch.from_numpy(np.array([np.eye(3), *(2 * np.outer(e, e) - np.eye(3) for e in np.eye(3))]))
    for found, expected in zip(turns.turns_of(some, 6), rotations_of(some, 6), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


def test_other_precisions_and_derivatives_are_those_of_torch():
    some = rotations(3)
    assert turns.turns_of(some.float(), 3)[2].dtype == torch.float32
    recorded = turns.turns_of(some.clone().requires_grad_(), 3)
    assert recorded[3].requires_grad
    np.testing.assert_allclose(recorded[3].detach(), turns.turns_of(some, 3)[3], rtol=0, atol=1e-14)
