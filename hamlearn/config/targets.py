"""What is learned: one class of settings for every kind of target."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from hamlearn.config.section import Section
from hamlearn.config.union import KindOf

Guess = Literal["minao", "atom", "core", "sto-3g"]
"""Densities an SCF can start from."""


class TargetSettings(KindOf, Section):
    """What is learned: a matrix PySCF computes, or a property the structures file carries.

    ``TargetSettings(kind="fock")`` makes the settings of a kind; saph is the default.
    """

    DEFAULT_KIND: ClassVar[str] = "saph"
    is_property: ClassVar[bool] = False

    kind: str = Field(description="fock, lowdin, saph or property")


class MatrixTarget(TargetSettings):
    """A matrix PySCF computes."""

    delta: Literal["none", Guess] = Field(
        default="none",
        description="learn the difference to the same target of this guess; it is mostly smallest for sto-3g",
    )

    @property
    def has_metric(self) -> bool:
        """Whether the matrix comes with the overlap of its basis."""
        return False


class FockTarget(MatrixTarget):
    """The Fock matrix in the full basis; its overlap is computed analytically."""

    kind: Literal["fock"] = Field(default="fock", description="Fock matrix")

    @property
    def has_metric(self) -> bool:
        """Whether the matrix comes with the overlap of its basis."""
        return True


class LowdinTarget(MatrixTarget):
    """S^-1/2 F S^-1/2 in the full basis."""

    kind: Literal["lowdin"] = Field(default="lowdin", description="Löwdin form of the Fock matrix")


class SaphTarget(MatrixTarget):
    """The projection of the Fock matrix on a minimal basis."""

    kind: Literal["saph"] = Field(default="saph", description="projection of the Fock matrix on a minimal basis")
    virtuals: Literal["lowest", "valence"] = Field(
        default="lowest", description="lowest projectable levels (exact) or valence virtuals (smooth)"
    )
    minimal_basis: Literal["subset", "minao"] = Field(
        default="subset", description="valence functions of the QM basis, or PySCF's minao"
    )
    form: Literal["orthogonal", "nonorthogonal"] = Field(
        default="orthogonal", description="orthonormal basis, or the overlap of the minimal basis as metric"
    )

    @property
    def has_metric(self) -> bool:
        """Whether the matrix comes with the overlap of its basis."""
        return self.form == "nonorthogonal"


class PropertyTarget(TargetSettings):
    """A property the structures file carries."""

    is_property: ClassVar[bool] = True

    kind: Literal["property"] = Field(default="property", description="a property the structures file carries")
    key: str = Field(min_length=1, description="its name in the structures file")
    l: Literal[0, 1, 2] = Field(
        default=0, description="scalar (or trace of a tensor), vector, or symmetric tensor without its trace"
    )
    sigma: Literal[1, -1] = Field(default=1, description="1, or -1 for pseudoscalars and axial vectors")
    forces_key: str | None = Field(default=None, min_length=1, description="name of its forces, unit/Å")
    energy_weight: float = Field(default=1.0, gt=0, description="weight of values learned with forces")
    force_weight: float = Field(default=1.0, gt=0, description="weight of forces")
    baseline: Literal["composition", "mean", "none"] | None = Field(
        default=None, description="what is subtracted first; null: composition for l = 0, none otherwise"
    )
    unit: str | None = Field(
        default=None, min_length=1, description="its unit, such as eV, hartree or debye; null: not said"
    )

    @property
    def irrep(self) -> tuple[int, int]:
        """(L, sigma) of the property."""
        return self.l, self.sigma

    @model_validator(mode="after")
    def _property_fits(self) -> PropertyTarget:
        invariant = self.irrep == (0, 1)
        if self.forces_key is not None and not invariant:
            raise ValueError(f"forces_key belongs to an energy (l 0, sigma 1), got l {self.l}, sigma {self.sigma}")
        if self.baseline in ("composition", "mean") and not invariant:
            raise ValueError(
                f"baseline {self.baseline} is not equivariant for l {self.l}, sigma {self.sigma}; use none, or drop it"
            )
        for name in ("energy_weight", "force_weight"):
            if self.forces_key is None and getattr(self, name) != 1.0:
                raise ValueError(f"{name} was given, but no forces are learned (forces_key); remove it")
        return self
