"""Many tasks over an executor, of which any may kill its worker."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from typing import Any

from hamlearn.parallel.opening import open_executor

# quick tasks travel together, which saves the parent's time, but never so many that workers idle in the end
SECONDS_PER_CHUNK = 0.4
LARGEST_CHUNK = 16


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
            if alone:
                lost = yield from _run(executor, function, arguments, suspects, in_flight=1, largest=1)
            else:
                in_flight: int = executor.in_flight  # type: ignore[attr-defined]
                lost = yield from _run(executor, function, arguments, waiting, in_flight, LARGEST_CHUNK)
        if alone:
            yield from ((index, WorkerDied()) for index in lost)
        else:
            suspects.extend(lost)


def _run(
    executor: Executor,
    function: Callable[..., Any],
    arguments: Sequence[tuple[Any, ...]],
    queue: deque[int],
    in_flight: int,
    largest: int,
) -> Generator[tuple[int, Any], None, list[int]]:
    """Yield results until the queue is empty or the executor broken; return the tasks lost with their worker."""
    running: dict[Future[Any], list[int]] = {}
    lost: list[int] = []
    broken, done, start = False, 0, time.monotonic()
    while True:
        while queue and len(running) < in_flight and not broken:
            tasks_per_second = done / (time.monotonic() - start)
            size = min(largest, int(SECONDS_PER_CHUNK * tasks_per_second / in_flight), len(queue) // (2 * in_flight))
            chunk = [queue.popleft() for _ in range(max(1, size))]
            try:
                running[executor.submit(_run_chunk, function, [arguments[i] for i in chunk])] = chunk
            except BrokenExecutor:
                queue.extendleft(reversed(chunk))
                broken = True
        if not running:
            return lost
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            chunk, error = running.pop(future), future.exception()
            if error is None:
                done += len(chunk)
                yield from zip(chunk, future.result(), strict=True)
            elif isinstance(error, BrokenExecutor):
                broken = True
                lost += chunk
            elif type(error).__name__ == "KilledWorker":  # dask's, which replaces the worker by itself
                lost += chunk
            else:
                raise error


def _run_chunk(function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
    return [function(*each) for each in arguments]
