//! What a machine tells of the `ComfyUI` that runs on it.
//!
//! Invariants: the script is constant and changes nothing; what it needs to know comes by its standard input, and noise of start-up files before its
//! first word is passed over.

use bytes::Bytes;

use super::error::SshError;
use super::session::Session;

/// The word that the script begins with.
const MARK: &str = "comfyd-probe-1";

/// Reads a port. Tells the boot of the machine, the process that listens on the port with its beginning, folder and arguments, and free disk space
/// there. It has no single quotes, so that it is one word for any shell, and begins few programs, whatever else runs on the machine.
const SCRIPT: &str = r#"exec /bin/sh -c '
read -r port
echo comfyd-probe-1
echo "boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)"
hex=$(printf %04X "$port")
inode=
seen=
for table in /proc/net/tcp /proc/net/tcp6; do
  [ -r "$table" ] || continue
  seen=1
  while read -r sl local remote state queues timer again uid wait found rest; do
    case "$state:$local" in 0A:*:"$hex") inode=$found; break;; esac
  done < "$table"
  [ -n "$inode" ] && break
done
[ -n "$inode" ] || { [ -n "$seen" ] && echo none=port; exit 0; }
echo "socket=$inode"
pid=$(ls -l /proc/[0-9]*/fd 2>/dev/null | sed -n "/^\/proc\//h;/socket:\[$inode\]\$/{g;s,^/proc/\([0-9]*\)/fd:\$,\1,p;q;}")
[ -n "$pid" ] || { echo none=process; exit 0; }
stat=$(cat "/proc/$pid/stat" 2>/dev/null)
set -- ${stat##*) }
echo "pid=$pid"
echo "start=${20}"
cwd=$(readlink "/proc/$pid/cwd" 2>/dev/null)
echo "cwd=$cwd"
tr "\\0" "\\n" < "/proc/$pid/cmdline" 2>/dev/null | while IFS= read -r arg; do echo "arg=$arg"; done
df -Pk "${cwd:-/}" 2>/dev/null | tail -n 1 | while read -r fs blocks used free rest; do echo "free=$free"; done
'"#;

/// What was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Whether nothing listens on the port now. Where that cannot be seen it is not said.
    pub down: bool,
    /// The process: the machine's boot, the process, its beginning and its socket. None where that cannot be seen.
    pub process: Option<String>,
    /// The folder that outputs go to, where that can be known.
    pub output_dir: Option<String>,
    /// The folder that inputs are kept in, where that can be known.
    pub input_dir: Option<String>,
    /// Free bytes where the process works.
    pub free: Option<u64>,
}

impl Told {
    /// The same, where this was told before: one that is down for a moment has its folders still.
    pub(super) fn after(self, before: &Self) -> Self {
        if !self.down {
            return self;
        }
        Self { output_dir: before.output_dir.clone(), input_dir: before.input_dir.clone(), ..self }
    }
}

impl Session {
    /// Asks the machine about the process that listens on a port.
    ///
    /// # Errors
    /// If it cannot be asked; that nothing is found is no error.
    pub async fn probe(&self, port: u16) -> Result<Told, SshError> {
        let answer = self.ask(SCRIPT, Bytes::from(format!("{port}\n"))).await?;
        Ok(read(&String::from_utf8_lossy(&answer.out)))
    }
}

fn read(text: &str) -> Told {
    let mut lines = text.lines().skip_while(|line| *line != MARK).skip(1);
    let (mut boot, mut pid, mut start, mut cwd, mut free, mut socket) = (None, None, None, None, None, None);
    let mut down = false;
    let mut args = Vec::new();
    for (name, value) in lines.by_ref().filter_map(|line| line.split_once('=')).filter(|(_, value)| !value.is_empty()) {
        match name {
            "none" => down = value == "port",
            "boot" => boot = Some(value),
            "pid" => pid = Some(value),
            "start" => start = Some(value),
            "socket" => socket = Some(value),
            "cwd" => cwd = Some(value),
            "arg" => args.push(value),
            "free" => free = value.parse::<u64>().ok(),
            _ => {} // A line of an argument that has several.
        }
    }
    // A process that begins anew in its own place keeps its number and its beginning, and not its socket.
    let process = match (boot, pid, start, socket) {
        (Some(boot), Some(pid), Some(start), Some(socket)) => Some(format!("{boot} {pid} {start} {socket}")),
        (None | Some(_), None | Some(_), None | Some(_), None | Some(_)) => None,
    };
    let folder = |option: &str, name: &str| folder(cwd?, &args, option, name);
    Told {
        down,
        process,
        output_dir: folder("--output-directory", "output"),
        input_dir: folder("--input-directory", "input"),
        free: free.map(|kib| kib.saturating_mul(1024)),
    }
}

/// Where `ComfyUI` keeps its files: an option names it, or it lies beside `main.py`.
fn folder(cwd: &str, args: &[&str], option: &str, name: &str) -> Option<String> {
    let of = |option: &str| {
        let glued = args.iter().find_map(|arg| arg.strip_prefix(option)?.strip_prefix('='));
        glued.or_else(|| args.iter().position(|arg| *arg == option).and_then(|at| args.get(at + 1).copied()))
    };
    let main = args.iter().find(|arg| arg.ends_with("main.py"))?;
    let absolute =
        |path: &str| if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", cwd.trim_end_matches('/')) };
    if let Some(named) = of(option) {
        return Some(absolute(named));
    }
    let base = of("--base-directory").map_or_else(
        || absolute(main.rsplit_once('/').map_or("", |(folder, _)| folder)).trim_end_matches('/').to_owned(),
        absolute,
    );
    Some(format!("{base}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &str) -> Told {
        read(&format!("Welcome to the rental!\nboot=lies\n{MARK}\nboot=b-1\n{lines}"))
    }

    #[test]
    fn what_a_machine_tells() {
        let found = told(
            "socket=5\npid=7\nstart=99\ncwd=/workspace/ComfyUI\narg=python\narg=main.py\narg=--port\narg=18188\nfree=1000\n",
        );
        assert_eq!(found.process.as_deref(), Some("b-1 7 99 5"));
        assert_eq!(found.output_dir.as_deref(), Some("/workspace/ComfyUI/output"));
        assert_eq!((found.input_dir.as_deref(), found.free), (Some("/workspace/ComfyUI/input"), Some(1_024_000)));
        let down = told("none=port\n");
        assert_eq!(down, Told { down: true, ..Told::default() });
        let kept = down.after(&found);
        assert_eq!((kept.process, kept.output_dir, kept.input_dir), (None, found.output_dir.clone(), found.input_dir.clone()));
        // One that is not seen, or whose table is not, may be another one.
        for unseen in [told("socket=5\nnone=process\n"), told("")] {
            assert_eq!(unseen.after(&found), Told::default());
        }
        assert_eq!(read("no mark\nboot=1\npid=2\nstart=3\n"), Told::default());
    }

    #[test]
    fn where_outputs_go() {
        let out = |args: &[&str]| {
            let args: Vec<String> = args.iter().map(|arg| format!("arg={arg}")).collect();
            let args = args.join("\n");
            told(&format!("pid=7\nstart=9\ncwd=/w\n{args}")).output_dir
        };
        assert_eq!(out(&["python", "/opt/ComfyUI/main.py"]).as_deref(), Some("/opt/ComfyUI/output"));
        assert_eq!(out(&["python", "ComfyUI/main.py"]).as_deref(), Some("/w/ComfyUI/output"));
        assert_eq!(out(&["python", "main.py", "--output-directory", "/data/out"]).as_deref(), Some("/data/out"));
        assert_eq!(out(&["python", "main.py", "--output-directory=out"]).as_deref(), Some("/w/out"));
        assert_eq!(out(&["python", "main.py", "--base-directory", "/data"]).as_deref(), Some("/data/output"));
        assert_eq!(out(&["comfyd-tests"]), None);
    }
}
