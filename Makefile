# make test       all tests that take at most 15 minutes; installs what they require (Debian x86_64, root)
# make test-slow  the others: virtual machine, Debian package under systemd, soak test, fuzzing, reproducible release
# make check      formatting, lints and the tests that require nothing
# make static     the static binary, for containers and every distribution
# make image      the Docker image with this binary
# make deb        the Debian package, in target/deb
# make bpf        compiles bpf/pstree.bpf.o, which is checked in
# make dashboards generates the dashboards
# make mixin      renders the alerts and recording rules
# make detection  how fast the alerts detect incidents, and false alarms, for docs/detection.md: several hours
# make bench      benchmarks for docs/benchmarks.md, as ratios in one run
# make scale      the cost of fleets on a real Prometheus, for docs/scale.md: 40 minutes; HOSTS="10 30" for fewer
# make release, release-check, deny, nightly   for releases: docs/RELEASE.md
# make fuzz       searches for inputs that break a parser: fuzz/README.md
# Stages of the tests, which also run alone: bpf-check lint unit rules manifests dashboards-check incidents system
#                                            vm debian soak release-check

TARGET  := x86_64-unknown-linux-gnu
STATIC  := target/$(TARGET)/release/pstree-exporter
PYTHON  := target/python/bin/python
PYTHON_READY := target/python/ready

# Tests that observe the whole machine wait for those of other clones.
MACHINE := flock --close /tmp/pstree-exporter-tests.lock

BPF     := bpf/pstree.bpf.o

.PHONY: test test-slow mixin detection detection-core detection-slow check lint build-tests unit unit-all packages packages-slow packages-bench static bpf bpf-check system \
	image release release-check deny deb debian vm rules manifests dashboards dashboards-check incidents soak nightly \
	fuzz fuzz-minimise bench scale tool-cyclonedx tool-deny tool-audit tool-fuzz

# Both print the time of each stage.
test:
	tests/run test

test-slow:
	tests/run slow

check: lint unit

lint:
	cargo fmt --all --check
	cargo clippy --all-targets --all-features --locked -- -D warnings

unit:
	cargo test --locked

# With the features of the system tests, so that the library is compiled once.
build-tests:
	cargo test --locked --features system-tests --no-run

# make unit with these features and an independent parser.
unit-all: $(PYTHON_READY)
	PSTREE_PYTHON=$(abspath $(PYTHON)) \
		cargo test --locked --features system-tests --lib --bins --examples --test integration
	cargo test --locked --features system-tests --doc

REQUIREMENTS := dashboards/generate/requirements.txt deploy/check/requirements.txt mixin/requirements.txt

packages: $(PYTHON_READY) tests/browser/node_modules dashboards/tests/node_modules

packages-slow: packages target/python/vng-ready
	tests/install-packages test slow

packages-bench: packages
	tests/install-packages test bench

target/installed: tests/install-packages
	tests/install-packages test
	mkdir -p target
	touch $@

$(PYTHON_READY): target/installed $(REQUIREMENTS)
	python3 -m venv target/python
	$(PYTHON) -m pip install --quiet --disable-pip-version-check prometheus-client==0.26.0 \
		$(addprefix --requirement ,$(REQUIREMENTS))
	touch $@

target/python/vng-ready: $(PYTHON_READY)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check virtme-ng==1.42
	touch $@

%/node_modules: %/package-lock.json target/installed
	cd $* && npm ci --no-audit --no-fund
	touch $@

static:
	deploy/build-static

# Compiled in its own directory, so that the object contains no path of this machine.
define compile-bpf
	cd bpf && clang -O2 -g -Wall -Wextra -Wno-unused-parameter -Werror -target bpf -mcpu=v3 \
		-D__TARGET_ARCH_x86 -fdebug-compilation-dir=. -I/usr/include/x86_64-linux-gnu -c pstree.bpf.c -o $(abspath $(1))
	llvm-strip --strip-debug $(1)
endef

bpf:
	$(call compile-bpf,$(BPF))

# Debian's clang compiles the same source to the same bytes.
bpf-check: target/installed
	$(call compile-bpf,target/pstree.bpf.o)
	cmp target/pstree.bpf.o $(BPF) || { echo "$(BPF) does not match its source; run make bpf" >&2; exit 1; }

# One test at a time: they observe the whole machine.
system: packages static
	cargo build --locked --features system-tests --example panicking-screen
	cargo test --locked --features system-tests --test system --no-run
	PSTREE_STATIC_BINARY=$(abspath $(STATIC)) PSTREE_PYTHON=$(abspath $(PYTHON)) \
		$(MACHINE) cargo test --locked --features system-tests --test system -- --test-threads=1

# Five times faster than the default intervals; FACTOR=1 is real time.
incidents: target/installed
	cargo test --locked --features system-tests --test incidents --no-run
	$(MACHINE) cargo test --locked --features system-tests --test incidents

# TIME in seconds. Fails if the exporters use more resources at the end than at the start.
TIME ?= 120

soak: target/installed static
	cargo test --locked --features system-tests --test soak --no-run
	PSTREE_STATIC_BINARY=$(abspath $(STATIC)) TIME=$(TIME) \
		$(MACHINE) cargo test --locked --features system-tests --test soak

rules: $(PYTHON_READY)
	find mixin -name '*.*sonnet' | xargs jsonnetfmt --test
	$(PYTHON) mixin/render --check
	$(PYTHON) mixin/check-config
	promtool check rules alerts/*.yaml alerts/rendered/*/*.yaml alerts/kubernetes/*.yaml alerts/overrides/*.yaml
	promtool test rules alerts/tests/*.yaml alerts/kubernetes/tests/*.yaml
	promtool check config deploy/prometheus/prometheus.yml
	amtool check-config deploy/alertmanager/alertmanager.yml
	python3 -B benches/scale/snippets.py

# The rule files, from mixin/.
mixin: $(PYTHON_READY)
	find mixin -name '*.*sonnet' | xargs jsonnetfmt --in-place
	$(PYTHON) mixin/render

# How fast the rules detect incidents, and how often they fire on ordinary days: docs/detection.md.
DETECTION := cd tests && python3 -B -m detection ../alerts

detection: target/installed
	$(DETECTION)

# For make test: no ordinary days.
detection-core: target/installed
	$(DETECTION) --intervals 60 --evaluations same --days 0

# For make test-slow.
detection-slow: target/installed
	$(DETECTION) --evaluations same --days 0
	$(DETECTION) --intervals 60 --evaluations none --days 4

# The files in deploy/ against the schemas of their consumers.
manifests: $(PYTHON_READY)
	$(PYTHON) -B deploy/check/manifests

# dashboards/generate writes the dashboards; see CONTRIBUTING.md.
dashboards: $(PYTHON_READY)
	cd dashboards && $(abspath $(PYTHON)) -B -m generate

# The generated files are up to date, and Grafana's own code runs their transformations.
dashboards-check: $(PYTHON_READY) dashboards/tests/node_modules
	cd dashboards && $(abspath $(PYTHON)) -B -m generate --check
	cd dashboards/tests && npm test

# The build of the image fails if VERSION differs from Cargo.toml.
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

image:
	docker build --file deploy/Dockerfile --build-arg VERSION=$(VERSION) \
		--build-arg REVISION=$(shell git rev-parse --short=12 HEAD) --tag pstree-exporter --tag pstree-exporter:$(VERSION) .

deb: static
	deploy/debian/build $(abspath $(STATIC)) target/deb

# DEBIAN= also boots a virtual machine, in which BPF is allowed.
DEBIAN ?= --without-kernel

debian: packages-slow static
	$(MACHINE) tests/debian/run $(abspath $(STATIC)) $(DEBIAN)

vm: packages-slow static
	tests/vm/run $(abspath $(STATIC))

# Programs from crates.io, in target/tools. Unoptimized: compiling them takes longer than running them.
install-tool = CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug --root target/tools

tool-cyclonedx:
	$(install-tool) cargo-cyclonedx@0.5.9

tool-deny:
	$(install-tool) cargo-deny@0.20.2

tool-audit:
	$(install-tool) cargo-audit@0.22.2

tool-fuzz:
	$(install-tool) cargo-fuzz@0.13.2

# Binary, configuration, Debian package, SBOM and checksums; docs/RELEASE.md has the checklist.
DIST ?= target/dist

release: tool-cyclonedx
	deploy/release $(DIST)

# A build in another clone gives the same bytes.
release-check: tool-cyclonedx
	tests/release/run

# Licences, sources and banned crates, then known vulnerabilities. Requires the network.
deny: tool-deny tool-audit
	PATH="$(abspath target/tools/bin):$$PATH" cargo deny check licenses bans sources
	PATH="$(abspath target/tools/bin):$$PATH" cargo audit --deny warnings

FUZZ_TARGETS ?= stat status cgroup docker_json web_config accept request_path exposition
FUZZ := RUSTC_BOOTSTRAP=1 TMPDIR=/dev/shm PATH="$(abspath target/tools/bin):$$PATH"

# TIME seconds for each target.
fuzz: tool-fuzz
	for target in $(FUZZ_TARGETS); do \
		$(FUZZ) cargo fuzz run --sanitizer none $$target -- -max_total_time=$(TIME) -timeout=10 \
			-dict=fuzz/dictionaries/$$target.dict || exit 1; \
	done

# Before new inputs are committed.
fuzz-minimise: tool-fuzz
	$(FUZZ) fuzz/minimise $(FUZZ_TARGETS)

# Everything, with long soak and fuzzing. The step that requires the network comes last.
nightly:
	tests/run test
	tests/run slow
	$(MAKE) soak TIME=1800
	$(MAKE) debian DEBIAN=
	$(MAKE) fuzz TIME=300
	$(MAKE) deny

bench: packages-bench
	cargo bench --locked

HOSTS ?= 10 30 100

# Fleets of several sizes, one with fewer series, growth of the head, shards, and bytes on disk. Requires an idle machine.
scale: packages-bench
	python3 -B benches/scale/measure.py --hosts $(HOSTS)
	python3 -B benches/scale/measure.py --hosts 30 --relabel benches/scale/lean.yaml
	python3 -B benches/scale/filling.py
	python3 -B benches/scale/topology.py
	python3 -B benches/scale/storage.py
