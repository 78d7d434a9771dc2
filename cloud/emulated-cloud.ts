import type { ChildProcess } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { emulatorCommand } from "./emulator";
import { InstanceHosts } from "./instance-hosts";
import { start } from "./program";
import { SshNetwork, until } from "./ssh-hosts";

/** The file with what Terraform has called. */
const CALLS = "calls";

/**
 * An AWS of one's own: the emulated API, and a real ssh host behind each instance that runs, in a network apart from
 * everything else on this machine. All of it ends with the program that opened it. Needs what the ssh hosts need, and
 * the emulator installed.
 */
export class EmulatedCloud {
  private constructor(
    /** The network in which everything runs. */
    readonly network: SshNetwork,
    /** The emulator's socket file, through which its API is reached from outside the network. */
    readonly socket: string,
    /** What runs the hosts. */
    readonly instanceHosts: InstanceHosts,
    private readonly parts: { readonly folder: string; readonly emulator: ChildProcess },
  ) {}

  /**
   * Opens an empty cloud.
   * @param log - a file for what the emulator and the instance hosts print @default - none
   */
  static async open(log?: string): Promise<EmulatedCloud> {
    const say = (text: string) => log && appendFileSync(log, text, { mode: 0o600 });
    const folder = mkdtempSync(join(tmpdir(), "cloud-"));
    const socket = join(folder, "aws.sock");
    const network = await SshNetwork.open();
    const { command, env } = emulatorCommand(socket, join(folder, CALLS));
    const { process: emulator, output } = start([...network.inside, ...command], { env, onOutput: say });
    await until(() => output().includes("ready"), { what: () => `the emulator: ${output()}`, process: emulator });
    const instanceHosts = new InstanceHosts({ network, socket, log: (line) => say(`${line}\n`) });
    return new EmulatedCloud(network, socket, instanceHosts, { folder, emulator });
  }

  /** All that Terraform has called, as IAM names it, `ec2:RunInstances`, in order. */
  get calls(): string[] {
    return readFileSync(join(this.parts.folder, CALLS), "utf8").split("\n").filter(Boolean);
  }

  /** Ends everything in it. */
  async close(): Promise<void> {
    await this.instanceHosts.stop();
    this.parts.emulator.kill("SIGKILL");
    this.network.close();
    rmSync(this.parts.folder, { recursive: true, force: true });
  }
}
