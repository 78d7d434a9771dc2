import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { contains, isCidr, isPrivate, overlaps, prefixLength } from "../model/addressing";
import { UBUNTU_RELEASES } from "../model/images";
import { SSH_PORT } from "../model/ports";
import { CANONICAL_ACCOUNTS } from "../model/regions";
import {
  type Arguments,
  type Configuration,
  flatten,
  nameOf,
  once,
  typeOf,
  withoutIndexes,
  withoutKeys,
} from "./arguments";
import {
  INTERNAL_DOMAIN,
  isFrontProxyCa,
  isKnownCertificate,
  isKnownFrontProxyCa,
  isKnownRequest,
  isNamed,
} from "./certificates";
import {
  type ArgumentChange,
  asSecond,
  type Changes,
  changedLeaves,
  type DeepReadonly,
  KNOWN_LATER,
  type ResourceChange,
} from "./changes";
import { changesProgram, foreignCommands } from "./commands";
import { allSources, restarts, sourcesOf } from "./installation";
import { type FindingKind, KINDS } from "./kinds";
import { foreignHosts, readDistribution } from "./provisioners";
import { lostQuorum, quorumNotes, upgrades, waveNotes } from "./rollout";
import { isExposed, refersToSecret, unmarks } from "./secrets";
import { arePodsInOrder, differencesFromSiblings, machinesOf } from "./siblings";
import { stepOf } from "./steps";

/** A consequence of a change that a reviewer must look at. */
export const findingSchema = z.strictObject({
  kind: z.enum(KINDS),
  addresses: z
    .array(z.string())
    .describe("The addresses of the resources with this finding; empty if it applies to the whole configuration."),
  details: z
    .record(z.string(), z.string())
    .optional()
    .describe(
      "More about an address: the port and source of a security rule, the sources of programs, or versions before and after.",
    ),
  notes: z.array(z.string()).optional().describe("Sentences about this change, in Markdown, without a full stop."),
});
/** A consequence of a change that a reviewer must look at. */
export type Finding = DeepReadonly<z.infer<typeof findingSchema>>;

type Action = ResourceChange["action"];

function isGone(action: Action): boolean {
  return action === "destroy" || action === "forget" || action === "clean-up";
}

/** Whether a new object is made, for the first time or again. */
function isMade(action: Action): boolean {
  return action === "create" || action === "replace";
}

function isReplacedOrDestroyed(action: Action): boolean {
  return action === "replace" || action === "destroy";
}

/** A change together with all changes. */
interface Context {
  readonly change: ResourceChange;
  readonly changes: Changes;
  /** Its arguments in the configuration after, and before. A plan has no configuration before. */
  readonly source: Arguments;
  readonly sourceBefore: Arguments;
}

type Test = (context: Context) => boolean;

const NOTHING: Arguments = new Map();
const NONE: Configuration = new Map();

/** The values of an argument after the change, at a path without indexes: as known, and as the configuration has them. */
function valuesOf({ change, source }: Pick<Context, "change" | "source">, path: string): unknown[] {
  return [...Object.entries(change.settings), ...source]
    .filter(([each]) => withoutIndexes(each) === path)
    .map(([, value]) => value);
}

/** The first value of an argument as the configuration has it, or else as it is known. */
function written(context: Pick<Context, "change" | "source">, path: string): unknown {
  return [...context.source].find(([each]) => withoutIndexes(each) === path)?.[1] ?? valuesOf(context, path)[0];
}

function changesPath(change: ResourceChange, pattern: RegExp): boolean {
  return changedLeaves(change).some(
    ({ path, before, after }) => pattern.test(withoutIndexes(path)) && !isDeepStrictEqual(before, after),
  );
}

/** Whether a test is true for an argument now, and was not true for it before. */
function becomesTrue({ change }: Context, test: (path: string, value: unknown) => boolean): boolean {
  if (change.action === "create") return Object.entries(change.settings).some(([path, value]) => test(path, value));
  return (
    !isGone(change.action) &&
    changedLeaves(change).some(({ path, before, after }) => test(path, after) && !test(path, before))
  );
}

/** The address to which an argument refers; undefined if it is no reference to exactly this attribute of such a resource. */
function refersTo(value: unknown, type: string, attribute: string): string | undefined {
  const [, address] = /^\$\{((?:[\w.-]+\.)?\w+\.[\w-]+)\.(\w+)\}$/.exec(String(value)) ?? [];
  return address !== undefined &&
    String(value).endsWith(`.${attribute}}`) &&
    address.replace(/\.[^.]*$/, "").endsWith(type)
    ? address
    : undefined;
}

/** Whether the resource at the address to which an argument refers is created by the same change. */
function isCreatedToo({ changes }: Pick<Context, "changes">, address: string | undefined): boolean {
  return changes.resources.some((other) => other.action === "create" && withoutKeys(other.address) === address);
}

/** Whether a new machine has another value of an argument than every machine that existed before. */
function differsFromOthers({ change, changes, source }: Context, path: string): boolean {
  if (change.type !== "aws_instance" || change.action !== "create") return false;
  const others = [...(changes.after ?? NONE)].filter(
    ([address]) => typeOf(address) === "aws_instance" && !isCreatedToo({ changes }, address),
  );
  return others.length > 0 && !others.some(([, block]) => isDeepStrictEqual(block.get(path), source.get(path)));
}

/** Whether no machine existed before. A plan does not contain the configuration before: then, if everything is created. */
function isFirst({ resources, before }: Changes): boolean {
  return before === undefined ? resources.every(({ action }) => action === "create") : machinesOf(before).size === 0;
}

/** The kind of finding for each argument in which a new resource differs from its sibling; `unknown` for others. */
const DIFFERENCES: readonly (readonly [path: RegExp, kind: FindingKind])[] = [
  [/^ami$/, "image"],
  [/^user_data/, "user-data"],
  [/^key_name$/, "login-key"],
  [/^(vpc_security_group_ids|subnet_id|private_ip)$/, "access"],
  [/^(source_dest_check|destination_cidr_block|network_interface_id|gateway_id|route_table_id)$/, "route"],
  [
    /^(private_key_pem|subject|dns_names|ip_addresses|cert_request_pem|ca_\w+|allowed_uses|validity_.*)(\.|$)/,
    "identity",
  ],
  [/^(connection|provisioner)\b/, "commands"],
];

/**
 * The kinds of the arguments in which a new resource of a machine differs from those of other machines of its role. Only a
 * comparison knows which machines are new.
 */
const differencesOf = once(({ change, changes: { before, after } }: Context): readonly FindingKind[] => {
  if (change.action !== "create" || before === undefined || after === undefined) return [];
  const paths = differencesFromSiblings(withoutKeys(change.address), { before, after });
  return paths.map((path) => DIFFERENCES.find(([pattern]) => pattern.test(path))?.[1] ?? "unknown");
});

// Security rules

const RULE = /^aws_vpc_security_group_(ingress|egress)_rule$/;

/** The arguments of a security rule that define its sources, its ports and its group. */
const RULE_SCOPE =
  /^(cidr_ipv[46]|cidr_blocks?|ipv6_cidr_blocks?|protocol|ip_protocol|(from|to)_port|security_group_id)$/;

/** The arguments with the sources or destinations of a rule. */
const SOURCES = /(^|\.)(cidr_ipv[46]|cidr_blocks|ipv6_cidr_blocks)$/;

/** The longest prefix that counts as the whole internet. It is not 0, because two rules with a /1 each allow all of it. */
const WORLD_PREFIX = 7;

function isWorld(cidr: unknown): boolean {
  return typeof cidr === "string" && Number(cidr.split("/")[1] ?? Number.POSITIVE_INFINITY) <= WORLD_PREFIX;
}

/** Whether an argument has the sources of connections to a machine. */
function isSource({ change: { type, settings } }: Context, path: string): boolean {
  const name = withoutIndexes(path);
  if (/egress/.test(type) || /^egress\b/.test(name) || settings.type === "egress" || settings.egress === true)
    return false;
  return SOURCES.test(name) || (type === "aws_network_acl_rule" && /cidr_block$/.test(name));
}

/** Whether a rule is new, or allows something else than before. */
function isNewRule({ action, ...change }: ResourceChange): boolean {
  if (isGone(action)) return false;
  if (action === "create") return true;
  return changedLeaves({ action, ...change }).some(
    ({ path, before, after }) =>
      RULE_SCOPE.test(withoutIndexes(path)) &&
      !isDeepStrictEqual(before, after) &&
      // The group of the rule is replaced, and the rule with it.
      !(path === "security_group_id" && after === KNOWN_LATER),
  );
}

/** Whether an argument of a rule is a CIDR of public addresses. */
function isPublicCidr(cidr: unknown): cidr is string {
  return typeof cidr === "string" && /^[\d.]+\/\d+$/.test(cidr) && !isPrivate(cidr);
}

/** The public addresses that new rules of security groups allow together. A second cluster may have the rules of the first. */
function newPublicAddresses({ resources, isSecondCluster, before = NONE }: Changes): number {
  const scopeOf = (rule: Readonly<Record<string, unknown>>) =>
    JSON.stringify([rule.cidr_ipv4, rule.ip_protocol, rule.from_port, rule.to_port]);
  const known = new Set(isSecondCluster ? [...before.values()].map((rule) => scopeOf(Object.fromEntries(rule))) : []);
  const cidrs = resources
    .filter((change) => /ingress_rule$/.test(change.type) && isNewRule(change) && !known.has(scopeOf(change.settings)))
    .map(({ settings }) => settings.cidr_ipv4)
    .filter(isPublicCidr);
  return [...new Set(cidrs)].reduce((sum, cidr) => sum + 2 ** (32 - prefixLength(cidr)), 0);
}

const opensWorld: Test = (context) => {
  const { change, changes } = context;
  // Without it, connections from the load balancer come from an address of the subnet, which the rules allow.
  if (changesPath(change, /^preserve_client_ip$/) && String(change.settings.preserve_client_ip ?? "true") !== "true") {
    return change.action !== "destroy";
  }
  const isOpen = Object.entries(change.settings).some(
    ([path, value]) => isSource(context, path) && [value].flat().some(isWorld),
  );
  if (/_rule$/.test(change.type)) {
    const isPublic = /ingress/.test(change.type) && isPublicCidr(change.settings.cidr_ipv4);
    return isNewRule(change) && (isOpen || (isPublic && newPublicAddresses(changes) >= 2 ** (32 - WORLD_PREFIX)));
  }
  return isOpen && becomesTrue(context, (path, value) => isSource(context, path) && [value].flat().some(isWorld));
};

const changesAccess: Test = (context) => {
  const { change } = context;
  const { type, action } = change;
  if (type === "aws_instance") {
    return changesPath(change, /^vpc_security_group_ids$/) || differsFromOthers(context, "vpc_security_group_ids");
  }
  if (!RULE.test(type)) return false;
  if (action === "create") {
    const group = refersTo(written(context, "security_group_id"), "aws_security_group", "id");
    return !isFirst(context.changes) || !isCreatedToo(context, group);
  }
  return isGone(action) || isNewRule(change) || changesPath(change, /^referenced_security_group_id$/);
};

/** The public source from which a rule allows ssh; undefined if it allows no ssh, or only from private addresses or a group. */
function sshSource(type: string, rule: Readonly<Record<string, unknown>>): string | undefined {
  const { cidr_ipv4, cidr_ipv6, ip_protocol, from_port, to_port } = rule;
  const hasPort = Number(from_port) <= SSH_PORT && SSH_PORT <= Number(to_port);
  if (!/ingress_rule$/.test(type) || !(ip_protocol === "-1" || (ip_protocol === "tcp" && hasPort))) return undefined;
  if (isPublicCidr(cidr_ipv4)) return cidr_ipv4;
  return typeof cidr_ipv6 === "string" ? cidr_ipv6 : undefined;
}

/** The settings of a resource before the change. */
function settingsBefore(change: ResourceChange): Readonly<Record<string, unknown>> {
  const leaves = changedLeaves(change).map(({ path, before }) => [path, before]);
  return { ...change.settings, ...Object.fromEntries(leaves) };
}

/** Whether a rule allowed ssh from a source from which no rule allows it afterwards. */
const closesSsh: Test = ({ change, changes }) => {
  const { type, action } = change;
  if (action === "create" || action === "forget" || action === "clean-up") return false;
  const source = sshSource(type, settingsBefore(change));
  if (source === undefined) return false;
  const left = [
    ...changes.resources.filter((other) => !isGone(other.action)).map((other) => sshSource(other.type, other.settings)),
    ...[...(changes.after ?? NONE)]
      .filter(([address]) => RULE.test(typeOf(address)))
      .map(([address, rule]) => sshSource(typeOf(address), Object.fromEntries(rule))),
  ];
  return !left.some(
    (other) => other === source || (other !== undefined && isCidr(other) && isCidr(source) && contains(other, source)),
  );
};

/** The protocol, ports and source of a security rule, in words; undefined for other resources. */
function describeRule({ type, settings }: Pick<ResourceChange, "type" | "settings">): string | undefined {
  if (!RULE.test(type)) return undefined;
  const { ip_protocol, from_port, to_port, cidr_ipv4, cidr_ipv6, referenced_security_group_id } = settings;
  const protocol = ip_protocol === "-1" ? "all traffic" : String(ip_protocol ?? "").toUpperCase();
  const ports =
    from_port == null || from_port === -1 ? "" : ` ${from_port}${from_port === to_port ? "" : `-${to_port}`}`;
  const other = cidr_ipv4 ?? cidr_ipv6 ?? (referenced_security_group_id === undefined ? undefined : "a security group");
  return `${protocol}${ports}${other === undefined ? "" : ` ${/egress/.test(type) ? "to" : "from"} ${other}`}`;
}

/**
 * A number for the sources and ports that a change of access allows: the more, the larger. An unknown source, and a change
 * that is no rule, count as the whole internet; a rule that is removed or that allows no more than members counts least.
 */
function harmOf({ type, action, settings }: ResourceChange): number {
  if (!RULE.test(type)) return Number.MAX_VALUE;
  const { ip_protocol, from_port, to_port, cidr_ipv4, referenced_security_group_id } = settings;
  const isMember = /^\$\{aws_instance\.[\w-]+\.public_ip\}\/32$/.test(String(cidr_ipv4));
  if (isGone(action) || referenced_security_group_id !== undefined || isMember) return 0;
  const isLiteral = typeof cidr_ipv4 === "string" && isCidr(cidr_ipv4);
  const sources = isLiteral ? (isPrivate(cidr_ipv4) ? 0 : 33) - prefixLength(cidr_ipv4) : 33;
  const isAllTraffic = ip_protocol === "-1" || Number(from_port) < 0;
  const ports = isAllTraffic ? 65_536 : Number(to_port ?? 65_535) - Number(from_port ?? 0) + 1;
  // Sources count first, since each size of the prefix doubles them.
  return 2 ** sources * (1 + ports / 65_536);
}

/** Whether the source of a rule is an expression that this page cannot resolve. */
const hasUnknownSource: Test = (context) => {
  const { change, changes } = context;
  if (!RULE.test(change.type) || !(change.action === "create" || isNewRule(change))) return false;
  return [...Object.entries(change.settings), ...context.source].some(([path, value]) => {
    if (!SOURCES.test(path) || !/[$%]\{/.test(String(value))) return false;
    if (/^[\d.]+\/\d+$/.test(String(change.settings[path]))) return false;
    const [, machine] = /^\$\{(aws_instance\.[\w-]+)\.public_ip\}(\/32)?$/.exec(String(value)) ?? [];
    return machine === undefined || changes.after?.has(machine) !== true;
  });
};

// Machines

/** The user data that this project writes. */
const USER_DATA = /^name=(master|worker)-\d+(\|pod-cidr=[\d.]+\/\d+)?$/;

const hasOtherUserData: Test = (context) => {
  const { change, changes } = context;
  if (change.type !== "aws_instance" || isGone(change.action)) return false;
  if (!isMade(change.action) && !changesPath(change, /^user_data/)) return false;
  const data = written(context, "user_data");
  if (data === undefined || data === null || USER_DATA.test(String(data))) return false;
  const withoutNumbers = (value: unknown) => String(value).replaceAll(/\d+/g, "0");
  return !existing(changes, "aws_instance", "user_data").some((each) => withoutNumbers(each) === withoutNumbers(data));
};

/** The values of an argument in the resources of a type before the change. */
function existing({ before = new Map() }: Changes, type: string, path: string): unknown[] {
  return [...before].filter(([address]) => address.startsWith(`${type}.`)).map(([, block]) => block.get(path));
}

const hasOtherImage: Test = (context) => {
  const { change, changes } = context;
  if (change.type !== "aws_instance" || isGone(change.action)) return false;
  // In a plan, the image of a new machine may also be newer than that of the others, which is no finding.
  if (changesPath(change, /^ami$/) && changes.before !== undefined) return true;
  if (!isMade(change.action)) return false;
  const ami = written(context, "ami");
  if (existing(changes, "aws_instance", "ami").some((each) => isDeepStrictEqual(each, ami))) return false;
  if (changes.after?.get(withoutKeys(change.address)) === undefined) return false;
  const lookup = changes.after.get(refersTo(ami, "data.aws_ami", "id") ?? "");
  return lookup === undefined || !findsRelease(lookup);
};

/** The lookups of the newest image of each Ubuntu release, without the account. */
const LOOKUPS = Object.values(UBUNTU_RELEASES).map((name) =>
  flatten({
    most_recent: true,
    filter: Object.entries({ "root-device-type": "ebs", architecture: "x86_64", name }).map(([key, value]) => ({
      name: key,
      values: [value],
    })),
  }),
);

/** Whether a lookup finds the newest image of an Ubuntu release of Canonical's. */
function findsRelease(lookup: Arguments): boolean {
  const { owners, ...others } = Object.fromEntries(lookup);
  if (others.include_deprecated === false) delete others.include_deprecated;
  return (
    Array.isArray(owners) &&
    owners.every((owner) => CANONICAL_ACCOUNTS.includes(owner)) &&
    owners.length > 0 &&
    LOOKUPS.some((each) => isDeepStrictEqual(others, Object.fromEntries(each)))
  );
}

const addsLoginKey: Test = (context) => {
  const { change, changes } = context;
  if (change.type === "aws_instance") {
    return (changesPath(change, /^key_name$/) && !isFirst(changes)) || differsFromOthers(context, "key_name");
  }
  const pairs = [...(changes.after?.keys() ?? [])].filter((address) => address.includes("aws_key_pair."));
  return change.type === "aws_key_pair" && change.action === "create" && (!isFirst(changes) || pairs.length > 1);
};

// Certificates

/** The arguments of a request that define its user, its names and its key. */
const REQUEST = /^(subject|dns_names|ip_addresses|private_key_pem)(\.|$)/;

const signsOther: Test = (context) => {
  const { change, changes } = context;
  const { type, action, address } = change;
  if (isGone(action)) return false;
  const configuration = changes.after ?? NONE;
  const configured = withoutKeys(address);
  // A second certificate, with the name of an existing one.
  const isSecond = () =>
    [...configuration.keys()].filter(
      (other) => typeOf(other) === type && isNamed(other, nameOf(address).replace(/^.*_(?=[a-z])|_[0-9A-F]{8}$/g, "")),
    ).length > 1;
  if (type === "tls_self_signed_cert") {
    const isKnown = isKnownFrontProxyCa(configured, configuration);
    return isFrontProxyCa(address) ? !isKnown : action === "create" && !isFirst(changes);
  }
  if (type === "tls_cert_request") {
    if (!isMade(action) && !changesPath(change, REQUEST)) return false;
    const isPlanned = changes.before === undefined;
    const value = (path: string) => (isPlanned ? valuesOf(context, path)[0] : written(context, path));
    return (
      (action === "create" && isSecond()) || !isKnownRequest({ address: configured, value, isPlanned }, configuration)
    );
  }
  if (type !== "tls_locally_signed_cert" || !configuration.has(configured)) return false;
  return (isMade(action) || change.arguments.length > 0) && !isKnownCertificate(configured, configuration);
};

const isCaKey: Test = ({ change: { address, type } }) =>
  type === "tls_private_key" && isNamed(address, "ca-private-key");

const isCaCertificate: Test = ({ change: { address, type } }) =>
  type === "tls_self_signed_cert" && !isFrontProxyCa(address);

/** Whether the CA's certificate is replaced with the same key and the same name: others refer to their issuer by both. */
const keepsKey: Test = ({ change: { settings, action, because, arguments: changed } }) =>
  action === "replace" &&
  settings.private_key_pem !== undefined &&
  !changed.some(({ path }) => path === "private_key_pem" || /^subject\b/.test(path)) &&
  !because.some((address) => address.includes("tls_private_key."));

// The load balancer and routes

/** The types of a load balancer's parts. A cluster has one of each, and a target for each machine of the control plane. */
const BALANCER_PARTS = ["aws_lb", "aws_lb_listener", "aws_lb_target_group"];

/** Whether such a resource is destroyed by the same change. */
function isDestroyedToo({ changes }: Context, isIt: (other: ResourceChange) => boolean): boolean {
  return changes.resources.some((other) => isGone(other.action) && isIt(other));
}

const changesListener: Test = (context) => {
  const { change, changes } = context;
  const { type, action } = change;
  const all = [...(changes.after ?? NONE)];
  if (type === "aws_lb_target_group_attachment") {
    const target = valuesOf(context, "target_id")[0];
    const machines = [...machinesOf(changes.after ?? NONE).values()].filter(({ role }) => role === "master");
    const isTarget = machines.some(({ privateIp }) => privateIp === target);
    // A machine of the control plane is removed with its target.
    if (isGone(action)) return isTarget;
    if (action !== "create" && change.arguments.length === 0) return false;
    const ports = all
      .filter(([address]) => typeOf(address) === "aws_lb_target_group")
      .map(([, each]) => each.get("port"));
    const port = valuesOf(context, "port")[0];
    return !(isTarget && ports.map(String).includes(String(port)));
  }
  if (!BALANCER_PARTS.includes(type)) return false;
  if (type !== "aws_lb" && isGone(action)) return true;
  if (action === "create") return all.filter(([address]) => typeOf(address) === type).length > 1;
  if (type === "aws_lb") return false;
  const balancer = refersTo(written(context, "load_balancer_arn"), "aws_lb", "arn") ?? "";
  return (
    changesPath(change, /^(port|protocol|target_type|default_action\.)/) ||
    (changesPath(change, /^load_balancer_arn$/) && changes.after?.has(balancer) !== true)
  );
};

/** Whether a route leads to the pods of the machine to which it goes, as the other routes do. */
function isPodRoute(context: Context): boolean {
  const { changes } = context;
  const configuration = changes.after ?? NONE;
  const machines = [...machinesOf(configuration).values()];
  const machineOfRoute = (value: unknown) => {
    const address = refersTo(value, "aws_instance", "primary_network_interface_id");
    return machines.find((each) => each.address === address);
  };
  const routes = [...configuration].flatMap(([address, block]) => {
    const machine = machineOfRoute(block.get("network_interface_id"));
    return typeOf(address) === "aws_route" && machine !== undefined
      ? [{ machine, destination: String(block.get("destination_cidr_block")) }]
      : [];
  });
  const destination = String(written(context, "destination_cidr_block"));
  const machine = machineOfRoute(written(context, "network_interface_id"));
  const networks = [...configuration].flatMap(([address, block]) =>
    typeOf(address) === "aws_vpc" ? [String(block.get("cidr_block"))] : [],
  );
  return (
    machine !== undefined &&
    isCidr(destination) &&
    isPrivate(destination) &&
    !networks.some((network) => isCidr(network) && overlaps(network, destination)) &&
    (machine.pods === undefined || machine.pods === destination) &&
    routes.every((other) => arePodsInOrder(other, { machine, destination }))
  );
}

const changesRoute: Test = (context) => {
  const { change, changes } = context;
  const { type, action } = change;
  const isRefersTo = (path: string, otherType: string) => {
    const address = refersTo(written(context, path), otherType, "id");
    return address !== undefined && changes.after?.has(address) === true;
  };
  if (isGone(action)) {
    if (type === "aws_route") {
      const { network_interface_id } = change.settings;
      const machine = refersTo(network_interface_id, "aws_instance", "primary_network_interface_id");
      return !isDestroyedToo(context, ({ address }) => address === machine);
    }
    if (type === "aws_route_table_association") {
      const subnet = refersTo(change.settings.subnet_id, "aws_subnet", "id");
      return !isDestroyedToo(context, ({ address }) => address === subnet);
    }
    return /^aws_(vpc_dhcp_options(_association)?|internet_gateway|route_table)$/.test(type);
  }
  const isNew = action === "create";
  if (type === "aws_vpc_dhcp_options") {
    if (isNew && !hasAmazonDns(context)) return true;
    const hasDomain = INTERNAL_DOMAIN.test(String(written(context, "domain_name")));
    return changesPath(change, /^domain_name(_servers)?$/) && !(hasAmazonDns(context) && hasDomain);
  }
  if (type === "aws_vpc_dhcp_options_association") {
    return (isNew || change.arguments.length > 0) && !isRefersTo("dhcp_options_id", "aws_vpc_dhcp_options");
  }
  if (type === "aws_internet_gateway") return changesPath(change, /^vpc_id$/);
  if (type === "aws_route_table_association") {
    if (!isNew) return changesPath(change, /^(route_table_id|subnet_id)$/);
    return !isFirst(changes) && !isCreatedToo(context, refersTo(written(context, "subnet_id"), "aws_subnet", "id"));
  }
  if (type !== "aws_route" || (!isNew && change.arguments.length === 0)) return false;
  const gateway = refersTo(written(context, "gateway_id"), "aws_internet_gateway", "id");
  const isInternet = written(context, "destination_cidr_block") === "0.0.0.0/0" && isCreatedToo(context, gateway);
  return !isInternet && !isPodRoute(context);
};

function hasAmazonDns(context: Context): boolean {
  return isDeepStrictEqual(written(context, "domain_name_servers"), ["AmazonProvidedDNS"]);
}

// Secrets and commands

/** The arguments that hold a private key. */
const SECRET_PLACES = /^((ca_)?private_key_pem|connection\.private_key)$/;

const showsSecret: Test = (context) => {
  const { change, changes, source, sourceBefore } = context;
  if (isGone(change.action)) return false;
  if (isExposed(change.settings) && becomesTrue(context, (_path, value) => isExposed(value))) return true;
  if (isExposed([change.address, change.movedFrom])) return true;
  if (changes.copies.some(({ address, secret }) => address === change.address && secret === true)) return true;
  const copies = readDistribution(source) !== undefined;
  const isNew = (path: string, value: unknown) =>
    changes.before === undefined
      ? change.action !== "none"
      : change.action === "create" || !isDeepStrictEqual(value, sourceBefore.get(path));
  return [...(source.size > 0 ? source : Object.entries(change.settings))].some(
    ([path, value]) =>
      !SECRET_PLACES.test(path) &&
      !(copies && /\.file\.content$/.test(path)) &&
      isNew(path, value) &&
      refersToSecret(value) &&
      !refersToSecret(sourceBefore.get(path)),
  );
};

const runsCommands: Test = ({ change: { address, action }, changes }) => {
  const configuration = changes.after ?? NONE;
  const configured = withoutKeys(address);
  const commands = foreignCommands(configured, configuration);
  // A plan does not show that a provisioner runs when its resource is destroyed.
  if (changes.before === undefined) return (isMade(action) || action === "destroy") && commands.length > 0;
  if (isGone(action)) return false;
  if (action === "create") return commands.length > 0;
  return (
    !isDeepStrictEqual(commands, foreignCommands(configured, changes.before)) ||
    changesProgram(configured, changes.before, configuration)
  );
};

/** The sources of programs and images that are new in the cluster; in a plan, those of each copy that is made. */
function newSources({ change: { address, action }, changes: { before, after } }: Context): string[] {
  if (isGone(action) || (before === undefined && !isMade(action))) return [];
  const known = allSources(before ?? NONE);
  return sourcesOf(withoutKeys(address), after ?? NONE).filter((source) => !known.has(source));
}

/** The changes of versions of Kubernetes and etcd on a machine, in words. */
function upgradesOf({ change: { address }, changes }: Context, isRefused: boolean): string[] {
  return upgrades(changes)
    .filter((each) => each.address === address && each.isRefused === isRefused)
    .map(({ name, before, after }) => `${name} ${before} -> ${after}`);
}

const usesForeignHost: Test = ({ change, changes, source, sourceBefore }) => {
  if (isGone(change.action)) return false;
  const hosts = foreignHosts(source, changes.after ?? NONE);
  const known = change.action === "create" ? [] : foreignHosts(sourceBefore, changes.before ?? NONE);
  return hosts.length > 0 && !isDeepStrictEqual(hosts, known);
};

const hasAction =
  (type: string, ...actions: readonly Action[]): Test =>
  ({ change }) =>
    change.type === type && actions.includes(change.action);

/** For each kind, a test of whether a changed resource has that finding. */
const RESOURCE_TESTS: Partial<Record<FindingKind, Test>> = {
  "replace-network": ({ change: { type, action } }) => ["aws_vpc", "aws_subnet"].includes(type) && action === "replace",
  refused: ({ change }) => change.action !== "replace" && change.arguments.some(({ refused }) => refused === true),
  "lose-quorum": ({ change, changes }) => lostQuorum(changes)?.addresses.includes(change.address) === true,
  "refused-upgrade": (context) => upgradesOf(context, true).length > 0,
  "open-world": opensWorld,
  secret: showsSecret,
  commands: runsCommands,
  downloads: (context) => newSources(context).length > 0,
  "foreign-host": usesForeignHost,
  image: hasOtherImage,
  "user-data": hasOtherUserData,
  "login-key": addsLoginKey,
  import: ({ change: { imported, action } }) => imported === true && !isMade(action),
  identity: signsOther,
  "close-ssh": closesSsh,
  access: (context) =>
    changesAccess(context) && !opensWorld(context) && !(isGone(context.change.action) && closesSsh(context)),
  listener: changesListener,
  route: changesRoute,
  "replace-ca": (context) => {
    const { action } = context.change;
    if (isCaKey(context)) return isReplacedOrDestroyed(action);
    return isCaCertificate(context) && isReplacedOrDestroyed(action) && !keepsKey(context);
  },
  "renew-ca": (context) => isCaCertificate(context) && keepsKey(context),
  "replace-service-account-key": ({ change: { address, type, action } }) =>
    type === "tls_private_key" && isNamed(address, "service-account-private-key") && isReplacedOrDestroyed(action),
  "replace-encryption-key": ({ change: { address, type, action } }) =>
    type === "tls_private_key" && isNamed(address, "encryption-key") && isReplacedOrDestroyed(action),
  "replace-machine": hasAction("aws_instance", "replace"),
  "destroy-machine": hasAction("aws_instance", "destroy"),
  "restart-machine": hasAction("aws_instance", "restart"),
  upgrade: (context) => upgradesOf(context, false).length > 0,
  "restart-programs": ({ change, changes }) => restarts(changes).some(({ address }) => address === change.address),
  "uninstalls-nothing": ({ change: { address, action }, changes }) => {
    const step = stepOf(withoutKeys(address));
    return step?.kind === "kubernetes" && isGone(action) && machinesOf(changes.after ?? NONE).has(step.id);
  },
  "replace-ssh-key": hasAction("aws_key_pair", "replace", "destroy"),
  // Nobody but the API servers has the certificate of the CA for extension API servers in a file.
  "replace-certificate": (context) =>
    hasAction("tls_locally_signed_cert", "replace")(context) ||
    (hasAction("tls_self_signed_cert", "replace")(context) && isFrontProxyCa(context.change.address)),
  "renew-earlier": ({ change }) =>
    change.arguments.some(
      ({ path, before, after }) => path === "early_renewal_hours" && Number(after ?? 0) > Number(before ?? 0),
    ),
  "replace-load-balancer": ({ change: { type, action } }) =>
    BALANCER_PARTS.includes(type) && isReplacedOrDestroyed(action),
  forget: ({ change }) => change.action === "forget",
  rename: ({ change }) => change.renamedFrom !== undefined,
  copies: ({ change, changes }) => changes.copies.some(({ address }) => address === change.address),
  unknown: (context) =>
    context.change.unknown === true ||
    context.change.arguments.some(({ unknown }) => unknown === true) ||
    hasUnknownSource(context),
};

/** For each kind, a test of whether a change outside of resources has that finding. */
const OTHER_TESTS: Partial<Record<FindingKind, (change: ArgumentChange, changes: Changes) => boolean>> = {
  secret: ({ path, before, after }) => {
    if (path.endsWith(".sensitive")) return before === true && after === false;
    if (isExposed(after) && !isExposed(before)) return true;
    return path.startsWith("output.") ? unmarks(after) && !unmarks(before) : refersToSecret(after);
  },
  region: ({ path }, { isSecondCluster }) => path === "provider.aws[0].region" && isSecondCluster !== true,
  commands: ({ path, after }) =>
    /^cdktf\.json\.app\b/.test(path) || (/^removed\b.*\.provisioner\b/.test(path) && after !== undefined),
  backend: ({ path }, { isSecondCluster }) =>
    /^cdktf\.json\.output\b/.test(path) || (path.startsWith("terraform.backend.") && isSecondCluster !== true),
  provider: ({ path }) =>
    /^stacks\/.*\.terraform\.lock\.hcl$/.test(path) ||
    (/^(terraform\.required_providers|provider)\./.test(path) &&
      !/^provider\.aws\[0\]\.(region$|default_tags\[0\]\.tags(\.|$))/.test(path)),
  image: ({ path }) => /^data\.aws_ami\./.test(path),
  unknown: ({ unknown }) => unknown === true,
};

/** Whether a kind applies to all changes together. */
const WHOLE_TESTS: Partial<Record<FindingKind, (changes: Changes) => boolean>> = {
  partial: ({ isPartial }) => isPartial === true,
  name: ({ isSecondCluster }) => isSecondCluster === true,
};

/** Whether a resource of a second cluster differs from that of the first in more than the cluster's name. */
function differsFromFirst(changes: Changes): (context: Context) => boolean {
  const rename = asSecond(changes);
  return ({ source, sourceBefore }) => !isDeepStrictEqual(rename([...sourceBefore]), [...source]);
}

/** More about a resource with a finding, by kind. */
const DETAILS: Partial<Record<FindingKind, (context: Context) => string | undefined>> = {
  "open-world": ({ change }) => describeRule(change),
  "close-ssh": ({ change }) => describeRule({ type: change.type, settings: settingsBefore(change) }),
  access: ({ change }) => describeRule(change),
  downloads: (context) => newSources(context).join(", "),
  "refused-upgrade": (context) => upgradesOf(context, true).join(", "),
  upgrade: (context) => upgradesOf(context, false).join(", "),
};

/** Sentences about all changes with a finding, by kind. */
const NOTES: Partial<Record<FindingKind, (changes: Changes) => readonly string[]>> = {
  "lose-quorum": quorumNotes,
  upgrade: waveNotes,
};

/** The findings in changes, in the order of {@link KINDS}. */
export function findingsOf(changes: Changes): Finding[] {
  const contexts = changes.resources.map((change): Context => {
    const address = withoutKeys(change.address);
    const source = changes.after?.get(address) ?? NOTHING;
    return { change, changes, source, sourceBefore: changes.before?.get(address) ?? NOTHING };
  });
  const news = changes.isSecondCluster === true ? contexts.filter(differsFromFirst(changes)) : contexts;
  return KINDS.flatMap((kind): Finding[] => {
    const isFound = RESOURCE_TESTS[kind];
    const found = news.filter((context) => isFound?.(context) === true || differencesOf(context).includes(kind));
    const isWhole =
      WHOLE_TESTS[kind]?.(changes) === true ||
      changes.elsewhere.some((change) => OTHER_TESTS[kind]?.(change, changes) === true);
    if (found.length === 0 && !isWhole) return [];
    // The page names only the first addresses.
    if (["open-world", "access"].includes(kind)) found.sort((one, other) => harmOf(other.change) - harmOf(one.change));
    const details = found.flatMap((context) => {
      const detail = DETAILS[kind]?.(context);
      return detail === undefined ? [] : [[context.change.address, detail] as const];
    });

    const notes = NOTES[kind]?.(changes) ?? [];
    return [
      {
        kind,
        addresses: found.map(({ change }) => change.address),
        ...(details.length > 0 && { details: Object.fromEntries(details) }),
        ...(notes.length > 0 && { notes }),
      },
    ];
  });
}
