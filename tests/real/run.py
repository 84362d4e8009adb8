#!/usr/bin/env python3
"""Runs every workflow of fixtures/workflows and every template through `comfyd run` against a real ComfyUI and compares what came of it with the server's own files.

usage: run.py --url http://127.0.0.1:PORT --base DIR --comfyd BINARY [NAME ...]

--base is the server's base directory (it holds output/, temp/, input/). Uses the standard library only. Ends with `N passed, N failed`.
"""
import argparse
import functools
import hashlib
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
import zlib

from over_ssh import over_ssh

HERE = os.path.dirname(os.path.abspath(__file__))
WORKFLOWS = os.path.join(HERE, "..", "..", "fixtures", "workflows")
CANVAS = os.path.join(HERE, "..", "..", "fixtures", "canvas", "real")
TEMPLATES = os.path.join(HERE, "..", "..", "resources", "workflows")


def get(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def picture():
    """A 32x32 PNG, made here so that no file has to be kept."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + b"".join(bytes((x * 8, y * 8, 64)) for x in range(32)) for y in range(32))
    head = struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def reachable(prompt, outputs):
    """The nodes that the outputs need: what total_nodes must count."""
    seen, todo = set(), list(outputs)
    while todo:
        node = todo.pop()
        if node in seen or node not in prompt:
            continue
        seen.add(node)
        for value in prompt[node]["inputs"].values():
            if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
                todo.append(value[0])
    return seen


def sha(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


class Check:
    def __init__(self):
        self.problems = []

    def that(self, good, text):
        if not good:
            self.problems.append(text)


def run_one(name, args, work):
    check = Check()
    with open(os.path.join(WORKFLOWS, name + ".json")) as file:
        prompt = json.load(file)
    data = os.path.join(work, "data")
    command = [args.comfyd, "run", os.path.join(WORKFLOWS, name + ".json"), "--url", args.url, "--data-dir", data, "--json"]
    loaders = [node for node, body in prompt.items() if body["class_type"] in ("LoadImage", "LoadImageMask")]
    if loaders:
        image = os.path.join(work, "in put.png")
        with open(image, "wb") as file:
            file.write(picture())
        for node in loaders:
            command += ["--image", f"{node}={image}"]
    # Another seed than the last time, so that nothing is cached by chance; where there is one.
    env = dict(os.environ, HOME=work)
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=env)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
    check.that(lines, f"no JSON at all; stderr: {done.stderr[-2000:]}")
    if not lines:
        return check
    view = lines[-1]
    fails = "fails" in name
    check.that(done.returncode == (1 if fails else 0), f"exit code {done.returncode}; stderr: {done.stderr[-2000:]}")
    check.that(view["status"] == ("failed" if fails else "completed"), f"status {view['status']}: {view['error']}")
    history = get(f"{args.url}/history/{view['prompt_id']}")
    check.that(view["prompt_id"] in history, "the server has no history entry of this prompt_id")
    if view["prompt_id"] not in history:
        return check
    entry = history[view["prompt_id"]]
    needed = reachable(entry["prompt"][2], entry["prompt"][4])
    counts = {node["node_id"] for node in view["nodes"] if node["counts"]}
    check.that(counts == needed, f"nodes that count: {sorted(counts)}, needed: {sorted(needed)}")
    check.that(view["progress"]["total_nodes"] == len(needed), f"total {view['progress']['total_nodes']}, needed {len(needed)}")
    if fails:
        message = dict(entry["status"]["messages"])["execution_error"]
        check.that(view["error"]["node_id"] == message["node_id"] == "3", f"failed at {view['error']['node_id']}")
        check.that(view["error"]["message"] == message["exception_message"].strip(), f"message {view['error']['message']!r}")
        check.that(view["error"]["node_type"] == message["node_type"], f"class {view['error']['node_type']}")
    else:
        check.that(view["progress"]["completed_nodes"] == len(needed), f"completed {view['progress']['completed_nodes']}")
        check.that(view["progress"]["progress_percent"] == 100, f"percent {view['progress']['progress_percent']}")
    reported = set()
    for outputs in entry["outputs"].values():
        for values in outputs.values():
            for value in values or []:
                if isinstance(value, dict) and isinstance(value.get("filename"), str):
                    reported.add((value.get("type", "output"), value.get("subfolder", ""), value["filename"]))
    ours = {(o["folder"], o["subfolder"], o["filename"]): o for o in view["outputs"] if o["filename"]}
    check.that(set(ours) == reported, f"files: ours {sorted(ours)}, the server's {sorted(reported)}")
    for (folder, subfolder, filename), output in ours.items():
        theirs = os.path.join(args.base, folder, subfolder, filename)
        if not os.path.exists(theirs):
            check.that(not output["downloaded"], f"{filename} is said to be stored, and the server has no such file")
            continue
        check.that(output["downloaded"], f"{filename} was not downloaded: {output['problem']}")
        if output["downloaded"]:
            local = os.path.join(data, "runs", view["run_id"], "outputs", output["local_name"])
            check.that(sha(local) == sha(theirs) == output["sha256"], f"{filename} differs from the server's file")
    states = {node["node_id"]: node["state"] for node in view["nodes"]}
    if name.startswith("25"):
        check.that(states.get("3") == "blocked", f"node 3 is {states.get('3')}")
    if name.startswith("22"):
        check.that(any(node["parent_node_id"] for node in view["nodes"]), "no expanded node is shown")
    if name.startswith("23"):
        sent = json.dumps(entry["prompt"][2])
        check.that("12345678901234567890" in sent, "the seed beyond 2^53 did not survive")
    log = os.path.join(data, "runs", view["run_id"], "events.log")
    verified = subprocess.run([args.comfyd, "log", "verify", log], capture_output=True, text=True, env=env)
    check.that(verified.returncode == 0, f"log verify: {verified.stdout} {verified.stderr}")
    return check


def template_names():
    return sorted(name for name in os.listdir(TEMPLATES) if os.path.isdir(os.path.join(TEMPLATES, name)))


def put_in_place(path, content, made):
    """Writes a file unless it is there, and remembers it, so that it can be taken away again."""
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        made.append(path)


def run_template(name, args, work):
    """A template is valid on a real server: with empty files under the names of its models it is taken without a word; without models it completes."""
    check = Check()
    env = dict(os.environ, HOME=work)
    data = os.path.join(work, "data")
    tool = lambda *words: subprocess.run([args.comfyd, *words, "--data-dir", data], capture_output=True, text=True, timeout=300, env=env)
    template = json.loads(tool("templates", name, "--json").stdout)
    with open(os.path.join(TEMPLATES, name, "workflow.json")) as file:
        check.that(template["workflow"] == json.load(file), "the built-in graph is another one than the file's")
    classes = get(f"{args.url}/object_info")
    for field in template["form"]:
        declared = classes.get(field["node_type"], {}).get("input", {})
        known = set(declared.get("required", {})) | set(declared.get("optional", {}))
        check.that(field["input"] in known, f"{field['node_type']} has no input {field['input']}")
    made = []
    try:
        put_in_place(os.path.join(args.base, "input", "example.png"), picture(), made)
        for model in template["needs_models"]:
            check.that(model["folder"], f"the folder of {model['file']} is not known")
            put_in_place(os.path.join(args.base, "models", model["folder"] or "checkpoints", model["file"]), b"", made)
        started = tool("run", "--template", name, "--url", args.url, "--json")
        lines = [json.loads(line) for line in started.stdout.splitlines() if line.strip()]
        check.that(lines, f"no JSON at all; stderr: {started.stderr[-2000:]}")
        if not lines:
            return check
        view = lines[-1]
        check.that(view["workflow_name"] == template["title"], f"it is called {view['workflow_name']}")
        history = get(f"{args.url}/history/{view['prompt_id']}")
        check.that(view["prompt_id"] in history, f"the server refused it: {view['error']}")
        check.that(not view["warnings"], f"warnings: {view['warnings']}")
        if template["needs_models"]:
            # It was taken, and fails where the empty file is read.
            check.that(view["status"] == "failed", f"status {view['status']}")
            loaders = {model["node_id"] for model in template["needs_models"]}
            check.that((view["error"] or {}).get("node_id") in loaders, f"it failed elsewhere: {view['error']}")
        else:
            check.that(view["status"] == "completed" and started.returncode == 0, f"status {view['status']}: {view['error']}")
            check.that(view["outputs"] and all(output["downloaded"] for output in view["outputs"]), "an output is missing")
    finally:
        for path in made:
            os.remove(path)
    return check


def start_server(args, data, env):
    """Starts `comfyd serve` and waits until it says where it listens."""
    address = os.path.join(data, "server.json")
    if os.path.exists(address):
        os.remove(address)
    server = subprocess.Popen(
        [args.comfyd, "serve", "--url", args.url, "--data-dir", data, "--listen", "127.0.0.1:0"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env,
    )
    deadline = time.monotonic() + 30
    while not os.path.exists(address):
        if time.monotonic() > deadline or server.poll() is not None:
            raise RuntimeError("comfyd serve does not start")
        time.sleep(0.05)
    return server


def slow(work):
    """A workflow that takes a while, with seeds of its own, so that nothing of it is cached."""
    with open(os.path.join(WORKFLOWS, "20_custom_slow_previews.json")) as file:
        prompt = json.load(file)
    for node in ("1", "2"):
        prompt[node]["inputs"]["seed"] = random.randrange(1 << 48)
    workflow = os.path.join(work, "slow.json")
    with open(workflow, "w") as file:
        json.dump(prompt, file)
    return workflow


def killed_in_the_middle(args, work):
    """kill -9 of comfyd while the real server runs the prompt: the run goes on there and is found again."""
    check = Check()
    env = dict(os.environ, HOME=work)
    data = os.path.join(work, "data")
    workflow = slow(work)
    server = start_server(args, data, env)
    try:
        tool = lambda *words: subprocess.run([args.comfyd, *words, "--data-dir", data], capture_output=True, text=True, timeout=120, env=env)
        run = tool("run", workflow, "--detach").stdout.split()[0]
        deadline = time.monotonic() + 30
        while json.loads(tool("show", run, "--json").stdout)["phase"] != "running" and time.monotonic() < deadline:
            time.sleep(0.1)
        server.kill()
        server.wait()
        server = start_server(args, data, env)
        watched = tool("watch", run, "--json")
        view = json.loads(watched.stdout.splitlines()[-1])
        check.that(watched.returncode == 0, f"exit code {watched.returncode}: {watched.stderr[-1000:]}")
        check.that(view["status"] == "completed", f"status {view['status']}: {view['error']}")
        check.that(all(output["downloaded"] for output in view["outputs"]), "an output is missing")
        history = get(f"{args.url}/history")
        posts = [entry for entry in history.values() if entry["prompt"][3].get("comfyd", {}).get("run") == run]
        check.that(len(posts) == 1, f"the server ran it {len(posts)} times")
    finally:
        server.kill()
        server.wait()
    return check


def canvases():
    return sorted(name[:-5] for name in os.listdir(CANVAS) if name.endswith(".json") and not name.endswith(".page.json"))


def canvas_as_the_page(name, args, work):
    """A canvas file queues without node_errors, and gives the same files as what ComfyUI's page exports of it (`NAME.page.json`)."""
    check = Check()
    hashes = []
    for kind in (name, name + ".page"):
        command = [args.comfyd, "run", os.path.join(CANVAS, kind + ".json"), "--url", args.url, "--data-dir", os.path.join(work, kind), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        check.that(done.returncode == 0, f"{kind}: exit code {done.returncode}: {done.stderr[-500:]}")
        view = json.loads(done.stdout.strip().splitlines()[-1])
        check.that(not view.get("warnings"), f"{kind}: {view.get('warnings')}")
        hashes.append([(output["node_id"], output["sha256"]) for output in view["outputs"]])
    check.that(hashes[0] and hashes[0] == hashes[1], f"the files differ: {hashes}")
    return check


def from_zero_over_ssh(args, work):
    check = Check()
    workflow = slow(work)
    view = over_ssh(args, work, check, workflow)
    for output in (output for output in view["outputs"] if output["filename"]):
        theirs = os.path.join(args.base, output["folder"], output["subfolder"], output["filename"])
        check.that(output["sha256"] == sha(theirs), f"{output['filename']} is not the server's")
    posts = [entry for entry in get(f"{args.url}/history").values() if entry["prompt"][3].get("comfyd", {}).get("run") == view["run_id"]]
    check.that(len(posts) == 1, f"the server ran it {len(posts)} times")
    return check


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--base", required=True)
    parser.add_argument("--comfyd", required=True)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    args.comfyd = os.path.abspath(args.comfyd)
    stats = get(args.url + "/system_stats")
    print("ComfyUI", stats["system"].get("comfyui_version"))
    whole = [
        ("kill -9 of comfyd in the middle", killed_in_the_middle),
        *((f"the canvas {name} as the page exports it", functools.partial(canvas_as_the_page, name)) for name in canvases()),
        ("from zero over SSH", from_zero_over_ssh),
    ]
    titles = [title for title, _ in whole]
    names = [name for name in args.names if name not in titles] if args.names else sorted(name[:-5] for name in os.listdir(WORKFLOWS) if name.endswith(".json")) + template_names()
    passed = failed = 0
    for name in names:
        with tempfile.TemporaryDirectory() as work:
            try:
                run = run_template if name in template_names() else run_one
                problems = run(name, args, work).problems
            except Exception as error:  # a fault of the check itself is a failure of this workflow, not of the rest
                problems = [f"{type(error).__name__}: {error}"]
        print("ok  " if not problems else "FAIL", name)
        for problem in problems:
            print("     ", problem)
        passed, failed = passed + (not problems), failed + bool(problems)
    for title, run in whole:
        if args.names and title not in args.names:
            continue
        with tempfile.TemporaryDirectory() as work:
            problems = run(args, work).problems
        print("ok  " if not problems else "FAIL", title)
        for problem in problems:
            print("     ", problem)
        passed, failed = passed + (not problems), failed + bool(problems)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
