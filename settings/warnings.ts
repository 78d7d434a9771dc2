import { coveredShare, isPrivate, LONGEST_PREFIX_FOR_DNS, prefixLength } from "../model/addressing";
import { instanceFamily } from "../model/instance-types";
import { API_SERVER_PORT } from "../model/ports";
import { availability } from "../model/regions";
import { securityRules } from "../model/security-rules";
import type { ClusterSettings } from "./schema";

/**
 * The number of routes that AWS allows in a route table by default. One of them leads to the internet. (The quota is 500
 * since June 2025; older accounts may still have this one.)
 * @see https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html
 */
const ROUTES_PER_TABLE = 50;

/** The number of inbound IPv4 rules that AWS allows in a security group by default. */
const RULES_PER_GROUP = 60;

/** The share of all IPv4 addresses from which on ssh counts as open to the world: as much as a /4. */
const WORLD = 1 / 16;

/**
 * Warnings about valid settings that are often a mistake, one line each: an even number of control plane machines, ssh
 * open to a large part of the internet, networks at public addresses, a service network without an address for cluster DNS,
 * instance types that the region may not have, more routes or rules than AWS allows by default, downloads over http without
 * checksums.
 */
export function settingsWarnings(settings: ClusterSettings): string[] {
  const { access, controlPlane, kubernetes, network, podNetwork, region, serviceNetwork, workers } = settings;
  const machines = [...Array(controlPlane.count + workers.count).keys()];
  const rules = securityRules({
    subnets: network.subnets.map(({ cidrBlock }) => cidrBlock),
    access,
    apiServerPort: API_SERVER_PORT,
    podCidrBlock: podNetwork.routed ? podNetwork.cidrBlock : undefined,
    publicAddresses: Object.fromEntries(machines.map((index) => [`node-${index}`, ""])),
  }).length;
  const openToSsh = coveredShare(access.ssh);
  const { downloads, registryMirrors = {} } = kubernetes ?? {};
  const mirrors = [
    ...(downloads === undefined ? [] : [["downloads", downloads] as const]),
    ...Object.entries(registryMirrors).map(([host, address]) => [`registryMirrors.${host}`, address] as const),
  ];
  const checks: readonly (readonly [boolean, string])[] = [
    [
      controlPlane.count % 2 === 0,
      `'controlPlane.count' is ${controlPlane.count}: an even number of etcd members tolerates no more failures than one member less`,
    ],
    [
      openToSsh >= WORLD,
      `'access.ssh' allows ${openToSsh === 1 ? "everybody" : `${Math.round(openToSsh * 100)} % of all IPv4 addresses`} to connect to ssh: list only the addresses that need it`,
    ],
    [
      !isPrivate(network.cidrBlock),
      `'network.cidrBlock' is ${network.cidrBlock}, public address space: machines cannot reach the real hosts there, and the security group allows etcd and NodePorts from addresses of the subnets`,
    ],
    [
      !isPrivate(podNetwork.cidrBlock),
      `'podNetwork.cidrBlock' is ${podNetwork.cidrBlock}, public address space: pods cannot reach the real hosts there${podNetwork.routed ? ", and the security group allows everything from their addresses" : ""}`,
    ],
    [
      !isPrivate(serviceNetwork.cidrBlock),
      `'serviceNetwork.cidrBlock' is ${serviceNetwork.cidrBlock}, public address space: pods cannot reach the real hosts there`,
    ],
    [
      prefixLength(serviceNetwork.cidrBlock) > LONGEST_PREFIX_FOR_DNS,
      `'serviceNetwork.cidrBlock' is ${serviceNetwork.cidrBlock}: it has no tenth address, which cluster DNS usually gets`,
    ],
    ...Object.entries({ controlPlane, workers }).map(
      ([fleet, { count, instanceType }]) =>
        [
          count > 0 && availability(region, instanceType) === "unknown",
          `'${fleet}.instanceType' is ${instanceType}: AWS has no ${instanceFamily(instanceType)} in many regions, and it is not known whether ${region} has it`,
        ] as const,
    ),
    [
      podNetwork.routed && workers.count >= ROUTES_PER_TABLE,
      `'workers.count' is ${workers.count}: one route for each worker and the default route exceed ${ROUTES_PER_TABLE}, the default quota of a route table before June 2025`,
    ],
    [
      rules > RULES_PER_GROUP,
      `the security group would have ${rules} inbound rules, more than the default quota of ${RULES_PER_GROUP}`,
    ],
    ...mirrors.map(
      ([name, address]) =>
        [
          address.startsWith("http:") && kubernetes?.checksums === undefined,
          `'kubernetes.${name}' is ${address}: over http, files and images can be changed on the way unless 'kubernetes.checksums' has their sums`,
        ] as const,
    ),
  ];
  return checks.filter(([applies]) => applies).map(([, line]) => line);
}
