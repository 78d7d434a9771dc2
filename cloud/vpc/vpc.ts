import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { inside, ip, Namespace, run } from "../namespace";
import { ENDS_WITH_PARENT } from "../program";
import { GATEWAY, GATEWAY_ADDRESS, OUTSIDE_ADDRESS, RESOLVER_ADDRESS } from "./addresses";
import { firewall } from "./firewall";

import { changes, PORTS_TABLE, PREFERENCE, portConfiguration, routerSettings, type Setting, setting } from "./routes";
import type { ServicesState } from "./services";
import { hostName, interfaceName, macAddress, resolverAddress, subnetOf, type VpcState } from "./state";

/** The largest packet in a VPC and on the internet, in bytes, as in EC2. */
const MTU = { vpc: 9001, internet: 1500 };

/** The properties of a {@link Vpc}. */
export interface VpcProps {
  /** The path of the network namespace that is the internet of the VPC. It must not have a route to the real one. */
  readonly outside: string;
  /** The VPC's id. */
  readonly id: string;
  /** Receives lines about problems of the VPC's services. */
  readonly log: (line: string) => void;
}

/** A port that is attached: its namespace, and the lines that configured it. */
interface Attached {
  readonly namespace: Namespace;
  configuration?: string;
}

/** The addresses and routes of a state, as lines for `ip -batch`. */
interface Plan {
  readonly router: ReadonlyMap<string, Setting>;
  readonly outside: ReadonlyMap<string, Setting>;
  /** The configuration of each port, by its id. */
  readonly ports: ReadonlyMap<string, readonly string[]>;
}

/**
 * A VPC: a router in a network namespace, to which each port, another network namespace, is joined by a veth pair without a
 * bridge. So the router filters and translates every packet. It needs root, iproute2, nftables and util-linux.
 *
 * All methods wait for the end of the earlier calls.
 *
 * It differs from EC2 in this: there is no IPv6 and no network ACL; a route more specific than the VPC's CIDR does not lead
 * packets for a port elsewhere; instance tags, IAM roles and signatures of the identity document are not told; a machine gets
 * its address without DHCP.
 */
export class Vpc {
  private readonly ports = new Map<string, Attached>();
  private readonly tables = new Map<string, number>();
  private state: VpcState | undefined;
  private rules: string | undefined;
  private applied: Plan = { router: new Map(), outside: new Map(), ports: new Map() };
  private last: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly props: VpcProps,
    private readonly router: Namespace,
    private readonly services: Services,
  ) {}

  /** Opens a VPC without ports. Nothing passes until the first {@link apply}. */
  static async open(props: VpcProps): Promise<Vpc> {
    const router = await Namespace.createRouter();
    const services = new Services(router, props.log);
    const vpc = new Vpc(props, router, services);
    try {
      await vpc.openGateway();
    } catch (error) {
      await vpc.close();
      throw error;
    }
    return vpc;
  }

  /** The path of the router's network namespace. */
  get namespace(): string {
    return this.router.path;
  }

  /** The process id of the program with the resolver and the metadata service. */
  get servicesProcess(): number {
    return this.services.pid;
  }

  /**
   * Attaches a port. Its eth0 has an address as soon as the state contains the port.
   * @returns the path of the port's network namespace; the same if the port is attached already
   */
  attach(portId: string): Promise<string> {
    return this.inOrder(async () => {
      const existing = this.ports.get(portId);
      if (existing !== undefined) return existing.namespace.path;
      const namespace = await Namespace.create();
      const device = interfaceName("p", portId);
      try {
        await ip(undefined, [
          `link add ${device} netns ${this.router.path} mtu ${MTU.vpc} type veth peer name eth0 netns ${namespace.path} mtu ${MTU.vpc}`,
        ]);
        const script =
          'echo 1 > /proc/sys/net/ipv4/conf/$1/proxy_arp; echo 0 > /proc/sys/net/ipv4/neigh/$1/proxy_delay; ip link set "$1" up alias "$2"';
        await run(["sh", "-ec", script, "sh", device, portId], { namespace: this.router.path });
      } catch (error) {
        await namespace.close();
        throw error;
      }
      this.ports.set(portId, { namespace });
      if (this.state !== undefined) await this.route(this.plan(this.state));
      return namespace.path;
    });
  }

  /**
   * Detaches a port at once: nobody hears from it again, as after a power failure. Programs in its namespace keep the
   * namespace, without eth0. It does nothing if the port is not attached.
   */
  detach(portId: string): Promise<void> {
    return this.inOrder(async () => {
      const port = this.ports.get(portId);
      if (port === undefined) return;
      this.ports.delete(portId);
      if (this.state !== undefined) await this.route(this.plan(this.state));
      // A program in the port's namespace may have deleted eth0, and with it the other end.
      await ip(this.router.path, [`link del ${interfaceName("p", portId)}`]).catch(() => {});
      await port.namespace.close();
    });
  }

  /**
   * Makes the VPC as the state describes. Connections stay open, unless the state forbids them.
   * @throws Error if the state contradicts itself, or if nftables refuses it. Then nothing has changed. Also if a part of it
   * cannot be applied. Then the rest is applied.
   */
  apply(state: VpcState): Promise<void> {
    return this.inOrder(async () => {
      const rules = firewall(state);
      const services = servicesState(state);
      const plan = this.plan(state);
      if (rules !== this.rules) await run(["nft", "-f", "-"], { namespace: this.router.path, input: rules });
      this.rules = rules;
      this.state = state;
      await all([this.route(plan), this.services.apply(services)]);
    });
  }

  /** Ends the VPC, with its ports and services. */
  close(): Promise<void> {
    return this.inOrder(async () => {
      await this.services.close();
      // Explicitly, because the kernel removes the interfaces of an ended namespace only later.
      await ip(this.router.path, [`link del ${GATEWAY}`]).catch(() => {});
      await Promise.all([...this.ports.values()].map(({ namespace }) => namespace.close()));
      this.ports.clear();
      await this.router.close();
    });
  }

  /** Joins the router with the outside. */
  private async openGateway(): Promise<void> {
    const { outside } = this.props;
    const device = interfaceName("v", this.props.id);
    await ip(undefined, [
      `link add ${GATEWAY} netns ${this.router.path} mtu ${MTU.internet} type veth peer name ${device} netns ${outside} mtu ${MTU.internet}`,
    ]);
    await Promise.all([
      ip(this.router.path, [
        `address add ${GATEWAY_ADDRESS}/32 dev ${GATEWAY}`,
        `link set ${GATEWAY} up`,
        `rule add lookup ${PORTS_TABLE} pref ${PREFERENCE.ports}`,
        `rule add blackhole pref ${PREFERENCE.end}`,
      ]),
      // The outside forwards packets between public addresses, also of one VPC.
      run(
        [
          "sh",
          "-ec",
          'echo 1 > /proc/sys/net/ipv4/conf/$1/forwarding; ip address add "$2/32" dev "$1"; ip link set "$1" up alias "$3"',
          "sh",
          device,
          OUTSIDE_ADDRESS,
          this.props.id,
        ],
        { namespace: outside },
      ),
    ]);
  }

  /** The addresses and routes of a state, with the ports that are attached now. */
  private plan(state: VpcState): Plan {
    return {
      router: routerSettings(
        state,
        (id) => this.ports.has(id),
        (id) => this.tableNumber(id),
      ),
      outside: outsideSettings(this.props.id, state),
      ports: new Map(state.ports.map((port) => [port.id, portConfiguration(port, state)])),
    };
  }

  /** Configures the ports that are attached, and changes the routes of the router and the outside. */
  private async route(plan: Plan): Promise<void> {
    const { router, outside } = this.applied;
    const ports = [...plan.ports].map(([id, lines]) => this.configure(id, lines));
    this.applied = plan;
    await all([
      ...ports,
      change(this.router.path, router, plan.router),
      change(this.props.outside, outside, plan.outside),
    ]);
  }

  private async configure(portId: string, lines: readonly string[]): Promise<void> {
    const attached = this.ports.get(portId);
    const configuration = lines.join("\n");
    if (attached === undefined || attached.configuration === configuration) return;
    attached.configuration = configuration;
    await ip(attached.namespace.path, lines);
  }

  private tableNumber(routeTable: string): number {
    const number = this.tables.get(routeTable) ?? PORTS_TABLE + 1 + this.tables.size;
    this.tables.set(routeTable, number);
    return number;
  }

  private inOrder<T>(work: () => Promise<T>): Promise<T> {
    const result = this.last.then(work);
    this.last = result.catch(() => {});
    return result;
  }
}

/** The program with the resolver and the metadata service of a VPC. */
class Services {
  private readonly program: ChildProcess;
  private readonly waiting: { resolve: () => void; reject: (error: Error) => void }[] = [];
  private ended: Error | undefined;
  private closing = false;

  constructor(router: Namespace, log: (line: string) => void) {
    const program = [process.execPath, "--import", "tsx", `${__dirname}/services.ts`];
    const [command, ...args] = [...ENDS_WITH_PARENT, ...inside(router.path), ...program] as [string, ...string[]];
    this.program = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], cwd: __dirname });
    const { stdin, stdout, stderr } = this.program as ChildProcess & { stdin: NonNullable<ChildProcess["stdin"]> };
    stdin.on("error", () => {});
    createInterface({ input: stdout as NonNullable<typeof stdout> }).on("line", () => this.waiting.shift()?.resolve());
    createInterface({ input: stderr as NonNullable<typeof stderr> }).on("line", log);
    this.program.on("exit", (status, signal) => {
      this.ended = new Error(`the VPC's resolver and metadata service have ended: ${signal ?? `status ${status}`}`);
      if (!this.closing) log(this.ended.message);
      for (const { reject } of this.waiting.splice(0)) reject(this.ended);
    });
  }

  get pid(): number {
    return this.program.pid as number;
  }

  /** Sends a state, and waits until the program has it. */
  apply(state: ServicesState): Promise<void> {
    if (this.ended !== undefined) return Promise.reject(this.ended);
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.program.stdin?.write(`${JSON.stringify(state)}\n`);
    });
  }

  async close(): Promise<void> {
    if (this.ended !== undefined) return;
    this.closing = true;
    const ended = new Promise((resolve) => this.program.once("exit", resolve));
    this.program.kill("SIGKILL");
    await ended;
  }
}

/** Changes settings in a namespace. */
async function change(
  namespace: string,
  before: ReadonlyMap<string, Setting>,
  after: ReadonlyMap<string, Setting>,
): Promise<void> {
  const { set, unset } = changes(before, after);
  // Each line alone, so that an interface that its machine has deleted does not stop the others.
  await ip(namespace, set, { force: true }).finally(() => ip(namespace, unset, { force: true }).catch(() => {}));
}

/** Waits for the end of all works. @throws the error of the first that failed */
async function all(works: readonly Promise<unknown>[]): Promise<void> {
  const failed = (await Promise.allSettled(works)).find((end) => end.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

/** The routes of the outside to the public addresses of a VPC. */
function outsideSettings(vpcId: string, { ports }: VpcState): Map<string, Setting> {
  const device = interfaceName("v", vpcId);
  const publicIps = ports.flatMap(({ publicIp }) => publicIp ?? []);
  return new Map(
    publicIps.map((publicIp) =>
      setting(
        `route replace ${publicIp} via ${GATEWAY_ADDRESS} dev ${device} onlink`,
        `route del ${publicIp} dev ${device}`,
      ),
    ),
  );
}

function servicesState(state: VpcState): ServicesState {
  const { region, ports, dns, cidrs } = state;
  const hostNames = Object.fromEntries(ports.map(({ privateIp }) => [hostName(privateIp, region), [privateIp]]));
  return {
    resolvers: [resolverAddress(state), RESOLVER_ADDRESS],
    ...(dns && { names: { ...hostNames, ...state.names } }),
    machines: ports.flatMap((port) => {
      const { metadata, privateIp, publicIp } = port;
      if (metadata === undefined) return [];
      const { cidr } = subnetOf(port, state);
      return [{ ...metadata, region, privateIp, publicIp, mac: macAddress(port), subnetCidr: cidr, vpcCidrs: cidrs }];
    }),
  };
}
