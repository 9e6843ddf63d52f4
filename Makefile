# One verb a target, the same for people and for CI. `make demo` and `make test` set up everything they need.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO ?= build/demo

.PHONY: demo test check bench gates studies docs clean setup golden

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev --editable ".[formats,train,zoo,export]"
	touch $(READY)

# Public-domain photos, broken files among them: scanned, verified, forged, delivered in four ways, shown on a page.
demo: $(READY)
	$(BIN)/python examples/demo.py --output $(DEMO)

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal -q

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python benchmarks/scan.py
	$(BIN)/python benchmarks/manifest.py
	PYTHONPATH=tests $(BIN)/python benchmarks/audit_controls.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/metrics.py
	PYTHONPATH=tests $(BIN)/python benchmarks/forge.py
	$(BIN)/python benchmarks/nfa_vit.py
	PYTHONPATH=tests $(BIN)/python benchmarks/inspecting.py
	PYTHONPATH=tests $(BIN)/python benchmarks/train.py
	$(BIN)/python benchmarks/detectors.py --table docs/detectors.md

# The embedded detector by its gates, on a set that `python -m fauxlens.train.embedded_set` made in the folder SET.
SET ?= build/set
SPLIT ?= val
WEIGHTS ?= embedded=src/fauxlens/detectors/embedded/fauxlens-small/embedded/network.safetensors
gates: $(READY)
	$(BIN)/python benchmarks/embedded.py $(SET)/set.parquet --photos $(SET)/photos.parquet --split $(SPLIT) --weights $(WEIGHTS)
	$(BIN)/python benchmarks/verdicts.py $(SET)/photos.parquet --split $(SPLIT)

# Hours on one core, kept run by run: PHOTOS and FORGED are manifests of yours (docs/studies.md says of what).
studies: $(READY)
	$(BIN)/python benchmarks/studies.py --study format selfcon --data $(PHOTOS) --out build/studies --page docs
	$(BIN)/python benchmarks/studies.py --study topk --data $(FORGED) --out build/studies --page docs

# The recorded results of decoding, resampling and encoding; review the difference before committing it.
golden: $(READY)
	PYTHONPATH=tests $(BIN)/python tests/golden/rewrite.py

docs: $(READY)
	$(BIN)/python docs/build.py

clean:
	rm -rf build dist .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +
