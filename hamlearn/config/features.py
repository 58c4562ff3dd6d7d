"""Settings of neighbour densities and of the equivariant features made of them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hamlearn.config.density import (
    Cutoff,
    DensitySettings,
    MaxChannels,
    MaxL,
    MaxN,
    Optimal,
    PairCutoff,
    Radial,
    Smearing,
    SmearingGrowth,
)


class FeatureSettings(DensitySettings):
    """The neighbour density and the equivariant features made of it."""

    max_l: MaxL = 6
    cutoff_angstrom: Cutoff = 3.5
    smearing_angstrom: Smearing = 0.3
    smearing_growth_angstrom: SmearingGrowth = None
    radial: Radial = "gto"
    max_n: MaxN = 6
    optimal: Optimal = True
    max_channels: MaxChannels = None
    pair_cutoff_angstrom: PairCutoff = 6.0
    max_nu_centre: Literal[0, 1, 2] = Field(default=2, description="body order of the one-centre features")
    max_nu_pair: Literal[0, 1] = Field(default=1, description="body order of the pair features")
