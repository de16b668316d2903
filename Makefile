# `make run` serves the hello example; `make test` proves that it is right; `make help` lists the rest.
# PYTHON chooses the interpreter: the worker is built against it, and every virtual environment is made with it.

PYTHON ?= python3
TARGET := $(or $(CARGO_TARGET_DIR),target)
FLAGS ?=

# Asked here for its own path, since `python3` may be a shim that answers differently in another folder.
override PYTHON := $(shell $(PYTHON) -c 'import sys; print(sys.executable)')
export PYO3_PYTHON := $(PYTHON)
ifeq ($(PYTHON),)
$(error cannot run python3: install CPython with pip, or name one: make PYTHON=/path/to/python3)
endif
# Part of each stamp, so that another interpreter makes the environments anew.
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')

VENV := $(TARGET)/venv
BENCH_VENV := $(TARGET)/bench-venv
REQUIREMENTS := examples/flask/requirements.txt examples/django/requirements.txt tests/conformance/requirements.txt \
    tests/engines/requirements.txt tests/frameworks/requirements.txt tests/deployment/requirements.txt \
    tests/migrate/requirements.txt
SUDO := $(if $(filter-out 0,$(shell id -u)),sudo)

# A virtual environment in $(1) with the requirements $(2). Debian's python3 has no ensurepip; there pip installs from outside.
define environment
rm -rf $(1)
$(PYTHON) -m venv --without-pip $(1)
$(PYTHON) -m pip --python $(1)/bin/python install --quiet --disable-pip-version-check $(addprefix --requirement=,$(2))
touch $@
endef

.DEFAULT_GOAL := help
.PHONY: help run build deb wheel wheels test lint unit reference venv proxies systemd bench slow neighbours chaos leaks conformance fuzz clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

run: build ## build, and serve the hello example
	@echo
	@echo "Serving http://127.0.0.1:8000/ until Ctrl-C."
	@exec $(TARGET)/release/supervisor run -c examples/hello/server.yaml

build: ## both programs, optimised, in target/release
	cargo build --release --workspace --bins

# The package's worker is for the Python that the distribution has; built apart, so that the other programs stay as they are.
SYSTEM_PYTHON ?= /usr/bin/python3

deb: ## a Debian package, in target/packages
	PYO3_PYTHON=$(SYSTEM_PYTHON) CARGO_TARGET_DIR=$(TARGET)/debian cargo build --release --workspace --bins
	@packaging/debian/build $(TARGET)/debian/release $(TARGET)/packages

wheel: ## a wheel for $(PYTHON), and a source archive for any, in target/packages
	$(PYTHON) -m pip wheel --no-deps --no-index --wheel-dir $(TARGET)/packages ./packaging/python
	PYTHONPATH=packaging/python $(PYTHON) -c 'import backend; print(backend.build_sdist("$(TARGET)/packages"))'

PYTHONS ?= $(PYTHON)

wheels: ## PYTHONS="python3.9 …": a package for each, built, installed into a fresh virtualenv and served from there
	cargo build --workspace --bins
	PYTHONS="$(PYTHONS)" cargo test --package monoceros-tests --test all -- --ignored --exact --nocapture \
	    packages::python::each_python_of_this_machine_has_a_package_of_its_own

test: lint unit ## format, lints, and every test

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings

# cargo builds a program only for the tests of its own package, so both are built before the tests that start them.
unit: venv proxies systemd
	cargo build --workspace --bins
	@if cargo nextest --version >/dev/null 2>&1; then \
	    set -x; cargo nextest run --workspace; \
	else \
	    set -x; RUST_TEST_THREADS=1 cargo test --workspace; \
	fi

reference: ## docs/reference.md, written anew from the keys and the help of the programs
	cargo build --workspace --bins
	MONOCEROS_WRITE_REFERENCE=1 RUST_TEST_THREADS=1 cargo test --quiet --package monoceros-tests --test all tidy::reference

venv: $(VENV)/ready-$(VERSION) ## what the tests need of Python, in target/venv

$(VENV)/ready-$(VERSION): $(REQUIREMENTS)
	$(call environment,$(VENV),$^)

# A program or a module that tests need, and the package that has it. apache2-bin has all of httpd but its service.
OTHERS := /usr/sbin/nginx:nginx-light /usr/lib/nginx/modules/ngx_stream_module.so:libnginx-mod-stream \
    /usr/sbin/haproxy:haproxy /usr/sbin/apache2:apache2-bin /usr/sbin/lighttpd:lighttpd /usr/bin/spawn-fcgi:spawn-fcgi \
    /usr/lib/apache2/modules/mod_fcgid.so:libapache2-mod-fcgid /usr/bin/prometheus:prometheus /usr/bin/tmux:tmux \
    /usr/bin/curl:curl /usr/bin/openssl:openssl /usr/bin/gzip:gzip /usr/bin/strip:binutils /usr/bin/git:git \
    /usr/sbin/mariadbd:mariadb-server-core

# Debian starts what it installs, unless policy-rc.d says no; tests start their own.
proxies: ## the web servers, proxies, watchers, clients and the database that tests need
	@for pair in $(OTHERS); do \
	    test -e $${pair%%:*} || missing="$$missing $${pair#*:}"; \
	done; \
	test -z "$$missing" && exit 0; \
	command -v apt-get >/dev/null || { echo "Needed, by their names in Debian:$$missing"; exit 1; }; \
	policy=/usr/sbin/policy-rc.d; \
	test -e $$policy || { printf '#!/bin/sh\nexit 101\n' | $(SUDO) install -m 755 /dev/stdin $$policy; trap "$(SUDO) rm -f $$policy" EXIT; }; \
	$(SUDO) apt-get update && $(SUDO) apt-get install --yes --no-install-recommends $$missing || \
	    { echo "Cannot install$$missing: do it by hand, and run make again"; exit 1; }

# Debian has both in one package. Nothing of it is started.
systemd:
	@command -v systemd-analyze >/dev/null && command -v systemd-socket-activate >/dev/null || \
	    { $(SUDO) apt-get update && $(SUDO) apt-get install --yes --no-install-recommends systemd; }

bench: build proxies $(BENCH_VENV)/ready-$(VERSION) ## what a request costs, beside nine other servers (FLAGS=--help)
	@command -v wrk >/dev/null || { $(SUDO) apt-get update && $(SUDO) apt-get install --yes wrk; }
	@$(PYTHON) tests/bench/table.py --programs $(TARGET)/release --rivals $(BENCH_VENV) $(FLAGS)

slow: build ## the latency of good clients beside 5,000 that hardly send (FLAGS=--help)
	@command -v wrk >/dev/null || { $(SUDO) apt-get update && $(SUDO) apt-get install --yes wrk; }
	@$(PYTHON) tests/bench/slow.py --programs $(TARGET)/release $(FLAGS)

neighbours: build $(BENCH_VENV)/ready-$(VERSION) ## the latency of quick requests beside slow ones, and beside granian and gunicorn (FLAGS=--help)
	@$(PYTHON) tests/bench/neighbours.py --programs $(TARGET)/release --rivals $(BENCH_VENV) $(FLAGS)

chaos: build venv $(BENCH_VENV)/ready-$(VERSION) ## 200 reloads, broken ones too, under load, by each engine, and beside gunicorn and granian
	cargo test --release --package monoceros-tests --test all -- --ignored --nocapture --test-threads=1 \
	    chaos::chaos_at_full_size

leaks: ## 1,000 reloads, and what the supervisor holds before and after
	cargo build --release --workspace --bins
	cargo test --release --package monoceros-tests --test all -- --ignored --exact --nocapture \
	    remains::a_supervisor_holds_no_more_after_a_thousand_reloads

conformance: build $(BENCH_VENV)/ready-$(VERSION) ## every rule of HTTP and WSGI, beside gunicorn, waitress, granian and bjoern
	cargo test --release --package monoceros-tests --test all -- --ignored --exact --nocapture \
	    conformance::the_table_beside_the_peers

FUZZ_TARGETS := request chunks answer turn proxy forwarded uwsgi scgi ajp fastcgi variables gateway config
SECONDS ?= 600

# libFuzzer needs a nightly compiler. What it finds is left in target/fuzz/found, and the corpus that it grows in target/fuzz/corpus.
fuzz: ## SECONDS=600: each fuzz target for so long
	@cargo +nightly fuzz --version >/dev/null 2>&1 || { \
	    echo "Needed: rustup toolchain install nightly && cargo install cargo-fuzz"; exit 1; }
	@set -e; for target in $(FUZZ_TARGETS); do \
	    mkdir -p $(TARGET)/fuzz/corpus/$$target $(TARGET)/fuzz/found/$$target; \
	    CARGO_TARGET_DIR=$(abspath $(TARGET))/fuzz cargo +nightly fuzz run --fuzz-dir tests/fuzz $$target \
	        $(TARGET)/fuzz/corpus/$$target tests/fuzz/corpus/$$target -- -max_total_time=$(SECONDS) -timeout=10 \
	        -dict=tests/fuzz/http.dict -artifact_prefix=$(TARGET)/fuzz/found/$$target/ -print_final_stats=1; \
	done

# bjoern and uWSGI are compiled where they are installed, bjoern against libev.
$(BENCH_VENV)/ready-$(VERSION): tests/bench/requirements.txt
	@test -e /usr/include/ev.h || { $(SUDO) apt-get update && $(SUDO) apt-get install --yes gcc libev-dev; }
	$(call environment,$(BENCH_VENV),$^)

clean: ## forget everything that was built
	cargo clean
	rm -rf $(VENV) $(BENCH_VENV)
