"""Kernels: functions on O(3), their products, and every kernel that is made of them."""

from hamlearn.kernels.environment_kernel import EnvironmentKernel as EnvironmentKernel
from hamlearn.kernels.environments import Environments as Environments
from hamlearn.kernels.group_function import GroupFunction as GroupFunction
from hamlearn.kernels.wigner import density_kernel as density_kernel
from hamlearn.kernels.wigner import invariant_orders as invariant_orders
from hamlearn.kernels.wigner import wigner_kernels as wigner_kernels
from hamlearn.kernels.wigner import wigner_orders as wigner_orders
