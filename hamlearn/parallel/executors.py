"""Executors in this process and on local processes."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from types import MappingProxyType, ModuleType
from typing import Any

from hamlearn.parallel.threads import THREAD_VARIABLES, WORKER_VARIABLES

SECONDS_BETWEEN_LOOKS_AT_PARENT = 0.5


class SerialExecutor(Executor):
    """Runs every task at once in the calling process."""

    in_flight = 1

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run ``fn`` and return its finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class LocalExecutor(ProcessPoolExecutor):
    """Spawned processes with a fixed number of threads, which end with the process that started them."""

    def __init__(self, workers: int, threads: int = 1) -> None:
        with _variables(threads, WORKER_VARIABLES):  # its queues start a process that keeps account of them
            super().__init__(
                workers, mp_context=_WorkerContext(threads), initializer=_start_worker, initargs=(os.getpid(),)
            )
        self.in_flight = 2 * workers

    def kill(self) -> None:
        """Stop all workers at once, whatever they do."""
        processes = list((self._processes or {}).values())
        self.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()
        for process in processes:
            process.join()


@contextmanager
def open_serial(threads: int) -> Iterator[Executor]:
    """Give an executor that runs tasks in this process."""
    from threadpoolctl import threadpool_limits

    with _variables(threads), threadpool_limits(threads):  # libraries loaded later, loaded already
        yield SerialExecutor()


@contextmanager
def open_local(workers: int, threads: int) -> Iterator[Executor]:
    """Give an executor on spawned processes."""
    executor = LocalExecutor(workers, threads)
    try:
        yield executor
    except BaseException:
        executor.kill()
        raise
    executor.shutdown()


class _WorkerProcess(SpawnProcess):
    """A process that starts with its number of threads set and without the caller's main script.

    Thread counts must be in the environment before numpy loads. The main script is hidden because a spawned
    process would run it again up to ``if __name__ == "__main__"``, with all it imports.
    """

    threads = 1

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        with _variables(process_obj.threads, WORKER_VARIABLES), _hidden_main(), _working_folder_last():
            return SpawnProcess._Popen(process_obj)


class _WorkerContext(SpawnContext):
    def __init__(self, threads: int) -> None:
        super().__init__()
        self.threads = threads

    def Process(self, *args: Any, **kwargs: Any) -> _WorkerProcess:  # type: ignore[override]
        process = _WorkerProcess(*args, **kwargs)
        process.threads = self.threads
        return process


@contextmanager
def _variables(threads: int, more: Mapping[str, str] = MappingProxyType({})) -> Iterator[None]:
    """Set environment variables for the processes that start meanwhile."""
    variables = dict.fromkeys(THREAD_VARIABLES, str(threads)) | dict(more)
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _hidden_main() -> Iterator[None]:
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _working_folder_last() -> Iterator[None]:
    """Have workers look for modules in the working folder last, where an interactive session looks first."""
    before = list(sys.path)
    sys.path[:] = [place for place in before if place] + [place for place in before if not place]
    try:
        yield
    finally:
        sys.path[:] = before


def _start_worker(parent: int) -> None:
    """Leave Ctrl-C to the parent, and end when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS_BETWEEN_LOOKS_AT_PARENT)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
