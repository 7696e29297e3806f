# `make check` is what must pass before a change goes in. VENV=path uses an environment that is there already.

check:
	tests/all

# The same, and the tests on a whole SLURM and ssh hosts of this machine, which takes about half an hour more.
check-cluster:
	CLUSTER=1 tests/all

docs:
	$(or $(VENV),build/venv)/bin/python tests/cli/commands_page.py > docs/commands.md

.PHONY: check check-cluster docs
