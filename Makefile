# Every target sets up what it needs: Python 3.11 to 3.13 (PYTHON=... to choose one), git and make are enough.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test lint bench screenshots lock clean

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

# All tools run, whatever the first ones say.
lint: $(READY)
	@failed=0; for tool in "ruff check ." "ruff format --check ." mypy lint-imports; do echo "$$tool"; $(BIN)/$$tool || failed=1; done; exit $$failed

demo: $(READY)
	$(BIN)/rlhf-games demo $(ARGS)

bench: $(READY)
	$(BIN)/rlhf-games bench learner $(ARGS)
	$(BIN)/rlhf-games bench atari

screenshots: $(READY)
	$(BIN)/python docs/screenshots.py docs/images

lock: $(READY)
	$(BIN)/uv pip compile --universal --python-version 3.11 --fork-strategy fewest --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-header --no-annotate --extra dev --upgrade -q -o requirements.lock pyproject.toml

clean:
	rm -rf .venv .cache dist build

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info < (3, 14); sys.exit(None if ok else f"rlhf-games needs Python 3.11 to 3.13, {sys.executable} is {sys.version.split()[0]}; try: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@
