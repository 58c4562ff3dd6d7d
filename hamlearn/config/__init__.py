"""The workflow YAML, typed, documented and defaulted in one place.

Every stage takes its own section as an argument; nothing else carries settings. This room imports only
pydantic and PyYAML, so that quantum-chemistry workers can use it without loading torch.
"""

from hamlearn.config.bond_settings import BondDensity, BondFrameKernel
from hamlearn.config.density import DensitySettings, ScalingSettings
from hamlearn.config.describe import (
    compare_configs,
    defaults_text,
    dump_config,
    installed_versions,
    json_schema,
)
from hamlearn.config.features import BondFrameFeatures, CoupledFeatures, FeatureSettings
from hamlearn.config.learners import KernelRidgeSettings, ModelSettings, RidgeSettings, register_settings
from hamlearn.config.loading import build_config, changed_section, load_config
from hamlearn.config.regression import KernelSettings
from hamlearn.config.section import Section
from hamlearn.config.sections import (
    FORMAT_VERSION,
    Config,
    QMSettings,
    SplitSettings,
    StructureSettings,
)
from hamlearn.config.targets import (
    FockTarget,
    Guess,
    LowdinTarget,
    MatrixTarget,
    PropertyTarget,
    SaphTarget,
    TargetSettings,
)
from hamlearn.config.upgrade import upgraded
from hamlearn.config.wigner import WignerSettings

__all__ = [
    "FORMAT_VERSION",
    "BondDensity",
    "BondFrameFeatures",
    "BondFrameKernel",
    "Config",
    "CoupledFeatures",
    "DensitySettings",
    "FeatureSettings",
    "FockTarget",
    "Guess",
    "KernelRidgeSettings",
    "KernelSettings",
    "LowdinTarget",
    "MatrixTarget",
    "ModelSettings",
    "PropertyTarget",
    "QMSettings",
    "RidgeSettings",
    "SaphTarget",
    "ScalingSettings",
    "Section",
    "SplitSettings",
    "StructureSettings",
    "TargetSettings",
    "WignerSettings",
    "build_config",
    "changed_section",
    "compare_configs",
    "defaults_text",
    "dump_config",
    "installed_versions",
    "json_schema",
    "load_config",
    "register_settings",
    "upgraded",
]
