# The contributor's commands. `make dev` first; every other target uses the environment that it makes.
VENV ?= .venv
BIN = $(VENV)/bin
PYTHON ?= python3
C_SOURCES = $(shell git ls-files '*.c' '*.h' 'src_c/*.inc' 'tests/c/*.inc')

.PHONY: help dev build quick test slow lint format debug ci clean

help:
	@echo "make dev     an environment in $(VENV): editable install, tools, git hooks"
	@echo "make build   compile what changed, in place"
	@echo "make quick   under 20 s: what most changes break"
	@echo "make test    all tests but the slow ones"
	@echo "make slow    the slow ones, too"
	@echo "make lint    ruff, mypy, lint-imports, clang-format"
	@echo "make format  the C sources as .clang-format has them, imports and Python as ruff has them"
	@echo "make debug   the core with assertions and sanitizers, and its C tests"
	@echo "make ci      everything that must hold, as a clean clone sees it"

dev:
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -e '.[test,dev]'
	$(BIN)/pre-commit install

build:
	$(BIN)/python setup.py -q build_ext --inplace

quick: build
	$(BIN)/pytest -q -m quick

test: build
	$(BIN)/pytest -q -n auto

slow: build
	$(BIN)/pytest -q -n auto --slow

lint:
	$(BIN)/ruff check --output-format concise .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/clang-format --dry-run -Werror $(C_SOURCES)

format:
	$(BIN)/ruff check -q --fix .
	$(BIN)/clang-format -i $(C_SOURCES)

debug:
	GRADCORE_CI_DIR=build/debug .ci/run debug

ci:
	.ci/run

clean:
	rm -rf build
