# make test    installs what the full tests need (Debian, as root) and runs them all
# make check   formatting, lints and the tests that need nothing
# make static  one static binary, for containers and for any distribution
# make image   an image of that binary alone, for Docker
# make deb     the Debian package, into target/deb
# make debian  builds it twice and lives with it under a real systemd
# make manifests  checks what is below deploy/ against schemas
# make bpf     compiles bpf/pstree.bpf.o anew, which is checked in
# make incidents  plays incidents and benign loads on real containers and shows which alerts fire
# make soak    bad days in a row; fails when anything grows
# make release, release-check, deny   for who releases: docs/RELEASE.md
# make fuzz    looks for bytes that break a parser, or more; fuzz/README.md
# make nightly  all that, half an hour of soak, and fuzzing
# make dashboards  writes the dashboards anew
# make bench   ratios against the bare loop, peers and nginx
# make scale   what fleets cost a real Prometheus, as docs/scale.md shows: 40 minutes, HOSTS="10 30" fewer

TARGET  := x86_64-unknown-linux-gnu
STATIC  := target/$(TARGET)/release/pstree-exporter
PYTHON  := target/python/bin/python

BPF     := bpf/pstree.bpf.o

.PHONY: test check lint unit dashboards dashboards-check system rules manifests image deb debian tools release release-check deny nightly fuzz fuzz-minimise vm static bench scale incidents soak packages bpf bpf-check

# The last two take their time and do not mind each other.
test: packages bpf-check lint unit rules manifests dashboards-check system soak incidents
	$(MAKE) --jobs=2 --output-sync=target debian vm

check: lint unit

lint:
	cargo fmt --all --check
	cargo clippy --all-targets --all-features --locked -- -D warnings

unit:
	cargo test --locked

packages:
	tests/install-packages
	test -x $(PYTHON) || python3 -m venv target/python
	$(PYTHON) -m pip install --quiet --disable-pip-version-check prometheus-client==0.26.0 virtme-ng==1.42 \
		--requirement dashboards/generate/requirements.txt --requirement deploy/check/requirements.txt
	cd tests/browser && npm ci

static:
	deploy/build-static

# Compiled in its own directory, so that no path of this machine gets into the object.
define compile-bpf
	cd bpf && clang -O2 -g -Wall -Wextra -Wno-unused-parameter -Werror -target bpf -mcpu=v3 \
		-D__TARGET_ARCH_x86 -fdebug-compilation-dir=. -I/usr/include/x86_64-linux-gnu -c pstree.bpf.c -o $(abspath $(1))
	llvm-strip --strip-debug $(1)
endef

bpf:
	$(call compile-bpf,$(BPF))

# The object and its source belong together; Debian's clang makes the same bytes of the same source.
bpf-check:
	mkdir -p target
	$(call compile-bpf,target/pstree.bpf.o)
	cmp target/pstree.bpf.o $(BPF) || { echo "$(BPF) is not what its source gives: run make bpf" >&2; exit 1; }

system: static
	cargo build --locked --features system-tests --example panicking-screen
	PSTREE_STATIC_BINARY=$(abspath $(STATIC)) PSTREE_PYTHON=$(abspath $(PYTHON)) \
		cargo test --locked --features system-tests --test fuzz_corpus --test system -- --test-threads=1

# The version is in Cargo.toml; the build of the image fails where the two differ.
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

image:
	docker build --file deploy/Dockerfile --build-arg VERSION=$(VERSION) \
		--build-arg REVISION=$(shell git rev-parse --short=12 HEAD) --tag pstree-exporter --tag pstree-exporter:$(VERSION) .

# What wants to be compiled first, so that no test waits for it.
tools:
	cargo install --quiet --locked --root target/tools cargo-cyclonedx@0.5.9 cargo-deny@0.20.2 cargo-audit@0.22.2 cargo-fuzz@0.13.2

# Binary, configuration, Debian package, SBOM and checksums; docs/RELEASE.md is the checklist.
DIST ?= target/dist

release: tools
	deploy/release $(DIST)

# Another clone at another place gives the same bytes.
release-check: tools
	tests/release/run

# Licences, sources and bans; then known vulnerabilities, for which it asks the network.
deny: tools
	PATH="$(abspath target/tools/bin):$$PATH" cargo deny check licenses bans sources
	PATH="$(abspath target/tools/bin):$$PATH" cargo audit --deny warnings

# The Debian package, into target/deb.
deb: static
	deploy/debian/build $(abspath $(STATIC)) target/deb

# With DEBIAN= also on a kernel of its own, where it is allowed to count.
DEBIAN ?= --without-kernel

debian: packages static
	tests/debian/run $(abspath $(STATIC)) $(DEBIAN)

vm: static
	tests/vm/run $(abspath $(STATIC))

rules:
	promtool check rules alerts/*.yaml alerts/kubernetes/*.yaml
	promtool test rules alerts/tests/*.yaml alerts/kubernetes/tests/*.yaml
	promtool check config deploy/prometheus/prometheus.yml
	amtool check-config deploy/alertmanager/alertmanager.yml
	python3 -B benches/scale/snippets.py

# What is below deploy/ for others to take, against the schemas of those who take it.
manifests: packages
	$(PYTHON) -B deploy/check/manifests

# The dashboards are written by dashboards/generate; see CONTRIBUTING.md.
dashboards:
	cd dashboards && $(abspath $(PYTHON)) -B -m generate

# As generated, and what their transformations make of frames, by Grafana's own code.
dashboards-check:
	cd dashboards && $(abspath $(PYTHON)) -B -m generate --check
	cd dashboards/tests && npm ci && npm test

# Without FACTOR five times faster than an operator would see it; FACTOR=1 is real time.
incidents: packages
	cargo test --locked --features system-tests --test incidents

# What exporters hold after hours of bad days: TIME in seconds.
TIME ?= 120

soak: static
	PSTREE_STATIC_BINARY=$(abspath $(STATIC)) TIME=$(TIME) cargo test --locked --features system-tests --test soak

# What takes too long for every change; last what asks the network, so that without one all else has run.
nightly: test release-check
	$(MAKE) soak TIME=1800
	$(MAKE) debian DEBIAN=
	$(MAKE) fuzz TIME=300
	$(MAKE) deny

FUZZ_TARGETS ?= stat status cgroup docker_json web_config accept request_path exposition
FUZZ := RUSTC_BOOTSTRAP=1 TMPDIR=/dev/shm PATH="$(abspath target/tools/bin):$$PATH"

# Looks for bytes that break what fuzz/README.md states: TIME seconds for each target.
fuzz: tools
	for target in $(FUZZ_TARGETS); do \
		$(FUZZ) cargo fuzz run --sanitizer none $$target -- -max_total_time=$(TIME) -timeout=10 \
			-dict=fuzz/dictionaries/$$target.dict || exit 1; \
	done

# Before what was found is committed.
fuzz-minimise: tools
	$(FUZZ) fuzz/minimise $(FUZZ_TARGETS)

bench: packages
	cargo bench --locked

HOSTS ?= 10 30 100

# Fleets of several sizes, one with less, the head as it fills up, shards, and bytes on disk. Wants an idle machine.
scale: packages
	python3 -B benches/scale/measure.py --hosts $(HOSTS)
	python3 -B benches/scale/measure.py --hosts 30 --relabel benches/scale/lean.yaml
	python3 -B benches/scale/filling.py
	python3 -B benches/scale/topology.py
	python3 -B benches/scale/storage.py
