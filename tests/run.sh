#!/usr/bin/env bash
# The tests, all of them: installs what is missing, starts the real servers in a temporary directory, checks format,
# lints and licences, and runs unit, documentation and integration tests against the programs that are shipped.
#
# Ends with the backends that were exercised and those that were not, and a line `N passed, N failed`.
#
# Environment:
#   HEADWORKS_TEST_REQUIRE   backends that may not be missing, for example "sqlite postgres"; set in .ci/run
#   HEADWORKS_TEST_CARGO     further arguments of `cargo test`, for example "-p headworks job::"
#
# Installing packages and Postfix need root; without it, what is there is used and the rest is named at the end.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."

cargo_deny_version=0.20.2
backends=(sqlite postgres postfix strace schemathesis)
repository=$PWD
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$repository/target/tools/bin:$PATH"
export CARGO_TERM_COLOR=never

# Readable by everyone: Postfix and PostgreSQL run as users of their own.
work=$(mktemp -d /tmp/headworks-test.XXXXXX)
chmod 755 "$work"
log=$work/tests.log

cleanup() {
    local status=$?
    trap - EXIT INT TERM
    if [[ -d $work/postgres ]]; then
        tests/services/postgres/stop "$work/postgres" || true
    fi
    rm -rf "$work"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# step NAME COMMAND…: announces a step, says how long it took, and ends the run where it fails.
step() {
    local name=$1 began=$SECONDS
    shift
    printf '\n==> %s\n' "$name"
    "$@"
    printf '==> %s: %d s\n' "$name" "$((SECONDS - began))"
}

# check NAME COMMAND…: a step whose failure is remembered, so that one run shows everything that is wrong.
failed=()
check() {
    local name=$1 began=$SECONDS
    shift
    printf '\n==> %s\n' "$name"
    "$@" || failed+=("$name")
    printf '==> %s: %d s\n' "$name" "$((SECONDS - began))"
}

is_installed() {
    command -v "$1" >/dev/null 2>&1
}

install_missing() {
    local packages=()
    is_installed cc || packages+=(build-essential)
    is_installed strace || packages+=(strace)
    is_installed python3 || packages+=(python3)
    if ((EUID == 0)); then
        if ((${#packages[@]})); then
            apt-get update -qq
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
        fi
        for service in tests/services/*/install; do
            "$service" || echo "$service failed"
        done
    else
        echo "not root: nothing is installed with apt; missing: ${packages[*]:-nothing}"
    fi
    # rustup reads rust-toolchain.toml and fetches the toolchain with its components.
    cargo fmt --version
    cargo clippy --version
    if [[ $(cargo deny --version 2>/dev/null) != "cargo-deny $cargo_deny_version" ]]; then
        cargo install cargo-deny --version "$cargo_deny_version" --locked
    fi
}

# Prints the backends that can be used here.
available() {
    echo sqlite
    if tests/services/postgres/bindir >/dev/null 2>&1; then echo postgres; fi
    if [[ -x /usr/sbin/postfix ]] && ((EUID == 0)); then echo postfix; fi
    if is_installed strace; then echo strace; fi
    if is_installed schemathesis; then echo schemathesis; fi
}

build() {
    ./build.sh
    # The tests start the programs as an unprivileged user, who may not be able to reach this directory.
    mkdir "$work/dist"
    install -m 755 "${CARGO_TARGET_DIR:-target}"/dist/* "$work/dist/"
    export HEADWORKS_DIST=$work/dist
}

# A user for the server under test, as in production. Stays: making and removing users is not for every run.
make_user() {
    if ((EUID == 0)); then
        export HEADWORKS_TEST_USER=headworks-test
        id -u "$HEADWORKS_TEST_USER" >/dev/null 2>&1 ||
            useradd --system --no-create-home --shell /usr/sbin/nologin "$HEADWORKS_TEST_USER"
    fi
}

start_servers() {
    if grep -qx postgres "$work/available"; then
        local printed
        printed=$(tests/services/postgres/start "$work/postgres")
        echo "$printed"
        export HEADWORKS_TEST_POSTGRES_URL=${printed##*DATABASE_URL=}
    fi
}

run_tests() {
    # What a killed test leaves behind goes with the directory.
    mkdir "$work/tmp"
    chmod 1777 "$work/tmp"
    local arguments
    read -ra arguments <<<"${HEADWORKS_TEST_CARGO:---workspace}"
    TMPDIR=$work/tmp cargo test --locked --no-fail-fast "${arguments[@]}" 2>&1 | tee "$log"
}

# Names every backend as exercised or not, counts the tests, and fails where anything did.
summary() {
    local exercised=() missing=() backend
    for backend in "${backends[@]}"; do
        if grep -qx "$backend" "$work/available" && ! grep -qF "skipped: needs $backend," "$log"; then
            exercised+=("$backend")
        else
            missing+=("$backend")
            if [[ " ${HEADWORKS_TEST_REQUIRE:-} " == *[\ ,]"$backend"[\ ,]* ]]; then
                failed+=("$backend is required and was not exercised")
            fi
        fi
    done
    printf '\nexercised: %s\n' "${exercised[*]}"
    printf 'not exercised: %s\n' "${missing[*]:-none}"
    if ((${#failed[@]})); then
        printf 'failed: %s\n' "${failed[@]}"
    fi
    awk '/^test result:/ { passed += $4; failed += $6 } END { printf "%d passed, %d failed\n", passed, failed }' "$log"
    ((${#failed[@]} == 0))
}

step 'install what is missing' install_missing
available >"$work/available"
check 'format' cargo fmt --all --check
check 'lints' cargo clippy --workspace --all-targets --locked -- -D warnings
check 'licences, sources, doubles' cargo deny --locked check licenses sources bans
step 'build' build
make_user
step 'servers' start_servers
check 'tests' run_tests
summary
