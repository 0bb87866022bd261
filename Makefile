# `make help` lists what there is. bin/setup makes whatever a target needs; nothing has to be installed by hand.
PYTHON = .venv/bin/python

.DEFAULT_GOAL = help
.PHONY: help demo run test check bench stop messages lock clean setup setup-test

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## a whole month from usage to invoice under var/demo, then the site (SERVE=no: without the site)
	@$(PYTHON) -m config.demo $(if $(filter no,$(SERVE)),--no-serve)

run: setup ## serve the data that is there on http://127.0.0.1:8000 (PORT=8001: on another port)
	@$(PYTHON) -m config.serve

test: setup-test ## run the tests (ARGS='-k invoice': what pytest is told)
	@$(PYTHON) -m pytest -n 2 $(ARGS)

check: setup-test ## style, types, layers, migrations, templates
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports
	@$(PYTHON) manage.py makemigrations --check --dry-run
	@$(PYTHON) -m djlint --lint templates
	@# Mails and invoices are laid out by hand: in them white space is seen.
	@$(PYTHON) -m djlint --check templates --extend-exclude templates/emails,templates/invoices,templates/credit_notes
	@$(PYTHON) manage.py check

bench: setup-test ## measure and write var/bench/<name>.json (ONLY=ingest: one of them)
	@$(PYTHON) -m tests.bench $(ONLY)

stop: ## end the embedded PostgreSQL, and that of the tests
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m config.embedded stop; if [ -d var/test/postgres ]; then JEONGSAN_VAR=var/test $(PYTHON) -m config.embedded stop; fi; fi

messages: setup ## collect the texts to translate into locale/ko (needs GNU gettext)
	@command -v xgettext >/dev/null || { echo "make messages needs GNU gettext: apt-get install gettext" >&2; exit 1; }
	@$(PYTHON) manage.py makemessages --locale ko --no-obsolete --no-wrap --add-location file --ignore var --ignore .venv

lock: ## resolve pyproject.toml anew into both lock files (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv: install it and run make lock again." >&2; exit 1; }
	@uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--output-file requirements.lock pyproject.toml
	@uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--constraint requirements.lock --group dev --output-file requirements-dev.lock pyproject.toml

clean: stop ## remove .venv, caches and the data of the tests (your data under var/ stays)
	@rm -rf .venv var/test var/static var/static.stamp .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -prune -exec rm -rf {} +

setup:
	@bin/setup run

setup-test:
	@bin/setup test
