# Thin: each line is a command that one could type.

PROGRAMS := guildhall gateway org-service member-service authz-service

.PHONY: up test check fmt lint doc deny reference sqlx sqlx-check bench proof fuzz k8s upgrade image

# Builds what it runs and starts it; Ctrl-C stops it. `make up ARGS=--reset` starts anew.
up:
	cargo build --release --locked $(PROGRAMS:%=--bin %)
	./target/release/guildhall dev $(ARGS)

# Needs Rust, a C compiler and PostgreSQL (15 or newer); says so where one is missing.
test:
	cargo build --workspace --bins --locked
	cargo test --workspace --locked --no-fail-fast

check: fmt lint doc deny sqlx-check test

fmt:
	cargo fmt --all --check

lint:
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo metadata --locked --manifest-path fuzz/Cargo.toml --format-version 1 >/dev/null

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# Licences, bans and sources; known vulnerabilities too, where their database can be had.
deny:
	./deploy/check/deny

# Writes docs/reference anew from the contracts; a test fails where it is out of date.
reference:
	UPDATE_GOLDEN=1 cargo test --quiet --package e2e --test house -- the_reference

# Writes anew what the compiler knows of the database, after a statement or a migration has changed.
sqlx:
	cargo run --quiet --package local-postgres --example checked-sql -- write

# Fails where that is out of date.
sqlx-check:
	cargo run --quiet --package local-postgres --example checked-sql -- check

# Renders every Kubernetes overlay and looks for faults: schemas, counts, references, hardening; then asks the binaries whether they
# understand what the manifests give them. Needs kubectl or kustomize, and Python 3.
k8s:
	cargo build --workspace --bins --locked
	./deploy/check/kubernetes
	cargo test --locked --package e2e --test e2e -- manifests::

# Measures each path beside its floor, in some minutes; on a machine that does nothing else. `make bench ARGS=check` measures one.
bench:
	cargo build --release --locked --bins
	./target/release/guildhall-loadgen bench $(ARGS)

# Long runs of what `test` does briefly. The engine against its reference: a million steps of random histories, or STEPS of them. Three
# processes in a storm, until 100,000 answers have been judged, or CHECKS of them. Every attack by everybody at every door, 3 times or ATTACKS.
# Processes killed in the middle of writes 200 times, or KILLS times. Every kind of bad network on every way between two processes; on a
# machine that does nothing else. Ten times too many calls, for OVERLOAD seconds. Every replica restarted, while RESTARTS callers make calls
# as fast as the machine can.
STEPS ?= 1000000
CHECKS ?= 100000
ATTACKS ?= 3
KILLS ?= 200
OVERLOAD ?= 120
RESTARTS ?= 32
proof:
	GUILDHALL_PROOF_STEPS=$(STEPS) cargo test --release --locked --package engine --test oracle changed_and_rebuilt
	cargo build --workspace --bins --locked
	GUILDHALL_PROOF_CHECKS=$(CHECKS) cargo test --locked --package e2e --test e2e replicas::storm -- --nocapture
	GUILDHALL_PROOF_ATTACKS=$(ATTACKS) cargo test --locked --package e2e --test attacks foreign:: -- --nocapture
	GUILDHALL_PROOF_KILLS=$(KILLS) cargo test --locked --package e2e --test faults killed -- --nocapture
	GUILDHALL_PROOF_OVERLOAD=$(OVERLOAD) cargo test --locked --package e2e --test faults overload:: -- --nocapture
	GUILDHALL_PROOF_LINKS=1 cargo test --locked --package e2e --test faults links -- --nocapture
	cargo build --release --workspace --bins --locked
	GUILDHALL_PROOF_RESTARTS=$(RESTARTS) cargo test --release --locked --package e2e --test e2e rolling_restart:: -- --nocapture --test-threads 1

# libFuzzer on each target of fuzz/, or on TARGET alone, TIME seconds each. `test` does the same briefly without it.
TIME ?= 600
TARGET ?=
fuzz:
	./deploy/check/fuzz $(TIME) $(TARGET)

# This version follows the last release under load, or FROM=<commit>; see tests/e2e/upgrade.rs.
upgrade:
	./deploy/check/upgrade

# Builds the image, and does the main job with servers that run from it. Needs a Docker engine; see deploy/docker/smoke.
image:
	./deploy/docker/smoke
