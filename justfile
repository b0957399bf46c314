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

# A new module from the template
new-module NAME:
    #!/usr/bin/env bash
    set -euo pipefail
    [[ '{{ NAME }}' =~ ^[a-z][a-z0-9_]*$ && ! -e 'modules/{{ NAME }}' ]] ||
        { echo "'{{ NAME }}' must be [a-z][a-z0-9_]* and not there yet" >&2; exit 2; }
    cp -r modules/_template 'modules/{{ NAME }}'
    grep -rlI template 'modules/{{ NAME }}' | xargs sed -i 's/template/{{ NAME }}/g'
    echo 'Now name it in three places:'
    echo '  Cargo.toml                    members: "modules/{{ NAME }}", and under [workspace.dependencies]'
    echo '                                module-{{ NAME }} = { path = "modules/{{ NAME }}" }'
    echo '  modules/host/Cargo.toml       module-{{ NAME }}.workspace = true'
    echo '  modules/host/src/registry.rs  module_{{ NAME }}::modules()'
    echo 'modules/README.md goes on from here.'

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
    cargo deny --locked check licenses sources bans

# Known vulnerabilities; needs the network
audit:
    cargo deny check advisories

# The three programs as shipped, in target/dist
build:
    ./build.sh

# The tests with the counts and intervals that are shown, instead of the short ones
soak:
    HEADWORKS_TEST_SOAK=1 tests/run.sh

# One fuzz target for some seconds; needs cargo-fuzz and a nightly toolchain
fuzz TARGET SECONDS="600":
    cargo +nightly fuzz run {{ TARGET }} -- -max_total_time={{ SECONDS }}

# See it work, from nothing
demo:
    ./demo.sh
