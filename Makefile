# The two commands to know: `make run` does the main job, `make test` passes the tests. `make help` lists the rest.
SHELL := bash
PYTHON ?= python3
PROFILE ?= quick
MINUTES ?= 5
SEED ?= 1
BENCHMARKS ?= models latency training observables simulation readers
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BINARY := --only-binary pythia8mc,fastjet,torch,wasserstein
# one line that changes for each package, the large downloads, and the last step: pip alone is silent or endless
COUNT_PACKAGES := ls -d $(VENV)/lib/*/site-packages/*.dist-info | wc -l
SHOW_PIP := n=0; while IFS= read -r line; do case "$$line" in \
	Collecting*) n=$$((n + 1)); set -- $$line; printf '\r\033[K  looking for package %d: %s' $$n "$$2";; \
	*Downloading*[0-9][0-9][0-9].[0-9]" MB"*|*Downloading*" GB"*) printf '\r\033[K  %s\n' "$${line\#\# }";; \
	"Installing collected"*) set -- $$line; n=$$(($$\# - 3)); there=$$($(COUNT_PACKAGES)); \
		while printf '\r\033[K  unpacked %d of %d packages' $$(($$($(COUNT_PACKAGES)) - there)) $$n; do sleep 1; done & watch=$$!;; \
	esac; done; kill $$watch 2>/dev/null; echo

.PHONY: help setup run lab test test-all notebooks report fuzz faults bench gallery docs dashboard lint types release-check clean \
	clean-results

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
		|| { echo "Python 3.11, 3.12 or 3.13 is needed; name it: make PYTHON=python3.11 ..."; exit 1; }
	@echo "Installing the package and what it needs into $(VENV), once: one to two minutes where the network is fast"
	@echo "  making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@set -o pipefail; $(BIN)/python -m pip install --progress-bar off $(BINARY) -e '.[dev]' 2>&1 \
		| tee $(VENV)/install.log | { $(SHOW_PIP); } || { tail -20 $(VENV)/install.log; exit 1; }
	@touch $(STAMP)

setup: $(STAMP)  ## make .venv and install the package into it

run: $(STAMP)  ## fine-tune a pretrained PET on top tagging, offline, and print the result
	@echo "Executing notebooks/03_finetune_top.ipynb, profile $(PROFILE), in a minute ('smoke') or three to five ('quick'):"
	@echo "  simulate top and QCD jets, train networks from scratch and from pretrained weights, compare them."
	@$(BIN)/omnilearn-lab run 03_finetune_top --profile $(PROFILE)
	@echo
	@echo "Open  results/03_finetune_top/$(PROFILE)/03_finetune_top.html  in a browser: the notebook with its figures."
	@echo "The figures as PNG and PDF, with their numbers, lie beside it; begin with loss_curves.png and roc.png."
	@echo "Next: make lab opens notebooks/00_start_here.ipynb"

lab: $(STAMP)  ## open JupyterLab on notebook 00
	@[ "$$(id -u)" != 0 ] || echo "Running as root, as in a container: JupyterLab is started with --allow-root."
	$(BIN)/jupyter lab --notebook-dir=. --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb $$([ "$$(id -u)" != 0 ] || echo --allow-root)

notebooks: $(STAMP)  ## execute all notebooks in PROFILE (smoke, quick, long or full)
	$(BIN)/omnilearn-lab run all --profile $(PROFILE)

report: $(STAMP)  ## collect all results on one page, results/report.html
	$(BIN)/omnilearn-lab report

test: $(STAMP)  ## run the test suite (without the slow tests), two processes of one thread each
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
		$(BIN)/python -m pytest -q -n 2 --dist worksteal -m 'not slow'

test-all: $(STAMP)  ## run all tests, the slow ones too
	$(BIN)/python -m pytest -q

fuzz: $(STAMP)  ## damaged inputs against everything that opens a file, for MINUTES (5), fixed by SEED (1); goes on where it stopped
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz.run --minutes $(MINUTES) --seed $(SEED)

faults: $(STAMP)  ## break disks, processes, connections and permissions, and print what survives; before a release, as root
	$(BIN)/python -m tests.faults

bench: $(STAMP)  ## measure networks, observables, simulation and readers; on idle cores, one after the other
	for name in $(BENCHMARKS); do $(BIN)/python benchmarks/$$name.py || exit 1; done

gallery: $(STAMP)  ## build a page with every figure function, results/gallery/index.html
	$(BIN)/python docs/gallery.py

docs: $(STAMP) gallery  ## build the documentation site, build/site/index.html; notebooks as in results/, else as recorded
	@echo "Notebooks that take a minute are executed where results/ has no copy; for all: make notebooks, in about an hour"
	@$(BIN)/python -m pip install --quiet -e ".[docs]"
	$(BIN)/python docs/executed.py
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/mkdocs build

dashboard: $(STAMP)  ## serve the dashboard (Voila): choose a task, see scratch against pretrained
	$(BIN)/python -m pip install --quiet -e ".[dashboard]"
	$(BIN)/voila notebooks/dashboard.ipynb

lint: $(STAMP)  ## check the style
	$(BIN)/ruff check omnilearn_lab tests benchmarks binder docs
	$(BIN)/ruff format --check omnilearn_lab tests benchmarks binder docs

types: $(STAMP)  ## check the types of the public rooms, strictly
	$(BIN)/mypy

release-check: $(STAMP)  ## before a release: versions, wheel, licences, notebook 03 against its expected numbers, the site's links
	$(BIN)/python -m pip install --quiet -e ".[docs]"
	$(BIN)/python docs/release.py

clean:  ## remove the environment and what was built; results stay
	rm -rf build $(VENV) *.egg-info

clean-results:  ## remove all results, after asking
	@printf "Remove all of results/? [y/N] "; read answer; [ "$$answer" = y ] && rm -rf results
