import { Address4 } from "ip-address";

/** EC2 keeps the first four addresses of a subnet and its last: network, router, DNS, reserve, broadcast. */
const RESERVED_AT_START = 4;
const RESERVED_AT_END = 1;

/** The private ranges of RFC 1918, and the shared one of RFC 6598. */
const PRIVATE_RANGES = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"];

/**
 * Whether the text is an IPv4 CIDR in its one canonical form: `172.31.0.0/16`, without host bits, leading zeros
 * or a missing prefix.
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

/** Whether every address of `inner` is one of `outer`. */
export function contains(outer: string, inner: string): boolean {
  return prefixLength(inner) >= prefixLength(outer) && new Address4(inner).isInSubnet(new Address4(outer));
}

/** Whether two CIDRs share an address. CIDRs never overlap in part: one holds the other, or they are apart. */
export function overlaps(one: string, other: string): boolean {
  return contains(one, other) || contains(other, one);
}

/** Whether a CIDR lies in an address range that is not routed on the internet (RFC 1918, RFC 6598). */
export function isPrivate(cidr: string): boolean {
  return PRIVATE_RANGES.some((range) => contains(range, cidr));
}

/** The address at a host number of a CIDR: number 10 of `172.31.0.0/24` is `172.31.0.10`. */
export function hostAddress(cidr: string, hostNumber: number): string {
  return Address4.fromBigInt(new Address4(cidr).startAddress().bigInt() + BigInt(hostNumber)).correctForm();
}

/** The first and last host number that EC2 gives to machines in a subnet of this CIDR. */
export function usableHostNumbers(cidr: string): { readonly min: number; readonly max: number } {
  return { min: RESERVED_AT_START, max: 2 ** (32 - prefixLength(cidr)) - 1 - RESERVED_AT_END };
}

/** How many networks of a prefix length a CIDR holds: 256 of /24 in a /16, none in a /25. */
export function subnetworkCount(cidr: string, prefix: number): number {
  return Math.floor(2 ** (prefix - prefixLength(cidr)));
}

/** The prefix length of one worker's pod network. */
export const NODE_POD_PREFIX = 24;

/** The network at an index among those of a prefix length in a CIDR: index 2 of /24 in `172.20.0.0/16` is `172.20.2.0/24`. */
export function subnetwork(cidr: string, prefix: number, index: number): string {
  return `${hostAddress(cidr, index * 2 ** (32 - prefix))}/${prefix}`;
}

/** Where a machine of a fleet sits: which subnet of the list, which host number, which address. */
export interface NodePlace {
  /** The subnet's position in the list. */
  readonly subnetIndex: number;
  /** The address's distance from the start of the subnet. */
  readonly hostNumber: number;
  /** The address, in dotted decimal form. */
  readonly address: string;
}

/** Node i of a fleet has host number first + i, in subnet i modulo their number. */
export function nodePlace(subnetCidrs: readonly string[], firstHostNumber: number, index: number): NodePlace {
  const subnetIndex = index % subnetCidrs.length;
  const hostNumber = firstHostNumber + index;
  return { subnetIndex, hostNumber, address: hostAddress(subnetCidrs[subnetIndex] as string, hostNumber) };
}

/** The host name that EC2 gives a machine whose names are made from addresses: `ip-172-31-0-10`. */
export function ec2Hostname(address: string): string {
  return `ip-${addressSlug(address)}`;
}

/**
 * The domain of a region's private host names. The oldest region has a name of its own.
 * @see https://docs.aws.amazon.com/vpc/latest/userguide/DHCPOptionSet.html
 */
export function internalDomain(region: string): string {
  return region === "us-east-1" ? "ec2.internal" : `${region}.compute.internal`;
}

/** An address or CIDR as part of a Terraform address: `172.31.0.0/24` is `172-31-0-0-24`. */
export function addressSlug(addressOrCidr: string): string {
  return addressOrCidr.replace(/[./]/g, "-");
}
