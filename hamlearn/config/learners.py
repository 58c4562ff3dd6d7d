"""How blocks and properties are learned: one class of settings for every kind of learner."""

from __future__ import annotations

from importlib import metadata
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from hamlearn.angular.elements import SYMBOLS
from hamlearn.config.density import KernelKind
from hamlearn.config.features import BondFrameFeatures, CoupledFeatures, FeatureSettings
from hamlearn.config.regression import KernelSettings
from hamlearn.config.section import Section
from hamlearn.config.targets import PropertyTarget, TargetSettings
from hamlearn.config.union import KindOf, kind_names
from hamlearn.config.wigner import WignerSettings
from hamlearn.errors import ConfigError, nearest

ActiveBy = Literal["farthest", "structures"]

ENTRY_POINTS = "hamlearn.learners"
"""Group of entry points of installed packages; each names a function without arguments that registers learners."""


class ModelSettings(KindOf, Section):
    """How matrix blocks and properties are regressed.

    ``ModelSettings(kind="kernel")`` makes the settings of a kind; ridge is the default. A class of your own that
    derives from this one, with a literal ``kind``, becomes a kind by :func:`hamlearn.register_learner`.
    """

    DEFAULT_KIND: ClassVar[str] = "ridge"
    HINT: ClassVar[str] = "; one of your own must be registered first (hamlearn.register_learner)"

    kind: str = Field(description="ridge, kernel, or a kind registered by hamlearn.register_learner")
    folds: int = Field(
        default=3,
        ge=2,
        le=20,
        description="folds of cross-validation over structures; kernels of atoms and pairs: at least 8, which are free",
    )
    memory_gb: float = Field(
        default=4.0, gt=0, description="bound on the memory of features, kernels, factors and covariances, GB"
    )
    time_minutes: float | None = Field(
        default=None,
        gt=0,
        description="bound on the expected time of calculations and fits of a workflow, minutes; null: none",
    )
    error_bars: bool | None = Field(
        default=None,
        description="error bars, calibrated on structures left out in cross-validation; null: for properties, and in "
        "workflows for a SAPH by features (20 to 2000 training structures) or kernels bond_frame (20 to 500), as "
        "memory_gb allows",
    )

    def check_target(self, target: TargetSettings) -> None:
        """Refuse a target these settings cannot learn.

        Raises:
            ConfigError: saying what goes together.
        """

    def without_derivatives(self) -> str:
        """Return which setting stands against derivatives with respect to positions, where there are none."""
        return f"model.kind {self.kind}"

    @classmethod
    def kinds(cls, wanted: str | None = None) -> dict[str, Any]:
        """Return the class of every registered kind, by name; installed packages are asked for one that is wanted."""
        if wanted is not None and wanted not in _KINDS:
            for entry in metadata.entry_points(group=ENTRY_POINTS):
                entry.load()()
        return _KINDS


_KINDS: dict[str, type[ModelSettings]] = {}


class RidgeSettings(ModelSettings):
    """Ridge regression of equivariant features."""

    kind: Literal["ridge"] = Field(default="ridge", description="ridge regression of features")
    features: FeatureSettings = Field(
        default=CoupledFeatures(),
        description="neighbour densities and features; where a workflow leaves them out: coupled for matrices of "
        "molecules of up to three atoms and for properties, bond_frame for matrices of larger ones",
    )
    max_features: int | None = Field(
        default=None, ge=1, description="most features kept of each symmetry, chosen by features_by; null: all"
    )
    features_by: Literal["cur", "fps"] | None = Field(
        default=None, description="how max_features are chosen, by leverage or farthest from each other; null: cur"
    )

    @model_validator(mode="after")
    def _choice_fits(self) -> RidgeSettings:
        if self.features_by is not None and self.max_features is None:
            raise ValueError("features_by was given, but max_features is null: all features are kept; remove it")
        if isinstance(self.features, BondFrameFeatures) and self.max_features is not None:
            raise ValueError(
                f"max_features {self.max_features} chooses among features of kind coupled; those of kind bond_frame "
                "are chosen as they are made: set features.max_features, or features.threshold"
            )
        return self

    def check_target(self, target: TargetSettings) -> None:
        """Refuse what features of atoms alone do not have, and forces."""
        if not isinstance(target, PropertyTarget):
            return
        if not isinstance(self.features, CoupledFeatures):
            raise ConfigError(
                f"model.features.kind {self.features.kind} learns matrices, got target.kind property; use "
                "model.features.kind coupled, or model.kind kernel"
            )
        given = sorted({"max_nu_pair", "pair_cutoff_angstrom"} & self.features.model_fields_set)
        if any(getattr(self.features, name) != type(self.features).model_fields[name].default for name in given):
            raise ConfigError(f"model.features.{given[0]} was given, but a property has features of atoms; remove it")
        if target.forces_key is not None:
            raise ConfigError(
                "target.forces_key: ridge regression of features learns no forces; use model.kind kernel, or drop it"
            )
        if target.l > self.features.max_l:
            raise ConfigError(f"target.l {target.l} needs model.features.max_l of at least {target.l}")
        order, needed = self.features.max_nu_centre, _least_order(target)
        if order < needed:
            remedy = f"raise it to {needed}" if needed <= 2 else "use model.kind kernel"
            raise ConfigError(
                f"a property with l {target.l}, sigma {target.sigma} needs features of order {needed} at least, got "
                f"model.features.max_nu_centre {order}: lower ones vanish; {remedy}"
            )


class KernelRidgeSettings(ModelSettings):
    """Kernel regression: of atoms and pairs for the blocks of a matrix, of environments for properties."""

    kind: Literal["kernel"] = Field(default="kernel", description="regression on kernels")
    kernel: KernelKind = Field(
        default=WignerSettings(), description="which kernels: of pairs for matrices, of environments for properties"
    )
    basis: Literal["full", "sparse", "derivatives"] | None = Field(
        default=None,
        description="training structures, an active set, or (learned with forces) energies and derivatives of all "
        "training structures; null: full, but sparse with forces, with active, and (matrices) with active_by: "
        "structures or beyond 200 structures (kernels bond_frame: where memory_gb holds no full basis)",
    )
    active: int | dict[str, int] | None = Field(
        default=None,
        description="active atoms of each element and, for matrices, pairs of each two, one number or {O: 50, O-H: "
        "500}, all of those not named; null: all, for matrices 2000 of each, or fewer where memory_gb holds no more",
    )
    active_by: ActiveBy = Field(
        default="farthest",
        description="active are the atoms and pairs farthest from each other, or all of structures drawn at random, "
        "whose kernels cost less: for many geometries of one molecule",
    )
    solver: Literal["normal", "rkhs", "qr", "rkhs-qr"] | None = Field(
        default=None,
        description="weights of a sparse basis by normal equations or orthogonal factors (qr), in the kernels "
        "themselves or where they are orthonormal (rkhs); null: qr for matrices, rkhs-qr for properties",
    )
    optimise: Literal["grid", "annealing"] | None = Field(
        default=None, description="how a, b and c0 of a mixture are sought where they are not given; null: grid"
    )
    loss: Literal["rmse", "mae"] | None = Field(
        default=None, description="cross-validated error that is minimised where kernels leave a choice; null: rmse"
    )

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
    def _active_fits(self) -> KernelRidgeSettings:
        if self.basis in ("full", "derivatives"):
            for name in ("active", "active_by", "solver"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(
                        f"{name} {getattr(self, name)} belongs to the basis sparse, got basis {self.basis}; drop one "
                        "of them"
                    )
        return self

    @model_validator(mode="after")
    def _kernel_fits(self) -> KernelRidgeSettings:
        if self.active_by != "farthest" and not self.of_pairs:
            raise ValueError(
                f"active_by {self.active_by} belongs to kernels of pairs, got {self.kernel.kind}; remove it"
            )
        if self.of_pairs and self.basis == "derivatives":
            raise ValueError("basis derivatives belongs to properties with forces; use full or sparse")
        for name, reason in self.idle().items():
            if getattr(self, name) is not None:
                raise ValueError(f"{name} {reason}; remove it")
        return self

    def idle(self) -> dict[str, str]:
        """Return the settings of choices that these kernels leave nothing to, and why."""
        reasons = {}
        if not self.kernel.leaves_choice:
            reasons["loss"] = "was given, but these kernels leave nothing to choose"
        if self.of_pairs:
            reasons["optimise"] = "belongs to the mixtures of properties; kernel.grid chooses the rate of this one"
        elif isinstance(self.kernel, KernelSettings) and self.kernel.has_mixture:
            reasons["optimise"] = "was given, but the kernel gives the whole mixture"
        return reasons

    @property
    def measure(self) -> str:
        """Which cross-validated error is minimised."""
        return self.loss or "rmse"

    def with_kernel(self, kernel: KernelKind) -> Self:
        """Return the same with another kernel, without settings of choices that it leaves nothing to."""
        other = self.model_copy(update={"kernel": kernel})
        return other.model_copy(update=dict.fromkeys(other.idle()))

    @property
    def of_pairs(self) -> bool:
        """Whether the kernels are those of atoms and pairs, for the blocks of a matrix."""
        return self.kernel.kind in ("pairs", "bond_frame")

    def without_derivatives(self) -> str:
        """Return which setting stands against derivatives with respect to positions, where there are none."""
        usual = {"message_nu": None, "structure": "sum"}
        unlike = [name for name, value in usual.items() if getattr(self.kernel, name, value) != value]
        name = unlike[0] if unlike else "kind"
        return f"model.kernel.{name} {getattr(self.kernel, name)}"

    def basis_of_sums(self, forces: bool) -> str:
        """Return what a property is expanded in: full, sparse or derivatives."""
        return self.basis or ("sparse" if forces or self.active is not None else "full")

    def check_solver(self, basis: str) -> None:
        """Refuse a solver for a basis that has none to choose.

        Raises:
            ConfigError: saying what goes together.
        """
        if self.solver is not None and basis != "sparse":
            raise ConfigError(
                f"model.solver {self.solver} belongs to the basis sparse, but this fit has the basis {basis}; remove "
                "it, or set model.basis: sparse"
            )

    def check_target(self, target: TargetSettings) -> None:
        """Refuse kernels of environments for matrices, and of pairs for properties, and what does not go together."""
        if target.is_property == self.of_pairs:
            wanted = "wigner, order or soap" if target.is_property else "pairs or bond_frame"
            raise ConfigError(
                f"model.kernel.kind {self.kernel.kind} cannot learn target.kind {target.kind}: properties are learned "
                f"by kernels of environments, matrices by those of pairs; use {wanted}"
            )
        if isinstance(target, PropertyTarget) and isinstance(self.kernel, KernelSettings):
            _check_symmetry(target, self.kernel)
            self._check_of_structures(target, self.kernel)
            self._check_forces(target)
            self.check_solver(self.basis_of_sums(target.forces_key is not None))
            for name in self.active if isinstance(self.active, dict) else ():
                if name not in SYMBOLS[1:]:
                    raise ConfigError(f"model.active names the element '{name}'{nearest(name, list(SYMBOLS[1:]))}")

    def _check_forces(self, target: PropertyTarget) -> None:
        forces = target.forces_key is not None
        if forces and self.kernel.kind == "soap":
            raise ConfigError(
                "forces (target.forces_key) need a kernel with derivatives, which model.kernel.kind soap has not; use "
                "wigner or order"
            )
        if forces and self.basis == "full":
            raise ConfigError("model.basis full learns no forces; use sparse, or derivatives for few structures")
        if not forces and self.basis == "derivatives":
            raise ConfigError(
                "model.basis derivatives needs forces; give target.forces_key, or use basis full or sparse"
            )

    def _check_of_structures(self, target: PropertyTarget, kernel: KernelSettings) -> None:
        """Refuse kernels of structures for more than scalars in the basis full."""
        named = {"structure": kernel.structure, "message_nu": kernel.message_nu, "additive": list(kernel.additive)}
        special = [(name, value) for name, value in named.items() if value not in ("sum", None, [])]
        if not special:
            return
        given = "model.kernel.{} {}".format(*special[0])
        if target.irrep != (0, 1):
            raise ConfigError(
                f"{given} compares invariants only, but target has l {target.l}, sigma {target.sigma}; drop it"
            )
        if target.forces_key is not None:
            raise ConfigError(f"{given} learns no forces; drop it, or target.forces_key")
        if self.basis not in (None, "full") or self.active is not None:
            wrong = f"basis {self.basis}" if self.active is None else f"active {self.active}"
            raise ConfigError(
                f"{given} compares whole structures, in the basis full, got model.{wrong}; drop one of them"
            )


def _least_order(target: PropertyTarget) -> int:
    """Return how many neighbours at once it takes for something of the symmetry of the target."""
    if target.sigma == 1:
        return min(target.l, 1)
    return 3 if target.l == 0 else 2


def _check_symmetry(target: PropertyTarget, kernel: KernelSettings) -> None:
    """Refuse kernels none of which has the symmetry of the target."""
    order = 2 if kernel.kind == "soap" else kernel.max_nu
    if target.l > kernel.max_l:
        raise ConfigError(f"target.l {target.l} needs model.kernel.max_l of at least {target.l}, got {kernel.max_l}")
    needed = _least_order(target)
    if order < needed:
        raise ConfigError(
            f"a property with l {target.l}, sigma {target.sigma} needs kernels of order {needed} or more, got {order}: "
            "lower ones vanish; raise model.kernel.max_nu (kinds wigner and order)"
        )


def _place(section: type) -> tuple[str, str]:
    return section.__module__, section.__qualname__


_KINDS |= {"ridge": RidgeSettings, "kernel": KernelRidgeSettings}


def register_settings(kind: str, settings_class: type[ModelSettings]) -> None:
    """Let a kind of learner be named in workflow files; those validated from now on know it.

    Raises:
        ConfigError: for a class that is no ModelSettings of that kind, or a kind that is another class's already.
    """
    if not (isinstance(settings_class, type) and issubclass(settings_class, ModelSettings)):
        raise ConfigError(f"settings of a learner got {settings_class!r}; derive a class from hamlearn.ModelSettings")
    if kind not in kind_names(settings_class):
        raise ConfigError(
            f'{settings_class.__name__} has no field kind: Literal["{kind}"] = "{kind}"; add it for files to name it'
        )
    known = _KINDS.get(kind)
    if known is not None and _place(known) != _place(settings_class):  # the same, defined again, replaces itself
        raise ConfigError(f"kind '{kind}' is that of {known.__name__} already; choose another name")
    _KINDS[kind] = settings_class
