# make demo   a trained network on the simulated board, compared with its reference
# make test   the tests
# make prove  proofs of what could be wrong in one case of a billion; some take minutes
# make bench  what the simulated board takes
# make lint   ruff
#
# Everything is installed into a virtual environment in .venv; nothing else is touched.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: demo test test-all prove bench lint clean

demo: $(VENV)/sim,onnx
	$(BIN)/popmac demo

test: $(VENV)/dev lint
	$(PYTEST) -m "not slow"

test-all: $(VENV)/dev lint
	$(PYTEST)

prove: $(VENV)/dev
	$(PYTEST) tests/formal

bench: $(VENV)/sim
	$(BIN)/popmac bench

lint: $(VENV)/dev
	$(BIN)/ruff check .

# The file is older than pyproject.toml if dependencies may have changed.
$(VENV)/sim $(VENV)/sim,onnx $(VENV)/dev: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "popmac needs Python 3.11 or newer; try: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ echo "on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$(@F)]"
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info
