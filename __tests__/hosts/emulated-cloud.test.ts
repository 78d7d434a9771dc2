import { readdirSync, readlinkSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import * as ec2 from "@aws-sdk/client-ec2";
import { EmulatedCloud } from "../../cloud/emulated-cloud";
import { clientConfiguration } from "../../cloud/emulator";
import type { Machine } from "../../cloud/instance-hosts";
import { takeInventory } from "../../cloud/inventory";
import { start } from "../../cloud/program";
import { describeSuite } from "../../cloud/requirements";
import { until } from "../../cloud/ssh-hosts";

const REGION = "eu-central-1";
const ADDRESS = "172.31.0.20";

describeSuite("the emulated cloud", () => {
  let cloud: EmulatedCloud;
  let client: ec2.EC2Client;
  let group: string;
  let subnet: string;

  beforeAll(async () => {
    cloud = await EmulatedCloud.open();
    client = new ec2.EC2Client(clientConfiguration(cloud.socket, REGION));
    const { Vpc } = await client.send(new ec2.CreateVpcCommand({ CidrBlock: "172.31.0.0/16" }));
    const made = await Promise.all([
      client.send(new ec2.CreateSubnetCommand({ VpcId: Vpc?.VpcId, CidrBlock: "172.31.0.0/24" })),
      client.send(new ec2.CreateSecurityGroupCommand({ VpcId: Vpc?.VpcId, GroupName: "g", Description: "g" })),
      client.send(new ec2.CreateKeyPairCommand({ KeyName: "k" })),
    ]);
    subnet = made[0].Subnet?.SubnetId as string;
    group = made[1].GroupId as string;
  });

  afterAll(async () => {
    client?.destroy();
    await cloud?.close();
  });

  /** Runs an instance as the AWS provider does: an interface block contains its address and groups. */
  async function runInstance(name: string): Promise<ec2.Instance> {
    const { Images } = await client.send(new ec2.DescribeImagesCommand({}));
    const { Instances } = await client.send(
      new ec2.RunInstancesCommand({
        ImageId: Images?.[0]?.ImageId,
        MinCount: 1,
        MaxCount: 1,
        KeyName: "k",
        NetworkInterfaces: [
          {
            DeviceIndex: 0,
            SubnetId: subnet,
            Groups: [group],
            PrivateIpAddress: ADDRESS,
            AssociatePublicIpAddress: true,
          },
        ],
        TagSpecifications: [{ ResourceType: "instance", Tags: [{ Key: "Name", Value: name }] }],
      }),
    );
    return Instances?.[0] as ec2.Instance;
  }

  const machine = (name: string) => cloud.instanceHosts.machines.find((each) => each.name === name) as Machine;
  const running = (name: string) => until(() => machine(name) !== undefined, { what: () => `${name} runs` });
  const gone = (name: string) => until(() => machine(name) === undefined, { what: () => `${name} is gone` });

  /** The host key that ssh-keyscan receives from a machine; empty without an answer. */
  async function hostKey({ publicIp }: Machine): Promise<string> {
    const { output } = await start([...cloud.network.inside, "ssh-keyscan", "-t", "ed25519", publicIp]).ended;
    return /ssh-ed25519 \S+/.exec(output)?.[0] ?? "";
  }

  test("an instance has a host while it runs, and a stopped instance keeps its disk", async () => {
    const InstanceIds = [(await runInstance("a")).InstanceId as string];
    await running("a");
    const before = machine("a");
    const key = await hostKey(before);
    expect(key).not.toBe("");
    before.host.fillDisk();
    const disks = join(before.host.home, "../..");
    expect(readdirSync(disks)).toEqual(InstanceIds);

    await client.send(new ec2.StopInstancesCommand({ InstanceIds }));
    await gone("a");
    expect(await hostKey(before)).toBe("");
    await client.send(new ec2.StartInstancesCommand({ InstanceIds }));
    await running("a");
    expect(machine("a").publicIp).not.toBe(before.publicIp);
    expect(await hostKey(machine("a"))).toBe(key);
    expect(Object.keys(machine("a").host.files())).toEqual(["filler"]);

    await client.send(new ec2.StopInstancesCommand({ InstanceIds }));
    await gone("a");
    await client.send(new ec2.TerminateInstancesCommand({ InstanceIds }));
    await cloud.instanceHosts.settled();
    expect(readdirSync(disks)).toEqual([]);
  });

  test("a replacement with the same address is a new host with an empty disk", async () => {
    const { InstanceId: first = "" } = await runInstance("b");
    await running("b");
    const before = { ...machine("b"), key: await hostKey(machine("b")) };
    before.host.fillDisk();
    await client.send(new ec2.TerminateInstancesCommand({ InstanceIds: [first] }));
    await gone("b");

    const { InstanceId: second = "" } = await runInstance("b");
    await running("b");
    expect(machine("b")).toMatchObject({ id: second, privateIp: ADDRESS });
    expect(await hostKey(machine("b"))).not.toBe(before.key);
    expect(machine("b").host.files()).toEqual({});
    await client.send(new ec2.TerminateInstancesCommand({ InstanceIds: [second] }));
  });

  test("a terminated instance leaves no interface and no volume", async () => {
    const { InstanceId = "" } = await runInstance("c");
    await client.send(new ec2.TerminateInstancesCommand({ InstanceIds: [InstanceId] }));
    const { instances, networkInterfaces, volumes } = await takeInventory(cloud.socket, REGION);
    expect([instances, networkInterfaces, volumes]).toEqual([[], [], []]);
  });

  test("an instance has the security groups of its interface", async () => {
    const { InstanceId = "" } = await runInstance("d");
    const { instances } = await takeInventory(cloud.socket, REGION);
    expect(instances[0]?.SecurityGroups).toEqual([{ GroupId: group, GroupName: "g" }]);
    await client.send(new ec2.TerminateInstancesCommand({ InstanceIds: [InstanceId] }));
  });

  test("an address in use is refused", async () => {
    const { InstanceId = "" } = await runInstance("e");
    await expect(runInstance("f")).rejects.toThrow(`Address ${ADDRESS} is in use.`);
    await client.send(new ec2.TerminateInstancesCommand({ InstanceIds: [InstanceId] }));
  });

  test("DHCP options keep their tags", async () => {
    await client.send(
      new ec2.CreateDhcpOptionsCommand({
        DhcpConfigurations: [{ Key: "domain-name", Values: ["a"] }],
        TagSpecifications: [{ ResourceType: "dhcp-options", Tags: [{ Key: "Name", Value: "a" }] }],
      }),
    );
    const { dhcpOptions } = await takeInventory(cloud.socket, REGION);
    expect(dhcpOptions.map(({ Tags }) => Tags)).toContainEqual([{ Key: "Name", Value: "a" }]);
  });

  test("a rule that refers to a group keeps its description", async () => {
    const UserIdGroupPairs = [{ GroupId: group, Description: "between members" }];
    await client.send(
      new ec2.AuthorizeSecurityGroupIngressCommand({
        GroupId: group,
        IpPermissions: [{ IpProtocol: "-1", UserIdGroupPairs }],
      }),
    );
    const { securityGroupRules } = await takeInventory(cloud.socket, REGION);
    expect(securityGroupRules.map(({ Description }) => Description)).toContain("between members");
  });

  test("a program in the network cannot reach an address outside", async () => {
    const outside = `require("net").connect(443, "192.0.2.1").on("error", (error) => console.log(error.code))`;
    const { output } = await start([...cloud.network.inside, "node", "-e", outside]).ended;
    expect(output.trim()).toBe("ENETUNREACH");
  });

  test.each<NodeJS.Signals>(["SIGKILL", "SIGINT", "SIGTERM"])(
    "%s to the program that opened a cloud leaves no process of the cloud",
    async (signal) => {
      const program = `require("./cloud/emulated-cloud").EmulatedCloud.open()
        .then(({ network, socket }) => console.log(network.inside.join(" "), socket))`;
      const owner = start(["node", "--import", "tsx", "--input-type=commonjs", "-e", program], {
        cwd: join(__dirname, "../.."),
      });
      await until(() => /--target \d+/.test(owner.output()), { what: owner.output, process: owner.process });
      const [, holder] = /--target (\d+)/.exec(owner.output()) as unknown as [string, string];
      const namespace = readlinkSync(`/proc/${holder}/ns/net`);
      expect(processesIn(namespace).length).toBeGreaterThan(2);

      owner.process.kill(signal);
      await until(() => processesIn(namespace).length === 0, { what: () => `${processesIn(namespace)} end` });
      const [, socket] = / (\S+)\n/.exec(owner.output()) as unknown as [string, string];
      rmSync(dirname(socket), { recursive: true });
    },
  );
});

/** The processes in a network namespace. */
function processesIn(namespace: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readlinkSync(`/proc/${pid}/ns/net`) === namespace;
    } catch {
      // It has ended since the folder was read.
      return false;
    }
  });
}
