import type { Block } from "../../cloud/terraform-json";
import { bundleEnd, type DistributedFile, distributionScript, readDistributionScript } from "../../model/distribution";
import { compare, type Document } from "../../review/compare";
import { renderDiagram } from "../../review/diagram";
import { findingsOf } from "../../review/findings";
import { renderPage } from "../../review/page";
import type { ClusterSettingsInput } from "../../settings/schema";
import { synthesizeCluster } from "../../testing/synthesize";

/** Changes that somebody makes in the code, to hide an effect from the page. */

type Resources = Record<string, Record<string, Block>>;
type Change = (resource: Resources, document: Block) => void;

const CLUSTER = JSON.stringify(synthesizeCluster());
const WITH_WORKER = JSON.stringify(synthesizeCluster({ workers: { count: 4 } }));

/** The default cluster, and a document after a change by hand. */
function changed(change: Change, after = CLUSTER): [Document, Document] {
  const document = JSON.parse(after);
  change(document.resource, document);
  return [JSON.parse(CLUSTER), document];
}

function kindsOf(change: Change, after?: string): string[] {
  return findingsOf(compare(...changed(change, after))).map(({ kind }) => kind);
}

function at(resource: Resources, address: string): Block {
  const [type = "", name = ""] = address.split(".");
  return resource[type]?.[name] as Block;
}

function copyOf(block: Block): Block {
  return JSON.parse(JSON.stringify(block));
}

/** A Terraform expression. */
const template = (expression: string) => `\${${expression}}`;

/** Adds a file to a copy, in the form that FileDistribution writes. */
function addFile(copy: Block, file: DistributedFile, content: string): void {
  const [, { file: bundle }, { "remote-exec": script }] = copy.provisioner;
  const files = [...(readDistributionScript(script.inline)?.files ?? []), file];
  bundle.content = bundle.content.replace(/end \w+\n$/, `${content}\n${bundleEnd(files)}\n`);
  script.inline = distributionScript(files);
}

/** A copy that goes to another machine, in all its connections. */
function sendTo(copy: Block, machine: string): void {
  const host = template(`aws_instance.${machine}.public_ip`);
  copy.connection.host = host;
  copy.provisioner[0]["remote-exec"].connection.host = host;
}

const CA_KEY = template("base64encode(tls_private_key.ca-private-key.private_key_pem)");

describe("a new machine differs from those of its role", () => {
  test.each<[string, string[], Change]>([
    ["in nothing", [], () => {}],
    ["by a login key", ["login-key"], (r) => Object.assign(at(r, "aws_instance.worker-3"), { key_name: "bobs-key" })],
    [
      "by a login key in an expression",
      ["login-key"],
      (r) => Object.assign(at(r, "aws_instance.worker-3"), { key_name: template('"bobs-key"') }),
    ],
    [
      "by a group",
      ["access"],
      (r) => Object.assign(at(r, "aws_instance.worker-3"), { vpc_security_group_ids: [template('"sg-1"')] }),
    ],
    [
      "by a subnet that is not of the cluster",
      ["access"],
      (r) => Object.assign(at(r, "aws_instance.worker-3"), { subnet_id: "subnet-1" }),
    ],
    [
      "by an address out of order",
      ["access"],
      (r) => {
        const text = JSON.stringify(r)
          .replaceAll("172.31.0.23", "172.31.0.77")
          .replaceAll("172-31-0-23", "172-31-0-77");
        Object.assign(r, JSON.parse(text));
      },
    ],
    [
      "by an address of pods out of order",
      ["user-data", "route"],
      (r) => {
        at(r, "aws_instance.worker-3").user_data = "name=worker-3|pod-cidr=172.20.9.0/24";
      },
    ],
    [
      "by user data",
      ["user-data", "route"],
      (r) => Object.assign(at(r, "aws_instance.worker-3"), { user_data: "name=master-0" }),
    ],
    [
      "by its metadata options",
      ["unknown"],
      (r) => Object.assign(at(r, "aws_instance.worker-3").metadata_options, { http_endpoint: "disabled" }),
    ],
    [
      "by its lifecycle",
      ["unknown"],
      (r) => Object.assign(at(r, "aws_instance.worker-3").lifecycle, { ignore_changes: "all" }),
    ],
    [
      "by its name",
      ["unknown"],
      (r) => Object.assign(r.aws_instance as object, { bastion: at(r, "aws_instance.worker-2") }),
    ],
    [
      "by a file of its copy",
      ["copies"],
      (r) =>
        addFile(at(r, "null_resource.pems-worker-3"), { path: "/etc/cron.d/x", mode: "0644", owner: "root" }, "eA=="),
    ],
    [
      "by the source of a file",
      ["copies"],
      (r) => {
        const { file } = at(r, "null_resource.pems-worker-3").provisioner[1];
        file.content = file.content.replace(/.*worker-3-private-key.*/, CA_KEY);
      },
    ],
    [
      "by the files of another role",
      ["copies", "unknown"],
      (r) => {
        const copy = copyOf(at(r, "null_resource.pems-master-0"));
        sendTo(copy, "worker-3");
        Object.assign(r.null_resource as object, { "pems-worker-3": copy });
      },
    ],
    [
      "by the user of its copy",
      ["secret", "commands"],
      (r) => Object.assign(at(r, "null_resource.pems-worker-3").connection, { user: "root" }),
    ],
  ])("%s", (_case, expected, change) => {
    expect(kindsOf(change, WITH_WORKER)).toEqual(expected);
  });

  test("by a file: the page lists the file, and no other", () => {
    const file = { path: "/home/ubuntu/x.pem", mode: "0644", owner: "ubuntu" } as const;
    const { copies } = compare(
      ...changed((r) => addFile(at(r, "null_resource.pems-worker-3"), file, CA_KEY), WITH_WORKER),
    );
    expect(copies).toEqual([{ address: "null_resource.pems-worker-3", file: file.path, change: "added" }]);
  });
});

test("a rule of a new security group is a finding too", () => {
  const kinds = kindsOf((r) => {
    const group = { ...at(r, "aws_security_group.security-group"), name: "more" };
    const rule = { security_group_id: template("aws_security_group.more.id"), cidr_ipv4: "64.0.0.0/8" };
    Object.assign(r.aws_security_group as object, { more: group });
    Object.assign(r.aws_vpc_security_group_ingress_rule as object, { more: { ...rule, ip_protocol: "-1" } });
  });
  expect(kinds).toEqual(["access"]);
});

test("the page shows each value of a new resource that is not only a reference", () => {
  const page = renderPage(
    compare(
      ...changed((r) => Object.assign(at(r, "aws_instance.worker-3"), { key_name: template('"x"') }), WITH_WORKER),
    ),
  );
  expect(page).toContain(`\`key_name\` \`${template('"x"')}\``);
});

describe("a copy", () => {
  test.each<[string, string[], Change]>([
    ["to another machine", ["copies"], (r) => sendTo(at(r, "null_resource.pems-master-0"), "worker-0")],
    [
      "whose script goes to another machine than its bundle",
      ["commands"],
      (r) => {
        const host = template("aws_instance.worker-0.public_ip");
        Object.assign(at(r, "null_resource.pems-worker-1").provisioner[0]["remote-exec"].connection, { host });
      },
    ],
    [
      "that is new, to an existing machine",
      ["copies"],
      (r) => {
        const copy = copyOf(at(r, "null_resource.pems-worker-1"));
        sendTo(copy, "worker-0");
        Object.assign(r.null_resource as object, { "pems-worker-9": copy });
      },
    ],
    [
      "with its connections in a list",
      ["secret", "commands", "foreign-host"],
      (r) => {
        const copy = at(r, "null_resource.pems-worker-0");
        copy.connection = [{ ...copy.connection, host: "evil.example" }];
      },
    ],
  ])("%s", (_case, expected, change) => {
    expect(kindsOf(change)).toEqual(expected);
  });
});

describe("a certificate", () => {
  const request = (r: Resources, name: string) => at(r, `tls_cert_request.${name}-request`);
  test.each<[string, string[], Change]>([
    [
      "of a second administrator with a prefix in its name",
      ["identity"],
      (r) => Object.assign(r.tls_cert_request as object, { "x_admin-request": request(r, "admin") }),
    ],
    [
      "of a machine with the names of the API server",
      ["identity", "replace-certificate"],
      (r) => Object.assign(request(r, "worker-0"), { dns_names: request(r, "master-kubernetes").dns_names }),
    ],
    [
      "of a machine with an address of the control plane",
      ["identity", "replace-certificate"],
      (r) => request(r, "worker-0").ip_addresses.push("172.31.0.10"),
    ],
    [
      "of a machine with the user of another",
      ["identity", "replace-certificate"],
      (r) => Object.assign(request(r, "worker-0").subject[0], { common_name: "system:node:ip-172-31-0-21" }),
    ],
    [
      "of a client with a name",
      ["identity", "replace-certificate"],
      (r) => Object.assign(request(r, "kube-proxy"), { dns_names: ["kubernetes"] }),
    ],
    [
      "of the API server with a foreign name",
      ["identity", "replace-certificate"],
      (r) => request(r, "master-kubernetes").dns_names.push("evil.example"),
    ],
    [
      "of the administrator for the key of a machine",
      ["identity", "replace-certificate"],
      (r) =>
        Object.assign(request(r, "admin"), {
          private_key_pem: template("tls_private_key.worker-0-private-key.private_key_pem"),
        }),
    ],
    [
      "of a machine for the request of the administrator",
      ["identity", "replace-certificate"],
      (r) =>
        Object.assign(at(r, "tls_locally_signed_cert.worker-0-certificate"), {
          cert_request_pem: template("tls_cert_request.admin-request.cert_request_pem"),
        }),
    ],
    [
      "that is valid for longer than the others",
      ["identity", "replace-certificate"],
      (r) => Object.assign(at(r, "tls_locally_signed_cert.admin-certificate"), { validity_period_hours: 876_000 }),
    ],
    [
      "that signs others",
      ["identity", "replace-certificate"],
      (r) => {
        for (const each of Object.values(r.tls_locally_signed_cert ?? {})) each.allowed_uses.push("cert_signing");
      },
    ],
    [
      "of a second CA",
      ["identity"],
      (r) => Object.assign(r.tls_self_signed_cert as object, { more: at(r, "tls_self_signed_cert.ca-certificate") }),
    ],
  ])("%s", (_case, expected, change) => {
    expect(kindsOf(change)).toEqual(expected);
  });
});

describe("the load balancer", () => {
  const part = (r: Resources, type: string) => Object.values(r[type] ?? {})[0] as Block;
  test.each<[string, string[], Change]>([
    [
      "has a double for other ports",
      ["listener"],
      (r) => {
        const group = { ...part(r, "aws_lb_target_group"), name: "web", port: 2379 };
        const action = [{ type: "forward", target_group_arn: template("aws_lb_target_group.web.arn") }];
        const listener = { ...part(r, "aws_lb_listener"), port: 2379, default_action: action };
        Object.assign(r.aws_lb as object, { web: { ...part(r, "aws_lb"), name: "web" } });
        Object.assign(r.aws_lb_target_group as object, { web: group });
        Object.assign(r.aws_lb_listener as object, {
          web: { ...listener, load_balancer_arn: template("aws_lb.web.arn") },
        });
      },
    ],
    [
      "has a second target group",
      ["listener"],
      (r) =>
        Object.assign(r.aws_lb_target_group as object, { web: { ...part(r, "aws_lb_target_group"), port: 10250 } }),
    ],
    [
      "forwards to a worker",
      ["listener"],
      (r) => Object.assign(part(r, "aws_lb_target_group_attachment"), { target_id: "172.31.0.20" }),
    ],
    [
      "has a listener of a foreign load balancer",
      ["listener", "replace-load-balancer"],
      (r) => Object.assign(part(r, "aws_lb_listener"), { load_balancer_arn: "arn:aws:elasticloadbalancing:x" }),
    ],
    ["has no targets", ["listener"], (r) => delete r.aws_lb_target_group_attachment],
    ["has no listener", ["listener", "replace-load-balancer"], (r) => delete r.aws_lb_listener],
  ])("%s", (_case, expected, change) => {
    expect(kindsOf(change)).toEqual(expected);
  });
});

describe("traffic and name lookups", () => {
  const PODS_1 = "aws_route.pod-route-worker-1";
  const to = (machine: string) => ({
    network_interface_id: template(`aws_instance.${machine}.primary_network_interface_id`),
  });
  test.each<[string, string[], Change]>([
    [
      "by other DHCP options",
      ["route"],
      (r) =>
        Object.assign(at(r, "aws_vpc_dhcp_options_association.dhcp-options-association"), {
          dhcp_options_id: "dopt-1",
        }),
    ],
    [
      "by a foreign search domain",
      ["route"],
      (r) => Object.assign(at(r, "aws_vpc_dhcp_options.dhcp-options"), { domain_name: "evil.example" }),
    ],
    ["of pods to another machine", ["route"], (r) => Object.assign(at(r, PODS_1), to("worker-0"))],
    [
      "of pods to another machine, whose user data agrees",
      ["route"],
      (r) => {
        Object.assign(at(r, PODS_1), to("worker-0"));
        at(r, "aws_instance.worker-0").user_data = "name=worker-0|pod-cidr=172.20.1.0/24";
      },
    ],
    [
      "of a machine to another machine",
      ["route"],
      (r) =>
        Object.assign(r.aws_route as object, {
          more: { ...at(r, PODS_1), ...to("worker-0"), destination_cidr_block: "172.31.0.10/32" },
        }),
    ],
    ["without the route to the internet", ["route"], (r) => delete r.aws_route?.["default-route"]],
    ["without the route to pods", ["route"], (r) => delete r.aws_route?.["pod-route-worker-1"]],
    ["without a route table", ["route"], (r) => delete r.aws_route_table_association],
    ["without DHCP options", ["route"], (r) => delete r.aws_vpc_dhcp_options_association],
    [
      "by another route table of a subnet",
      ["route"],
      (r) => {
        Object.assign(r.aws_route_table as object, { more: at(r, "aws_route_table.route-table") });
        const table = template("aws_route_table.more.id");
        Object.assign(at(r, "aws_route_table_association.subnet-0-route-table"), { route_table_id: table });
      },
    ],
  ])("%s", (_case, expected, change) => {
    expect(kindsOf(change)).toEqual(expected);
  });
});

test("fewer machines, other subnets and other pods have no finding for the load balancer", () => {
  const kinds = (settings: ClusterSettingsInput) =>
    findingsOf(compare(JSON.parse(CLUSTER), JSON.parse(JSON.stringify(synthesizeCluster(settings))))).map(
      ({ kind }) => kind,
    );
  expect(kinds({ controlPlane: { count: 1 } })).toEqual(["destroy-machine", "replace-certificate"]);
  expect(kinds({ podNetwork: { cidrBlock: "10.244.0.0/16" } })).toEqual(["access"]);
  const subnets = ["a", "b"].map((zone, index) => ({
    cidrBlock: `172.31.${index}.0/24`,
    availabilityZone: `eu-central-1${zone}`,
  }));
  expect(kinds({ network: { subnets }, workers: { count: 6 } })).not.toContain("listener");
});

describe("a secret in a template", () => {
  const KEY = "tls_private_key.ca-private-key";
  test.each([
    [`${KEY}[replace("].x", "].x", "private_key_pem")]`],
    [`${KEY}["private_key_pem"]`],
    [`${KEY} . private_key_pem`],
    [`values(${KEY})[5]`],
    [`${KEY}[*].private_key_pem[0]`],
    [`[for each in [${KEY}] : each.private_key_pem][0]`],
    [`"a \${${KEY}.private_key_pem}"`],
    [`jsonencode(tls_cert_request.admin-request)`],
    ['file/* */("/root/.ssh/id_rsa")'],
    ['file # (\n("/root/.ssh/id_rsa")'],
    ['templatefile("/etc/shadow", {})'],
    ['provider::other::read("x")'],
  ])("%s", (code) => {
    expect(kindsOf((r) => Object.assign(at(r, "aws_vpc.vpc").tags, { key: template(code) }))).toEqual(["secret"]);
    const inProvider = kindsOf((_r, d) =>
      Object.assign(d.provider.aws[0].default_tags[0].tags, { key: template(code) }),
    );
    expect(inProvider).toContain("secret");
  });

  test.each([["nonsensitive/**/"], ["nonsensitive\n"], ["nonsensitive # join\n"]])("that %j unmarks", (call) => {
    const value = template(`${call}(${KEY}.private_key_pem)`);
    expect(kindsOf((_r, d) => Object.assign(d.output, { key: { value } }))).toEqual(["secret"]);
    expect(kindsOf((_r, d) => Object.assign(d.output, { key: { value: { a: [value] } } }))).toEqual(["secret"]);
  });

  test.each([
    ["tls_self_signed_cert.ca-certificate.cert_pem"],
    ["tls_private_key.ssh-key[0].public_key_openssh"],
    ['join("#(//", [trimspace(aws_vpc.vpc.id), "file("])'],
    ["1 + (2 * 3)"],
    ['true ? "a" : ("b")'],
  ])("is not %s", (code) => {
    expect(kindsOf((r) => Object.assign(at(r, "aws_vpc.vpc").tags, { key: template(code) }))).toEqual([]);
  });

  test("is not an escaped template", () => {
    const key = "$$" + "{file(x)} file(x)";
    expect(kindsOf((r) => Object.assign(at(r, "aws_vpc.vpc").tags, { key }))).toEqual([]);
  });
});

test("the rules that allow most are listed first", () => {
  const after = JSON.stringify(
    synthesizeCluster({ podNetwork: { cidrBlock: "64.0.0.0/8" }, access: { api: ["10.0.0.0/8"] } }),
  );
  const [finding] = findingsOf(compare(...changed(() => {}, after))).filter(({ kind }) => kind === "access");
  expect(finding?.details?.[finding.addresses[0] as string]).toBe("all traffic from 64.0.0.0/8");
});

describe("no text of a picture leaves its place", () => {
  const EVIL = 'tcp"\n```\n\n## Nothing changes <img src="x">\n\n```text\n';
  test.each<[string, Change]>([
    [
      "a protocol",
      (r) => {
        for (const each of Object.values(r.aws_vpc_security_group_ingress_rule ?? {})) each.ip_protocol = EVIL;
      },
    ],
    ["the address of a machine", (r) => Object.assign(at(r, "aws_instance.worker-0"), { private_ip: EVIL })],
    ["the name of a group", (r) => Object.assign(r.aws_security_group as object, { [EVIL]: {} })],
    ["the protocol of a listener", (r) => Object.assign(at(r, "aws_lb_listener.listener"), { protocol: EVIL })],
  ])("%s", (_case, change) => {
    const [, document] = changed(change);
    const picture = renderDiagram(document);
    expect(picture.replaceAll("<br/>", "")).not.toMatch(/`|<|\n\n|^#/m);
  });

  test("a provisioner may be an object", () => {
    const [, document] = changed((r) => {
      at(r, "null_resource.pems-worker-0").provisioner = { "remote-exec": { inline: ["true"] } };
    });
    expect(renderDiagram(document)).toContain("flowchart");
  });
});

test.each<[string, Change]>([
  ["resource.null_resource.pems-worker-0", (r) => Object.assign(r.null_resource as object, { "pems-worker-0": null })],
  ["output.x", (_r, d) => Object.assign(d.output, { x: null })],
  [
    "resource.aws_instance.worker-0",
    (r) => Object.assign(at(r, "aws_instance.worker-0").lifecycle, { ignore_changes: 5 }),
  ],
  ["data", (_r, d) => Object.assign(d, { data: 1 })],
])("a document that Terraform refuses is refused in one line: %s", (name, change) => {
  expect(() => compare(...changed(change))).toThrow(
    new RegExp(`^the document's '${name}' must be an? [^\n]*, got: .+$`),
  );
});

test("a machine whose changes are all ignored, and no longer, is no error", () => {
  const [before, after] = changed((r) =>
    Object.assign(at(r, "aws_instance.worker-0").lifecycle, { ignore_changes: "all" }),
  );
  for (const documents of [[before, after] as const, [after, before] as const]) {
    expect(renderPage(compare(...documents))).toContain("`lifecycle.ignore_changes`");
  }
});
