#!/usr/bin/env bash
# The tests, all of them: installs what is missing, starts the real servers in a temporary directory, checks format,
# lints and licences, and runs unit, documentation and integration tests against the programs that are shipped.
#
# Ends with the backends that were exercised and those that were not, and a line `N passed, N failed`.
#
# Environment:
#   HEADWORKS_TEST_REQUIRE   backends that may not be missing, for example "sqlite postgres"; set in .ci/run
#   HEADWORKS_TEST_CARGO     which tests, as arguments of `cargo nextest run`, for example "-p headworks job::"
#
# Installing packages and Postfix need root; without it, what is there is used and the rest is named at the end.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."

cargo_deny_version=0.20.2
cargo_nextest_version=0.9.140
backends=(sqlite postgres kafka minio postfix strace schemathesis)
repository=$PWD
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$repository/target/tools/bin:$PATH"
export CARGO_TERM_COLOR=never

# Readable by everyone: Postfix, PostgreSQL, Kafka and MinIO run as users of their own.
work=$(mktemp -d /tmp/headworks-test.XXXXXX)
chmod 755 "$work"
# What nextest says of every test, and what cargo says of documentation tests.
report=$work/junit.xml
doc_log=$work/doc.log
touch "$report" "$doc_log"

cleanup() {
    local status=$?
    trap - EXIT INT TERM
    if [[ -d $work/postgres ]]; then
        tests/services/postgres/stop "$work/postgres" || true
    fi
    if [[ -d $work/kafka ]]; then
        tests/services/kafka/stop "$work/kafka" || true
    fi
    if [[ -d $work/minio ]]; then
        tests/services/minio/stop "$work/minio" || true
    fi
    rm -rf "$work"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# took NAME BEGAN: says how long a part took, and remembers it for the summary.
times=()
took() {
    printf '==> %s: %d s\n' "$1" "$((SECONDS - $2))"
    times+=("$(printf '%6d  %s' "$((SECONDS - $2))" "$1")")
}

# step NAME COMMAND…: announces a step, says how long it took, and ends the run where it fails.
step() {
    local name=$1 began=$SECONDS
    shift
    printf '\n==> %s\n' "$name"
    "$@"
    took "$name" "$began"
}

# check NAME COMMAND…: a step whose failure is remembered, so that one run shows everything that is wrong.
failed=()
check() {
    local name=$1 began=$SECONDS
    shift
    printf '\n==> %s\n' "$name"
    "$@" || failed+=("$name")
    took "$name" "$began"
}

is_installed() {
    command -v "$1" >/dev/null 2>&1
}

install_missing() {
    local packages=()
    is_installed strace || packages+=(strace)
    is_installed python3 || packages+=(python3)
    if ((EUID == 0)); then
        ./build.sh install
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
    if [[ $(cargo nextest --version 2>/dev/null) != "cargo-nextest $cargo_nextest_version "* ]]; then
        cargo install cargo-nextest --version "$cargo_nextest_version" --locked --no-default-features --features default-no-update
    fi
}

# Prints the backends that can be used here.
available() {
    echo sqlite
    if tests/services/postgres/bindir >/dev/null 2>&1; then echo postgres; fi
    if tests/services/kafka/jars >/dev/null 2>&1; then echo kafka; fi
    if tests/services/minio/binary >/dev/null 2>&1; then echo minio; fi
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
    local printed
    if grep -qx postgres "$work/available"; then
        printed=$(tests/services/postgres/start "$work/postgres")
        echo "$printed"
        export HEADWORKS_TEST_POSTGRES_URL=${printed##*DATABASE_URL=}
    fi
    if grep -qx kafka "$work/available"; then
        printed=$(tests/services/kafka/start "$work/kafka")
        echo "$printed"
        export HEADWORKS_TEST_KAFKA=${printed##*KAFKA_BOOTSTRAP=}
    fi
    if grep -qx minio "$work/available"; then
        # Endpoint, root user and password, one a line; tests take them as `ENDPOINT USER PASSWORD`.
        printed=$(tests/services/minio/start "$work/minio" | sed 's/^export [^=]*=//' | tr '\n' ' ')
        echo "minio: ${printed%% *}"
        export HEADWORKS_TEST_MINIO=${printed% }
    fi
}

run_tests() {
    # What a killed test leaves behind goes with the directory.
    mkdir "$work/tmp"
    chmod 1777 "$work/tmp"
    local arguments status=0 written=${CARGO_TARGET_DIR:-target}/nextest/default/junit.xml
    read -ra arguments <<<"${HEADWORKS_TEST_CARGO:---workspace}"
    rm -f "$written"
    TMPDIR=$work/tmp cargo nextest run --locked "${arguments[@]}" || status=$?
    # Without it nothing was compiled, so nothing ran.
    if [[ -e $written ]]; then mv "$written" "$report"; fi
    return "$status"
}

# nextest leaves these to cargo.
run_doc_tests() {
    cargo test --locked --doc --workspace 2>&1 | tee "$doc_log"
}

# Prints the slowest tests, longest first, with their seconds.
slowest() {
    sed -nE 's/.*<testcase name="([^"]*)" classname="([^"]*)".* time="([0-9.]+)".*/\3 \2 \1/p' "$report" |
        sort -rn | head -n "$1"
}

# Names every backend as exercised or not, counts the tests, and fails where anything did.
summary() {
    local exercised=() missing=() backend
    for backend in "${backends[@]}"; do
        if grep -qx "$backend" "$work/available" && ! grep -qF "skipped: needs $backend," "$report"; then
            exercised+=("$backend")
        else
            missing+=("$backend")
            if [[ " ${HEADWORKS_TEST_REQUIRE:-} " == *[\ ,]"$backend"[\ ,]* ]]; then
                failed+=("$backend is required and was not exercised")
            fi
        fi
    done
    printf '\nslowest tests, in seconds:\n%s\n' "$(slowest 10)"
    printf '\nseconds by part:\n'
    printf '%s\n' "${times[@]}"
    printf '\nexercised: %s\n' "${exercised[*]}"
    printf 'not exercised: %s\n' "${missing[*]:-none}"
    if ((${#failed[@]})); then
        printf 'failed: %s\n' "${failed[@]}"
    fi
    # `<testsuites … tests="N" failures="N" errors="N" …>`, and cargo's `test result: ok. N passed; N failed; …`.
    {
        sed -nE '/<testsuites /{s/.* tests="([0-9]+)" failures="([0-9]+)" errors="([0-9]+)".*/\1 \2 \3/p;q}' "$report"
        awk '/^test result:/ { print $4 + $6, $6, 0 }' "$doc_log"
    } | awk '{ failed += $2 + $3; passed += $1 - $2 - $3 } END { printf "%d passed, %d failed\n", passed, failed }'
    ((${#failed[@]} == 0))
}

step 'install what is missing' install_missing
available >"$work/available"
check 'format' cargo fmt --all --check
check 'lints' cargo clippy --workspace --all-targets --locked -- -D warnings
check 'licences, sources, doubles' cargo deny --locked --workspace check licenses sources bans
step 'build' build
make_user
step 'servers' start_servers
check 'tests' run_tests
if [[ -z ${HEADWORKS_TEST_CARGO:-} ]]; then check 'documentation tests' run_doc_tests; fi
summary
