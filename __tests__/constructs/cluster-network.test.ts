import { argumentsOf, resourcesOf, type TerraformJson } from "../../cloud/terraform-json";
import { ClusterNetwork, type ClusterNetworkProps } from "../../constructs/index";
import { synthesizeConstructs } from "../../testing/synthesize";

const TUTORIAL: ClusterNetworkProps = {
  clusterName: "k8s-cluster-from-ground-up",
  region: "eu-central-1",
  cidrBlock: "172.31.0.0/16",
  subnets: [{ cidrBlock: "172.31.0.0/24" }],
};

/** A network in somebody else's stack, where cdktf's own ids apply. */
function synthesizeNetwork(props: Partial<ClusterNetworkProps> = {}): TerraformJson {
  return synthesizeConstructs((scope) => {
    new ClusterNetwork(scope, "net", { ...TUTORIAL, ...props });
  });
}

/** The one resource of a type. */
function only(json: TerraformJson, type: string) {
  const [block, ...others] = Object.values(resourcesOf(json, type));
  expect(others).toEqual([]);
  return argumentsOf(block ?? {});
}

/** Every ingress rule in a line: protocol, ports, source, description. */
function ingressRules(json: TerraformJson): string[] {
  return Object.values(resourcesOf(json, "aws_vpc_security_group_ingress_rule"))
    .map((rule) =>
      [
        rule.ip_protocol,
        rule.from_port === undefined ? "all" : `${rule.from_port}..${rule.to_port}`,
        rule.cidr_ipv4 ?? rule.referenced_security_group_id,
        rule.description,
      ].join(" | "),
    )
    .sort();
}

const NAME_TAG = { Name: "k8s-cluster-from-ground-up" };
const VPC_ID = expect.stringMatching(/^\$\{aws_vpc\.net_vpc_\w+\.id\}$/);
const ROUTE_TABLE_ID = expect.stringMatching(/^\$\{aws_route_table\.net_route-table_\w+\.id\}$/);
const GROUP_ID = expect.stringMatching(/^\$\{aws_security_group\.net_security-group_\w+\.id\}$/);

test("the tutorial's VPC, DHCP options, subnet and routes, tied to each other", () => {
  const json = synthesizeNetwork();

  expect(only(json, "aws_vpc")).toEqual({
    cidr_block: "172.31.0.0/16",
    enable_dns_support: true,
    enable_dns_hostnames: true,
    tags: NAME_TAG,
  });
  expect(only(json, "aws_vpc_dhcp_options")).toEqual({
    domain_name: "eu-central-1.compute.internal",
    domain_name_servers: ["AmazonProvidedDNS"],
    tags: NAME_TAG,
  });
  expect(only(json, "aws_vpc_dhcp_options_association")).toEqual({
    vpc_id: VPC_ID,
    dhcp_options_id: expect.stringMatching(/^\$\{aws_vpc_dhcp_options\.net_dhcp-options_\w+\.id\}$/),
  });
  expect(only(json, "aws_subnet")).toEqual({
    vpc_id: VPC_ID,
    cidr_block: "172.31.0.0/24",
    private_dns_hostname_type_on_launch: "ip-name",
    tags: NAME_TAG,
  });
  expect(only(json, "aws_internet_gateway")).toEqual({ vpc_id: VPC_ID, tags: NAME_TAG });
  expect(only(json, "aws_route_table")).toEqual({ vpc_id: VPC_ID, tags: NAME_TAG });
  expect(only(json, "aws_route_table_association")).toEqual({
    route_table_id: ROUTE_TABLE_ID,
    subnet_id: expect.stringMatching(/^\$\{aws_subnet\.net_subnet-0_\w+\.id\}$/),
  });
  expect(only(json, "aws_route")).toEqual({
    route_table_id: ROUTE_TABLE_ID,
    destination_cidr_block: "0.0.0.0/0",
    gateway_id: expect.stringMatching(/^\$\{aws_internet_gateway\.net_internet-gateway_\w+\.id\}$/),
  });
});

test("the oldest region has a domain of its own", () => {
  const json = synthesizeNetwork({ region: "us-east-1" });
  expect(only(json, "aws_vpc_dhcp_options").domain_name).toBe("ec2.internal");
});

test("the tutorial's security group: these rules and no others, none of them inline", () => {
  const json = synthesizeNetwork();

  expect(only(json, "aws_security_group")).toEqual({
    name: "k8s-cluster-from-ground-up",
    description: "Kubernetes cluster security group",
    vpc_id: VPC_ID,
    tags: NAME_TAG,
  });
  expect(ingressRules(json)).toEqual([
    "icmp | -1..-1 | 0.0.0.0/0 | All ICMP",
    "tcp | 22..22 | 0.0.0.0/0 | SSH",
    "tcp | 2379..2380 | 172.31.0.0/24 | etcd clients and peers",
    "tcp | 30000..32767 | 172.31.0.0/24 | Services of type NodePort",
    "tcp | 6443..6443 | 0.0.0.0/0 | Kubernetes API server",
  ]);
  for (const rule of Object.values(resourcesOf(json, "aws_vpc_security_group_ingress_rule"))) {
    expect(rule.security_group_id).toEqual(GROUP_ID);
  }
  expect(only(json, "aws_vpc_security_group_egress_rule")).toEqual({
    security_group_id: GROUP_ID,
    ip_protocol: "-1",
    cidr_ipv4: "0.0.0.0/0",
    description: "Everything outbound",
  });
});

test("a pod network adds what pods and machines send each other", () => {
  const added = ingressRules(synthesizeNetwork({ podCidrBlock: "172.20.0.0/16" })).filter(
    (rule) => !ingressRules(synthesizeNetwork()).includes(rule),
  );
  expect(added).toEqual([
    expect.stringMatching(
      /^-1 \| all \| \$\{aws_security_group\.net_security-group_\w+\.id\} \| Everything between the machines of the cluster$/,
    ),
    "-1 | all | 172.20.0.0/16 | Everything from the pod network",
  ]);
});

test("several subnets: each in its zone, with its association and its own etcd and node port rules", () => {
  const json = synthesizeNetwork({
    subnets: [
      { cidrBlock: "172.31.0.0/24", availabilityZone: "eu-central-1a" },
      { cidrBlock: "172.31.1.0/24", availabilityZone: "eu-central-1b" },
    ],
  });

  const zones = Object.values(resourcesOf(json, "aws_subnet")).map((subnet) => subnet.availability_zone);
  expect(zones).toEqual(["eu-central-1a", "eu-central-1b"]);
  const associated = Object.values(resourcesOf(json, "aws_route_table_association")).map(({ subnet_id }) => subnet_id);
  expect(associated).toEqual(Object.keys(resourcesOf(json, "aws_subnet")).map((name) => `$\{aws_subnet.${name}.id}`));
  expect(ingressRules(json).filter((rule) => rule.includes("172.31."))).toEqual([
    "tcp | 2379..2380 | 172.31.0.0/24 | etcd clients and peers",
    "tcp | 2379..2380 | 172.31.1.0/24 | etcd clients and peers",
    "tcp | 30000..32767 | 172.31.0.0/24 | Services of type NodePort",
    "tcp | 30000..32767 | 172.31.1.0/24 | Services of type NodePort",
  ]);
});

test("who is let in can be said, and a closed API stays open to the load balancer's health checks", () => {
  const json = synthesizeNetwork({ ingress: { ssh: ["192.0.2.0/24"], api: ["192.0.2.0/24"], icmp: [] } });
  expect(ingressRules(json)).toEqual([
    "tcp | 22..22 | 192.0.2.0/24 | SSH",
    "tcp | 2379..2380 | 172.31.0.0/24 | etcd clients and peers",
    "tcp | 30000..32767 | 172.31.0.0/24 | Services of type NodePort",
    "tcp | 6443..6443 | 172.31.0.0/24 | Kubernetes API server",
    "tcp | 6443..6443 | 192.0.2.0/24 | Kubernetes API server",
  ]);
});

test("a source that is a subnet anyway gets one rule", () => {
  const json = synthesizeNetwork({ ingress: { api: ["172.31.0.0/24"] } });
  expect(ingressRules(json).filter((rule) => rule.includes("6443"))).toEqual([
    "tcp | 6443..6443 | 172.31.0.0/24 | Kubernetes API server",
  ]);
});

test("a rule's address says its source, so that removing one leaves the others alone", () => {
  const names = (ssh: string[]) =>
    Object.keys(resourcesOf(synthesizeNetwork({ ingress: { ssh } }), "aws_vpc_security_group_ingress_rule"));
  const [first, second] = ["192.0.2.0/24", "198.51.100.0/24"] as const;
  expect(names([first, second])).toEqual(expect.arrayContaining(names([second])));
});

test("internet access is the default route and every association", () => {
  synthesizeConstructs((scope) => {
    const network = new ClusterNetwork(scope, "net", TUTORIAL);
    expect(network.internetAccess.map(({ fqn }) => String(fqn)).length).toBe(2);
    expect(network.node.findAll().filter((child) => network.internetAccess.includes(child as never))).toEqual([
      network.node.findChild("default-route"),
      network.node.findChild("subnet-0-route-table"),
    ]);
  });
});

test.each<[string, Partial<ClusterNetworkProps>, string]>([
  [
    "a name that AWS refuses",
    { clusterName: "my_cluster" },
    `'clusterName' must be 1 to 32 letters, digits and hyphens, without a hyphen at either end and without the prefixes internal- and sg-, which AWS keeps, got: "my_cluster"`,
  ],
  ["a region that is none", { region: "here" }, `'region' must be an AWS region such as eu-central-1, got: "here"`],
  [
    "a VPC too large",
    { cidrBlock: "10.0.0.0/8" },
    `'cidrBlock' must be an IPv4 CIDR of /16 to /28 without host bits, such as 172.31.0.0/16, got: "10.0.0.0/8"`,
  ],
  ["no subnet", { subnets: [] }, "'subnets' must be a list of at least one subnet, got: []"],
  [
    "a subnet outside",
    { subnets: [{ cidrBlock: "10.0.0.0/24" }] },
    `'subnets[0].cidrBlock' must be within 'cidrBlock', 172.31.0.0/16, got: "10.0.0.0/24"`,
  ],
  [
    "a subnet too small",
    { subnets: [{ cidrBlock: "172.31.0.0/29" }] },
    `'subnets[0].cidrBlock' must be an IPv4 CIDR of /16 to /28 without host bits, such as 172.31.0.0/16, got: "172.31.0.0/29"`,
  ],
  [
    "a zone that is none",
    { subnets: [{ cidrBlock: "172.31.0.0/24", availabilityZone: "a" }] },
    `'subnets[0].availabilityZone' must be an availability zone such as eu-central-1a, got: "a"`,
  ],
  [
    "a source with host bits",
    { ingress: { ssh: ["192.0.2.1/24"] } },
    `'ingress.ssh[0]' must be an IPv4 CIDR without host bits, such as 172.31.0.0/24, got: "192.0.2.1/24"`,
  ],
  [
    "pods at an address",
    { podCidrBlock: "172.20.0.0" },
    `'podCidrBlock' must be an IPv4 CIDR of /8 to /24 without host bits, such as 172.20.0.0/16, got: "172.20.0.0"`,
  ],
])("%s is refused", (_what, props, message) => {
  expect(() => synthesizeNetwork(props)).toThrow(new Error(message));
});
