import { isPrivate, prefixLength } from "../model/addressing";
import { API_SERVER_PORT } from "../model/ports";
import { securityRules } from "../model/security-rules";
import type { ClusterSettings } from "./schema";

/**
 * How many routes AWS allows in a route table by default, of which one leads to the internet. (500 since June 2025;
 * older accounts may have the old quota.)
 * @see https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html
 */
const ROUTES_PER_TABLE = 50;

/** How many rules for inbound IPv4 traffic AWS allows in a security group by default. */
const RULES_PER_GROUP = 60;

/**
 * What is allowed but deserves a second look, a line each: an even number of control plane machines, ssh open to the
 * world, services at public addresses, more routes or rules than AWS allows by default.
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
      `'controlPlane.count' is ${controlPlane.count}: etcd with an even number of members survives the loss of no more than with one less`,
    ],
    [
      access.ssh.some((source) => prefixLength(source) <= 1),
      "'access.ssh' lets the whole world reach ssh: name the addresses that must",
    ],
    [
      !isPrivate(serviceNetwork.cidrBlock),
      `'serviceNetwork.cidrBlock' is ${serviceNetwork.cidrBlock}, public address space: pods cannot reach the real hosts there`,
    ],
    [
      podNetwork.routed && workers.count >= ROUTES_PER_TABLE,
      `'workers.count' is ${workers.count}: a route for each and the default route are more than ${ROUTES_PER_TABLE}, the default quota of a route table before June 2025`,
    ],
    [
      rules > RULES_PER_GROUP,
      `the security group would have ${rules} inbound rules: more than ${RULES_PER_GROUP}, the default quota`,
    ],
  ];
  return checks.filter(([applies]) => applies).map(([, line]) => line);
}
