# `just` lists the recipes. One command equals continuous integration: `just test`.

set shell := ["bash", "-euo", "pipefail", "-c"]

[private]
default:
    @just --list --unsorted

# Compile everything, quickly
check:
    cargo check --workspace --all-targets

# Format and lints, as continuous integration sees them
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# Everything continuous integration runs, with whatever backends are here
test:
    tests/run.sh

# The tests of one module
test-module NAME:
    cargo test -p module-{{ NAME }}

# A new module from the template; modules/README.md goes on from there
new-module NAME:
    cargo run --quiet --bin headworks -- modules new '{{ NAME }}'

# Accept what snapshots and fixtures give now; read the diff before you commit it
bless:
    BLESS=1 INSTA_UPDATE=always cargo test --workspace

# Start a Postgres of our own in target/db and print its address
db:
    tests/services/postgres/start target/db

# Stop the Postgres of `just db`
db-stop:
    tests/services/postgres/stop target/db

# Run the server from this tree, with arguments for `headworks serve`
run *ARGS:
    cargo build --workspace --bins
    target/debug/headworks serve {{ ARGS }}

# Licences, sources and unwanted doubles
deny:
    cargo deny --locked --workspace check licenses sources bans

# Known vulnerabilities; needs the network
audit:
    cargo deny check advisories

# The three programs as shipped, in target/dist
build:
    ./build.sh

# The tests with the counts and intervals that are shown, instead of the short ones
soak:
    HEADWORKS_TEST_SOAK=1 tests/run.sh

# One fuzz target for some seconds; needs cargo-fuzz and a nightly toolchain. What it learns stays in target/fuzz
fuzz TARGET SECONDS="600":
    mkdir -p target/fuzz/{{ TARGET }}
    cargo +nightly fuzz run --fuzz-dir fuzz {{ TARGET }} target/fuzz/{{ TARGET }} fuzz/corpus/{{ TARGET }} -- \
        -max_total_time={{ SECONDS }}

# See it work, from nothing
demo:
    ./demo.sh
