#!/usr/bin/env python3
"""Classes for templates that are newer than the ComfyUI at hand, told from what the templates themselves say of their nodes.

  classes.py OBJECT_INFO OUT TEMPLATE...

Newer files name their widgets and the types of their inputs. From all nodes of a class that OBJECT_INFO does not have a description is
made: widgets in the order in which they were saved, sockets, dynamic combos with the choices that were seen, and groups that grow. Both the
page and comfyd read the result, so that the comparison is fair, whatever the real class is like.
"""

import json
import sys

VIRTUAL = {"Reroute", "PrimitiveNode", "Note", "MarkdownNote"}
CONTROLS = {"fixed", "increment", "decrement", "randomize", "increment-wrap"}
# Their page code adds or removes widgets, so they are written out.
KNOWN = {
    "CustomCombo": {"required": {"choice": ["COMBO", {"options": []}]}},
    "ImageCompare": {
        "required": {"compare_view": ["IMAGECOMPARE", {"socketless": True}]},
        "optional": {"image_a": ["IMAGE", {}], "image_b": ["IMAGE", {}]},
    },
}


def nodes_of(workflow):
    for graph in [workflow, *workflow.get("definitions", {}).get("subgraphs", [])]:
        yield from graph.get("nodes", [])


def widget_spec(kind, values):
    value = next((value for value in values if value is not None), None)
    if kind == "COMBO":
        choices = []
        for seen in values:
            if seen is not None and seen not in choices:
                choices.append(seen)
        return ["COMBO", {"options": choices}]
    if kind is None:
        kind = {bool: "BOOLEAN", int: "INT", float: "FLOAT", str: "STRING"}.get(type(value))
    if kind is None:
        return None
    options = {"multiline": True} if kind == "STRING" and isinstance(value, str) and "\n" in value else {}
    return [kind, options]


def name_values(node):
    """The values in order with the names in order: the named values themselves may be older."""
    names, values = list(node.get("widgets_values_named") or {}), node.get("widgets_values") or []
    if not isinstance(values, list) or len(names) != len(values) or not names:
        return None
    return {**node, "widgets_values_named": dict(zip(names, values))}


def describe(nodes):
    """The inputs of a class by what its nodes have; none if they do not say enough."""
    named = [node for node in map(name_values, nodes) if node]
    widgets_saved = any(node.get("widgets_values") for node in nodes)
    if widgets_saved and not named:
        return None
    kinds, slots = {}, {}
    for node in nodes:
        for slot in node.get("inputs") or []:
            kind = slot["type"] if isinstance(slot["type"], str) else "COMBO"
            (kinds if slot.get("widget") else slots).setdefault(slot["name"], []).append(kind)
    order, values = [], {}
    for node in named:
        previous = None
        for name, value in node["widgets_values_named"].items():
            values.setdefault(name, []).append(value)
            if name not in order:
                order.insert(order.index(previous) + 1 if previous in order else len(order), name)
            previous = name
    combos = {name for name, seen in kinds.items() if "COMFY_DYNAMICCOMBO_V3" in seen}
    required = {}
    previous = None
    for name in order:
        if name.endswith("control_after_generate") and previous and set(map(str, values[name])) <= CONTROLS:
            if previous in required:
                required[previous][1]["control_after_generate"] = True
            continue
        parent = name.rsplit(".", 1)[0]
        if parent in combos or any(name.startswith(f"{combo}.") for combo in combos):
            continue
        if name in combos:
            required[name] = combo_spec(name, nodes, named, combos)
        else:
            spec = widget_spec(kinds.get(name, [None])[0], values[name])
            if spec is None:
                return None
            if name not in kinds:
                spec[1]["socketless"] = True
            required[name] = spec
        previous = name
    sockets = {}
    for name, seen in slots.items():
        if any(name.startswith(f"{combo}.") for combo in combos):
            continue
        if "." in name:
            add_growing(sockets, name, seen)
        else:
            sockets[name] = [seen[0] if len(set(seen)) == 1 else "*", {}]
    return {"required": {**sockets, **required}}


def add_growing(sockets, name, seen):
    group, member = name.rsplit(".", 1)
    prefix = member.rstrip("0123456789")
    entry = sockets.setdefault(group, ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {prefix or "value": [seen[0], {}]}}, "prefix": prefix, "min": 1, "max": 50}}])
    template = entry[1]["template"]
    if prefix == member or "names" in template:
        names = template.setdefault("names", [])
        if member not in names:
            names.append(member)


def combo_spec(combo, nodes, named, combos):
    choices = {}
    for node in named:
        saved = node["widgets_values_named"]
        key = saved.get(combo)
        if not isinstance(key, str):
            continue
        inside = choices.setdefault(key, {})
        kinds = {slot["name"]: slot for slot in node.get("inputs") or []}
        for name, value in saved.items():
            rest = name.removeprefix(f"{combo}.")
            if rest == name or "." in rest:
                continue
            slot = kinds.get(name)
            if slot is None:
                continue  # Left over from another choice.
            if name in combos:
                inside[rest] = combo_spec(name, nodes, [n for n in named if n["widgets_values_named"].get(combo) == key], combos)
                continue
            kind = slot["type"] if isinstance(slot["type"], str) else "COMBO"
            spec = widget_spec(kind, [n["widgets_values_named"].get(name) for n in named])
            if spec:
                inside.setdefault(rest, spec)
        for name, slot in kinds.items():
            rest = name.removeprefix(f"{combo}.")
            if rest != name and "." not in rest and not slot.get("widget"):
                inside.setdefault(rest, [slot["type"], {}])
            elif rest != name and rest.count(".") == 1 and not slot.get("widget") and rest.split(".")[0] not in inside:
                add_growing(inside, rest, [slot["type"]])
    options = [{"key": key, "inputs": {"required": inside}} for key, inside in choices.items()]
    return ["COMFY_DYNAMICCOMBO_V3", {"options": options}]


def main():
    info_path, out, *templates = sys.argv[1:]
    with open(info_path) as file:
        info = json.load(file)
    unknown = {}
    for path in templates:
        with open(path) as file:
            workflow = json.load(file)
        if not isinstance(workflow, dict) or "nodes" not in workflow:
            continue
        subgraphs = {graph["id"] for graph in workflow.get("definitions", {}).get("subgraphs", [])}
        for node in nodes_of(workflow):
            if node["type"] not in info and node["type"] not in subgraphs | VIRTUAL:
                unknown.setdefault(node["type"], []).append(node)
    for name, nodes in unknown.items():
        inputs = KNOWN.get(name) or describe(nodes)
        if inputs is None:
            continue
        outputs = max((node.get("outputs") or [] for node in nodes), key=len)
        info[name] = {
            "input": inputs,
            "output": [slot["type"] if isinstance(slot["type"], str) else "COMBO" for slot in outputs],
            "output_name": [slot["name"] for slot in outputs],
            "output_is_list": [False] * len(outputs),
            "name": name,
            "display_name": name,
            "description": "",
            "category": "told",
            "python_module": "nodes",
            "output_node": not outputs,
        }
    with open(out, "w") as file:
        json.dump(info, file)
    print(f"{len(unknown)} classes of the templates are unknown, {sum(name in info for name in unknown)} of them could be told")


if __name__ == "__main__":
    main()
