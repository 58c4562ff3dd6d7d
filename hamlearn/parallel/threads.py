"""Environment variables of workers, read when Python starts and when the libraries of BLAS and OpenMP load."""

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)

WORKER_VARIABLES = {"PYTHONSAFEPATH": "1"}
"""For workers: modules in the working folder (struct.py, select.py) are not loaded instead of Python's own."""
