import { SCRIPTS_FOLDER } from "../kubernetes/machine";
import { contains, isCidr } from "../model/addressing";
import { readDistributionScript } from "../model/distribution";
import { ANYWHERE } from "../model/ports";
import type { Document } from "./compare";
import { stepOf } from "./steps";

// biome-ignore lint/suspicious/noExplicitAny: the provider defines the arguments of a block
type Block = Record<string, any>;

/** Returns the resources of a type with their names. */
type Resources = (type: string) => [name: string, block: Block][];

/** The largest number of machines of a role in a subnet that have a box each. More machines share one box. */
const SEPARATE_BOXES = 5;

/** The words for the IP protocols of security rules. */
const PROTOCOLS: Readonly<Record<string, string>> = { "-1": "everything", icmp: "ICMP", tcp: "TCP", udp: "UDP" };

interface Machine {
  /** The name in its Terraform address. */
  readonly name: string;
  readonly address: string;
  readonly subnet: string;
  /** The pod network whose route leads to it. */
  readonly pods?: string;
  /** The names of the files that are copied to it, with NAME instead of its own name. */
  readonly files: readonly string[];
}

/** The machines of one role in one subnet that get the same files. */
type MachineSet = readonly [Machine, ...Machine[]];

/**
 * Draws a synthesized cluster as a Mermaid flowchart: subnets, machines with their addresses, the load balancer and its
 * targets, the allowed sources of each port, and the files that are copied to each machine. More than five machines of a
 * role in one subnet are one box.
 */
export function renderDiagram(document: Pick<Document, "resource">): string {
  const all: Resources = (type) => Object.entries((document.resource?.[type] ?? {}) as Block);
  const every = machines(all);
  const sets = machineSetsOf(every);
  const isInside = (vpc: string, from: string) =>
    [vpc, from].every(isCidr) &&
    (contains(vpc, from) || (from !== ANYWHERE && every.some(({ pods = "" }) => isCidr(pods) && contains(from, pods))));

  const sources = [...new Set(ingress(all).map(({ from }) => from))];
  const subnets = all("aws_subnet").flatMap(([name, { cidr_block }]) =>
    frame(name, `subnet ${cidr_block}`, sets.filter(([{ subnet }]) => subnet === name).flatMap(drawMachineSet)),
  );
  const balancers = all("aws_lb_listener").map(([, listener]) =>
    node(referenced(listener.load_balancer_arn), ["load balancer", port(listener)]),
  );
  const groups = all("aws_security_group").flatMap(([name]) =>
    frame(name, `security group${betweenMembers(name, all)}`, subnets),
  );
  const lines = all("aws_vpc").flatMap(([name, { cidr_block }]) => [
    ...sources.filter((from) => !isInside(cidr_block, from)).map(sourceNode),
    ...frame(name, `VPC ${cidr_block}`, [
      ...balancers,
      ...sources.filter((from) => isInside(cidr_block, from)).map(sourceNode),
      ...groups,
    ]),
    ...reachability(all),
    ...targets(sets, all),
  ]);
  return `${["flowchart LR", ...indented(lines)].join("\n")}\n`;
}

function machines(all: Resources): Machine[] {
  const pods = new Map(
    all("aws_route").map(([, route]) => [referenced(route.network_interface_id), route.destination_cidr_block]),
  );
  const copies = all("null_resource").map(([name, copy]) => ({
    to: referenced(copy.connection?.host),
    files: copiedFiles(name, copy),
  }));
  const inOrder = new Intl.Collator("en", { numeric: true }).compare;
  const instances = all("aws_instance").sort(([one], [other]) => inOrder(one, other));
  return instances.map(([name, { private_ip, subnet_id, tags }]) => ({
    name,
    address: private_ip,
    subnet: referenced(subnet_id),
    pods: pods.get(name),
    files: [
      ...new Set(
        copies.flatMap(({ to, files }) => (to === name ? files.map((file) => file.replace(tags.Name, "NAME")) : [])),
      ),
    ],
  }));
}

/** The files of an installation of Kubernetes that a picture shows: certificates, keys, kubeconfigs and units. */
const PICTURED = /(\.pem|kubeconfig|\.service|\/encryption-config\.yaml)$/;

/** The names of the files of a copy. Of an installation of Kubernetes, those that tell a reader most. */
function copiedFiles(name: string, { provisioner = [] }: Block): string[] {
  const scripts = [provisioner as Block | Block[]].flat().flatMap((each) => each["remote-exec"] ?? []);
  const paths = scripts
    .flatMap(({ inline }) => readDistributionScript(inline ?? [])?.files ?? [])
    .map(({ path }) => path);
  const { kind } = stepOf(`null_resource.${name}`) ?? {};
  const isInstallation = (kind !== undefined && kind !== "pems") || paths.includes(`${SCRIPTS_FOLDER}/facts`);
  return paths
    .filter((path) => !isInstallation || PICTURED.test(path))
    .map((path) => path.slice(path.lastIndexOf("/") + 1));
}

function machineSetsOf(all: readonly Machine[]): MachineSet[] {
  const sets = new Map<string, [Machine, ...Machine[]]>();
  for (const machine of all) {
    const key = [role(machine.name), machine.subnet, ...machine.files].join();
    const set = sets.get(key);
    if (set === undefined) sets.set(key, [machine]);
    else set.push(machine);
  }
  return [...sets.values()];
}

/** The id of a set, which contains its first machine. */
function machineSetId({ name, subnet }: Machine): string {
  return `${role(name)}s-${subnet}-from-${name.slice(role(name).length + 1)}`;
}

/** The role of a machine: its name without the number. */
function role(name: string): string {
  return name.replace(/-\d+$/, "");
}

function drawMachineSet(set: MachineSet): string[] {
  const [first, last] = [set[0], set.at(-1) as Machine];
  const id = machineSetId(first);
  const nodes =
    set.length > SEPARATE_BOXES
      ? [node(`${id}-all`, range(first, last))]
      : set.map((each) => node(each.name, range(each)));
  const files = first.files.length === 0 ? [] : [node(`${id}-files`, first.files, "[[", "]]")];
  return frame(id, `${set.length} ${role(first.name)}${set.length === 1 ? "" : "s"}`, [...nodes, ...files]);
}

/** The text for one machine, or for all machines from the first to the last. */
function range(first: Machine, last?: Machine): string[] {
  const upTo = (value: (machine: Machine) => string | undefined) =>
    last === undefined ? value(first) : `${value(first)} to ${value(last)}`;
  return [
    `${upTo(({ name }) => name)}`,
    `${upTo(({ address }) => address)}`,
    ...(first.pods === undefined ? [] : [`pods ${upTo(({ pods }) => pods)}`]),
  ];
}

/** The rules for traffic from outside of their security group. */
function ingress(all: Resources) {
  return all("aws_vpc_security_group_ingress_rule")
    .map(([, rule]) => ({ from: source(rule), to: referenced(rule.security_group_id), label: service(rule), rule }))
    .filter(({ from, to }) => from !== to);
}

/**
 * The arrows from allowed sources to ports: the rules of the security groups by source, and the sources that reach the load
 * balancer.
 */
function reachability(all: Resources): string[] {
  const subnets = all("aws_subnet").map(([, { cidr_block }]) => cidr_block);
  const inbound = ingress(all);
  const toBalancers = all("aws_lb_listener").flatMap(([, listener]) =>
    inbound
      .filter(({ from, rule }) => rule.from_port === listener.port && !subnets.includes(from))
      .map(({ from }) => ({ from, to: referenced(listener.load_balancer_arn), label: port(listener) })),
  );
  const edges = [...toBalancers, ...inbound];
  const pairs = new Map(edges.map(({ from, to }) => [`${from} ${to}`, { from, to }]));
  return [
    ...[...pairs.values()].map(({ from, to }) => {
      const labels = edges.filter((edge) => edge.from === from && edge.to === to).map(({ label }) => label);
      return arrow(idOf(from), labels, to);
    }),
    // The arrow leads to a separate node: an arrow back would change the direction of the layout.
    ...all("aws_vpc_security_group_egress_rule").flatMap(([name, rule]) => [
      node(name, [addressesName(source(rule))], "([", "])"),
      arrow(referenced(rule.security_group_id), [service(rule)], name),
    ]),
  ];
}

/** The traffic that the rules of a group allow between its members. */
function betweenMembers(group: string, all: Resources): string {
  const own = all("aws_vpc_security_group_ingress_rule")
    .map(([, rule]) => rule)
    .filter((rule) => referenced(rule.security_group_id) === group && source(rule) === group);
  return own.map((rule) => `; between its members: ${service(rule)}`).join("");
}

/** The source or destination of a rule: addresses, or the name of a group. */
function source({ cidr_ipv4, cidr_ipv6, prefix_list_id, referenced_security_group_id }: Block): string {
  if (cidr_ipv4 === undefined) return cidr_ipv6 ?? prefix_list_id ?? referenced(referenced_security_group_id);
  return cidr_ipv4.startsWith("${") ? "the machines' public addresses" : cidr_ipv4;
}

function service({ ip_protocol, from_port, to_port }: Block): string {
  const protocol = PROTOCOLS[ip_protocol] ?? ip_protocol;
  if (from_port === undefined || from_port === -1) return protocol;
  return `${protocol} ${from_port}${from_port === to_port ? "" : ` to ${to_port}`}`;
}

/** The protocol and port of a listener. */
function port({ protocol, port }: Block): string {
  return `${protocol} ${port}`;
}

function targets(sets: readonly MachineSet[], all: Resources): string[] {
  const [balancer] = all("aws_lb_listener").map(([, { load_balancer_arn }]) => referenced(load_balancer_arn));
  const ports = new Map(all("aws_lb_target_group_attachment").map(([, target]) => [target.target_id, target.port]));
  return sets.flatMap((set) => {
    const behind = set.map(({ address }) => ports.get(address)).filter((port) => port !== undefined);
    return behind.length === 0 ? [] : [arrow(balancer as string, [`TCP ${behind[0]}`], machineSetId(set[0]))];
  });
}

function frame(id: string, title: string, content: readonly string[]): string[] {
  return [`subgraph ${safeId(id)}[${text([title])}]`, ...indented(content), "end"];
}

function node(id: string, lines: readonly string[], open = "[", close = "]"): string {
  return `${safeId(id)}${open}${text(lines)}${close}`;
}

function arrow(from: string, labels: readonly string[], to: string): string {
  return `${safeId(from)} -- ${text([...new Set(labels)])} --> ${safeId(to)}`;
}

function safeId(id: string): string {
  return id.replaceAll(/[^\w-]/g, "-");
}

function text(lines: readonly string[]): string {
  // Mermaid's own escapes. All but harmless characters have one, so that no text ends its place or the whole block.
  const escaped = (line: string) =>
    [...line].map((each) => (/[\p{L}\p{N} .,:;/_()+*='-]/u.test(each) ? each : `#${each.codePointAt(0)};`)).join("");
  return `"${lines.map(escaped).join("<br/>")}"`;
}

function indented(lines: readonly string[]): string[] {
  return lines.map((line) => `  ${line}`);
}

/** Turns addresses, or words for them, into an id. */
function idOf(addresses: string): string {
  return ["from", ...(addresses.match(/\w+/g) ?? [])].join("-");
}

function sourceNode(from: string): string {
  return node(idOf(from), [addressesName(from)], "([", "])");
}

function addressesName(addresses: string): string {
  return addresses === ANYWHERE ? "anywhere" : addresses;
}

/** The name of the resource that a template refers to; empty for other values. */
function referenced(value: unknown): string {
  return /^\$\{[a-z_]+\.([\w-]+)\./.exec(String(value))?.[1] ?? "";
}
