# Everything happens in .venv; a bare machine needs Python 3.11 or later with pip and venv, and make.
PYTHON ?= python3
BIN := .venv/bin
NO_GPU := make gpu needs an NVIDIA GPU, and torch finds none on this machine.

.PHONY: demo test gpu up lint docs openapi lock clean

demo: .venv/installed
	$(BIN)/python -m examples.demo

up: .venv/installed
	$(BIN)/python -m service.stack

# Two files at a time; those with processes of their own one after another, since they wait for each other.
test: .venv/browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --ignore tests/e2e
	$(BIN)/python -m pytest tests/e2e

# What only an NVIDIA GPU can show, and what an audit costs on it.
gpu: .venv/installed
	@$(BIN)/python -c 'import sys, torch; sys.exit(None if torch.cuda.is_available() else "$(NO_GPU)")'
	$(BIN)/python -m pytest -m gpu tests/gpu
	$(BIN)/python -m benchmarks.gpu

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
	$(BIN)/hadolint Dockerfile
	$(BIN)/mkdocs build --strict --quiet
	$(BIN)/python -m service.openapi_changes

# The documentation as a site, in build/site.
docs: .venv/installed
	$(BIN)/mkdocs build --strict

# Makes the present API that of the last release, against which make lint holds every change.
openapi: .venv/installed
	$(BIN)/python -m service.openapi_changes --write

# The exact versions, with hashes, that the image installs; host names stay out of it.
lock: .venv/installed
	$(BIN)/uv pip compile pyproject.toml --extra service --extra worker --generate-hashes --no-emit-index-url \
		--no-header --universal --python-version 3.11 --output-file requirements.lock

.venv/installed: pyproject.toml clients/python/src/zooaudit/version.py
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

# A browser for the dashboard's tests: Debian's where apt-get may install it, else Playwright's own.
.venv/browser: .venv/installed
	command -v chromium >/dev/null || \
		(apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium) || \
		$(BIN)/playwright install --with-deps chromium || $(BIN)/playwright install chromium
	touch $@

clean:
	rm -rf .venv var build dist
