"""The sections of a workflow file: every setting with its type, bounds, default and meaning."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from hamlearn.config.regression import KernelSettings, ModelSettings
from hamlearn.config.section import Section
from hamlearn.config.wigner import WignerSettings

FORMAT_VERSION = 1


Guess = Literal["minao", "atom", "core", "sto-3g"]
"""Densities an SCF can start from."""


class StructureSettings(Section):
    """Where the geometries come from."""

    file: str = Field(min_length=1, description="any file ASE reads, relative to this file; $VARIABLES are expanded")


class QMSettings(Section):
    """How PySCF computes the Fock and overlap matrices."""

    method: Literal["RHF", "RKS"] = Field(default="RHF", description="restricted Hartree-Fock or Kohn-Sham")
    xc: str | None = Field(default=None, description="functional of RKS, spelled out, e.g. b3lypg")
    basis: str = Field(default="def2-SVP", min_length=1, description="any basis set PySCF knows")
    guess: Guess = Field(default="minao", description="density the SCF starts from")
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
    """What is learned: a matrix PySCF computes, or a property the structures file carries."""

    kind: Literal["fock", "lowdin", "saph", "property"] = Field(
        default="saph",
        description="Fock matrix, its Löwdin form, its projection on a minimal basis, or a property",
    )
    delta: Literal["none", Guess] = Field(
        default="none",
        description="learn the difference to the same target of this guess; it is mostly smallest for sto-3g",
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
    key: str | None = Field(default=None, min_length=1, description="property: its name in the structures file")
    l: Literal[0, 1, 2] = Field(
        default=0, description="property: scalar (or trace of a tensor), vector, or symmetric tensor without its trace"
    )
    sigma: Literal[1, -1] = Field(default=1, description="property: 1, or -1 for pseudoscalars and axial vectors")
    forces_key: str | None = Field(default=None, min_length=1, description="property: name of its forces, unit/Å")
    baseline: Literal["composition", "mean", "none"] | None = Field(
        default=None, description="property: what is subtracted first; null: composition for l = 0, none otherwise"
    )
    unit: str | None = Field(
        default=None, min_length=1, description="property: its unit, such as eV, hartree or debye; null: not said"
    )

    def idle(self) -> dict[str, str]:
        """Return the settings that belong to the other kind of target."""
        if self.kind == "property":
            return dict.fromkeys(_OF_MATRICES, "target.kind is property")
        return dict.fromkeys(_OF_PROPERTIES, f"target.kind is {self.kind}, not property")

    @model_validator(mode="after")
    def _property_fits(self) -> TargetSettings:
        if self.kind != "property":
            return self
        if self.key is None:
            raise ValueError("kind property needs key, the name of the property in the structures file")
        invariant = self.l == 0 and self.sigma == 1
        if self.forces_key is not None and not invariant:
            raise ValueError(f"forces_key belongs to an energy (l 0, sigma 1), got l {self.l}, sigma {self.sigma}")
        if self.baseline in ("composition", "mean") and not invariant:
            raise ValueError(
                f"baseline {self.baseline} is not equivariant for l {self.l}, sigma {self.sigma}; use none, or drop it"
            )
        return self


_OF_MATRICES = ("delta", "virtuals", "minimal_basis", "form")
_OF_PROPERTIES = ("key", "l", "sigma", "forces_key", "baseline", "unit")


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
    wigner: WignerSettings = WignerSettings()
    kernel: KernelSettings = KernelSettings()
    model: ModelSettings = ModelSettings()
    split: SplitSettings

    @property
    def is_property(self) -> bool:
        """Whether a property is learned, without any calculation."""
        return self.target.kind == "property"

    def idle(self) -> dict[str, str]:
        """Return the sections of the other kind of target."""
        if self.is_property:
            reason = "a property (target.kind) is learned from the file by a kernel"
            return dict.fromkeys(("qm", "features", "wigner"), reason)
        other = "features" if self.model.kind == "wigner" else "wigner"
        return {
            "kernel": f"a matrix (target.kind {self.target.kind}) is learned by the section wigner or from features",
            other: f"model.kind is {self.model.kind}",
        }

    @model_validator(mode="before")
    @classmethod
    def _model_of_target(cls, settings: Any) -> Any:
        """Let kernels be the default of properties."""
        sections = settings if isinstance(settings, dict) else {}
        target, model = sections.get("target"), sections.get("model", {})
        if isinstance(target, dict) and target.get("kind") == "property" and isinstance(model, dict):
            return {**sections, "model": {"kind": "kernel", **model}}
        return settings

    @model_validator(mode="after")
    def _guess_leaves_something(self) -> Config:
        small = self.qm.method == "RHF" and re.sub("[-_ ]", "", self.qm.basis.lower()) == "sto3g"
        if small and self.target.delta == "sto-3g":
            raise ValueError(
                "target.delta sto-3g subtracts a converged calculation in STO-3G, which is what qm asks for: nothing "
                "would be left to learn; use delta minao, or a larger qm.basis"
            )
        return self

    @model_validator(mode="after")
    def _model_fits(self) -> Config:
        if self.is_property != (self.model.kind == "kernel"):
            raise ValueError(
                f"model.kind {self.model.kind} cannot learn target.kind {self.target.kind}: properties are learned by "
                "kernel, matrices by ridge or wigner; drop model.kind"
            )
        return self
