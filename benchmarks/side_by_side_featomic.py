"""Densities, SOAP, lambda-SOAP and features of pairs by featomic, beside those of hamlearn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from side_by_side_hamlearn import (
    CHECKED,
    CUTOFF,
    IRREPS,
    MAX_L,
    MAX_N,
    PAIR_CUTOFF,
    PAIRS,
    SMOOTHING,
    WIDTH,
    Molecules,
    Ours,
    Work,
    deviation,
)

from hamlearn.structures.families import Family
from hamlearn.structures.samples import Samples
from hamlearn.types import FloatArray

COMPLETE = [(0, 1), (1, -1)]
"""Symmetries to which l_1 = l_2 alone couple: of its pair features it keeps l_1 <= l_2, as if both factors were one."""


class Featomic:
    """The same of featomic, with the radial functions of hamlearn as splines."""

    def __init__(self, elements: Sequence[int]) -> None:
        import featomic
        from featomic.clebsch_gordan import EquivariantPowerSpectrum, EquivariantPowerSpectrumByPair
        from metatensor import Labels

        near, far = (hypers(cutoff, cutoff - SMOOTHING, as_splines=True) for cutoff in (CUTOFF, PAIR_CUTOFF))
        expansion, by_pair = featomic.SphericalExpansion(**near), featomic.SphericalExpansionByPair(**far)
        soap = featomic.SoapPowerSpectrum(**near)
        plain = featomic.SphericalExpansion(**hypers(CUTOFF, CUTOFF))
        plain_pairs = featomic.SphericalExpansionByPair(**hypers(PAIR_CUTOFF, PAIR_CUTOFF))
        of_atoms = EquivariantPowerSpectrum(plain, neighbor_types=list(elements))
        of_pairs = EquivariantPowerSpectrumByPair(plain, plain_pairs, neighbor_types=list(elements))
        of_atoms.calculator_1 = of_pairs.calculator_1 = expansion  # splines are not taken by their constructors
        of_pairs.calculator_2 = by_pair
        neighbours = Labels("neighbor_type", np.array(elements)[:, None])
        wanted = Labels("o3_lambda", np.arange(3)[:, None])
        side_by_side = {"selected_keys": wanted, "neighbors_to_properties": True}
        self.makers: dict[str, Callable[[Molecules], Any]] = {
            "densities": lambda m: expansion.compute(m).keys_to_properties(neighbours),
            "g_ij": by_pair.compute,
            "SOAP": lambda m: soap.compute(m).keys_to_properties(["neighbor_1_type", "neighbor_2_type"]),
            "lambda-SOAP, lambda <= 2": lambda m: of_atoms.compute(m, **side_by_side),
            "rho_i x g_ij, L <= 2": lambda m: of_pairs.compute(m, **side_by_side),
        }

    def works(self, ours: Ours, molecules: Molecules) -> list[Work]:
        """Return what both make."""
        whole = [atoms for atoms in molecules if atoms.get_all_distances().max() < PAIR_CUTOFF]
        few = [atoms for atoms in whole if {1, 6} <= set(atoms.numbers.tolist())][:CHECKED]
        mine = [
            ours.densities, ours.bonds, ours.features(["on_site"], [(0, 1)]), ours.features(["on_site"], IRREPS),
            ours.features(PAIRS, IRREPS),
        ]  # fmt: skip
        return [
            Work(name, own, lambda m, make=make: [block.values for block in make(m).blocks()],  # type: ignore[misc]
                 self.deviation(ours, name, few) if few else float("nan"))
            for own, (name, make) in zip(mine, self.makers.items(), strict=True)
        ]  # fmt: skip

    def deviation(self, ours: Ours, name: str, molecules: Molecules) -> float:
        """Return the largest of all symmetries, around hydrogen or of pairs of hydrogen and carbon.

        Args:
            ours: fitted.
            name: of what is compared.
            molecules: without pairs beyond the cut-off, which featomic leaves out.
        """
        made, tile = self.makers[name](molecules), ours.featurizer.features(Samples.of(molecules))
        pairs = Family("cross", 1, 6)
        bonds = ours.featurizer.expansion_.pair_functions(tile.samples, tile.samples.family(pairs), (1, 6))

        def around(**key: int) -> FloatArray:
            return in_order(made.block(**key, center_type=1))

        def between(first: int, second: int, **key: int) -> FloatArray:
            return in_order(made.block(**key, first_atom_type=first, second_atom_type=second), first > second)

        worst = 0.0
        for L, sigma in IRREPS[:1] if name == "SOAP" else IRREPS:
            key, own = {"o3_lambda": L, "o3_sigma": sigma}, slice(L * L, (L + 1) ** 2)
            if name in ("densities", "g_ij") and sigma == -1:
                continue
            if name.startswith("rho") and (L, sigma) not in COMPLETE:
                continue
            if name == "densities":
                sides = tile.densities[1][:, own], [around(**key)]
            elif name == "g_ij":
                sides = bonds[:, own], [between(1, 6, **key)]
            elif name.startswith("rho"):
                sides = tile(pairs, (L, sigma)), [bonds[:, own], between(1, 6, **key), between(6, 1, **key)]
            else:
                squares = around(**({} if name == "SOAP" else key))
                sides = tile(Family("on_site", 1, 1), (L, sigma)), [tile.densities[1][:, own], squares]
            worst = max(worst, deviation(*sides))
        return worst


def hypers(cutoff: float, radius: float, as_splines: bool = False) -> dict[str, Any]:
    """Return settings of featomic; radial functions of another radius than the cut-off have to be splines."""
    from featomic import basis, density, splines
    from featomic import cutoff as cutoffs

    parts = {
        "cutoff": cutoffs.Cutoff(radius=cutoff, smoothing=cutoffs.ShiftedCosine(width=SMOOTHING)),
        "density": density.Gaussian(width=WIDTH, center_atom_weight=0.0),
        "basis": basis.TensorProduct(max_angular=MAX_L, radial=basis.Gto(max_radial=MAX_N - 1, radius=radius)),
    }
    return dict(splines.SoapSpliner(**parts).get_hypers()) if as_splines else parts


def in_order(block: Any, exchanged: bool = False) -> FloatArray:
    """Return features of featomic [sample, M, feature], pairs by structure and hydrogen, first or second if exchanged.

    Its lambda-SOAP has l_1 <= l_2 only; the sqrt 2 of l_1 < l_2 is put in.
    """
    samples, properties = block.samples, block.properties
    values = block.values.reshape(len(samples), -1, len(properties))
    if "first_atom" in samples.names:
        names = ["first_atom", "second_atom"] if exchanged else ["second_atom", "first_atom"]
        values = values[np.lexsort([samples.column(name) for name in (*names, "system")])]
    elif "l_1" in properties.names:
        values = values * np.where(properties.column("l_1") < properties.column("l_2"), 2**0.5, 1)
    return values
