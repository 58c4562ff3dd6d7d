"""The measure of symmetry: zero for exact models, not for broken ones."""

import numpy as np
import pytest
from properties import labelled, model, molecules

from hamlearn.model.equivariance import equivariance_error, shuffle_like_atoms
from hamlearn.testing import assert_equivariant


def test_a_broken_matrix_is_seen(saph, waters, monkeypatch):
    ridge = saph["ridge"]
    whole = ridge.predict
    assert equivariance_error(ridge, waters[:4]) < 1e-10

    def broken(structures):
        predictions = whole(structures)
        for atoms, prediction in zip(structures, predictions, strict=True):
            prediction.hamiltonian[0, 0] += 1e-3 * atoms.positions[0, 0]
        return predictions

    monkeypatch.setattr(ridge, "predict", broken)
    assert equivariance_error(ridge, waters[:4]) > 1e-6
    with pytest.raises(AssertionError, match="more than 1e-10"):
        assert_equivariant(ridge, waters[:4])


@pytest.mark.parametrize("what", ["value", "forces"])
def test_a_broken_property_is_seen(what, monkeypatch):
    fitted, new = model(forces=True, active=5).fit(labelled(molecules(10))), molecules(3, seed=90)
    whole = fitted.predict
    assert_equivariant(fitted, new, tolerance=1e-8)

    def broken(structures, forces):
        predictions = whole(structures, forces=forces)
        for atoms, prediction in zip(structures, predictions, strict=True):
            shift = 1e-3 * fitted.task_.scale * atoms.positions[0, 0]
            object.__setattr__(prediction, what, getattr(prediction, what) + shift)
        return predictions

    monkeypatch.setattr(fitted, "predict", broken)
    assert 1e-5 < equivariance_error(fitted, new) < 1e-1
    with pytest.raises(AssertionError, match="spreads, more than 1e-06"):
        assert_equivariant(fitted, new, tolerance=1e-6)


def test_structures_come_in_any_form_and_seeds_differ(saph, waters):
    kernels = saph["full"]
    alone, listed = equivariance_error(kernels, waters[3]), equivariance_error(kernels, [waters[3]])
    assert alone == pytest.approx(listed, rel=0.5, abs=1e-12) and alone < 1e-6


def test_shuffling_keeps_elements():
    numbers, rng = np.array([8, 1, 6, 1, 1, 6]), np.random.default_rng(0)
    orders = [shuffle_like_atoms(numbers, rng) for _ in range(20)]
    assert all((numbers[order] == numbers).all() for order in orders)
    assert len({tuple(order) for order in orders}) > 3
