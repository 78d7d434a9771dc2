import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ENDS_WITH_PARENT, start } from "../program";
import { createGroups, type Memory, memoryOf, removeGroups } from "./cgroups";
import { prepareDisk } from "./first-boot";

/** The folders of a disk: the layer over the root, and those that cannot be on an overlay or that Kubernetes mounts in. */
const DISK_FOLDERS = ["upper", "work", "root", "containerd", "kubelet", "given"];

/** The name of the file in a machine's folder that says that its first boot is prepared. It is written last. */
const PREPARED = "prepared";

/** The name of the file in a machine's folder that lists its control groups. */
const GROUPS = "cgroups";

/** The name of the file in a machine's folder with the output of the last boot. */
const CONSOLE = "console.log";

/** The name of the file, in the folder of the files that a machine is given, that is its /proc/meminfo. */
const MEMINFO = "meminfo";

/** The pause between two updates of a machine's /proc/meminfo, in milliseconds. */
const MEMINFO_INTERVAL = 1000;

/** The signal at which systemd begins to power off: SIGRTMIN+4, for which Node has no name. */
const POWER_OFF = 34 + 4;

/** The signal at which systemd begins to reboot: SIGRTMIN+5. */
const REBOOT = 34 + 5;

/** The limit of a clean stop, in milliseconds. EC2 has one too, of minutes. */
const STOP_LIMIT = 30_000;

/** The limit of a boot, in seconds. It takes 3 s, and many times longer when many machines boot on two processors. */
const BOOT_LIMIT = 180;

/** The properties of a {@link Machine}. */
export interface MachineProps {
  /** The id of the machine and of its disk: letters, digits and hyphens. A machine with the id of an earlier one has its disk. */
  readonly id: string;
  /** The host name at the first boot, without a domain, such as `ip-172-31-0-10`. */
  readonly hostname: string;
  /** The domain in which names without a dot are looked up, such as `eu-central-1.compute.internal`. */
  readonly domain: string;
  /** The path of the network namespace of the machine, with its interface and routes. */
  readonly namespace: string;
  /** The address of the subnet's resolver. */
  readonly resolver: string;
  /** The memory, in MiB. */
  readonly memoryMiB: number;
  /** The user data, not in base64; honoured at the first boot. See {@link prepareDisk}. */
  readonly userData: string;
  /** The lines of the `authorized_keys` of the account `ubuntu`; written at the first boot. */
  readonly authorizedKeys: readonly string[];
}

/** The properties of {@link Machines}. */
export interface MachinesProps {
  /** The folder of the disks. It must not be on an overlay or a network file system. */
  readonly folder: string;
  /** The root of all machines, from `installRoot`. */
  readonly root: string;
  /** Receives a line for each event of a machine. */
  readonly log: (line: string) => void;
}

/** The reason for which a machine ended: it was shut down, by itself or by {@link Machine.stop}, or it was killed. */
export type End = "poweroff" | "killed";

/**
 * Machines that boot systemd. Each has its own disk, host name, processes, mounts and control groups, and the network
 * namespace that it is given. They all end with this process. They need root, systemd-nspawn and overlayfs.
 */
export class Machines {
  private readonly running = new Map<string, Machine>();

  constructor(private readonly props: MachinesProps) {
    mkdirSync(props.folder, { recursive: true, mode: 0o700 });
  }

  /**
   * Boots a machine. It returns when systemd runs. See {@link Machine.listens} for ssh.
   * @throws Error if the machine runs, or if it ends before systemd runs
   */
  async start(props: MachineProps): Promise<Machine> {
    const { id } = props;
    if (!/^[A-Za-z0-9-]{1,60}$/.test(id))
      throw new Error(`id must be letters, digits and hyphens, got ${JSON.stringify(id)}`);
    if (this.running.has(id)) throw new Error(`machine ${id} runs`);
    const folder = join(this.props.folder, id);
    for (const name of DISK_FOLDERS) mkdirSync(join(folder, name), { recursive: true, mode: 0o755 });
    const log = (line: string) => this.props.log(`${id}: ${line}`);
    if (!existsSync(join(folder, PREPARED))) {
      await prepareDisk(join(folder, "upper"), props, log);
      writeFileSync(join(folder, PREPARED), "");
    }
    writeGivenFiles(join(folder, "given"), props);
    const groups = createGroups(cloudName(this.props.folder), id, props.memoryMiB);
    writeFileSync(join(folder, GROUPS), groups.join("\n"));
    const args = [id, this.props.root, folder, props.namespace, props.hostname, ...groups];
    const console = openSync(join(folder, CONSOLE), "w", 0o600);
    const script = ["unshare", "--mount", "sh", join(__dirname, "start.sh"), ...args];
    const [setpriv, ...rest] = [...ENDS_WITH_PARENT, ...script] as [string, ...string[]];
    const nspawn = spawn(setpriv, rest, { stdio: ["ignore", console, console] });
    closeSync(console);
    const machine = new Machine(id, { nspawn, groups, folder });
    this.running.set(id, machine);
    machine.ended.then((end) => {
      this.running.delete(id);
      log(end === "poweroff" ? "powered off" : "killed");
    });
    await machine.booting();
    return machine;
  }

  /** Deletes the disk of a machine that has ended. The next machine with its id is new. @throws Error if it runs */
  wipe(id: string): void {
    if (this.running.has(id)) throw new Error(`machine ${id} runs`);
    rmSync(join(this.props.folder, id), { recursive: true, force: true });
  }

  /** Ends all machines at once. Their disks remain. */
  async close(): Promise<void> {
    await Promise.all([...this.running.values()].map((machine) => machine.powerOff()));
  }

  /** Deletes the folder with its disks, and what a killed cloud left: control groups. Processes and mounts ended with it. */
  static clean(folder: string): void {
    if (!existsSync(folder)) return;
    for (const id of readdirSync(folder)) {
      const file = join(folder, id, GROUPS);
      if (existsSync(file)) removeGroups(readFileSync(file, "utf8").split("\n").filter(Boolean));
    }
    rmSync(folder, { recursive: true });
  }
}

/** A machine that runs, or has ended. */
export class Machine {
  /** The machine's end. A reboot is not an end. */
  readonly ended: Promise<End>;
  private hasEnded = false;
  private isKilled = false;

  /** Only {@link Machines.start} calls it. */
  constructor(
    readonly id: string,
    private readonly parts: {
      readonly nspawn: ChildProcess;
      readonly groups: readonly string[];
      readonly folder: string;
    },
  ) {
    // Written over its beginning: a reader never sees a part of it.
    const file = openSync(join(parts.folder, "given", MEMINFO), "r+");
    const timer = setInterval(() => writeSync(file, meminfo(this.memory()), 0), MEMINFO_INTERVAL).unref();
    this.ended = new Promise((resolve, reject) => {
      parts.nspawn.once("error", reject);
      parts.nspawn.once("exit", (status) => {
        this.hasEnded = true;
        clearInterval(timer);
        closeSync(file);
        removeGroups(parts.groups);
        resolve(status === 0 && !this.isKilled ? "poweroff" : "killed");
      });
    });
  }

  /** Whether systemd runs: the machine has neither ended, nor is it between the end and the start of a reboot. */
  get isUp(): boolean {
    return this.init !== undefined;
  }

  /** Waits until systemd runs. @throws Error with the machine's last output if it ends before */
  async booting(): Promise<void> {
    await this.until(() => this.init !== undefined, "systemd does not start");
  }

  /**
   * Waits until a program on the machine listens at a TCP port of any address.
   * @param port - the port @default 22, of ssh
   * @throws Error after three minutes, or if the machine has ended
   */
  async listens(port = 22): Promise<void> {
    await this.until(() => this.init !== undefined && isListening(this.init, port), `port ${port} is not open`);
  }

  /**
   * Stops the machine: systemd ends all services. A machine that has not ended after 30 seconds is killed. The promise
   * resolves when the machine has ended.
   */
  async stop(): Promise<void> {
    if (this.init !== undefined) process.kill(this.init, POWER_OFF);
    const timer = setTimeout(() => this.powerOff(), this.init === undefined ? 0 : STOP_LIMIT);
    await this.ended;
    clearTimeout(timer);
  }

  /** Reboots the machine: systemd ends all services, and starts again. It returns at once. */
  reboot(): void {
    if (this.init !== undefined) process.kill(this.init, REBOOT);
  }

  /**
   * Kills all processes of the machine at once, as a power failure does. The kernel of this box closes their connections:
   * to have them unheard, take the machine's interface down first.
   */
  async powerOff(): Promise<void> {
    if (this.hasEnded) return;
    this.isKilled = true;
    // The process namespace ends with its first process.
    const [supervisor] = childrenOf(this.parts.nspawn.pid as number);
    process.kill(supervisor ?? (this.parts.nspawn.pid as number), "SIGKILL");
    await this.ended;
  }

  /** Freezes all processes: connections stay open, and the machine does not answer. {@link powerOff} ends it. */
  freeze(): void {
    // Signals, because a frozen control group of version 1 would survive this process: it does not die by SIGKILL.
    execFileSync("nsenter", [`--target=${this.supervisor}`, "--pid", "--", "kill", "-STOP", "--", "-1"]);
  }

  /**
   * A command prefix that starts a program on the machine, as root. The program ends with its parent. It does not count
   * for the machine's memory.
   * @throws Error if the machine has ended, or between the end and the start of a reboot
   */
  run(command: readonly string[]): string[] {
    const spaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"];
    const environment = ["env", "--ignore-environment", `PATH=${PATH}`, "HOME=/root", "LANG=C.UTF-8"];
    // If nsenter waited, it would stop when a reboot stops all processes, and the machine would wait for it without end.
    const waits = ["sh", "-c", '"$@"; exit $?', "sh"];
    const onMachine = ["nsenter", `--target=${this.first}`, ...spaces, "--no-fork", "--", ...waits];
    return [...ENDS_WITH_PARENT, ...onMachine, ...environment, ...command];
  }

  /** The memory of the machine. */
  memory(): Memory {
    return memoryOf(this.parts.groups);
  }

  /**
   * The path on this box of a file of the running machine, in its own mounts. A symbolic link with an absolute target
   * leads to this box's files.
   * @param file - the absolute path on the machine
   */
  path(file: string): string {
    return join(`/proc/${this.first}/root`, file);
  }

  /** The journal, as text. @param options - options of journalctl, such as `--unit=ssh` */
  async journal(...options: readonly string[]): Promise<string> {
    return (await start(this.run(["journalctl", "--no-pager", ...options])).ended).output;
  }

  /** The process id, on this box, of the process that started the machine's first. */
  private get supervisor(): number | undefined {
    return this.hasEnded ? undefined : childrenOf(this.parts.nspawn.pid as number)[0];
  }

  /** The process id, on this box, of the machine's systemd; undefined while it does not run, as during a reboot. */
  private get init(): number | undefined {
    const nspawn = this.supervisor === undefined ? [] : childrenOf(this.supervisor);
    return nspawn.flatMap(childrenOf).find((pid) => programOf(pid)?.endsWith("/systemd"));
  }

  private get first(): number {
    const { init } = this;
    if (init === undefined) throw new Error(`machine ${this.id} does not run`);
    return init;
  }

  private async until(happened: () => boolean, what: string): Promise<void> {
    const deadline = Date.now() + BOOT_LIMIT * 1000;
    while (!happened()) {
      if (this.hasEnded || Date.now() > deadline) {
        const last = readFileSync(join(this.parts.folder, CONSOLE), "utf8").trim().split("\n").slice(-3).join("; ");
        throw new Error(`machine ${this.id}: ${what}: ${last}`);
      }
      await sleep(20);
    }
  }
}

/** The search path of programs on the machine. */
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The name of the group of all machines with disks in a folder. */
function cloudName(folder: string): string {
  return `emulated-cloud-${createHash("sha256").update(folder).digest("hex").slice(0, 8)}`;
}

/** Writes the files that the machine reads at each boot. */
function writeGivenFiles(folder: string, { domain, resolver, memoryMiB }: MachineProps): void {
  cpSync(join(__dirname, "init.sh"), join(folder, "init.sh"));
  writeFileSync(
    join(folder, "resolved.conf"),
    `[Resolve]\nDNS=${resolver}\nDomains=${domain}\nFallbackDNS=\nDNSSEC=no\nLLMNR=no\nMulticastDNS=no\n`,
  );
  writeFileSync(join(folder, MEMINFO), meminfo({ used: 0, limit: memoryMiB * 2 ** 20 }));
}

/** The text of /proc/meminfo of a machine, without swap. Its length is constant for sizes below 95 GiB. */
function meminfo({ used, limit }: Memory): string {
  const free = Math.max(limit - used, 0);
  const sizes = {
    MemTotal: limit,
    MemFree: free,
    MemAvailable: free,
    Buffers: 0,
    Cached: 0,
    SwapTotal: 0,
    SwapFree: 0,
  };
  return Object.entries(sizes)
    .map(([name, bytes]) => `${`${name}:`.padEnd(15)} ${String(Math.floor(bytes / 1024)).padStart(8)} kB\n`)
    .join("");
}

/** The children of a process; empty if it has ended. */
function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/** The program of a process; undefined if it has ended. */
function programOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return undefined;
  }
}

/** Whether a program listens at a port, in the network namespace of a process. */
function isListening(pid: number, port: number): boolean {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return ["tcp", "tcp6"].some((table) => {
    try {
      return readFileSync(`/proc/${pid}/net/${table}`, "utf8")
        .split("\n")
        .map((line) => line.trim().split(/\s+/))
        .some(([, local, , state]) => local?.endsWith(suffix) && state === "0A");
    } catch {
      return false;
    }
  });
}
