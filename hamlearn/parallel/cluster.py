"""A dask cluster as an Executor, described by a YAML file: the same file serves a laptop and a queueing system."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hamlearn.errors import ConfigError, nearest
from hamlearn.parallel.threads import THREAD_VARIABLES, WORKER_VARIABLES

QUEUES = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "lsf": "LSFCluster",
    "sge": "SGECluster",
    "oar": "OARCluster",
    "moab": "MoabCluster",
    "htcondor": "HTCondorCluster",
}
SUBMIT = {
    "slurm": "sbatch",
    "pbs": "qsub",
    "lsf": "bsub",
    "sge": "qsub",
    "oar": "oarsub",
    "moab": "msub",
    "htcondor": "condor_submit",
}
KINDS = ("local", *QUEUES)


@dataclass(frozen=True)
class ClusterFile:
    """A dask cluster: where it was described, its kind, its number of processes, further arguments."""

    path: str
    kind: str
    workers: int
    arguments: Mapping[str, Any]


def read_cluster_file(path: str | Path) -> ClusterFile:
    """Read ``kind`` (local, slurm, pbs, ...), ``workers`` (number of processes) and further arguments.

    The arguments are those of ``LocalCluster`` or of the class of dask-jobqueue, such as ``queue``, ``cores``,
    ``memory`` and ``walltime``.

    Raises:
        ConfigError: if the file is missing, no mapping, or kind or workers are wrong.
    """
    expected = f"expected a mapping with kind ({', '.join(KINDS)}) and workers"
    try:
        content = yaml.safe_load(Path(path).read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the cluster file {path}: {error}; {expected}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"the cluster file {path} holds {type(content).__name__}; {expected}")
    kind, workers = content.pop("kind", None), content.pop("workers", None)
    if kind not in KINDS:
        raise ConfigError(f"the cluster file {path} has kind {kind!r}{nearest(str(kind), KINDS)}; {expected}")
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
        raise ConfigError(f"the cluster file {path} has workers {workers!r}; expected a whole number, at least 1")
    return ClusterFile(str(path), kind, workers, {str(key): value for key, value in content.items()})


@contextmanager
def open_cluster(file: ClusterFile, threads: int = 1) -> Iterator[Executor]:
    """Give an Executor on a dask cluster, with this number of BLAS and OpenMP threads for each worker.

    Raises:
        ConfigError: if dask is missing or does not accept the arguments.
    """
    with ExitStack() as stack:
        try:
            import dask
            from distributed import Client

            stack.enter_context(dask.config.set(_settings(threads)))
            client = stack.enter_context(Client(stack.enter_context(_make_cluster(file, threads))))
        except ImportError as error:
            raise ConfigError(
                f"the executor {file.path} needs dask, which is not installed ({error}); install it with "
                "pip install 'hamlearn[cluster]', or use --executor local"
            ) from None
        except (TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(part) for part in (error, error.__cause__) if part)
            raise ConfigError(f"dask refuses the {file.kind} cluster of {file.path}: {reason}") from None
        executor = client.get_executor(pure=False)
        executor.in_flight = 4 * file.workers
        yield executor


def _settings(threads: int) -> dict[str, Any]:
    return {
        "distributed.nanny.pre-spawn-environ": _variables(threads),
        "distributed.logging.distributed": "error",
    }


def _variables(threads: int) -> dict[str, str]:
    return dict.fromkeys(THREAD_VARIABLES, str(threads)) | WORKER_VARIABLES


def _make_cluster(file: ClusterFile, threads: int) -> Any:
    if file.kind == "local":
        from distributed import LocalCluster

        defaults = {"threads_per_worker": 1, "processes": True, "dashboard_address": None}
        return LocalCluster(n_workers=file.workers, **(defaults | dict(file.arguments)))
    import dask_jobqueue

    prologue = [f"export {name}={value}" for name, value in _variables(threads).items()]
    prologue += file.arguments.get("job_script_prologue", [])
    cluster = getattr(dask_jobqueue, QUEUES[file.kind])(**{**file.arguments, "job_script_prologue": prologue})
    if not shutil.which(SUBMIT[file.kind]):
        cluster.close()
        raise ConfigError(
            f"a cluster of kind {file.kind} needs the command {SUBMIT[file.kind]}, which is not here; run this on a "
            "machine that can submit jobs, or use kind local"
        )
    cluster.scale(file.workers)
    return cluster
