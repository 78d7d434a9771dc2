import { z } from "zod";
import { LIMITS, type Limit, wholeNumberFrom } from "../model/formats";
import { UBUNTU_RELEASES } from "../model/images";
import { KUBERNETES_INSTANCE_TYPE } from "../model/instance-types";
import { RENEWAL_HOURS, VALIDITY_HOURS } from "../model/lifetimes";
import { ANYWHERE, API_SERVER_PORT, SSH_PORT } from "../model/ports";
import { UserError } from "../model/user-error";
import { COMPONENT_VERSION, type COMPONENTS, KUBERNETES_VERSION } from "../model/versions";
import { CHECKSUMS_FILE, readChecksums } from "./checksums";

/** A schema. The text of each of its errors is the description of the allowed values. */
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

/** An object of settings. Its error for an unknown key lists the known keys; `parseSettings` makes an error line from it. */
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
  sizeGiB: wholeNumber({ min: 8, max: 16384 })
    .optional()
    .describe("Size in GiB, at most 1024 for the type standard. Default: the image's."),
  type: oneOf("gp2", "gp3", "standard").optional().describe("EBS volume type. Default: the image's."),
  encrypted: yesNo()
    .optional()
    .describe(
      "Whether the disk is encrypted with the account's EBS key. A change replaces machines. Default: the account's setting.",
    ),
})
  .optional()
  .describe("The root disk of each machine. Default: the image's.");

const machines = (count: { min: number; max: number }) =>
  group({
    count: wholeNumber(count).describe("Number of machines."),
    instanceType: text(LIMITS.instanceType).describe(
      `EC2 instance type that the region has. Types with an Arm processor need \`image.id\`. Default with \`kubernetes\`: ${KUBERNETES_INSTANCE_TYPE}.`,
    ),
    firstHostNumber: wholeNumber({ min: 4, max: 65534 }).describe(
      "Host number of machine 0. Machine i gets this number plus i, in subnet i modulo the number of subnets. A change replaces machines.",
    ),
    rootVolume,
  });

/** An object whose keys and values have formats. */
function map(key: Limit, value: Limit, allowed: string) {
  return z
    .record(text(key), text(value), {
      error: (issue) => (issue.code === "invalid_key" ? key.allowed : allowed),
    })
    .meta({ allowed });
}

/** The problems of a file that a setting names: lines that need no name of the setting and no value. */
export interface FileProblems {
  readonly lines: readonly string[];
}

/** The path of a file of checksums. After loading, it is the file's content. */
const checksumsFile = z
  .string({ error: CHECKSUMS_FILE })
  .transform((path, context) => {
    try {
      return readChecksums(path);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      const params: FileProblems = { lines: error.message.split("\n") };
      context.addIssue({ code: "custom", params: { ...params } });
      return z.NEVER;
    }
  })
  .meta({ allowed: CHECKSUMS_FILE });

const componentVersion = (name: string) =>
  text(COMPONENT_VERSION)
    .optional()
    .describe(`Version of ${name}. Default: the one that goes with \`kubernetes.version\`.`);

/** The allowed numbers of workers. */
const WORKERS = { min: 0, max: 200 };

const kubernetes = group({
  version: text(KUBERNETES_VERSION).describe("Version of Kubernetes. Required in this group."),
  components: group({
    etcd: componentVersion("etcd"),
    containerd: componentVersion("containerd"),
    runc: componentVersion("runc"),
    cniPlugins: componentVersion("the CNI plugins"),
    coreDns: componentVersion("CoreDNS"),
  } satisfies Record<(typeof COMPONENTS)[number], z.ZodType>)
    .optional()
    .describe("Versions of the other components."),
  rollingUpdate: group({
    maxUnavailable: wholeNumber({ min: 1, max: WORKERS.max })
      .optional()
      .describe("Number of workers whose programs are restarted or replaced at one time. Default: 1."),
  })
    .optional()
    .describe("How a change reaches the workers."),
  downloads: text(LIMITS.baseAddress)
    .optional()
    .describe(
      "Base address of a mirror from which machines download programs: BASE/HOST/PATH replaces https://HOST/PATH. " +
        "With http, only known sums and those of `kubernetes.checksums` protect them. Default: the release hosts.",
    ),
  registryMirrors: map(
    LIMITS.registry,
    LIMITS.baseAddress,
    "an object whose keys are registries' hosts and whose values are base addresses",
  )
    .optional()
    .describe(
      "Mirrors of registries: the base address from which machines get the images of a registry. With http, " +
        "only digests protect them. Default: the registries themselves.",
    ),
  checksums: checksumsFile
    .optional()
    .describe(
      "Path of a JSON file, relative to the project's folder, with sums and digests in addition to those that this program " +
        'knows: `{ "dl.k8s.io/v1.37.2/bin/linux/amd64/kubelet": "SHA-256", "registry.k8s.io/pause:3.10.2": "sha256:SHA-256" }`. ' +
        "A program without one is checked against the sum that the same host serves. `npm run releases` prints such a file. Default: no file.",
    ),
})
  .optional()
  .describe("The programs of Kubernetes. Default: none are installed.");

/** The schema of all settings of a cluster. The defaults are in `presets.ts`. */
export const schema = group({
  $schema: z
    .string({ error: "a string" })
    .optional()
    .describe("The schema of this file, for editors. Ignored by the program."),
  name: text(LIMITS.clusterName).describe(
    "Identifies the cluster. It is the name of the load balancer, target group, security group and key pair, and part of " +
      "every Name tag and of the workers' file names. Changing it creates a second cluster with its own state.",
  ),
  region: text(LIMITS.region).describe(
    "The AWS region. Regions without t2 need another `instanceType`. Destroy the cluster before you change the region: existing resources do not move.",
  ),
  network: group({
    cidrBlock: text(LIMITS.vpcCidr).describe("CIDR of the VPC."),
    subnets: list(
      group({
        cidrBlock: text(LIMITS.vpcCidr).describe("CIDR of the subnet, within the VPC's."),
        availabilityZone: text(LIMITS.availabilityZone)
          .optional()
          .describe(
            "Availability zone of the subnet. Required when there are several subnets; each needs a different zone. Default: AWS chooses.",
          ),
      }),
      { min: 1, max: 6 },
      "subnets",
    ).describe(
      "The subnets. Machines are assigned to them by position, so a change of their order or number replaces machines.",
    ),
  }),
  podNetwork: group({
    cidrBlock: text(LIMITS.podCidr).describe("CIDR of the pods. Worker i gets the i-th /24 of it."),
    routed: yesNo().describe(
      "Whether pods reach each other across machines. Adds a route to each worker's pod network, and rules that allow all " +
        "traffic from pods and between machines. The tutorial does not have these.",
    ),
  }),
  serviceNetwork: group({
    cidrBlock: text(LIMITS.serviceCidr).describe(
      "CIDR of the services. The API server's certificate contains its first address. Cluster DNS usually gets the tenth.",
    ),
  }),
  controlPlane: machines({ min: 1, max: 9 }),
  workers: machines(WORKERS),
  copies: group({
    kubeconfigs: yesNo().describe(
      "Whether kubeconfigs are also copied to the machines: those of admin, the controller manager and the scheduler to " +
        "control plane machines; the worker's own and kube-proxy's to each worker.",
    ),
    encryptionConfig: yesNo().describe(
      "Whether the API servers' encryption config is also copied to control plane machines.",
    ),
  }),
  image: group({
    release: oneOf(...(Object.keys(UBUNTU_RELEASES) as [keyof typeof UBUNTU_RELEASES]))
      .optional()
      .describe("Code name of the Ubuntu release. The newest image of the release is used."),
    namePattern: text(LIMITS.imageNamePattern)
      .optional()
      .describe("Instead of `release`: a name pattern (`*` and `?` are wildcards) for Canonical's images for x86_64."),
    id: text(LIMITS.imageId).optional().describe("Instead of `release`: the id of an image in the region."),
    includeDeprecated: yesNo()
      .optional()
      .describe(
        "Whether deprecated images are found too, such as those of releases past their end of life. Default: false.",
      ),
  }),
  access: group({
    ssh: cidrList(1).describe(`CIDRs that may connect to port ${SSH_PORT}. Must include the host that deploys.`),
    api: cidrList(0).describe(
      `CIDRs that may connect to port ${API_SERVER_PORT}, at the machines and through the load balancer. Without ${ANYWHERE}, the load ` +
        "balancer preserves its clients' addresses, and the subnets and machines are allowed too.",
    ),
    icmp: cidrList(0).describe("CIDRs that may send ICMP to the machines."),
  }),
  pki: group({
    subject: group({
      country: text(LIMITS.country).describe("C of every certificate."),
      province: text(LIMITS.subjectField).describe("ST of every certificate."),
      locality: text(LIMITS.subjectField).describe("L of every certificate."),
      organization: text(LIMITS.subjectField).describe(
        "O of the certificates of the CA, the API server and the service accounts. In the others, O is the user's group.",
      ),
      organizationalUnit: text(LIMITS.subjectField).describe("OU of every certificate."),
    }).describe("Subject of the certificates. A change replaces every certificate."),
    caValidityHours: wholeNumber(VALIDITY_HOURS).describe(
      "Lifetime of the CA's certificate, in hours. A change replaces every certificate.",
    ),
    validityHours: wholeNumber(VALIDITY_HOURS).describe(
      "Lifetime of every other certificate, in hours, at most the CA's. A change replaces these certificates.",
    ),
    earlyRenewalHours: wholeNumber(RENEWAL_HOURS).describe(
      "An apply replaces a certificate that expires in fewer hours than this. Must be less than the lifetime. 0: an apply replaces only expired certificates.",
    ),
    caEarlyRenewalHours: wholeNumber(RENEWAL_HOURS)
      .optional()
      .describe(
        "An apply replaces the CA's certificate, and with it every other certificate, if it expires in fewer hours than " +
          "this. The CA's key stays. Must be at least validityHours if there is early renewal. Default: validityHours if " +
          "earlyRenewalHours is not 0; otherwise 0.",
      ),
  }),
  tags: map(LIMITS.tagKey, LIMITS.tagValue, "an object whose values are strings").describe(
    "At most 48 tags of AWS resources, in addition to Cluster, whose value is the cluster's name. Disks get them when their " +
      "machine is created, and do not follow a later change. Network interfaces get none.",
  ),
  kubernetes,
  backend: group({
    type: oneOf("local", "s3").describe("Where Terraform stores its state: a local file or an S3 bucket."),
    path: text(LIMITS.statePath)
      .optional()
      .describe(
        "local: path of the state file, relative to the project's folder. Must contain the cluster's name as a whole word. Default: terraform.NAME.tfstate.",
      ),
    bucket: text(LIMITS.bucket).optional().describe("s3: name of the bucket."),
    key: text(LIMITS.bucketKey)
      .optional()
      .describe(
        "s3: key of the state object. Must contain the cluster's name as a whole word. Default: NAME/terraform.tfstate.",
      ),
    region: text(LIMITS.region).optional().describe("s3: region of the bucket. Default: the cluster's."),
    encrypt: yesNo().optional().describe("s3: whether the state object is encrypted. Default: true."),
    useLockfile: yesNo()
      .optional()
      .describe("s3: whether a lock file in the bucket prevents concurrent runs. Default: true."),
  }),
});

/** The settings of a cluster, complete and checked. */
export type ClusterSettings = z.output<typeof schema>;

/** A type with all properties optional, at every level. Elements of lists stay complete. */
type DeepPartial<T> = T extends readonly unknown[] ? T : T extends object ? { [K in keyof T]?: DeepPartial<T[K]> } : T;

/** The settings as the user writes them. Missing values come from a preset. */
export type ClusterSettingsInput = DeepPartial<z.input<typeof schema>>;

/** The JSON schema (draft 7) of the settings, for editors. It does not contain the rules across settings. */
export function settingsJsonSchema(): Record<string, unknown> {
  return z.toJSONSchema(schema, { io: "input", target: "draft-7" });
}
