#!/usr/bin/env python3
"""Contract tests: openapi.json against a real server with a simulated ComfyUI behind it.

Schemathesis makes requests from the document, good ones and bad ones, and holds every answer against it: no server fault, no status,
content type or field that the document does not name, no bad input that is taken. Before that, a few runs are made, so that there is
something to ask for.

  run.py --comfyd target/debug/comfyd --fakecomfy target/debug/fakecomfy [--examples N] [--seed N]
"""

import argparse
import json
import os
import pathlib
import re
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PATIENCE_S = 60


def ask(url, token, method="GET", body=None):
    request = urllib.request.Request(url, method=method, headers={"Authorization": f"Bearer {token}"})
    if body is not None:
        request.add_header("Content-Type", "application/json")
        request.data = json.dumps(body).encode()
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return json.load(answer)


def until(what, condition):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    sys.exit(f"waited {PATIENCE_S} s for {what}")


def listening(log, pattern):
    def look():
        found = re.search(pattern, log.read_text(errors="replace"))
        return found and found.group(1)

    return look


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--comfyd", default=ROOT / "target/debug/comfyd")
    parser.add_argument("--fakecomfy", default=ROOT / "target/debug/fakecomfy")
    parser.add_argument("--examples", type=int, default=8, help="examples for each operation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--schemathesis", default=os.environ.get("SCHEMATHESIS", "schemathesis"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(run(pathlib.Path(scratch), options))


def run(scratch, options):
    token = secrets.token_hex(16)
    inputs = scratch / "inputs"
    inputs.mkdir()
    started = []
    try:
        fake_log = scratch / "fake.log"
        started.append(subprocess.Popen([options.fakecomfy, "--port", "0"], stdout=fake_log.open("w"), stderr=subprocess.STDOUT))
        comfy = until("the simulated ComfyUI", listening(fake_log, r"(http://127\.0\.0\.1:\d+)"))
        log = scratch / "comfyd.log"
        environment = {**os.environ, "COMFYD_TOKEN": token, "RUST_BACKTRACE": "1", "HOME": str(scratch), "XDG_CONFIG_HOME": str(scratch)}
        command = [options.comfyd, "serve", "--data-dir", scratch / "data", "--listen", "127.0.0.1:0", "--url", comfy]
        started.append(subprocess.Popen(command, stdout=log.open("w"), stderr=subprocess.STDOUT, env=environment))
        base = until("the server", listening(log, r"(http://127\.0\.0\.1:\d+)"))
        batch = prepare(base, token)
        code = contract(base, token, batch, scratch, options)
        told = log.read_text(errors="replace")
        if started[-1].poll() is not None:
            print("the server died", file=sys.stderr)
            code = code or 1
        if "panicked at" in told:
            print(told[told.index("panicked at") - 200 :][:4000], file=sys.stderr)
            code = code or 1
        return code
    finally:
        for process in reversed(started):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def prepare(base, token):
    """Makes runs, so that their ids lead somewhere."""
    graph = json.loads((ROOT / "fixtures/workflows/01_simple_save.json").read_text())
    run = ask(f"{base}/api/v1/runs", token, "POST", {"workflow": graph})["run_id"]
    until("a run to end", lambda: ask(f"{base}/api/v1/runs/{run}", token)["status"] == "completed")
    return ask(f"{base}/api/v1/batches", token, "POST", {"workflow": graph, "repeat": 2})["batch_id"]


def contract(base, token, batch, scratch, options):
    ids = scratch / "ids.json"
    run = ask(f"{base}/api/v1/runs", token)["runs"][-1]
    template = ask(f"{base}/api/v1/workflows", token)["workflows"][0]["name"]
    # One that waits, so that it can be stopped and resumed.
    steps = {"workflow_id": "contract", "step_delay": 0, "steps": [{"action": "wait", "seconds": 86400}]}
    ask(f"{base}/workflow/start", token, "POST", steps)
    known = {"batch": batch, "run": run["run_id"], "workflow": run["workflow_id"], "instance": run["instance"], "template": template, "steps": "contract"}
    ids.write_text(json.dumps(known))
    # The phases that try every shape of a request pass the hooks by; they ask for what is there.
    names = [("/batches/", {"id": batch}), ("/instances/", {"name": run["instance"]}), ("/workflows/", {"name": template})]
    names += [(rf"/runs/.*/{part}$", {"id": run["run_id"]}) for part in ("canvas", "preview", "cancel", "resubmit")]
    names.append(("/comfyui/workflow/.*/cancel$", {"id": run["workflow_id"]}))
    rules = (f"[[operations]]\ninclude-path-regex = {json.dumps(path)}\nparameters = {{ {key} = {json.dumps(value)} }}\n"
             for path, known_as in names for key, value in known_as.items())
    (scratch / "schemathesis.toml").write_text("\n".join(rules))
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(HERE), "COMFYD_CONTRACT": str(ids), "PYTHONHASHSEED": "0"}
    document = scratch / "openapi.json"
    document.write_text(json.dumps(ask(f"{base}/api/v1/openapi.json", token)))
    command = [
        options.schemathesis, "run", str(document), "--url", base, "-H", f"Authorization: Bearer {token}",
        "--phases", "examples,coverage,fuzzing", "--max-examples", str(options.examples), "--seed", str(options.seed),
        "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
        "response_schema_conformance,negative_data_rejection",
        # Streams have no end, a login needs the page, and who may ask what is a matrix: these have tests of their own.
        "--exclude-path-regex", r"/events$|/login$",
        "--suppress-health-check", "all", "--generation-database", "none", "--request-timeout", "20", "--continue-on-failure",
        "--no-color",
    ]
    return subprocess.run(command, env=environment, cwd=scratch).returncode


if __name__ == "__main__":
    main()
