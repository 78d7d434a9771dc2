import { inside, killProcesses, Namespace, run } from "./namespace";
import { ENDS_WITH_PARENT, OWN_PROCESSES } from "./program";

/**
 * The network outside of all VPCs: the internet of the cloud. The API, Terraform, and everything that a person runs are in it.
 * No route leads out of it. It ends with this process.
 */
export class Network {
  private constructor(
    private readonly namespace: Namespace,
    private readonly hosts: string,
  ) {}

  /**
   * Opens a network.
   * @param hosts - a file in the format of /etc/hosts, which programs in the network have in its place
   */
  static async open(hosts: string): Promise<Network> {
    return new Network(await Namespace.create(), hosts);
  }

  /** The path of its namespace. */
  get path(): string {
    return this.namespace.path;
  }

  /**
   * A command prefix that starts a program in this network, with the machine's own files. All processes that it starts end
   * with it. To send it a signal, use `signalInside`.
   */
  get inside(): readonly string[] {
    const withHosts = ["sh", "-ec", 'mount --bind "$0" /etc/hosts && exec "$@"', this.hosts];
    return [...ENDS_WITH_PARENT, ...inside(this.path), ...OWN_PROCESSES, ...withHosts];
  }

  /** Adds an address of this network's own. */
  addAddress(address: string): Promise<void> {
    return run(["ip", "address", "add", `${address}/32`, "dev", "lo"], { namespace: this.path });
  }

  /** Ends the network, and every program in it. */
  async close(): Promise<void> {
    killProcesses(this.path);
    await this.namespace.close();
  }
}
