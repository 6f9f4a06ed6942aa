# The few commands a person types; `make help` lists them. Each set-up step leaves a stamp, and
# each build its result, so that nothing is done twice and nothing stale is used.

PYTHON ?=
ARGS ?= tests

# Tests and benchmarks that load onnxruntime before this project's packages report nothing either.
export ORT_DISABLE_TELEMETRY = 1

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
STAMPS := $(VENV)/.stamps

NATIVE_SOURCES := $(shell find runtime/native -name '*.cpp' -o -name '*.hpp' -o -name CMakeLists.txt)
CHECKPOINT_SOURCES := $(shell find export/omnilive_micropack -name '*.py' -not -path '*/training/*') \
	$(shell find export/omnilive_micropack/trained -type f -not -path '*/card/*')
EXPORT_SOURCES := $(wildcard export/build_engines.py) runtime/omnilive/engine/manifest.py \
	$(shell find export/omnilive_export -name '*.py' -not -path '*/verify/*')
PINS := $(wildcard constraints/*.txt)

# The pins of the Python in the virtual environment; expanded by the shell of each recipe.
CONSTRAINTS = "constraints/$$($(PY) -c 'import sys; print("py%d%d" % sys.version_info[:2])').txt"
INSTALL = $(PY) -m pip install -qq --disable-pip-version-check --constraint $(CONSTRAINTS)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-native sanitize test-aarch64 tensorrt-bindings micro packs install install-test lint format wheel \
	clean distclean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  Variables: PYTHON=/path/to/python3.12  ARGS='tests/unit -k ring'"

demo: $(STAMPS)/install engines/micro/manifest.json ## watch, listen and answer on a video it makes; results in out/demo
	@$(PY) -m omnilive_micropack.demo --pack engines/micro --out out/demo

test: install-test packs test-native ## run the unit, tiny and micro tests
	@$(PY) -m pytest -q $(ARGS)

# $(1): build folder under build/; $(2): further arguments of CMake.
define native-tests
	@PATH="$(CURDIR)/$(BIN):$$PATH" && \
	cmake -S runtime/native -B build/$(1) -G Ninja --log-level=WARNING \
		-DOMNILIVE_BUILD_PYTHON=OFF -DOMNILIVE_BUILD_TESTS=ON -DOMNILIVE_WERROR=ON $(2) >/dev/null && \
	cmake --build build/$(1) -- --quiet && \
	ctest --test-dir build/$(1) --output-on-failure --no-tests=error
endef

test-native: $(STAMPS)/tools ## run the C++ core's own tests
	@echo "== C++ core: build and unit tests"
	$(call native-tests,native-tests)

sanitize: $(STAMPS)/tools ## run them under the address, undefined-behaviour and thread sanitizers
	@echo "== C++ core under the address and undefined-behaviour sanitizers"
	$(call native-tests,native-address,-DOMNILIVE_SANITIZE=address)
	@echo "== C++ core under the thread sanitizer"
	$(call native-tests,native-thread,-DOMNILIVE_SANITIZE=thread)

test-aarch64: $(STAMPS)/tools ## cross-compile them for AArch64 and run them in QEMU
	@sh tools/preflight_aarch64.sh
	@echo "== C++ core for AArch64, in QEMU"
	$(call native-tests,native-aarch64,--toolchain $(CURDIR)/runtime/native/cmake/aarch64-linux-gnu.cmake)

tensorrt-bindings: $(STAMPS)/install ## fetch TensorRT's bindings, compare them with what tests/data records
	@$(PY) tests/unit/tensorrt_bindings.py

micro: engines/micro/manifest.json ## build the micro engine pack from the shipped checkpoint

packs: engines/micro/manifest.json engines/micro-fp32/manifest.json ## build every pack the tests use

install: $(STAMPS)/install ## create .venv with the runtime, the service and the exporter

install-test: $(STAMPS)/test ## add what the tests and --verify need (torch for CPU, transformers)

lint: $(STAMPS)/lint ## ruff, mypy and clang-format, without changing anything
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/clang-format --dry-run -Werror $(filter %.cpp %.hpp,$(NATIVE_SOURCES))
	@echo "lint: clean"

format: $(STAMPS)/lint ## rewrite sources the way lint wants them
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format --quiet .
	@$(BIN)/clang-format -i $(filter %.cpp %.hpp,$(NATIVE_SOURCES))

wheel: $(STAMPS)/tools ## build a wheel into dist/
	@$(PY) -m pip wheel -qq --disable-pip-version-check --no-build-isolation --no-deps --wheel-dir dist .
	@ls dist/*.whl

clean: ## remove what was built and written: build, dist, out, packs, checkpoints, caches
	@rm -rf build dist out checkpoints engines/micro engines/micro-fp32 \
		.pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find export runtime tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## clean, and remove .venv
	@rm -rf $(VENV)

# ---- set-up -------------------------------------------------------------------------------------

$(STAMPS)/venv:
	@python=$$(sh tools/preflight.sh $(PYTHON)) && \
	echo "== creating $(VENV) with $$("$$python" --version) ($$python)" && \
	"$$python" -m venv $(VENV) && mkdir -p $(STAMPS) && touch $@

$(STAMPS)/tools: $(STAMPS)/venv $(PINS)
	@echo "== installing the build tools"
	@$(INSTALL) scikit-build-core nanobind cmake ninja && touch $@

$(STAMPS)/install: $(STAMPS)/tools pyproject.toml $(NATIVE_SOURCES)
	@echo "== compiling the native core, installing the runtime, the service and the exporter"
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(INSTALL) --no-build-isolation \
		--config-settings=cmake.define.OMNILIVE_WERROR=ON --editable '.[export,serve]' && touch $@

# Extras are asked for by the name just installed: nothing is rebuilt for them.
$(STAMPS)/test: $(STAMPS)/install
	@echo "== installing what the tests need (torch for CPU, transformers, pytest)"
	@sh tools/install_torch_cpu.sh $(PY) $(CONSTRAINTS)
	@$(INSTALL) 'omnilive-edge[test,verify]' && touch $@

$(STAMPS)/lint: $(STAMPS)/install
	@echo "== installing the linters"
	@$(INSTALL) 'omnilive-edge[lint]' && touch $@

# ---- the micro checkpoint and its packs ----------------------------------------------------------

# Written beside and renamed: an interrupted run leaves no half checkpoint behind.
checkpoints/micro/base/config.json: $(CHECKPOINT_SOURCES) | $(STAMPS)/install
	@echo "== writing checkpoints/micro"
	@rm -rf checkpoints/micro.part
	@$(PY) -m omnilive_micropack.assemble --out checkpoints/micro.part
	@rm -rf checkpoints/micro && mv checkpoints/micro.part checkpoints/micro && touch $@

engines/micro/manifest.json: PRECISION := int4
engines/micro-fp32/manifest.json: PRECISION := fp32

engines/micro/manifest.json engines/micro-fp32/manifest.json: \
		checkpoints/micro/base/config.json $(EXPORT_SOURCES) | $(STAMPS)/install
	@echo "== building $(@D)"
	@$(PY) export/build_engines.py --checkpoint checkpoints/micro --out $(@D) --precision $(PRECISION)
	@$(PY) -m omnilive_micropack.calibrate --pack $(@D)
	@touch $@
