import { createHash } from "node:crypto";
import { ec2Hostname, hostAddress, internalDomain } from "../../model/addressing";

/** The state of a VPC: everything that {@link Vpc.apply} needs to know. It has no defaults, except where noted. */
export interface VpcState {
  /** The CIDRs of the VPC, the primary one first. The resolver has the address number 2 of the primary one. */
  readonly cidrs: readonly string[];
  readonly region: string;
  /** Whether the resolver answers (`enableDnsSupport`). */
  readonly dns: boolean;
  readonly subnets: readonly Subnet[];
  readonly ports: readonly Port[];
  readonly routeTables: readonly RouteTable[];
  readonly securityGroups: readonly SecurityGroup[];
  /**
   * The DNS names of the VPC, without a dot at the end, each with its addresses. {@link hostName} gives each port a name
   * that needs not be listed.
   */
  readonly names: Readonly<Record<string, readonly string[]>>;
}

/** A subnet of a VPC. */
export interface Subnet {
  readonly id: string;
  readonly cidr: string;
  /** The id of its route table. */
  readonly routeTable: string;
}

/** A network interface of a machine or of a load balancer. */
export interface Port {
  readonly id: string;
  /** The id of its subnet. */
  readonly subnet: string;
  readonly privateIp: string;
  /** @default - none: the internet cannot be reached */
  readonly publicIp?: string;
  /** Whether the port may only send and receive packets of its own address. */
  readonly sourceDestCheck: boolean;
  /** The ids of its security groups. An empty list lets nothing pass. @default - the port is not filtered */
  readonly securityGroups?: readonly string[];
  /** The answers of the metadata service. @default - it does not answer */
  readonly metadata?: Metadata;
}

/** A route table of a VPC. */
export interface RouteTable {
  readonly id: string;
  readonly routes: readonly Route[];
}

/** A route. `gateway` is the internet gateway. A route to a port that is not attached is a black hole. */
export interface Route {
  readonly cidr: string;
  readonly target: "local" | "gateway" | "blackhole" | { readonly port: string };
}

/** A security group: the connections that may be opened. Answers are always let through. */
export interface SecurityGroup {
  readonly id: string;
  readonly ingress: readonly Rule[];
  readonly egress: readonly Rule[];
}

/** A rule of a security group. */
export interface Rule {
  /** A protocol; `-1` is every protocol. A number is one of IANA's. */
  readonly protocol: "-1" | "tcp" | "udp" | "icmp" | number;
  /** The first port, or the type of ICMP; -1 is every type. @default - every port or type */
  readonly from?: number;
  /** The last port, or the code of ICMP; -1 is every code. @default - every port or code */
  readonly to?: number;
  /** The IPv4 CIDRs of the other side. */
  readonly cidrs: readonly string[];
  /** The ids of security groups: the private addresses of their ports are the other side. */
  readonly groups: readonly string[];
}

/** The facts that the metadata service tells a machine, and the service's settings. */
export interface Metadata {
  readonly instanceId: string;
  /** The full host name, such as `ip-172-31-0-10.eu-central-1.compute.internal`. */
  readonly hostname: string;
  readonly instanceType: string;
  /** The id of the image. @default - not told */
  readonly ami?: string;
  /** The availability zone. */
  readonly zone: string;
  /** The user data in clear text. Empty: the machine has none. */
  readonly userData: string;
  /** The number of the account. @default "000000000000" */
  readonly accountId?: string;
  /** The public DNS name. @default - not told */
  readonly publicHostname?: string;
  /** The names of the security groups. @default - none */
  readonly securityGroups?: readonly string[];
  /** The MAC address of the machine's eth0. @default - {@link macAddress} of the port */
  readonly mac?: string;
  /** The name of the key pair. @default - the machine has no key pair */
  readonly keyName?: string;
  /** The public key of the key pair, in OpenSSH's format. */
  readonly publicKey?: string;
  /** `x86_64` or `arm64`. @default "x86_64" */
  readonly architecture?: string;
  /** The time of the start, in ISO 8601. @default - not told */
  readonly launchTime?: string;
  /** `required`: only version 2 of the service, which needs a session token. */
  readonly tokens: "optional" | "required";
  /** The number of hops that a session token travels: 1 to 64. With 1, it stays on the machine. */
  readonly hopLimit: number;
  /** Whether the service answers. If not, every request is forbidden. */
  readonly enabled: boolean;
}

/** The name of a network interface for an id: always the same, and at most 15 characters, which is Linux's limit. */
export function interfaceName(prefix: "p" | "v", id: string): string {
  return `${prefix}-${digest(id).slice(0, 12)}`;
}

/** The MAC address of a port: the one of its metadata, or one that depends only on the port's id. */
export function macAddress({ id, metadata }: Port): string {
  return metadata?.mac ?? ["02", ...(digest(id).slice(0, 10).match(/../g) as string[])].join(":");
}

/** The resolver's address in the VPC: number 2 of the primary CIDR. */
export function resolverAddress({ cidrs: [primary] }: Pick<VpcState, "cidrs">): string {
  if (primary === undefined) throw new Error("'cidrs' must contain at least one CIDR, got: []");
  return hostAddress(primary, 2);
}

/** The private DNS name of an address, as EC2 names it in a region: `ip-172-31-0-10.eu-central-1.compute.internal`. */
export function hostName(privateIp: string, region: string): string {
  return `${ec2Hostname(privateIp)}.${internalDomain(region)}`;
}

/**
 * The subnet of a port.
 * @throws Error if the state does not contain it
 */
export function subnetOf(port: Port, { subnets }: Pick<VpcState, "subnets">): Subnet {
  const found = subnets.find(({ id }) => id === port.subnet);
  if (found === undefined) {
    const ids = subnets.map(({ id }) => id).join(", ");
    throw new Error(`the subnet of port '${port.id}' must be one of the VPC's: ${ids}, got: ${port.subnet}`);
  }
  return found;
}

function digest(id: string): string {
  return createHash("sha256").update(id).digest("hex");
}
