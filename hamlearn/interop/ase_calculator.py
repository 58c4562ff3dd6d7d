"""A learned energy as an ASE calculator: molecular dynamics, relaxations, vibrations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ase.calculators.calculator import Calculator, all_changes
from ase.units import Hartree, kcal, kJ, mol

from hamlearn.errors import ConfigError
from hamlearn.model.loading import load_model
from hamlearn.model.property import PropertyModel
from hamlearn.structures import Structures, as_structure

UNITS_EV = {
    "ev": 1.0,
    "mev": 1e-3,
    "hartree": Hartree,
    "mhartree": 1e-3 * Hartree,
    "kcal/mol": kcal / mol,
    "kj/mol": kJ / mol,
}


class HamlearnCalculator(Calculator):
    """Energies (eV) and exact forces (eV/Å) of a property model, for ASE.

    Args:
        model: a model of an energy, or the folder of a saved one; its target.unit says in what unit.

    Raises:
        ConfigError: if the model is not fitted, its property is no energy with derivatives, or its unit is not known.
        ArtifactError: for a folder that holds no such model.

    The energy is invariant under O(3), translations and permutations of like atoms; forces are minus its gradient, so
    that dynamics conserve energy, momentum and angular momentum.
    """

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, model: PropertyModel | str | Path, **settings: Any) -> None:
        super().__init__(**settings)
        loaded = load_model(model) if isinstance(model, str | Path) else model
        if not isinstance(loaded, PropertyModel):
            raise ConfigError(f"HamlearnCalculator got a {type(loaded).__name__}; expected a model of an energy")
        self.model = loaded
        self.model.check_forces()
        unit = self.model.target.unit
        if unit is None or unit.lower() not in UNITS_EV:
            raise ConfigError(
                f"the model's energies are in {unit or 'an unnamed unit'}, expected one of {', '.join(UNITS_EV)}; "
                "train with target.unit"
            )
        self.unit_ev = UNITS_EV[unit.lower()]

    def calculate(
        self,
        atoms: Structures | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Predict energy and, if asked for, forces of one molecule."""
        super().calculate(None if atoms is None else as_structure(atoms), list(properties), list(system_changes))
        if self.atoms is None:
            raise ConfigError("HamlearnCalculator has no atoms to calculate; set atoms.calc = calculator")
        (prediction,) = self.model.predict([self.atoms], forces="forces" in properties)
        self.results = {"energy": self.unit_ev * float(prediction.value)}
        if prediction.forces is not None:
            self.results["forces"] = self.unit_ev * prediction.forces
