import { contains, isCidr } from "../model/addressing";
import { readDistributionScript } from "../model/distribution";
import type { Document } from "./compare";

// biome-ignore lint/suspicious/noExplicitAny: a block's arguments are whatever its provider defines
type Block = Record<string, any>;

/** The resources of a type with their names. */
type Resources = (type: string) => [name: string, block: Block][];

/** How many machines of a role are drawn one by one in a subnet; more of them share a box. */
const DRAWN_EACH = 5;

const ANYWHERE = "0.0.0.0/0";

/** IP protocols as rules name them, and as people do. */
const PROTOCOLS: Readonly<Record<string, string>> = { "-1": "everything", icmp: "ICMP", tcp: "TCP", udp: "UDP" };

interface Machine {
  /** The name in its Terraform address. */
  readonly name: string;
  readonly address: string;
  readonly subnet: string;
  /** The pod network that is routed to it. */
  readonly pods?: string;
  /** The files that are copied to it, its own name left out of theirs. */
  readonly files: readonly string[];
}

/** The machines of a role in a subnet that get the same files. */
type Crew = readonly [Machine, ...Machine[]];

/**
 * A picture of a synthesized cluster, as a Mermaid flowchart: subnets, machines with their addresses, the load balancer
 * and its targets, who may reach which port, which files go where. Where a role has more than five machines in a
 * subnet, they are one box.
 */
export function renderDiagram(document: Pick<Document, "resource">): string {
  const all: Resources = (type) => Object.entries((document.resource?.[type] ?? {}) as Block);
  const every = machines(all);
  const crews = crewsOf(every);
  const isInside = (vpc: string, from: string) =>
    isCidr(from) &&
    (contains(vpc, from) || (from !== ANYWHERE && every.some(({ pods }) => pods && contains(from, pods))));

  const sources = [...new Set(ingress(all).map(({ from }) => from))];
  const subnets = all("aws_subnet").flatMap(([name, { cidr_block }]) =>
    frame(name, `subnet ${cidr_block}`, crews.filter(([{ subnet }]) => subnet === name).flatMap(drawCrew)),
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
    ...targets(crews, all),
  ]);
  return `${["flowchart LR", ...indented(lines)].join("\n")}\n`;
}

function machines(all: Resources): Machine[] {
  const pods = new Map(
    all("aws_route").map(([, route]) => [referenced(route.network_interface_id), route.destination_cidr_block]),
  );
  const copies = all("null_resource").map(([, copy]) => ({
    to: referenced(copy.connection?.host),
    files: copiedFiles(copy),
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

function copiedFiles({ provisioner = [] }: Block): string[] {
  const scripts = (provisioner as Block[]).flatMap((each) => each["remote-exec"] ?? []);
  const files = scripts.flatMap(({ inline }) => readDistributionScript(inline ?? [])?.files ?? []);
  return files.map(({ path }) => path.slice(path.lastIndexOf("/") + 1));
}

function crewsOf(all: readonly Machine[]): Crew[] {
  const crews = new Map<string, [Machine, ...Machine[]]>();
  for (const machine of all) {
    const key = [role(machine.name), machine.subnet, ...machine.files].join();
    const crew = crews.get(key);
    if (crew === undefined) crews.set(key, [machine]);
    else crew.push(machine);
  }
  return [...crews.values()];
}

/** A crew by its first machine. */
function crewId({ name, subnet }: Machine): string {
  return `${role(name)}s-${subnet}-from-${name.slice(role(name).length + 1)}`;
}

/** A machine's name without its number. */
function role(name: string): string {
  return name.replace(/-\d+$/, "");
}

function drawCrew(crew: Crew): string[] {
  const [first, last] = [crew[0], crew.at(-1) as Machine];
  const id = crewId(first);
  const nodes =
    crew.length > DRAWN_EACH
      ? [node(`${id}-all`, range(first, last))]
      : crew.map((each) => node(each.name, range(each)));
  const files = first.files.length === 0 ? [] : [node(`${id}-files`, first.files, "[[", "]]")];
  return frame(id, `${crew.length} ${role(first.name)}${crew.length === 1 ? "" : "s"}`, [...nodes, ...files]);
}

/** What is said of a machine, or of all from the first to the last. */
function range(first: Machine, last?: Machine): string[] {
  const upTo = (value: (machine: Machine) => string | undefined) =>
    last === undefined ? value(first) : `${value(first)} to ${value(last)}`;
  return [
    `${upTo(({ name }) => name)}`,
    `${upTo(({ address }) => address)}`,
    ...(first.pods === undefined ? [] : [`pods ${upTo(({ pods }) => pods)}`]),
  ];
}

/** The rules that let traffic in from outside of their security group. */
function ingress(all: Resources) {
  return all("aws_vpc_security_group_ingress_rule")
    .map(([, rule]) => ({ from: source(rule), to: referenced(rule.security_group_id), what: service(rule), rule }))
    .filter(({ from, to }) => from !== to);
}

/** Who may reach what: the rules of the security groups by their source, and who comes to the load balancer. */
function reachability(all: Resources): string[] {
  const subnets = all("aws_subnet").map(([, { cidr_block }]) => cidr_block);
  const inwards = ingress(all);
  const toBalancers = all("aws_lb_listener").flatMap(([, listener]) =>
    inwards
      .filter(({ from, rule }) => rule.from_port === listener.port && !subnets.includes(from))
      .map(({ from }) => ({ from, to: referenced(listener.load_balancer_arn), what: port(listener) })),
  );
  const edges = [...toBalancers, ...inwards];
  const pairs = new Map(edges.map(({ from, to }) => [`${from} ${to}`, { from, to }]));
  return [
    ...[...pairs.values()].map(({ from, to }) => {
      const whats = edges.filter((edge) => edge.from === from && edge.to === to).map(({ what }) => what);
      return arrow(idOf(from), whats, to);
    }),
    // To a node of its own: an arrow back would turn the picture round.
    ...all("aws_vpc_security_group_egress_rule").flatMap(([name, rule]) => [
      node(name, [addressesName(source(rule))], "([", "])"),
      arrow(referenced(rule.security_group_id), [service(rule)], name),
    ]),
  ];
}

/** What members of a group may send to each other. */
function betweenMembers(group: string, all: Resources): string {
  const own = all("aws_vpc_security_group_ingress_rule")
    .map(([, rule]) => rule)
    .filter((rule) => referenced(rule.security_group_id) === group && source(rule) === group);
  return own.map((rule) => `; between its members: ${service(rule)}`).join("");
}

/** Where a rule's traffic comes from, or goes to: addresses, or the name of a group. */
function source({ cidr_ipv4, cidr_ipv6, prefix_list_id, referenced_security_group_id }: Block): string {
  if (cidr_ipv4 === undefined) return cidr_ipv6 ?? prefix_list_id ?? referenced(referenced_security_group_id);
  return cidr_ipv4.startsWith("${") ? "the machines' public addresses" : cidr_ipv4;
}

function service({ ip_protocol, from_port, to_port }: Block): string {
  const protocol = PROTOCOLS[ip_protocol] ?? ip_protocol;
  if (from_port === undefined || from_port === -1) return protocol;
  return `${protocol} ${from_port}${from_port === to_port ? "" : ` to ${to_port}`}`;
}

/** The port at which a listener listens. */
function port({ protocol, port }: Block): string {
  return `${protocol} ${port}`;
}

function targets(crews: readonly Crew[], all: Resources): string[] {
  const [balancer] = all("aws_lb_listener").map(([, { load_balancer_arn }]) => referenced(load_balancer_arn));
  const ports = new Map(all("aws_lb_target_group_attachment").map(([, target]) => [target.target_id, target.port]));
  return crews.flatMap((crew) => {
    const behind = crew.map(({ address }) => ports.get(address)).filter((port) => port !== undefined);
    return behind.length === 0 ? [] : [arrow(balancer as string, [`TCP ${behind[0]}`], crewId(crew[0]))];
  });
}

function frame(id: string, title: string, content: readonly string[]): string[] {
  return [`subgraph ${id}[${text([title])}]`, ...indented(content), "end"];
}

function node(id: string, lines: readonly string[], open = "[", close = "]"): string {
  return `${id}${open}${text(lines)}${close}`;
}

function arrow(from: string, whats: readonly string[], to: string): string {
  return `${from} -- ${text([...new Set(whats)])} --> ${to}`;
}

function text(lines: readonly string[]): string {
  return `"${lines.join("<br/>").replaceAll('"', "#quot;")}"`;
}

function indented(lines: readonly string[]): string[] {
  return lines.map((line) => `  ${line}`);
}

/** Addresses, or words for them, as an id. */
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
