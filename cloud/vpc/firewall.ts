import { GATEWAY, METADATA_ADDRESS, RESOLVER_ADDRESS, TOKEN_ANSWER } from "./addresses";
import { interfaceName, type Port, type Rule, resolverAddress, type VpcState } from "./state";

/** The ranges that the internet does not route. The gateway drops packets to them. */
const NOT_ON_THE_INTERNET = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"];

/** A direction of connections, seen from a port: names in nftables, and the side of a packet that a rule names. */
const DIRECTIONS = {
  ingress: { peer: "saddr", from: "oifname" },
  egress: { peer: "daddr", from: "iifname" },
} as const;

type Direction = keyof typeof DIRECTIONS;

/** What a rule says about a protocol, in nftables' language. The numbers of these protocols mean the same. */
const PROTOCOLS: Readonly<Record<string, (rule: Rule) => string>> = {
  "-1": () => "",
  tcp: ({ from, to }) => portMatch("tcp", from, to),
  udp: ({ from, to }) => portMatch("udp", from, to),
  icmp: ({ from = -1, to = -1 }) =>
    from === -1 ? "meta l4proto icmp" : ["icmp type", from, ...(to === -1 ? [] : ["icmp code", to])].join(" "),
};

const PROTOCOL_NAMES: Readonly<Record<string, string>> = { 1: "icmp", 6: "tcp", 17: "udp" };

/**
 * The firewall of a VPC's router: text for `nft -f`, which replaces the whole table at once. Connections that are open stay
 * open.
 *
 * A packet passes these chains: the source is checked before connections are tracked, public addresses are translated as
 * soon as the packet arrives from the gateway, the destination check and the sender's security groups come when it is
 * forwarded, and the receiver's security groups come last, after all translations of the source.
 */
export function firewall(state: VpcState): string {
  const published = state.ports.filter(({ publicIp }) => publicIp !== undefined);
  const lines = [
    ...namedSet("own", "ifname . ipv4_addr", state.ports.map(ownAddress)),
    ...namedSet("checked", "ifname", state.ports.filter((port) => port.sourceDestCheck).map(interfaceOf)),
    ...namedSet(
      "published",
      "ipv4_addr",
      published.map(({ privateIp }) => privateIp),
    ),
    ...namedMap(
      "private-of",
      published.map(({ publicIp, privateIp }) => `${publicIp} : ${privateIp}`),
    ),
    ...namedMap(
      "public-of",
      published.map(({ publicIp, privateIp }) => `${privateIp} : ${publicIp}`),
    ),
    ...state.securityGroups.flatMap(({ id }) => namedSet(members(id), "ipv4_addr", membersOf(id, state))),
    ...chain("source-check", "type filter hook prerouting priority raw", [
      "iifname @checked iifname . ip saddr != @own drop",
    ]),
    ...chain("from-internet", "type nat hook prerouting priority dstnat", [
      `iifname ${GATEWAY} dnat to ip daddr map @private-of`,
    ]),
    ...chain("to-internet", "type nat hook postrouting priority srcnat", [
      `oifname ${GATEWAY} snat to ip saddr map @public-of`,
    ]),
    ...chain("services", "type filter hook input priority filter; policy drop", [
      "iifname . ip saddr != @own drop",
      `ip daddr { ${resolverAddress(state)}, ${RESOLVER_ADDRESS} } meta l4proto { tcp, udp } th dport 53 accept`,
      `ip daddr ${METADATA_ADDRESS} tcp dport 80 accept`,
      "ct state related accept",
    ]),
    ...chain("token-hops", "type filter hook output priority mangle", tokenHops(state)),
    ...state.securityGroups.flatMap((group) =>
      (["ingress", "egress"] as const).flatMap((direction) =>
        chain(
          groupChain(direction, group.id),
          undefined,
          group[direction].flatMap((rule) => ruleLines(rule, direction, state)),
        ),
      ),
    ),
    ...state.ports.flatMap((port) =>
      (["ingress", "egress"] as const).flatMap((direction) => portChain(port, direction, state)),
    ),
    ...chain("forward", "type filter hook forward priority filter", [
      "oifname @checked oifname . ip daddr != @own drop",
      `oifname ${GATEWAY} ip saddr != @published drop`,
      `oifname ${GATEWAY} ip daddr { ${NOT_ON_THE_INTERNET.join(", ")} } drop`,
      "ct state established,related accept",
      `iifname ${GATEWAY} ct status dnat accept`,
      `iifname ${GATEWAY} drop`,
      ...dispatch("egress", state),
    ]),
    // After the last translation of a source: a load balancer that preserves its clients' addresses translates there.
    ...chain("deliver", "type filter hook postrouting priority srcnat + 20", [
      "ct state established,related accept",
      ...dispatch("ingress", state),
    ]),
  ];
  // The first line creates the table if it does not exist, so that the second can delete it.
  return ["table ip vpc", "delete table ip vpc", "table ip vpc {", ...lines.map((line) => `  ${line}`), "}", ""].join(
    "\n",
  );
}

/** Answers with a session token travel the number of hops that the machine's metadata options allow. */
function tokenHops({ ports }: VpcState): string[] {
  const { status, header } = TOKEN_ANSWER;
  // Eight bytes are enough: no other answer has this header first.
  const start = Buffer.from(header).subarray(0, 8).toString("hex");
  const isTokenAnswer = `ip saddr ${METADATA_ADDRESS} tcp sport 80 @ih,${status.length * 8},64 0x${start}`;
  return ports.flatMap(({ privateIp, metadata }) =>
    metadata === undefined ? [] : [`ip daddr ${privateIp} ${isTokenAnswer} ip ttl set ${metadata.hopLimit}`],
  );
}

/** The connections that a port's security groups let through in one direction. */
function portChain(port: Port, direction: Direction, { securityGroups }: VpcState): string[] {
  if (port.securityGroups === undefined) return [];
  const known = securityGroups.map(({ id }) => id);
  const groups = port.securityGroups.filter((id) => known.includes(id));
  return chain(portChainName(direction, port), undefined, [
    ...groups.map((id) => `jump ${groupChain(direction, id)}`),
    "drop",
  ]);
}

/** Sends each packet to the chain of its port. */
function dispatch(direction: Direction, { ports }: VpcState): string[] {
  const filtered = ports.filter(({ securityGroups }) => securityGroups !== undefined);
  const jumps = filtered.map((port) => `${interfaceOf(port)} : jump ${portChainName(direction, port)}`);
  return jumps.length === 0 ? [] : [`${DIRECTIONS[direction].from} vmap { ${jumps.join(", ")} }`];
}

/** One line for each CIDR and group. (One set of CIDRs could not contain CIDRs that overlap.) */
function ruleLines(rule: Rule, direction: Direction, { securityGroups }: VpcState): string[] {
  const { peer } = DIRECTIONS[direction];
  const name = PROTOCOL_NAMES[rule.protocol] ?? String(rule.protocol);
  const protocol = PROTOCOLS[name]?.(rule) ?? `meta l4proto ${name}`;
  const known = securityGroups.map(({ id }) => id);
  const peers = [
    ...rule.cidrs.map((cidr) => `ip ${peer} ${cidr}`),
    ...rule.groups.filter((id) => known.includes(id)).map((id) => `ip ${peer} @${members(id)}`),
  ];
  return peers.map((other) => [other, protocol, "accept"].filter(Boolean).join(" "));
}

function portMatch(protocol: "tcp" | "udp", from = 0, to = 65535): string {
  return from <= 0 && to === 65535 ? `meta l4proto ${protocol}` : `${protocol} dport ${from}-${to}`;
}

/** The private addresses of a security group's ports. */
function membersOf(group: string, { ports }: VpcState): string[] {
  return ports.filter(({ securityGroups }) => securityGroups?.includes(group)).map(({ privateIp }) => privateIp);
}

const interfaceOf = ({ id }: Port) => interfaceName("p", id);
const ownAddress = (port: Port) => `${interfaceOf(port)} . ${port.privateIp}`;
const members = (group: string) => `members-${group}`;
const groupChain = (direction: Direction, group: string) => `${direction}-${group}`;
const portChainName = (direction: Direction, port: Port) => `${direction}-${interfaceOf(port)}`;

function chain(name: string, hook: string | undefined, rules: readonly string[]): string[] {
  return [
    `chain ${name} {`,
    ...[...(hook === undefined ? [] : [`${hook};`]), ...rules].map((line) => `  ${line}`),
    "}",
  ];
}

function namedSet(name: string, type: string, elements: readonly string[]): string[] {
  return collection("set", name, type, elements);
}

function namedMap(name: string, elements: readonly string[]): string[] {
  return collection("map", name, "ipv4_addr : ipv4_addr", elements);
}

function collection(kind: "set" | "map", name: string, type: string, elements: readonly string[]): string[] {
  const content = elements.length === 0 ? [] : [`  elements = { ${elements.join(", ")} }`];
  return [`${kind} ${name} {`, `  type ${type}`, ...content, "}"];
}
