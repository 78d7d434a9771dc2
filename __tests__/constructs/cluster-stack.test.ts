import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DataAwsVpc } from "@cdktf/provider-aws/lib/data-aws-vpc";
import { Vpc } from "@cdktf/provider-aws/lib/vpc";
import { TerraformElement, TerraformOutput } from "cdktf";
import { Construct } from "constructs";
import {
  addressesOf,
  argumentsOf,
  type Block,
  blockAt,
  resourcesOf,
  type TerraformJson,
} from "../../cloud/terraform-json";
import { contains } from "../../model/addressing";
import { TESTED } from "../../model/versions";
import type { ClusterSettingsInput } from "../../settings/schema";
import { newClusterStack, synthesize, synthesizeCluster } from "../../testing/synthesize";

const NAME = "k8s-cluster-from-ground-up";
const INDICES = [0, 1, 2];
const json = synthesizeCluster();
const at = (address: string) => argumentsOf(blockAt(json, address));
const ref = (expression: string) => `$\{${expression}}`;

/** The contents of the files that a copy puts into the home folder, by name. The script has a row for each line of the bundle. */
function copiedFiles({ provisioner }: Block): Record<string, string> {
  const [, { file: bundle }, { "remote-exec": script }] = provisioner;
  const lines = bundle.content.replaceAll(/base64encode\((.*)\)/g, "$1").split("\n");
  return Object.fromEntries(
    (script.inline as string[]).flatMap((command) => {
      const [, line, path] = /^write (\d+) 06[04][04] ubuntu \/home\/ubuntu\/(\S+)$/.exec(command) ?? [];
      return path === undefined ? [] : [[path, lines[Number(line) - 1]]];
    }),
  );
}

describe("the default cluster has the tutorial's", () => {
  test("Terraform version, providers and state", () => {
    expect(json.terraform).toEqual({
      required_version: ">= 1.11.0",
      required_providers: {
        aws: { source: "aws", version: "6.25.0" },
        tls: { source: "hashicorp/tls", version: "4.1.0" },
        null: { source: "null", version: "3.2.4" },
      },
      backend: { local: { path: `../../../terraform.${NAME}.tfstate` } },
    });
    expect(json.provider).toEqual({
      aws: [{ region: "eu-central-1", default_tags: [{ tags: { Cluster: NAME } }] }],
      tls: [{}],
      null: [{}],
    });
  });

  test("network", () => {
    expect(at("aws_vpc.vpc")).toEqual({
      cidr_block: "172.31.0.0/16",
      enable_dns_support: true,
      enable_dns_hostnames: true,
      tags: { Name: NAME },
    });
    expect(at("aws_vpc_dhcp_options.dhcp-options").domain_name).toBe("eu-central-1.compute.internal");
    expect(at("aws_subnet.subnet-0")).toMatchObject({ cidr_block: "172.31.0.0/24", tags: { Name: NAME } });
  });

  test("security rules, and only those of the pod network in addition", () => {
    const rules = Object.entries(resourcesOf(json, "aws_vpc_security_group_ingress_rule")).map(
      ([name, { ip_protocol, from_port, to_port, cidr_ipv4, referenced_security_group_id }]) => [
        name,
        ip_protocol,
        from_port,
        to_port,
        cidr_ipv4 ?? referenced_security_group_id,
      ],
    );
    expect(rules.sort()).toEqual([
      ["control-plane-api-from-0-0-0-0-0", "tcp", 6443, 6443, "0.0.0.0/0"],
      ["control-plane-etcd-from-172-31-0-0-24", "tcp", 2379, 2380, "172.31.0.0/24"],
      ["node-all-from-172-20-0-0-16", "-1", undefined, undefined, "172.20.0.0/16"],
      ["node-all-from-members", "-1", undefined, undefined, ref("aws_security_group.security-group.id")],
      ["node-icmp-from-0-0-0-0-0", "icmp", -1, -1, "0.0.0.0/0"],
      ["node-ssh-from-0-0-0-0-0", "tcp", 22, 22, "0.0.0.0/0"],
      ["worker-node-ports-from-172-31-0-0-24", "tcp", 30000, 32767, "172.31.0.0/24"],
    ]);
  });

  test("load balancer", () => {
    expect(at("aws_lb.load-balancer")).toMatchObject({
      name: NAME,
      load_balancer_type: "network",
      internal: false,
      subnets: [ref("aws_subnet.subnet-0.id")],
    });
    expect(at("aws_lb_target_group.target-group")).toEqual({
      name: NAME,
      protocol: "TCP",
      port: 6443,
      target_type: "ip",
      preserve_client_ip: "false",
      vpc_id: ref("aws_vpc.vpc.id"),
    });
    expect(
      Object.values(resourcesOf(json, "aws_lb_target_group_attachment")).map(({ target_id, port }) => [
        target_id,
        port,
      ]),
    ).toEqual(INDICES.map((index) => [`172.31.0.1${index}`, 6443]));
    expect(at("aws_lb_listener.listener")).toMatchObject({
      protocol: "TCP",
      port: 6443,
      default_action: [{ type: "forward", target_group_arn: ref("aws_lb_target_group.target-group.arn") }],
    });
  });

  test.each(INDICES)("machines with index %d", (index) => {
    const common = {
      ami: ref("data.aws_ami.ubuntu.id"),
      instance_type: "t2.micro",
      key_name: ref("aws_key_pair.key-pair.key_name"),
      subnet_id: ref("aws_subnet.subnet-0.id"),
      vpc_security_group_ids: [ref("aws_security_group.security-group.id")],
      associate_public_ip_address: true,
      source_dest_check: false,
      metadata_options: { http_endpoint: "enabled", http_tokens: "optional" },
    };
    expect(at(`aws_instance.master-${index}`)).toMatchObject({
      ...common,
      private_ip: `172.31.0.1${index}`,
      user_data: `name=master-${index}`,
      tags: { Name: `${NAME}-master-${index}` },
    });
    expect(at(`aws_instance.worker-${index}`)).toMatchObject({
      ...common,
      private_ip: `172.31.0.2${index}`,
      user_data: `name=worker-${index}|pod-cidr=172.20.${index}.0/24`,
      tags: { Name: `${NAME}-worker-${index}` },
    });
    expect(at(`aws_route.pod-route-worker-${index}`)).toEqual({
      route_table_id: ref("aws_route_table.route-table.id"),
      destination_cidr_block: `172.20.${index}.0/24`,
      network_interface_id: ref(`aws_instance.worker-${index}.primary_network_interface_id`),
    });
  });

  test.each(INDICES)("copied files on machines with index %d", (index) => {
    const files = (address: string) => copiedFiles(at(address));
    const worker = `worker-${index}`;
    expect(files(`null_resource.pems-${worker}`)).toEqual({
      "ca.pem": ref("tls_self_signed_cert.ca-certificate.cert_pem"),
      [`${NAME}-${worker}.pem`]: ref(`tls_locally_signed_cert.${worker}-certificate.cert_pem`),
      [`${NAME}-${worker}-key.pem`]: ref(`tls_private_key.${worker}-private-key.private_key_pem`),
    });
    expect(files(`null_resource.pems-master-${index}`)).toEqual({
      "ca.pem": ref("tls_self_signed_cert.ca-certificate.cert_pem"),
      "ca-key.pem": ref("tls_private_key.ca-private-key.private_key_pem"),
      "service-account.pem": ref("tls_locally_signed_cert.service-account-certificate.cert_pem"),
      "service-account-key.pem": ref("tls_private_key.service-account-private-key.private_key_pem"),
      "master-kubernetes.pem": ref("tls_locally_signed_cert.master-kubernetes-certificate.cert_pem"),
      "master-kubernetes-key.pem": ref("tls_private_key.master-kubernetes-private-key.private_key_pem"),
    });
    expect(at(`null_resource.pems-${worker}`).connection.host).toBe(ref(`aws_instance.${worker}.public_ip`));
  });

  test("outputs", () => {
    const machine = (id: string, hostNumber: number) => [
      `${NAME}-${id}`,
      { private_ip: `172.31.0.${hostNumber}`, public_ip: ref(`aws_instance.${id}.public_ip`) },
    ];
    expect(json.output.kubernetes_public_address?.value).toBe(ref("aws_lb.load-balancer.dns_name"));
    expect(json.output.nodes?.value).toEqual(
      Object.fromEntries(
        INDICES.flatMap((index) => [machine(`master-${index}`, 10 + index), machine(`worker-${index}`, 20 + index)]),
      ),
    );
    expect(json.output.ssh_commands?.value[`${NAME}-worker-2`]).toBe(
      `ssh -i ssh/${NAME}.id_rsa ubuntu@${ref("aws_instance.worker-2.public_ip")}`,
    );
    expect(json.output.ssh_private_key).toMatchObject({
      sensitive: true,
      value: ref("tls_private_key.ssh-key.private_key_pem"),
    });
    expect(json.output.pem_files?.sensitive).toBe(true);
    expect(json.output.pem_files?.value).toMatchObject({
      "admin.pem": ref("tls_locally_signed_cert.admin-certificate.cert_pem"),
      "ca-key.pem": ref("tls_private_key.ca-private-key.private_key_pem"),
    });
    expect(Object.keys(json.output.pem_files?.value).sort()).toEqual(
      [
        "ca",
        "master-kubernetes",
        "admin",
        "service-account",
        "kube-scheduler",
        "kube-proxy",
        "kube-controller-manager",
        ...INDICES.map((index) => `${NAME}-worker-${index}`),
      ]
        .flatMap((name) => [`${name}.pem`, `${name}-key.pem`])
        .sort(),
    );
  });
});

/**
 * The sums of the JSON of clusters without the setting `kubernetes`, from the commit before this setting. A cluster that is
 * deployed has no change then. After a wanted change of the JSON, write the new sums.
 */
test.each<[string, string, ClusterSettingsInput]>([
  ["the default cluster", "d5fa6763d8cd9805250fb0f41ec59ed80a875f76e4f3ce54e00a94b8dfcd1adf", {}],
  [
    "a cluster with other settings",
    "29c3fb50ccbe51bf4d1f4faa6bf7ad96ed8ba93359371e8856184b719ab478fb",
    {
      copies: { kubeconfigs: true, encryptionConfig: true },
      access: { ssh: ["192.0.2.0/24"], api: ["192.0.2.0/24"] },
      controlPlane: { count: 1 },
      workers: { count: 2 },
      network: {
        subnets: [
          { cidrBlock: "172.31.0.0/24", availabilityZone: "eu-central-1a" },
          { cidrBlock: "172.31.1.0/24", availabilityZone: "eu-central-1b" },
        ],
      },
      podNetwork: { routed: false },
      backend: { type: "s3", bucket: "states" },
    },
  ],
])("without Kubernetes, the JSON of %s is the same as before this setting", (_case, sum, settings) => {
  const text = JSON.stringify(synthesizeCluster(settings));
  expect(createHash("sha256").update(text).digest("hex")).toBe(sum);
});

test("kubeconfigs and encryption config are copied only if their settings are on", () => {
  const copied = (settings: ClusterSettingsInput) =>
    Object.fromEntries(
      Object.entries(resourcesOf(synthesizeCluster(settings), "null_resource")).map(([name, { provisioner }]) => [
        name,
        Object.keys(copiedFiles({ provisioner })).filter((file) => !file.endsWith(".pem")),
      ]),
    );
  const onMasters = ["admin.kubeconfig", "kube-controller-manager.kubeconfig", "kube-scheduler.kubeconfig"];
  expect(Object.values(copied({})).flat()).toEqual([]);
  const { "pems-master-1": master, "pems-worker-2": worker } = copied({
    copies: { kubeconfigs: true, encryptionConfig: true },
  });
  expect(master).toEqual([...onMasters, "encryption-config.yaml"]);
  expect(worker).toEqual(["kube-proxy.kubeconfig", `${NAME}-worker-2.kubeconfig`]);
  expect(copied({ copies: { encryptionConfig: true } })).toMatchObject({
    "pems-master-0": ["encryption-config.yaml"],
    "pems-worker-0": [],
  });
});

describe("addresses", () => {
  const page = readFileSync(join(__dirname, "../../docs/addresses.md"), "utf8");

  /** The list in a section of the page. */
  const listed = (title: string) => {
    const [, section = ""] = page.split(`## ${title}\n`);
    return [...(section.split("\n## ")[0] as string).matchAll(/^- `(.+)`$/gm)].map(([, address]) => address);
  };

  test("with Kubernetes are those of the default cluster, and those in a section of docs/addresses.md", () => {
    const addresses = addressesOf(synthesizeCluster({ kubernetes: { version: TESTED.kubernetes } }));
    expect(addressesOf(json).filter((address) => !addresses.includes(address))).toEqual([]);
    expect(listed("With the setting `kubernetes`")).toEqual(
      addresses.filter((address) => !addressesOf(json).includes(address)),
    );
  });

  test("and outputs are those of docs/addresses.md", () => {
    expect(listed("Resources and data sources")).toEqual(addressesOf(json));
    expect([...page.matchAll(/^\| `(.+?)` .* (yes|no) \|$/gm)].map(([, name, sensitive]) => [name, sensitive])).toEqual(
      Object.entries(json.output)
        .map(([name, { sensitive }]) => [name, sensitive ? "yes" : "no"])
        .sort(),
    );
  });

  test("contain neither a hash nor the cluster's name", () => {
    expect(addressesOf(synthesizeCluster({ name: "another" }))).toEqual(addressesOf(json));
    expect(addressesOf(json).filter((address) => /[0-9A-F]{8}$/.test(address))).toEqual([]);
  });

  test("are different for all elements", () => {
    const stack = newClusterStack();
    const elements = stack.node
      .findAll()
      .filter(TerraformElement.isTerraformElement)
      .filter((element) => !/Provider$|Backend$/.test(element.constructor.name));
    expect(elements).toHaveLength(addressesOf(json).length + Object.keys(json.output).length);
  });

  test("of two resources must differ, and the error names both", () => {
    const stack = newClusterStack();
    new Vpc(new Construct(stack, "other"), "vpc", {});
    expect(() => synthesize(stack)).toThrow(
      new Error(
        `'${NAME}/cluster/network/vpc' and '${NAME}/other/vpc' would both have the Terraform address aws_vpc.vpc`,
      ),
    );
  });

  test("of two lookups must differ, and the error names both", () => {
    const stack = newClusterStack();
    for (const id of ["one", "two"]) new DataAwsVpc(new Construct(stack, id), "vpc", {});
    expect(() => synthesize(stack)).toThrow(
      new Error(`'${NAME}/one/vpc' and '${NAME}/two/vpc' would both have the Terraform address data.aws_vpc.vpc`),
    );
  });

  test("of different types do not conflict", () => {
    const stack = newClusterStack();
    const other = new Construct(stack, "other");
    new TerraformOutput(other, "vpc", { value: 1 });
    new DataAwsVpc(new Construct(stack, "lookup"), "vpc", {});
    expect(addressesOf(synthesize(stack))).toEqual(expect.arrayContaining(["aws_vpc.vpc", "data.aws_vpc.vpc"]));
  });
});

describe("addresses that AWS must not draw", () => {
  const reservations = (settings: ClusterSettingsInput = {}) =>
    Object.entries(resourcesOf(synthesizeCluster(settings), "aws_ec2_subnet_cidr_reservation"));

  test("are those of all machines, now or later, and the load balancer waits until they are reserved", () => {
    expect(reservations().map(([name, block]) => [name, argumentsOf(block)])).toEqual(
      [
        ["172-31-0-0-25", "172.31.0.0/25"],
        ["172-31-0-128-26", "172.31.0.128/26"],
        ["172-31-0-192-27", "172.31.0.192/27"],
      ].map(([slug, cidr_block]) => [
        `reservation-${slug}`,
        { cidr_block, reservation_type: "explicit", subnet_id: ref("aws_subnet.subnet-0.id") },
      ]),
    );
    expect(at("aws_lb.load-balancer").depends_on).toEqual(
      expect.arrayContaining(reservations().map(([name]) => `aws_ec2_subnet_cidr_reservation.${name}`)),
    );
  });

  test("stay the same when machines are added or moved", () => {
    const names = (settings: ClusterSettingsInput) => reservations(settings).map(([name]) => name);
    for (const settings of [
      { workers: { count: 200 } },
      { workers: { firstHostNumber: 100 } },
      { controlPlane: { count: 9 } },
    ]) {
      expect(names(settings)).toEqual(names({}));
    }
    const network = { subnets: [{ cidrBlock: "172.31.0.0/27" }] };
    expect(names({ network, workers: { count: 5 } })).toEqual(
      expect.arrayContaining(names({ network, workers: { count: 4 } })),
    );
  });

  test("contain each machine's address, in its own subnet", () => {
    const network = {
      subnets: ["a", "b", "c"].map((zone, index) => ({
        cidrBlock: `172.31.${index}.0/${26 + index}`,
        availabilityZone: `eu-central-1${zone}`,
      })),
    };
    const settings = { network, controlPlane: { firstHostNumber: 4 }, workers: { count: 3, firstHostNumber: 10 } };
    const clustered = synthesizeCluster(settings);
    for (const { private_ip, subnet_id } of Object.values(resourcesOf(clustered, "aws_instance"))) {
      const holders = reservations(settings).filter(([, { cidr_block }]) => contains(cidr_block, `${private_ip}/32`));
      expect(holders.map(([, block]) => block.subnet_id)).toEqual([subnet_id]);
    }
  });
});

test("private keys are referenced only by certificates, connections, files and sensitive outputs", () => {
  const places = new Set<string>();
  const visit = (value: unknown, path: readonly string[]): void => {
    if (typeof value === "string" && value.includes("private_key_pem")) places.add(path.join(" "));
    if (typeof value !== "object" || value === null) return;
    for (const [key, inner] of Object.entries(value)) visit(inner, [...path, key]);
  };
  for (const [type, byName] of Object.entries(json.resource)) {
    for (const block of Object.values(byName)) visit(block, [type]);
  }
  for (const output of Object.values(json.output)) visit(output.value, [output.sensitive ? "sensitive" : "open"]);

  const general = [...places].map((place) =>
    place.replace(/provisioner \d+/, "provisioner").replace(/^sensitive .*/, "sensitive"),
  );
  expect([...new Set(general)].sort()).toEqual([
    "null_resource connection private_key",
    "null_resource provisioner file content",
    "sensitive",
    "tls_cert_request private_key_pem",
    "tls_locally_signed_cert ca_private_key_pem",
    "tls_self_signed_cert private_key_pem",
  ]);
  expect(JSON.stringify(json)).not.toMatch(/-----BEGIN/);
});

describe("settings of the stack", () => {
  const synthesizeWith = (...args: Parameters<typeof synthesizeCluster>): TerraformJson => synthesizeCluster(...args);

  test("podNetwork.routed false removes routes and rules, and keeps the user data", () => {
    const unrouted = synthesizeWith({ podNetwork: { routed: false } });
    const removed = addressesOf(json).filter((address) => !addressesOf(unrouted).includes(address));
    expect(removed).toEqual([
      "aws_route.pod-route-worker-0",
      "aws_route.pod-route-worker-1",
      "aws_route.pod-route-worker-2",
      "aws_vpc_security_group_ingress_rule.node-all-from-172-20-0-0-16",
      "aws_vpc_security_group_ingress_rule.node-all-from-members",
    ]);
    expect(blockAt(unrouted, "aws_instance.worker-1").user_data).toBe("name=worker-1|pod-cidr=172.20.1.0/24");
  });

  test("several subnets contain the machines and the load balancer", () => {
    const spread = synthesizeWith({
      network: {
        subnets: ["a", "b"].map((zone, index) => ({
          cidrBlock: `172.31.${index}.0/24`,
          availabilityZone: `eu-central-1${zone}`,
        })),
      },
    });
    const both = [ref("aws_subnet.subnet-0.id"), ref("aws_subnet.subnet-1.id")];
    expect(blockAt(spread, "aws_lb.load-balancer").subnets).toEqual(both);
    expect(INDICES.map((index) => blockAt(spread, `aws_instance.worker-${index}`).subnet_id)).toEqual([
      ...both,
      both[0],
    ]);
    expect(blockAt(spread, "aws_instance.worker-1").private_ip).toBe("172.31.1.21");
  });

  test("in us-east-1 the API server's certificate contains that region's domain", () => {
    const east = synthesizeWith({ region: "us-east-1" });
    expect(east.provider.aws?.[0]?.region).toBe("us-east-1");
    expect(blockAt(east, "tls_cert_request.master-kubernetes-request").dns_names).toContain(
      "ip-172-31-0-10.ec2.internal",
    );
  });

  test("in GovCloud and China, images are Canonical's there", () => {
    const owners = (region: string) => blockAt(synthesizeWith({ region }), "data.aws_ami.ubuntu").owners;
    expect(owners("us-gov-west-1")).toEqual(["513442679011"]);
    expect(owners("cn-north-1")).toEqual(["837727238323"]);
    expect(owners("eu-central-1")).toEqual(["099720109477"]);
  });

  test("an image id needs no lookup", () => {
    const explicit = synthesizeWith({ image: { id: "ami-0123456789abcdef0" } });
    expect(explicit.data).toBeUndefined();
    expect(blockAt(explicit, "aws_instance.master-0").ami).toBe("ami-0123456789abcdef0");
  });

  test("a name pattern can select the tutorial's own image", () => {
    const namePattern = "ubuntu/images/hvm-ssd/ubuntu-xenial-16.04-amd64-server-*";
    const lookup = blockAt(synthesizeWith({ image: { namePattern, includeDeprecated: true } }), "data.aws_ami.ubuntu");
    expect(lookup.filter[2]).toEqual({ name: "name", values: [namePattern] });
    expect(lookup.include_deprecated).toBe(true);
  });

  test("the state can be in S3", () => {
    const remote = synthesizeWith({ name: "prod", backend: { type: "s3", bucket: "states" } });
    expect(remote.terraform.backend).toEqual({
      s3: {
        bucket: "states",
        key: "prod/terraform.tfstate",
        region: "eu-central-1",
        encrypt: true,
        use_lockfile: true,
      },
    });
    const other = synthesizeWith({
      backend: {
        type: "s3",
        bucket: "states",
        key: `${NAME}/k`,
        region: "us-east-1",
        encrypt: false,
        useLockfile: false,
      },
    });
    expect(other.terraform.backend).toEqual({
      s3: { bucket: "states", key: `${NAME}/k`, region: "us-east-1", encrypt: false, use_lockfile: false },
    });
  });

  test("the state can be at another path in the project", () => {
    const local = synthesizeWith({ name: "prod", backend: { path: "states/prod.tfstate" } });
    expect(local.terraform.backend).toEqual({ local: { path: "../../../states/prod.tfstate" } });
  });

  test("another name gives a second cluster with other names and its own state", () => {
    const other = synthesizeWith({ name: "prod" });
    expect(JSON.stringify(other)).not.toContain(NAME);
    expect(other.terraform.backend).toEqual({ local: { path: "../../../terraform.prod.tfstate" } });
  });

  test("tags apply to all resources, in addition to the tag Cluster", () => {
    const tagged = synthesizeWith({ tags: { team: "platform" } });
    expect(tagged.provider.aws?.[0]?.default_tags).toEqual([{ tags: { team: "platform", Cluster: NAME } }]);
  });

  test("a closed API is also closed at the load balancer, and open to the machines", () => {
    const closed = synthesizeWith({ access: { api: ["192.0.2.0/24"] } });
    expect(blockAt(closed, "aws_lb_target_group.target-group").preserve_client_ip).toBe("true");
    const sources = Object.values(resourcesOf(closed, "aws_vpc_security_group_ingress_rule"))
      .filter((rule) => rule.from_port === 6443)
      .map((rule) => rule.cidr_ipv4);
    expect(sources.sort()).toEqual(
      [
        "192.0.2.0/24",
        "172.31.0.0/24",
        ...["master", "worker"].flatMap((role) =>
          INDICES.map((index) => `${ref(`aws_instance.${role}-${index}.public_ip`)}/32`),
        ),
      ].sort(),
    );
  });

  test("the stack has as many rules as the warning counts", () => {
    const access = { ssh: ["192.0.2.0/24"], api: ["192.0.2.0/24"], icmp: ["192.0.2.0/24", "10.0.0.0/8"] };
    const many = synthesizeWith({ access, workers: { count: 49 } });
    expect(Object.keys(resourcesOf(many, "aws_vpc_security_group_ingress_rule"))).toHaveLength(61);
  });

  test("subject, lifetimes, disks and counts reach their resources", () => {
    const changed = synthesizeWith({
      controlPlane: { count: 1, instanceType: "t3.medium", rootVolume: { sizeGiB: 30 } },
      workers: { count: 5, instanceType: "t3.large", firstHostNumber: 100, rootVolume: { type: "gp3" } },
      podNetwork: { cidrBlock: "10.244.0.0/16" },
      pki: { subject: { country: "GB" }, validityHours: 100 },
    });
    expect(Object.keys(resourcesOf(changed, "aws_instance"))).toHaveLength(6);
    expect(blockAt(changed, "aws_instance.master-0")).toMatchObject({
      instance_type: "t3.medium",
      root_block_device: { volume_size: 30 },
    });
    expect(blockAt(changed, "aws_route.pod-route-worker-4").destination_cidr_block).toBe("10.244.4.0/24");
    expect(blockAt(changed, "aws_instance.worker-4")).toMatchObject({
      instance_type: "t3.large",
      private_ip: "172.31.0.104",
      user_data: "name=worker-4|pod-cidr=10.244.4.0/24",
      root_block_device: { volume_type: "gp3" },
    });
    expect(blockAt(changed, "tls_cert_request.worker-4-request").subject[0].country).toBe("GB");
    expect(blockAt(changed, "tls_locally_signed_cert.worker-4-certificate").validity_period_hours).toBe(100);
  });
});
