#!/usr/bin/env bash
# How many runs a second comfyd does, beside a bare client (the floor) and comfy-api-proxy, on the same simulated ComfyUI in the same minutes.
#
#   tests/peers/run.sh [ROUNDS [SECONDS]]      needs cargo, python3 with venv, and PyPI once
#
# Simulator, servers and driver are processes of their own. The modes take turns, slice by slice. Each line is a median; every acknowledgement of
# comfyd is synced to the disk of the checkout, so run it where that disk is a real one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
profile=${COMFYD_PROFILE:-release} bin=target/${COMFYD_PROFILE:-release} # COMFYD_PROFILE=profiling builds faster
rounds=${1:-5} seconds=${2:-2} version=0.1.6
venv=target/peers/venv
[ -x "$venv/bin/comfy-api-proxy" ] || { python3 -m venv "$venv"; "$venv/bin/pip" install -q "comfy-api-proxy==$version"; }
cargo build --profile "$profile" --locked -p comfyd-server -p comfyd-fixtures -p comfyd-tests --bins --examples

source tests/peers/common.sh
comfy=$(free) comfyd=$(free) proxy=$(free)
export COMFYD_TOKEN=0123456789abcdef0123456789abcdef
"$bin"/fakecomfy --port "$comfy" --history-delay-ms 0 >"$dir/comfyui.log" 2>&1 & pids+=($!)
answers "$comfy" /system_stats
COMFYD_COMFYUI_WORKFLOW__MAX_CONCURRENT_WORKFLOWS=64 COMFYD_LIMITS__SUBMITTED_AHEAD=64 \
  "$bin"/comfyd serve --data-dir "$dir/data" --listen "127.0.0.1:$comfyd" --url "http://127.0.0.1:$comfy" >"$dir/comfyd.log" 2>&1 & pids+=($!)
answers "$comfyd" /readyz
"$venv/bin/comfy-api-proxy" run --comfyui "http://127.0.0.1:$comfy" --port "$proxy" >"$dir/proxy.log" 2>&1 & pids+=($!)
answers "$proxy" /api/v2/health
load() {
  "$bin"/examples/load "$@" --rounds "$rounds" --seconds "$seconds" --comfy "127.0.0.1:$comfy" --comfy-pid "${pids[0]}" \
    --comfyd "127.0.0.1:$comfyd" --comfyd-pid "${pids[1]}" --token "$COMFYD_TOKEN" --proxy "127.0.0.1:$proxy" --proxy-pid "${pids[2]}"
}
{ load bare,comfyd,proxy; load bare,comfyd --work file; } | tee target/peers/lines.json | python3 tests/peers/table.py
echo "every measurement: target/peers/lines.json"
