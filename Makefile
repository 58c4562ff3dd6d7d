# make water: install and run the example; make test: the test suite; make check: tests and lint.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
OUT ?= runs/water

.PHONY: install water test lint check wheel clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt $(wildcard hamlearn/o3/*.c)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "hamlearn needs Python >= 3.11; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch -e '.[dev,cluster,oracle]'
	touch $@

water: $(STAMP)
	$(BIN)/hamlearn run workflows/water.yaml -o $(OUT)

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy hamlearn

check: test lint

wheel: $(STAMP)
	$(BIN)/python -m pip wheel --quiet --no-deps -w dist .

clean:
	rm -rf .venv dist build
