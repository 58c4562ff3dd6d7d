"""One seam to ``concurrent.futures.Executor``: in-process, local processes, a dask cluster, shards of job arrays.

Nothing here imports more than the standard library until it is needed, because workers start with it.
"""

from hamlearn.parallel.locks import folder_lock, parse_shard
from hamlearn.parallel.lost_workers import WorkerDied, run_tasks
from hamlearn.parallel.opening import open_executor

__all__ = ["WorkerDied", "folder_lock", "open_executor", "parse_shard", "run_tasks"]
