import { addressSlug } from "./addressing";
import { ANYWHERE, ETCD_PORTS, NODE_PORTS, SSH_PORT } from "./ports";

/** IPv4 CIDRs that may connect from outside, each at most once. An empty list allows nobody. */
export interface Access {
  /** CIDRs for TCP port 22 of all machines. */
  readonly ssh: readonly string[];
  /** CIDRs for the API server's port. If it is not open to everybody, the subnets are also allowed, for health checks. */
  readonly api: readonly string[];
  /** CIDRs for all ICMP to all machines. */
  readonly icmp: readonly string[];
}

/** Facts on which the security rules of a cluster depend. */
export interface SecurityRulesProps {
  /** The CIDRs of the subnets. */
  readonly subnets: readonly string[];
  readonly access: Access;
  /** The API server's port, TCP. */
  readonly apiServerPort: number;
  /**
   * The CIDR of the pods. All traffic from it is allowed, and all traffic between the machines. Both rules are needed:
   * packets of pods keep the pod's address, and a rule that refers to a group matches only the machines' addresses.
   * @default - no such rules
   */
  readonly podCidrBlock?: string;
  /**
   * The machines' public addresses, by node id. Machines reach the API server through the load balancer's public name, so
   * each address needs a rule if the API is not open to everybody.
   */
  readonly publicAddresses?: Readonly<Record<string, string>>;
}

/** A rule for inbound traffic. Each row of the table is one rule in the security group. */
export interface SecurityRule {
  /** `<role>-<purpose>-from-<source>`: the name in the Terraform address. */
  readonly name: string;
  readonly protocol: "tcp" | "icmp" | "-1";
  /** First and last port, or type and code of ICMP (-1 is any). @default - none, if the protocol is all protocols */
  readonly ports?: readonly [first: number, last: number];
  /** An IPv4 CIDR, or all machines in the security group. */
  readonly source: string | typeof MEMBERS;
  readonly description: string;
}

/** The source of a rule that allows the machines themselves. */
export const MEMBERS = Symbol("the members of the security group");

/** Whether everybody may reach the API server. */
export function isApiOpen({ api }: Pick<Access, "api">): boolean {
  return api.includes(ANYWHERE);
}

/** All rules for inbound traffic to the machines of a cluster. */
export function securityRules(props: SecurityRulesProps): SecurityRule[] {
  const { subnets, access, apiServerPort, podCidrBlock, publicAddresses = {} } = props;
  const apiPorts = [apiServerPort, apiServerPort] as const;
  const apiSources = isApiOpen(access) ? access.api : [...new Set([...access.api, ...subnets])];
  const fromEach = (sources: readonly string[], rule: Omit<SecurityRule, "source">): SecurityRule[] =>
    // The source is part of the address. If the index were, removing the first source of a list would change each rule to
    // the next source, which AWS refuses as a duplicate.
    sources.map((source) => ({ ...rule, name: `${rule.name}-from-${addressSlug(source)}`, source }));

  return [
    ...fromEach(subnets, {
      name: "control-plane-etcd",
      protocol: "tcp",
      ports: ETCD_PORTS,
      description: "etcd clients and peers",
    }),
    ...fromEach(subnets, {
      name: "worker-node-ports",
      protocol: "tcp",
      ports: NODE_PORTS,
      description: "Services of type NodePort",
    }),
    ...fromEach(apiSources, {
      name: "control-plane-api",
      protocol: "tcp",
      ports: apiPorts,
      description: "Kubernetes API server",
    }),
    ...(isApiOpen(access) ? [] : Object.entries(publicAddresses)).map(
      ([id, address]): SecurityRule => ({
        name: `control-plane-api-from-${id}`,
        protocol: "tcp",
        ports: apiPorts,
        source: `${address}/32`,
        description: `Kubernetes API server, from ${id} through the load balancer`,
      }),
    ),
    ...fromEach(access.ssh, { name: "node-ssh", protocol: "tcp", ports: [SSH_PORT, SSH_PORT], description: "SSH" }),
    ...fromEach(access.icmp, { name: "node-icmp", protocol: "icmp", ports: [-1, -1], description: "All ICMP" }),
    ...(podCidrBlock === undefined
      ? []
      : [
          ...fromEach([podCidrBlock], {
            name: "node-all",
            protocol: "-1",
            description: "Everything from the pod network",
          }),
          {
            name: "node-all-from-members",
            protocol: "-1",
            source: MEMBERS,
            description: "Everything between the machines of the cluster",
          } as const,
        ]),
  ];
}
