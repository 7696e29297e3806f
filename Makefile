# `make check` is what must pass before a change goes in. VENV=path uses an environment that is there already.

check:
	tests/all

docs:
	$(or $(VENV),build/venv)/bin/python tests/cli/commands_page.py > docs/commands.md

.PHONY: check docs
