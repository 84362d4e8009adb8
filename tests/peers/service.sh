#!/usr/bin/env bash
# comfyd as a service: GET beside a bare axum, watchers, a burst, 10,000 idle watchers, 100,000 finished runs. Prints a JSON line a figure.
#
#   tests/peers/service.sh [WATCHERS [RUNS]]      needs cargo and python3
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
profile=${COMFYD_PROFILE:-release} bin=target/${COMFYD_PROFILE:-release} # COMFYD_PROFILE=profiling builds faster
watchers=${1:-10000} runs=${2:-100000}
cargo build --profile "$profile" --locked -p comfyd-server -p comfyd-fixtures -p comfyd-tests --bins --examples
mkdir -p target/peers
source tests/peers/common.sh
comfy=$(free) comfyd=$(free)
export COMFYD_TOKEN=0123456789abcdef0123456789abcdef
"$bin"/fakecomfy --port "$comfy" --history-delay-ms 0 >"$dir/comfyui.log" 2>&1 & pids+=($!)
answers "$comfy" /system_stats
COMFYD_COMFYUI_WORKFLOW__MAX_CONCURRENT_WORKFLOWS=64 COMFYD_LIMITS__SUBMITTED_AHEAD=64 COMFYD_LIMITS__LIVE_CLIENTS_PER_ADDRESS=200 \
  "$bin"/comfyd serve --data-dir "$dir/data" --listen "127.0.0.1:$comfyd" --url "http://127.0.0.1:$comfy" >"$dir/comfyd.log" 2>&1 & pids+=($!)
answers "$comfyd" /readyz
"$bin"/examples/service --comfyd "127.0.0.1:$comfyd" --pid "${pids[1]}" --token "$COMFYD_TOKEN"
ulimit -n "$(ulimit -Hn)"
"$bin"/examples/sse_clients "$watchers"
"$bin"/examples/history "$runs"
