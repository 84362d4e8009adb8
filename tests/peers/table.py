"""Makes a table of the medians that the load driver prints as JSON lines."""

import json
import sys

medians = [line for line in map(json.loads, sys.stdin) if line["round"] == "median"]
floor = {(line["work"], line["concurrency"]): line for line in medians if line["mode"] == "bare"}
proxy = {(line["work"], line["concurrency"]): line for line in medians if line["mode"] == "proxy"}


def ratio(line, other):
    return f"{line['runs_per_s'] / other['runs_per_s']:.2f}" if other and other["runs_per_s"] else "-"


print(f"{'work':5} {'at once':>7} {'who':15} {'runs/s':>8} {'of bare':>8} {'of proxy':>8} {'p50 ms':>8} {'p99 ms':>8} {'CPU s/1,000':>11} {'ComfyUI CPU s/1,000':>20} {'lost':>5}")
for line in medians:
    key = (line["work"], line["concurrency"])
    print(
        f"{line['work']:5} {line['concurrency']:7} {line['mode']:15} {line['runs_per_s']:8.0f} {ratio(line, floor.get(key)):>8} {ratio(line, proxy.get(key)):>8}"
        f" {line['p50_us'] / 1000:8.2f} {line['p99_us'] / 1000:8.2f} {line['server_cpu_s_per_1000']:11.3f} {line['comfyui_cpu_s_per_1000']:20.3f} {line['lost']:5.0f}"
    )
