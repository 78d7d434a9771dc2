import { hostAddress, prefixLength } from "../../model/addressing";
import { GATEWAY, METADATA_ADDRESS, OUTSIDE_ADDRESS, RESOLVER_ADDRESS } from "./addresses";
import { interfaceName, macAddress, type Port, type Route, resolverAddress, subnetOf, type VpcState } from "./state";

/** The number of the kernel's table with the addresses of the ports. Those of route tables come after it. */
export const PORTS_TABLE = 1000;

/** The order in which the kernel asks its tables: ports, the route table of the packet's port, nothing else. */
export const PREFERENCE = { ports: 1000, routeTable: 2000, end: 3000 } as const;

/** Lines for `ip -batch`: one that sets something, whether it exists or not, and one that removes it again. */
export interface Setting {
  readonly set: string;
  readonly unset: string;
}

/**
 * The addresses, neighbours, routes and rules of a VPC's router, by a key for each.
 * @param attached - whether the port's interface exists
 * @param tableNumber - the number of the kernel's table for a route table's id
 */
export function routerSettings(
  state: VpcState,
  attached: (portId: string) => boolean,
  tableNumber: (routeTable: string) => number,
): Map<string, Setting> {
  const ports = state.ports.filter(({ id }) => attached(id));
  const addresses = [
    ...state.subnets.map(({ cidr }) => routerAddress(cidr)),
    resolverAddress(state),
    METADATA_ADDRESS,
    RESOLVER_ADDRESS,
  ];
  return new Map([
    ...addresses.map((address) => setting(`address replace ${address}/32 dev lo`, `address del ${address}/32 dev lo`)),
    ...ports.flatMap((port) => portSettings(port, tableNumber(subnetOf(port, state).routeTable))),
    ...state.routeTables.flatMap(({ id, routes }) =>
      routes.map((route) => routeSetting(route, tableNumber(id), ports)),
    ),
  ]);
}

/** The lines for `ip -batch` that give a port's namespace its address and its routes, as DHCP would. */
export function portConfiguration(port: Port, state: VpcState): string[] {
  const { cidr } = subnetOf(port, state);
  return [
    `link set eth0 address ${macAddress(port)} up`,
    "address flush dev eth0",
    `address add ${port.privateIp}/${prefixLength(cidr)} brd + dev eth0`,
    `route replace default via ${routerAddress(cidr)} dev eth0`,
  ];
}

/** The lines for `ip -batch` that change the settings `before` to `after`. New settings come first. */
export function changes(before: ReadonlyMap<string, Setting>, after: ReadonlyMap<string, Setting>) {
  return {
    set: [...after].filter(([key, { set }]) => before.get(key)?.set !== set).map(([, { set }]) => set),
    unset: [...before].filter(([key]) => !after.has(key)).map(([, { unset }]) => unset),
  };
}

/** A setting whose key is the line that removes it. */
export function setting(set: string, unset: string): [string, Setting] {
  return [unset, { set, unset }];
}

function portSettings(port: Port, table: number): [string, Setting][] {
  const device = interfaceName("p", port.id);
  const { privateIp } = port;
  const rule = `iif ${device} lookup ${table} pref ${PREFERENCE.routeTable}`;
  return [
    // The MAC address is known, so the router never asks for it.
    setting(
      `neigh replace ${privateIp} lladdr ${macAddress(port)} dev ${device} nud permanent`,
      `neigh del ${privateIp} dev ${device}`,
    ),
    setting(
      `route replace ${privateIp} dev ${device} table ${PORTS_TABLE}`,
      `route del ${privateIp} table ${PORTS_TABLE}`,
    ),
    setting(`rule add ${rule}`, `rule del ${rule}`),
  ];
}

function routeSetting({ cidr, target }: Route, table: number, ports: readonly Port[]): [string, Setting] {
  const set = (rest: string) => setting(`route replace ${rest} table ${table}`, `route del ${cidr} table ${table}`);
  // Addresses of ports are in a table that is asked earlier. So all that is left of a local route is unused addresses.
  if (target === "local" || target === "blackhole") return set(`blackhole ${cidr}`);
  if (target === "gateway") return set(`${cidr} via ${OUTSIDE_ADDRESS} dev ${GATEWAY} onlink`);
  const port = ports.find(({ id }) => id === target.port);
  if (port === undefined) return set(`blackhole ${cidr}`);
  return set(`${cidr} via ${port.privateIp} dev ${interfaceName("p", port.id)} onlink`);
}

/** The router's address in a subnet: number 1. */
function routerAddress(subnetCidr: string): string {
  return hostAddress(subnetCidr, 1);
}
