import { argumentsOf, resourcesOf, type TerraformJson } from "../../cloud/terraform-json";
import { ClusterNetwork, ClusterSecurityGroups, type ClusterSecurityGroupsProps } from "../../constructs/index";
import { synthesizeConstructs } from "../../testing/synthesize";

const ANYWHERE = ["0.0.0.0/0"];
const OPEN = { ssh: ANYWHERE, api: ANYWHERE, icmp: ANYWHERE };

/** Synthesizes the security groups of the tutorial's network in the user's own stack. */
function synthesizeRules({
  publicAddresses,
  subnets = ["172.31.0.0/24"],
  ...props
}: Partial<ClusterSecurityGroupsProps> & {
  publicAddresses?: Record<string, string>;
  subnets?: string[];
} = {}): TerraformJson {
  return synthesizeConstructs((scope) => {
    const clusterName = "k8s-cluster-from-ground-up";
    const network = new ClusterNetwork(scope, "net", {
      clusterName,
      region: "eu-central-1",
      cidrBlock: "172.31.0.0/16",
      subnets: subnets.map((cidrBlock) => ({ cidrBlock })),
    });
    const groups = new ClusterSecurityGroups(scope, "security", {
      clusterName,
      network,
      access: OPEN,
      apiServerPort: 6443,
      ...props,
    });
    groups.admitThroughLoadBalancer(publicAddresses ?? {});
  });
}

/** The only resource of a type. */
function only(json: TerraformJson, type: string) {
  const [block, ...others] = Object.values(resourcesOf(json, type));
  expect(others).toEqual([]);
  return argumentsOf(block ?? {});
}

/** Every ingress rule as a line: protocol, ports, source, description. */
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

const GROUP_ID = expect.stringMatching(/^\$\{aws_security_group\.security_security-group_\w+\.id\}$/);

test("the security group has exactly the tutorial's rules, none of them inline", () => {
  const json = synthesizeRules();

  expect(only(json, "aws_security_group")).toEqual({
    name: "k8s-cluster-from-ground-up",
    description: "Kubernetes cluster security group",
    vpc_id: expect.stringMatching(/^\$\{aws_vpc\.net_vpc_\w+\.id\}$/),
    tags: { Name: "k8s-cluster-from-ground-up" },
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

test("a pod network adds rules for the traffic from pods and between machines", () => {
  const added = ingressRules(synthesizeRules({ podCidrBlock: "172.20.0.0/16" })).filter(
    (rule) => !ingressRules(synthesizeRules()).includes(rule),
  );
  expect(added).toEqual([
    expect.stringMatching(
      /^-1 \| all \| \$\{aws_security_group\.security_security-group_\w+\.id\} \| Everything between the machines of the cluster$/,
    ),
    "-1 | all | 172.20.0.0/16 | Everything from the pod network",
  ]);
});

test("each subnet has its own rules for etcd and node ports", () => {
  const json = synthesizeRules({ subnets: ["172.31.0.0/24", "172.31.1.0/24"] });
  expect(ingressRules(json).filter((rule) => rule.includes("172.31."))).toEqual([
    "tcp | 2379..2380 | 172.31.0.0/24 | etcd clients and peers",
    "tcp | 2379..2380 | 172.31.1.0/24 | etcd clients and peers",
    "tcp | 30000..32767 | 172.31.0.0/24 | Services of type NodePort",
    "tcp | 30000..32767 | 172.31.1.0/24 | Services of type NodePort",
  ]);
});

test("rules have the given sources, and a closed API stays open to the load balancer's health checks", () => {
  const json = synthesizeRules({ access: { ...OPEN, ssh: ["192.0.2.0/24"], api: ["192.0.2.0/24"], icmp: [] } });
  expect(ingressRules(json)).toEqual([
    "tcp | 22..22 | 192.0.2.0/24 | SSH",
    "tcp | 2379..2380 | 172.31.0.0/24 | etcd clients and peers",
    "tcp | 30000..32767 | 172.31.0.0/24 | Services of type NodePort",
    "tcp | 6443..6443 | 172.31.0.0/24 | Kubernetes API server",
    "tcp | 6443..6443 | 192.0.2.0/24 | Kubernetes API server",
  ]);
});

test("a source that is also a subnet gets one rule", () => {
  const json = synthesizeRules({ access: { ...OPEN, api: ["172.31.0.0/24"] } });
  expect(ingressRules(json).filter((rule) => rule.includes("6443"))).toEqual([
    "tcp | 6443..6443 | 172.31.0.0/24 | Kubernetes API server",
  ]);
});

test("a rule's address contains its source, so that removing one source does not change the other rules", () => {
  const names = (ssh: string[]) =>
    Object.keys(resourcesOf(synthesizeRules({ access: { ...OPEN, ssh } }), "aws_vpc_security_group_ingress_rule"));
  const [first, second] = ["192.0.2.0/24", "198.51.100.0/24"] as const;
  expect(names([first, second])).toEqual(expect.arrayContaining(names([second])));
});

test("machines get rules for the way through the load balancer only if the API is closed", () => {
  const publicAddresses = { "worker-0": "198.51.100.20" };
  const line = "tcp | 443..443 | 198.51.100.20/32 | Kubernetes API server, from worker-0 through the load balancer";
  const closed = synthesizeRules({ access: { ...OPEN, api: [] }, apiServerPort: 443, publicAddresses });
  expect(ingressRules(closed)).toContain(line);
  expect(ingressRules(synthesizeRules({ publicAddresses }))).toEqual(ingressRules(synthesizeRules()));
});

test.each<[string, Partial<ClusterSecurityGroupsProps>, string]>([
  [
    "a source with host bits",
    { access: { ...OPEN, ssh: ["192.0.2.1/24"] } },
    `'access.ssh[0]' must be an IPv4 CIDR without host bits, such as 172.31.0.0/24, got: "192.0.2.1/24"`,
  ],
  [
    "a pods' CIDR without prefix length",
    { podCidrBlock: "172.20.0.0" },
    `'podCidrBlock' must be an IPv4 CIDR of /8 to /24 without host bits, such as 172.20.0.0/16, outside 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16 and 224.0.0.0/3, got: "172.20.0.0"`,
  ],
  ["port 0", { apiServerPort: 0 }, "'apiServerPort' must be a whole number from 1 to 65535, got: 0"],
])("refuses %s", (_name, props, message) => {
  expect(() => synthesizeRules(props)).toThrow(new Error(message));
});
