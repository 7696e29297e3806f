# `make check` is what must pass before a change goes in. VENV=path uses an environment that is there already.
python = $(or $(VENV),build/venv)/bin/python

PYTHON ?= python3

check:
	tests/all

docs:
	$(python) tests/cli/commands_page.py > docs/commands.md
	$(python) tests/docs/reference_pages.py

site: docs
	$(python) -m mkdocs build --strict

# The Apptainer image, and the small one of the tests; containers/README.md says more.
image:
	PYTHON=$(PYTHON) containers/build full

image-small:
	PYTHON=$(PYTHON) containers/build small

# Chooses the image's packages anew. PYTHON is to be a 3.11, the image's.
lock:
	$(PYTHON) containers/packages.py lock small cpu full

.PHONY: check docs site image image-small lock
