"""Products by e3nn, beside those of hamlearn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from side_by_side_hamlearn import CHECKED, IRREPS, MAX_L, OUTPUTS, Molecules, Ours, Work, deviation

from hamlearn.features.cg_iteration import products
from hamlearn.features.n_centre import split_by_l
from hamlearn.features.terms import Terms
from hamlearn.structures.families import Family
from hamlearn.structures.samples import Samples
from hamlearn.types import Irrep


class E3nn:
    """Products by e3nn, from densities that are there: rho_i x g_ij of hydrogen and carbon, four densities of atoms."""

    def __init__(self, ours: Ours, molecules: Molecules) -> None:
        from e3nn import o3

        self._ours, self._known = ours, dict[tuple[int, int], tuple[Any, Any]]()
        rho, g = self.factors(molecules[:1])[0]
        irreps = [o3.Irreps([(x.shape[2], (l, (-1) ** l)) for (l, _), x in e.items()]) for e in (rho, g)]
        wanted = [o3.Irrep(L, sigma * (-1) ** L) for L, sigma in IRREPS]
        self.full = o3.FullTensorProduct(*irreps, filter_ir_out=wanted)
        outputs = o3.Irreps([(OUTPUTS, irrep) for irrep in wanted])
        self.connected = o3.FullyConnectedTensorProduct(*irreps, outputs, internal_weights=False, shared_weights=True)
        self.weights = {
            i: torch.ones(x.shape[2], OUTPUTS) for i, x in zip(IRREPS, self.products(molecules[:1]), strict=True)
        }
        self.their_weights = torch.ones(self.connected.weight_numel)
        assert self.connected.weight_numel == sum(w.numel() for w in self.weights.values())
        every = [o3.Irrep(l, parity) for l in range(MAX_L + 1) for parity in (1, -1)]
        steps = [channel_wise(irreps[0], irreps[0], every, summed=True)]
        steps.append(channel_wise(steps[0].irreps_out, irreps[0], every, summed=True))
        self.powers = [*steps, channel_wise(steps[1].irreps_out, irreps[0], wanted, summed=False)]

    def works(self, molecules: Molecules) -> list[Work]:
        """Return what both make."""
        return [
            Work(
                "products rho_i x g_ij of H-C", self.products, self.their_products, self.deviation(molecules[:CHECKED])
            ),
            Work(f"{OUTPUTS} weighted sums of them", self.sums, self.their_sums),
        ]

    def factors(self, molecules: Molecules) -> tuple[Any, Any]:
        """Return rho_i and g_ij by l; these and densities of hydrogens as e3nn has them [sample, channel and m]."""
        name = id(molecules[0]), len(molecules)
        if name not in self._known:  # made once, and not timed
            tile = self._ours.featurizer.features(Samples.of(molecules))
            pairs = tile.samples.family(Family("cross", 1, 6))
            g = self._ours.featurizer.expansion_.pair_functions(tile.samples, pairs, (1, 6))
            rho = tile.densities[1][torch.from_numpy(tile.samples.row[pairs.i])]
            by_l = [split_by_l(x) for x in (rho, g, tile.densities[1])]
            self._known[name] = by_l[:2], [flat(e) for e in by_l]
        return self._known[name]

    def _terms(self, molecules: Molecules) -> list[Terms]:
        rho, g = self.factors(molecules)[0]
        return [Terms(products(rho, g, irrep), rho[0, 1], irrep[0]) for irrep in IRREPS]

    def products(self, molecules: Molecules) -> list[torch.Tensor]:
        """Return all products by hamlearn [pair, 2L+1, feature]."""
        return [terms.tensor() for terms in self._terms(molecules)]

    def sums(self, molecules: Molecules) -> list[torch.Tensor]:
        """Return weighted sums of them by hamlearn [pair, 2L+1, output]."""
        both = zip(self._terms(molecules), self.weights.values(), strict=True)
        return [terms.project(weights) for terms, weights in both]

    def their_products(self, molecules: Molecules) -> list[torch.Tensor]:
        """Return all products by e3nn [pair, feature and m]."""
        return [self.full(*self.factors(molecules)[1][:2])]

    def their_sums(self, molecules: Molecules) -> list[torch.Tensor]:
        """Return weighted sums of them by e3nn [pair, output and m]."""
        return [self.connected(*self.factors(molecules)[1][:2], self.their_weights)]

    def their_powers(self, molecules: Molecules) -> list[torch.Tensor]:
        """Return products of four densities of hydrogens, channel by channel [atom, feature and m]."""
        rho = self.factors(molecules)[1][2]
        out = rho
        for power in self.powers:
            out = power(out, rho)
        return [out]

    def deviation(self, molecules: Molecules) -> float:
        """Return the largest of the products of all symmetries."""
        (theirs,), worst = self.their_products(molecules), 0.0
        for (L, sigma), ours in zip(IRREPS, self.products(molecules), strict=True):
            parts = [
                theirs[:, own].unflatten(1, (mul, ir.dim)).transpose(1, 2)
                for (mul, ir), own in zip(self.full.irreps_out, self.full.irreps_out.slices(), strict=True)
                if (ir.l, ir.p) == (L, sigma * (-1) ** L)
            ]
            worst = max(worst, deviation(ours, [torch.cat(parts, dim=2)]))
        return worst


def flat(e: Mapping[Irrep, torch.Tensor]) -> torch.Tensor:
    """Return equivariants as e3nn has them [sample, channel and m of every l]."""
    return torch.cat([x.transpose(1, 2).flatten(1) for x in e.values()], dim=1)


def channel_wise(left: Any, right: Any, wanted: Sequence[Any], summed: bool) -> Any:
    """Return the product of like channels, couplings to one symmetry summed or side by side."""
    from e3nn import o3

    paths = [
        (i, j, ir) for i, (_, a) in enumerate(left) for j, (_, b) in enumerate(right) for ir in a * b if ir in wanted
    ]
    outputs = [ir for ir in wanted if any(ir == path[2] for path in paths)] if summed else [path[2] for path in paths]
    places = [outputs.index(path[2]) if summed else k for k, path in enumerate(paths)]
    instructions = [(i, j, place, "uuu", False) for (i, j, _), place in zip(paths, places, strict=True)]
    return o3.TensorProduct(left, right, [(left[0].mul, ir) for ir in outputs], instructions)
