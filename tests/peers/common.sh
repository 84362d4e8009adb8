# Shared by the scripts beside it (sourced): free ports, waiting, and what is started ends with the script.

dir=$(mktemp -d "target/peers/${0##*/}.XXXXXX")
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; wait 2>/dev/null; rm -rf "$dir"' EXIT
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
answers() { # answers PORT PATH: waits until somebody does
  for _ in $(seq 200); do
    python3 -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:$1$2', timeout=1)" 2>/dev/null && return
    sleep 0.05
  done
  echo "nobody answers at port $1:" >&2
  tail -n 5 "$dir"/*.log >&2
  exit 1
}
