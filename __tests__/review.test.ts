import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ClusterSettingsInput } from "../constructs";
import { compare, type Document } from "../review/compare";
import { concernsOf } from "../review/concerns";
import { renderPage } from "../review/page";
import { synthesizeCluster } from "../testing/synthesize";
import type { Block } from "../testing/terraform-json";

const PAGES = join(__dirname, "review-pages");

const cluster = (settings: ClusterSettingsInput = {}) => synthesizeCluster(settings) as unknown as Document;

/** One more file on every control plane machine, as PemDistribution would write it. */
function withAdminOnMasters(): Document {
  const document = JSON.parse(JSON.stringify(cluster()));
  for (const [name, copy] of Object.entries<Block>(document.resource.null_resource)) {
    if (!name.startsWith("pems-master")) continue;
    const staging = "/home/ubuntu/.pem-staging/admin-key.pem";
    const content = "$" + "{tls_private_key.admin-private-key.private_key_pem}";
    copy.provisioner.splice(-1, 0, { file: { content, destination: staging } });
    copy.provisioner
      .at(-1)
      ["remote-exec"].inline.splice(-1, 0, `install -m 0600 ${staging} /home/ubuntu/admin-key.pem`);
    copy.triggers.files = copy.triggers.files.replace("]))}", ', "0600 /home/ubuntu/admin-key.pem"]))}');
  }
  return document;
}

/** The load balancer under another address, with all that refers to it. */
function withRenamedLoadBalancer(): Document {
  const text = JSON.stringify(cluster());
  return JSON.parse(
    text.replaceAll("aws_lb.load-balancer", "aws_lb.nlb").replace('"aws_lb":{"load-balancer":', '"aws_lb":{"nlb":'),
  );
}

/** Prepared changes: before and after. */
const CHANGES: Record<string, () => readonly [Document, Document]> = {
  nothing: () => [cluster(), cluster()],
  "a-port-opened": () => [cluster({ access: { ssh: ["203.0.113.7/32"] } }), cluster()],
  "a-worker-added": () => [cluster(), cluster({ workers: { count: 4 } })],
  "a-worker-removed": () => [cluster(), cluster({ workers: { count: 2 } })],
  region: () => [cluster(), cluster({ region: "us-east-1" })],
  "instance-type": () => [cluster(), cluster({ workers: { instanceType: "t3.small" } })],
  name: () => [cluster(), cluster({ name: "prod" })],
  "certificate-subject": () => [cluster(), cluster({ pki: { subject: { country: "GB" } } })],
  "ca-lifetime": () => [cluster(), cluster({ pki: { caValidityHours: 87_600 } })],
  image: () => [cluster(), cluster({ image: { release: "jammy" } })],
  "user-data": () => [
    cluster({ podNetwork: { routed: false } }),
    cluster({ podNetwork: { routed: false, cidrBlock: "10.244.0.0/16" } }),
  ],
  "a-subnet-added": () => [
    cluster({ network: { subnets: [{ cidrBlock: "172.31.0.0/24", availabilityZone: "eu-central-1a" }] } }),
    cluster({
      network: {
        subnets: [
          { cidrBlock: "172.31.0.0/24", availabilityZone: "eu-central-1a" },
          { cidrBlock: "172.31.1.0/24", availabilityZone: "eu-central-1b" },
        ],
      },
    }),
  ],
  backend: () => [cluster(), cluster({ backend: { type: "s3", bucket: "our-terraform-states" } })],
  "a-file-more-for-a-master": () => [cluster(), withAdminOnMasters()],
  "an-address-renamed": () => [cluster(), withRenamedLoadBalancer()],
  tags: () => [cluster(), cluster({ tags: { team: "platform" } })],
};

// UPDATE_PAGES=1 writes the pages; what they say is then to be read.
describe("the page of a prepared change", () => {
  test.each(Object.keys(CHANGES))("%s", (name) => {
    const page = renderPage(compare(...(CHANGES[name] as () => readonly [Document, Document])()));
    const file = join(PAGES, `${name}.md`);
    if (process.env.UPDATE_PAGES) writeFileSync(file, page);
    expect(page).toBe(readFileSync(file, "utf8"));
  });
});

test("the example in docs/reviewing.md is what is written", () => {
  const after = cluster({ workers: { count: 4, instanceType: "t3.small" } });
  const [head] = renderPage(compare(cluster(), after)).split("\n\n<details>") as [string];
  const quoted = head.split("\n").map((line) => `> ${line}`.trimEnd());
  expect(readFileSync(join(__dirname, "../docs/reviewing.md"), "utf8")).toContain(quoted.join("\n"));
});

describe("the table knows", () => {
  const EVERYTHING: ClusterSettingsInput = {
    access: { ssh: ["203.0.113.7/32"], api: ["203.0.113.0/24"] },
    controlPlane: { rootVolume: { sizeGiB: 20, type: "gp3", encrypted: true } },
    pki: { earlyRenewalHours: 24 },
    network: {
      subnets: [
        { cidrBlock: "172.31.0.0/24", availabilityZone: "eu-central-1a" },
        { cidrBlock: "172.31.1.0/24", availabilityZone: "eu-central-1b" },
      ],
    },
  };

  test.each([{}, EVERYTHING])("every argument that a cluster sets: %j", (settings) => {
    const after = cluster(settings);
    const { resources } = compare(without(after), after);
    const unknown = resources.flatMap(({ address, arguments: changed }) =>
      changed.filter(({ note }) => note?.startsWith("unknown")).map(({ path }) => `${address} ${path}`),
    );
    expect(resources).toHaveLength(Object.values(after.resource ?? {}).flatMap(Object.keys).length);
    expect(unknown).toEqual([]);
  });

  test("what it does not know is said, and not taken for harmless", () => {
    const after = JSON.parse(JSON.stringify(cluster()));
    after.resource.aws_instance["master-0"].tenancy = "dedicated";
    const { resources } = compare(cluster(), after);
    expect(resources).toMatchObject([
      { action: "update", arguments: [{ path: "tenancy", note: "unknown to this page: look at the plan" }] },
    ]);
  });
});

/** A document with the same resources, none of which sets anything. */
function without({ resource = {} }: Document): Document {
  const empty = (byName: object) => Object.fromEntries(Object.keys(byName).map((name) => [name, {}]));
  return { resource: Object.fromEntries(Object.entries(resource).map(([type, byName]) => [type, empty(byName)])) };
}

test("concerns are told apart", () => {
  const kinds = (settings: ClusterSettingsInput) =>
    concernsOf(compare(cluster(), cluster(settings))).map(({ kind }) => kind);
  expect(kinds({})).toEqual([]);
  expect(kinds({ workers: { count: 4 } })).toEqual([]);
  expect(kinds({ workers: { count: 2, instanceType: "t3.small" } })).toEqual([
    "destroy-machine",
    "restart-machine",
    "replace-certificate",
  ]);
});

test("a rule that opens to the world is told apart from one that was open before", () => {
  const rule = (source: string, more: object = {}): Document => ({
    resource: {
      aws_vpc_security_group_ingress_rule: { ssh: { cidr_ipv4: source, from_port: 22, to_port: 22, ...more } },
    },
  });
  const kinds = (before: Document, after: Document) => concernsOf(compare(before, after)).map(({ kind }) => kind);
  expect(kinds({}, rule("0.0.0.0/0"))).toEqual(["open-world"]);
  expect(kinds(rule("10.0.0.0/8"), rule("0.0.0.0/0"))).toEqual(["open-world"]);
  expect(kinds(rule("0.0.0.0/0"), rule("0.0.0.0/0", { to_port: 23 }))).toEqual(["open-world"]);
  expect(kinds(rule("0.0.0.0/0"), rule("0.0.0.0/0", { description: "ssh" }))).toEqual([]);
  expect(kinds(rule("0.0.0.0/0"), rule("10.0.0.0/8"))).toEqual([]);
  expect(kinds(rule("0.0.0.0/0"), {})).toEqual([]);
});
