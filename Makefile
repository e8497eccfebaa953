# Thin names over cargo and tests/scripts; `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help setup demo test bench lint fuzz image

help: ## list these names
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

setup: ## install what the tests need (Debian packages, PostgreSQL 18, MySQL, Valkey, drivers)
	@tests/scripts/setup test

demo: ## private databases behind Attaché, their passwords rotated under load
	@tests/scripts/setup demo
	@tests/scripts/demo

test: ## every test of the workspace; ARGS='-p attache-kit' for a part
	@tests/scripts/setup test
	@tests/scripts/test $(ARGS)

bench: ## what a query, a login and an idle session cost, beside direct, PgBouncer, HAProxy and twemproxy; ARGS='--passes 2'
	@tests/scripts/setup bench
	@tests/scripts/bench $(ARGS)

lint: ## format, clippy and shell scripts, as CI checks them
	@tests/scripts/lint

fuzz: ## explore every protocol machine; SECONDS_EACH=60 for longer
	@tests/scripts/setup fuzz
	@tests/scripts/fuzz $(SECONDS_EACH)

image: ## the container image localhost/attache, with its size and start; ARGS=--twice proves that it is reproducible
	@tests/scripts/setup image
	@deploy/image/build $(ARGS)
