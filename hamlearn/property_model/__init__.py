"""Learned properties of molecules: energies with forces, dipoles, polarizabilities, by kernels of environments."""

from hamlearn.property_model.domain import check_elements as check_elements
from hamlearn.property_model.domain import check_settings as check_settings
from hamlearn.property_model.folder import load_model as load_model
from hamlearn.property_model.folder import load_property_model as load_property_model
from hamlearn.property_model.labels import Labels as Labels
from hamlearn.property_model.labels import in_own_shape as in_own_shape
from hamlearn.property_model.labels import read_labels as read_labels
from hamlearn.property_model.model import PropertyModel as PropertyModel
from hamlearn.property_model.prediction import PropertyPrediction as PropertyPrediction
from hamlearn.property_model.prediction import property_metrics as property_metrics
