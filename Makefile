# Two commands do everything: "make explain" shows the program at work on a real QEMU, "make test" proves it.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
TOOLS := gdb:gdb qemu-system-x86_64:qemu-system-x86 /usr/share/seabios:seabios

.PHONY: explain test test-gdbs bench indexes clean

# Explain a QEMU: one that is started for it and ended, or PID=, CORE= (with EXE=, the program), TEXT=.
explain:
	@sh fixtures/tools.sh $(if $(TEXT),python3:python3,$(TOOLS) /usr/lib/python3/dist-packages/pygments:python3-pygments)
	@sh fixtures/explain.sh $(if $(PID),pid $(PID),$(if $(CORE),core $(CORE) $(EXE),$(if $(TEXT),text $(TEXT))))

# The whole suite on this machine's QEMU and gdb, with the linters. PYTEST= passes options: make test PYTEST="-k threads".
test: $(VENV)/ready
	@sh fixtures/tools.sh $(TOOLS) gcore:gdb gcc:gcc /usr/include/stdio.h:libc6-dev /usr/lib/python3/dist-packages/pygments:python3-pygments
	@failed=; \
	$(RUN) -m ruff check -q . || failed=1; \
	$(RUN) -m mypy --no-error-summary || failed=1; \
	$(RUN) -m pytest $(PYTEST) || failed=1; \
	[ -z "$$failed" ]

$(VENV)/ready: pyproject.toml
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || sh fixtures/tools.sh /nonexistent:python3-venv
	@$(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install -q --disable-pip-version-check -e '.[test]'
	@touch $@

# The same core explained by the oldest and the newest gdb, each with its own Python.
test-gdbs:
	@sh fixtures/gdbs.sh

# How fast it is, as ratios to gdb's own commands in the same run.
bench: $(VENV)/ready
	@sh fixtures/tools.sh $(TOOLS)
	@$(RUN) -m bench

# The generated indexes of qemu_gdb/knowledge/data, from the sources of four QEMU releases. OLD= and FACTS= give the lists
# of older functions and of known problems (without them the present ones are kept), QEMU_GIT= a clone of QEMU to add.
OLD ?= $(wildcard ../shared/data/functions_old.tsv.xz)
FACTS ?= $(wildcard ../shared/data/known_problems.jsonl)
indexes:
	@sh fixtures/tools.sh ctags:universal-ctags
	@set -e; for v in 5.2 7.2 10.0 10.2; do sources="$$sources $$(sh fixtures/lab/source.sh $$v)"; done; \
		$(PYTHON) -m qemu_gdb.knowledge.build.functions $$sources $(if $(OLD),--old $(OLD))
	@$(if $(FACTS)$(QEMU_GIT),$(PYTHON) -m qemu_gdb.knowledge.build.problems $(FACTS) $(if $(QEMU_GIT),--git $(QEMU_GIT)))

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

-include fixtures/lab/lab.mk
