#!/usr/bin/env python3
"""Holds comfyd's conversion against ComfyUI's own page.

  run.py --work DIR --convert PROGRAM --url COMFYUI [--docs FILE] [--goldens DIR] [--update]

Installs the page and the official templates from PyPI and playwright-core from npm into DIR, asks the ComfyUI at URL for its classes, lets
the page (see ask.mjs) and comfyd convert every template whose nodes are known, and prints how they compare; see taken.py for --base. --docs gets the table;
--goldens are hand-made cases with the page's answers beside them, which --update writes anew.
"""

import argparse
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import urllib.request

import compare

HERE = pathlib.Path(__file__).resolve().parent
PYPI = ["comfyui-frontend-package==1.58.1", "comfyui-workflow-templates-json==0.1.123"]
NPM = ["playwright-core@1.65.1"]
VIRTUAL = {"Reroute", "PrimitiveNode", "Note", "MarkdownNote"}
# What comfyd says when it knowingly does something else than the page. What it says of an input explains that input only.
FAULTS = {"inner_subgraph_off", "primitive_handed_on", "control_not_saved", "group_node"}
FAULTS_OF_INPUTS = {"input_gone"}
# Faults of the page that no warning names, by file.
NAMED_FAULTS = {
    "api_seedance2_0_r2v_real_human.json": "inputs of a kind with widgets grow while their values are set: the page makes one of them twice (asset_2#1)",
}


def install(work):
    venv = work / "venv"
    if not (venv / "bin/python").exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run([venv / "bin/pip", "install", "-q", "--disable-pip-version-check", *PYPI], check=True)
    if not (work / "node_modules/playwright-core").exists():
        (work / "package.json").write_text("{}\n")
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", *NPM], cwd=work, check=True)
    packages = next((venv / "lib").glob("python3*")) / "site-packages"
    return packages / "comfyui_frontend_package/static", packages / "comfyui_workflow_templates_json/templates"


def known(info, templates):
    for path in sorted(templates.glob("*.json")):
        workflow = json.loads(path.read_text())
        if not isinstance(workflow, dict) or "nodes" not in workflow:
            continue
        graphs = [workflow, *workflow.get("definitions", {}).get("subgraphs", [])]
        subgraphs = {graph["id"] for graph in graphs[1:]}
        if all(node["type"] in info or node["type"] in subgraphs | VIRTUAL for graph in graphs for node in graph["nodes"]):
            yield path


def both(options, info_path, files, out):
    """Lets the page and comfyd convert, and gives their answers by file."""
    page, ours = out / "page" / asked_for(info_path, files), out / "comfyd"
    if options.fresh or options.update:
        shutil.rmtree(page, ignore_errors=True)
    todo = [path for path in files if not (page / path.name).exists()]
    for start in range(0, len(todo), 100):
        # It ends with 1 if the page failed for some, which is counted below.
        subprocess.run(
            ["node", HERE / "ask.mjs", "--frontend", options.frontend, "--object-info", info_path, "--modules", options.work, "--out", page,
             *todo[start:start + 100]],
            check=False,
        )
    subprocess.run([options.convert, info_path, ours, *files], check=True)
    for path in files:
        answer = page / path.name
        told = json.loads(answer.read_text()) if answer.exists() else {"error": "it gave no answer"}
        yield path, json.loads((ours / path.name).read_text()), told


def asked_for(info_path, files):
    """What the answers of the page rest on, as a name: it is asked again when something of that is another."""
    parts = [" ".join(PYPI + NPM).encode(), *(path.read_bytes() for path in [HERE / "ask.mjs", info_path, *files])]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:16]


def is_explained(difference, warnings):
    """Whether a warning names the node of a difference, or a node around it; one of an input names that input too."""
    node = difference.removeprefix("node ").split(" ")[0].rstrip(":")
    for warning in warnings:
        path = warning.get("node") or ""
        if warning["code"] in FAULTS and (node == path or node.startswith(f"{path}:")):
            return True
        name = warning["text"].split("`")[1] if "`" in warning["text"] else None
        if warning["code"] in FAULTS_OF_INPUTS and node == path and f"): {name} " in difference:
            return True
    return False


def judge(info, ours, page, name):
    """How the two compare, with the reasons."""
    if "error" in page:
        return "failed", [f"the page fails: {page['error']}"]
    if "problems" in ours:
        return "refused", [problem["text"] for problem in ours["problems"]]
    found = compare.differences(ours["output"], page["output"], info)
    if not found:
        return "equal", []
    if found[0].startswith("order of keys"):
        return "equal", []  # Objects of JSON have no order.
    if name in NAMED_FAULTS:
        return "fault", [NAMED_FAULTS[name], *found]
    explained = all(is_explained(difference, ours["warnings"]) for difference in found)
    # A hand-made case of a fault may show it at the nodes behind, too.
    explained |= name.startswith("fault_") and any(warning["code"] in FAULTS for warning in ours["warnings"])
    return ("fault" if explained else "wrong"), found


def measure(options, name, info_path, files, out):
    info = json.loads(info_path.read_text())
    counts = {"equal": 0, "fault": 0, "refused": 0, "wrong": 0, "failed": 0}
    for path, ours, page in both(options, info_path, files, out):
        verdict, reasons = judge(info, ours, page, path.name)
        counts[verdict] += 1
        if verdict != "equal":
            print(f"{verdict}: {path.name}")
            for reason in reasons[:4]:
                print(f"    {reason[:300]}")
    row = f"| {name} | {len(files)} | {counts['equal']} | {counts['fault']} | {counts['refused']} | {counts['wrong']} |"
    print(row)
    return row, counts


def goldens(options):
    """The hand-made cases: what the page answers for each."""
    folder = pathlib.Path(options.goldens)
    info_path = folder / "object_info.json"
    files = sorted((folder / "cases").glob("*.json"))
    row, counts = measure(options, "hand-made cases", info_path, files, options.work / "goldens")
    if options.update:
        (folder / "page").mkdir(exist_ok=True)
        for path in files:
            answer = json.loads((options.work / "goldens/page" / asked_for(info_path, files) / path.name).read_text())
            answer.pop("log", None)
            (folder / "page" / path.name).write_text(json.dumps(answer, indent=1, ensure_ascii=False) + "\n")
    return row, counts


def write_table(path, rows):
    text = pathlib.Path(path).read_text()
    start, rest = text.split("<!-- table: written by ./test.sh oracle -->\n")
    end = rest.split("<!-- end of table -->")[1]
    head = "| corpus | workflows | equal | fault of the page | refused | wrong |\n|---|---:|---:|---:|---:|---:|\n"
    table = "<!-- table: written by ./test.sh oracle -->\n" + head + "\n".join(rows) + "\n<!-- end of table -->"
    pathlib.Path(path).write_text(start + table + end)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--convert", type=pathlib.Path, required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--base", type=pathlib.Path, help="the folder of that ComfyUI: see whether it takes what comfyd made")
    parser.add_argument("--docs")
    parser.add_argument("--goldens")
    parser.add_argument("--update", action="store_true", help="ask the page again, and write what it answers for the hand-made cases")
    parser.add_argument("--fresh", action="store_true", help="ask the page again for what it has answered already")
    options = parser.parse_args()
    options.work = options.work.resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    options.frontend, templates = install(options.work)
    real = options.work / "object_info.json"
    with urllib.request.urlopen(f"{options.url}/object_info", timeout=60) as answer:
        real.write_bytes(answer.read())
    told = options.work / "object_info.told.json"
    subprocess.run([sys.executable, HERE / "classes.py", real, told, *sorted(templates.glob("*.json"))], check=True)
    files = list(known(json.loads(real.read_text()), templates))
    newer = [path for path in known(json.loads(told.read_text()), templates) if path not in files]
    results = [
        measure(options, "official templates, classes of ComfyUI 0.3.75", real, files, options.work / "real"),
        measure(options, "newer official templates, classes told from them", told, newer, options.work / "told"),
    ]
    if options.goldens:
        results.append(goldens(options))
    if options.base:
        taken = [sys.executable, HERE / "taken.py", "--url", options.url, "--base", options.base, "--ours", options.work / "real/comfyd",
                 "--page", options.work / "real/page" / asked_for(real, files)]
        untaken = subprocess.run(taken, check=False).returncode
    else:
        untaken = 0
    if options.docs:
        write_table(options.docs, [row for row, _ in results])
    bad = [counts for _, counts in results if counts["wrong"] or (counts["equal"] + counts["fault"]) * 100 < sum(counts.values()) * 99]
    failed = sum(counts["failed"] for _, counts in results)
    if failed:
        print(f"the page failed for {failed} files, so that nothing can be said of them")
    return 1 if bad or failed or untaken else 0


if __name__ == "__main__":
    sys.exit(main())
