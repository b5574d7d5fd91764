.DEFAULT_GOAL := help
.PHONY: help
help: ## Show every command
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'
