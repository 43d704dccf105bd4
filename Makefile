# `make demo` and `make test` need nothing but Python 3.10 or later; they set up .venv by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo

.PHONY: demo test lint types docs bench gpu startup likeness alarms clean

demo: $(VENV)/installed
	rm -rf $(DEMO) data/simulated
	$(BIN)/faithful-aad simulate data/simulated --train 400 --normal 100 --anomalies 30 --duration 5
	$(BIN)/faithful-aad study quick --output $(DEMO) --jobs 2

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/installed-test
	$(BIN)/mypy

docs: $(VENV)/installed-test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# For example: make bench OPTIONS="--settings.clips 4 --settings.device cuda --output bench.json"
bench: $(VENV)/installed-test
	PYTHONPATH=tests $(BIN)/python -m benchmarks.speed $(OPTIONS)

# On a machine with a GPU. For example: make gpu OPTIONS="--parts '[tests, epoch]' --output results"
gpu: $(VENV)/installed-test
	PYTHONPATH=tests $(BIN)/python -m benchmarks.gpu $(OPTIONS)

# CPU time of commands until they answer, as ratios to the imports of PyTorch and Lightning
startup: $(VENV)/installed-test
	PYTHONPATH=tests $(BIN)/python -m benchmarks.startup $(OPTIONS)

# For example: make likeness REFERENCE=normal.wav OPTIONS="--broken_board broken.wav --output likeness.png"
likeness: $(VENV)/installed-test
	PYTHONPATH=tests $(BIN)/python -m benchmarks.compare_simulator $(REFERENCE) $(OPTIONS)

# For example: make alarms OPTIONS="--runs '[runs/ae]' --normal 'data/test/normal*.wav' --anomalous 'data/test/anomaly*.wav'"
alarms: $(VENV)/installed-test
	PYTHONPATH=tests $(BIN)/python -m benchmarks.alarms $(OPTIONS)

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

clean:
	rm -rf $(VENV) runs data/simulated site
