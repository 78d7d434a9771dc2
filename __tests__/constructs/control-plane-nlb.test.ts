import { Token } from "cdktf";
import { argumentsOf, resourcesOf, type TerraformJson } from "../../cloud/terraform-json";
import { ControlPlaneNlb, type ControlPlaneNlbProps } from "../../constructs/index";
import { someMachines } from "../../testing/parts";
import { synthesizeConstructs } from "../../testing/synthesize";

function synthesizeNlb(props: Partial<ControlPlaneNlbProps> = {}): TerraformJson {
  return synthesizeConstructs((scope) => {
    const { network } = someMachines(scope);
    new ControlPlaneNlb(scope, "api", {
      clusterName: "theirs",
      network,
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

test("an internet-facing network load balancer over all subnets, after the way to the internet", () => {
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

test("a target group of addresses, a target for each, and a listener that is replaced with the group", () => {
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

test("another port is listened on and forwarded to", () => {
  const json = synthesizeNlb({ port: 8443 });
  const ports = ["aws_lb_target_group", "aws_lb_listener", "aws_lb_target_group_attachment"].flatMap((type) =>
    Object.values(resourcesOf(json, type)).map(({ port }) => port),
  );
  expect(ports).toEqual([8443, 8443, 8443, 8443]);
});

test("a port that Terraform alone will know is accepted", () => {
  const json = synthesizeNlb({ port: Token.asNumber("$" + "{var.port}") });
  expect(only(json, "aws_lb_listener")[1].port).toBe("$" + "{var.port}");
});

test("with named clients the group preserves addresses, and each client is let in", () => {
  const before = Object.keys(resourcesOf(synthesizeNlb(), "aws_vpc_security_group_ingress_rule"));
  const json = synthesizeNlb({ port: 8443, clients: { "worker-0": "198.51.100.20" } });

  expect(only(json, "aws_lb_target_group")[1].preserve_client_ip).toBe("true");
  const added = Object.entries(resourcesOf(json, "aws_vpc_security_group_ingress_rule")).filter(
    ([name]) => !before.includes(name),
  );
  expect(added.map(([, rule]) => argumentsOf(rule))).toEqual([
    {
      security_group_id: expect.stringMatching(/^\$\{aws_security_group\.net_security-group_\w+\.id\}$/),
      ip_protocol: "tcp",
      from_port: 8443,
      to_port: 8443,
      cidr_ipv4: "198.51.100.20/32",
      description: "Kubernetes API server, from worker-0 through the load balancer",
    },
  ]);
});

test("no client at all still closes the load balancer", () => {
  expect(only(synthesizeNlb({ clients: {} }), "aws_lb_target_group")[1].preserve_client_ip).toBe("true");
});

test("addresses that Terraform alone will know are accepted", () => {
  const json = synthesizeConstructs((scope) => {
    const { network, nodes } = someMachines(scope);
    const targetAddresses = nodes.map((node) => node.instance.privateIp);
    new ControlPlaneNlb(scope, "api", { clusterName: "theirs", network, targetAddresses });
  });
  const targets = Object.values(resourcesOf(json, "aws_lb_target_group_attachment")).map(({ target_id }) => target_id);
  expect(targets).toEqual(
    Object.keys(resourcesOf(json, "aws_instance")).map((name) => `$\{aws_instance.${name}.private_ip}`),
  );
});

test.each<[string, Partial<ControlPlaneNlbProps>, string]>([
  [
    "a name too long",
    { clusterName: "n".repeat(33) },
    `'clusterName' must be 1 to 32 letters, digits and hyphens, without a hyphen at either end and without the prefixes internal- and sg-, which AWS keeps, got: "${"n".repeat(33)}"`,
  ],
  ["no target", { targetAddresses: [] }, "'targetAddresses' must be a list of at least one IPv4 address, got: []"],
  [
    "a name for a target",
    { targetAddresses: ["10.0.0.10", "master-1"] },
    `'targetAddresses[1]' must be an IPv4 address such as 172.31.0.10, got: "master-1"`,
  ],
  ["port 0", { port: 0 }, "'port' must be a whole number from 1 to 65535, got: 0"],
])("%s is refused", (_what, props, message) => {
  expect(() => synthesizeNlb(props)).toThrow(new Error(message));
});
