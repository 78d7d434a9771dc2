import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { emulatorCommand } from "./emulator";
import { createHostsFile } from "./hosts-file";
import { Machines } from "./machine/machine";
import { installRoot } from "./machine/root";
import { Mirror } from "./mirror/mirror";
import { Network } from "./network";
import { type Running, start, until } from "./program";
import { Reconciler } from "./reconciler";
import { OUTSIDE_ADDRESS } from "./vpc/addresses";

/** The names of a cloud's files: Terraform's calls, and the names of load balancers. */
const CALLS = "calls";
const HOSTS = "hosts";

/** The instances of inotify that the machines of several clouds need. */
const INOTIFY_INSTANCES = 1024;

/** The limit for the start of the API, in seconds. It takes 3 s, and many times longer on a busy machine. */
const API_LIMIT = 25;

/** The properties of an {@link EmulatedCloud}. */
export interface EmulatedCloudProps {
  /** A file for the output of the emulator and for events of machines @default - none */
  readonly log?: string;
  /** The folder for the machines' disks; `close` deletes it @default - a temporary folder */
  readonly disks?: string;
  /** A folder with release files and images, which machines download at `http://198.51.100.1` @default - none */
  readonly mirror?: string;
}

/**
 * An emulated AWS: its API, a machine that boots Linux for each running instance, the networks of its VPCs, and its load
 * balancers, separate from everything else on this machine. All of it ends with the program that opened it. It needs the
 * installed emulator, the installed root of the machines, and root.
 */
export class EmulatedCloud {
  private constructor(
    /** The network of the API: the internet of the cloud. */
    readonly network: Network,
    /** The emulator's socket file. Programs outside the network use it to reach the API. */
    readonly socket: string,
    /** The machines of the instances. */
    readonly machines: Reconciler,
    private readonly parts: { readonly folder: string; readonly disks: string; readonly api: Running },
  ) {}

  /**
   * Opens an empty cloud.
   * @throws UserError if the mirror's folder does not exist
   */
  static async open({ log, disks, mirror }: EmulatedCloudProps = {}): Promise<EmulatedCloud> {
    const writeLog = (text: string) => log && appendFileSync(log, text, { mode: 0o600 });
    const logLine = (line: string) => writeLog(`${line}\n`);
    const folder = mkdtempSync(join(tmpdir(), "cloud-"));
    const disksFolder = disks ?? join(folder, "disks");
    const [socket, hosts] = [join(folder, "aws.sock"), join(folder, HOSTS)];
    createHostsFile(hosts);
    const root = await installRoot(logLine);
    allowMachines();
    const network = await Network.open(hosts);
    try {
      if (mirror !== undefined) {
        await network.addAddress(OUTSIDE_ADDRESS);
        const cache = join(folder, "images");
        await Mirror.start({ namespace: network.path, address: OUTSIDE_ADDRESS, folder: mirror, cache, log: logLine });
      }
      const { command, env } = emulatorCommand(socket, join(folder, CALLS));
      const api = start([...network.inside, ...command], { env, onOutput: writeLog });
      const what = () => `the emulator: ${api.output()}`;
      await until(() => api.output().includes("ready"), { what, process: api.process, seconds: API_LIMIT });
      const machines = new Machines({ folder: disksFolder, root, log: logLine });
      const reconciler = new Reconciler({ network, socket, machines, hosts, log: logLine });
      return new EmulatedCloud(network, socket, reconciler, { folder, disks: disksFolder, api });
    } catch (error) {
      // Otherwise its processes would keep this one running.
      await network.close();
      rmSync(folder, { recursive: true });
      throw error;
    }
  }

  /** Terraform's calls in their order, by their names in IAM, such as `ec2:RunInstances`. */
  get calls(): string[] {
    return readFileSync(join(this.parts.folder, CALLS), "utf8").split("\n").filter(Boolean);
  }

  /** The end of the API, also by a crash. The cloud is of no use afterwards. */
  get apiEnded(): Promise<unknown> {
    return this.parts.api.ended;
  }

  /** Ends the cloud and everything in it. */
  async close(): Promise<void> {
    await this.machines.stop();
    this.parts.api.process.kill("SIGKILL");
    await this.network.close();
    Machines.clean(this.parts.disks);
    rmSync(this.parts.folder, { recursive: true, force: true });
  }
}

/**
 * Each machine's systemd needs about ten instances of inotify, of which root of the whole box has 128 by default. Without them, a
 * machine ends at its start.
 */
function allowMachines(): void {
  const file = "/proc/sys/fs/inotify/max_user_instances";
  if (Number(readFileSync(file, "utf8")) < INOTIFY_INSTANCES) writeFileSync(file, String(INOTIFY_INSTANCES));
}
