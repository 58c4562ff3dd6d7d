"""The sections of a workflow file: every setting with its type, bounds, default and meaning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

FORMAT_VERSION = 1


class Section(BaseModel):
    """A section of the workflow file: frozen, no unknown keys, no NaN.

    Settings that mean nothing beside the others of their section, see `idle`, must keep their defaults and are not
    written.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    def idle(self) -> dict[str, str]:
        """Return the settings without meaning beside the others, each with the reason."""
        return {}

    @model_validator(mode="after")
    def _refuse_idle(self) -> Section:
        for name, reason in self.idle().items():
            if getattr(self, name) != type(self).model_fields[name].get_default():
                raise ValueError(f"{name} was given, but {reason}; remove it")
        return self

    @model_serializer(mode="wrap")
    def _without_idle(self, serialise: Callable[[Section], dict[str, Any]]) -> dict[str, Any]:
        return {name: value for name, value in serialise(self).items() if name not in self.idle()}

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
    """What is learned: a matrix PySCF computes, or a property the structures file carries."""

    kind: Literal["fock", "lowdin", "saph", "property"] = Field(
        default="saph",
        description="Fock matrix, its Löwdin form, its projection on a minimal basis, or a property",
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


class KernelSettings(Section):
    """The kernel of atomic environments: a function on O(3) made of their densities."""

    kind: Literal["wigner", "order", "soap"] = Field(
        default="wigner",
        description="mixture of Wigner kernels of all orders, one order alone, or the normalised SOAP kernel",
    )
    max_nu: int = Field(default=4, ge=1, le=8, description="largest order of the mixture, or the one order")
    zeta: int = Field(default=1, ge=1, le=8, description="power of the kernel; for kinds order and soap")
    max_l: int = Field(default=3, ge=0, le=8, description="largest angular momentum of densities and products")
    cutoff_angstrom: float = Field(default=5.0, gt=0, description="radius of an atom's environment, Å")
    cutoff_width_angstrom: float = Field(default=0.5, gt=0, description="width of the switch at the cut-off, Å")
    smearing_angstrom: float = Field(default=0.1, gt=0, description="width C of the Gaussian on a neighbour, Å")
    smearing_growth_angstrom: float | None = Field(
        default=2.0, gt=0, description="r0 of the width C exp(r / r0) of a neighbour at distance r, Å; null: constant"
    )
    decay_angstrom: float | None = Field(
        default=None, gt=0, description="weight exp(-r / decay) of a neighbour at distance r, Å; null: none"
    )
    element_likeness: float | None = Field(
        default=None,
        gt=0,
        description="how far elements count as alike as neighbours: width of a Gaussian of the distance between them, "
        "1 for 0.5 in electronegativity or 0.2 Å in radius; null: not at all",
    )
    max_channels: int = Field(default=48, ge=1, le=256, description="most density channels kept per element and l")
    l_weight: Literal["none", "haar"] = Field(
        default="none", description="weight of l in the kernel of order 1: 1, or 8 pi^2 / (2l + 1) as published"
    )
    a: float | None = Field(default=None, gt=0, description="weight of the orders from 1; null: cross-validated")
    b: float | None = Field(default=None, gt=0, description="rate of the mixture a b^nu / nu!; null: cross-validated")
    c0: float | None = Field(default=None, ge=0, description="weight of order 0; null: cross-validated")
    grid: dict[str, tuple[float | None, ...]] | None = Field(
        default=None,
        description="values of other settings of the kernel to choose among by cross-validation, such as "
        "{smearing_angstrom: [0.1, 0.3], smearing_growth_angstrom: [1, 2]}; null: none",
    )

    @model_validator(mode="after")
    def _kernel_fits(self) -> KernelSettings:
        if self.cutoff_angstrom <= self.cutoff_width_angstrom:
            raise ValueError(f"cutoff_angstrom {self.cutoff_angstrom} must exceed cutoff_width_angstrom")
        if self.zeta > 1 and self.kind == "wigner":
            raise ValueError("zeta belongs to the kinds order and soap; a wigner mixture has its orders in max_nu")
        for name, values in (self.grid or {}).items():
            if name not in _CHOSEN_BY_GRID:
                raise ValueError(f"grid names {name}, expected settings among {', '.join(_CHOSEN_BY_GRID)}")
            if not values:
                raise ValueError(f"grid.{name} is empty; give values to choose among")
        return self


_CHOSEN_BY_GRID = (
    "smearing_angstrom",
    "smearing_growth_angstrom",
    "decay_angstrom",
    "cutoff_angstrom",
    "element_likeness",
    "max_nu",
    "max_l",
    "zeta",
)


class ModelSettings(Section):
    """How matrix blocks are regressed on their features, or properties on kernels."""

    kind: Literal["ridge", "kernel"] = Field(
        default="ridge", description="ridge regression of matrix blocks, or kernels, the default of properties"
    )
    folds: int = Field(default=3, ge=2, le=20, description="cross-validation folds over structures")
    memory_gb: float = Field(default=4.0, gt=0, description="bound on the memory of features and factors, GB")
    basis: Literal["full", "sparse", "derivatives"] | None = Field(
        default=None,
        description="kernel: training structures, active environments, or energies and derivatives of all training "
        "structures; null: full, with forces sparse",
    )
    active: int | dict[str, int] | None = Field(
        default=None, description="kernel: active environments of each element, one number or {O: 50, H: 80}; null: all"
    )
    energy_weight: float = Field(default=1.0, gt=0, description="kernel: weight of values learned with forces")
    force_weight: float = Field(default=1.0, gt=0, description="kernel: weight of forces")
    optimise: Literal["grid", "annealing"] = Field(
        default="grid", description="kernel: how a, b and c0 are sought where they are not given"
    )
    loss: Literal["rmse", "mae"] = Field(default="rmse", description="kernel: cross-validated error that is minimised")

    def idle(self) -> dict[str, str]:
        """Return the settings of kernel regression where blocks are regressed by ridge."""
        return {} if self.kind == "kernel" else dict.fromkeys(_OF_KERNELS, "model.kind is ridge")

    @field_validator("active", mode="before")
    @classmethod
    def _counts(cls, active: Any) -> Any:
        counts = active if isinstance(active, dict) else {} if active is None else {"all": active}
        if not all(isinstance(name, str) and type(n) is int and n >= 1 for name, n in counts.items()):
            raise ValueError(
                f"expected a whole number of at least 1, or one for each element such as {{O: 50, H: 80}}, got {active}"
            )
        return active

    @model_validator(mode="after")
    def _active_fits(self) -> ModelSettings:
        if self.active is not None and self.basis in ("full", "derivatives"):
            raise ValueError(f"active belongs to the basis sparse, got basis {self.basis}; drop one of them")
        return self


_OF_KERNELS = ("basis", "active", "energy_weight", "force_weight", "optimise", "loss")


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
            return dict.fromkeys(("qm", "features"), "a property (target.kind) is learned from the file by a kernel")
        return {"kernel": f"a matrix (target.kind {self.target.kind}) is learned from features"}

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
    def _model_fits(self) -> Config:
        if self.is_property != (self.model.kind == "kernel"):
            raise ValueError(
                f"model.kind {self.model.kind} cannot learn target.kind {self.target.kind}: properties are learned by "
                "kernel, matrices by ridge; drop model.kind"
            )
        return self
