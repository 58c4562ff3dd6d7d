"""The one object users meet: fit, predict, save and load a learned Hamiltonian."""

from hamlearn.hamiltonian_model.folder import load_model as load_model
from hamlearn.hamiltonian_model.model import HamiltonianModel as HamiltonianModel
from hamlearn.hamiltonian_model.selection import select_structures as select_structures
