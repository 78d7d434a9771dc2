import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UserError } from "../../model/user-error";
import { loadSettings, parseSettings } from "../../settings/load";
import { settingsWarnings } from "../../settings/warnings";

const NAME =
  "'name' must be 1 to 32 letters, digits and hyphens, without a hyphen at either end and without the prefixes internal- and sg-, which AWS reserves, got: ";
const VPC_CIDR =
  "must be an IPv4 CIDR of /16 to /28 without host bits, such as 172.31.0.0/16, outside 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16 and 224.0.0.0/3, got: ";
const CIDR = "must be an IPv4 CIDR without host bits, such as 172.31.0.0/24, got: ";
const SUBJECT_FIELD =
  "must be 1 to 64 visible characters, none of them a backslash, and without ${, %{, #{ and &{, got: ";
const STATE_PATH =
  "'backend.path' must be a path of letters, digits and _./- in the project's folder that ends in .tfstate, outside cdktf.out, node_modules, .cloud and .git, got: ";

const SSH_WARNING = "'access.ssh' allows everybody to connect to ssh: list only the addresses that need it";

const subnets = (...list: { cidrBlock?: string; availabilityZone?: string }[]) => ({ network: { subnets: list } });

test.each<[name: string, input: unknown, message: string]>([
  [
    "an unknown key",
    { names: "x" },
    "'names' is not a setting, did you mean 'name'? allowed: $schema, name, region, network, podNetwork, serviceNetwork, controlPlane, workers, copies, image, access, pki, tags, kubernetes, backend",
  ],
  [
    "an unknown key in an object",
    { workers: { cuont: 1 } },
    "'workers.cuont' is not a setting, did you mean 'workers.count'? allowed: count, instanceType, firstHostNumber, rootVolume",
  ],
  [
    "an unknown key in a list",
    subnets({ cidrBlock: "172.31.0.0/24", availabilityZones: "eu-central-1a" } as object),
    "'network.subnets.0.availabilityZones' is not a setting, did you mean 'network.subnets.0.availabilityZone'? allowed: cidrBlock, availabilityZone",
  ],
  ...["context", "cluster"].map((key): [string, unknown, string] => [
    `settings with '${key}' around them`,
    { [key]: {} },
    `'${key}' is not a setting: settings must be the object of 'context.cluster' itself; allowed: $schema, name, region, network, podNetwork, serviceNetwork, controlPlane, workers, copies, image, access, pki, tags, kubernetes, backend`,
  ]),
  ["a list for all settings", [], "'settings' must be an object of settings, got: []"],
  ["null for all settings", null, "'settings' must be an object of settings, got: null"],
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
    "a cluster without control plane",
    { controlPlane: { count: 0 } },
    "'controlPlane.count' must be a whole number from 1 to 9, got: 0",
  ],
  ["a long name", { name: "a".repeat(33) }, `${NAME}"${"a".repeat(33)}"`],
  ["an underscore in the name", { name: "my_cluster" }, `${NAME}"my_cluster"`],
  ["a hyphen at the start of the name", { name: "-a" }, `${NAME}"-a"`],
  ["a hyphen at the end of the name", { name: "a-" }, `${NAME}"a-"`],
  ["a name with the prefix of AWS's load balancers", { name: "internal-a" }, `${NAME}"internal-a"`],
  ["a name with the prefix of AWS's security groups", { name: "sg-a" }, `${NAME}"sg-a"`],
  ["an empty name", { name: "" }, `${NAME}""`],
  [
    "a city as region",
    { region: "Frankfurt" },
    `'region' must be an AWS region such as eu-central-1, got: "Frankfurt"`,
  ],
  ["a malformed VPC CIDR", { network: { cidrBlock: "172.31.0.0" } }, `'network.cidrBlock' ${VPC_CIDR}"172.31.0.0"`],
  [
    "a VPC CIDR with host bits",
    { network: { cidrBlock: "172.31.0.1/16" } },
    `'network.cidrBlock' ${VPC_CIDR}"172.31.0.1/16"`,
  ],
  [
    "a VPC that is too large",
    { network: { cidrBlock: "172.0.0.0/8" } },
    `'network.cidrBlock' ${VPC_CIDR}"172.0.0.0/8"`,
  ],
  [
    "a subnet that is too small",
    subnets({ cidrBlock: "172.31.0.0/29" }),
    `'network.subnets.0.cidrBlock' ${VPC_CIDR}"172.31.0.0/29"`,
  ],
  ["a subnet without a CIDR", subnets({}), `'network.subnets.0.cidrBlock' ${VPC_CIDR}nothing`],
  ["an empty list of subnets", subnets(), "'network.subnets' must be a list of 1 to 6 subnets, got: []"],
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
    `'network.subnets.1.cidrBlock' must be a CIDR that does not overlap 'network.subnets.0.cidrBlock', 172.31.0.0/24, got: "172.31.0.128/25"`,
  ],
  [
    "a pod network in the VPC",
    { podNetwork: { cidrBlock: "172.31.128.0/17" } },
    `'podNetwork.cidrBlock' must be a CIDR that does not overlap 'network.cidrBlock', 172.31.0.0/16, got: "172.31.128.0/17"`,
  ],
  [
    "a service network in the VPC",
    { serviceNetwork: { cidrBlock: "172.31.5.0/24" } },
    `'serviceNetwork.cidrBlock' must be a CIDR that does not overlap 'network.cidrBlock', 172.31.0.0/16, got: "172.31.5.0/24"`,
  ],
  [
    "a service network in the pod network",
    { serviceNetwork: { cidrBlock: "172.20.5.0/24" } },
    `'serviceNetwork.cidrBlock' must be a CIDR that does not overlap 'podNetwork.cidrBlock', 172.20.0.0/16, got: "172.20.5.0/24"`,
  ],
  [
    "a pod network without room for a worker",
    { podNetwork: { cidrBlock: "172.20.0.0/25" } },
    `'podNetwork.cidrBlock' must be an IPv4 CIDR of /8 to /24 without host bits, such as 172.20.0.0/16, outside 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16 and 224.0.0.0/3, got: "172.20.0.0/25"`,
  ],
  [
    "a pod network that is too large",
    { podNetwork: { cidrBlock: "10.0.0.0/7" } },
    `'podNetwork.cidrBlock' must be an IPv4 CIDR of /8 to /24 without host bits, such as 172.20.0.0/16, outside 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16 and 224.0.0.0/3, got: "10.0.0.0/7"`,
  ],
  [
    "a service network that is too large",
    { serviceNetwork: { cidrBlock: "10.0.0.0/11" } },
    `'serviceNetwork.cidrBlock' must be an IPv4 CIDR of /12 to /29 without host bits, such as 172.32.0.0/24, outside 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16 and 224.0.0.0/3, got: "10.0.0.0/11"`,
  ],
  [
    "a service network that is too small",
    { serviceNetwork: { cidrBlock: "172.32.0.0/31" } },
    `'serviceNetwork.cidrBlock' must be an IPv4 CIDR of /12 to /29 without host bits, such as 172.32.0.0/24, outside 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16 and 224.0.0.0/3, got: "172.32.0.0/31"`,
  ],
  [
    "a second subnet without a zone",
    subnets({ cidrBlock: "172.31.0.0/24", availabilityZone: "eu-central-1a" }, { cidrBlock: "172.31.1.0/24" }),
    "'network.subnets.1.availabilityZone' must be set when there are several subnets, got: nothing",
  ],
  [
    "a second subnet in the same zone",
    subnets(
      { cidrBlock: "172.31.0.0/24", availabilityZone: "eu-central-1a" },
      { cidrBlock: "172.31.1.0/24", availabilityZone: "eu-central-1a" },
    ),
    `'network.subnets.1.availabilityZone' must be a zone other than that of 'network.subnets.0', got: "eu-central-1a"`,
  ],
  [
    "a zone of another region",
    subnets({ cidrBlock: "172.31.0.0/24", availabilityZone: "us-east-1a" }),
    `'network.subnets.0.availabilityZone' must be a zone of 'region', eu-central-1, got: "us-east-1a"`,
  ],
  [
    "a region as zone",
    subnets({ cidrBlock: "172.31.0.0/24", availabilityZone: "eu-central-1" }),
    `'network.subnets.0.availabilityZone' must be an availability zone such as eu-central-1a, and no Local Zone or Wavelength Zone, because a network load balancer needs a zone of the region itself, got: "eu-central-1"`,
  ],
  [
    "a machine at the broadcast address",
    { workers: { firstHostNumber: 254 } },
    "'workers.firstHostNumber' must be a number that gives worker-1 a host number from 4 to 254, the range that EC2 assigns in 172.31.0.0/24, got: 254",
  ],
  [
    "a machine at the router's address",
    { controlPlane: { firstHostNumber: 3 } },
    "'controlPlane.firstHostNumber' must be a whole number from 4 to 65534, got: 3",
  ],
  [
    "a machine outside its subnet",
    { ...subnets({ cidrBlock: "172.31.0.0/27" }), workers: { firstHostNumber: 30 } },
    "'workers.firstHostNumber' must be a number that gives worker-1 a host number from 4 to 30, the range that EC2 assigns in 172.31.0.0/27, got: 30",
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
    `'name' must be a name other than default, which is the name of a security group in every VPC, got: "default"`,
  ],
  [
    "an address for two machines",
    { workers: { firstHostNumber: 12 } },
    "'workers.firstHostNumber' must be a number that gives worker-0 an address other than 172.31.0.12, which master-2 has, got: 12",
  ],
  [
    "a number of workers above the number of pod networks",
    { podNetwork: { cidrBlock: "172.20.0.0/23" } },
    "'workers.count' must be at most 2, the number of /24 pod networks in 172.20.0.0/23, got: 3",
  ],
  [
    "a malformed instance type",
    { workers: { instanceType: "big" } },
    `'workers.instanceType' must be an EC2 instance type such as t2.micro, got: "big"`,
  ],
  [
    "a disk that is too small",
    { workers: { rootVolume: { sizeGiB: 4 } } },
    "'workers.rootVolume.sizeGiB' must be a whole number from 8 to 16384, got: 4",
  ],
  [
    "an unknown release",
    { image: { release: "xenial" } },
    `'image.release' must be one of focal, jammy, noble, got: "xenial"`,
  ],
  [
    "an image id beside a release",
    { image: { release: "noble", id: "ami-0123456789abcdef0" } },
    `'image.id' must be omitted when 'image.release' is set, got: "ami-0123456789abcdef0"`,
  ],
  [
    "a name pattern beside a release",
    { image: { release: "noble", namePattern: "ubuntu-*" } },
    `'image.namePattern' must be omitted when 'image.release' is set, got: "ubuntu-*"`,
  ],
  [
    "includeDeprecated beside an image id",
    { image: { id: "ami-0123456789abcdef0", includeDeprecated: true } },
    "'image.includeDeprecated' must be omitted when 'image.id' is set, got: true",
  ],
  [
    "a malformed image id",
    { image: { id: "noble" } },
    `'image.id' must be an AMI id such as ami-0123456789abcdef0, got: "noble"`,
  ],
  [
    "an empty list of ssh sources",
    { access: { ssh: [] } },
    "'access.ssh' must be a list of 1 to 40 IPv4 CIDRs, got: []",
  ],
  ["an address without prefix length", { access: { api: ["192.0.2.1"] } }, `'access.api.0' ${CIDR}"192.0.2.1"`],
  [
    "a repeated CIDR",
    { access: { icmp: ["192.0.2.1/32", "192.0.2.1/32"] } },
    `'access.icmp.1' must be different from the CIDRs before it, got: "192.0.2.1/32"`,
  ],
  [
    "an early renewal as long as the lifetime",
    { pki: { earlyRenewalHours: 8760 } },
    "'pki.earlyRenewalHours' must be less than 'pki.validityHours', 8760, got: 8760",
  ],
  [
    "an early renewal of the CA as long as its lifetime",
    { pki: { caEarlyRenewalHours: 43800 } },
    "'pki.caEarlyRenewalHours' must be less than 'pki.caValidityHours', 43800, got: 43800",
  ],
  [
    "a certificate that outlives its CA",
    { pki: { validityHours: 43801 } },
    "'pki.validityHours' must be at most 'pki.caValidityHours', 43800, got: 43801",
  ],
  [
    "an early renewal of the CA shorter than a certificate's lifetime",
    { pki: { earlyRenewalHours: 720, caEarlyRenewalHours: 8759 } },
    "'pki.caEarlyRenewalHours' must be at least 'pki.validityHours', 8760, so that no certificate outlives its CA, got: 8759",
  ],
  [
    "an early renewal of certificates without one of the CA",
    { pki: { earlyRenewalHours: 720, caEarlyRenewalHours: 0 } },
    "'pki.caEarlyRenewalHours' must be at least 'pki.validityHours', 8760, so that no certificate outlives its CA, got: 0",
  ],
  [
    "an early renewal of the CA alone, shorter than a certificate's lifetime",
    { pki: { caEarlyRenewalHours: 100 } },
    "'pki.caEarlyRenewalHours' must be at least 'pki.validityHours', 8760, so that no certificate outlives its CA, got: 100",
  ],
  [
    "a lifetime of 0 hours",
    { pki: { validityHours: 0 } },
    "'pki.validityHours' must be a whole number from 1 to 876000, got: 0",
  ],
  [
    "a country code of three letters",
    { pki: { subject: { country: "GBR" } } },
    `'pki.subject.country' must be a country code of two capital letters, such as UK, got: "GBR"`,
  ],
  [
    "a subject field that is too long",
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
    `'tags.Name' must be a tag key of 1 to 128 characters, without the prefix aws:, and none of Name, Cluster and //, got: "Name"`,
  ],
  [
    "a number as tag value",
    { tags: { team: 1 } },
    "'tags.team' must be at most 256 letters, digits, spaces and _.:/=+-@, without the prefix aws:, got: 1",
  ],
  ["an unknown backend", { backend: { type: "gcs" } }, `'backend.type' must be one of local, s3, got: "gcs"`],
  [
    "an S3 backend without a bucket",
    { backend: { type: "s3" } },
    "'backend.bucket' must be the name of an S3 bucket: 3 to 63 lower-case letters, digits, dots and hyphens, no two dots in a row, no address, and no prefix or suffix that S3 reserves, because 'backend.type' is s3, got: nothing",
  ],
  [
    "a bucket for a local backend",
    { backend: { bucket: "states" } },
    `'backend.bucket' must be omitted when 'backend.type' is local, got: "states"`,
  ],
  [
    "a path for an S3 backend",
    { backend: { type: "s3", bucket: "states", path: "k8s-cluster-from-ground-up.tfstate" } },
    `'backend.path' must be omitted when 'backend.type' is s3, got: "k8s-cluster-from-ground-up.tfstate"`,
  ],
  [
    "a lock file for a local backend",
    { backend: { useLockfile: true } },
    "'backend.useLockfile' must be omitted when 'backend.type' is local, got: true",
  ],
  ["an absolute state path", { backend: { path: "/var/a.tfstate" } }, `${STATE_PATH}"/var/a.tfstate"`],
  ["a state path that leaves the project", { backend: { path: "states/../../a" } }, `${STATE_PATH}"states/../../a"`],
  [
    "a state path in a folder that synthesis removes",
    { backend: { path: "Cdktf.out/a.tfstate" } },
    `${STATE_PATH}"Cdktf.out/a.tfstate"`,
  ],
  [
    "a state path in a folder that npm ci removes",
    { backend: { path: "node_modules/a.tfstate" } },
    `${STATE_PATH}"node_modules/a.tfstate"`,
  ],
  [
    "a state path that git does not ignore",
    { backend: { path: "states/prod.json" } },
    `${STATE_PATH}"states/prod.json"`,
  ],
  [
    "a state path without the cluster's name",
    { name: "prod", backend: { path: "states/a.tfstate" } },
    `'backend.path' must be a path that contains 'name', prod, between other characters than letters, digits and hyphens, because two clusters cannot share a state, got: "states/a.tfstate"`,
  ],
  [
    "an object key without the cluster's name",
    { name: "prod", backend: { type: "s3", bucket: "states", key: "a" } },
    `'backend.key' must be a key that contains 'name', prod, between other characters than letters, digits and hyphens, because two clusters cannot share a state, got: "a"`,
  ],
  [
    "a zone of a region whose name starts with the same text",
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
    `'tags.a\\nb' must be a tag key of 1 to 128 characters, without the prefix aws:, and none of Name, Cluster and //, got: "a\\nb"`,
  ],
  [
    "a very long value",
    { region: "x".repeat(1000) },
    `'region' must be an AWS region such as eu-central-1, got: "${"x".repeat(199)}…`,
  ],
])("%s is refused", (_name, input, message) => {
  expect(() => parseSettings(input)).toThrow(new UserError(message));
});

test("each problem is reported in its own line", () => {
  expect(() => parseSettings({ name: "", workers: { count: -1 } })).toThrow(
    new UserError(`${NAME}""`, "'workers.count' must be a whole number from 0 to 200, got: -1"),
  );
});

test.each(["\u007f", "\u0085", "\u009b2J", "\u009f"])(
  "an error has no control character, but its escape: %#",
  (text) => {
    const escaped = `\\u00${text.charCodeAt(0).toString(16)}${text.slice(1)}`;
    for (const input of [{ name: text }, { [text]: 1 }, { workers: { [text]: 1 } }, { tags: { [text]: 1 } }]) {
      const parse = () => parseSettings(input, text);
      expect(parse).toThrow(escaped);
      expect(parse).not.toThrow(text);
    }
  },
);

test("machines may have adjacent host numbers and use the last one of their subnet", () => {
  expect(() => parseSettings({ workers: { firstHostNumber: 13, count: 200 } })).not.toThrow();
  expect(() => parseSettings({ workers: { firstHostNumber: 252 } })).not.toThrow();
});

test("a cluster may have as many workers as pod networks", () => {
  expect(() => parseSettings({ podNetwork: { cidrBlock: "172.20.0.0/22" }, workers: { count: 4 } })).not.toThrow();
});

test("a certificate may have the same lifetime as its CA", () => {
  expect(() => parseSettings({ pki: { validityHours: 43800 } })).not.toThrow();
});

test("with early renewal of certificates, the CA's early renewal is their lifetime", () => {
  expect(() => parseSettings({ pki: { earlyRenewalHours: 720 } })).not.toThrow();
  expect(() => parseSettings({ pki: { caValidityHours: 8760, earlyRenewalHours: 720 } })).toThrow(
    "'pki.caEarlyRenewalHours' must be less than 'pki.caValidityHours', 8760, got: 8760",
  );
});

describe("settings are loaded", () => {
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

  test("from the context, if CLUSTER_SETTINGS is not set", () => {
    expect(loadSettings({ name: "from-context" }).name).toBe("from-context");
    expect(loadSettings(undefined).name).toBe("k8s-cluster-from-ground-up");
  });

  test("only from the file, if CLUSTER_SETTINGS names one", () => {
    settingsFile("a.json", `{ "$schema": "./settings.schema.json", "region": "us-east-1" }`);
    const settings = loadSettings({ name: "from-context" });
    expect([settings.name, settings.region]).toEqual(["k8s-cluster-from-ground-up", "us-east-1"]);
  });

  test("from a file with a byte order mark", () => {
    settingsFile("bom.json", `\uFEFF{ "name": "bom" }`);
    expect(loadSettings({}).name).toBe("bom");
  });

  test("not from the context, if CLUSTER_SETTINGS is empty", () => {
    process.env.CLUSTER_SETTINGS = "";
    expect(() => loadSettings({})).toThrow(
      new UserError(
        `'CLUSTER_SETTINGS' must be the path of a JSON file, got: "" (ENOENT: no such file or directory, open '')`,
      ),
    );
  });

  test("not from a missing file", () => {
    process.env.CLUSTER_SETTINGS = "no/such.json";
    expect(() => loadSettings({})).toThrow(
      new UserError(
        `'CLUSTER_SETTINGS' must be the path of a JSON file, got: "no/such.json" (ENOENT: no such file or directory, open 'no/such.json')`,
      ),
    );
  });

  test.each([
    ["a value that is no text", `{\n  "name": x\n}\n`, "line 2, column 11: invalid symbol"],
    ["a comma at the end", `{ "name": "a", }`, "line 1, column 16: property name expected"],
    ["a missing comma", `{ "name": "a"\n  "region": "b" }`, "line 2, column 3: comma expected"],
    ["a comment", `{\r\n  // prod\r\n  "name": "a" }`, "line 2, column 3: invalid comment token"],
    ["an object that is not closed", `{\n"workers": {\n`, "line 3, column 1: close brace expected"],
    ["text after the end", `{}\n{}`, "line 2, column 1: end of file expected"],
    ["a control character in a text", `{ "name": "a\tb" }`, "line 1, column 11: invalid character"],
    ["YAML", "name: prod\n", "line 1, column 1: invalid symbol"],
  ])("not from a file with %s, and the error has line and column", (_name, content, reason) => {
    const path = settingsFile("broken.json", content);
    expect(() => loadSettings({})).toThrow(
      new UserError(`'CLUSTER_SETTINGS' must be the path of a JSON file, got: "${path}" (${reason})`),
    );
  });

  test("not from a file that is not UTF-8", () => {
    const path = join(folder, "latin.json");
    writeFileSync(path, Buffer.from(`{ "tags": { "team": "Größe" } }`, "latin1"));
    process.env.CLUSTER_SETTINGS = path;
    expect(() => loadSettings({})).toThrow(
      new UserError(
        `'CLUSTER_SETTINGS' must be the path of a JSON file, got: "${path}" (The encoded data was not valid for encoding utf-8)`,
      ),
    );
  });

  test.each([
    ["of a group", `{\n  "workers": { "count": 5 },\n  "workers": { "count": 3 }\n}`, "workers", 3, 3],
    ["in a group", `{ "workers": { "count": 5, "count": 5 } }`, "workers.count", 1, 28],
    [
      "in an element of a list",
      `{ "network": { "subnets": [{}, { "cidrBlock": "a", "cidrBlock": "b" }] } }`,
      "network.subnets.1.cidrBlock",
      1,
      52,
    ],
    ["of a tag", `{ "tags": { "team": "a", "cost": "b", "team": "a" } }`, "tags.team", 1, 39],
    ["with an escape", `{ "name": "a", "n\\u0061me": "b" }`, "name", 1, 16],
    ["that all objects have", `{ "tags": { "constructor": "a", "constructor": "b" } }`, "tags.constructor", 1, 33],
  ])("not from a file with a key %s twice", (_name, content, key, line, column) => {
    const path = settingsFile("twice.json", content);
    expect(() => loadSettings({})).toThrow(
      new UserError(`'${key}' must be given once, got: a second time in ${path}, line ${line}, column ${column}`),
    );
  });

  test("from a file in which different objects have the same key", () => {
    settingsFile("same.json", `{ "workers": { "count": 5 }, "controlPlane": { "count": 5 } }`);
    expect(loadSettings({}).workers.count).toBe(5);
  });

  test("not from a file without an object; the error names the file", () => {
    const path = settingsFile("list.json", "[]");
    expect(() => loadSettings({})).toThrow(new UserError(`'${path}' must be an object of settings, got: []`));
  });

  test("not from a context without an object; the error names the context", () => {
    expect(() => loadSettings([])).toThrow(new UserError("'context.cluster' must be an object of settings, got: []"));
  });

  test("not from a file that is not JSON", () => {
    const path = settingsFile("empty.json", "");
    expect(() => loadSettings({})).toThrow(
      new UserError(
        `'CLUSTER_SETTINGS' must be the path of a JSON file, got: "${path}" (line 1, column 1: value expected)`,
      ),
    );
  });
});

describe("warnings", () => {
  const withoutWarnings = { access: { ssh: ["192.0.2.0/24"] }, serviceNetwork: { cidrBlock: "10.32.0.0/24" } };
  const warnings = (input: object) => settingsWarnings(parseSettings({ ...withoutWarnings, ...input }));

  test.each<[name: string, input: object, lines: string[]]>([
    ["none for safe settings", {}, []],
    [
      "two control plane machines",
      { controlPlane: { count: 2 } },
      ["'controlPlane.count' is 2: an even number of etcd members tolerates no more failures than one member less"],
    ],
    ["ssh open to everybody", { access: {} }, [SSH_WARNING]],
    [
      "services in public address space",
      { serviceNetwork: {} },
      ["'serviceNetwork.cidrBlock' is 172.32.0.0/24, public address space: pods cannot reach the real hosts there"],
    ],
    [
      "four control plane machines",
      { controlPlane: { count: 4 } },
      ["'controlPlane.count' is 4: an even number of etcd members tolerates no more failures than one member less"],
    ],
    ["ssh open to everybody in two CIDRs", { access: { ssh: ["0.0.0.0/1", "128.0.0.0/1"] } }, [SSH_WARNING]],
    [
      "ssh open to everybody in four CIDRs",
      { access: { ssh: ["0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/2"] } },
      [SSH_WARNING],
    ],
    [
      "ssh open to everybody, listed twice over",
      { access: { ssh: ["0.0.0.0/1", "64.0.0.0/2", "128.0.0.0/1", "0.0.0.0/0"] } },
      [SSH_WARNING],
    ],
    [
      "ssh open to a half without one address",
      { access: { ssh: ["0.0.0.0/2", "64.0.0.0/3", "96.0.0.0/4", "112.0.0.0/5", "120.0.0.0/6", "124.0.0.0/7"] } },
      ["'access.ssh' allows 49 % of all IPv4 addresses to connect to ssh: list only the addresses that need it"],
    ],
    [
      "ssh open to a /4",
      { access: { ssh: ["16.0.0.0/5", "24.0.0.0/5", "24.1.0.0/16"] } },
      ["'access.ssh' allows 6 % of all IPv4 addresses to connect to ssh: list only the addresses that need it"],
    ],
    ["none for ssh open to fifteen /8", { access: { ssh: [...Array(15).keys()].map((i) => `${16 + i}.0.0.0/8`) } }, []],
    [
      "pods in public address space",
      { podNetwork: { cidrBlock: "3.0.0.0/8" } },
      [
        "'podNetwork.cidrBlock' is 3.0.0.0/8, public address space: pods cannot reach the real hosts there, and the security group allows everything from their addresses",
      ],
    ],
    [
      "pods without routes in public address space",
      { podNetwork: { cidrBlock: "172.33.0.0/16", routed: false } },
      ["'podNetwork.cidrBlock' is 172.33.0.0/16, public address space: pods cannot reach the real hosts there"],
    ],
    [
      "pods in a network that is private only in part",
      { podNetwork: { cidrBlock: "192.168.0.0/15" } },
      [
        "'podNetwork.cidrBlock' is 192.168.0.0/15, public address space: pods cannot reach the real hosts there, and the security group allows everything from their addresses",
      ],
    ],
    [
      "machines in public address space",
      { network: { cidrBlock: "52.0.0.0/16", subnets: [{ cidrBlock: "52.0.0.0/24" }] } },
      [
        "'network.cidrBlock' is 52.0.0.0/16, public address space: machines cannot reach the real hosts there, and the security group allows etcd and NodePorts from addresses of the subnets",
      ],
    ],
    ["none for networks in shared address space", { podNetwork: { cidrBlock: "100.64.0.0/16" } }, []],
    [
      "a service network without a tenth address",
      { serviceNetwork: { cidrBlock: "10.32.0.0/29" } },
      ["'serviceNetwork.cidrBlock' is 10.32.0.0/29: it has no tenth address, which cluster DNS usually gets"],
    ],
    ["none for a service network with a tenth address", { serviceNetwork: { cidrBlock: "10.32.0.0/28" } }, []],
    [
      "an instance type that a new region may not have",
      { region: "mx-central-1", workers: { instanceType: "t3.micro" } },
      [
        "'controlPlane.instanceType' is t2.micro: AWS has no t2 in many regions, and it is not known whether mx-central-1 has it",
      ],
    ],
    [
      "more rules than the quota",
      {
        access: { ssh: ["192.0.2.0/24"], api: ["192.0.2.0/24"], icmp: ["192.0.2.0/24", "10.0.0.0/8"] },
        workers: { count: 49 },
      },
      ["the security group would have 61 inbound rules, more than the default quota of 60"],
    ],
    ["none for as many routes as the quota", { workers: { count: 49 } }, []],
    [
      "more routes than the quota",
      { workers: { count: 50 } },
      [
        "'workers.count' is 50: one route for each worker and the default route exceed 50, the default quota of a route table before June 2025",
      ],
    ],
    ["none for many workers without routes", { workers: { count: 50 }, podNetwork: { routed: false } }, []],
  ])("%s", (_name, input, lines) => {
    expect(warnings(input)).toEqual(lines);
  });
});
