"""Neighbour densities and pair functions: cut-offs, radial integrals, data-optimal radial basis."""

from hamlearn.density.expansion import DensityExpansion as DensityExpansion
from hamlearn.density.gaussian_expansion import GaussianExpansion as GaussianExpansion
from hamlearn.density.gaussian_expansion import Gradients as Gradients
from hamlearn.density.neighbours import Batch as Batch
