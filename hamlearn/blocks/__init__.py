"""Matrices split into blocks that each carry one irreducible symmetry, and put back together exactly."""

from hamlearn.blocks.blocks import Blocks as Blocks
from hamlearn.blocks.blocks import assemble_matrices as assemble_matrices
from hamlearn.blocks.blocks import split_matrices as split_matrices
from hamlearn.blocks.covariance import BlockCovariance as BlockCovariance
from hamlearn.blocks.covariance import element_variances as element_variances
from hamlearn.blocks.covariance import linear_covariances as linear_covariances
from hamlearn.blocks.covariance import linear_variances as linear_variances
from hamlearn.blocks.keys import BlockKey as BlockKey
from hamlearn.blocks.keys import block_keys as block_keys
