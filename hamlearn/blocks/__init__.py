"""Matrices split into blocks that each carry one irreducible symmetry, and put back together exactly."""

from hamlearn.blocks.blocks import Blocks as Blocks
from hamlearn.blocks.blocks import assemble_matrices as assemble_matrices
from hamlearn.blocks.blocks import split_matrices as split_matrices
from hamlearn.blocks.keys import BlockKey as BlockKey
from hamlearn.blocks.keys import block_keys as block_keys
