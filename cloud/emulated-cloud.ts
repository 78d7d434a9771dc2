import type { ChildProcess } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { emulatorCommand } from "./emulator";
import { InstanceHosts } from "./instance-hosts";
import { start } from "./program";
import { SshNetwork, until } from "./ssh-hosts";

/** The name of the file with Terraform's calls. */
const CALLS = "calls";

/**
 * An emulated AWS: its API, and a real ssh host for each running instance, in a network that is separate from everything
 * else on this machine. All of it ends with the program that opened it. It needs the installed emulator, and everything
 * that {@link SshNetwork} needs.
 */
export class EmulatedCloud {
  private constructor(
    /** The network of the API and the hosts. */
    readonly network: SshNetwork,
    /** The emulator's socket file. Programs outside the network use it to reach the API. */
    readonly socket: string,
    /** The hosts of the instances. */
    readonly instanceHosts: InstanceHosts,
    private readonly parts: { readonly folder: string; readonly emulator: ChildProcess },
  ) {}

  /**
   * Opens an empty cloud.
   * @param log - a file for the output of the emulator and of the instance hosts @default - none
   */
  static async open(log?: string): Promise<EmulatedCloud> {
    const writeLog = (text: string) => log && appendFileSync(log, text, { mode: 0o600 });
    const folder = mkdtempSync(join(tmpdir(), "cloud-"));
    const socket = join(folder, "aws.sock");
    const network = await SshNetwork.open();
    const { command, env } = emulatorCommand(socket, join(folder, CALLS));
    const { process: emulator, output } = start([...network.inside, ...command], { env, onOutput: writeLog });
    await until(() => output().includes("ready"), { what: () => `the emulator: ${output()}`, process: emulator });
    const instanceHosts = new InstanceHosts({ network, socket, log: (line) => writeLog(`${line}\n`) });
    return new EmulatedCloud(network, socket, instanceHosts, { folder, emulator });
  }

  /** Terraform's calls in their order, by their names in IAM, such as `ec2:RunInstances`. */
  get calls(): string[] {
    return readFileSync(join(this.parts.folder, CALLS), "utf8").split("\n").filter(Boolean);
  }

  /** Ends the cloud and everything in it. */
  async close(): Promise<void> {
    await this.instanceHosts.stop();
    this.parts.emulator.kill("SIGKILL");
    this.network.close();
    rmSync(this.parts.folder, { recursive: true, force: true });
  }
}
