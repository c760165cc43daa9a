# `make night` and `make test` each do all the set-up they need on a fresh Debian 12 with Python 3.11.
PYTHON ?= python3.11
BIN := .venv/bin
export FLWR_TELEMETRY_ENABLED = 0
export FLWR_DISABLE_UPDATE_CHECK = 1
export FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION = 1
# A server's thread pool inside one small network costs more than it gains.
export POLARS_MAX_THREADS ?= 2

# Else a fresh environment's modules would be compiled again at every start of a program.
export PYTHONDONTWRITEBYTECODE =

PYTEST := $(BIN)/pytest -n auto --dist loadgroup --durations=15

.PHONY: setup night test test-long pytest check mutants lock wire peers clean

setup: .venv/.run-ready

night: .venv/.run-ready
	$(BIN)/escapement-sandbox night

# `make -j2 test` runs the checks beside the tests.
test: check pytest

# Draws 200 examples of each law, where `make test` draws 25, and runs the tests marked `long` too.
test-long: PYTEST += --hypothesis-profile=long
test-long: check pytest

pytest: .venv/.dev-ready
	$(PYTEST)

check: .venv/.dev-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy server outlet_client features privacy sandbox benchmarks tests
	$(BIN)/lint-imports

# Whether the tests notice small faults in the code (docs/mutants.md); hours, and resumable. MUTANTS are options.
mutants: .venv/.dev-ready
	nice -n 19 $(BIN)/python -m benchmarks.mutants $(MUTANTS)

# Rewrites both locks from pyproject.toml, and the peers' from their own list: hashes, no index address.
lock:
	@test -x $(BIN)/uv || scripts/setup.sh dev
	$(BIN)/uv pip compile -q --generate-hashes --no-header --no-annotate --python-version 3.11 --extra build pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --generate-hashes --no-header --no-annotate --python-version 3.11 --extra build --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	$(BIN)/uv pip compile -q --generate-hashes --no-header --no-annotate --python-version 3.11 benchmarks/peers/requirements.in -o benchmarks/peers/requirements.lock

# Regenerates the stubs of server/wire from its .proto files.
wire: .venv/.dev-ready
	PATH="$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I . --python_out=. --grpc_python_out=. --mypy_out=. --mypy_grpc_out=. server/wire/office.proto server/wire/outlets.proto

# The environment of benchmarks/peers; neither tests nor nights need it.
peers: .venv-peers/requirements.lock

clean:
	rm -rf .venv .venv-peers runs .mypy_cache .ruff_cache .pytest_cache

.venv/.run-ready: requirements.lock pyproject.toml scripts/setup.sh
	PYTHON=$(PYTHON) scripts/setup.sh run

.venv/.dev-ready: requirements-dev.lock pyproject.toml scripts/setup.sh
	PYTHON=$(PYTHON) scripts/setup.sh dev

# The copy of the lock comes last: it says that all of it is installed.
.venv-peers/requirements.lock: benchmarks/peers/requirements.lock
	$(PYTHON) -m venv --clear .venv-peers
	.venv-peers/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r $<
	cp $< $@
