import { rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import * as ec2 from "@aws-sdk/client-ec2";
import * as elb from "@aws-sdk/client-elastic-load-balancing-v2";
import { EmulatedCloud } from "../../cloud/emulated-cloud";
import { clientConfiguration } from "../../cloud/emulator";
import { changeInstance, type InstanceChange, takeInventory } from "../../cloud/inventory";
import { namespaceAt, processesIn } from "../../cloud/namespace";
import { start, until } from "../../cloud/program";
import type { RunningMachine } from "../../cloud/reconciler";
import { describeSuite } from "../../cloud/requirements";
import { MachineHost } from "../../testing/machine-host";

const REGION = "eu-central-1";
const ADDRESS = "172.31.0.20";

describeSuite("the emulated cloud", () => {
  let cloud: EmulatedCloud;
  let client: ec2.EC2Client;
  let balancing: elb.ElasticLoadBalancingV2Client;
  let vpc: string | undefined;
  let group: string;
  let subnet: string;

  beforeAll(async () => {
    cloud = await EmulatedCloud.open();
    client = new ec2.EC2Client(clientConfiguration(cloud.socket, REGION));
    const { Vpc } = await client.send(new ec2.CreateVpcCommand({ CidrBlock: "172.31.0.0/16" }));
    const VpcId = Vpc?.VpcId;
    vpc = VpcId;
    balancing = new elb.ElasticLoadBalancingV2Client(clientConfiguration(cloud.socket, REGION));
    const made = await Promise.all([
      client.send(new ec2.CreateSubnetCommand({ VpcId, CidrBlock: "172.31.0.0/24" })),
      client.send(new ec2.CreateSecurityGroupCommand({ VpcId, GroupName: "g", Description: "g" })),
      client.send(new ec2.CreateKeyPairCommand({ KeyName: "k" })),
      client.send(new ec2.CreateInternetGatewayCommand({})),
      client.send(new ec2.DescribeRouteTablesCommand({ Filters: [{ Name: "vpc-id", Values: [VpcId as string] }] })),
    ]);
    subnet = made[0].Subnet?.SubnetId as string;
    group = made[1].GroupId as string;
    const [GatewayId, RouteTableId] = [
      made[3].InternetGateway?.InternetGatewayId,
      made[4].RouteTables?.[0]?.RouteTableId,
    ];
    await client.send(new ec2.AttachInternetGatewayCommand({ InternetGatewayId: GatewayId, VpcId }));
    await client.send(new ec2.CreateRouteCommand({ RouteTableId, DestinationCidrBlock: "0.0.0.0/0", GatewayId }));
    await client.send(
      new ec2.AuthorizeSecurityGroupIngressCommand({
        GroupId: group,
        IpPermissions: [{ IpProtocol: "tcp", FromPort: 22, ToPort: 22, IpRanges: [{ CidrIp: "0.0.0.0/0" }] }],
      }),
    );
  });

  afterAll(async () => {
    client?.destroy();
    balancing?.destroy();
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

  const machine = (name: string) => cloud.machines.running.find((each) => each.name === name) as RunningMachine;
  const running = (name: string) => until(() => machine(name) !== undefined, { what: () => `${name} runs` });
  const gone = (name: string) => until(() => machine(name) === undefined, { what: () => `${name} is gone` });
  const change = (id: string, what: InstanceChange["change"]) =>
    changeInstance(cloud.socket, { id, region: REGION, change: what });
  const files = (name: string) => Object.keys(new MachineHost(machine(name).machine).files());
  const onMachine = (name: string, ...command: string[]) => start(machine(name).machine.run(command)).ended;

  /** The host key that ssh-keyscan receives from a machine; empty without an answer. */
  async function hostKey({ publicIp }: RunningMachine): Promise<string> {
    const { output } = await start([...cloud.network.inside, "ssh-keyscan", "-t", "ed25519", publicIp]).ended;
    return /ssh-ed25519 \S+/.exec(output)?.[0] ?? "";
  }

  test("an instance has a machine while it runs, and a stopped instance keeps its disk", async () => {
    const { InstanceId: id = "" } = await runInstance("a");
    await running("a");
    const before = machine("a");
    await before.machine.listens();
    const key = await hostKey(before);
    expect(key).not.toBe("");
    await onMachine("a", "touch", "/home/ubuntu/kept");

    await change(id, "stop");
    await gone("a");
    await change(id, "start");
    await running("a");
    expect(machine("a").publicIp).not.toBe(before.publicIp);
    await machine("a").machine.listens();
    expect(await hostKey(machine("a"))).toBe(key);
    expect(files("a")).toEqual(["kept"]);

    await change(id, "reboot");
    await until(() => files("a").length === 1 && machine("a").publicIp !== "", { what: () => "a reboots" });

    await change(id, "terminate");
    await gone("a");
    await cloud.machines.settled();
  });

  test("a running instance that is started keeps its address; a stopped one cannot be rebooted", async () => {
    const { InstanceId: id = "" } = await runInstance("s");
    await running("s");
    const { publicIp } = machine("s");
    await change(id, "start");
    await cloud.machines.settled();
    expect(machine("s").publicIp).toBe(publicIp);
    await change(id, "stop");
    await gone("s");
    await expect(change(id, "reboot")).rejects.toThrow(`The instance '${id}' is stopped, so it cannot be rebooted.`);
    await cloud.machines.settled();
    expect(machine("s")).toBeUndefined();
    await change(id, "terminate");
  });

  test("a machine that powers itself off stops its instance", async () => {
    const { InstanceId: id = "" } = await runInstance("off");
    await running("off");
    await machine("off").machine.listens();
    await onMachine("off", "systemctl", "poweroff");
    await gone("off");
    const stopped = async () => (await takeInventory(cloud.socket, REGION)).instances[0]?.State?.Name;
    while ((await stopped()) !== "stopped") await cloud.machines.settled();
    await change(id, "terminate");
  });

  test("a replacement with the same address is a new machine with an empty disk", async () => {
    const { InstanceId: first = "" } = await runInstance("b");
    await running("b");
    await machine("b").machine.listens();
    const key = await hostKey(machine("b"));
    await onMachine("b", "touch", "/home/ubuntu/lost");
    await change(first, "terminate");
    await gone("b");

    const { InstanceId: second = "" } = await runInstance("b");
    await running("b");
    expect(machine("b")).toMatchObject({ id: second, privateIp: ADDRESS });
    await machine("b").machine.listens();
    expect(await hostKey(machine("b"))).not.toBe(key);
    expect(files("b")).toEqual([]);
    await change(second, "terminate");
  });

  test("a terminated instance leaves no interface and no volume", async () => {
    const { InstanceId = "" } = await runInstance("c");
    await client.send(new ec2.TerminateInstancesCommand({ InstanceIds: [InstanceId] }));
    const { instances, networkInterfaces, volumes } = await takeInventory(cloud.socket, REGION);
    expect([instances, networkInterfaces, volumes]).toEqual([[], [], []]);
  });

  test("the API reports the health of each target, also when many change at once", async () => {
    const { InstanceId: id = "" } = await runInstance("h");
    await running("h");
    await machine("h").machine.listens();
    const { LoadBalancers } = await balancing.send(
      new elb.CreateLoadBalancerCommand({ Name: "h", Type: "network", Subnets: [subnet] }),
    );
    const LoadBalancerArn = LoadBalancers?.[0]?.LoadBalancerArn;
    const group = { Protocol: "TCP", Port: 22, VpcId: vpc, TargetType: "ip" } as const;
    const groups = await Promise.all(
      Array.from({ length: 12 }, async (_, index) => {
        const made = await balancing.send(new elb.CreateTargetGroupCommand({ Name: `h${index}`, ...group }));
        const TargetGroupArn = made.TargetGroups?.[0]?.TargetGroupArn;
        const DefaultActions = [{ Type: "forward", TargetGroupArn } as const];
        await balancing.send(
          new elb.CreateListenerCommand({ LoadBalancerArn, Protocol: "TCP", Port: 7000 + index, DefaultActions }),
        );
        return { TargetGroupArn, Targets: [{ Id: ADDRESS, Port: 22 }] };
      }),
    );
    const states = async () => {
      const health = groups.map(({ TargetGroupArn }) =>
        balancing.send(new elb.DescribeTargetHealthCommand({ TargetGroupArn })),
      );
      const targets = (await Promise.all(health)).flatMap(
        ({ TargetHealthDescriptions = [] }) => TargetHealthDescriptions,
      );
      return targets.map(({ TargetHealth }) => TargetHealth?.State);
    };
    for (let round = 0; round < 5; round++) {
      await Promise.all(groups.map((each) => balancing.send(new elb.RegisterTargetsCommand(each))));
      for (let tries = 0; (await states()).some((state) => state !== "healthy") && tries < 50; tries++)
        await sleep(100);
      expect(await states()).toEqual(groups.map(() => "healthy"));
      await Promise.all(groups.map((each) => balancing.send(new elb.DeregisterTargetsCommand(each))));
      await cloud.machines.settled();
    }
    await balancing.send(new elb.DeleteLoadBalancerCommand({ LoadBalancerArn }));
    await change(id, "terminate");
    await gone("h");
    await cloud.machines.settled();
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
    const outside = `require("net").connect(443, "8.8.8.8").on("error", (error) => console.log(error.code))`;
    const { output } = await start([...cloud.network.inside, "node", "-e", outside]).ended;
    expect(output.trim()).toBe("ENETUNREACH");
  });

  test.each<NodeJS.Signals>(["SIGKILL", "SIGINT", "SIGTERM"])(
    "%s to the program that opened a cloud leaves no process of the cloud",
    async (signal) => {
      const program = `require("./cloud/emulated-cloud").EmulatedCloud.open()
        .then(({ network, socket }) => console.log(network.path, socket))`;
      const owner = start(["node", "--import", "tsx", "--input-type=commonjs", "-e", program], {
        cwd: join(__dirname, "../.."),
      });
      await until(() => /ns\/net /.test(owner.output()), { what: owner.output, process: owner.process });
      const [, holder] = /(\d+)\/ns\/net /.exec(owner.output()) as unknown as [string, string];
      const namespace = namespaceAt(`/proc/${holder}/ns/net`);
      expect(processesIn(namespace).length).toBeGreaterThan(2);

      owner.process.kill(signal);
      await until(() => processesIn(namespace).length === 0, { what: () => `${processesIn(namespace)} end` });
      const [, socket] = / (\S+)\n/.exec(owner.output()) as unknown as [string, string];
      rmSync(dirname(socket), { recursive: true });
    },
  );
});
