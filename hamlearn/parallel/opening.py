"""An Executor by name: the one seam between what is computed and where."""

from __future__ import annotations

import re
from concurrent.futures import Executor
from contextlib import AbstractContextManager

from hamlearn.errors import ConfigError
from hamlearn.parallel.executors import open_local, open_serial
from hamlearn.parallel.machine import n_cores


def open_executor(spec: str, threads: int = 1) -> AbstractContextManager[Executor]:
    """Return a context manager that gives an Executor.

    Args:
        spec: ``serial`` (in this process); ``local`` or ``local:N`` (N spawned processes, by default one for each
            core); or the path of a YAML file with ``kind`` (local, slurm, pbs, lsf, sge, oar, moab, htcondor),
            ``workers`` and further arguments of the dask cluster of that kind.
        threads: BLAS and OpenMP threads of each worker.

    Returns:
        A context manager. The executor has ``in_flight``, the number of tasks that keep it busy. Leaving it
        normally waits for the tasks; leaving it by an exception drops those not begun and stops the workers.

    Raises:
        ConfigError: if the specification is not one of these.
    """
    if spec == "serial":
        return open_serial(threads)
    if match := re.fullmatch(r"local(?::(\d+))?", spec):
        workers = int(match[1]) if match[1] else n_cores()
        if workers < 1:
            raise ConfigError(f"executor '{spec}' asks for no worker; give local:N with N at least 1")
        return open_local(workers, threads)
    if spec.endswith((".yaml", ".yml")):
        from hamlearn.parallel.cluster import open_cluster, read_cluster_file

        return open_cluster(read_cluster_file(spec), threads)
    raise ConfigError(
        f"executor '{spec}' is not known; expected serial, local, local:N (N processes) or the path of a cluster "
        "file ending in .yaml"
    )


def n_workers(spec: str) -> int:
    """Return how many processes work together in an executor of :func:`open_executor`."""
    if match := re.fullmatch(r"local(?::(\d+))?", spec):
        return int(match[1]) if match[1] else n_cores()
    if spec.endswith((".yaml", ".yml")):
        from hamlearn.parallel.cluster import read_cluster_file

        return read_cluster_file(spec).workers
    return 1
