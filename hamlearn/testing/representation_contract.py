"""The contract of representations, what makes features of atoms and pairs, for tests, also those of your own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from ase import Atoms
from safetensors.torch import load, save
from torch import Tensor

from hamlearn.errors import DomainError
from hamlearn.features import Features, Representation
from hamlearn.features.terms import Terms
from hamlearn.structures import permute, random_rotation, rotate, translate
from hamlearn.structures.families import Family
from hamlearn.structures.samples import Samples
from hamlearn.testing import TOLERANCE
from hamlearn.testing.exact_problems import small_molecules
from hamlearn.testing.moved_samples import Sample, moved_rows, rotation_of
from hamlearn.types import FloatArray, IntArray, Irrep

EXACT = TOLERANCE["float64"]["exact"]
KNOWN, NEW = small_molecules(6), small_molecules(3, seed=1)
FAMILIES = tuple(
    Family(*family)
    for family in (
        *(("on_site", 1, 1), ("on_site", 8, 8), ("cross", 1, 8)),
        *(("plus", 1, 1), ("minus", 1, 1), ("plus", 8, 8), ("minus", 8, 8)),
    )
)
FAR = 30.0
"""Å, of an atom beyond every cut-off."""
STEP = 1e-4
"""Å, of numerical derivatives."""

Table = dict[tuple[Family, Irrep], FloatArray]


class RepresentationContract:
    """What every representation must do; a class of tests derives from it and names the representation.

    ::

        class TestMine(RepresentationContract):
            representation = MyRepresentation
            settings = MySettings()

    Write :class:`hamlearn.features.Representation`, made from its settings alone, and what it returns,
    :class:`hamlearn.features.Features`; :class:`hamlearn.features.terms.Terms` hold the features of a family, and need
    not multiply them out. Run pytest. Molecules are distorted waters and hydrogen peroxides. Beside these two there are

    - ``irreps``: the (L, sigma) asked for; each must find features in some family, but for (0, -1);
    - ``tolerance``: of symmetries, relative to the largest feature of its kind.

    A representation must

    - turn features with the structures, x(R A) = s D^L(R) x(A), s = 1 for proper and sigma for improper R, ignore
      translations, and follow permutations of the atoms, with the sign of the family for pairs of like atoms;
    - find the same features of a structure alone and among others, and see no atom beyond the cut-off, whose largest
      is less than 20 Å; what a pair farther apart than that has is 0;
    - know how many there are without making any, also of no structures, and project them as if they were multiplied
      out;
    - be differentiable with respect to the positions, and compute in the precision that these have;
    - refuse elements it was not fitted to, leave structures as they are, find the same when it is fitted again, and be
      the same after ``state`` and ``from_state``, with a file between that holds tensors of others as well.
    """

    representation: ClassVar[type[Representation]]
    settings: ClassVar[Any]
    irreps: ClassVar[Sequence[Irrep]] = tuple((L, sigma) for L in range(4) for sigma in (1, -1))
    tolerance: ClassVar[float] = TOLERANCE["float64"]["equivariance"]

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls) -> Representation:
        """Return the representation, fitted to the known molecules in two batches."""
        return cls._new()

    @pytest.fixture(scope="class")
    @classmethod
    def features(cls, fitted: Representation) -> Table:
        """Return the features of new molecules, of all families and symmetries."""
        return cls()._table(fitted, NEW)

    def test_every_symmetry_has_features(self, features: Table) -> None:
        """A row for every sample, numbers that are finite, and some of each kind that are not zero."""
        for (family, irrep), x in features.items():
            assert x.shape[:2] == (len(self._rows(family, NEW)), 2 * irrep[0] + 1)
            assert np.isfinite(x).all()
        for irrep in self.irreps:
            largest = max(np.abs(x).max(initial=0.0) for (_, other), x in features.items() if other == irrep)
            assert largest > 1e-6 or irrep == (0, -1), irrep

    @pytest.mark.parametrize("improper", [False, True])
    def test_features_turn_with_the_molecules(self, fitted: Representation, features: Table, improper: bool) -> None:
        """As their labels say, wherever the molecules are."""
        rotation = random_rotation(np.random.default_rng(0), improper)
        moved = [translate(rotate(atoms, rotation), [3.0, -2.0, 1.0]) for atoms in NEW]
        d = {irrep: rotation_of(irrep, rotation) for irrep in self.irreps}
        turned = {key: np.einsum("mn,snq->smq", d[key[1]], x) for key, x in features.items()}
        self._assert_equal(self._table(fitted, moved), turned)

    def test_features_follow_permutations(self, fitted: Representation, features: Table) -> None:
        """Of one molecule at random; of others the atoms in the opposite order, every pair seen from its other end."""
        orders = [np.random.default_rng(0).permutation(len(NEW[0])), *(np.arange(len(a))[::-1] for a in NEW[1:])]
        moved, expected = [permute(a, order) for a, order in zip(NEW, orders, strict=True)], {}
        for (family, irrep), x in features.items():
            rows, signs = self._moved(family, orders)
            expected[family, irrep] = signs[:, None, None] * x[rows]
        self._assert_equal(self._table(fitted, moved), expected)

    def test_molecules_do_not_see_each_other(self, fitted: Representation, features: Table) -> None:
        """The last one alone has the last rows of all; none is changed."""
        before = [atoms.copy() for atoms in NEW]
        alone = self._table(fitted, NEW[-1:])
        self._assert_equal(alone, {key: x[len(x) - len(alone[key]) :] for key, x in features.items()})
        assert all(one == other for one, other in zip(NEW, before, strict=True))

    def test_what_lies_beyond_the_cut_off_does_not_count(self, fitted: Representation) -> None:
        """Other atoms do not see it, and a pair that reaches so far has no features but zeros."""
        near, far = NEW[0], NEW[0] + Atoms("H", [[0, 0, FAR]])
        alone = self._table(fitted, [near])
        kept = {}
        for (family, irrep), x in self._table(fitted, [far]).items():
            reaches = np.array([len(near) in sample for sample in self._rows(family, [far])], dtype=bool)
            assert family.kind == "on_site" or not x[reaches].any()
            kept[family, irrep] = x[~reaches]
        self._assert_equal(kept, alone)

    def test_projection_is_the_product_with_weights(self, fitted: Representation, features: Table) -> None:
        """The answer of a linear model, without making its features."""
        terms = dict(self._terms(fitted, Samples.of(NEW)))
        found = {key: own.project(self._weights(own)).numpy() for key, own in terms.items()}
        expected = {key: x @ self._random(x.shape[2]).numpy() for key, x in features.items()}
        self._assert_equal(found, expected)

    def test_the_number_of_features_is_known_before_they_are_made(
        self, fitted: Representation, features: Table
    ) -> None:
        """And of no structures there are as many, for no rows."""
        none = self._table(fitted, [])
        for (family, irrep), x in features.items():
            assert fitted.n_features(family, irrep) == x.shape[2]
            assert none[family, irrep].shape == (0, *x.shape[1:])

    def test_features_are_differentiable(self, fitted: Representation) -> None:
        """With respect to all positions, multiplied out and contracted with weights, of every family and symmetry."""
        samples = Samples.of(NEW[1:2])
        x = samples.positions.clone().requires_grad_()
        along = torch.from_numpy(np.random.default_rng(1).normal(size=tuple(x.shape)))
        moved = [self._totals(fitted, samples.at(samples.positions + sign * STEP * along)) for sign in (1, -1)]
        for key, total in self._totals(fitted, samples.at(x)).items():
            slope = 0.0
            if total.requires_grad:  # there may be no features of this kind
                (gradient,) = torch.autograd.grad(total, x, retain_graph=True)
                slope = float((gradient * along).sum())
            up, down = (float(values[key].detach()) for values in moved)
            assert abs(slope - (up - down) / (2 * STEP)) < 1e-5 * max(1.0, abs(slope)), key

    def test_features_have_the_precision_of_the_positions(self, fitted: Representation, features: Table) -> None:
        """Single or double, also of projections."""
        samples = Samples.of(NEW)
        for key, terms in self._terms(fitted, samples.at(samples.positions.float())):
            both = terms.tensor(), terms.project(self._weights(terms))
            assert {made.dtype for made in both} == {torch.float32}
            size = max(1.0, float(np.abs(features[key]).max(initial=0.0)))
            np.testing.assert_allclose(both[0].numpy(), features[key], rtol=0, atol=1e-4 * size, err_msg=f"{key}")

    def test_a_saved_representation_is_the_same(self, fitted: Representation, features: Table) -> None:
        """Through a file of tensors, among those of others; and so is one that was fitted again."""
        state = {name: tensor.contiguous() for name, tensor in fitted.state().items()}
        stored = load(save(state | {"of_another": torch.zeros(1)}))
        again = self.representation.from_state(self.settings, stored)
        assert self._table(again, NEW).keys() == features.keys()
        for key, x in self._table(again, NEW).items():
            np.testing.assert_array_equal(x, features[key])
        self._assert_equal(self._table(self._new(), NEW), features)

    def test_unknown_elements_are_refused(self, fitted: Representation) -> None:
        """In the words of a domain error."""
        strange = Samples.of([NEW[0], Atoms("OHF", np.eye(3))])
        with pytest.raises(DomainError):
            fitted.features(strange).terms(Family("on_site", 8, 8), (0, 1))

    @classmethod
    def _new(cls) -> Representation:
        return cls.representation(cls.settings).fit(Samples.of(batch) for batch in (KNOWN[:4], KNOWN[4:]))

    def _terms(self, fitted: Representation, samples: Samples) -> Iterator[tuple[tuple[Family, Irrep], Terms]]:
        """Yield the features of every family and symmetry, not multiplied out."""
        features: Features = fitted.features(samples)
        for family in FAMILIES:
            for irrep in self.irreps:
                yield (family, irrep), features.terms(family, irrep)

    def _table(self, fitted: Representation, structures: Sequence[Atoms]) -> Table:
        """Return all features of some structures [sample, 2L+1, feature]."""
        return {key: terms.tensor().numpy() for key, terms in self._terms(fitted, Samples.of(structures))}

    def _totals(self, fitted: Representation, samples: Samples) -> dict[tuple[Family, Irrep], Tensor]:
        """Return one number of the features of every kind and of their projection, every one with another weight."""
        out = {}
        for key, terms in self._terms(fitted, samples):
            every = torch.cat([terms.tensor().flatten(), terms.project(self._weights(terms)).flatten()])
            out[key] = every @ torch.linspace(0.5, 1.5, len(every)).to(every)
        return out

    def _weights(self, terms: Terms) -> Tensor:
        """Return weights for two answers, in the precision of the features [feature, 2]."""
        return self._random(terms.n_features).to(terms.like)

    def _random(self, n: int) -> Tensor:
        return torch.from_numpy(np.random.default_rng(0).normal(size=(n, 2)))

    def _rows(self, family: Family, structures: Sequence[Atoms]) -> list[Sample]:
        """Return the atoms of every row of a family; those of a pair, or the one."""
        rows = family.samples([atoms.numbers for atoms in structures])[:, 1:].tolist()
        return [(i,) if family.kind == "on_site" else (i, j) for i, j in rows]

    def _moved(self, family: Family, orders: Sequence[IntArray]) -> tuple[IntArray, FloatArray]:
        """Return where the rows of permuted molecules were before, and their signs."""
        rows, signs, start = [], [], 0
        for atoms, order in zip(NEW, orders, strict=True):
            before, after = (self._rows(family, [one]) for one in (atoms, permute(atoms, order)))
            own, sign = moved_rows(before, after, order, -1 if family.kind == "minus" else 1)
            rows.append(np.array(own, dtype=np.int64) + start)
            signs.append(sign)
            start += len(own)
        return np.concatenate(rows), np.concatenate(signs)

    def _assert_equal(self, found: Table, expected: Table) -> None:
        """Fail unless all features agree, relative to the largest of its kind or 1."""
        __tracebackhide__ = True
        assert found.keys() == expected.keys()
        for key, x in expected.items():
            bound = self.tolerance * max(1.0, float(np.abs(x).max(initial=0.0)))
            assert found[key].shape == x.shape, key
            off = float(np.abs(found[key] - x).max(initial=0.0))
            assert off <= bound, f"{key} is off by {off:.1e}, more than {bound:.1e}"
