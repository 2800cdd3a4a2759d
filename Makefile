# make demo   a trained network on the simulated board, compared with its reference
# make test   the tests
# make prove  proofs of what could be wrong in one case of a billion; some take minutes
# make bench  what the simulated board takes
# make compare  digits in several precisions, side by side, with a page in build/digits.html
# make train  trains these networks again; needs PyTorch, 5 GB with what it brings
# make lint   ruff
#
# Everything is installed into a virtual environment in .venv; nothing else is touched.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
ZOO    := sw/popmac/zoo
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: demo test test-all prove bench compare train lint clean

demo: $(VENV)/sim,onnx
	$(BIN)/popmac demo

test: $(VENV)/dev lint
	$(PYTEST) -m "not slow"

test-all: $(VENV)/dev lint
	$(PYTEST)

prove: $(VENV)/dev
	$(PYTEST) tests/formal

compare: $(VENV)/sim,onnx
	@mkdir -p build
	$(BIN)/popmac compare $(ZOO)/digits_cnn.onnx \
		$(foreach bits,int4 ternary mixed binary,$(ZOO)/digits_cnn_$(bits).onnx) \
		--inputs $(ZOO)/digits_samples.npz --labels y \
		--calibration $(ZOO)/digits_calibration.npz --html build/digits.html

train: $(VENV)/dev,train
	$(BIN)/python -m pytest tests/train
	$(BIN)/python tests/data/make_quantised.py digits

bench: $(VENV)/sim
	$(BIN)/popmac bench

lint: $(VENV)/dev
	$(BIN)/ruff check .

# The file is older than pyproject.toml if dependencies may have changed.
$(VENV)/sim $(VENV)/sim,onnx $(VENV)/dev $(VENV)/dev,train: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "popmac needs Python 3.11 or newer; try: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ echo "on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$(@F)]"
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info
