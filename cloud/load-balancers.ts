import { contains } from "../model/addressing";
import type { Health, TargetGroup } from "./load-balancer/config";
import { LoadBalancer } from "./load-balancer/load-balancer";
import type { Interface, LoadBalancerState, VpcDescription } from "./state";
import type { Vpc } from "./vpc/vpc";

/** A load balancer's program at one of its network interfaces. */
interface Node {
  readonly program: Promise<LoadBalancer>;
  /** The configuration that is in effect, as JSON. */
  configuration?: string;
}

/** The properties of {@link LoadBalancers}. */
export interface LoadBalancersProps {
  /** Receives lines for a person. */
  readonly log: (line: string) => void;
  /** Called after each change of a target's health. */
  readonly onHealth: () => void;
}

/**
 * The programs of all load balancers: one at each network interface, as a network load balancer of AWS has a node in each
 * zone. Without cross-zone load balancing, a node uses only the targets in its own zone.
 */
export class LoadBalancers {
  private readonly nodes = new Map<string, Node>();

  constructor(private readonly props: LoadBalancersProps) {}

  /** Starts, configures and ends the programs of a VPC's load balancers. */
  async follow(vpc: Vpc, description: VpcDescription): Promise<void> {
    await Promise.all(
      nodesOf(description).map(async ({ balancer, at }) => {
        const node = this.nodes.get(at.id) ?? this.begin(vpc, at.id);
        this.nodes.set(at.id, node);
        const configuration = {
          addresses: [at.privateIp],
          listeners: balancer.listeners,
          targetGroups: groupsOf(description, balancer, at),
        };
        const text = JSON.stringify(configuration);
        if (node.configuration === text) return;
        node.configuration = text;
        await (await node.program).configure(configuration);
      }),
    );
  }

  /** Ends the programs whose network interfaces no longer exist. */
  async end(descriptions: readonly VpcDescription[]): Promise<void> {
    const ids = descriptions.flatMap((description) => nodesOf(description).map(({ at }) => at.id));
    for (const [id, { program }] of this.nodes) {
      if (ids.includes(id)) continue;
      this.nodes.delete(id);
      await (await program).close();
    }
  }

  /** The health of all targets. The nodes of a load balancer check the same targets only with cross-zone load balancing. */
  async health(): Promise<Health> {
    const healths = await Promise.all([...this.nodes.values()].map(async ({ program }) => (await program).health()));
    const merged: Record<string, Health[string]> = {};
    for (const [arn, targets] of healths.flatMap(Object.entries<Health[string]>)) {
      merged[arn] = { ...merged[arn], ...targets };
    }
    return merged;
  }

  /** The public addresses of each load balancer, by its DNS name: those of its healthy nodes or, if none is, of all. */
  async names(descriptions: readonly VpcDescription[]): Promise<Record<string, string[]>> {
    const names: Record<string, string[]> = {};
    for (const description of descriptions) {
      for (const balancer of description.loadBalancers) {
        const nodes = nodesOf(description).filter((node) => node.balancer === balancer);
        const healthy = await Promise.all(nodes.map(({ at }) => this.isHealthy(at)));
        const used = healthy.includes(true) ? nodes.filter((_, index) => healthy[index]) : nodes;
        names[balancer.dnsName] = used.map(({ at }) => at.publicIp ?? at.privateIp);
      }
    }
    return names;
  }

  private async isHealthy({ id }: Interface): Promise<boolean> {
    const health = (await this.nodes.get(id)?.program)?.health() ?? {};
    return Object.values(health).some((targets) => Object.values(targets).includes("healthy"));
  }

  private begin(vpc: Vpc, id: string): Node {
    const starting = vpc.attach(id).then(async (namespace) => {
      const program = await LoadBalancer.start({ namespace, router: vpc.namespace, log: this.props.log });
      program.onHealth(this.props.onHealth);
      return program;
    });
    return { program: starting };
  }
}

/** The network interfaces of all load balancers. */
function nodesOf({ loadBalancers, interfaces }: VpcDescription): { balancer: LoadBalancerState; at: Interface }[] {
  return loadBalancers.flatMap((balancer) =>
    interfaces.filter(({ id }) => balancer.interfaces.includes(id)).map((at) => ({ balancer, at })),
  );
}

/** The target groups of a load balancer, with the targets that its node at an interface uses. */
function groupsOf(description: VpcDescription, balancer: LoadBalancerState, at: Interface): TargetGroup[] {
  const zone = (subnet: string) => description.subnets.find(({ id }) => id === subnet)?.zone;
  const zoneOf = (ip: string) => description.subnets.find(({ cidr }) => contains(cidr, ip))?.zone;
  return description.targetGroups
    .filter(({ arn }) => balancer.listeners.some(({ targetGroup }) => targetGroup === arn))
    .map((group) => ({
      ...group,
      targets: group.targets.filter(({ ip }) => balancer.crossZone || zoneOf(ip) === zone(at.subnet)),
    }));
}
