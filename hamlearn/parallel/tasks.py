"""Many tasks over an executor, of which any may kill its worker."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from typing import Any

from hamlearn.parallel.executors import open_executor


class WorkerDied:
    """The outcome of a task that killed its worker twice, the second time with nothing else running."""


def run_tasks(
    spec: str, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], threads: int = 1
) -> Iterator[tuple[int, Any]]:
    """Yield (index, ``function(*arguments[index])``) as tasks end, in any order.

    Only as many tasks are under way as keep the workers busy. When a worker dies (killed, out of memory, crashed in
    compiled code), the tasks that were under way run again one at a time, which shows the one to blame.

    Args:
        spec: see :func:`~hamlearn.parallel.open_executor`.
        function: importable by the workers.
        arguments: of each task.
        threads: of each worker.

    Yields:
        The index and what the function returned, or :class:`WorkerDied`.

    Raises:
        Exception: whatever the function raises.
    """
    waiting, suspects = deque(range(len(arguments))), deque[int]()
    while waiting or suspects:
        alone = bool(suspects)
        with open_executor(spec, threads) as executor:
            limit = 1 if alone else executor.in_flight  # type: ignore[attr-defined]
            lost = yield from _run(executor, function, arguments, suspects if alone else waiting, limit)
        if alone:
            yield from ((index, WorkerDied()) for index in lost)
        else:
            suspects.extend(lost)


def _run(
    executor: Executor,
    function: Callable[..., Any],
    arguments: Sequence[tuple[Any, ...]],
    queue: deque[int],
    limit: int,
) -> Generator[tuple[int, Any], None, list[int]]:
    """Yield results until the queue is empty or the executor broken; return the tasks lost with their worker."""
    running: dict[Future[Any], int] = {}
    lost: list[int] = []
    broken = False
    while True:
        while queue and len(running) < limit and not broken:
            try:
                running[executor.submit(function, *arguments[queue[0]])] = queue[0]
                queue.popleft()
            except BrokenExecutor:
                broken = True
        if not running:
            return lost
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            index, error = running.pop(future), future.exception()
            if error is None:
                yield index, future.result()
            elif isinstance(error, BrokenExecutor):
                broken = True
                lost.append(index)
            elif type(error).__name__ == "KilledWorker":  # dask's, which replaces the worker by itself
                lost.append(index)
            else:
                raise error
