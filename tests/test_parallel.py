"""Executors, tasks that kill their workers, locks; also what workers do not load."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor

import pytest

from hamlearn.errors import ArtifactError, ConfigError
from hamlearn.parallel import WorkerDied, folder_lock, open_executor, parse_shard, run_tasks
from hamlearn.parallel.machine import bytes_per_unit, n_cores, peak_memory_gb

HOLD_LOCK = """
import sys, time
from hamlearn.parallel import folder_lock
with folder_lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""
SLEEPING_WORKERS = """
import time
from hamlearn.parallel import open_executor
with open_executor("local:2") as executor:
    futures = [executor.submit(time.sleep, 0.3) for _ in range(4)]
    [future.result() for future in futures]
    futures = [executor.submit(time.sleep, 60) for _ in range(2)]
    print(*executor._processes, flush=True)
    time.sleep(60)
"""


def double(value):
    return 2 * value


def refuse(value):
    raise ValueError(f"refused {value}")


def describe_worker():
    """What a worker that calculates has loaded, and with how many threads."""
    from pyscf import lib, scf
    from threadpoolctl import threadpool_info

    from hamlearn.qm import task

    assert task and scf
    libraries = [info["num_threads"] for info in threadpool_info()]
    return os.getpid(), lib.num_threads(), libraries, sorted({name.split(".")[0] for name in sys.modules})


def die_if_odd(folder, number):
    """Kill the worker whenever the number is odd, after leaving a mark of the attempt."""
    with open(folder / f"{number}", "a") as marks:
        marks.write("x")
    if number % 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def start(script, *arguments):
    return subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().split(")")[-1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("spec", ["serial", "local:2"])
def test_executor_returns_results_and_errors(spec):
    with open_executor(spec) as executor:
        futures = [executor.submit(double, i) for i in range(5)]
        failing = executor.submit(refuse, 7)
        assert [future.result() for future in futures] == [0, 2, 4, 6, 8]
        with pytest.raises(ValueError, match="refused 7"):
            failing.result()


def test_workers_have_one_thread_and_no_torch():
    before = dict(os.environ)
    with open_executor("local:1") as executor:
        pid, pyscf_threads, libraries, modules = executor.submit(describe_worker).result()
    assert pid != os.getpid()
    assert pyscf_threads == 1
    assert libraries
    assert set(libraries) == {1}
    assert "pyscf" in modules
    assert not {"torch", "ase", "matplotlib", "sphericart"} & set(modules)
    assert dict(os.environ) == before


def test_worker_threads_are_those_asked_for():
    with open_executor("local:1", threads=2) as executor:
        assert executor.submit(os.getenv, "OMP_NUM_THREADS").result() == "2"


def test_workers_do_not_run_the_main_script(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "print('main runs')\n"
        "from hamlearn.parallel import open_executor\n"
        "with open_executor('local:1') as executor:\n"
        "    print(executor.submit(abs, -3).result())\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout == "main runs\n3\n"


def test_workers_end_when_the_parent_is_killed():
    parent = start(SLEEPING_WORKERS)
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(workers) == 2
    assert all(map(is_running, workers))
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 20
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(is_running, workers))


def test_error_in_the_block_stops_busy_workers():
    with pytest.raises(KeyboardInterrupt), open_executor("local:1") as executor:
        assert executor.submit(double, 1).result() == 2
        executor.submit(time.sleep, 60)
        workers = list(executor._processes)
        raise KeyboardInterrupt
    assert not any(map(is_running, workers))


@pytest.mark.parametrize("spec", ["", "serial:2", "local:", "local:0", "local:x", "threads", "missing.yaml"])
def test_bad_executor_is_refused(spec):
    with pytest.raises(ConfigError, match=r"expected|give"):
        open_executor(spec)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[1, 2]", "mapping"),
        ("kind: [", "cannot read"),
        ("workers: 2", "kind None"),
        ("kind: slrum\nworkers: 2", "did you mean 'slurm'"),
        ("kind: local", "workers None"),
        ("kind: local\nworkers: 0", "workers 0"),
        ("kind: local\nworkers: true", "workers True"),
    ],
)
def test_bad_cluster_file_is_refused(tmp_path, content, says):
    (tmp_path / "cluster.yaml").write_text(content)
    with pytest.raises(ConfigError, match="expected") as error:
        open_executor(str(tmp_path / "cluster.yaml"))
    assert says in str(error.value)


def test_missing_dask_is_said_in_words(tmp_path, monkeypatch):
    (tmp_path / "cluster.yaml").write_text("kind: local\nworkers: 1\ndashboard_address: :0\n")
    monkeypatch.setitem(sys.modules, "dask", None)
    with (
        pytest.raises(ConfigError, match=r"pip install 'hamlearn\[cluster\]'"),
        open_executor(str(tmp_path / "cluster.yaml")),
    ):
        pass


def test_local_dask_cluster_runs_the_same_tasks(tmp_path):
    pytest.importorskip("distributed")
    (tmp_path / "cluster.yaml").write_text("kind: local\nworkers: 1\ndashboard_address: :0\n")
    with open_executor(str(tmp_path / "cluster.yaml")) as executor:
        pid, pyscf_threads, libraries, modules = executor.submit(describe_worker).result()
        assert executor.submit(double, 4).result() == 8
    assert pid != os.getpid()
    assert pyscf_threads == 1
    assert set(libraries) == {1}
    assert "torch" not in modules


@pytest.mark.filterwarnings("ignore:Exception ignored in.*Cluster.__del__")  # dask closes no half-made cluster
def test_dask_refusal_names_file_and_reason(tmp_path):
    pytest.importorskip("dask_jobqueue")
    (tmp_path / "cluster.yaml").write_text("kind: slurm\nworkers: 1\nqueue: normal\nno_such_option: 3\n")
    with (
        pytest.raises(ConfigError, match=r"refuses the slurm cluster of .*cluster\.yaml"),
        open_executor(str(tmp_path / "cluster.yaml")),
    ):
        pass


@pytest.mark.parametrize("spec", ["serial", "local:2"])
def test_run_tasks_yields_every_index_once(spec):
    assert sorted(run_tasks(spec, double, [(i,) for i in range(7)])) == [(i, 2 * i) for i in range(7)]


def test_run_tasks_raises_what_a_task_raises():
    with pytest.raises(ValueError, match="refused 0"):
        list(run_tasks("serial", refuse, [(0,)]))


def test_only_tasks_that_kill_their_worker_alone_are_given_up(tmp_path):
    outcomes = dict(run_tasks("local:2", die_if_odd, [(tmp_path, n) for n in (0, 2, 3, 4, 6)]))
    died = {index for index, outcome in outcomes.items() if isinstance(outcome, WorkerDied)}
    assert died == {2}
    assert [outcomes[i] for i in (0, 1, 3, 4)] == [0, 2, 4, 6]
    assert (tmp_path / "3").read_text() == "xx"


def test_a_broken_pool_is_not_hidden():
    with pytest.raises(BrokenExecutor), open_executor("local:1") as executor:
        executor.submit(os._exit, 1).result()


@pytest.mark.parametrize(("text", "shard"), [("0/1", (0, 1)), ("3/10", (3, 10))])
def test_parse_shard(text, shard):
    assert parse_shard(text) == shard


@pytest.mark.parametrize("text", ["", "1", "1/1", "10/10", "-1/3", "0/0", "a/b", "1/2/3"])
def test_bad_shard_is_refused(text):
    with pytest.raises(ConfigError, match="expected i/n"):
        parse_shard(text)


def test_second_process_is_refused_until_the_first_is_gone(tmp_path):
    holder = start(HOLD_LOCK, tmp_path)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(ArtifactError, match=f"another process is working in {tmp_path}"), folder_lock(tmp_path):
        pass
    holder.kill()
    holder.communicate()
    with folder_lock(tmp_path), pytest.raises(ArtifactError), folder_lock(tmp_path):
        pass


def test_shards_share_a_folder_but_not_with_a_whole_run(tmp_path):
    folder = tmp_path / "made" / "by lock"
    with folder_lock(folder, (0, 2)), folder_lock(folder, (1, 2)):
        with pytest.raises(ArtifactError, match="as shard 1/2"), folder_lock(folder, (1, 2)):
            pass
        with pytest.raises(ArtifactError), folder_lock(folder):
            pass
    with folder_lock(folder), pytest.raises(ArtifactError), folder_lock(folder, (0, 2)):
        pass


def test_cluster_without_its_submit_command_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "cluster.yaml").write_text(
        "kind: slurm\nworkers: 1\nqueue: normal\ncores: 1\nmemory: 1GB\nscheduler_options: {dashboard_address: ':0'}\n"
    )
    with pytest.raises(ConfigError, match="needs the command sbatch"), open_executor(str(tmp_path / "cluster.yaml")):
        pass


WINDOWS = """
import os, sys, types
import multiprocessing.reduction
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from hamlearn import errors
locked = []
sys.modules["msvcrt"] = types.SimpleNamespace(LK_NBLCK=2, locking=lambda *arguments: locked.append(arguments[1:]))
sys.modules["fcntl"] = sys.modules["resource"] = None
sys.platform = "win32"
del os.sched_getaffinity
import hamlearn.parallel.machine as machine
from hamlearn.parallel.locks import folder_lock
with folder_lock(sys.argv[1]), folder_lock(sys.argv[1], (0, 2)):
    print(locked, machine.peak_memory_gb(), machine.n_cores() == os.cpu_count())
"""


def test_the_package_does_without_what_windows_lacks(tmp_path):
    done = subprocess.run([sys.executable, "-c", WINDOWS, tmp_path / "a"], capture_output=True, text=True)
    assert done.stdout.strip() == "[(2, 1), (2, 1)] 0.0 True", done.stderr


def test_units_of_peak_memory():
    assert bytes_per_unit("darwin") == 1 and bytes_per_unit("linux") == 1024
    assert 0.01 < peak_memory_gb() < 100
    assert 1 <= n_cores() <= os.cpu_count()
