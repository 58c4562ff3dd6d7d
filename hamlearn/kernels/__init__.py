"""Kernels: functions on O(3), their products, and every kernel that is made of them."""

from hamlearn.kernels.alchemical import SpeciesCoupling as SpeciesCoupling
from hamlearn.kernels.block_kernel import BlockKernel as BlockKernel
from hamlearn.kernels.body_order import PairKernel as PairKernel
from hamlearn.kernels.body_order import TriangleKernel as TriangleKernel
from hamlearn.kernels.centres import Centres as Centres
from hamlearn.kernels.environment_kernel import EnvironmentKernel as EnvironmentKernel
from hamlearn.kernels.environments import Environments as Environments
from hamlearn.kernels.message_passing import TaggedPairs as TaggedPairs
from hamlearn.kernels.message_passing import kernel_of_atoms as kernel_of_atoms
from hamlearn.kernels.message_passing import message_kernel as message_kernel
from hamlearn.kernels.message_passing import message_passing_kernel as message_passing_kernel
from hamlearn.kernels.mixtures import check_weights as check_weights
from hamlearn.kernels.mixtures import mixture_weights as mixture_weights
from hamlearn.kernels.n_centre import Clusters as Clusters
from hamlearn.kernels.n_centre import n_centre_kernel as n_centre_kernel
from hamlearn.kernels.soap import lambda_soap_kernel as lambda_soap_kernel
from hamlearn.kernels.soap import normalised_soap as normalised_soap
from hamlearn.kernels.soap import sa_gpr_kernel as sa_gpr_kernel
from hamlearn.kernels.soap import soap_kernel as soap_kernel
from hamlearn.kernels.structure import best_match_kernel as best_match_kernel
from hamlearn.kernels.structure import rematch_kernel as rematch_kernel
from hamlearn.kernels.structure import structure_density as structure_density
from hamlearn.kernels.wigner import density_kernel as density_kernel
from hamlearn.kernels.wigner import invariant_orders as invariant_orders
from hamlearn.kernels.wigner import wigner_kernels as wigner_kernels
from hamlearn.o3.group_function import GroupFunction as GroupFunction
