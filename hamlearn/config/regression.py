"""Settings of the kernels of environments that learn properties."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from hamlearn.config.density import DensitySettings, KernelKind


class KernelSettings(DensitySettings, KernelKind):
    """The kernel of atomic environments: a function on O(3) made of their densities."""

    CHOSEN_BY_GRID: ClassVar[tuple[str, ...]] = (
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

    kind: Literal["wigner", "order", "soap"] = Field(
        default="wigner",
        description="mixture of Wigner kernels of all orders, one order alone, or the normalised SOAP kernel",
    )
    max_nu: int = Field(default=4, ge=1, le=8, description="largest order of the mixture, or the one order")
    zeta: int = Field(default=1, ge=1, le=8, description="power of the kernel; for kinds order and soap")
    structure: Literal["sum", "average", "best_match", "rematch"] = Field(
        default="sum",
        description="how kernels of atoms make one of structures: sum, average, best one-to-one match, or the match "
        "regularised by entropy (rematch, for kind soap); all but sum for scalars without forces in the basis full",
    )
    gamma: float | None = Field(
        default=None,
        gt=0,
        description="rematch: strength of the entropy, null: 1; infinite is average, small is not positive",
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
    additive_width_angstrom: float | None = Field(
        default=None,
        gt=0,
        description="width of the Gaussians of distances in kernels of pairs and triangles, Å; null: 1",
    )
    a: float | None = Field(default=None, gt=0, description="weight of the orders from 1; null: cross-validated")
    b: float | None = Field(default=None, gt=0, description="rate of the mixture a b^nu / nu!; null: cross-validated")
    c0: float | None = Field(default=None, ge=0, description="weight of order 0; null: cross-validated")
    grid: dict[str, tuple[int | float | None, ...]] | None = Field(
        default=None,
        description="values of other settings of the kernel to choose among by cross-validation, such as "
        "{smearing_angstrom: [0.1, 0.3], smearing_growth_angstrom: [1, 2]}; null: none",
    )

    @property
    def has_mixture(self) -> bool:
        """Whether all of a, b and c0 that there are were given."""
        return self.a is not None and self.c0 is not None and (self.b is not None or self.kind != "wigner")

    @property
    def leaves_choice(self) -> bool:
        """Whether the mixture, weights of pairs and triangles or a setting of the grid are chosen."""
        return not self.has_mixture or bool(self.additive) or super().leaves_choice

    @model_validator(mode="after")
    def _structure_fits(self) -> KernelSettings:
        if self.gamma is not None and self.structure != "rematch":
            raise ValueError(f"gamma was given, but structure is {self.structure}, not rematch; remove it")
        if self.additive_width_angstrom is not None and not self.additive:
            raise ValueError("additive_width_angstrom was given, but additive is empty; remove it")
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
        if self.b is not None and self.kind != "wigner":
            raise ValueError(f"b is the rate of a mixture of orders, kind wigner, got kind {self.kind}; remove it")
        if self.zeta > 1 and self.kind == "wigner":
            raise ValueError("zeta belongs to the kinds order and soap; a wigner mixture has its orders in max_nu")
        return self
