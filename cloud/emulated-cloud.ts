import type { ChildProcess } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { emulatorCommand } from "./emulator";
import { Machines } from "./machine/machine";
import { installRoot } from "./machine/root";
import { Mirror } from "./mirror/mirror";
import { Network } from "./network";
import { start, until } from "./program";
import { Reconciler } from "./reconciler";
import { OUTSIDE_ADDRESS } from "./vpc/addresses";

/** The names of a cloud's files: Terraform's calls, and the names of load balancers. */
const CALLS = "calls";
const HOSTS = "hosts";

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
    private readonly parts: { readonly folder: string; readonly disks: string; readonly emulator: ChildProcess },
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
    writeFileSync(hosts, "127.0.0.1 localhost\n");
    const root = await installRoot(logLine);
    const network = await Network.open(hosts);
    if (mirror !== undefined) {
      await network.addAddress(OUTSIDE_ADDRESS);
      const cache = join(folder, "images");
      await Mirror.start({ namespace: network.path, address: OUTSIDE_ADDRESS, folder: mirror, cache, log: logLine });
    }
    const { command, env } = emulatorCommand(socket, join(folder, CALLS));
    const { process: emulator, output } = start([...network.inside, ...command], { env, onOutput: writeLog });
    await until(() => output().includes("ready"), { what: () => `the emulator: ${output()}`, process: emulator });
    const machines = new Machines({ folder: disksFolder, root, log: logLine });
    const reconciler = new Reconciler({ network, socket, machines, hosts, log: logLine });
    return new EmulatedCloud(network, socket, reconciler, { folder, disks: disksFolder, emulator });
  }

  /** Terraform's calls in their order, by their names in IAM, such as `ec2:RunInstances`. */
  get calls(): string[] {
    return readFileSync(join(this.parts.folder, CALLS), "utf8").split("\n").filter(Boolean);
  }

  /** Ends the cloud and everything in it. */
  async close(): Promise<void> {
    await this.machines.stop();
    this.parts.emulator.kill("SIGKILL");
    await this.network.close();
    Machines.clean(this.parts.disks);
    rmSync(this.parts.folder, { recursive: true, force: true });
  }
}
