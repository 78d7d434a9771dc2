import { type ChildProcess, execFileSync } from "node:child_process";
import { lstatSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { start } from "./program";

/** The accounts on every host: the one that the key opens, and a stranger. */
export const USERS = { ubuntu: 51000, stranger: 51001 };

/** Ends a program when the one that started it ends, however it ends: nothing is left behind after a crash. */
const ENDS_WITH_PARENT = ["setpriv", "--pdeathsig", "KILL"];

/** Gives a program a world of processes of its own, so that all that it started ends with it. */
const OWN_PROCESSES = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"];

/** How much a host's disk takes, in MiB. */
const DISK_SIZE = 16;

const FILLER = "filler";

/**
 * Everything below happens in a network and a mount namespace: accounts, addresses and homes are the hosts' alone,
 * and are gone with the last process.
 */
const NETWORK_SCRIPT = `
ip link set lo up
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir -p /run/sshd /run/hosts
cp -a /etc /run/etc
cd /run/etc
for file in passwd shadow group; do
  sed -i -E '/^(ubuntu|stranger):/d' $file
done
echo 'ubuntu:x:${USERS.ubuntu}:${USERS.ubuntu}::/home/ubuntu:/bin/sh' >> passwd
echo 'stranger:x:${USERS.stranger}:${USERS.stranger}::/:/bin/sh' >> passwd
# A star, not an exclamation mark: sshd without PAM refuses locked accounts.
echo 'ubuntu:*:20000:0:99999:7:::' >> shadow
echo 'ubuntu:x:${USERS.ubuntu}:' >> group
echo 'stranger:x:${USERS.stranger}:' >> group
# As Ubuntu's images have it.
mkdir -p sudoers.d etcd
echo 'ubuntu ALL=(ALL) NOPASSWD:ALL' > sudoers.d/90-cloud-init-users
chmod 0440 sudoers.d/90-cloud-init-users
cd /
mount --bind /run/etc /etc
mount -t tmpfs -o mode=0755 tmpfs /home
mkdir /home/ubuntu
echo ready
exec sleep infinity
`;

/** A host's disk, made when it is new. */
const DISK_SCRIPT = `
mkdir -p "$1/home" "$1/lib" "$1/etcd"
mountpoint -q "$1/home" || mount -t tmpfs -o size=${DISK_SIZE}m tmpfs "$1/home"
`;

/** What a host is started with: its disk at its home and where part 2 writes, a /tmp of its own, and sshd. */
const HOST_SCRIPT = `
chown ${USERS.ubuntu}:${USERS.ubuntu} "$1/home"
# As on Ubuntu up to 20.04, where others may enter: the worst case for what lies in it.
chmod 0755 "$1/home"
# As cloud-init makes it, for the key pair's public key.
install -d -m 0700 -o ${USERS.ubuntu} -g ${USERS.ubuntu} "$1/home/.ssh"
[ -e "$1/host_key" ] || ssh-keygen -q -t ed25519 -N '' -f "$1/host_key"
mount --bind "$1/home" /home/ubuntu
mount --bind "$1/lib" /var/lib
mount --bind "$1/etcd" /etc/etcd
mount -t tmpfs -o mode=1777 tmpfs /tmp
exec /usr/sbin/sshd -D -e -f "$1/sshd_config"
`;

/** What a host is. */
export interface SshHostProps {
  /** Its name, which is also its disk's: a host that is started again under its name finds its files. */
  readonly name: string;
  /** The IPv4 addresses at which it listens. */
  readonly addresses: readonly string[];
  /** The public key that opens the account `ubuntu`, in OpenSSH's format. */
  readonly authorizedKey: string;
}

/** A file on a host. */
export interface FileStatus {
  readonly owner: number;
  /** Permission bits, in octal: `0600`. */
  readonly mode: string;
  readonly inode: number;
  readonly modified: number;
}

/**
 * A network of real ssh hosts on one machine, apart from everything else on it. Needs root, iproute2, util-linux and
 * openssh-server.
 */
export class SshNetwork {
  private constructor(private readonly holder: ChildProcess) {}

  /** Opens an empty network. */
  static async open(): Promise<SshNetwork> {
    const command = [...ENDS_WITH_PARENT, "unshare", "--net", "--mount", "sh", "-ec", NETWORK_SCRIPT];
    const { process: holder, output: log } = start(command);
    await until(() => log().includes("ready"), { what: () => `the network of ssh hosts: ${log()}`, process: holder });
    return new SshNetwork(holder);
  }

  /**
   * What to start a program through so that it is in this network, with the machine's own files. All that it starts
   * ends with it. Signals are for {@link signalInside}.
   */
  get inside(): readonly string[] {
    return [...ENDS_WITH_PARENT, "nsenter", "--target", String(this.holder.pid), "--net", "--", ...OWN_PROCESSES];
  }

  /** Starts a host and waits until it listens. */
  async start(props: SshHostProps): Promise<SshHost> {
    const disk = `/run/hosts/${props.name}`;
    const outside = join(`/proc/${this.holder.pid}/root`, disk);
    this.run("sh", "-ec", DISK_SCRIPT, "sh", disk);
    for (const address of props.addresses) this.run("ip", "address", "replace", `${address}/32`, "dev", "lo");
    writeFileSync(join(outside, "authorized_keys"), props.authorizedKey);
    writeFileSync(join(outside, "sshd_config"), sshdConfig(disk, props.addresses));

    const command = [...ENDS_WITH_PARENT, ...this.within, ...OWN_PROCESSES, "sh", "-ec", HOST_SCRIPT, "sh", disk];
    const { process: sshd, output: log } = start(command);
    const listens = () => log().split("Server listening on").length > props.addresses.length;
    await until(listens, { what: () => `${props.name}: ${log()}`, process: sshd });
    return new SshHost(props, { sshd, log, home: join(outside, "home") });
  }

  /** Removes a host's disk, so that the next of its name is a new machine. */
  wipe(name: string): void {
    const disk = `/run/hosts/${name}`;
    this.run("sh", "-ec", 'umount "$1/home"; rm -rf "$1"', "sh", disk);
  }

  /** What to start a program through so that it is in this network and sees the hosts' disks. */
  private get within(): readonly string[] {
    return ["nsenter", "--target", String(this.holder.pid), "--net", "--mount", "--"];
  }

  private run(...command: readonly string[]): void {
    const [nsenter, ...args] = [...this.within, ...command] as [string, ...string[]];
    execFileSync(nsenter, args);
  }

  /** Ends the network, and every program in it. */
  close(): void {
    for (const pid of this.processes()) killIfThere(pid);
    this.holder.kill("SIGKILL");
  }

  /** The ids of the processes in it, as seen from here; none where it has ended. */
  processes(): number[] {
    const place = placeOf(this.holder.pid as number);
    // What is not apart is everybody's.
    if (place === undefined || place === placeOf(process.pid)) return [];
    const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
    return pids.map(Number).filter((pid) => placeOf(pid) === place);
  }
}

/** A real ssh host: sshd, with a home and a host key of its own. */
export class SshHost {
  /** Its name. */
  readonly name: string;
  private readonly parts: { readonly sshd: ChildProcess; readonly log: () => string; readonly home: string };

  /** Made by {@link SshNetwork.start}. */
  constructor(props: SshHostProps, parts: { sshd: ChildProcess; log: () => string; home: string }) {
    this.name = props.name;
    this.parts = parts;
  }

  /** The home of `ubuntu`, as a path on this machine. */
  get home(): string {
    return this.parts.home;
  }

  /** How often somebody has logged in since it was started. */
  get sessions(): number {
    return this.parts.log().split("Accepted publickey for ubuntu").length - 1;
  }

  /** Every file below the home, by its path from there; without the folder of authorized keys, which each host has. */
  files(): Record<string, FileStatus> {
    const all = readdirSync(this.home, { recursive: true, encoding: "utf8" }).sort();
    const names = all.filter((name) => name !== ".ssh");
    return Object.fromEntries(
      names.map((name) => {
        const { uid, mode, ino, mtimeMs } = lstatSync(join(this.home, name));
        const bits = (mode & 0o7777).toString(8).padStart(4, "0");
        return [name, { owner: uid, mode: bits, inode: ino, modified: mtimeMs }];
      }),
    );
  }

  /** A file below the home. */
  read(name: string): string {
    return readFileSync(join(this.home, name), "utf8");
  }

  /**
   * Starts a stranger on the host who tries, again and again, every half millisecond, to read files of the home, and to
   * write to whatever appears in /tmp and where scripts are.
   * @param names - the paths from the home of the files to read
   * @returns a function that ends the stranger and returns the files that could be opened
   */
  watch(names: readonly string[]): () => Promise<string[]> {
    const stranger = ["setpriv", `--reuid=${USERS.stranger}`, `--regid=${USERS.stranger}`, "--clear-groups"];
    const script = `$| = 1; while (1) { for (@ARGV) { if (open my $f, "<", "/home/ubuntu/$_") { print "$_\\n" } } for (glob "/tmp/* /home/ubuntu/.ssh/* /home/ubuntu/.distribution/*") { if (open my $f, ">>", $_) { print "write $_\\n" } } select undef, undef, undef, 0.0005 }`;
    const within = ["nsenter", "--target", String(this.init), "--mount", "--"];
    const command = [...ENDS_WITH_PARENT, ...within, ...stranger, "perl", "-e", script, ...names];
    const { process: watcher, output: seen, ended } = start(command);
    return async () => {
      if (watcher.exitCode !== null || watcher.signalCode !== null) {
        throw new Error(`the watcher ended by itself: ${seen()}`);
      }
      watcher.kill("SIGKILL");
      await ended;
      return [...new Set(seen().split("\n").filter(Boolean))];
    };
  }

  /** Freezes the host in the middle of whatever it does: connections stay open, and nothing answers. */
  freeze(): void {
    // The listener first, and from outside: a pid namespace protects its first process from those within.
    process.kill(this.init, "SIGSTOP");
    // Where nobody is logged in, there is no other, and kill complains.
    const others = ["sh", "-c", "kill -STOP -1 || :"];
    execFileSync("nsenter", ["--target", String(this.init), "--pid", "--", ...others], { stdio: "ignore" });
  }

  /** Fills the disk to its last byte. */
  fillDisk(): void {
    try {
      writeFileSync(join(this.home, FILLER), Buffer.alloc((DISK_SIZE + 1) * 2 ** 20));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    }
  }

  /** Takes away what {@link fillDisk} wrote. */
  clearDisk(): void {
    rmSync(join(this.home, FILLER));
  }

  /** The listener's process id. */
  private get init(): number {
    return firstProcess(this.parts.sshd);
  }

  /** Stops the host at once, sessions and all. Its disk stays. */
  async stop(): Promise<void> {
    const { sshd } = this.parts;
    if (sshd.exitCode !== null || sshd.signalCode !== null) return;
    const ended = new Promise((resolve) => sshd.once("exit", resolve));
    // With its first process the pid namespace ends; unshare then sees to the remains.
    process.kill(this.init, "SIGKILL");
    await ended;
  }
}

/** Sends a signal to a program that was started through {@link SshNetwork.inside}. */
export function signalInside(program: ChildProcess, signal: NodeJS.Signals): void {
  process.kill(firstProcess(program), signal);
}

/** The network namespace of a process; undefined where it has ended. */
function placeOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined;
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended since the list was made, perhaps with another of the list.
  }
}

/**
 * The first in a world of processes of their own, as seen from here.
 * @throws Error where it has ended: no signal may go to process 0, which means one's own group
 */
function firstProcess({ pid }: ChildProcess): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  const first = Number.parseInt(children, 10);
  if (!(first > 1)) throw new Error(`process ${pid} has ended`);
  return first;
}

function sshdConfig(disk: string, addresses: readonly string[]): string {
  return [
    ...addresses.map((address) => `ListenAddress ${address}:22`),
    `HostKey ${disk}/host_key`,
    `AuthorizedKeysFile ${disk}/authorized_keys`,
    "AllowUsers ubuntu",
    "PasswordAuthentication no",
    "UsePAM no",
    // scp of today goes through it, as on Ubuntu's images.
    "Subsystem sftp internal-sftp",
    "PidFile none",
    "LogLevel VERBOSE",
    "",
  ].join("\n");
}

/**
 * Waits for something, looking often.
 * @param waiting.seconds - for how long @default 20
 * @throws Error after that, or when the program it hangs on has ended
 */
export async function until(
  happened: () => boolean,
  waiting: { what: () => string; process?: ChildProcess; seconds?: number },
): Promise<void> {
  const deadline = Date.now() + (waiting.seconds ?? 20) * 1000;
  while (!happened()) {
    const ended = waiting.process?.exitCode ?? null;
    if (ended !== null || Date.now() > deadline) throw new Error(`did not happen: ${waiting.what()}`);
    await sleep(2);
  }
}
