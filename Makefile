# Sets up .venv by itself and is quick the second time. Needs Python 3.11 or newer, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= plankton-demo
BENCH_VENV := .venv-bench
# What `make bench` measures, and with which options.
RUN ?= $(DEMO)/run
SCANS ?= $(DEMO)/scans
BENCH ?= --json bench.json
# Two processes, each a file of tests at a time, since tests of a file share what is slow to make.
TESTS := pytest --numprocesses 2 --dist loadfile
# What `make mutation` changes: all that tests/mutation.py knows, if nothing is named.
MODULES ?=

# What `make page` puts there, and from where.
VENDOR := plankton_keras/serve/page/vendor
OPENSEADRAGON := 6.1.1
NPM_FOLDER = $(or $(npm_folder),$(eval npm_folder := $(shell mktemp -d))$(npm_folder))

.DEFAULT_GOAL := help
.PHONY: help demo bench page test test-all coverage mutation check docs format clean

help:  ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/installed: setup.cfg pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(VENV)/installed  ## Run the whole chain on synthetic scans, into the folder DEMO.
	$(BIN)/plankton demo $(DEMO)

$(BENCH_VENV)/installed: benchmarks/requirements.txt
	test -x $(BENCH_VENV)/bin/python || $(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

$(DEMO)/run/metrics.json: | $(VENV)/installed
	$(BIN)/plankton demo $(DEMO)

bench: $(VENV)/installed $(BENCH_VENV)/installed $(RUN)/metrics.json  ## Measure beside torch, MONAI and albumentations.
	$(BIN)/python benchmarks/bench.py --peers $(BENCH_VENV)/bin/python --run $(RUN) --scans $(SCANS) $(BENCH)

page:  ## Fetch what the page has from npm, of the versions named here; needs Node.
	npm pack --silent --pack-destination $(NPM_FOLDER) openseadragon@$(OPENSEADRAGON)
	tar -xzf $(NPM_FOLDER)/openseadragon-$(OPENSEADRAGON).tgz -C $(NPM_FOLDER)
	grep -v '^//# sourceMappingURL' $(NPM_FOLDER)/package/build/openseadragon/openseadragon.min.js > $(VENDOR)/openseadragon.min.js
	cp $(NPM_FOLDER)/package/LICENSE.txt $(VENDOR)/openseadragon.LICENSE.txt

test: $(VENV)/installed  ## Run the tests that take less than 10 minutes.
	$(BIN)/python -m $(TESTS) -m 'not slow'

test-all: $(VENV)/installed  ## Run all tests, the slow ones too.
	$(BIN)/python -m $(TESTS)

coverage: $(VENV)/installed  ## Run the tests of `make test`, and count the lines that they run; fails below 92 %.
	$(BIN)/coverage run -m $(TESTS) -m 'not slow'
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under 92

mutation: $(VENV)/installed  ## Change the modules of MODULES in small ways, and count the changes that tests notice.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[mutation]'
	$(BIN)/python tests/mutation.py $(MODULES)

check: $(VENV)/installed  ## Check style and Dockerfiles.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/hadolint docker/*.Dockerfile

docs: $(VENV)/installed  ## Write the help of the commands into their pages.
	$(BIN)/python docs/write_help.py

format: $(VENV)/installed  ## Format the code.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## Remove the environments and the demo.
	rm -rf $(VENV) $(BENCH_VENV) $(DEMO)
