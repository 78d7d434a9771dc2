import { type ChildProcess, execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { killProcesses } from "../cloud/namespace";
import { ENDS_WITH_PARENT, firstProcess, OWN_PROCESSES, start, until } from "../cloud/program";
import { Host } from "./host";

/** The user ids of the accounts on every host: `ubuntu`, to which the key logs in, and `stranger`, another user. */
export const USERS = { ubuntu: 51000, stranger: 51001 };

/** The size of a host's disk, in MiB. */
const DISK_SIZE = 16;

/** The name of the file that fills a disk. */
const FILLER = "filler";

/**
 * Starts the network. It runs in a network namespace and a mount namespace, as do all hosts. So only the hosts have these
 * accounts, addresses and home folders, and all of them disappear when the last process ends.
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
# A star and not an exclamation mark, because sshd without PAM refuses locked accounts.
echo 'ubuntu:*:20000:0:99999:7:::' >> shadow
echo 'ubuntu:x:${USERS.ubuntu}:' >> group
echo 'stranger:x:${USERS.stranger}:' >> group
# As in Ubuntu's images.
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

/** Creates a host's disk, unless it exists. */
const DISK_SCRIPT = `
mkdir -p "$1/home" "$1/lib" "$1/etcd"
mountpoint -q "$1/home" || mount -t tmpfs -o size=${DISK_SIZE}m tmpfs "$1/home"
`;

/**
 * Starts a host: mounts its disk at its home folder and at the folders that part 2 writes to, gives it a separate /tmp, and
 * starts sshd.
 */
const HOST_SCRIPT = `
chown ${USERS.ubuntu}:${USERS.ubuntu} "$1/home"
# As on Ubuntu up to 20.04, where other users may enter the folder: the worst case for the files in it.
chmod 0755 "$1/home"
# As cloud-init creates it for the key pair's public key.
install -d -m 0700 -o ${USERS.ubuntu} -g ${USERS.ubuntu} "$1/home/.ssh"
[ -e "$1/host_key" ] || ssh-keygen -q -t ed25519 -N '' -f "$1/host_key"
mount --bind "$1/home" /home/ubuntu
mount --bind "$1/lib" /var/lib
mount --bind "$1/etcd" /etc/etcd
mount -t tmpfs -o mode=1777 tmpfs /tmp
exec /usr/sbin/sshd -D -e -f "$1/sshd_config"
`;

/** The properties of a {@link SshHost}. */
export interface SshHostProps {
  /** The name of the host and of its disk. A host that is started again with the same name has the same files. */
  readonly name: string;
  /** The IPv4 addresses at which the host listens. */
  readonly addresses: readonly string[];
  /** The public key that logs in to the account `ubuntu`, in OpenSSH's format. */
  readonly authorizedKey: string;
}

/**
 * A network of real ssh hosts on one machine, separate from everything else on it. It needs root, iproute2, util-linux and
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
   * A command prefix that starts a program in this network, with the machine's own files. All processes that it starts end
   * with it. To send it a signal, use {@link signalInside}.
   */
  get inside(): readonly string[] {
    return [...ENDS_WITH_PARENT, "nsenter", "--target", String(this.holder.pid), "--net", "--", ...OWN_PROCESSES];
  }

  /** Starts a host, and waits until it listens. */
  async start(props: SshHostProps): Promise<SshHost> {
    const disk = `/run/hosts/${props.name}`;
    const outside = join(`/proc/${this.holder.pid}/root`, disk);
    this.run("sh", "-ec", DISK_SCRIPT, "sh", disk);
    for (const address of props.addresses) this.run("ip", "address", "replace", `${address}/32`, "dev", "lo");
    writeFileSync(join(outside, "authorized_keys"), props.authorizedKey);
    writeFileSync(join(outside, "sshd_config"), sshdConfig(disk, props.addresses));

    const command = [
      ...ENDS_WITH_PARENT,
      ...this.insideWithDisks,
      ...OWN_PROCESSES,
      "sh",
      "-ec",
      HOST_SCRIPT,
      "sh",
      disk,
    ];
    const { process: sshd, output: log } = start(command);
    const listens = () => log().split("Server listening on").length > props.addresses.length;
    await until(listens, { what: () => `${props.name}: ${log()}`, process: sshd });
    return new SshHost(props, { sshd, log, home: join(outside, "home") });
  }

  /** Deletes a host's disk. The next host with its name is then a new machine. */
  wipe(name: string): void {
    const disk = `/run/hosts/${name}`;
    this.run("sh", "-ec", 'umount "$1/home"; rm -rf "$1"', "sh", disk);
  }

  /** A command prefix that starts a program in this network, with the hosts' disks. */
  private get insideWithDisks(): readonly string[] {
    return ["nsenter", "--target", String(this.holder.pid), "--net", "--mount", "--"];
  }

  private run(...command: readonly string[]): void {
    const [nsenter, ...args] = [...this.insideWithDisks, ...command] as [string, ...string[]];
    execFileSync(nsenter, args);
  }

  /** Ends the network, and every program in it. */
  close(): void {
    killProcesses(`/proc/${this.holder.pid}/ns/net`);
    this.holder.kill("SIGKILL");
  }
}

/** A real ssh host: sshd with its own home folder and host key. */
export class SshHost extends Host {
  readonly ubuntu = USERS.ubuntu;
  /** The host's name. */
  readonly name: string;
  private readonly parts: { readonly sshd: ChildProcess; readonly log: () => string; readonly home: string };

  /** Only {@link SshNetwork.start} calls it. */
  constructor(props: SshHostProps, parts: { sshd: ChildProcess; log: () => string; home: string }) {
    super();
    this.name = props.name;
    this.parts = parts;
  }

  /** The home folder of `ubuntu`, as a path on this machine. */
  get home(): string {
    return this.parts.home;
  }

  /** The number of logins since the host was started. */
  get sessions(): number {
    return this.parts.log().split("Accepted publickey for ubuntu").length - 1;
  }

  /**
   * Starts a program on the host as another user. Every half millisecond, it tries to read files in the home folder, and to
   * write to every file in /tmp, `.ssh` and `.distribution`, where scripts are.
   * @param names - the paths of the files to read, in the home folder
   * @returns a function that ends the program and returns the files that it could open
   */
  watch(names: readonly string[]): () => Promise<string[]> {
    const asStranger = ["setpriv", `--reuid=${USERS.stranger}`, `--regid=${USERS.stranger}`, "--clear-groups"];
    // It ends with this process: the signal for a parent's death does not survive the change of user.
    const script = `$| = 1; my $parent = getppid; while (getppid == $parent) { for (@ARGV) { if (open my $f, "<", "/home/ubuntu/$_") { print "$_\\n" } } for (glob "/tmp/* /home/ubuntu/.ssh/* /home/ubuntu/.distribution/*") { if (open my $f, ">>", $_) { print "write $_\\n" } } select undef, undef, undef, 0.0005 }`;
    const onHost = ["nsenter", "--target", String(this.init), "--mount", "--"];
    const command = [...ENDS_WITH_PARENT, ...onHost, ...asStranger, "perl", "-e", script, ...names];
    const { process: watcher, output, ended } = start(command);
    return async () => {
      if (watcher.exitCode !== null || watcher.signalCode !== null) {
        throw new Error(`the watching program ended too early: ${output()}`);
      }
      watcher.kill("SIGKILL");
      await ended;
      return [...new Set(output().split("\n").filter(Boolean))];
    };
  }

  /** Freezes the host's processes: connections stay open, and the host does not answer. */
  freeze(): void {
    // The listener first, and from outside: a pid namespace protects its first process from signals of the others.
    process.kill(this.init, "SIGSTOP");
    // Without logins there is no other process, and kill fails.
    const others = ["sh", "-c", "kill -STOP -1 || :"];
    execFileSync("nsenter", ["--target", String(this.init), "--pid", "--", ...others], { stdio: "ignore" });
  }

  /** Fills the disk completely. */
  fillDisk(): void {
    try {
      writeFileSync(join(this.home, FILLER), Buffer.alloc((DISK_SIZE + 1) * 2 ** 20));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    }
  }

  /** Deletes the file that {@link fillDisk} wrote. */
  clearDisk(): void {
    rmSync(join(this.home, FILLER));
  }

  /** The process id of the listener, which is the first process in the host's namespace. */
  private get init(): number {
    return firstProcess(this.parts.sshd);
  }

  /** Stops the host and its sessions at once. The host keeps its disk. */
  async stop(): Promise<void> {
    const { sshd } = this.parts;
    if (sshd.exitCode !== null || sshd.signalCode !== null) return;
    const ended = new Promise((resolve) => sshd.once("exit", resolve));
    // The pid namespace ends with its first process. unshare then ends too.
    process.kill(this.init, "SIGKILL");
    await ended;
  }
}

function sshdConfig(disk: string, addresses: readonly string[]): string {
  return [
    ...addresses.map((address) => `ListenAddress ${address}:22`),
    `HostKey ${disk}/host_key`,
    `AuthorizedKeysFile ${disk}/authorized_keys`,
    "AllowUsers ubuntu",
    "PasswordAuthentication no",
    "UsePAM no",
    // As in Ubuntu's images. Current versions of scp use it.
    "Subsystem sftp internal-sftp",
    "PidFile none",
    "LogLevel VERBOSE",
    "",
  ].join("\n");
}
