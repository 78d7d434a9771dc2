import { Token } from "cdktf";
import { argumentsOf, resourcesOf, type TerraformJson } from "../../cloud/terraform-json";
import { type ClusterSecurityGroupsProps, ControlPlaneNlb, type ControlPlaneNlbProps } from "../../constructs/index";
import { someMachines } from "../../testing/parts";
import { synthesizeConstructs } from "../../testing/synthesize";

function synthesizeNlb(
  props: Partial<ControlPlaneNlbProps> = {},
  security: Partial<ClusterSecurityGroupsProps> = {},
): TerraformJson {
  return synthesizeConstructs((scope) => {
    const { network, securityGroups } = someMachines(scope, 2, security);
    new ControlPlaneNlb(scope, "api", {
      clusterName: "theirs",
      network,
      securityGroups,
      targetAddresses: ["10.0.0.10", "10.0.0.11"],
      ...props,
    });
  });
}

function only(json: TerraformJson, type: string): [name: string, args: Record<string, unknown>] {
  const [entry, ...others] = Object.entries(resourcesOf(json, type));
  expect(others).toEqual([]);
  const [name, block] = entry as [string, object];
  return [name, argumentsOf(block)];
}

test("the network load balancer faces the internet, is in all subnets, and depends on the internet access", () => {
  const json = synthesizeNlb();
  expect(only(json, "aws_lb")[1]).toEqual({
    name: "theirs",
    load_balancer_type: "network",
    internal: false,
    subnets: Object.keys(resourcesOf(json, "aws_subnet")).map((name) => `$\{aws_subnet.${name}.id}`),
    depends_on: [
      ...Object.keys(resourcesOf(json, "aws_route")).map((name) => `aws_route.${name}`),
      ...Object.keys(resourcesOf(json, "aws_route_table_association")).map(
        (name) => `aws_route_table_association.${name}`,
      ),
    ],
  });
});

test("the target group has a target for each address, and the listener is replaced with the group", () => {
  const json = synthesizeNlb();
  const [group, groupArguments] = only(json, "aws_lb_target_group");
  const [balancer] = only(json, "aws_lb");

  expect(groupArguments).toEqual({
    name: "theirs",
    protocol: "TCP",
    port: 6443,
    target_type: "ip",
    preserve_client_ip: "false",
    vpc_id: expect.stringMatching(/^\$\{aws_vpc\.net_vpc_\w+\.id\}$/),
  });
  expect(Object.values(resourcesOf(json, "aws_lb_target_group_attachment")).map(argumentsOf)).toEqual(
    ["10.0.0.10", "10.0.0.11"].map((target_id) => ({
      target_group_arn: `$\{aws_lb_target_group.${group}.arn}`,
      target_id,
      port: 6443,
    })),
  );
  expect(only(json, "aws_lb_listener")[1]).toEqual({
    load_balancer_arn: `$\{aws_lb.${balancer}.arn}`,
    protocol: "TCP",
    port: 6443,
    default_action: [{ type: "forward", target_group_arn: `$\{aws_lb_target_group.${group}.arn}` }],
    lifecycle: { replace_triggered_by: [`aws_lb_target_group.${group}.arn`] },
  });
});

test("with a health path, targets must answer over HTTPS, and their health changes within ten seconds", () => {
  const [, without] = only(synthesizeNlb(), "aws_lb_target_group");
  expect(only(synthesizeNlb({ healthPath: "/livez" }), "aws_lb_target_group")[1]).toEqual({
    ...without,
    health_check: {
      protocol: "HTTPS",
      path: "/livez",
      matcher: "200-399",
      interval: 5,
      timeout: 4,
      healthy_threshold: 2,
      unhealthy_threshold: 2,
    },
  });
});

test("listener, targets and security rule use the port of the security groups", () => {
  const json = synthesizeNlb({}, { apiServerPort: 443 });
  const ports = ["aws_lb_target_group", "aws_lb_listener", "aws_lb_target_group_attachment"].flatMap((type) =>
    Object.values(resourcesOf(json, type)).map(({ port }) => port),
  );
  expect(ports).toEqual([443, 443, 443, 443]);
  const rules = Object.values(resourcesOf(json, "aws_vpc_security_group_ingress_rule"));
  expect(rules.filter(({ description }) => description === "Kubernetes API server").map(argumentsOf)).toMatchObject([
    { from_port: 443, to_port: 443, cidr_ipv4: "0.0.0.0/0" },
  ]);
  expect(rules.filter(({ from_port }) => from_port === 6443)).toEqual([]);
});

test("a port that only Terraform will know is accepted", () => {
  const json = synthesizeNlb({}, { apiServerPort: Token.asNumber("$" + "{var.port}") });
  expect(only(json, "aws_lb_listener")[1].port).toBe("$" + "{var.port}");
});

test("a load balancer with a closed API adds no security rule and preserves its clients' addresses", () => {
  const closed = { access: { ssh: [], api: [], icmp: [] } };
  const rules = (json: TerraformJson) => Object.keys(resourcesOf(json, "aws_vpc_security_group_ingress_rule"));
  const without = synthesizeConstructs((scope) => {
    someMachines(scope, 2, closed);
  });
  const json = synthesizeNlb({}, closed);
  expect(rules(json)).toEqual(rules(without));
  expect(only(json, "aws_lb_target_group")[1].preserve_client_ip).toBe("true");
});

test("addresses that only Terraform will know are accepted", () => {
  const json = synthesizeConstructs((scope) => {
    const { network, securityGroups, nodes } = someMachines(scope);
    const targetAddresses = nodes.map((node) => node.instance.privateIp);
    new ControlPlaneNlb(scope, "api", { clusterName: "theirs", network, securityGroups, targetAddresses });
  });
  const targets = Object.values(resourcesOf(json, "aws_lb_target_group_attachment")).map(({ target_id }) => target_id);
  expect(targets).toEqual(
    Object.keys(resourcesOf(json, "aws_instance")).map((name) => `$\{aws_instance.${name}.private_ip}`),
  );
});

test.each<[string, Partial<ControlPlaneNlbProps>, string]>([
  [
    "a name that is too long",
    { clusterName: "n".repeat(33) },
    `'clusterName' must be 1 to 32 letters, digits and hyphens, without a hyphen at either end and without the prefixes internal- and sg-, which AWS reserves, got: "${"n".repeat(33)}"`,
  ],
  [
    "an empty list of targets",
    { targetAddresses: [] },
    "'targetAddresses' must be a list of at least one IPv4 address, got: []",
  ],
  [
    "a name as target",
    { targetAddresses: ["10.0.0.10", "master-1"] },
    `'targetAddresses[1]' must be an IPv4 address such as 172.31.0.10, got: "master-1"`,
  ],
])("%s is refused", (_name, props, message) => {
  expect(() => synthesizeNlb(props)).toThrow(new Error(message));
});
