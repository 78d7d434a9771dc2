import { z } from "zod";
import { LIMITS, type Limit, wholeNumberFrom } from "../model/formats";
import { UBUNTU_RELEASES } from "../model/images";
import { RENEWAL_HOURS, VALIDITY_HOURS } from "../model/lifetimes";

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

const machines = (count: { min: number; max: number }) =>
  group({
    count: wholeNumber(count).describe("How many machines."),
    instanceType: text(LIMITS.instanceType).describe("The EC2 instance type, of the x86_64 architecture."),
    firstHostNumber: wholeNumber({ min: 4, max: 65534 }).describe(
      "Host number of machine 0. Machine i has this plus i, in subnet i modulo the number of subnets. A change replaces machines.",
    ),
    rootVolume,
  });

/** Every setting of a cluster. It has no defaults: `presets.ts` has them. */
export const schema = group({
  $schema: z
    .string({ error: "a string" })
    .optional()
    .describe("Where an editor finds the schema of this file; ignored."),
  name: text(LIMITS.clusterName).describe(
    "The cluster's name: of the load balancer, target group, security group and key pair, in every Name tag and in " +
      "the workers' file names. Another name is another cluster, with a state of its own.",
  ),
  region: text(LIMITS.region).describe(
    "The AWS region. Destroy the cluster before a change: what exists does not move.",
  ),
  network: group({
    cidrBlock: text(LIMITS.vpcCidr).describe("The VPC's addresses."),
    subnets: list(
      group({
        cidrBlock: text(LIMITS.vpcCidr).describe("The subnet's addresses, within the VPC's."),
        availabilityZone: text(LIMITS.availabilityZone)
          .optional()
          .describe("Its zone, needed where there are several subnets, each in another one. Default: AWS chooses."),
      }),
      { min: 1, max: 6 },
      "subnets",
    ).describe(
      "The subnets. Machines are spread over them by position: a change of their order or number moves, and so replaces, machines.",
    ),
  }),
  podNetwork: group({
    cidrBlock: text(LIMITS.podCidr).describe("The addresses of pods. Worker i gets the i-th /24 of them."),
    routed: yesNo().describe(
      "Whether pods reach each other across machines: a route to each worker's pod network, and rules that let in " +
        "everything from there and between machines. The tutorial leaves it out.",
    ),
  }),
  serviceNetwork: group({
    cidrBlock: text(LIMITS.serviceCidr).describe(
      "The addresses of services. The API server's certificate holds the first.",
    ),
  }),
  controlPlane: machines({ min: 1, max: 9 }),
  workers: machines({ min: 0, max: 200 }),
  copies: group({
    kubeconfigs: yesNo().describe(
      "Whether kubeconfigs are copied too: those of admin, the controller manager and the scheduler onto control plane " +
        "machines, a worker's own and kube-proxy's onto workers.",
    ),
    encryptionConfig: yesNo().describe(
      "Whether the encryption config of the API servers is copied onto control plane machines too.",
    ),
  }),
  image: group({
    release: oneOf(...(Object.keys(UBUNTU_RELEASES) as [keyof typeof UBUNTU_RELEASES]))
      .optional()
      .describe("The Ubuntu release, by code name, whose newest image is taken."),
    namePattern: text(LIMITS.imageNamePattern)
      .optional()
      .describe("In its place: the name of an image of Canonical's, where * and ? stand for others."),
    id: text(LIMITS.imageId).optional().describe("In its place: the id of an image of that region."),
    includeDeprecated: yesNo()
      .optional()
      .describe("Also find images that Canonical has deprecated, as those of releases past their end. Default: false."),
  }),
  access: group({
    ssh: cidrList(1).describe("Who may reach TCP 22 of the machines. Whoever deploys must."),
    api: cidrList(0).describe(
      "Who may reach TCP 6443, at the machines and through the load balancer. With less than the world the load " +
        "balancer preserves its clients' addresses, and subnets and machines are let in as well.",
    ),
    icmp: cidrList(0).describe("Who may send ICMP to the machines."),
  }),
  pki: group({
    subject: group({
      country: text(LIMITS.country).describe("C of every certificate."),
      province: text(LIMITS.subjectField).describe("ST of every certificate."),
      locality: text(LIMITS.subjectField).describe("L of every certificate."),
      organization: text(LIMITS.subjectField).describe(
        "O of the authority, the API server and the service accounts; the others' is their group.",
      ),
      organizationalUnit: text(LIMITS.subjectField).describe("OU of every certificate."),
    }).describe("A change replaces every certificate."),
    caValidityHours: wholeNumber(VALIDITY_HOURS).describe(
      "The authority's lifetime in hours. A change replaces every certificate.",
    ),
    validityHours: wholeNumber(VALIDITY_HOURS).describe(
      "Every other certificate's lifetime in hours, at most the authority's. A change replaces them.",
    ),
    earlyRenewalHours: wholeNumber(RENEWAL_HOURS).describe(
      "How many hours before its end an apply replaces a certificate; less than its lifetime.",
    ),
    caEarlyRenewalHours: wholeNumber(RENEWAL_HOURS)
      .optional()
      .describe(
        "The same for the authority's certificate, and with it every other; its key stays. At least the others' " +
          "lifetime. Default: that lifetime where earlyRenewalHours is set, else 0.",
      ),
  }),
  tags: z
    .record(text(LIMITS.tagKey), text(LIMITS.tagValue), {
      error: (issue) => (issue.code === "invalid_key" ? LIMITS.tagKey.allowed : "an object of texts"),
    })
    .meta({ allowed: "an object of texts" })

    .describe("Tags for everything in AWS, beside Cluster, which holds the cluster's name."),
  backend: group({
    type: oneOf("local", "s3").describe("Where Terraform keeps its state."),
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
  }),
});

/** The settings of a cluster, complete and checked. */
export type ClusterSettings = z.output<typeof schema>;

/** An object's properties, and those of the objects in it, each of which may be missing; lists are whole. */
type Partly<T> = T extends readonly unknown[] ? T : T extends object ? { [K in keyof T]?: Partly<T[K]> } : T;

/** The settings as a person writes them: what is missing comes from a preset. */
export type ClusterSettingsInput = Partly<ClusterSettings>;

/** The settings' JSON schema, draft 7, which editors read. Rules across several settings are not in it. */
export function settingsJsonSchema(): Record<string, unknown> {
  return z.toJSONSchema(schema, { io: "input", target: "draft-7" });
}
