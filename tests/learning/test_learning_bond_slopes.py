"""Variables stretched by the slopes of what is learned: what they are, the symmetry they keep, when they are used."""

import pickle

import numpy as np
import pytest
import torch

from hamlearn.config import BondFrameFeatures, BondFrameKernel, KernelRidgeSettings, RidgeSettings
from hamlearn.features.bond_frame import BondFrame
from hamlearn.features.bond_rows import Bonds
from hamlearn.job import SILENT, Job
from hamlearn.kernels.bond_kernel import BondKernel
from hamlearn.learning import bond_slopes
from hamlearn.learning.bond_slopes import slopes_of
from hamlearn.learning.registry import new_learner
from hamlearn.structures import random_rotation, rotate
from hamlearn.structures.samples import Samples
from hamlearn.testing.exact_problems import MatrixProblem, small_molecules

SMALL = {"max_l": 2, "max_n": 3, "max_channels": 6}
FEATURES = BondFrameFeatures(**SMALL, threshold=1e-5, max_features=150)
PROBLEM, KNOWN = MatrixProblem(), small_molecules(32)
OXYGENS = Bonds("pair", 8, 8)


@pytest.fixture(scope="module")
def data():
    return PROBLEM.encode(KNOWN)[1]


@pytest.fixture(scope="module")
def frame():
    return BondFrame(FEATURES).fit([Samples.of(KNOWN)], {OXYGENS: 2, Bonds("pair", 1, 8): 2, Bonds("site", 8, 1): 2})


@pytest.fixture(scope="module")
def found(frame, data):
    return slopes_of(KNOWN, data, FEATURES)(frame)


def test_slopes_are_those_of_finite_differences(frame, data, monkeypatch):
    """Of the sums of answers, one after another in place of random signs, of all bonds."""
    monkeypatch.setattr(bond_slopes, "SAMPLED_BONDS", 5)
    kind = Bonds("pair", 1, 8)
    seen = {}
    real = bond_slopes._probed

    def probed(sums, components, seed):
        seen["sums"], seen["x"], seen["slopes"] = sums, components, real(sums, components, seed)
        return [unit_slopes(sums, components)]

    def unit_slopes(sums, x, step=1e-5):
        up, down = (sums.rows(x + torch.eye(len(x))[:, :, None][k] * s) for k, s in ((0, step), (0, -step)))
        seen["first"] = (up - down) / (2 * step)
        return torch.zeros_like(x)

    monkeypatch.setattr(bond_slopes, "_probed", probed)
    slopes_of(KNOWN, data, FEATURES)(BondFrame(FEATURES).fit([Samples.of(KNOWN)], {kind: 2}))
    x = seen["x"].clone().requires_grad_()
    answers = seen["sums"].rows(x)
    exact = torch.stack([torch.autograd.grad(a.sum(), x, retain_graph=True)[0][0] for a in answers])
    torch.testing.assert_close(exact, seen["first"], rtol=0, atol=1e-7 * float(seen["first"].abs().max()))
    in_the_mean = torch.stack([s[0] for s in seen["slopes"]]).square().mean()
    assert 0.2 < float(in_the_mean / exact.square().sum(dim=0).mean()) < 5


def test_stretching_keeps_the_total_variance(frame, found):
    """And the variances it names are those of its variables; no power, no change."""
    tile = frame.tile(Samples.of(KNOWN))
    for kind, own in frame.contractions_.items():
        new, rows = own.stretched(found[kind], 0.5, 0.0), tile.rows[kind]
        assert new.variances.sum() == pytest.approx(own.variances.sum(), rel=1e-10)
        x = new.components(rows)[: len(new.charges)][new.charges == 0]
        if not kind.is_like:
            np.testing.assert_allclose(x @ x.T / len(rows), np.diag(new.variances[new.charges == 0]), atol=1e-12)
        assert np.all(np.diff(new.variances[new.charges == 1]) <= 1e-15)
        same = own.stretched(found[kind], 0.0, 0.0)
        np.testing.assert_allclose(same.variances, own.variances, rtol=1e-9, atol=1e-15)


def test_slopes_of_nothing_leave_variables_as_they_are(frame):
    """Of bonds that no structure in hand has, say; but for those that vary too little."""
    own = frame.contractions_[Bonds("pair", 1, 8)]
    nothing = [torch.zeros(v.shape[1], v.shape[1], dtype=torch.float64) for v in own.vectors]
    share = float(np.median(own.variances) / own.variances.sum())
    new = own.stretched(nothing, 0.5, share)
    np.testing.assert_allclose(new.variances, own.variances[own.variances > share * own.variances.sum()], rtol=1e-9)


def test_stretched_variables_follow_the_slopes(frame):
    """What the answers do not depend on counts less, what they depend on more."""
    own = frame.contractions_[Bonds("pair", 1, 8)]
    slopes = [torch.zeros(v.shape[1], v.shape[1], dtype=torch.float64) for v in own.vectors]
    slopes[1][1, 1] = 1.0
    new = own.stretched(slopes, 1.0, 0.0)
    share = own.variances[own.charges == 1][1] / own.variances.sum()
    assert share < 0.5 and new.variances[new.charges == 1][0] > 0.5 * new.variances.sum()


def test_exchange_of_ends_stays_a_reflection(found, frame):
    """Distances are the same seen from the other end, so that kernels of like pairs are symmetric."""
    new = frame.contractions_[OXYGENS].stretched(found[OXYGENS], 0.5, 0.0)
    rows = frame.tile(Samples.of(KNOWN)).rows[OXYGENS]
    x, y = new.components(rows), new.components(rows, "j")
    assert not torch.allclose(x, y)
    torch.testing.assert_close(torch.cdist(x.T, x.T), torch.cdist(y.T, y.T), rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", ["features", "process"])
def test_a_model_of_stretched_variables(kind, data):
    """It turns exactly, comes back from its state, and is not the model without."""
    section = {
        "features": RidgeSettings(features=FEATURES),
        "process": KernelRidgeSettings(kernel=BondFrameKernel(**SMALL)),
    }[kind]
    learner = new_learner(section).fit(KNOWN, data, SILENT)
    new, turn = small_molecules(2, seed=1), random_rotation(np.random.default_rng(3))
    task = PROBLEM.encode(KNOWN)[0]
    before = learner.predict(new, SILENT)
    for group, y in pickle.loads(pickle.dumps(learner)).predict(new, SILENT).values().items():
        np.testing.assert_array_equal(y, before.values()[group])
    spec, tensors = learner.state()
    again = type(learner).from_state(section, data.n_targets, spec, tensors).predict(new, SILENT)
    turned = learner.predict([rotate(atoms, turn) for atoms in new], SILENT)
    for group, y in before.values().items():
        np.testing.assert_array_equal(again.values()[group], y)
    levels = [[np.linalg.eigvalsh(h) for h in PROBLEM.decode(task, answers, new)] for answers in (before, turned)]
    for one, other in zip(*levels, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9 if kind == "features" else 1e-5)
    part = "features" if kind == "features" else "kernel"
    plain = section.model_copy(update={part: getattr(section, part).model_copy(update={"relevance": 0.0})})
    other = new_learner(plain).fit(KNOWN, data, SILENT).predict(new, SILENT).values()
    assert max(float(np.abs(other[g] - y).max()) for g, y in before.values().items()) > 1e-6


def test_few_structures_are_not_asked(data):
    """Nor where the power is 0; of many, as many as the bounds let."""
    few = KNOWN[:29]
    assert slopes_of(few, data.part(np.arange(29)), FEATURES) is None
    assert slopes_of(KNOWN, data, FEATURES.model_copy(update={"relevance": 0.0})) is None
    assert slopes_of(KNOWN, data, FEATURES) is not None
    assert len(bond_slopes._chosen(KNOWN, data.order)) == 32


def test_large_molecules_are_fewer(data, monkeypatch):
    """So that the kernel of no family is larger than the bound."""
    monkeypatch.setattr(bond_slopes, "MOST_SAMPLES", 40)
    chosen = bond_slopes._chosen(KNOWN, data.order)
    assert 0 < len(chosen) < 16 and np.all(np.diff(chosen) > 0)
    said = []
    assert slopes_of(KNOWN, data, FEATURES, Job(said.append)) is None
    assert said == [
        f"variables count as they vary: {len(chosen)} of these molecules hold 40 pairs of one kind, and slopes are "
        "taken from 30 or more"
    ]


def test_the_kernel_of_slopes_has_its_own_length(frame):
    """Variables are rescaled to it."""
    kernel = bond_slopes._kernel_of(frame)
    assert isinstance(kernel, BondKernel)
    for kind, own in frame.contractions_.items():
        ratio = FEATURES.length / kernel.settings.length
        np.testing.assert_allclose(kernel.contractions_[kind].variances, ratio**2 * own.variances)
