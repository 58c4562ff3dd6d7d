"""Named options that pass to PySCF; there is no way to hand over code."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from hamlearn.config.section import Section

SOLVERS = ("max_cycle", "level_shift", "damp", "diis_space")
"""Options of how a state is found, not of which state it is."""


class PySCFSettings(Section):
    """Further options of PySCF: solvent, electric field, density fitting, grid, solver."""

    solvent: str | None = Field(default=None, min_length=1, description="implicit solvent, as SMD names it, e.g. water")
    dielectric_constant: float | None = Field(
        default=None, gt=1, description="of the implicit solvent, in place of its name"
    )
    solvent_model: Literal["IEF-PCM", "C-PCM", "COSMO", "SS(V)PE", "ddCOSMO", "ddPCM", "SMD"] = Field(
        default="IEF-PCM", description="how the solvent is modelled"
    )
    field_v_per_angstrom: tuple[float, float, float] | None = Field(
        default=None, description="electric field along x, y, z, V/Å; calculations only, no model has one"
    )
    density_fit: bool = Field(default=False, description="fit densities in an auxiliary basis")
    auxbasis: str | None = Field(default=None, min_length=1, description="auxiliary basis; null: made for basis")
    grid_level: int | None = Field(default=None, ge=0, le=9, description="of Kohn-Sham integration; null: 3")
    max_cycle: int | None = Field(default=None, ge=1, le=10000, description="of the first attempts; null: 50")
    level_shift: float | None = Field(default=None, ge=0, le=10, description="of virtual levels, Hartree")
    damp: float | None = Field(default=None, ge=0, lt=1, description="share of the former Fock matrix in the next")
    diis_space: int | None = Field(default=None, ge=1, le=100, description="Fock matrices that DIIS combines; null: 8")
    leave_saddle_points: bool = Field(default=True, description="go on from saddle points of the energy to a minimum")
    cart: bool = Field(default=False, description="Cartesian d and f functions: must be false")

    @model_validator(mode="after")
    def _options_fit(self) -> PySCFSettings:
        if self.cart:
            raise ValueError(
                "cart: true asks for Cartesian d and f functions, whose extra combinations, such as r^2 of a d shell, "
                "are no functions of their own on an atom; leave cart out: the basis of the same name, 6-31G* for "
                "instance, is then of spherical functions, 5 of a d shell"
            )
        if self.solvent is not None and self.dielectric_constant is not None:
            raise ValueError("solvent and dielectric_constant both say what the solvent is; drop one of them")
        if self.solvent_model == "SMD" and self.dielectric_constant is not None:
            raise ValueError("solvent_model SMD knows solvents by name; give solvent, or take solvent_model IEF-PCM")
        if not self.has_solvent and self.solvent_model != "IEF-PCM":
            raise ValueError(f"solvent_model {self.solvent_model} needs a solvent, such as water; give solvent, too")
        if self.auxbasis is not None and not self.density_fit:
            raise ValueError(f"auxbasis {self.auxbasis} needs density_fit: true; set it, or drop auxbasis")
        return self

    @property
    def has_solvent(self) -> bool:
        """Whether there is an implicit solvent."""
        return self.solvent is not None or self.dielectric_constant is not None

    @property
    def has_field(self) -> bool:
        """Whether there is an electric field, which does not turn with a molecule."""
        return self.field_v_per_angstrom is not None and any(self.field_v_per_angstrom)

    def given(self) -> dict[str, Any]:
        """Return the options that are not PySCF's defaults."""
        return self.model_dump(mode="json", exclude_defaults=True)
