# The two commands to know: `make run` and `make lab`. `make help` lists the rest.
PYTHON ?= python3
PROFILE ?= quick
MINUTES ?= 5
SEED ?= 1
BENCHMARKS ?= models training observables simulation readers
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup run lab test test-all notebooks report fuzz faults bench gallery docs dashboard lint clean \
	clean-results

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
		|| { echo "Python 3.11, 3.12 or 3.13 is needed; name it: make PYTHON=python3.11 ..."; exit 1; }
	@echo "Installing into $(VENV): one to two minutes, once ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@$(BIN)/python -m pip install --quiet --only-binary pythia8mc,fastjet,torch,wasserstein -e '.[dev]'
	@touch $(STAMP)

setup: $(STAMP)  ## make .venv and install the package into it

run: $(STAMP)  ## fine-tune a pretrained PET on top tagging, offline, and print the result
	@echo "Executing notebooks/03_finetune_top.ipynb, profile $(PROFILE): simulate, train, compare ..."
	@$(BIN)/omnilearn-lab run 03_finetune_top --profile $(PROFILE)
	@echo "Open results/03_finetune_top/$(PROFILE)/03_finetune_top.html; its figures lie beside it. Next: make lab"

lab: $(STAMP)  ## open JupyterLab on the notebooks
	@[ "$$(id -u)" != 0 ] || echo "Running as root, as in a container: JupyterLab is started with --allow-root."
	$(BIN)/jupyter lab --notebook-dir=. $$([ "$$(id -u)" != 0 ] || echo --allow-root)

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
	$(BIN)/python -m tests.fuzz.run --minutes $(MINUTES) --seed $(SEED)

faults: $(STAMP)  ## break disks, processes, connections and permissions, and print what survives; before a release, as root
	$(BIN)/python -m tests.faults

bench: $(STAMP)  ## measure networks, observables, simulation and readers; on idle cores, one after the other
	for name in $(BENCHMARKS); do $(BIN)/python benchmarks/$$name.py || exit 1; done

gallery: $(STAMP)  ## build a page with every figure function, results/gallery/index.html
	$(BIN)/python docs/gallery.py

docs: $(STAMP) gallery  ## build the documentation site, build/site/index.html (its search box needs a server: python -m http.server -d build/site)
	$(BIN)/python -m pip install --quiet -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/mkdocs build

dashboard: $(STAMP)  ## serve the dashboard (Voila): choose a task, see scratch against pretrained
	$(BIN)/python -m pip install --quiet -e ".[dashboard]"
	$(BIN)/voila notebooks/dashboard.ipynb

lint: $(STAMP)  ## check the style
	$(BIN)/ruff check omnilearn_lab tests benchmarks binder docs
	$(BIN)/ruff format --check omnilearn_lab tests benchmarks binder docs

clean:  ## remove the environment and what was built; results stay
	rm -rf build $(VENV) *.egg-info

clean-results:  ## remove all results, after asking
	@printf "Remove all of results/? [y/N] "; read answer; [ "$$answer" = y ] && rm -rf results
