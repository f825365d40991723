# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
CORPUS := .corpus

# Silence before TensorFlow's own logging can be set up; one thread a worker, two workers.
export TF_CPP_MIN_LOG_LEVEL := 3

.PHONY: demo test lint conformance models slow bench clean

# torch comes first and alone: asked for by another package, pip would fetch the CUDA build.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt tensorflow-cpu -e '.[torch,onnx,dev]'
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt --no-deps tf_keras
	touch $@

demo: $(READY)
	$(BIN)/python demo/run.py

test: $(READY) lint
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not slow"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

conformance: $(READY)
	$(BIN)/python tests/ops/support.py --workers 2
	$(BIN)/python tests/readers/tensorflow/operators_page.py

models: $(READY)
	$(BIN)/python tests/models/carry.py --corpus $(CORPUS)
	$(BIN)/python tests/models/carry_keras.py

slow: $(READY)
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m slow

bench: $(READY)
	$(BIN)/python benchmarks/conversion.py
	$(BIN)/python benchmarks/torch_speed.py
	$(BIN)/python benchmarks/keras_conversion.py

clean:
	rm -rf $(VENV) $(CORPUS) build dist
