"""Compares graphs: what comfyd makes of a canvas file against what ComfyUI's page makes of it."""

import json
import math


def same(a, b):
    """Whether JavaScript takes two values for the same: numbers are floats there."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return float(a) == float(b) or (math.isnan(float(a)) and math.isnan(float(b)))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    return a == b


def differences(ours, theirs, classes):
    """Each difference as a line.

    A node without a title of its own is called what the class says; the page may say it in the words of its own dictionary.
    """
    theirs = {node: own_title(entry, ours.get(node), classes) for node, entry in theirs.items()}
    found = []
    for node in sorted(ours.keys() | theirs.keys()):
        if node not in ours:
            found.append(f"node {node} ({theirs[node].get('class_type')}): missing")
        elif node not in theirs:
            found.append(f"node {node} ({ours[node].get('class_type')}): not in the page's graph")
        else:
            found.extend(node_differences(node, ours[node], theirs[node]))
    if not found and json_order(ours) != json_order(theirs):
        found.append("order of keys: " + first_disorder(ours, theirs))
    return found


def own_title(theirs, ours, classes):
    entry = classes.get(theirs.get("class_type"), {})
    title = (ours or {}).get("_meta", {}).get("title")
    if title not in (entry.get("display_name"), entry.get("name"), theirs.get("class_type")):
        return theirs
    return {**theirs, "_meta": {**theirs.get("_meta", {}), "title": title}}


def node_differences(node, ours, theirs):
    for field in ("class_type", "_meta"):
        if not same(ours.get(field), theirs.get(field)):
            yield f"node {node}: {field} is {ours.get(field)!r}, the page has {theirs.get(field)!r}"
    mine, other = ours.get("inputs", {}), theirs.get("inputs", {})
    for name in sorted(mine.keys() | other.keys()):
        if name not in mine:
            yield f"node {node} ({theirs.get('class_type')}): {name} is missing, the page has {short(other[name])}"
        elif name not in other:
            yield f"node {node} ({theirs.get('class_type')}): {name} is {short(mine[name])}, the page has none"
        elif not same(mine[name], other[name]):
            yield f"node {node} ({theirs.get('class_type')}): {name} is {short(mine[name])}, the page has {short(other[name])}"


def json_order(graph):
    return [(node, list(entry.get("inputs", {}))) for node, entry in graph.items()]


def first_disorder(ours, theirs):
    for mine, other in zip(json_order(ours), json_order(theirs)):
        if mine != other:
            return f"{mine} and not {other}"
    return ""


def short(value):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else text[:97] + "..."
