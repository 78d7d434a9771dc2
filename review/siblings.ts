import { isDeepStrictEqual } from "node:util";
import { addressSlug, hostAddress, isAddress, isCidr } from "../model/addressing";
import { type Arguments, type Configuration, nameOf, once, typeOf, withoutIndexes } from "./arguments";
import { BUNDLE_ARGUMENTS, readDistribution } from "./provisioners";

/** The id of a machine in a name of this project: `worker-3` in `worker-3-request`. */
const ID = /(?:^|[_-])((master|worker)-(\d+))(?![0-9])/;

/** A machine of a configuration. */
export interface Machine {
  /** The Terraform address of the instance. */
  readonly address: string;
  /** The id, `worker-3`. */
  readonly id: string;
  readonly role: string;
  readonly index: number;
  /** The private address, if it is a literal. */
  readonly privateIp?: string;
  /** The CIDR of its pods in its user data, if there is one. */
  readonly pods?: string;
}

/** The machines of a configuration, by id. Instances whose names have no role are not among them. */
export const machinesOf = once((configuration: Configuration): ReadonlyMap<string, Machine> => {
  return new Map(
    [...configuration].flatMap(([address, block]) => {
      const [, id, role, index] = ID.exec(nameOf(address)) ?? [];
      if (typeOf(address) !== "aws_instance" || id === undefined || role === undefined) return [];
      const privateIp = String(block.get("private_ip"));
      const pods = /\|pod-cidr=([\d./]+)$/.exec(String(block.get("user_data")))?.[1];
      const places = {
        ...(isAddress(privateIp) && { privateIp }),
        ...(pods !== undefined && isCidr(pods) && { pods }),
      };
      return [[id, { address, id, role, index: Number(index), ...places }] as const];
    }),
  );
});

/** The id of the machine to which a resource belongs by its name; undefined if there is none. */
export function machineIdOf(address: string): string | undefined {
  return ID.exec(nameOf(address))?.[1];
}

/** The machine to which a resource belongs by its name; undefined if there is none. */
export function ownerOf(address: string, configuration: Configuration): Machine | undefined {
  return machinesOf(configuration).get(machineIdOf(address) ?? "");
}

/** The configurations before and after a change. */
export interface Configurations {
  readonly before: Configuration;
  readonly after: Configuration;
}

/**
 * The siblings of a resource: the same resource of each other machine of the role, if both exist before and after. A new
 * resource must equal them, except for the machine's names and addresses.
 */
export function siblingsOf(address: string, { before, after }: Configurations): string[] {
  const owner = ownerOf(address, after);
  if (owner === undefined) return [];
  const others = [...machinesOf(after).values()].filter(
    (other) => other.role === owner.role && other.id !== owner.id && before.has(other.address),
  );
  const names = others.map(({ id }) => withoutHash(nameOf(address).replace(owner.id, id)));
  return [...after.keys()].filter(
    (other) => before.has(other) && typeOf(other) === typeOf(address) && names.includes(withoutHash(nameOf(other))),
  );
}

/** A name without the hash that cdktf adds in a stack of its own. */
export function withoutHash(name: string): string {
  return name.replace(/_[0-9A-F]{8}$/, "");
}

/** The start of each placeholder. */
const MARK = "\uE000";

/** A text with placeholders in place of a machine's own names and addresses. */
export function withoutNames(text: string, { id, privateIp, pods }: Machine): string {
  const own: [string | undefined, string][] = [
    [pods, "PODS"],
    [privateIp, "ADDRESS"],
    [privateIp && addressSlug(privateIp), "HOST"],
  ];
  // A text cannot have the placeholders from the beginning.
  return own
    .reduce(
      (known, [one, placeholder]) => (one ? replaceWhole(known, one, `${MARK}${placeholder}`) : known),
      text.replaceAll(MARK, "\uFFFD"),
    )
    .replaceAll(
      new RegExp(`(?<![A-Za-z0-9])${id}(?![0-9])([\\w-]*?)(_[0-9A-F]{8})?(?![\\w-])`, "g"),
      `${MARK}MACHINE$1`,
    );
}

/** Replaces a text wherever it is not a part of a longer number, address or name. */
function replaceWhole(text: string, one: string, other: string): string {
  const pattern = one.replaceAll(".", "\\.");
  return text.replaceAll(new RegExp(`(?<![0-9.])${pattern}(?![0-9]|\\.[0-9])`, "g"), other);
}

/** The arguments of a copy that depend on the machine's files and number, and that only say when it is made. */
const TIMES: readonly string[] = ["triggers.files", "triggers.config", "triggers.certificates", "depends_on"];

function comparable(address: string, block: Arguments, configuration: Configuration): Arguments {
  const owner = ownerOf(address, configuration);
  const left = [
    ...(readDistribution(block) === undefined ? [] : BUNDLE_ARGUMENTS),
    ...(typeOf(address) === "null_resource" ? TIMES : []),
  ];
  const entries = [...block].filter(([path]) => !left.includes(path));
  return new Map(owner === undefined ? entries : JSON.parse(withoutNames(JSON.stringify(entries), owner)));
}

/** The arguments in which the machines of one role differ from those of another. User data is checked by itself. */
const BY_ROLE = /^(instance_type|root_block_device|user_data|private_ip)(\.|$)/;

/**
 * The arguments of a resource that differ from those of its sibling; of several siblings, the one with the fewest differences
 * counts. The first machine of a role is compared with the machines of the other role. The files of a copy are not compared.
 * @returns paths without indexes; none without a sibling
 */
export function differencesFromSiblings(address: string, configurations: Configurations): string[] {
  const { before, after } = configurations;
  const block = (each: string) => comparable(each, after.get(each) ?? new Map(), after);
  const own = block(address);
  const siblings = siblingsOf(address, configurations);
  const others =
    siblings.length > 0 || typeOf(address) !== "aws_instance"
      ? []
      : [...machinesOf(after).values()].map((other) => other.address).filter((each) => before.has(each));
  const differences = [...siblings, ...others].map((sibling) => {
    const other = block(sibling);
    const paths = [...new Set([...own.keys(), ...other.keys()])];
    return paths
      .filter((path) => !isDeepStrictEqual(own.get(path), other.get(path)))
      .map(withoutIndexes)
      .filter((path) => others.length === 0 || !BY_ROLE.test(path));
  });
  const [fewest = []] = differences.sort((one, other) => one.length - other.length);
  const owner = ownerOf(address, after);
  // Machines of one role are in several subnets.
  const known = fewest.filter((path) => path !== "subnet_id" || !isSubnet(after.get(address)?.get(path), after));
  return owner?.address === address ? [...known, ...misplaced(owner, configurations)] : known;
}

function isSubnet(value: unknown, configuration: Configuration): boolean {
  const [, subnet = ""] = /^\$\{(aws_subnet\.[\w-]+)\.id\}$/.exec(String(value)) ?? [];
  return configuration.has(subnet);
}

/** The arguments with addresses of a machine, or its pods, that are not those of a sibling plus the difference of their indexes. */
function misplaced(machine: Machine, { before, after }: Configurations): string[] {
  const siblings = [...machinesOf(after).values()].filter(
    ({ role, id, address }) => role === machine.role && id !== machine.id && before.has(address),
  );
  const isAway = (field: "privateIp" | "pods", step: number, others: readonly Machine[]) =>
    others.some((other) => !isShifted(other[field], machine[field], machine.index - other.index, step));
  const inSubnet = siblings.filter((other) => isDeepStrictEqual(subnetOf(other, after), subnetOf(machine, after)));
  return [
    ...(isAway("privateIp", 1, inSubnet) ? ["private_ip"] : []),
    ...(isAway("pods", NODE_POD_ADDRESSES, siblings) ? ["user_data"] : []),
  ];
}

/** The number of addresses in the pod network of a machine. */
const NODE_POD_ADDRESSES = 256;

function subnetOf({ address }: Machine, configuration: Configuration): unknown {
  return configuration.get(address)?.get("subnet_id");
}

/** A machine and the CIDR of a route to it. */
export interface PodNetwork {
  readonly machine: Machine;
  readonly destination: string;
}

/** Whether the pod networks of two machines of a role are as far apart as their indexes. */
export function arePodsInOrder(one: PodNetwork, other: PodNetwork): boolean {
  if (one.machine.role !== other.machine.role) return true;
  const shift = other.machine.index - one.machine.index;
  return isShifted(one.destination, other.destination, shift, NODE_POD_ADDRESSES);
}

/** Whether an address or CIDR is another one plus a number of steps. */
function isShifted(from: string | undefined, to: string | undefined, count: number, step: number): boolean {
  if (from === undefined || to === undefined) return from === to;
  const [[start = "", prefix], [end, prefixOfEnd]] = [from.split("/"), to.split("/")];
  return prefix === prefixOfEnd && hostAddress(`${start}/32`, count * step) === end;
}
