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
# A small trained voice, to hear and to verify, and a full-size one with made-up weights, whose speed is that of a trained one.
VOICE_FILES := $(OUT)/voice-files
VOICE := $(OUT)/voice
FULL_FILES := $(OUT)/full-files
FULL := $(OUT)/full

.PHONY: demo test test-all engines resolution wheels check-wine check-qemu lint docs bench clean

demo: $(VENV)/export.done
	@echo "==> 1/7 a trained demo voice in official format"
	@test -e $(VOICE_FILES)/reference.json || $(CLI) demo-checkpoint $(VOICE_FILES) --voice
	@echo "==> 2/7 build: every graph as ONNX, compared with PyTorch"
	$(CLI) build --gpt $(VOICE_FILES)/demo-gpt.ckpt --sovits $(VOICE_FILES)/demo-sovits.pth \
	    --hubert $(VOICE_FILES)/chinese-hubert-base --ref $(VOICE_FILES)/reference.wav \
	    --ref-phones $(VOICE_FILES)/reference.json --ref-lang en --phones $(VOICE_FILES)/target.json -o $(VOICE)
	@echo "==> 3/7 verify: the bundle against the recorded PyTorch values"
	$(CLI) verify $(VOICE) --full --report $(OUT)/verify
	@echo "==> 4/7 speak"
	$(CLI) speak $(VOICE) --phones $(VOICE_FILES)/target.json --threads $(THREADS) \
	    -o $(OUT)/speech.wav --picture $(OUT)/speech.png
	@for player in afplay pw-play paplay aplay; do \
	    if command -v $$player >/dev/null && $$player $(OUT)/speech.wav 2>/dev/null; then echo "played by $$player"; break; fi; done
	@echo "==> 5/7 a voice of full size, with made-up weights (about 440 MB), for the clock"
	@test -e $(FULL_FILES)/reference.json || $(CLI) demo-checkpoint $(FULL_FILES) --version v2
	$(CLI) build --gpt $(FULL_FILES)/demo-gpt.ckpt --sovits $(FULL_FILES)/demo-sovits.pth \
	    --hubert $(FULL_FILES)/chinese-hubert-base -o $(FULL)
	@echo "==> 6/7 bench against eager PyTorch, $(THREADS) threads"
	$(CLI) bench $(FULL) --against-eager $(FULL_FILES) --threads $(THREADS) --repeats 3 --report $(OUT)/bench
	@echo "==> 7/7 done. Listen to $(OUT)/speech.wav, look at $(OUT)/speech.png,"
	@echo "    open $(OUT)/verify/report.html (equality, seen and heard) and $(OUT)/bench/bench.html (speed)"

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
check-wine: $(VENV)/test.done
	$(BIN)/python tools/check_wine.py $(if $(KEEP),--folder $(KEEP)/wine)

check-qemu: $(VENV)/test.done
	$(BIN)/python tools/check_qemu.py $(if $(KEEP),--folder $(KEEP)/qemu)

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
