"""The sections of a workflow file: every setting with its type, bounds, default and meaning."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

FORMAT_VERSION = 1


class Section(BaseModel):
    """A section of the workflow file: frozen, no unknown keys, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("true and false are not accepted here")
        return value


class StructureSettings(Section):
    """Where the geometries come from."""

    file: str = Field(min_length=1, description="any file ASE reads, relative to this file; $VARIABLES are expanded")


class QMSettings(Section):
    """How PySCF computes the Fock and overlap matrices."""

    method: Literal["RHF", "RKS"] = Field(default="RHF", description="restricted Hartree-Fock or Kohn-Sham")
    xc: str | None = Field(default=None, description="functional of RKS, spelled out, e.g. b3lypg")
    basis: str = Field(default="def2-SVP", min_length=1, description="any basis set PySCF knows")
    guess: Literal["minao", "atom", "core"] = Field(default="minao", description="density the SCF starts from")
    conv_tol: float = Field(default=1e-10, gt=0, le=1e-3, description="SCF energy threshold, Hartree")

    @model_validator(mode="after")
    def _functional_fits_method(self) -> QMSettings:
        if self.method == "RHF" and self.xc is not None:
            raise ValueError(f"xc '{self.xc}' was given with method RHF; use method RKS, or drop xc")
        if self.method == "RKS":
            if self.xc is None or not self.xc.strip():
                raise ValueError("method RKS needs xc, a functional spelled out such as pbe, pbe0 or b3lypg")
            if self.xc.lower().replace("-", "").replace("_", "") == "b3lyp":
                raise ValueError(
                    f"xc '{self.xc}' means different functionals in different programs; name the variant: "
                    "b3lypg (VWN3, as Gaussian) or b3lyp5 (VWN5, as ORCA and Turbomole)"
                )
        return self


class TargetSettings(Section):
    """Which matrix is learned."""

    kind: Literal["fock", "lowdin", "saph"] = Field(
        default="saph",
        description="Fock matrix, its Löwdin form, or its projection on a minimal basis",
    )
    delta: Literal["none", "minao", "atom", "core"] = Field(
        default="none", description="learn the difference to the same target of this guess"
    )
    virtuals: Literal["lowest", "valence"] = Field(
        default="lowest", description="saph: lowest projectable levels (exact) or valence virtuals (smooth)"
    )
    minimal_basis: Literal["subset", "minao"] = Field(
        default="subset", description="saph: valence functions of the QM basis, or PySCF's minao"
    )
    form: Literal["orthogonal", "nonorthogonal"] = Field(
        default="orthogonal",
        description="saph: orthonormal basis, or the overlap of the minimal basis as metric",
    )


class ScalingSettings(Section):
    """Radial scaling u(r) = rate / (rate + (r / scale)^exponent) of every neighbour."""

    rate: float = Field(default=1.0, ge=0, description="rate; 0 gives (r / scale)^-exponent")
    scale_angstrom: float = Field(default=2.0, gt=0, description="scale, Å")
    exponent: float = Field(default=2.0, ge=0, description="exponent; 0 switches the scaling off")


class FeatureSettings(Section):
    """The neighbour density and the equivariant features made of it."""

    cutoff_angstrom: float = Field(default=3.5, gt=0, description="radius of an atom's environment, Å")
    cutoff_width_angstrom: float = Field(default=0.5, gt=0, description="width of the switch at the cut-offs, Å")
    pair_cutoff_angstrom: float = Field(default=6.0, gt=0, description="largest distance of a coupled atom pair, Å")
    smearing_angstrom: float = Field(default=0.3, gt=0, description="width of the Gaussian on every neighbour, Å")
    radial: Literal["gto"] = Field(default="gto", description="primitive radial basis")
    max_n: int = Field(default=6, ge=1, le=12, description="number of radial functions kept per species and l")
    optimal: bool = Field(default=True, description="contract twice as many primitives to the max_n best functions")
    max_l: int = Field(default=6, ge=0, le=8, description="largest angular momentum of densities and products")
    max_nu_centre: Literal[0, 1, 2] = Field(default=2, description="body order of the one-centre features")
    max_nu_pair: Literal[0, 1] = Field(default=1, description="body order of the pair features")
    scaling: ScalingSettings | None = Field(default=None, description="radial scaling of the neighbours")

    @model_validator(mode="after")
    def _widths_fit(self) -> FeatureSettings:
        for name in ("cutoff_angstrom", "pair_cutoff_angstrom"):
            if getattr(self, name) <= self.cutoff_width_angstrom:
                raise ValueError(f"{name} {getattr(self, name)} must exceed cutoff_width_angstrom")
        return self


class ModelSettings(Section):
    """How every block is regressed on its features."""

    kind: Literal["ridge"] = Field(default="ridge", description="symmetry-adapted ridge regression")
    folds: int = Field(default=3, ge=2, le=20, description="cross-validation folds over structures")
    memory_gb: float = Field(default=4.0, gt=0, description="bound on the memory of features and factors, GB")


class SplitSettings(Section):
    """Which structures train and which test: the first and the last of a seeded permutation."""

    train: int = Field(ge=1, description="number of training structures")
    test: int = Field(ge=0, description="number of test structures")
    seed: int = Field(default=0, ge=0, description="seed of the permutation")
    curve: tuple[int, ...] = Field(default=(), description="training sizes of the learning curve")
    repeats: int = Field(default=1, ge=1, description="orders of the training set in the learning curve")

    @field_validator("curve")
    @classmethod
    def _sorted(cls, curve: tuple[int, ...]) -> tuple[int, ...]:
        if any(n < 1 for n in curve):
            raise ValueError(f"curve sizes must be at least 1, got {list(curve)}")
        return tuple(sorted(set(curve)))

    @model_validator(mode="after")
    def _curve_fits(self) -> SplitSettings:
        if self.curve and self.curve[-1] > self.train:
            raise ValueError(f"curve asks for {self.curve[-1]} structures, more than train = {self.train}")
        if self.curve and not self.test:
            raise ValueError("a learning curve needs test structures; set test to at least 1")
        return self


class Config(Section):
    """A whole workflow."""

    structures: StructureSettings
    qm: QMSettings = QMSettings()
    target: TargetSettings = TargetSettings()
    features: FeatureSettings = FeatureSettings()
    model: ModelSettings = ModelSettings()
    split: SplitSettings
