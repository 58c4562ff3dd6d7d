"""Functions on O(3): coefficients and their layout, products by a compiled loop or a grid, integrals over nodes."""

from hamlearn.o3.group_function import GroupFunction as GroupFunction
from hamlearn.o3.nodes import NodeGrid as NodeGrid
