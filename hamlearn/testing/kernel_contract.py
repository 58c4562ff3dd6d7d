"""The contract of kernels, of structures, their atoms, pairs and larger groups, for tests, also those of your own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
from ase import Atoms

from hamlearn.errors import DomainError
from hamlearn.structures import permute, random_rotation, rotate, translate
from hamlearn.testing import TOLERANCE
from hamlearn.testing.exact_problems import small_molecules
from hamlearn.testing.moved_samples import Sample, moved_rows, rotation_of
from hamlearn.types import FloatArray, IntArray

EXACT = TOLERANCE["float64"]["exact"]
KNOWN, LEFT, RIGHT = small_molecules(4), small_molecules(3, seed=1), small_molecules(2, seed=2)
FAR = np.array([[0, 0, 30.0], [45.0, 0, 0]])
"""Å, places of an atom beyond every cut-off."""


class Part(NamedTuple):
    """One of the kernels that are evaluated together: an order, a family, a symmetry.

    Attributes:
        name: what it is; parts of one name must not all be zero.
        L: angular momentum.
        sigma: parity beside (-1)^L.
        exchange: sign of a pair seen from its other end.
        of: whatever tells its samples apart, such as elements; nothing for kernels of structures.
    """

    name: str
    L: int = 0
    sigma: int = 1
    exchange: int = 1
    of: Any = None


Kernels = Mapping[Part, FloatArray]
"""K(A, B) of each part [samples of A, 2L+1, samples of B, 2L+1], structure by structure."""


class KernelContract:
    """What every kernel must do; a class of tests derives from it and says how the kernel is made and evaluated.

    ::

        class TestMine(KernelContract):
            def fitted(self, structures):
                return MyKernel().fit(structures)

            def evaluate(self, kernel, a, b=None):
                return {Part("mine"): kernel(a, a if b is None else b)[:, None, :, None]}

    Run pytest. Molecules are distorted waters and hydrogen peroxides. Beside these two methods there are

    - ``samples``: of which atoms the rows of a part are, for kernels of atoms, pairs and larger groups;
    - ``reloaded``: the kernel after it was saved, if it can be;
    - ``oracle``: the same numbers another way, if there is one, and ``oracle_tolerance`` for how well it is known;
    - ``with_small_tiles``: makes the kernel work through tiles as small as they get, where it has any;
    - ``positive``: False for a kernel that need not be positive semi-definite;
    - ``refuses_elements``: False for a kernel that takes elements it was not fitted to;
    - ``tolerance``: of symmetries, relative to the largest value of the parts of one name.

    A kernel must

    - be symmetric, K(A, B) = K(B, A)^T, and the same for one set with itself as for two equal sets;
    - turn with either side, k(R A, S B) = s D^L(R) k D^L(S)^T, s = 1 for proper and sigma for improper R S, which for
      L = 0 and sigma = 1 is invariance; ignore translations; follow permutations of the atoms, odd pairs with a sign;
    - be positive semi-definite but for rounding, and not all zero;
    - give for every pair of structures the same, whatever others are asked for with them;
    - see nothing beyond the cut-off, whose largest is less than 20 Å;
    - refuse elements it does not know, leave structures as they are, and be the same after it was saved.
    """

    positive: ClassVar[bool] = True
    refuses_elements: ClassVar[bool] = True
    tolerance: ClassVar[float] = TOLERANCE["float64"]["equivariance"]
    oracle_tolerance: ClassVar[float] = EXACT

    def fitted(self, structures: Sequence[Atoms]) -> Any:
        """Return the kernel, fitted."""
        raise NotImplementedError

    def evaluate(self, kernel: Any, a: Sequence[Atoms], b: Sequence[Atoms] | None = None) -> Kernels:
        """Return K(A, B), of A with itself without B: there a kernel may save half of the work."""
        raise NotImplementedError

    def samples(self, part: Part, atoms: Atoms) -> Sequence[Sample]:
        """Return the atoms of every row that a structure has in a part, the centre first; () is the structure."""
        return [()]

    def reloaded(self, kernel: Any) -> Any | None:
        """Return the kernel that was saved and loaded; None for one that is never saved."""
        return None

    def oracle(self, kernel: Any, a: Sequence[Atoms], b: Sequence[Atoms]) -> Kernels | None:
        """Return K(A, B) of some parts or all by brute force; None if there is no other way."""
        return None

    def with_small_tiles(self, kernel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make tiles as small as they get; nothing to do for a kernel without any."""

    @pytest.fixture(scope="class")
    @classmethod
    def kernel(cls) -> Any:
        """Return the kernel, fitted to the known molecules."""
        return cls().fitted(KNOWN)

    @pytest.fixture(scope="class")
    @classmethod
    def between(cls, kernel: Any) -> Kernels:
        """Return K of two sets of other molecules."""
        return cls().evaluate(kernel, LEFT, RIGHT)

    @pytest.fixture(scope="class")
    @classmethod
    def own(cls, kernel: Any) -> Kernels:
        """Return K of one set with itself."""
        return cls().evaluate(kernel, LEFT)

    def test_there_is_a_value_for_all_samples(self, between: Kernels) -> None:
        """And of every name, some are not zero."""
        assert between
        for part, k in between.items():
            n, m = (sum(len(self.samples(part, atoms)) for atoms in side) for side in (LEFT, RIGHT))
            assert k.shape == (n, 2 * part.L + 1, m, 2 * part.L + 1)
            assert np.isfinite(k).all(), part
        assert min(_sizes(between).values()) > 1e-9, _sizes(between)

    def test_it_is_symmetric(self, kernel: Any, between: Kernels, own: Kernels) -> None:
        """K(A, B) = K(B, A)^T; of one set with itself as of two equal ones."""
        swapped = {part: k.transpose(2, 3, 0, 1) for part, k in self.evaluate(kernel, RIGHT, LEFT).items()}
        self._assert_equal(swapped, between)
        self._assert_equal({part: k.transpose(2, 3, 0, 1) for part, k in own.items()}, own)
        self._assert_equal(self.evaluate(kernel, LEFT, [atoms.copy() for atoms in LEFT]), own)

    @pytest.mark.parametrize(("improper_a", "improper_b"), [(True, False), (True, True)])
    def test_it_turns_with_either_side(self, kernel: Any, between: Kernels, improper_a: bool, improper_b: bool) -> None:
        """Wherever molecules are."""
        rng = np.random.default_rng(0)
        r, s = random_rotation(rng, improper_a), random_rotation(rng, improper_b)
        a = [translate(rotate(atoms, r), [3.0, -1.0, 2.0]) for atoms in LEFT]
        b = [translate(rotate(atoms, s), rng.normal(size=3)) for atoms in RIGHT]
        irreps = {(part.L, part.sigma) for part in between}
        turns = {irrep: (rotation_of(irrep, r), rotation_of(irrep, s)) for irrep in irreps}
        expected = {}
        for part, k in between.items():
            d_r, d_s = turns[part.L, part.sigma]
            expected[part] = np.einsum("ab,ibjc,dc->iajd", d_r, k, d_s)
        self._assert_equal(self.evaluate(kernel, a, b), expected)

    def test_it_follows_permutations(self, kernel: Any, between: Kernels) -> None:
        """Of one molecule at random; of others the atoms in the opposite order, every pair seen from its other end."""
        orders = [np.random.default_rng(0).permutation(len(LEFT[0])), *(np.arange(len(a))[::-1] for a in LEFT[1:])]
        expected = {}
        for part, k in between.items():
            rows, signs = self._moved(part, orders)
            expected[part] = signs[:, None, None, None] * k[rows]
        moved = [permute(atoms, order) for atoms, order in zip(LEFT, orders, strict=True)]
        self._assert_equal(self.evaluate(kernel, moved, RIGHT), expected)

    def test_it_is_positive(self, own: Kernels) -> None:
        """No eigenvalue below zero but for rounding."""
        if not self.positive:
            return
        sizes = _sizes(own)
        for part, k in own.items():
            values = np.linalg.eigvalsh(k.reshape(k.shape[0] * k.shape[1], -1))
            assert values[0] >= -self.tolerance * len(values) * sizes[part.name], part

    def test_it_equals_its_oracle(self, kernel: Any, between: Kernels) -> None:
        """Where there is one."""
        expected = self.oracle(kernel, LEFT, RIGHT)
        if expected is not None:
            assert expected
            self._assert_equal({part: between[part] for part in expected}, expected, self.oracle_tolerance)

    def test_structures_do_not_see_each_other(
        self, kernel: Any, between: Kernels, own: Kernels, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A pair of them alone has its values among many, in tiles of any size; all of either set are left as is."""
        before = [atoms.copy() for atoms in (*LEFT, *RIGHT)]
        alone, cut = self.evaluate(kernel, LEFT[1:2], RIGHT[1:]), {}
        for part in alone:
            of_a, of_b = (self._ends(part, side) for side in (LEFT, RIGHT))
            cut[part] = between[part][of_a[1] : of_a[2], :, of_b[1] : of_b[2]]
        self._assert_equal(alone, cut)
        self.with_small_tiles(kernel, monkeypatch)
        self._assert_equal(self.evaluate(kernel, LEFT, RIGHT), between)
        self._assert_equal(self.evaluate(kernel, LEFT), own)
        assert all(one == other for one, other in zip((*LEFT, *RIGHT), before, strict=True))

    def test_what_lies_beyond_the_cut_off_does_not_count(self, kernel: Any) -> None:
        """Wherever it is: other rows do not change, and a pair that reaches so far has kernel 0."""
        near = LEFT[0]
        far = [near + Atoms("H", [place]) for place in FAR]
        one, other = (self.evaluate(kernel, [atoms], RIGHT) for atoms in far)
        self._assert_equal(one, other)
        alone, kept = self.evaluate(kernel, [near], RIGHT), {}
        for part, k in one.items():
            samples = self.samples(part, far[0])
            reaches = np.array([len(near) in sample for sample in samples], dtype=bool)
            several = np.array([len(sample) > 1 for sample in samples], dtype=bool)
            assert not k[reaches & several].any(), part
            if () not in samples and part in alone:
                kept[part] = k[~reaches]
        self._assert_equal(kept, {part: alone[part] for part in kept})

    def test_a_saved_kernel_is_the_same(self, kernel: Any, between: Kernels) -> None:
        """To the last digit that symmetries have."""
        again = self.reloaded(kernel)
        if again is not None:
            assert again is not kernel
            self._assert_equal(self.evaluate(again, LEFT, RIGHT), between)

    def test_unknown_elements_are_refused(self, kernel: Any) -> None:
        """In the words of a domain error."""
        if self.refuses_elements:
            with pytest.raises(DomainError):
                self.evaluate(kernel, [LEFT[0], Atoms("OHF", np.eye(3))], RIGHT)

    def _assert_equal(self, found: Kernels, expected: Kernels, tolerance: float | None = None) -> None:
        """Fail unless all parts agree, relative to the largest value of the parts of one name."""
        __tracebackhide__ = True
        assert found.keys() == expected.keys()
        sizes = _sizes(expected)
        for part, k in expected.items():
            bound = (self.tolerance if tolerance is None else tolerance) * sizes[part.name]
            assert found[part].shape == k.shape, part
            off = float(np.abs(found[part] - k).max(initial=0.0))
            assert off <= bound, f"{part} is off by {off:.1e}, more than {bound:.1e}"

    def _ends(self, part: Part, structures: Sequence[Atoms]) -> IntArray:
        """Return the first row of every structure, and the number of rows."""
        return np.cumsum([0, *(len(self.samples(part, atoms)) for atoms in structures)])

    def _moved(self, part: Part, orders: Sequence[IntArray]) -> tuple[IntArray, FloatArray]:
        """Return where the rows of permuted molecules were before, and their signs."""
        rows, signs = [], []
        for atoms, order, start in zip(LEFT, orders, self._ends(part, LEFT)[:-1], strict=True):
            before, after = (self.samples(part, one) for one in (atoms, permute(atoms, order)))
            own, sign = moved_rows(before, after, order, part.exchange)
            rows.append(np.array(own, dtype=np.int64) + start)
            signs.append(sign)
        return np.concatenate(rows), np.concatenate(signs)


def _sizes(kernels: Kernels) -> dict[str, float]:
    """Return the largest value of all parts of each name."""
    out: dict[str, float] = {}
    for part, k in kernels.items():
        out[part.name] = max(out.get(part.name, 0.0), float(np.abs(k).max(initial=0.0)))
    return out
