import { readFileSync } from "node:fs";
import { closest } from "fastest-levenshtein";
import { z } from "zod";
import {
  contains,
  isPrivate,
  nodePlace,
  overlaps,
  prefixLength,
  subnetworkCount,
  usableHostNumbers,
} from "./addressing";
import { ANYWHERE } from "./cluster-network";
import { DEFAULT_LIFETIMES, DEFAULT_SUBJECT, lifetimeProblems, RENEWAL_HOURS, VALIDITY_HOURS } from "./cluster-pki";
import { LIMITS, type Limit, mustBe, oneLine, type Problem, wholeNumberFrom } from "./limits";
import { nodeName } from "./node-fleet";
import { UBUNTU_RELEASES } from "./ubuntu-image";

/** The prefix length of one worker's pod network. */
export const NODE_POD_PREFIX = 24;

/**
 * How many routes AWS allows in a route table by default, of which one leads to the internet. (500 since June 2025;
 * older accounts may have the old quota.)
 * @see https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html
 */
const ROUTES_PER_TABLE = 50;

/** How many rules for inbound IPv4 traffic AWS allows in a security group by default. */
const RULES_PER_GROUP = 60;

/**
 * How many addresses of a subnet must be free for a load balancer.
 * @see https://docs.aws.amazon.com/elasticloadbalancing/latest/network/network-load-balancers.html
 */
const LOAD_BALANCER_ADDRESSES = 8;

/** A schema whose every error says what is allowed. */
function leaf<T extends z.ZodType>(make: (error: { error: string }) => T, allowed: string): T {
  return make({ error: allowed }).meta({ allowed });
}

const text = (limit: Limit) =>
  leaf((error) => {
    const schema = limit.pattern === undefined ? z.string(error) : z.string(error).regex(limit.pattern, error);
    return limit.holds === undefined ? schema : schema.refine(limit.holds, error);
  }, limit.allowed);

const wholeNumber = (range: { min: number; max: number }) =>
  leaf((error) => z.int(error).min(range.min, error).max(range.max, error), wholeNumberFrom(range));

const yesNo = () => leaf((error) => z.boolean(error), "true or false");

const oneOf = <const T extends readonly [string, ...string[]]>(...values: T) =>
  leaf((error) => z.enum(values, error), `one of ${values.join(", ")}`);

/** An object whose error for an unknown key carries the known ones; {@link settingsErrors} makes a line of it. */
function group<T extends z.ZodRawShape>(shape: T) {
  return z.strictObject(shape, {
    error: (issue) => (issue.code === "unrecognized_keys" ? Object.keys(shape).join(", ") : "an object of settings"),
  });
}

function list<T extends z.ZodType>(element: T, range: { min: number; max: number }, of: string) {
  const allowed = `a list of ${range.min} to ${range.max} ${of}`;
  return leaf((error) => z.array(element, error).min(range.min, error).max(range.max, error), allowed);
}

const cidrList = (min: number) => list(text(LIMITS.cidr), { min, max: 40 }, "IPv4 CIDRs");

const rootVolume = group({
  sizeGiB: wholeNumber({ min: 8, max: 16384 }).optional().describe("Size in GiB. Default: the image's."),
  type: oneOf("gp2", "gp3", "standard").optional().describe("EBS volume type. Default: the image's."),
  encrypted: yesNo()
    .optional()
    .describe(
      "Whether it is encrypted with the account's EBS key. A change replaces machines. Default: the account's.",
    ),
})
  .optional()
  .describe("The machines' first disk. Default: as the image has it.");

const machines = (count: { min: number; max: number }, firstHostNumber: number) =>
  group({
    count: wholeNumber(count).default(3).describe("How many machines."),
    instanceType: text(LIMITS.instanceType)
      .default("t2.micro")
      .describe("The EC2 instance type, of the x86_64 architecture."),
    firstHostNumber: wholeNumber({ min: 4, max: 65534 })
      .default(firstHostNumber)
      .describe(
        "Host number of machine 0. Machine i has this plus i, in subnet i modulo the number of subnets. A change replaces machines.",
      ),
    rootVolume,
  }).prefault({});

const schema = group({
  $schema: z
    .string({ error: "a string" })
    .optional()
    .describe("Where an editor finds the schema of this file; ignored."),
  name: text(LIMITS.clusterName)
    .default("k8s-cluster-from-ground-up")
    .describe(
      "The cluster's name: of the load balancer, target group, security group and key pair, in every Name tag and in " +
        "the workers' file names. Another name is another cluster, with a state of its own.",
    ),
  region: text(LIMITS.region)
    .default("eu-central-1")
    .describe("The AWS region. Destroy the cluster before a change: what exists does not move."),
  network: group({
    cidrBlock: text(LIMITS.vpcCidr).default("172.31.0.0/16").describe("The VPC's addresses."),
    subnets: list(
      group({
        cidrBlock: text(LIMITS.vpcCidr).describe("The subnet's addresses, within the VPC's."),
        availabilityZone: text(LIMITS.availabilityZone)
          .optional()
          .describe("Its zone, needed where there are several subnets, each in another one. Default: AWS chooses."),
      }),
      { min: 1, max: 6 },
      "subnets",
    )
      .default([{ cidrBlock: "172.31.0.0/24" }])
      .describe(
        "The subnets. Machines are spread over them by position: a change of their order or number moves, and so replaces, machines.",
      ),
  }).prefault({}),
  podNetwork: group({
    cidrBlock: text(LIMITS.podCidr)
      .default("172.20.0.0/16")
      .describe("The addresses of pods. Worker i gets the i-th /24 of them."),
    routed: yesNo()
      .default(true)
      .describe(
        "Whether pods reach each other across machines: a route to each worker's pod network, and rules that let in " +
          "everything from there and between machines. The tutorial leaves it out.",
      ),
  }).prefault({}),
  serviceNetwork: group({
    cidrBlock: text(LIMITS.serviceCidr)
      .default("172.32.0.0/24")
      .describe("The addresses of services. The API server's certificate holds the first."),
  }).prefault({}),
  controlPlane: machines({ min: 1, max: 9 }, 10),
  workers: machines({ min: 0, max: 200 }, 20),
  copies: group({
    kubeconfigs: yesNo()
      .default(false)
      .describe(
        "Whether kubeconfigs are copied too: those of admin, the controller manager and the scheduler onto control plane " +
          "machines, a worker's own and kube-proxy's onto workers.",
      ),
    encryptionConfig: yesNo()
      .default(false)
      .describe("Whether the encryption config of the API servers is copied onto control plane machines too."),
  }).prefault({}),
  image: group({
    release: oneOf(...(Object.keys(UBUNTU_RELEASES) as [keyof typeof UBUNTU_RELEASES]))
      .optional()
      .describe("The Ubuntu release, by code name, whose newest image is taken. Default: noble."),
    namePattern: text(LIMITS.imageNamePattern)
      .optional()
      .describe("In its place: the name of an image of Canonical's, where * and ? stand for others."),
    id: text(LIMITS.imageId).optional().describe("In its place: the id of an image of that region."),
    includeDeprecated: yesNo()
      .optional()
      .describe("Also find images that Canonical has deprecated, as those of releases past their end. Default: false."),
  }).prefault({}),
  access: group({
    ssh: cidrList(1).default([ANYWHERE]).describe("Who may reach TCP 22 of the machines. Whoever deploys must."),
    api: cidrList(0)
      .default([ANYWHERE])
      .describe(
        "Who may reach TCP 6443, at the machines and through the load balancer. With less than the world the load " +
          "balancer preserves its clients' addresses, and subnets and machines are let in as well.",
      ),
    icmp: cidrList(0).default([ANYWHERE]).describe("Who may send ICMP to the machines."),
  }).prefault({}),
  pki: group({
    subject: group({
      country: text(LIMITS.country).default(DEFAULT_SUBJECT.country).describe("C of every certificate."),
      province: text(LIMITS.subjectField).default(DEFAULT_SUBJECT.province).describe("ST of every certificate."),
      locality: text(LIMITS.subjectField).default(DEFAULT_SUBJECT.locality).describe("L of every certificate."),
      organization: text(LIMITS.subjectField)
        .default(DEFAULT_SUBJECT.organization)
        .describe("O of the authority, the API server and the service accounts; the others' is their group."),
      organizationalUnit: text(LIMITS.subjectField)
        .default(DEFAULT_SUBJECT.organizationalUnit)
        .describe("OU of every certificate."),
    })
      .prefault({})
      .describe("A change replaces every certificate."),
    caValidityHours: wholeNumber(VALIDITY_HOURS)
      .default(DEFAULT_LIFETIMES.caValidityHours)
      .describe("The authority's lifetime in hours. A change replaces every certificate."),
    validityHours: wholeNumber(VALIDITY_HOURS)
      .default(DEFAULT_LIFETIMES.validityHours)
      .describe("Every other certificate's lifetime in hours, at most the authority's. A change replaces them."),
    earlyRenewalHours: wholeNumber(RENEWAL_HOURS)
      .default(DEFAULT_LIFETIMES.earlyRenewalHours)
      .describe("How many hours before its end an apply replaces a certificate; less than its lifetime."),
    caEarlyRenewalHours: wholeNumber(RENEWAL_HOURS)
      .optional()
      .describe(
        "The same for the authority's certificate, and with it every other; its key stays. At least the others' " +
          "lifetime. Default: that lifetime where earlyRenewalHours is set, else 0.",
      ),
  }).prefault({}),
  tags: z
    .record(text(LIMITS.tagKey), text(LIMITS.tagValue), {
      error: (issue) => (issue.code === "invalid_key" ? LIMITS.tagKey.allowed : "an object of texts"),
    })
    .meta({ allowed: "an object of texts" })
    .default({})
    .describe("Tags for everything in AWS, beside Cluster, which holds the cluster's name."),
  backend: group({
    type: oneOf("local", "s3").default("local").describe("Where Terraform keeps its state."),
    path: text(LIMITS.statePath)
      .optional()
      .describe(
        "local: the state file, from the project's folder. Holds the cluster's name. Default: terraform.NAME.tfstate.",
      ),
    bucket: text(LIMITS.bucket).optional().describe("s3: the bucket."),
    key: text(LIMITS.bucketKey)
      .optional()
      .describe("s3: the object; holds the cluster's name. Default: NAME/terraform.tfstate."),
    region: text(LIMITS.region).optional().describe("s3: the bucket's region. Default: the cluster's."),
    encrypt: yesNo().optional().describe("s3: whether the object is encrypted. Default: true."),
    useLockfile: yesNo().optional().describe("s3: whether a lock file in the bucket keeps others out. Default: true."),
  }).prefault({}),
});

/** The settings of a cluster, complete and checked. */
export type ClusterSettings = z.output<typeof schema>;

/** The settings as a person writes them, where everything is optional. */
export type ClusterSettingsInput = z.input<typeof schema>;

/** Which of the backend's settings go with which type. */
const BACKEND_SETTINGS = { local: ["path"], s3: ["bucket", "key", "region", "encrypt", "useLockfile"] } as const;

const RULES: readonly ((settings: ClusterSettings) => Problem[])[] = [
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
        : [problem(name, `apart from 'network.subnets.${other}.cidrBlock', ${subnets[other]?.cidrBlock}`, cidrBlock)];
    }),

  ({ network, podNetwork, serviceNetwork }) => {
    const networks = Object.entries({ network, podNetwork, serviceNetwork });
    return networks.flatMap(([name, { cidrBlock }], index) =>
      networks
        .slice(0, index)
        .filter(([, other]) => overlaps(other.cidrBlock, cidrBlock))
        .map(([otherName, other]) =>
          problem(`${name}.cidrBlock`, `apart from '${otherName}.cidrBlock', ${other.cidrBlock}`, cidrBlock),
        ),
    );
  },

  ({ region, network: { subnets } }) =>
    subnets.flatMap(({ availabilityZone: zone }, index) => {
      const name = `network.subnets.${index}.availabilityZone`;
      if (zone === undefined)
        return subnets.length > 1 ? [problem(name, "given where there are several subnets", zone)] : [];
      if (!/^(-[a-z]+-[0-9]+)?[a-z]$/.test(zone.replace(region, "")))
        return [problem(name, `a zone of 'region', ${region}`, zone)];
      const other = subnets.findIndex((subnet) => subnet.availabilityZone === zone);
      return other === index ? [] : [problem(name, `another zone than that of 'network.subnets.${other}'`, zone)];
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
          const allowed = `such that ${id} has a host number from ${min} to ${max}, which EC2 gives out in ${cidr}`;
          return [problem(name, allowed, firstHostNumber)];
        }
        const owner = ownerOf.get(address);
        if (owner !== undefined) {
          return [problem(name, `such that ${id} and ${owner} do not both have ${address}`, firstHostNumber)];
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
    name === "default" ? [problem("name", "another than default, a security group that every VPC has", name)] : [],

  ({ workers, podNetwork: { cidrBlock } }) => {
    const available = subnetworkCount(cidrBlock, NODE_POD_PREFIX);
    return workers.count <= available
      ? []
      : [problem("workers.count", `at most ${available}, the pod networks of /24 in ${cidrBlock}`, workers.count)];
  },

  ({ image: { release, namePattern, id, includeDeprecated } }) => {
    const given = Object.entries({ release, namePattern, id }).filter(([, value]) => value !== undefined);
    return [
      ...given
        .slice(1)
        .map(([name, value]) => problem(`image.${name}`, `absent beside 'image.${given[0]?.[0]}'`, value)),
      ...(id !== undefined && includeDeprecated !== undefined
        ? [problem("image.includeDeprecated", "absent beside 'image.id'", includeDeprecated)]
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
            .map((name) => problem(`backend.${name}`, `absent where 'backend.type' is ${backend.type}`, backend[name])),
    ),
    ...(backend.type === "s3" && backend.bucket === undefined
      ? [problem("backend.bucket", `${LIMITS.bucket.allowed}, since 'backend.type' is s3`, undefined)]
      : []),
  ],

  // Two clusters in one state: the deploy of the second would destroy the first.
  ({ name, backend }) =>
    (["path", "key"] as const)
      .filter((place) => backend[place]?.includes(name) === false)
      .map((place) =>
        problem(
          `backend.${place}`,
          `one with 'name', ${name}, in it, since no two clusters share a state`,
          backend[place],
        ),
      ),
];

function problem(name: string, allowed: string, got: unknown): Problem {
  return { name, allowed, got };
}

/** Settings that were refused. The message has one line for each fault. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
}

/**
 * Checks settings and fills in defaults.
 * @param input - as a person wrote them; nothing stands for `{}`
 * @throws SettingsError with a line for each fault: the setting, what is allowed, what it got
 */
export function parseClusterSettings(input: unknown = {}): ClusterSettings {
  const result = schema.safeParse(input);
  const lines = result.success
    ? RULES.flatMap((rule) => rule(result.data)).map(({ name, allowed, got }) => mustBe(name, allowed, got))
    : settingsErrors(result.error, input);
  if (lines.length > 0) throw new SettingsError(lines.join("\n"));
  return result.data as ClusterSettings;
}

/**
 * The settings of this run: the file that `CLUSTER_SETTINGS` names, from the working directory, or else what
 * cdktf.json has in its context.
 * @param context - the context's value for the key `cluster`
 * @throws SettingsError where the file cannot be read or is not JSON, and as {@link parseClusterSettings}
 */
export function loadClusterSettings(context: unknown): ClusterSettings {
  const path = process.env.CLUSTER_SETTINGS;
  // Set but empty is a mistake of a script's: it must not deploy, or destroy, the context's cluster instead.
  return parseClusterSettings(path === undefined ? context : readSettingsFile(path));
}

function readSettingsFile(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8").replace(/^\uFEFF/, ""));
  } catch (error) {
    const reason = (error as Error).message.replace(/\s+/g, " ");
    throw new SettingsError(`${mustBe("CLUSTER_SETTINGS", "the path of a JSON file", path)} (${reason})`);
  }
}

function settingsErrors(error: z.ZodError, input: unknown): string[] {
  const lines = error.issues.flatMap((issue) => {
    const name = issue.path.join(".");
    if (issue.code !== "unrecognized_keys") {
      // A record's key stands in the path; what was refused is the key, not the value that it has.
      const got = issue.code === "invalid_key" ? issue.path.at(-1) : valueAt(input, issue.path);
      return [mustBe(name || "cluster", issue.message, got)];
    }
    const prefix = name === "" ? "" : `${name}.`;
    return issue.keys.map((key) => {
      const known = issue.message.split(", ");
      return `'${oneLine(prefix + key)}' is not a setting, did you mean '${prefix}${closest(key, known)}'? allowed: ${issue.message}`;
    });
  });
  // A number can break two rules of one setting.
  return [...new Set(lines)];
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key], input);
}

/**
 * What is allowed but deserves a second look, a line each: an even number of control plane machines, ssh open to the
 * world, services at public addresses, more routes or rules than AWS allows by default.
 */
export function settingsWarnings(settings: ClusterSettings): string[] {
  const { access, controlPlane, network, podNetwork, serviceNetwork, workers } = settings;
  const subnets = network.subnets.length;
  const closedApi = access.api.includes(ANYWHERE) ? 0 : subnets + controlPlane.count + workers.count;
  const sources = access.ssh.length + access.api.length + access.icmp.length;
  const rules = 2 * subnets + sources + closedApi + (podNetwork.routed ? 2 : 0);
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

/** The settings' JSON schema, draft 7, which editors read. Rules across several settings are not in it. */
export function settingsJsonSchema(): Record<string, unknown> {
  return z.toJSONSchema(schema, { io: "input", target: "draft-7" });
}
