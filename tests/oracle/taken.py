"""Whether a real ComfyUI takes what comfyd made of canvas files: no node_errors, once files lie under the names of the models.

  taken.py --url COMFYUI --base DIR --ours DIR --page DIR

--base is the folder of the ComfyUI at URL, whose queue is emptied; --ours and --page hold what comfyd and ComfyUI's page made of the same files, as run.py leaves it. A file of a
newer ComfyUI may name what this one has not: it must be refused for the page's graph in the same words then. Files that have to be there are made empty, and taken
away afterwards: the instance reads them only when it runs a graph, and each is taken back out of the queue at once.
"""

import argparse
import json
import pathlib
import sys
import urllib.error
import urllib.request

# Where the choices of an input come from, by its name; the class decides where a name means several things.
FOLDERS = {
    "ckpt_name": "checkpoints", "vae_name": "vae", "lora_name": "loras", "unet_name": "diffusion_models", "control_net_name": "controlnet",
    "style_model_name": "style_models", "hypernetwork_name": "hypernetworks", "gligen_name": "gligen", "audio_encoder_name": "audio_encoders",
}
FOLDERS |= {name: "text_encoders" for name in ("clip_name", "clip_name1", "clip_name2", "clip_name3", "clip_name4", "text_encoder")}
FOLDERS_OF = {
    ("CLIPVisionLoader", "clip_name"): "clip_vision", ("UpscaleModelLoader", "model_name"): "upscale_models",
    ("ModelPatchLoader", "name"): "model_patches", ("ImageOnlyCheckpointLoader", "ckpt_name"): "checkpoints",
    ("LatentUpscaleModelLoader", "model_name"): "latent_upscale_models",
}
INPUTS = {"image", "audio", "video", "file", "model_file", "latent"}


def ask(url, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Content-Type": "application/json"} if data else {})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        text = error.read()
    return json.loads(text) if text else {}


def folder_of(kind, name):
    if (kind, name) in FOLDERS_OF:
        return pathlib.Path("models", FOLDERS_OF[kind, name])
    if name in FOLDERS:
        return pathlib.Path("models", FOLDERS[name])
    return pathlib.Path("input") if name in INPUTS else None


def files_of(graph, classes):
    """The files that the graph names and that are not there, and what is named for which no folder is known."""
    files, unknown = set(), []
    for node, entry in graph.items():
        declared = classes.get(entry["class_type"], {}).get("input", {})
        for name, spec in {**declared.get("required", {}), **declared.get("optional", {})}.items():
            value = entry["inputs"].get(name)
            options = spec[1] if len(spec) > 1 and isinstance(spec[1], dict) else {}
            choices = spec[0] if isinstance(spec[0], list) else options.get("options") if spec[0] == "COMBO" else None
            if not isinstance(value, str) or not isinstance(choices, list) or value in choices:
                continue
            folder = folder_of(entry["class_type"], name)
            # Choices that are no files are those of the class, and the graph has another: that is for the instance to say.
            if folder is None:
                if "." in value:
                    unknown.append(f"node {node} ({entry['class_type']}): {name} names {value}")
            else:
                files.add(folder / value)
    return files, unknown


def refusal(answer):
    """What the instance has against a graph, in a line each."""
    if "prompt_id" in answer and not answer.get("node_errors"):
        return []
    lines = []
    for node, errors in (answer.get("node_errors") or {}).items():
        lines += [f"node {node} ({errors['class_type']}): {error['type']}: {error['details'][:160]}" for error in errors["errors"]]
    return lines or [str(answer.get("error"))[:300]]


def posted(url, graph):
    """Posts a graph and takes it back; what the instance had against it."""
    why = refusal(ask(url, "/prompt", {"prompt": graph}))
    ask(url, "/queue", {"clear": True})
    ask(url, "/interrupt", {})
    return why


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--base", type=pathlib.Path, required=True)
    parser.add_argument("--ours", type=pathlib.Path, required=True)
    parser.add_argument("--page", type=pathlib.Path, required=True)
    options = parser.parse_args()
    classes = ask(options.url, "/object_info")
    graphs = {path.name: json.loads(path.read_text()).get("output") for path in sorted(options.ours.glob("*.json"))}
    made, unknown = [], []
    taken = refused = newer = 0
    try:
        for graph in filter(None, graphs.values()):
            files, more = files_of(graph, classes)
            unknown += more
            for file in sorted(options.base / file for file in files):
                if not file.exists():
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(b"")
                    made.append(file)
        for name, graph in graphs.items():
            if graph is None:
                continue
            why = posted(options.url, graph)
            if why and why == posted(options.url, json.loads((options.page / name).read_text())["output"]):
                newer += 1
                print(f"refused, as what the page makes of it: {name}: {why[0]}")
                continue
            taken, refused = taken + (not why), refused + bool(why)
            if why:
                print(f"refused: {name}")
                for line in why[:4]:
                    print(f"    {line}")
    finally:
        for file in made:
            file.unlink()
    for line in unknown:
        print(f"no folder is known: {line}")
    print(f"{taken} graphs are taken without a word, {newer} name what this ComfyUI has not, {refused} are refused; {len(made)} empty files lay under the names of models and inputs")
    return 1 if refused or not taken else 0


if __name__ == "__main__":
    sys.exit(main())
