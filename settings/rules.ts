import {
  contains,
  LOAD_BALANCER_ADDRESSES,
  LONGEST_PREFIX_FOR_DNS,
  NODE_POD_PREFIX,
  nodePlace,
  overlaps,
  prefixLength,
  subnetworkCount,
  usableHostNumbers,
} from "../model/addressing";
import { LIMITS, type Problem } from "../model/formats";
import { UBUNTU_RELEASES } from "../model/images";
import {
  instanceFamily,
  isArm,
  isMac,
  KUBERNETES_GIB,
  KUBERNETES_INSTANCE_TYPE,
  smallMemory,
} from "../model/instance-types";
import { lifetimeProblems } from "../model/lifetimes";
import { nodeName } from "../model/names";
import { availability, partitionOf } from "../model/regions";
import type { ClusterSettings } from "./schema";

/**
 * The number of tags that AWS allows for a resource. Two of them are Name and Cluster.
 * @see https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions
 */
const TAGS_PER_RESOURCE = 50;
const OWN_TAGS = 2;

/**
 * The largest magnetic disk, in GiB.
 * @see https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EbsBlockDevice.html
 */
const MAGNETIC_GIB = 1024;

/** The Ubuntu releases that use cgroup v2. From 1.35 on, kubelet does not start with cgroup v1, which focal uses. */
const CGROUP_V2_RELEASES = Object.keys(UBUNTU_RELEASES).filter((release) => release !== "focal");

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
      if (!/^[a-z]$/.test(zone.replace(region, ""))) return [problem(name, `a zone of 'region', ${region}`, zone)];
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

  ({ name }) => {
    if (name === "default")
      return [problem("name", "a name other than default, which is the name of a security group in every VPC", name)];
    // The library constructs looks up the children of an app in an object, which inherits these names.
    return name in {} ? [problem("name", `a name other than ${name}, which cdktf cannot give to a stack`, name)] : [];
  },

  (settings) =>
    Object.entries({ controlPlane: settings.controlPlane, workers: settings.workers })
      .filter(([, { count }]) => count > 0)
      .flatMap(([fleet, { instanceType, rootVolume }]) => [
        ...instanceTypeRules(settings, instanceType)
          .slice(0, 1)
          .map((allowed) => problem(`${fleet}.instanceType`, allowed, instanceType)),
        ...(rootVolume?.type === "standard" && (rootVolume.sizeGiB ?? 0) > MAGNETIC_GIB
          ? [
              problem(
                `${fleet}.rootVolume.sizeGiB`,
                `at most ${MAGNETIC_GIB} when 'rootVolume.type' is standard`,
                rootVolume.sizeGiB,
              ),
            ]
          : []),
      ]),

  ({ kubernetes, podNetwork, serviceNetwork, image }) =>
    kubernetes === undefined
      ? []
      : [
          ...(podNetwork.routed
            ? []
            : [
                problem(
                  "podNetwork.routed",
                  "true when 'kubernetes' is set, because pods must reach each other across machines",
                  podNetwork.routed,
                ),
              ]),
          ...(prefixLength(serviceNetwork.cidrBlock) <= LONGEST_PREFIX_FOR_DNS
            ? []
            : [
                problem(
                  "serviceNetwork.cidrBlock",
                  `a CIDR of at most /${LONGEST_PREFIX_FOR_DNS} when 'kubernetes' is set, because cluster DNS gets its tenth address`,
                  serviceNetwork.cidrBlock,
                ),
              ]),
          ...(image.release === undefined || CGROUP_V2_RELEASES.includes(image.release)
            ? []
            : [
                problem(
                  "image.release",
                  `one of ${CGROUP_V2_RELEASES.join(", ")} when 'kubernetes' is set, because kubelet needs cgroup v2`,
                  image.release,
                ),
              ]),
        ],

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

  ({ region, image: { release, namePattern, id, includeDeprecated } }) => {
    const given = Object.entries({ release, namePattern, id }).filter(([, value]) => value !== undefined);
    const { name, canonical } = partitionOf(region);
    return [
      ...(id === undefined && canonical === undefined
        ? [problem("image.id", `set in ${region}: Canonical's account in the partition ${name} is not known`, id)]
        : []),
      ...(namePattern?.includes("arm64")
        ? [
            problem(
              "image.namePattern",
              "a pattern without arm64, because images are looked up for x86_64",
              namePattern,
            ),
          ]
        : []),
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

  ({ pki }) => lifetimeProblems(pki, "pki."),

  ({ tags }) => {
    const keys = Object.keys(tags);
    const most = TAGS_PER_RESOURCE - OWN_TAGS;
    // Terraform normalizes every text, and would then find a key twice.
    const normalized = keys.map((key) => key.normalize());
    return [
      ...(keys.length <= most
        ? []
        : [
            problem(
              "tags",
              `an object of at most ${most} tags, because AWS allows ${TAGS_PER_RESOURCE} for a resource and this program adds Name and Cluster`,
              keys.length,
            ),
          ]),
      ...keys.flatMap((key, index) => {
        const first = normalized.indexOf(key.normalize());
        return first === index
          ? []
          : [
              problem(
                `tags.${key}`,
                `different from 'tags.${keys[first]}' after Unicode normalization (NFC), which Terraform does`,
                key,
              ),
            ];
      }),
    ];
  },

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
      .filter((place) => backend[place] !== undefined && !namesIn(backend[place]).includes(name))
      .map((place) =>
        problem(
          `backend.${place}`,
          `a ${place} that contains 'name', ${name}, between other characters than letters, digits and hyphens, because two clusters cannot share a state`,
          backend[place],
        ),
      ),
];

/** The rules that an instance type breaks, in the words after "must be …". */
function instanceTypeRules({ region, image, kubernetes }: ClusterSettings, type: string): string[] {
  const memory = smallMemory(type);
  const rules: readonly (readonly [broken: boolean, allowed: string])[] = [
    [isMac(type), "an instance type that runs Linux: machines of mac types run macOS, on dedicated hosts"],
    [
      isArm(type) && image.id === undefined,
      `an instance type with an x86_64 processor, because images are looked up for x86_64: ${type} has an Arm processor and needs 'image.id'`,
    ],
    [
      isArm(type) && kubernetes !== undefined,
      `an instance type with an x86_64 processor when 'kubernetes' is set, because its programs are downloaded for x86_64: ${type} has an Arm processor`,
    ],
    [
      availability(region, type) === "no",
      `an instance type that ${region} has, such as ${kubernetes === undefined ? "t3.micro" : KUBERNETES_INSTANCE_TYPE}: the family ${instanceFamily(type)} is not in that region`,
    ],
    [
      kubernetes !== undefined && memory !== undefined,
      `an instance type with at least ${KUBERNETES_GIB} GiB of memory when 'kubernetes' is set, such as ${KUBERNETES_INSTANCE_TYPE}: ${type} has ${memory} GiB`,
    ],
  ];
  return rules.filter(([broken]) => broken).map(([, allowed]) => allowed);
}

/**
 * The words in the path of a state that can be the name of a cluster: everything between characters that names do not have,
 * without the parts that all states share, `terraform` and `tfstate`. They can be names themselves, so each is removed once.
 */
function namesIn(path: string): string[] {
  const words = path.replace(/\.tfstate$/, "").split(/[^A-Za-z0-9-]+/);
  const shared = words.length > 1 ? words.indexOf("terraform") : -1;
  return words.filter((_, index) => index !== shared);
}

function problem(name: string, allowed: string, got: unknown): Problem {
  return { name, allowed, got };
}
