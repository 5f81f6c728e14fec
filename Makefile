# Thin names for plain commands; everything happens in .venv and demo-out.
PYTHON ?= python3
VENV ?= .venv
OUT ?= demo-out
ENGINES ?=
THREADS ?= 2
# Where pip finds PyTorch, when not on PyPI: make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=

BIN := $(VENV)/bin
CLI := $(BIN)/sovits-export
PIP := $(BIN)/python -m pip install --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -c constraints.txt
FILES := $(OUT)/checkpoint
VOICE := $(OUT)/voice

.PHONY: demo test test-all engines lint bench clean

demo: $(VENV)/export.done
	@echo "==> 1/6 demo checkpoints in official format, full size (about 440 MB)"
	@test -e $(FILES)/reference.json || $(CLI) demo-checkpoint $(FILES) --version v2
	@echo "==> 2/6 build: every graph as ONNX, compared with PyTorch"
	$(CLI) build --gpt $(FILES)/demo-gpt.ckpt --sovits $(FILES)/demo-sovits.pth --hubert $(FILES)/chinese-hubert-base -o $(VOICE)
	@echo "==> 3/6 verify: the bundle against the recorded PyTorch values"
	$(CLI) verify $(VOICE) --full --report $(OUT)/verify
	@echo "==> 4/6 speak (made-up weights hum; --max-seconds because they never end by themselves)"
	$(CLI) speak $(VOICE) --ref $(FILES)/reference.wav --ref-phones $(FILES)/reference.json \
	    --phones $(FILES)/target.json --max-seconds 6 --threads $(THREADS) -o $(OUT)/speech.wav --picture $(OUT)/speech.png
	@echo "==> 5/6 bench against eager PyTorch, $(THREADS) threads"
	$(CLI) bench $(VOICE) --against-eager $(FILES) --threads $(THREADS) --repeats 3 --report $(OUT)/bench
	@echo "==> 6/6 done. Listen to $(OUT)/speech.wav, look at $(OUT)/speech.png,"
	@echo "    open $(OUT)/verify/report.html (equality) and $(OUT)/bench/bench.html (speed)"

test: $(VENV)/test.done
	@mkdir -p test-results
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --junitxml=test-results/junit.xml
	@echo "==> results: test-results/junit.xml"

# Full-size engines for GPUs that need not be here: built, timed, found again. ENGINES=--discard keeps none of them (4 GB).
engines: $(VENV)/test.done
	@test -e $(FILES)/reference.json || $(CLI) demo-checkpoint $(FILES) --version v2
	$(CLI) build --fp16 --no-verify --gpt $(FILES)/demo-gpt.ckpt --sovits $(FILES)/demo-sovits.pth --hubert $(FILES)/chinese-hubert-base -o $(VOICE)-fp16
	$(BIN)/python benchmarks/engine_build.py $(VOICE)-fp16 -o $(OUT)/engines.json $(ENGINES)

test-all: $(VENV)/test.done
	$(BIN)/python -m pytest -m "not gpu"

lint: $(VENV)/test.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/export.done
	$(CLI) bench $(VOICE) --against-eager $(FILES) --threads $(THREADS) --repeats 3 --report $(OUT)/bench

clean:
	rm -rf $(OUT) test-results

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/export.done: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "==> installing the runtime and the exporter into $(VENV)"
	$(PIP) -e ".[cpu,export]"
	@touch $@

$(VENV)/test.done: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "==> installing everything the tests need into $(VENV)"
	$(PIP) -e ".[cpu,export,rtx,text,dev]"
	@touch $@ $(VENV)/export.done
