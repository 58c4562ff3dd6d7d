"""Where the published data sets are that benchmarks and workflows are measured on."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "HAMLEARN_BENCHMARK_DATA"


def benchmark_file(name: str) -> Path:
    """Return the path of a file in the folder HAMLEARN_BENCHMARK_DATA names; end with one line if it is not there."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        raise SystemExit(f"{VARIABLE} is not set; export {VARIABLE}=FOLDER of the data sets")
    path = Path(folder) / name
    if not path.is_file():
        raise SystemExit(f"there is no file {path}; expected {VARIABLE} to name the folder that holds {name}")
    return path
