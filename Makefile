# make demo   install into .venv and run on BBC News; the results are in out/demo
# make test   install what developers need as well, and run the whole suite
# make check  linters and types
# make clean  delete .venv, out and caches
#
# PYTHON=python3.12       the interpreter that .venv is made from
# TORCH_INDEX=URL         take torch, and nothing else, from this package index

PYTHON ?= python3
TORCH_INDEX ?=
PIP := .venv/bin/python -m pip
RUN := .venv/bin/python -m

.PHONY: demo test check clean

demo: .venv/demo.stamp
	@.venv/bin/react-ray demo --output out/demo
	@echo "The report to look at: out/demo/report.html"

test: .venv/dev.stamp
	$(RUN) pytest

check: .venv/dev.stamp
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(RUN) codespell_lib

clean:
	rm -rf .venv out build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

# pip replaces only what differs, so both stamps share one environment.
.venv/demo.stamp .venv/dev.stamp: .venv/%.stamp: pyproject.toml constraints.txt .venv/pip.stamp
	@echo "Installing into .venv: a few minutes the first time, details in .venv/install.log"
	@if [ -n "$(TORCH_INDEX)" ]; then \
		$(PIP) install -q --log .venv/install.log --no-deps --index-url "$(TORCH_INDEX)" -c constraints.txt torch; \
	fi
	@$(PIP) install -q --log .venv/install.log -c constraints.txt -e '.[$*]'
	@touch $@

.venv/pip.stamp:
	@$(PYTHON) -m venv --clear .venv
	@$(PIP) install -q --upgrade pip
	@touch $@
