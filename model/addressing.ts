import { Address4 } from "ip-address";

/** EC2 reserves the first four addresses of a subnet and the last: network, router, DNS, future use, broadcast. */
const RESERVED_AT_START = 4;
const RESERVED_AT_END = 1;

/**
 * The number of free addresses that a load balancer needs in each subnet.
 * @see https://docs.aws.amazon.com/elasticloadbalancing/latest/network/availability-zones.html
 */
export const LOAD_BALANCER_ADDRESSES = 8;

/** The private ranges of RFC 1918, and the shared one of RFC 6598. */
const PRIVATE_RANGES = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"];

/**
 * The ranges that are no network of machines: "this network", loopback, link-local (where EC2 has its metadata service),
 * multicast and reserved addresses.
 * @see https://www.iana.org/assignments/iana-ipv4-special-registry/ and RFC 5771 for 224.0.0.0/4
 */
export const UNUSABLE_RANGES = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"];

/**
 * Whether the text is an IPv4 CIDR in canonical form, such as `172.31.0.0/16`: with a prefix length, without host bits and
 * without leading zeros.
 */
export function isCidr(text: string): boolean {
  if (!Address4.isValid(text)) return false;
  const block = new Address4(text);
  return text === `${block.startAddress().correctForm()}/${block.subnetMask}`;
}

/** Whether the text is an IPv4 address in dotted decimal form, without a prefix. */
export function isAddress(text: string): boolean {
  return isCidr(`${text}/32`);
}

/** The number of leading bits that the addresses of a CIDR share: 16 for `172.31.0.0/16`. */
export function prefixLength(cidr: string): number {
  return new Address4(cidr).subnetMask;
}

/** Whether `outer` contains every address of `inner`. */
export function contains(outer: string, inner: string): boolean {
  return prefixLength(inner) >= prefixLength(outer) && new Address4(inner).isInSubnet(new Address4(outer));
}

/** Whether two CIDRs share an address. If they do, one contains the other: CIDRs never overlap in part. */
export function overlaps(one: string, other: string): boolean {
  return contains(one, other) || contains(other, one);
}

/** Whether a CIDR is in a range that is not routed on the internet (RFC 1918, RFC 6598). */
export function isPrivate(cidr: string): boolean {
  return PRIVATE_RANGES.some((range) => contains(range, cidr));
}

/** Whether a CIDR has no address in {@link UNUSABLE_RANGES}. */
export function isUsable(cidr: string): boolean {
  return !UNUSABLE_RANGES.some((range) => overlaps(range, cidr));
}

/** The share of all IPv4 addresses that a list of CIDRs contains, from 0 to 1. Addresses in several CIDRs count once. */
export function coveredShare(cidrs: readonly string[]): number {
  const separate = cidrs.filter(
    (cidr, index) => !cidrs.some((other, i) => contains(other, cidr) && (other !== cidr || i < index)),
  );
  return separate.reduce((share, cidr) => share + 2 ** -prefixLength(cidr), 0);
}

/** The address at a host number of a CIDR: number 10 of `172.31.0.0/24` is `172.31.0.10`. */
export function hostAddress(cidr: string, hostNumber: number): string {
  return Address4.fromBigInt(new Address4(cidr).startAddress().bigInt() + BigInt(hostNumber)).correctForm();
}

/** The first and last host number that EC2 assigns to machines in a subnet with this CIDR. */
export function usableHostNumbers(cidr: string): { readonly min: number; readonly max: number } {
  return { min: RESERVED_AT_START, max: 2 ** (32 - prefixLength(cidr)) - 1 - RESERVED_AT_END };
}

/** The most of the parts of a subnet that {@link reservedRanges} reserves: the first half, then the next quarter and eighth. */
const RESERVED_PARTS = 3;

/** The number of addresses at the end of a subnet that are left to AWS, at least. */
const LEFT_TO_AWS = 32;

/**
 * The CIDRs of a subnet from which AWS may not draw addresses: machines have fixed addresses there, now or later. They are
 * the first seven eighths of the subnet, and of a small subnet as much as leaves 32 addresses. So they depend on the subnet
 * alone, and additional machines change none of them. Machines at other addresses get a CIDR of their own.
 * @param addresses - the machines' addresses in the subnet
 *   If they have so many of the last ones that the load balancer gets too few, only their own addresses are reserved.
 */
export function reservedRanges(subnetCidr: string, addresses: readonly string[]): string[] {
  const own = addresses.map((address) => `${address}/32`);
  const parts: string[] = [];
  let rest = subnetCidr;
  while (parts.length < RESERVED_PARTS && 2 ** (31 - prefixLength(rest)) >= LEFT_TO_AWS) {
    const half = prefixLength(rest) + 1;
    parts.push(subnetwork(rest, half, 0));
    rest = subnetwork(rest, half, 1);
  }
  const others = own.filter((cidr) => contains(rest, cidr));
  const free = 2 ** (32 - prefixLength(rest)) - RESERVED_AT_END - others.length;
  return free >= LOAD_BALANCER_ADDRESSES ? [...parts, ...others] : own;
}

/** The number of networks of a prefix length in a CIDR: 256 of /24 in a /16, none in a /25. */
export function subnetworkCount(cidr: string, prefix: number): number {
  return Math.floor(2 ** (prefix - prefixLength(cidr)));
}

/**
 * The longest prefix of a service network with a tenth address. kubeadm gives this address to cluster DNS, and so do most
 * guides and this project.
 */
export const LONGEST_PREFIX_FOR_DNS = 28;

/** The prefix length of each worker's pod network. */
export const NODE_POD_PREFIX = 24;

/** The network at an index among those of a prefix length in a CIDR: index 2 of /24 in `172.20.0.0/16` is `172.20.2.0/24`. */
export function subnetwork(cidr: string, prefix: number, index: number): string {
  return `${hostAddress(cidr, index * 2 ** (32 - prefix))}/${prefix}`;
}

/** The subnet, host number and address of a machine. */
export interface NodePlace {
  /** The subnet's index in the list. */
  readonly subnetIndex: number;
  /** The address minus the first address of the subnet. */
  readonly hostNumber: number;
  /** The address, in dotted decimal form. */
  readonly address: string;
}

/** The place of node i of a fleet: host number `firstHostNumber` plus i, in subnet i modulo the number of subnets. */
export function nodePlace(subnetCidrs: readonly string[], firstHostNumber: number, index: number): NodePlace {
  const subnetIndex = index % subnetCidrs.length;
  const hostNumber = firstHostNumber + index;
  return { subnetIndex, hostNumber, address: hostAddress(subnetCidrs[subnetIndex] as string, hostNumber) };
}

/** The host name that EC2 gives to a machine in a subnet with IP-based names: `ip-172-31-0-10`. */
export function ec2Hostname(address: string): string {
  return `ip-${addressSlug(address)}`;
}

/**
 * The domain of a region's private host names. us-east-1, the oldest region, has a special one.
 * @see https://docs.aws.amazon.com/vpc/latest/userguide/DHCPOptionSet.html
 */
export function internalDomain(region: string): string {
  return region === "us-east-1" ? "ec2.internal" : `${region}.compute.internal`;
}

/** An address or CIDR as part of a Terraform address: `172.31.0.0/24` is `172-31-0-0-24`. */
export function addressSlug(addressOrCidr: string): string {
  return addressOrCidr.replace(/[./]/g, "-");
}
