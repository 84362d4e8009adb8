/** A real OpenSSH server on loopback, with keys of its own, which lets the present user in. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { kill } from 'node:process';
import { until } from './server.mjs';

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

const answers = (port) => new Promise((resolve) => {
  const socket = connect(port, '127.0.0.1', () => { socket.destroy(); resolve(true); }).on('error', () => resolve(false));
});

/** Starts one. `home` is what comfyd's user has: its key, and nothing that is known of hosts. */
export async function startSshd() {
  const folder = mkdtempSync(join(tmpdir(), 'comfyd-sshd-'));
  const home = join(folder, 'home');
  mkdirSync(join(home, '.ssh'), { recursive: true, mode: 0o700 });
  const key = (path) => {
    for (const old of [path, `${path}.pub`]) rmSync(old, { force: true });
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-C', '', '-N', '', '-f', path]);
  };
  key(join(folder, 'host'));
  key(join(home, '.ssh/id_ed25519'));
  writeFileSync(join(folder, 'authorized_keys'), readFileSync(join(home, '.ssh/id_ed25519.pub')));
  // Whoever runs it as root needs the folder that it gives up its rights in.
  if (userInfo().uid === 0 && !existsSync('/run/sshd')) mkdirSync('/run/sshd');
  const port = await freePort();
  const config = join(folder, 'sshd_config');
  writeFileSync(config, [`Port ${port}`, 'ListenAddress 127.0.0.1', `HostKey ${folder}/host`, 'PidFile none', `AuthorizedKeysFile ${folder}/authorized_keys`, 'StrictModes no', 'UsePAM no', 'PasswordAuthentication no', 'KbdInteractiveAuthentication no', 'PermitRootLogin yes', 'AllowTcpForwarding yes', 'Subsystem sftp internal-sftp', 'UseDNS no', ''].join('\n'));
  let process;
  const up = async () => {
    process = spawn('/usr/sbin/sshd', ['-D', '-f', config, '-E', join(folder, 'log')], { stdio: 'ignore' });
    await until('sshd', () => answers(port));
  };
  /** A session is a process below it, and one more below that. */
  const below = (pid) => {
    const found = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
    return found.flatMap((child) => [...below(child), child]);
  };
  const down = async () => {
    if (process.exitCode !== null) return;
    for (const session of below(process.pid)) {
      try {
        kill(session, 'SIGKILL');
      } catch {
        // It has ended meanwhile.
      }
    }
    const over = once(process, 'exit');
    process.kill('SIGKILL');
    await over;
  };
  await up();
  return {
    home, port,
    command: `ssh -p ${port} ${userInfo().username}@127.0.0.1`,
    fingerprint: () => execFileSync('ssh-keygen', ['-lf', join(folder, 'host.pub')], { encoding: 'utf8' }).split(' ')[1],
    /** The machine was made anew: it shows another key. */
    renew: async () => {
      await down();
      key(join(folder, 'host'));
      await up();
    },
    end: async () => {
      await down();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
