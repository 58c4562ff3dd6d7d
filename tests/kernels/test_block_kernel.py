"""Kernels of atoms and pairs for matrix blocks: selections, limits, what they reach, and bad input."""

import numpy as np
import pytest
from ase import Atoms
from block_kernels import FORMS, IRREPS, SMALL, all_kernels, families_of, matrix, molecules

from hamlearn.config import WignerSettings
from hamlearn.errors import ConfigError
from hamlearn.kernels import BlockKernel, Centres, block_kernel, block_tiles
from hamlearn.kernels.block_tiles import reaches
from hamlearn.o3.nodes import NodeGrid
from hamlearn.structures.families import Family
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
HH = {kind: Family(kind, 1, 1) for kind in ("plus", "minus")}


@pytest.fixture(scope="module", params=FORMS)
def kernel(request):
    return BlockKernel(FORMS[request.param]).fit(molecules(0, 4))


@pytest.fixture(scope="module")
def plain():
    return BlockKernel(SMALL).fit(molecules(0, 4))


def test_parts_and_selections_are_rows_and_columns(kernel):
    """An active set sees all that its samples need: environments, and bonds of messages."""
    a, b = kernel.centres(molecules(4, 3)), kernel.centres(molecules(5, 4))
    wanted = dict.fromkeys(families_of(a), IRREPS[:2])
    whole = kernel.between(a, b, wanted)
    part, where = a.part(1, 3)
    rng = np.random.default_rng(0)
    chosen = {f: np.sort(rng.permutation(b.count(f))[: (b.count(f) + 1) // 2]) for f in wanted if f.kind != "minus"}
    found = kernel.between(part, b.select(chosen), wanted)
    for (family, irrep), k in whole.items():
        columns = chosen[Family("plus", family.species_i, family.species_j) if family.kind == "minus" else family]
        np.testing.assert_allclose(found[family, irrep], k[where[family]][:, :, columns], atol=EXACT)


def test_centres_are_saved_and_loaded(kernel):
    """With the bonds of messages."""
    centres = kernel.centres(molecules(1, 2))
    loaded, wanted = Centres.from_tensors(centres.tensors()), dict.fromkeys(families_of(centres), ((1, 1),))
    before, after = (kernel.between(centres, c, wanted) for c in (kernel.centres(molecules(1, 2)), loaded))
    for key, k in before.items():
        np.testing.assert_array_equal(after[key], k)


def test_mean_kernel_of_a_pair_with_itself_is_normalised(plain):
    """k_i(1) and t(1) have mean 1 over the training set."""
    centres = plain.centres(molecules(0, 4))
    for c in centres.densities.values():
        assert float((c**2).sum()) / len(c) == pytest.approx(1.0)
    for bonds in centres.bonds.values():
        assert (bonds.radial**2).sum() / len(bonds) == pytest.approx(1.0)


def test_two_centre_limit():
    """Without environments a pair is its bond vector: no pseudotensor, and plus is even in it, minus odd."""
    kernel = BlockKernel(SMALL.model_copy(update={"max_nu_pair": 0})).fit(molecules(0, 3))
    k = all_kernels(kernel, molecules(1, 2), molecules(2, 2))
    for (family, (L, sigma)), values in k.items():
        if family.kind == "on_site":
            continue
        allowed = sigma == 1 and (family.kind == "cross" or (family.kind == "plus") == (L % 2 == 0))
        assert (abs(values).max() > 1e-6) == allowed


def test_mixture_of_orders_is_what_is_asked_for(plain):
    """Weights b^nu / nu! given one by one."""
    given_ones = BlockKernel(SMALL.model_copy(update={"mixture_i": (1.0, 1.5, 1.125)})).fit(molecules(0, 4))
    a, b = molecules(1, 1), molecules(2, 1)
    found = all_kernels(given_ones, a, b)
    for key, k in all_kernels(plain, a, b).items():
        np.testing.assert_allclose(found[key], k, atol=EXACT)


def test_forms_agree_where_they_must():
    """P(k_i) P(k_j) = P(k_i + k_j) up to order 1 + k_i + k_j, and P(k_i) is P(k_i + k_j) of order 0."""
    a, b = molecules(1, 1), molecules(2, 1)
    kernels = [
        BlockKernel(SMALL.model_copy(update={"form": form, "max_nu_pair": 0})).fit(molecules(0, 3))
        for form in ("sum", "one_sided", "product")
    ]
    first, *others = (all_kernels(kernel, a, b) for kernel in kernels)
    for other in others:
        for key, k in first.items():
            np.testing.assert_allclose(other[key], k, atol=EXACT)


def test_the_grid_is_exact(plain, monkeypatch):
    """A larger one changes nothing, a smaller one does."""
    a, b = molecules(1, 1), molecules(2, 1)
    expected = all_kernels(plain, a, b)
    for extra, same in ((4, True), (-2, False)):
        monkeypatch.setattr(block_tiles, "NodeGrid", lambda max_l, degree, extra=extra: NodeGrid(max_l, degree + extra))
        found = all_kernels(plain, a, b)
        off = max(abs(found[key] - k).max(initial=0.0) for key, k in expected.items())
        assert (off < EXACT) == same


@pytest.mark.parametrize(
    "settings",
    [
        {"max_nu_centre": 1, "max_nu_pair": 0},
        {"max_nu_centre": 2, "max_nu_pair": 1},
        {"max_nu_centre": 1, "max_nu_pair": 2, "message_passing": True},
        {"max_nu_pair": 2, "mixture_i": (1.0, 0.5, 0.0)},
        {"max_nu_pair": 1, "form": "product"},
        {"max_nu_pair": 0, "max_l": 2},
        {"max_nu_centre": 3, "rate": 0.0},
    ],
)
def test_kernels_reach_what_they_are_said_to_reach(settings):
    small = SMALL.model_copy(update={"max_l": 1, "max_nu_centre": 1, **settings})
    atoms = molecules(3, 2)
    kernel = BlockKernel(small).fit(atoms)
    centres = kernel.centres(atoms)
    irreps = [(L, sigma) for L in range(1, 5) for sigma in (1, -1)]
    for family in (Family("on_site", 8, 8), Family("cross", 1, 8), HH["plus"], HH["minus"]):
        for irrep, k in kernel.between(centres, centres, {family: irreps}).items():
            assert (np.abs(k).max() > 1e-12) == reaches(small, family.kind, *irrep[1])


def test_mixtures_that_differ_within_a_like_pair_are_refused():
    """They would make kernels of that pair that are not positive, and only those."""
    different = SMALL.model_copy(update={"form": "product", "mixture_i": (1.0, 1.0), "mixture_j": (1.0, 0.5)})
    BlockKernel(different.model_copy(update={"mixture_j": (1.0, 1.0, 0.0)})).fit(molecules(0, 2))  # the same polynomial
    with pytest.raises(ConfigError, match=r"mixture_j \[1.0, 0.5\].*pair of H.*slot j"):
        BlockKernel(different).fit(molecules(0, 2))
    hydroxyl = [Atoms("OH", [[0, 0, 0], [0, 0, r]]) for r in (0.9, 1.0)]
    kernel = BlockKernel(different).fit(hydroxyl)
    gram = matrix(all_kernels(kernel, hydroxyl)[Family("cross", 1, 8), (1, 1)])
    assert np.linalg.eigvalsh(gram)[0] > -EXACT


def test_a_like_pair_with_different_mixtures_is_not_positive(monkeypatch):
    """Why they are refused."""
    different = SMALL.model_copy(update={"form": "product", "mixture_i": (0.0, 1.0), "mixture_j": (1.0, 0.0)})
    monkeypatch.setattr(block_kernel, "check_mixtures", lambda *_: None)
    kernel = BlockKernel(different).fit(molecules(0, 4))
    k = all_kernels(kernel, molecules(3, 4))
    lowest = [np.linalg.eigvalsh(matrix(k[HH[kind], (1, 1)]) + matrix(k[HH[kind], (1, 1)]).T) for kind in HH]
    assert min(values[0] / values[-1] for values in lowest) < -1e-3


@pytest.mark.parametrize("values", [{"mixture_i": (1.0, -0.1)}, {"mixture_i": (0.0,)}, {"rate": float("nan")}])
def test_weights_that_are_not_positive_or_finite_are_refused(values):
    with pytest.raises(ValueError, match="|".join(("not negative", "finite", "greater than or equal to 0"))):
        WignerSettings(**values)
