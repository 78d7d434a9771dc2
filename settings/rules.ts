import {
  contains,
  NODE_POD_PREFIX,
  nodePlace,
  overlaps,
  subnetworkCount,
  usableHostNumbers,
} from "../model/addressing";
import { LIMITS, type Problem } from "../model/formats";
import { lifetimeProblems } from "../model/lifetimes";
import { nodeName } from "../model/names";
import type { ClusterSettings } from "./schema";

/**
 * The number of free addresses that a load balancer needs in each subnet.
 * @see https://docs.aws.amazon.com/elasticloadbalancing/latest/network/network-load-balancers.html
 */
const LOAD_BALANCER_ADDRESSES = 8;

/** The backend's settings, by the type to which they belong. */
const BACKEND_SETTINGS = { local: ["path"], s3: ["bucket", "key", "region", "encrypt", "useLockfile"] } as const;

/** Rules across settings. Each returns a problem for every value that conflicts with another setting. */
export const RULES: readonly ((settings: ClusterSettings) => Problem[])[] = [
  ({ network }) =>
    network.subnets.flatMap(({ cidrBlock }, index) =>
      contains(network.cidrBlock, cidrBlock)
        ? []
        : [
            problem(
              `network.subnets.${index}.cidrBlock`,
              `within 'network.cidrBlock', ${network.cidrBlock}`,
              cidrBlock,
            ),
          ],
    ),

  ({ network: { subnets } }) =>
    subnets.flatMap(({ cidrBlock }, index) => {
      const other = subnets.findIndex((subnet) => overlaps(subnet.cidrBlock, cidrBlock));
      const name = `network.subnets.${index}.cidrBlock`;
      return other === index
        ? []
        : [
            problem(
              name,
              `a CIDR that does not overlap 'network.subnets.${other}.cidrBlock', ${subnets[other]?.cidrBlock}`,
              cidrBlock,
            ),
          ];
    }),

  ({ network, podNetwork, serviceNetwork }) => {
    const networks = Object.entries({ network, podNetwork, serviceNetwork });
    return networks.flatMap(([name, { cidrBlock }], index) =>
      networks
        .slice(0, index)
        .filter(([, other]) => overlaps(other.cidrBlock, cidrBlock))
        .map(([otherName, other]) =>
          problem(
            `${name}.cidrBlock`,
            `a CIDR that does not overlap '${otherName}.cidrBlock', ${other.cidrBlock}`,
            cidrBlock,
          ),
        ),
    );
  },

  ({ region, network: { subnets } }) =>
    subnets.flatMap(({ availabilityZone: zone }, index) => {
      const name = `network.subnets.${index}.availabilityZone`;
      if (zone === undefined)
        return subnets.length > 1 ? [problem(name, "set when there are several subnets", zone)] : [];
      if (!/^(-[a-z]+-[0-9]+)?[a-z]$/.test(zone.replace(region, "")))
        return [problem(name, `a zone of 'region', ${region}`, zone)];
      const other = subnets.findIndex((subnet) => subnet.availabilityZone === zone);
      return other === index ? [] : [problem(name, `a zone other than that of 'network.subnets.${other}'`, zone)];
    }),

  (settings) => {
    const cidrs = settings.network.subnets.map(({ cidrBlock }) => cidrBlock);
    const ownerOf = new Map<string, string>();
    const fleets = [
      ["controlPlane", "master", settings.controlPlane],
      ["workers", "worker", settings.workers],
    ] as const;
    return fleets.flatMap(([fleet, role, { count, firstHostNumber }]) => {
      for (let index = 0; index < count; index++) {
        const { id } = nodeName(settings.name, role, index);
        const { address, hostNumber, subnetIndex } = nodePlace(cidrs, firstHostNumber, index);
        const cidr = cidrs[subnetIndex] as string;
        const { min, max } = usableHostNumbers(cidr);
        const name = `${fleet}.firstHostNumber`;
        if (hostNumber > max) {
          const allowed = `a number that gives ${id} a host number from ${min} to ${max}, the range that EC2 assigns in ${cidr}`;
          return [problem(name, allowed, firstHostNumber)];
        }
        const owner = ownerOf.get(address);
        if (owner !== undefined) {
          const allowed = `a number that gives ${id} an address other than ${address}, which ${owner} has`;
          return [problem(name, allowed, firstHostNumber)];
        }
        ownerOf.set(address, id);
      }
      return [];
    });
  },

  ({ network: { subnets }, controlPlane, workers }) =>
    subnets.flatMap(({ cidrBlock }, index) => {
      const { min, max } = usableHostNumbers(cidrBlock);
      const machines = [controlPlane, workers].flatMap(({ count }) =>
        Array.from({ length: count }, (_, machine) => machine % subnets.length).filter((subnet) => subnet === index),
      ).length;
      return max - min + 1 - machines >= LOAD_BALANCER_ADDRESSES
        ? []
        : [
            problem(
              `network.subnets.${index}.cidrBlock`,
              `large enough for ${machines} machines and the ${LOAD_BALANCER_ADDRESSES} free addresses that a load balancer needs`,
              cidrBlock,
            ),
          ];
    }),

  ({ name }) =>
    name === "default"
      ? [problem("name", "a name other than default, which is the name of a security group in every VPC", name)]
      : [],

  ({ workers, podNetwork: { cidrBlock } }) => {
    const available = subnetworkCount(cidrBlock, NODE_POD_PREFIX);
    return workers.count <= available
      ? []
      : [
          problem(
            "workers.count",
            `at most ${available}, the number of /24 pod networks in ${cidrBlock}`,
            workers.count,
          ),
        ];
  },

  ({ image: { release, namePattern, id, includeDeprecated } }) => {
    const given = Object.entries({ release, namePattern, id }).filter(([, value]) => value !== undefined);
    return [
      ...given
        .slice(1)
        .map(([name, value]) => problem(`image.${name}`, `omitted when 'image.${given[0]?.[0]}' is set`, value)),
      ...(id !== undefined && includeDeprecated !== undefined
        ? [problem("image.includeDeprecated", "omitted when 'image.id' is set", includeDeprecated)]
        : []),
    ];
  },

  ({ access }) =>
    Object.entries(access).flatMap(([name, sources]) =>
      sources.flatMap((source, index) =>
        sources.indexOf(source) === index
          ? []
          : [problem(`access.${name}.${index}`, "different from the CIDRs before it", source)],
      ),
    ),

  ({ pki }) => lifetimeProblems(pki).map(({ name, allowed, got }) => problem(`pki.${name}`, allowed, got)),

  ({ backend }) => [
    ...Object.entries(BACKEND_SETTINGS).flatMap(([type, names]) =>
      type === backend.type
        ? []
        : names
            .filter((name) => backend[name] !== undefined)
            .map((name) => problem(`backend.${name}`, `omitted when 'backend.type' is ${backend.type}`, backend[name])),
    ),
    ...(backend.type === "s3" && backend.bucket === undefined
      ? [problem("backend.bucket", `${LIMITS.bucket.allowed}, because 'backend.type' is s3`, undefined)]
      : []),
  ],

  // With two clusters in one state, a deploy of the second would destroy the first.
  ({ name, backend }) =>
    (["path", "key"] as const)
      .filter((place) => backend[place]?.includes(name) === false)
      .map((place) =>
        problem(
          `backend.${place}`,
          `a ${place} that contains 'name', ${name}, because two clusters cannot share a state`,
          backend[place],
        ),
      ),
];

function problem(name: string, allowed: string, got: unknown): Problem {
  return { name, allowed, got };
}
