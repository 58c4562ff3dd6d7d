"""Settings of kernels and of the models that learn with them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from hamlearn.config.section import Section


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
    structure: Literal["sum", "average", "best_match", "rematch"] = Field(
        default="sum",
        description="how kernels of atoms make one of structures: sum, average, best one-to-one match, or the match "
        "regularised by entropy (rematch, for kind soap); all but sum for scalars without forces in the basis full",
    )
    gamma: float = Field(
        default=1.0, gt=0, description="rematch: strength of the entropy; infinite is average, small is not positive"
    )
    message_nu: int | None = Field(
        default=None,
        ge=0,
        le=8,
        description="order of what neighbours tell of their own environments: kernels [nu - 1 <- message_nu] in place "
        "of order nu; null: no messages",
    )
    additive: tuple[Literal["pair", "triangle"], ...] = Field(
        default=(),
        description="kernels of pairs and triangles of atoms, [pair, triangle], added with weights of their own",
    )
    additive_width_angstrom: float = Field(
        default=1.0, gt=0, description="width of the Gaussians of distances in kernels of pairs and triangles, Å"
    )
    a: float | None = Field(default=None, gt=0, description="weight of the orders from 1; null: cross-validated")
    b: float | None = Field(default=None, gt=0, description="rate of the mixture a b^nu / nu!; null: cross-validated")
    c0: float | None = Field(default=None, ge=0, description="weight of order 0; null: cross-validated")
    grid: dict[str, tuple[float | None, ...]] | None = Field(
        default=None,
        description="values of other settings of the kernel to choose among by cross-validation, such as "
        "{smearing_angstrom: [0.1, 0.3], smearing_growth_angstrom: [1, 2]}; null: none",
    )

    def idle(self) -> dict[str, str]:
        """Return the settings of kernels of structures that were not asked for."""
        idle = {} if self.structure == "rematch" else {"gamma": f"kernel.structure is {self.structure}, not rematch"}
        return idle if self.additive else {**idle, "additive_width_angstrom": "kernel.additive is empty"}

    @field_validator("grid", mode="before")
    @classmethod
    def _lists_of_values(cls, grid: Any) -> Any:
        if grid is not None and not (
            isinstance(grid, dict) and all(isinstance(v, list | tuple) for v in grid.values())
        ):
            raise ValueError(
                f"expected lists of values by setting, such as {{smearing_angstrom: [0.1, 0.3]}}, got {grid!r}"
            )
        return grid

    @model_validator(mode="after")
    def _structure_fits(self) -> KernelSettings:
        if self.structure == "rematch" and self.kind != "soap":
            raise ValueError(
                f"structure rematch needs kernels of atoms that are normalised, kind soap, got {self.kind}"
            )
        if self.structure == "best_match" and self.kind == "wigner":
            raise ValueError("structure best_match matches by one kernel, kind soap or order, not by a wigner mixture")
        if self.message_nu is not None:
            if self.kind == "soap" or self.structure == "best_match":
                other = "kind soap" if self.kind == "soap" else "structure best_match"
                raise ValueError(f"message_nu does not go with {other}; use kind wigner or order, summed or averaged")
            if self.element_likeness is not None:
                raise ValueError("message_nu tells the elements of neighbours apart; drop element_likeness")
        if len(set(self.additive)) < len(self.additive):
            raise ValueError(f"additive names a kernel twice: {', '.join(self.additive)}")
        return self

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
    "gamma",
    "message_nu",
    "additive_width_angstrom",
)


ActiveBy = Literal["farthest", "structures"]


class ModelSettings(Section):
    """How matrix blocks are regressed on their features, or properties on kernels."""

    kind: Literal["ridge", "wigner", "kernel"] = Field(
        default="ridge",
        description="matrix blocks: ridge regression of features, or Wigner kernels of atoms and pairs; kernel: of a "
        "property, its default",
    )
    folds: int = Field(
        default=3,
        ge=2,
        le=20,
        description="cross-validation folds over structures; wigner: at least 8, which cost it nothing",
    )
    memory_gb: float = Field(
        default=4.0, gt=0, description="bound on the memory of features, kernels, factors and covariances, GB"
    )
    error_bars: bool = Field(
        default=False,
        description="error bars of levels and gaps, calibrated on the cross-validation folds; wigner with an active "
        "set: on one fold, at most 100 structures",
    )
    basis: Literal["full", "sparse", "derivatives"] | None = Field(
        default=None,
        description="training structures, an active set, or (kernel) energies and derivatives of all training "
        "structures; null: full, but sparse with forces, with active, or (wigner) with active_by: structures or beyond "
        "200 structures",
    )
    active: int | dict[str, int] | None = Field(
        default=None,
        description="kernel: active environments of each element, one number or {O: 50, H: 80}; null: all. wigner: "
        "active atoms of each element and pairs of each two, {O: 50, O-H: 500}, all of those not named; null: 2000 of "
        "each, or fewer where memory_gb holds no more",
    )
    active_by: ActiveBy = Field(
        default="farthest",
        description="wigner: active are the atoms and pairs farthest from each other, or all of structures drawn at "
        "random, whose kernels cost less: for many geometries of one molecule",
    )
    energy_weight: float = Field(default=1.0, gt=0, description="kernel: weight of values learned with forces")
    force_weight: float = Field(default=1.0, gt=0, description="kernel: weight of forces")
    solver: Literal["normal", "rkhs", "qr", "rkhs-qr"] = Field(
        default="rkhs-qr",
        description="kernel: weights of a sparse basis by normal equations or orthogonal factors (qr), in the kernels "
        "themselves or where they are orthonormal (rkhs)",
    )
    optimise: Literal["grid", "annealing"] = Field(
        default="grid", description="kernel: how a, b and c0 are sought where they are not given"
    )
    loss: Literal["rmse", "mae"] = Field(default="rmse", description="kernel: cross-validated error that is minimised")

    def idle(self) -> dict[str, str]:
        """Return the settings that belong to the other kind of model."""
        if self.kind == "kernel":
            farthest = "model.kind is kernel, whose active environments are the farthest ones"
            return {"error_bars": "model.kind is kernel, whose predictions always have them", "active_by": farthest}
        if self.kind == "wigner":
            return dict.fromkeys(_OF_PROPERTIES, "model.kind is wigner")
        return dict.fromkeys(("basis", "active", "active_by", *_OF_PROPERTIES), "model.kind is ridge")

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
        if self.active_by != "farthest" and self.basis == "full":
            raise ValueError(
                f"active_by {self.active_by} belongs to the basis sparse, got basis full; drop one of them"
            )
        if self.kind == "wigner" and self.basis == "derivatives":
            raise ValueError("basis derivatives belongs to properties with forces; use full or sparse")
        return self


_OF_PROPERTIES = ("solver", "energy_weight", "force_weight", "optimise", "loss")
