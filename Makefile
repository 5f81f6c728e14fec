# Thin names for plain commands; everything happens in .venv and demo-out.
PYTHON ?= python3
VENV ?= .venv
OUT ?= demo-out
ENGINES ?=
THREADS ?= 2
# Where pip finds PyTorch; where nothing is said, tools/environment.py chooses: make demo TORCH_INDEX=https://download.pytorch.org/whl/cu128
TORCH_INDEX ?=

BIN := $(VENV)/bin
NATIVE := native/pyproject.toml native/hatch_build.py $(wildcard native/c/* native/src/*/*.py)
CLI := $(BIN)/sovits-export
ENVIRONMENT := $(PYTHON) tools/environment.py --venv $(VENV) $(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX))
# Made by `sovits-export demo` too: a voice of full size with made-up weights, whose speed is that of a trained one.
FULL_FILES := $(OUT)/full-files
FULL := $(OUT)/full

.PHONY: demo test test-all engines resolution wheels check-wine check-qemu check-image lint docs bench clean

demo: $(VENV)/export.done
	@$(CLI) demo --out $(OUT) --threads $(THREADS)

test: $(VENV)/test.done
	@mkdir -p test-results
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --junitxml=test-results/junit.xml
	@echo "==> results: test-results/junit.xml"

# Full-size engines for GPUs that need not be here: built, timed, found again. ENGINES=--discard keeps none of them (4 GB).
engines: $(VENV)/test.done
	@test -e $(FULL_FILES)/reference.json || $(CLI) demo-checkpoint $(FULL_FILES) --version v2
	$(CLI) build --fp16 --no-verify --gpt $(FULL_FILES)/demo-gpt.ckpt --sovits $(FULL_FILES)/demo-sovits.pth \
	    --hubert $(FULL_FILES)/chinese-hubert-base -o $(FULL)-fp16
	$(BIN)/python benchmarks/engine_build.py $(FULL)-fp16 -o $(OUT)/engines.json $(ENGINES)

# What pip would install on every Python that is supported, from PyPI alone.
resolution: $(VENV)/test.done
	$(BIN)/python tools/resolution.py

# Everything that a release has, for every system, in dist/: docs/releasing.md.
wheels:
	$(PYTHON) tools/wheels.py --out dist --twice

# The wheels for Windows in a Windows Python under wine, and those for Arm under qemu; skipped where neither can be had.
# LONG=1 does more there: `convert` on Windows, all of `verify` on Arm.
check-wine: $(VENV)/test.done
	$(BIN)/python tools/check_wine.py $(if $(KEEP),--folder $(KEEP)/wine) $(if $(LONG),--long)

check-qemu: $(VENV)/test.done
	$(BIN)/python tools/check_qemu.py $(if $(KEEP),--folder $(KEEP)/qemu) $(if $(LONG),--long)

# The container's image, built by buildah on a bare Debian, and heard; as root.
check-image: $(VENV)/test.done
	$(BIN)/python tools/check_image.py $(if $(KEEP),--folder $(KEEP)/image)

test-all: $(VENV)/test.done
	$(BIN)/python -m pytest -m "not gpu"

lint: $(VENV)/test.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tools/prose.py --check

# The documentation as a site; a warning is an error.
docs: $(VENV)/test.done
	$(BIN)/mkdocs build --strict
	@echo "==> site/index.html"

bench: $(VENV)/export.done
	$(CLI) bench $(FULL) --against-eager $(FULL_FILES) --threads $(THREADS) --repeats 3 --report $(OUT)/bench

clean:
	rm -rf $(OUT) test-results site dist .venv-wheels

$(VENV)/export.done: pyproject.toml constraints.txt tools/environment.py $(NATIVE)
	@echo "==> installing the runtime and the exporter"
	@$(ENVIRONMENT) demo
	@touch $@

$(VENV)/test.done: pyproject.toml constraints.txt tools/environment.py $(NATIVE)
	@echo "==> installing everything the tests need"
	@$(ENVIRONMENT) tests
	@touch $@ $(VENV)/export.done
