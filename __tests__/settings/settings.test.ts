import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadSettings, parseSettings, SettingsError } from "../../settings/load";
import { settingsWarnings } from "../../settings/warnings";

const NAME =
  "'name' must be 1 to 32 letters, digits and hyphens, without a hyphen at either end and without the prefixes internal- and sg-, which AWS keeps, got: ";
const VPC_CIDR = "must be an IPv4 CIDR of /16 to /28 without host bits, such as 172.31.0.0/16, got: ";
const CIDR = "must be an IPv4 CIDR without host bits, such as 172.31.0.0/24, got: ";
const SUBJECT_FIELD =
  "must be 1 to 64 characters, none of them a control character or a backslash, and without ${ and %{, got: ";
const STATE_PATH =
  "'backend.path' must be a path of letters, digits and _./- in the project's folder that ends in .tfstate, outside cdktf.out and node_modules, got: ";

const SSH_WARNING = "'access.ssh' lets the whole world reach ssh: name the addresses that must";

const subnets = (...list: { cidrBlock?: string; availabilityZone?: string }[]) => ({ network: { subnets: list } });

test.each<[what: string, input: unknown, message: string]>([
  [
    "an unknown key",
    { names: "x" },
    "'names' is not a setting, did you mean 'name'? allowed: $schema, name, region, network, podNetwork, serviceNetwork, controlPlane, workers, copies, image, access, pki, tags, backend",
  ],
  [
    "an unknown key further down",
    { workers: { cuont: 1 } },
    "'workers.cuont' is not a setting, did you mean 'workers.count'? allowed: count, instanceType, firstHostNumber, rootVolume",
  ],
  [
    "an unknown key in a list",
    subnets({ cidrBlock: "172.31.0.0/24", availabilityZones: "eu-central-1a" } as object),
    "'network.subnets.0.availabilityZones' is not a setting, did you mean 'network.subnets.0.availabilityZone'? allowed: cidrBlock, availabilityZone",
  ],
  ["a list for all settings", [], "'cluster' must be an object of settings, got: []"],
  ["null for all settings", null, "'cluster' must be an object of settings, got: null"],
  ["a number for an object", { workers: 3 }, "'workers' must be an object of settings, got: 3"],
  [
    "a text for a number",
    { workers: { count: "3" } },
    `'workers.count' must be a whole number from 0 to 200, got: "3"`,
  ],
  ["a fraction", { workers: { count: 2.5 } }, "'workers.count' must be a whole number from 0 to 200, got: 2.5"],
  ["a text for a boolean", { podNetwork: { routed: "no" } }, `'podNetwork.routed' must be true or false, got: "no"`],
  ["too many workers", { workers: { count: 900 } }, "'workers.count' must be a whole number from 0 to 200, got: 900"],
  [
    "no control plane",
    { controlPlane: { count: 0 } },
    "'controlPlane.count' must be a whole number from 1 to 9, got: 0",
  ],
  ["a long name", { name: "a".repeat(33) }, `${NAME}"${"a".repeat(33)}"`],
  ["an underscore in the name", { name: "my_cluster" }, `${NAME}"my_cluster"`],
  ["a hyphen before the name", { name: "-a" }, `${NAME}"-a"`],
  ["a hyphen after the name", { name: "a-" }, `${NAME}"a-"`],
  ["a name like AWS's load balancers", { name: "internal-a" }, `${NAME}"internal-a"`],
  ["a name like AWS's security groups", { name: "sg-a" }, `${NAME}"sg-a"`],
  ["an empty name", { name: "" }, `${NAME}""`],
  [
    "a city for a region",
    { region: "Frankfurt" },
    `'region' must be an AWS region such as eu-central-1, got: "Frankfurt"`,
  ],
  ["a malformed VPC", { network: { cidrBlock: "172.31.0.0" } }, `'network.cidrBlock' ${VPC_CIDR}"172.31.0.0"`],
  [
    "a VPC with host bits",
    { network: { cidrBlock: "172.31.0.1/16" } },
    `'network.cidrBlock' ${VPC_CIDR}"172.31.0.1/16"`,
  ],
  ["a VPC too large", { network: { cidrBlock: "172.0.0.0/8" } }, `'network.cidrBlock' ${VPC_CIDR}"172.0.0.0/8"`],
  [
    "a subnet too small",
    subnets({ cidrBlock: "172.31.0.0/29" }),
    `'network.subnets.0.cidrBlock' ${VPC_CIDR}"172.31.0.0/29"`,
  ],
  ["a subnet without addresses", subnets({}), `'network.subnets.0.cidrBlock' ${VPC_CIDR}nothing`],
  ["no subnet", subnets(), "'network.subnets' must be a list of 1 to 6 subnets, got: []"],
  [
    "a subnet outside the VPC",
    subnets({ cidrBlock: "10.0.0.0/24" }),
    `'network.subnets.0.cidrBlock' must be within 'network.cidrBlock', 172.31.0.0/16, got: "10.0.0.0/24"`,
  ],
  [
    "subnets that overlap",
    subnets(
      { cidrBlock: "172.31.0.0/24", availabilityZone: "eu-central-1a" },
      { cidrBlock: "172.31.0.128/25", availabilityZone: "eu-central-1b" },
    ),
    `'network.subnets.1.cidrBlock' must be apart from 'network.subnets.0.cidrBlock', 172.31.0.0/24, got: "172.31.0.128/25"`,
  ],
  [
    "pods within the VPC",
    { podNetwork: { cidrBlock: "172.31.128.0/17" } },
    `'podNetwork.cidrBlock' must be apart from 'network.cidrBlock', 172.31.0.0/16, got: "172.31.128.0/17"`,
  ],
  [
    "services within the VPC",
    { serviceNetwork: { cidrBlock: "172.31.5.0/24" } },
    `'serviceNetwork.cidrBlock' must be apart from 'network.cidrBlock', 172.31.0.0/16, got: "172.31.5.0/24"`,
  ],
  [
    "services among pods",
    { serviceNetwork: { cidrBlock: "172.20.5.0/24" } },
    `'serviceNetwork.cidrBlock' must be apart from 'podNetwork.cidrBlock', 172.20.0.0/16, got: "172.20.5.0/24"`,
  ],
  [
    "a pod network without room for a worker",
    { podNetwork: { cidrBlock: "172.20.0.0/25" } },
    `'podNetwork.cidrBlock' must be an IPv4 CIDR of /8 to /24 without host bits, such as 172.20.0.0/16, got: "172.20.0.0/25"`,
  ],
  [
    "a pod network too large",
    { podNetwork: { cidrBlock: "10.0.0.0/7" } },
    `'podNetwork.cidrBlock' must be an IPv4 CIDR of /8 to /24 without host bits, such as 172.20.0.0/16, got: "10.0.0.0/7"`,
  ],
  [
    "a service network too large",
    { serviceNetwork: { cidrBlock: "10.0.0.0/11" } },
    `'serviceNetwork.cidrBlock' must be an IPv4 CIDR of /12 to /30 without host bits, such as 172.32.0.0/24, got: "10.0.0.0/11"`,
  ],
  [
    "a malformed service network",
    { serviceNetwork: { cidrBlock: "172.32.0.0/31" } },
    `'serviceNetwork.cidrBlock' must be an IPv4 CIDR of /12 to /30 without host bits, such as 172.32.0.0/24, got: "172.32.0.0/31"`,
  ],
  [
    "several subnets without zones",
    subnets({ cidrBlock: "172.31.0.0/24", availabilityZone: "eu-central-1a" }, { cidrBlock: "172.31.1.0/24" }),
    "'network.subnets.1.availabilityZone' must be given where there are several subnets, got: nothing",
  ],
  [
    "two subnets in one zone",
    subnets(
      { cidrBlock: "172.31.0.0/24", availabilityZone: "eu-central-1a" },
      { cidrBlock: "172.31.1.0/24", availabilityZone: "eu-central-1a" },
    ),
    `'network.subnets.1.availabilityZone' must be another zone than that of 'network.subnets.0', got: "eu-central-1a"`,
  ],
  [
    "a zone elsewhere",
    subnets({ cidrBlock: "172.31.0.0/24", availabilityZone: "us-east-1a" }),
    `'network.subnets.0.availabilityZone' must be a zone of 'region', eu-central-1, got: "us-east-1a"`,
  ],
  [
    "a region for a zone",
    subnets({ cidrBlock: "172.31.0.0/24", availabilityZone: "eu-central-1" }),
    `'network.subnets.0.availabilityZone' must be an availability zone such as eu-central-1a, got: "eu-central-1"`,
  ],
  [
    "a machine at the broadcast address",
    { workers: { firstHostNumber: 254 } },
    "'workers.firstHostNumber' must be such that worker-1 has a host number from 4 to 254, which EC2 gives out in 172.31.0.0/24, got: 254",
  ],
  [
    "a machine at the router's address",
    { controlPlane: { firstHostNumber: 3 } },
    "'controlPlane.firstHostNumber' must be a whole number from 4 to 65534, got: 3",
  ],
  [
    "machines beyond their subnet",
    { ...subnets({ cidrBlock: "172.31.0.0/27" }), workers: { firstHostNumber: 30 } },
    "'workers.firstHostNumber' must be such that worker-1 has a host number from 4 to 30, which EC2 gives out in 172.31.0.0/27, got: 30",
  ],
  [
    "a subnet without room for the load balancer",
    {
      ...subnets({ cidrBlock: "172.31.0.0/28" }),
      controlPlane: { count: 1, firstHostNumber: 4 },
      workers: { firstHostNumber: 5 },
    },
    `'network.subnets.0.cidrBlock' must be large enough for 4 machines and the 8 free addresses that a load balancer needs, got: "172.31.0.0/28"`,
  ],
  [
    "the name of a security group that every VPC has",
    { name: "default" },
    `'name' must be another than default, a security group that every VPC has, got: "default"`,
  ],
  [
    "two machines at one address",
    { workers: { firstHostNumber: 12 } },
    "'workers.firstHostNumber' must be such that worker-0 and master-2 do not both have 172.31.0.12, got: 12",
  ],
  [
    "more workers than pod networks",
    { podNetwork: { cidrBlock: "172.20.0.0/23" } },
    "'workers.count' must be at most 2, the pod networks of /24 in 172.20.0.0/23, got: 3",
  ],
  [
    "no instance type",
    { workers: { instanceType: "big" } },
    `'workers.instanceType' must be an EC2 instance type such as t2.micro, got: "big"`,
  ],
  [
    "a small disk",
    { workers: { rootVolume: { sizeGiB: 4 } } },
    "'workers.rootVolume.sizeGiB' must be a whole number from 8 to 16384, got: 4",
  ],
  [
    "an unknown release",
    { image: { release: "xenial" } },
    `'image.release' must be one of focal, jammy, noble, got: "xenial"`,
  ],
  [
    "two ways to name an image",
    { image: { release: "noble", id: "ami-0123456789abcdef0" } },
    `'image.id' must be absent beside 'image.release', got: "ami-0123456789abcdef0"`,
  ],
  [
    "a release beside a pattern",
    { image: { release: "noble", namePattern: "ubuntu-*" } },
    `'image.namePattern' must be absent beside 'image.release', got: "ubuntu-*"`,
  ],
  [
    "deprecated images for an id",
    { image: { id: "ami-0123456789abcdef0", includeDeprecated: true } },
    "'image.includeDeprecated' must be absent beside 'image.id', got: true",
  ],
  [
    "no image id",
    { image: { id: "noble" } },
    `'image.id' must be an AMI id such as ami-0123456789abcdef0, got: "noble"`,
  ],
  ["nobody who may deploy", { access: { ssh: [] } }, "'access.ssh' must be a list of 1 to 40 IPv4 CIDRs, got: []"],
  ["an address for a CIDR", { access: { api: ["192.0.2.1"] } }, `'access.api.0' ${CIDR}"192.0.2.1"`],
  [
    "a CIDR twice",
    { access: { icmp: ["192.0.2.1/32", "192.0.2.1/32"] } },
    `'access.icmp.1' must be different from the CIDRs before it, got: "192.0.2.1/32"`,
  ],
  [
    "an early renewal as long as the lifetime",
    { pki: { earlyRenewalHours: 8760 } },
    "'pki.earlyRenewalHours' must be less than 'validityHours', 8760, got: 8760",
  ],
  [
    "the authority's early renewal as long as its lifetime",
    { pki: { caEarlyRenewalHours: 43800 } },
    "'pki.caEarlyRenewalHours' must be less than 'caValidityHours', 43800, got: 43800",
  ],
  [
    "a certificate beyond its authority",
    { pki: { validityHours: 43801 } },
    "'pki.validityHours' must be at most 'caValidityHours', 43800, got: 43801",
  ],
  [
    "a window of the authority shorter than a lifetime",
    { pki: { earlyRenewalHours: 720, caEarlyRenewalHours: 8759 } },
    "'pki.caEarlyRenewalHours' must be at least 'validityHours', 8760, or a certificate could outlive its authority, got: 8759",
  ],
  [
    "no window of the authority beside early renewal",
    { pki: { earlyRenewalHours: 720, caEarlyRenewalHours: 0 } },
    "'pki.caEarlyRenewalHours' must be at least 'validityHours', 8760, or a certificate could outlive its authority, got: 0",
  ],
  [
    "a window of the authority alone that is shorter than a lifetime",
    { pki: { caEarlyRenewalHours: 100 } },
    "'pki.caEarlyRenewalHours' must be at least 'validityHours', 8760, or a certificate could outlive its authority, got: 100",
  ],
  ["no lifetime", { pki: { validityHours: 0 } }, "'pki.validityHours' must be a whole number from 1 to 876000, got: 0"],
  [
    "a country in three letters",
    { pki: { subject: { country: "GBR" } } },
    `'pki.subject.country' must be a country code of two capital letters, such as UK, got: "GBR"`,
  ],
  [
    "a subject field too long",
    { pki: { subject: { organizationalUnit: "x".repeat(65) } } },
    `'pki.subject.organizationalUnit' ${SUBJECT_FIELD}"${"x".repeat(65)}"`,
  ],
  ["an empty subject field", { pki: { subject: { locality: "" } } }, `'pki.subject.locality' ${SUBJECT_FIELD}""`],
  [
    "a template in a subject field",
    { pki: { subject: { province: "$" + "{path.cwd}" } } },
    `'pki.subject.province' ${SUBJECT_FIELD}"$\{path.cwd}"`,
  ],
  [
    "a tag that the project sets",
    { tags: { Name: "x" } },
    `'tags.Name' must be a tag key of 1 to 128 characters, without the prefix aws:, and neither Name nor Cluster, got: "Name"`,
  ],
  [
    "a number for a tag",
    { tags: { team: 1 } },
    "'tags.team' must be at most 256 letters, digits, spaces and _.:/=+-@, got: 1",
  ],
  ["an unknown backend", { backend: { type: "gcs" } }, `'backend.type' must be one of local, s3, got: "gcs"`],
  [
    "S3 without a bucket",
    { backend: { type: "s3" } },
    "'backend.bucket' must be the name of an S3 bucket: 3 to 63 lower-case letters, digits, dots and hyphens, since 'backend.type' is s3, got: nothing",
  ],
  [
    "a bucket without S3",
    { backend: { bucket: "states" } },
    `'backend.bucket' must be absent where 'backend.type' is local, got: "states"`,
  ],
  [
    "a path with S3",
    { backend: { type: "s3", bucket: "states", path: "k8s-cluster-from-ground-up.tfstate" } },
    `'backend.path' must be absent where 'backend.type' is s3, got: "k8s-cluster-from-ground-up.tfstate"`,
  ],
  [
    "a lock in the bucket without S3",
    { backend: { useLockfile: true } },
    "'backend.useLockfile' must be absent where 'backend.type' is local, got: true",
  ],
  ["a path of one machine", { backend: { path: "/var/a.tfstate" } }, `${STATE_PATH}"/var/a.tfstate"`],
  ["a path that leaves the project", { backend: { path: "states/../../a" } }, `${STATE_PATH}"states/../../a"`],
  [
    "a state in a folder that synthesis removes",
    { backend: { path: "Cdktf.out/a.tfstate" } },
    `${STATE_PATH}"Cdktf.out/a.tfstate"`,
  ],
  [
    "a state in a folder that npm ci removes",
    { backend: { path: "node_modules/a.tfstate" } },
    `${STATE_PATH}"node_modules/a.tfstate"`,
  ],
  ["a state that git would take", { backend: { path: "states/prod.json" } }, `${STATE_PATH}"states/prod.json"`],
  [
    "a path that two clusters could share",
    { name: "prod", backend: { path: "states/a.tfstate" } },
    `'backend.path' must be one with 'name', prod, in it, since no two clusters share a state, got: "states/a.tfstate"`,
  ],
  [
    "an object that two clusters could share",
    { name: "prod", backend: { type: "s3", bucket: "states", key: "a" } },
    `'backend.key' must be one with 'name', prod, in it, since no two clusters share a state, got: "a"`,
  ],
  [
    "a zone of a region whose name begins alike",
    subnets({ cidrBlock: "172.31.0.0/24", availabilityZone: "eu-central-10a" }),
    `'network.subnets.0.availabilityZone' must be a zone of 'region', eu-central-1, got: "eu-central-10a"`,
  ],
  [
    "a number that breaks two rules",
    { controlPlane: { count: 1e26 } },
    "'controlPlane.count' must be a whole number from 1 to 9, got: 1e+26",
  ],
  [
    "a key with a line break",
    { tags: { "a\nb": "x" } },
    `'tags.a\\nb' must be a tag key of 1 to 128 characters, without the prefix aws:, and neither Name nor Cluster, got: "a\\nb"`,
  ],
  [
    "a very long value",
    { region: "x".repeat(1000) },
    `'region' must be an AWS region such as eu-central-1, got: "${"x".repeat(199)}…`,
  ],
])("%s is refused", (_what, input, message) => {
  expect(() => parseSettings(input)).toThrow(new SettingsError(message));
});

test("every fault gets a line of its own", () => {
  expect(() => parseSettings({ name: "", workers: { count: -1 } })).toThrow(
    new SettingsError(`${NAME}""\n'workers.count' must be a whole number from 0 to 200, got: -1`),
  );
});

test("a machine may follow another closely, and fill its subnet", () => {
  expect(() => parseSettings({ workers: { firstHostNumber: 13, count: 200 } })).not.toThrow();
  expect(() => parseSettings({ workers: { firstHostNumber: 252 } })).not.toThrow();
});

test("there may be as many workers as pod networks", () => {
  expect(() => parseSettings({ podNetwork: { cidrBlock: "172.20.0.0/22" }, workers: { count: 4 } })).not.toThrow();
});

test("a certificate may live as long as its authority", () => {
  expect(() => parseSettings({ pki: { validityHours: 43800 } })).not.toThrow();
});

test("early renewal of certificates makes the authority's window their lifetime", () => {
  expect(() => parseSettings({ pki: { earlyRenewalHours: 720 } })).not.toThrow();
  expect(() => parseSettings({ pki: { caValidityHours: 8760, earlyRenewalHours: 720 } })).toThrow(
    "'pki.caEarlyRenewalHours' must be less than 'caValidityHours', 8760, got: 8760",
  );
});

describe("where settings come from", () => {
  const folder = mkdtempSync(join(tmpdir(), "settings-"));
  afterEach(() => {
    delete process.env.CLUSTER_SETTINGS;
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  function settingsFile(name: string, content: string): string {
    const path = join(folder, name);
    writeFileSync(path, content);
    process.env.CLUSTER_SETTINGS = path;
    return path;
  }

  test("from the context, where no file is named", () => {
    expect(loadSettings({ name: "from-context" }).name).toBe("from-context");
    expect(loadSettings(undefined).name).toBe("k8s-cluster-from-ground-up");
  });

  test("from the file alone, where one is named", () => {
    settingsFile("a.json", `{ "$schema": "./settings.schema.json", "region": "us-east-1" }`);
    const settings = loadSettings({ name: "from-context" });
    expect([settings.name, settings.region]).toEqual(["k8s-cluster-from-ground-up", "us-east-1"]);
  });

  test("from a file that begins with a byte order mark, too", () => {
    settingsFile("bom.json", `\uFEFF{ "name": "bom" }`);
    expect(loadSettings({}).name).toBe("bom");
  });

  test("a name that a script left empty does not mean the context", () => {
    process.env.CLUSTER_SETTINGS = "";
    expect(() => loadSettings({})).toThrow(
      new SettingsError(
        `'CLUSTER_SETTINGS' must be the path of a JSON file, got: "" (ENOENT: no such file or directory, open '')`,
      ),
    );
  });

  test("a missing file is refused", () => {
    process.env.CLUSTER_SETTINGS = "no/such.json";
    expect(() => loadSettings({})).toThrow(
      new SettingsError(
        `'CLUSTER_SETTINGS' must be the path of a JSON file, got: "no/such.json" (ENOENT: no such file or directory, open 'no/such.json')`,
      ),
    );
  });

  test("a syntax error is told in one line, however the file is broken over lines", () => {
    settingsFile("broken.json", `{\n  "name": x\n}\n`);
    expect(() => loadSettings({})).toThrow(/^'CLUSTER_SETTINGS' must be the path of a JSON file, got: .+$/);
  });

  test("a file that is not JSON is refused", () => {
    const path = settingsFile("empty.json", "");
    expect(() => loadSettings({})).toThrow(
      new SettingsError(
        `'CLUSTER_SETTINGS' must be the path of a JSON file, got: "${path}" (Unexpected end of JSON input)`,
      ),
    );
  });
});

describe("warnings", () => {
  const quiet = { access: { ssh: ["192.0.2.0/24"] }, serviceNetwork: { cidrBlock: "10.32.0.0/24" } };
  const warnings = (input: object) => settingsWarnings(parseSettings({ ...quiet, ...input }));

  test.each<[what: string, input: object, lines: string[]]>([
    ["nothing to say", {}, []],
    [
      "an even control plane",
      { controlPlane: { count: 2 } },
      [
        "'controlPlane.count' is 2: etcd with an even number of members survives the loss of no more than with one less",
      ],
    ],
    ["ssh open to the world", { access: {} }, [SSH_WARNING]],
    [
      "services in public address space",
      { serviceNetwork: {} },
      ["'serviceNetwork.cidrBlock' is 172.32.0.0/24, public address space: pods cannot reach the real hosts there"],
    ],
    [
      "another even control plane",
      { controlPlane: { count: 4 } },
      [
        "'controlPlane.count' is 4: etcd with an even number of members survives the loss of no more than with one less",
      ],
    ],
    ["ssh open to the world in halves", { access: { ssh: ["0.0.0.0/1", "128.0.0.0/1"] } }, [SSH_WARNING]],
    [
      "more rules than the quota",
      {
        access: { ssh: ["192.0.2.0/24"], api: ["192.0.2.0/24"], icmp: ["192.0.2.0/24", "10.0.0.0/8"] },
        workers: { count: 49 },
      },
      ["the security group would have 61 inbound rules: more than 60, the default quota"],
    ],
    ["as many routes as the quota", { workers: { count: 49 } }, []],
    [
      "more routes than the quota",
      { workers: { count: 50 } },
      [
        "'workers.count' is 50: a route for each and the default route are more than 50, the default quota of a route table before June 2025",
      ],
    ],
    ["no routes", { workers: { count: 50 }, podNetwork: { routed: false } }, []],
  ])("%s", (_what, input, lines) => {
    expect(warnings(input)).toEqual(lines);
  });
});
