#!/usr/bin/env bash
# Every route of comfyd, called once with curl; each answer's status is checked.
#
#   BASE=http://127.0.0.1:8787 TOKEN=$(comfyd token) COMFYUI=http://127.0.0.1:8188 docs/curl.sh
#
# It needs bash, curl and jq, a comfyd, and a ComfyUI that comfyd may reach; it makes some runs of 64 x 64 pixels, an
# instance and two workflows, and removes the instance. SLOW names a workflow whose node 1 sends previews; without one
# the preview is asked for in vain. Each `call` says the status that it expects.
set -euo pipefail
shopt -s extglob

BASE=${BASE:-http://127.0.0.1:8787}
TOKEN=${TOKEN:?what comfyd token prints}
COMFYUI=${COMFYUI:-http://127.0.0.1:8188}
SLOW=${SLOW:-}

folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
answer=$folder/answer
auth=(--header "Authorization: Bearer $TOKEN")
json=(--header "Content-Type: application/json" --data)

# call STATUS METHOD PATH [ARGUMENT OF CURL]...  STATUS is a number, or several with | between.
call() {
  local wanted=$1 method=$2 path=$3 status
  shift 3
  status=$(curl --silent --show-error --max-time 60 --request "$method" "${auth[@]}" --output "$answer" \
    --write-out '%{http_code}' "$@" "$BASE$path")
  echo "$status $method $path"
  # shellcheck disable=SC2053 # a pattern
  if [[ $status != @($wanted) ]]; then
    echo "expected $wanted:" >&2
    head --bytes 2000 "$answer" >&2
    exit 1
  fi
}

# stream EVENT PATH: reads events until this one comes.
stream() {
  echo "200 GET $2"
  exec 3< <(exec curl --silent --no-buffer --max-time 60 "${auth[@]}" "$BASE$2")
  local reader=$!
  grep --max-count 1 "^event: $1" <&3 > "$folder/event"
  exec 3<&-
  # It would notice only at the next event that nobody reads.
  kill "$reader" 2> "$folder/ended" || true
}

field() { jq --exit-status --raw-output "$1" "$answer"; }

graph='{"1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 255}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "curl"}}}'
canvas='{"nodes": [{"id": 1, "type": "EmptyImage", "pos": [0, 0]}, {"id": 2, "type": "SaveImage", "pos": [300, 0]}], "links": []}'

echo "# the server and the page"
call 200 GET /
call 200 GET /favicon.svg
asset=$(curl --silent --fail "$BASE/" | grep --only-matching '/assets/[^"]*\.js' | head --lines 1)
call 200 GET "$asset"
call 200 GET /healthz
call 200 GET /readyz
call 200 POST /api/v1/login --header "Origin: $BASE" "${json[@]}" "{\"token\": \"$TOKEN\"}"
call 200 GET /api/v1/openapi.json
call 200 GET /api/v1/stats

echo "# instances"
call 200 POST /api/v1/instances/test "${json[@]}" "{\"url\": \"$COMFYUI\"}"
call 201 POST /api/v1/instances "${json[@]}" "{\"name\": \"curl-collection\", \"url\": \"$COMFYUI\"}"
call 200 GET /api/v1/instances
call 200 GET /api/v1/instances/curl-collection
call 200 PUT /api/v1/instances/curl-collection "${json[@]}" '{"label": "A label"}'
call 200 POST /api/v1/instances/curl-collection/test
call 409 POST /api/v1/instances/curl-collection/trust "${json[@]}" '{"fingerprint": "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}'
call 409 POST /api/v1/instances/curl-collection/unlock "${json[@]}" '{"passphrase": "not one"}'
call 200 GET /api/v1/instances/curl-collection/stats
call 200 GET "/api/v1/instances/curl-collection/object_info?class=SaveImage"

echo "# templates"
call 200 GET /api/v1/workflows
call 200 GET "/api/v1/workflows/txt2img_basic?instance=curl-collection"
call 200 GET /api/v1/workflows/txt2img_basic/preview
call 200 GET /api/v1/workflows/txt2img_basic/workflow.json
call 200 POST /api/v1/workflows/validate "${json[@]}" "{\"instance\": \"curl-collection\", \"workflow\": $graph}"
call 200 POST /api/v1/workflows/convert "${json[@]}" "{\"instance\": \"curl-collection\", \"workflow\": $graph}"

echo "# a run, from its creation to its outputs"
call 201 POST /api/v1/runs --header "Idempotency-Key: $(date +%s%N)" \
  "${json[@]}" "{\"workflow\": $graph, \"canvas\": $canvas, \"instance\": \"curl-collection\", \"workflow_name\": \"curl\"}"
run=$(field .run_id)
stream end "/api/v1/runs/$run/events"
call 200 GET "/api/v1/runs?status=completed&limit=5"
call 200 GET "/api/v1/runs/$run"
[ "$(field .status)" = completed ]
call 200 GET "/api/v1/runs/$run/at/3"
call 200 GET "/api/v1/runs/$run/workflow"
call 200 GET "/api/v1/runs/$run/canvas"
call 200 GET "/api/v1/runs/$run/log"
call 200 GET "/api/v1/runs/$run/patches?from=1"
call 200 GET "/api/v1/runs/$run/outputs"
call 200 GET "/api/v1/runs/$run/outputs/1"
call 200 GET "/api/v1/runs/$run/outputs/1/content"
call 206 GET "/api/v1/runs/$run/outputs/1/content" --range 0-7
call 200 GET "/api/v1/runs/$run/outputs/1/thumbnail?size=64"
call 200 GET "/api/v1/runs/$run/outputs.zip"
call 200 GET "/api/v1/outputs.zip?of=$run/1"
stream list /api/v1/events

echo "# again, and again only where it is in doubt"
call 201 POST "/api/v1/runs/$run/retry"
again=$(field .run_id)
call 409 POST "/api/v1/runs/$run/resubmit"
stream end "/api/v1/runs/$again/events"
call 200 DELETE "/api/v1/runs/$again"

echo "# a preview, while a sampler runs; and a cancel"
if [ -n "$SLOW" ]; then
  call 201 POST /api/v1/runs --form "workflow=@$SLOW" --form 'inputs={"1.steps": 1000}' --form instance=curl-collection
  slow=$(field .run_id)
  stream preview "/api/v1/runs/$slow/events"
  call 200 GET "/api/v1/runs/$slow/preview"
  call 202 POST "/api/v1/runs/$slow/cancel"
  stream end "/api/v1/runs/$slow/events"
else
  call 404 GET "/api/v1/runs/$run/preview"
  call 409 POST "/api/v1/runs/$run/cancel"
fi
call 404 GET /api/v1/runs/no-such-run

echo "# the simple shapes"
call 200 POST /comfyui/workflow/execute --form "workflow=$graph" --form instance=curl-collection --form workflow_name=curl
workflow=$(field .workflow_id)
call 200 GET "/comfyui/workflow/$workflow/progress"
call 200 GET /comfyui/workflow/state
stream end "/api/v1/runs/$workflow/events"
call 200 GET "/comfyui/workflow/$workflow/outputs"
call 409 POST "/comfyui/workflow/$workflow/cancel"

echo "# a batch"
call 201 POST /api/v1/batches "${json[@]}" \
  "{\"workflow\": $graph, \"instance\": \"curl-collection\", \"variations\": [{\"inputs\": {\"1.color\": 1}}, {\"inputs\": {\"1.color\": 2}}]}"
batch=$(field .batch_id)
runs=$(field '.runs[].run_id')
call 200 GET "/api/v1/batches/$batch"
call '202|409' POST "/api/v1/batches/$batch/cancel" # 409 if all have ended meanwhile
for each in $runs; do stream end "/api/v1/runs/$each/events"; done

echo "# lists of steps"
id=curl-$(date +%s%N)
call 200 POST /workflow/start "${json[@]}" "{\"workflow_id\": \"$id\", \"step_delay\": 0, \"steps\": [{\"action\": \"wait\", \"seconds\": 86400}]}"
call 200 GET "/workflow/state?workflow_id=$id"
call 200 GET "/workflow/state/summary?workflow_id=$id"
call '200|202' POST /workflow/stop "${json[@]}" "{\"workflow_id\": \"$id\"}"
call 200 DELETE "/workflow/state?workflow_id=$id"
call 201 POST /workflow/state "${json[@]}" "{\"workflow_id\": \"$id-old\", \"status\": \"blocked\", \"start_time\": \"2025-12-08T21:14:03\",
  \"steps\": [{\"action\": \"wait\", \"label\": \"Rest\", \"seconds\": 0, \"status\": \"pending\"}]}"
call 200 POST /workflow/resume "${json[@]}" "{\"workflow_id\": \"$id-old\"}"

echo "# away with it"
call 200 DELETE /api/v1/instances/curl-collection
echo "done"
