"""Neighbour densities and pair functions: radial functions, cut-offs, contraction to what the data need."""

from hamlearn.density.expansion import DensityExpansion as DensityExpansion
from hamlearn.density.expansion import Gradients as Gradients
