"""`comfyd run --ssh` through a real sshd in front of a real ComfyUI: from a machine that nobody knows to outputs."""
import getpass
import json
import os
import shutil
import socket
import subprocess
import time

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start_sshd(work):
    """An sshd with keys and settings of its own; gives the process, its port, its host key's fingerprint and its log."""
    folder = os.path.join(work, "sshd")
    home = os.path.join(work, ".ssh")
    os.makedirs(folder)
    os.makedirs(home, mode=0o700)
    os.makedirs("/run/sshd", exist_ok=True) if os.geteuid() == 0 else None
    for path in (os.path.join(folder, "host"), os.path.join(home, "id_ed25519")):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True, stdin=subprocess.DEVNULL)
    shutil.copy(os.path.join(home, "id_ed25519.pub"), os.path.join(folder, "authorized_keys"))
    port, log = free_port(), os.path.join(folder, "log")
    with open(os.path.join(folder, "config"), "w") as file:
        file.write(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nAuthorizedKeysFile {folder}/authorized_keys\n"
            f"StrictModes no\nUsePAM no\nPermitRootLogin yes\nSubsystem sftp internal-sftp\nLogLevel VERBOSE\nSetEnv HOME={folder}\n"
        )
    process = subprocess.Popen([SSHD, "-D", "-f", os.path.join(folder, "config"), "-E", log], stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("sshd does not start")
        time.sleep(0.05)
    told = subprocess.run(["ssh-keygen", "-lf", os.path.join(folder, "host.pub")], capture_output=True, text=True, check=True)
    return process, port, told.stdout.split()[1], log


def listening(pid):
    """The lines of `ss -ltn` that are of this process."""
    told = subprocess.run(["ss", "-ltnp"], capture_output=True, text=True, check=True)
    return [line for line in told.stdout.splitlines() if f"pid={pid}," in line]


def over_ssh(args, work, check, workflow):
    sshd, port, fingerprint, log = start_sshd(work)
    env = dict(os.environ, HOME=work)
    env.pop("SSH_AUTH_SOCK", None)
    data, to = os.path.join(work, "data"), os.path.join(work, "copies")
    connection = f"ssh -p {port} {getpass.getuser()}@127.0.0.1"
    run = subprocess.Popen(
        [args.comfyd, "run", workflow, "--ssh", connection, "--comfyui-port", args.url.rsplit(":", 1)[1], "--output-dir", to, "--data-dir", data, "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
    )
    tool = lambda *words: subprocess.run([args.comfyd, *words, "--data-dir", data], capture_output=True, text=True, timeout=120, env=env)
    view, ports, trusted = None, None, False
    try:
        for line in run.stdout:
            view = json.loads(line)
            attention = view.get("attention") or {}
            if attention.get("kind") == "host_key_unknown" and not trusted:
                check.that(fingerprint in attention["message"], f"the attention does not show {fingerprint}: {attention['message']}")
                done = tool("instances", "trust", view["instance"], "--fingerprint", fingerprint)
                check.that(done.returncode == 0, f"trust: {done.stderr}")
                trusted = True
            if view.get("phase") == "running" and ports is None:
                ports = listening(run.pid)
        code = run.wait(timeout=120)
        check.that(code == 0, f"exit code {code}: {run.stderr.read()[-1000:]}")
        check.that(trusted, "the run did not wait for the host key")
        check.that(ports is not None and len(ports) == 1, f"comfyd listens at {ports}, not at its own port alone")
        check.that(view["status"] == "completed", f"status {view['status']}: {view['error']}")
        check.that(view["outputs"] and all(output["downloaded"] for output in view["outputs"]), f"outputs: {view['outputs']}")
        check.that(os.path.isdir(to) and os.listdir(to), "no copies of the outputs")
        with open(log) as file:
            check.that("subsystem 'sftp'" in file.read(), "no file transfer was begun, though the output folder can be known")
        return view
    finally:
        run.kill()
        sshd.kill()
        sshd.wait()
