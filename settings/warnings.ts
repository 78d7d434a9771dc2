import { isPrivate, prefixLength } from "../model/addressing";
import { API_SERVER_PORT } from "../model/ports";
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

/**
 * Warnings about valid settings that are often a mistake, one line each: an even number of control plane machines, ssh
 * open to everybody, services at public addresses, more routes or rules than AWS allows by default.
 */
export function settingsWarnings(settings: ClusterSettings): string[] {
  const { access, controlPlane, network, podNetwork, serviceNetwork, workers } = settings;
  const machines = [...Array(controlPlane.count + workers.count).keys()];
  const rules = securityRules({
    subnets: network.subnets.map(({ cidrBlock }) => cidrBlock),
    access,
    apiServerPort: API_SERVER_PORT,
    podCidrBlock: podNetwork.routed ? podNetwork.cidrBlock : undefined,
    publicAddresses: Object.fromEntries(machines.map((index) => [`node-${index}`, ""])),
  }).length;
  const checks: readonly (readonly [boolean, string])[] = [
    [
      controlPlane.count % 2 === 0,
      `'controlPlane.count' is ${controlPlane.count}: an even number of etcd members tolerates no more failures than one member less`,
    ],
    [
      access.ssh.some((source) => prefixLength(source) <= 1),
      "'access.ssh' allows everybody to connect to ssh: list only the addresses that need it",
    ],
    [
      !isPrivate(serviceNetwork.cidrBlock),
      `'serviceNetwork.cidrBlock' is ${serviceNetwork.cidrBlock}, public address space: pods cannot reach the real hosts there`,
    ],
    [
      podNetwork.routed && workers.count >= ROUTES_PER_TABLE,
      `'workers.count' is ${workers.count}: one route for each worker and the default route exceed ${ROUTES_PER_TABLE}, the default quota of a route table before June 2025`,
    ],
    [
      rules > RULES_PER_GROUP,
      `the security group would have ${rules} inbound rules, more than the default quota of ${RULES_PER_GROUP}`,
    ],
  ];
  return checks.filter(([applies]) => applies).map(([, line]) => line);
}
