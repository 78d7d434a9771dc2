import { TerraformOutput, Token } from "cdktf";
import { argumentsOf, type Block, resourcesOf, type TerraformJson } from "../../cloud/terraform-json";
import { NodeFleet, type NodeFleetProps } from "../../constructs/index";
import { someMachines } from "../../testing/parts";
import { synthesizeConstructs } from "../../testing/synthesize";

/** Synthesizes a fleet of masters in the network of `someMachines`. */
function synthesizeMasters(props: Partial<NodeFleetProps> = {}): { json: TerraformJson; masters: Block[] } {
  const json = synthesizeConstructs((scope) => {
    const { clusterName, network, securityGroups, sshKey } = someMachines(scope, 0);
    new NodeFleet(scope, "masters", {
      clusterName,
      role: "master",
      network,
      securityGroups,
      sshKey,
      imageId: "ami-0123456789abcdef0",
      count: 3,
      firstHostNumber: 10,
      instanceType: "t2.micro",
      userData: (index) => `name=master-${index}`,
      ...props,
    });
  });
  return { json, masters: Object.values(resourcesOf(json, "aws_instance")).map(argumentsOf) };
}

test("a machine has all arguments of the tutorial and the lifecycle rules", () => {
  const { json, masters } = synthesizeMasters({ count: 1 });
  const [subnet] = Object.keys(resourcesOf(json, "aws_subnet"));

  expect(masters).toEqual([
    {
      ami: "ami-0123456789abcdef0",
      instance_type: "t2.micro",
      key_name: expect.stringMatching(/^\$\{aws_key_pair\.ssh_key-pair_\w+\.key_name\}$/),
      subnet_id: `$\{aws_subnet.${subnet}.id}`,
      vpc_security_group_ids: [expect.stringMatching(/^\$\{aws_security_group\.security_security-group_\w+\.id\}$/)],
      private_ip: "10.0.0.10",
      associate_public_ip_address: true,
      source_dest_check: false,
      user_data: "name=master-0",
      metadata_options: { http_endpoint: "enabled", http_tokens: "optional" },
      tags: { Name: "theirs-master-0" },
      depends_on: [
        expect.stringMatching(/^aws_route\.net_default-route_/),
        expect.stringMatching(/^aws_route_table_association\.net_subnet-0-route-table_/),
        expect.stringMatching(/^aws_route_table_association\.net_subnet-1-route-table_/),
      ],
      lifecycle: {
        ignore_changes: ["ami", "user_data", "associate_public_ip_address"],
        postcondition: [
          {
            condition: "$" + '{self.public_ip != ""}',
            error_message:
              "theirs-master-0 has no public address: a stopped machine has none, start it and apply again",
          },
        ],
      },
    },
  ]);
});

test("machines are assigned to the subnets in turn, at fixed addresses", () => {
  const { json, masters } = synthesizeMasters();
  const [first, second] = Object.keys(resourcesOf(json, "aws_subnet")).map((name) => `$\{aws_subnet.${name}.id}`);
  expect(masters.map(({ private_ip, subnet_id, tags }) => [tags.Name, private_ip, subnet_id])).toEqual([
    ["theirs-master-0", "10.0.0.10", first],
    ["theirs-master-1", "10.0.1.11", second],
    ["theirs-master-2", "10.0.0.12", first],
  ]);
});

test("an additional machine does not change the Terraform addresses of the others", () => {
  const names = (count: number) => Object.keys(resourcesOf(synthesizeMasters({ count }).json, "aws_instance"));
  expect(names(4)).toEqual(expect.arrayContaining(names(3)));
  expect(names(4)).toHaveLength(4);
});

test("a node has id, name, addresses and host name", () => {
  const json = synthesizeConstructs((scope) => {
    const [node] = someMachines(scope, 1).nodes;
    expect(node).toMatchObject({
      id: "worker-0",
      name: "theirs-worker-0",
      privateIp: "10.0.0.30",
      hostname: "ip-10-0-0-30",
    });
    new TerraformOutput(scope, "public", { value: node?.publicIp });
  });
  const [machine] = Object.keys(resourcesOf(json, "aws_instance"));
  expect(json.output.public?.value).toBe(`$\{aws_instance.${machine}.public_ip}`);
});

test("the root volume has the given size, type and encryption", () => {
  const { masters } = synthesizeMasters({ rootVolume: { sizeGiB: 20, type: "gp3", encrypted: true } });
  expect(masters[0]?.root_block_device).toEqual({ volume_size: 20, volume_type: "gp3", encrypted: true });
});

test("a count that only Terraform will know is refused, and not taken as 0", () => {
  const count = Token.asNumber("$" + "{var.count}");
  expect(() => synthesizeMasters({ count })).toThrow(/^'count' must be a whole number from 0 to 1000, got: /);
});

test.each<[string, Partial<NodeFleetProps>, string]>([
  [
    "a machine outside its subnet",
    { firstHostNumber: 253 },
    "'host number of master-2' must be a whole number from 4 to 254 in 10.0.0.0/24, got: 255",
  ],
  [
    "a machine at an address that EC2 reserves",
    { firstHostNumber: 3 },
    "'host number of master-0' must be a whole number from 4 to 254 in 10.0.0.0/24, got: 3",
  ],
  [
    "a name that AWS refuses",
    { clusterName: "a_b" },
    `'clusterName' must be 1 to 32 letters, digits and hyphens, without a hyphen at either end and without the prefixes internal- and sg-, which AWS reserves, got: "a_b"`,
  ],
  [
    "a malformed instance type",
    { instanceType: "small" },
    `'instanceType' must be an EC2 instance type such as t2.micro, got: "small"`,
  ],
  [
    "a fraction as host number",
    { firstHostNumber: 10.5 },
    "'firstHostNumber' must be a whole number from 0 to 65535, got: 10.5",
  ],
  ["a fraction as count", { count: 0.5 }, "'count' must be a whole number from 0 to 1000, got: 0.5"],
])("%s is refused", (_name, props, message) => {
  expect(() => synthesizeMasters(props)).toThrow(new Error(message));
});
