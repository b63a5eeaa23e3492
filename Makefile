# Everything a person or a workflow does with the template. `make` lists the targets.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo demo-down test test-nightly test-terraform test-terraform-apply terraform-docs check lint types \
  workflows lock clean

# Everything that is installed or generated lies here, outside the tree that is copied into projects.
# Relative, because make splits at spaces: the folder above may have any name.
BUILD := build
PROJECT := {{cookiecutter.project_slug}}
INSTALL := sh '$(PROJECT)/tools/install.sh'
DEMO := $(BUILD)/tools
DEV := $(BUILD)/dev
CHECKOV := $(BUILD)/checkov
RUN_IN_DEV := PATH="$$PWD/$(DEV)/bin:$$PATH" PYTHONDONTWRITEBYTECODE=1
export PYTHON
export RUFF_CACHE_DIR := $(CURDIR)/build/cache/ruff
export MYPY_CACHE_DIR := $(CURDIR)/build/cache/mypy

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-20s %s\n", $$1, $$2}'

demo: $(DEMO)/.installed ## Generate a project with the default answers, start it, log in and show it
	@PATH="$$PWD/$(DEMO)/bin:$$PATH" $(DEMO)/bin/python scripts/demo.py up

demo-down: ## Stop what `make demo` started
	@if [ -x $(DEMO)/bin/python ]; then $(DEMO)/bin/python scripts/demo.py down; else echo "nothing was started"; fi

test: $(DEV)/.installed $(CHECKOV)/.installed ## Run the template's tests, and with them those of a generated project
	@$(RUN_IN_DEV) $(DEV)/bin/python -m pytest -m 'not apply' $(ARGS)

test-nightly: $(DEV)/.installed ## Run the long proofs
	@$(RUN_IN_DEV) TERRACE_GENERATED_TARGET=test-nightly $(DEV)/bin/python -m pytest tests/generated $(ARGS)
	@$(MAKE) --no-print-directory test-terraform-apply ARGS=

test-terraform: $(DEV)/.installed $(CHECKOV)/.installed ## Check the Terraform half: modules, examples, plans, emulator
	@$(RUN_IN_DEV) $(DEV)/bin/python -m pytest -m 'not apply' tests/terraform tests/aws_emulator $(ARGS)

test-terraform-apply: $(DEV)/.installed ## Apply, plan again and destroy every example on an emulator of AWS
	@$(RUN_IN_DEV) $(DEV)/bin/python -m pytest -m apply tests/terraform tests/aws_emulator tests/terratest $(ARGS)

terraform-docs: $(DEV)/.installed ## Write the tables of inputs and outputs into the modules' READMEs
	@$(RUN_IN_DEV) $(DEV)/bin/python -m scripts.terraform_docs

check: lint types workflows test ## Everything that a pull request must pass

lint: $(DEV)/.installed ## Lint and check the format
	@$(DEV)/bin/python -m ruff check .
	@$(DEV)/bin/python -m ruff format --check .
	@cd '$(PROJECT)' && ../$(DEV)/bin/python -m ruff check . && ../$(DEV)/bin/python -m ruff format --check .

types: $(DEV)/.installed ## Check the types, strictly
	@$(DEV)/bin/python -m mypy

workflows: $(DEV)/.installed ## Check the workflows of both halves with actionlint
	@$(RUN_IN_DEV) $(DEV)/bin/python '$(PROJECT)/tools/actionlint/run.py' .github/workflows '$(PROJECT)/.github/workflows'

lock: $(DEMO)/.installed ## Resolve requirements/*.in into the hashed locks (UPGRADE=1 for newer versions)
	@for name in tools dev checkov; do \
	  $(DEMO)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-header $(if $(UPGRADE),--upgrade) requirements/$$name.in -o requirements/$$name.txt || exit 1; \
	done

clean: ## Stop the demo, delete its data and what was built
	@if [ -x $(DEMO)/bin/python ]; then $(DEMO)/bin/python scripts/demo.py reset; fi
	@rm -rf $(BUILD)

$(DEMO)/.installed: requirements/tools.txt
	@$(INSTALL) $(DEMO) requirements/tools.txt
	@touch $@

$(DEV)/.installed: requirements/dev.txt $(DEMO)/.installed
	@PATH="$$PWD/$(DEMO)/bin:$$PATH" $(INSTALL) $(DEV) requirements/dev.txt
	@touch $@

$(CHECKOV)/.installed: requirements/checkov.txt $(DEMO)/.installed
	@PATH="$$PWD/$(DEMO)/bin:$$PATH" $(INSTALL) $(CHECKOV) requirements/checkov.txt
	@touch $@
