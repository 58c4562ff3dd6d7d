"""The measure of symmetry: zero for exact models, not for broken ones."""

import pytest
from properties import labelled, model, molecules

from hamlearn.testing import assert_equivariant


def test_a_broken_matrix_is_seen(saph, waters, monkeypatch):
    ridge = saph["ridge"]
    whole = ridge.predict
    assert ridge.equivariance_error(waters[:4]) < 1e-10

    def broken(structures, *given, **named):
        predictions = whole(structures, *given, **named)
        for atoms, prediction in zip(structures, predictions, strict=True):
            prediction.hamiltonian[0, 0] += 1e-3 * atoms.positions[0, 0]
        return predictions

    monkeypatch.setattr(ridge, "predict", broken)
    assert ridge.equivariance_error(waters[:4]) > 1e-6
    with pytest.raises(AssertionError, match="more than 1e-10"):
        assert_equivariant(ridge, waters[:4])


@pytest.mark.parametrize("what", ["value", "forces"])
def test_a_broken_property_is_seen(what, monkeypatch):
    fitted, new = model(forces=True, active=5).fit(labelled(molecules(10))), molecules(3, seed=90)
    whole = fitted.predict
    assert_equivariant(fitted, new, tolerance=1e-8)

    def broken(structures, *given, **named):
        predictions = whole(structures, *given, **named)
        for atoms, prediction in zip(structures, predictions, strict=True):
            shift = 1e-3 * fitted.task_.scale * atoms.positions[0, 0]
            object.__setattr__(prediction, what, getattr(prediction, what) + shift)
        return predictions

    monkeypatch.setattr(fitted, "predict", broken)
    assert 1e-5 < fitted.equivariance_error(new) < 1e-1
    with pytest.raises(AssertionError, match="spreads, more than 1e-06"):
        assert_equivariant(fitted, new, tolerance=1e-6)


def test_structures_come_in_any_form_and_seeds_differ(saph, waters):
    kernels = saph["full"]
    alone, listed = kernels.equivariance_error(waters[3]), kernels.equivariance_error([waters[3]])
    assert alone == pytest.approx(listed, rel=0.5, abs=1e-12) and alone < 1e-6
