"""Settings of a neighbour density, the same for features and kernels."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from hamlearn.config.problems import words_of_value
from hamlearn.config.section import Section
from hamlearn.config.union import KindOf
from hamlearn.errors import SettingError

Cutoff = Annotated[float, Field(gt=0, description="radius of an atom's environment, Å")]
PairCutoff = Annotated[float, Field(gt=0, description="largest distance of a coupled atom pair, Å")]
Smearing = Annotated[float, Field(gt=0, description="width C of the Gaussian on a neighbour, Å")]
SmearingGrowth = Annotated[
    float | None,
    Field(gt=0, description="r0 of the width C exp(r / r0) of a neighbour at distance r, Å; null: constant"),
]
Radial = Annotated[
    Literal["gto", "overlap"],
    Field(description="radial functions: of Gaussian type, or as many as reproduce the overlaps of the Gaussians"),
]
MaxChannels = Annotated[
    int | None,
    Field(
        ge=1,
        le=256,
        description="most density channels kept per element and l, neighbours of all elements together; null: each "
        "element by itself, to max_n",
    ),
]
MaxN = Annotated[
    int | None,
    Field(
        ge=1,
        le=12,
        description="number of radial functions kept per species and l; null: 6, or with radial overlap and "
        "max_channels as many as it takes",
    ),
]
Optimal = Annotated[
    bool | None,
    Field(description="contract twice as many primitives to the max_n best functions; null: where there is a choice"),
]
MaxL = Annotated[int, Field(ge=0, le=8, description="largest angular momentum of densities and products")]


class ScalingSettings(Section):
    """Radial scaling u(r) = rate / (rate + (r / scale)^exponent) of every neighbour."""

    rate: float = Field(default=1.0, ge=0, description="rate; 0 gives (r / scale)^-exponent")
    scale_angstrom: float = Field(default=2.0, gt=0, description="scale, Å")
    exponent: float = Field(default=2.0, ge=0, description="exponent; 0 switches the scaling off")


class KernelKind(KindOf, Section):
    """Which kernels: of atoms and pairs of atoms for matrices, of environments for properties."""

    DEFAULT_KIND: ClassVar[str] = "pairs"

    CHOSEN_BY_GRID: ClassVar[tuple[str, ...]] = ()
    """Settings that may be chosen by cross-validation."""

    kind: str = Field(description="pairs or bond_frame for matrices, wigner, order or soap for properties")

    @property
    def leaves_choice(self) -> bool:
        """Whether something of the kernels is chosen by cross-validation."""
        return bool(getattr(self, "grid", None))

    @field_validator("grid", mode="before", check_fields=False)
    @classmethod
    def _lists_of_values(cls, grid: Any) -> Any:
        if grid is None:
            return None
        if not isinstance(grid, Mapping) or not all(isinstance(values, list | tuple) for values in grid.values()):
            raise ValueError(
                f"expected lists of values by setting, such as {{smearing_angstrom: [0.1, 0.3]}}, got {grid!r}"
            )
        for name, values in grid.items():
            if name not in cls.CHOSEN_BY_GRID:
                raise ValueError(f"grid names {name}, expected settings among {', '.join(cls.CHOSEN_BY_GRID)}")
            if not values:
                raise ValueError(f"{name} is empty; give values to choose among")
        return {name: tuple(cls._as_field(name, k, x) for k, x in enumerate(values)) for name, values in grid.items()}

    @classmethod
    def _as_field(cls, name: str, place: int, value: Any) -> Any:
        """Return a value of the grid as the setting it replaces has it."""
        field = cls.model_fields[name]
        adapter: TypeAdapter[Any] = TypeAdapter(
            Annotated[(field.annotation, *field.metadata)],  # type: ignore[arg-type]
            config=ConfigDict(allow_inf_nan=False),
        )
        if isinstance(value, bool):
            raise ValueError(f"{name}[{place}]: true and false are not accepted here")
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            raise ValueError(f"{name}[{place}]: {words_of_value(error.errors()[0])}") from None

    @model_validator(mode="after")
    def _choices_fit(self) -> Self:
        """Refuse choices that do not go with the other settings, before anything is computed."""
        grid: dict[str, tuple[Any, ...]] = getattr(self, "grid", None) or {}
        if not grid:
            return self
        settings = self.model_dump() | {"grid": None}
        for values in product(*grid.values()):
            choice = dict(zip(grid, values, strict=True))
            try:
                type(self)(**(settings | choice))
            except SettingError as error:
                told = ", ".join(f"{name} {value}" for name, value in choice.items())
                raise ValueError(f"grid: {told}: {error}") from None
        return self


class DensitySettings(Section):
    """The density of Gaussians on the neighbours of an atom, and its radial functions."""

    max_l: MaxL = 3
    cutoff_angstrom: Cutoff = 5.0
    cutoff_width_angstrom: float = Field(default=0.5, gt=0, description="width of the switch at the cut-offs, Å")
    smearing_angstrom: Smearing = 0.1
    smearing_growth_angstrom: SmearingGrowth = 2.0
    decay_angstrom: float | None = Field(
        default=None, gt=0, description="weight exp(-r / decay) of a neighbour at distance r, Å; null: none"
    )
    scaling: ScalingSettings | None = Field(default=None, description="radial scaling of the neighbours")
    element_likeness: float | None = Field(
        default=None,
        gt=0,
        description="how far elements count as alike as neighbours: width of a Gaussian of the distance between them, "
        "1 for 0.5 in electronegativity or 0.2 Å in radius; null: not at all",
    )
    radial: Radial = "overlap"
    max_n: MaxN = None
    optimal: Optimal = None
    max_channels: MaxChannels = 48
    l_weight: Literal["none", "haar"] = Field(
        default="none", description="weight of l in the kernel of order 1: 1, or 8 pi^2 / (2l + 1) as published"
    )

    @property
    def n_radial(self) -> int:
        """Number of radial functions that are kept, or that there are before a joint contraction."""
        return 6 if self.max_n is None else self.max_n

    @property
    def is_optimal(self) -> bool:
        """Whether radial functions are contracted to those that carry most of the densities."""
        return self.optimal is not False

    def density(self) -> DensitySettings:
        """Return the settings of the density alone, whatever section they stand in, without those that do nothing."""
        given = {name: getattr(self, name) for name in DensitySettings.model_fields}
        return DensitySettings(**(given | dict.fromkeys(self._unused())))

    @model_validator(mode="after")
    def _widths_fit(self) -> DensitySettings:
        for name in ("cutoff_angstrom", "pair_cutoff_angstrom"):
            if getattr(self, name, float("inf")) <= self.cutoff_width_angstrom:
                raise ValueError(f"{name} {getattr(self, name)} must exceed cutoff_width_angstrom")
        return self

    @model_validator(mode="after")
    def _settings_mean_something(self) -> DensitySettings:
        for name, reason in self._unused().items():
            if getattr(self, name) not in (None, type(self).model_fields[name].default):
                raise ValueError(f"{name} was given, but {reason}; remove it")
        return self

    def _unused(self) -> dict[str, str]:
        """Return the settings that do nothing for these radial functions and this contraction, and why."""
        unused = {}
        if self.max_channels is None:
            unused["element_likeness"] = "max_channels is null, which keeps elements apart (give it to mix them)"
        elif self.radial == "overlap":
            unused["max_n"] = "radial is overlap with max_channels, which takes as many functions as it needs"
        if self.radial == "overlap":
            unused["optimal"] = "radial is overlap, whose functions are always contracted"
        elif self.max_channels is not None:
            unused["optimal"] = "max_channels is given, which contracts all max_n functions"
        return unused
