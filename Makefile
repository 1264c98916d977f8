# make run    the whole accelerated spin-up (CONFIG=... for another configuration)
# make test   the tests
# make lint   ruff, mypy, snakefmt, snakemake --lint, words that hinder readers
# make profile      links profiles/slurm, so that `snakemake --profile slurm` works
# make test-slurm   the tests on a SLURM of their own (superuser, Debian's slurm-wlm and munge)
# make venv   only the virtual environment

PYTHON ?= python3
CONFIG ?= workflow_config.yaml
VENV := $(CURDIR)/.venv
STAMP := $(VENV)/.installed

export PATH := $(VENV)/bin:$(PATH)
# Parallelism is over processes and jobs; threads inside numerical libraries would only compete.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1

.PHONY: run test test-slurm lint venv profile

run: $(STAMP)
	@snakemake $(if $(filter-out workflow_config.yaml,$(CONFIG)),--configfile $(CONFIG))

test: $(STAMP)
	@python -m pytest

test-slurm: $(STAMP)
	@python -m pytest --numprocesses=0 -m slurm tests/slurm

# Where Snakemake looks for the profiles of a user.
PROFILE := $(if $(XDG_CONFIG_HOME),$(XDG_CONFIG_HOME),$(HOME)/.config)/snakemake/slurm

profile:
	@mkdir -p $(dir $(PROFILE))
	@if [ -e $(PROFILE) ] && [ ! -L $(PROFILE) ]; then echo "$(PROFILE) exists and is no link; move it away first" >&2; exit 2; fi
	@ln -sfn $(CURDIR)/profiles/slurm $(PROFILE)
	@echo "$(PROFILE) -> $(CURDIR)/profiles/slurm"

lint: $(STAMP)
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile rules
	snakemake --lint
	python .ci/words.py

venv: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --requirement requirements.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
