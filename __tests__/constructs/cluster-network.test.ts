import { argumentsOf, resourcesOf, type TerraformJson } from "../../cloud/terraform-json";
import { ClusterNetwork, type ClusterNetworkProps } from "../../constructs/index";
import { synthesizeConstructs } from "../../testing/synthesize";

const TUTORIAL: ClusterNetworkProps = {
  clusterName: "k8s-cluster-from-ground-up",
  region: "eu-central-1",
  cidrBlock: "172.31.0.0/16",
  subnets: [{ cidrBlock: "172.31.0.0/24" }],
};

/** Synthesizes a network in the user's own stack, where cdktf's own ids apply. */
function synthesizeNetwork(props: Partial<ClusterNetworkProps> = {}): TerraformJson {
  return synthesizeConstructs((scope) => {
    new ClusterNetwork(scope, "net", { ...TUTORIAL, ...props });
  });
}

/** The only resource of a type. */
function only(json: TerraformJson, type: string) {
  const [block, ...others] = Object.values(resourcesOf(json, type));
  expect(others).toEqual([]);
  return argumentsOf(block ?? {});
}

const NAME_TAG = { Name: "k8s-cluster-from-ground-up" };
const VPC_ID = expect.stringMatching(/^\$\{aws_vpc\.net_vpc_\w+\.id\}$/);
const ROUTE_TABLE_ID = expect.stringMatching(/^\$\{aws_route_table\.net_route-table_\w+\.id\}$/);

test("VPC, DHCP options, subnet and routes are the tutorial's and refer to each other", () => {
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

test("us-east-1 has a special domain", () => {
  const json = synthesizeNetwork({ region: "us-east-1" });
  expect(only(json, "aws_vpc_dhcp_options").domain_name).toBe("ec2.internal");
});

test("each of several subnets has its zone and its route table association", () => {
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
});

test("internetAccess contains the default route and every association", () => {
  synthesizeConstructs((scope) => {
    const network = new ClusterNetwork(scope, "net", TUTORIAL);
    expect(network.internetAccess.map(({ fqn }) => String(fqn)).length).toBe(2);
    expect(network.node.findAll().filter((child) => network.internetAccess.includes(child as never))).toEqual([
      network.node.findChild("default-route"),
      network.node.findChild("subnet-0-route-table"),
    ]);
  });
});

test("no address is reserved unless machines' addresses are known", () => {
  expect(resourcesOf(synthesizeNetwork(), "aws_ec2_subnet_cidr_reservation")).toEqual({});
});

test("addresses of machines are reserved in their subnets, for explicit use", () => {
  const json = synthesizeConstructs((scope) => {
    const subnets = [
      { cidrBlock: "172.31.0.0/25", availabilityZone: "eu-central-1a" },
      { cidrBlock: "172.31.1.0/28", availabilityZone: "eu-central-1b" },
    ];
    const network = new ClusterNetwork(scope, "net", { ...TUTORIAL, subnets });
    network.reserve(["172.31.0.10", "172.31.0.126", "172.31.1.4"]);
    expect(network.reservations).toHaveLength(4);
  });
  const [first, second] = Object.keys(resourcesOf(json, "aws_subnet")).map((name) => `$\{aws_subnet.${name}.id}`);
  const reservations = Object.values(resourcesOf(json, "aws_ec2_subnet_cidr_reservation")).map(argumentsOf);
  expect(reservations).toEqual(
    [
      [first, "172.31.0.0/26"],
      [first, "172.31.0.126/32"],
      [first, "172.31.0.64/27"],
      [second, "172.31.1.4/32"],
    ].map(([subnet_id, cidr_block]) => ({ subnet_id, cidr_block, reservation_type: "explicit" })),
  );
});

test.each<[string, Partial<ClusterNetworkProps>, string]>([
  [
    "a name that AWS refuses",
    { clusterName: "my_cluster" },
    `'clusterName' must be 1 to 32 letters, digits and hyphens, without a hyphen at either end and without the prefixes internal- and sg-, which AWS reserves, got: "my_cluster"`,
  ],
  ["a malformed region", { region: "here" }, `'region' must be an AWS region such as eu-central-1, got: "here"`],
  [
    "a VPC that is too large",
    { cidrBlock: "10.0.0.0/8" },
    `'cidrBlock' must be an IPv4 CIDR of /16 to /28 without host bits, such as 172.31.0.0/16, outside 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16 and 224.0.0.0/3, got: "10.0.0.0/8"`,
  ],
  ["an empty list of subnets", { subnets: [] }, "'subnets' must be a list of at least one subnet, got: []"],
  [
    "a subnet outside the VPC",
    { subnets: [{ cidrBlock: "10.0.0.0/24" }] },
    `'subnets[0].cidrBlock' must be within 'cidrBlock', 172.31.0.0/16, got: "10.0.0.0/24"`,
  ],
  [
    "a subnet that is too small",
    { subnets: [{ cidrBlock: "172.31.0.0/29" }] },
    `'subnets[0].cidrBlock' must be an IPv4 CIDR of /16 to /28 without host bits, such as 172.31.0.0/16, outside 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16 and 224.0.0.0/3, got: "172.31.0.0/29"`,
  ],
  [
    "a malformed zone",
    { subnets: [{ cidrBlock: "172.31.0.0/24", availabilityZone: "a" }] },
    `'subnets[0].availabilityZone' must be an availability zone such as eu-central-1a, and no Local Zone or Wavelength Zone, because a network load balancer needs a zone of the region itself, got: "a"`,
  ],
])("%s is refused", (_name, props, message) => {
  expect(() => synthesizeNetwork(props)).toThrow(new Error(message));
});
