"""Names that lead somewhere: half of the requests ask for the runs and the batch that were made before."""

import json
import os

import schemathesis

# What this version cannot do is 501, which schemathesis takes for a fault of the server; a test of ours looks at it.
NOT_YET = ["ssh_connection"]
KNOWN = json.load(open(os.environ["COMFYD_CONTRACT"]))
turn = 0


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    global turn
    turn += 1
    if path_parameters and turn % 2:
        path = context.operation.path
        if "/batches/" in path:
            path_parameters["id"] = KNOWN["batch"]
        elif "/runs/" in path or "/workflow/" in path:
            path_parameters["id"] = KNOWN["run"] if turn % 4 == 1 else KNOWN["workflow"]
        if "n" in path_parameters:
            path_parameters["n"] = 1
    return path_parameters


@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict):
        for name in NOT_YET:
            body.pop(name, None)
    return body
