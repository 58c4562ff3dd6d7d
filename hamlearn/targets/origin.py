"""What a target was made of, so that none is taken for one of another molecule, method or kind."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hamlearn.config import MatrixTarget, QMSettings
from hamlearn.config.pyscf import SOLVERS
from hamlearn.display import Shown
from hamlearn.equality import ByValue
from hamlearn.errors import ConfigError
from hamlearn.types import FloatArray
from hamlearn.units import BOHR_ANGSTROM

SAME_ANGSTROM = 1e-6
"""Positions differ by less where a file has rounded them."""
QM_NAMES = ("method", "xc", "basis")
"""What decides on a Fock matrix; the guess and the threshold of the SCF do not."""


@dataclass(frozen=True, eq=False, repr=False)
class Origin(ByValue, Shown):
    """What a target was made of.

    Attributes:
        target: settings by name.
        qm: method, functional and basis of the calculation, as far as they are known.
        positions: of the atoms [atom, 3], Bohr. They turn with the molecule.
    """

    target: Mapping[str, Any]
    qm: Mapping[str, Any]
    positions: FloatArray

    @classmethod
    def of(cls, settings: MatrixTarget, provenance: Mapping[str, Any], positions: FloatArray) -> Origin:
        """Return the origin of the target of a calculation with some provenance."""
        qm = {k: provenance[k] for k in QM_NAMES if k in provenance}
        given = {k: x for k, x in provenance.get("options", {}).items() if k not in SOLVERS}
        return cls(settings.model_dump(), qm | {"options": given}, positions)

    def is_at(self, positions: FloatArray) -> bool:
        """Return whether a geometry [atom, 3], Å, of the same atoms is that of the calculation."""
        return np.allclose(self.positions * BOHR_ANGSTROM, positions, rtol=0, atol=SAME_ANGSTROM)

    def check(self, index: int, positions: FloatArray, settings: MatrixTarget, qm: QMSettings) -> None:
        """Refuse a target made of another geometry [atom, 3], Å, or by other settings than those of a model.

        Raises:
            ConfigError: naming the target by its index.
        """
        if differences := list(self._differences(settings, qm)):
            raise ConfigError(
                f"target {index} was made with {', '.join(differences)}, as the model has; give the model the settings "
                "of its targets, or build them with model.target from calculations with model.qm"
            )
        moved = positions - self.positions * BOHR_ANGSTROM  # the molecule may have been shifted as a whole
        distance = float(np.abs(moved - moved.mean(axis=0)).max())
        if distance > SAME_ANGSTROM:
            raise ConfigError(
                f"target {index} is of another geometry than structure {index}: an atom is {distance:.2g} Å from where "
                "it was; give both in the same order, and structures as they were computed"
            )

    def _differences(self, settings: MatrixTarget, qm: QMSettings) -> Iterator[str]:
        """Say which settings of a model are others."""
        for section, made, asked in (("target", self.target, settings), ("qm", self.qm, qm)):
            for name, value in made.items():
                other = getattr(asked, name, value)  # what another kind has not is said by the kinds
                if _plain(value) != _plain(other):
                    yield f"{section}.{name} {value} rather than {other}"


def _plain(value: Any) -> Any:
    """Return def2svp for def2-SVP."""
    return re.sub("[-_ ]", "", value.lower()) if isinstance(value, str) else value
