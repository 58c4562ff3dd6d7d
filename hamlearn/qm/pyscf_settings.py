"""PySCF with its own defaults: it would run .pyscf_conf.py of the working folder, of home or of the environment, whose
settings change results that are kept under the same name.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

from hamlearn.errors import ConfigError

VARIABLE = "PYSCF_CONFIG_FILE"
OWN_FILE = str(Path(__file__).with_name("pyscf_conf.py"))
_MODULE = "pyscf.__config__"


def keep_defaults() -> None:
    """Load PySCF's settings without any configuration file, unless PySCF has loaded them already."""
    package = find_spec("pyscf")
    if _MODULE in sys.modules or package is None or package.origin is None:
        return
    spec = spec_from_file_location(_MODULE, Path(package.origin).with_name("__config__.py"))
    if spec is None or spec.loader is None:
        return
    settings, before = module_from_spec(spec), os.environ.get(VARIABLE)
    os.environ[VARIABLE] = OWN_FILE  # the first place it looks at, and the last
    try:
        spec.loader.exec_module(settings)
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before
    sys.modules[_MODULE] = settings


def check_defaults() -> None:
    """Raise ConfigError if PySCF was loaded before hamlearn and read a configuration file."""
    file = getattr(sys.modules.get(_MODULE), "conf_file", None)
    if file not in (None, OWN_FILE):
        raise ConfigError(
            f"PySCF has read {file} before hamlearn could keep it from that, and its settings change results; expected "
            f"PySCF's defaults: import hamlearn.qm first, or set {VARIABLE} to an empty file"
        )
