import * as ec2 from "@aws-sdk/client-ec2";
import * as elb from "@aws-sdk/client-elastic-load-balancing-v2";
import { clientConfiguration } from "./emulator";

/** The resources in a region of the emulated AWS, as its API reports them, without terminated instances. */
export type Inventory = Awaited<ReturnType<typeof takeInventory>>;

/** Asks the API for the resources in a region. @param socket - the emulator's socket file */
export async function takeInventory(socket: string, region: string) {
  const clients = {
    ec2: new ec2.EC2Client(clientConfiguration(socket, region)),
    elb: new elb.ElasticLoadBalancingV2Client(clientConfiguration(socket, region)),
  };
  try {
    const [reservations, loadBalancers, targetGroups, rest] = await Promise.all([
      clients.ec2.send(new ec2.DescribeInstancesCommand({})),
      clients.elb.send(new elb.DescribeLoadBalancersCommand({})),
      clients.elb.send(new elb.DescribeTargetGroupsCommand({})),
      ec2Resources(clients.ec2),
    ]);
    const instances = (reservations.Reservations ?? [])
      .flatMap(({ Instances = [] }) => Instances)
      .filter(({ State }) => State?.Name !== "terminated");
    const balancers = loadBalancers.LoadBalancers ?? [];
    const groups = targetGroups.TargetGroups ?? [];
    return {
      ...rest,
      instances: await Promise.all(instances.map((instance) => withUserData(clients.ec2, instance))),
      loadBalancers: await Promise.all(balancers.map((balancer) => withListeners(clients.elb, balancer))),
      targetGroups: await Promise.all(groups.map((group) => withTargets(clients.elb, group))),
    };
  } finally {
    clients.ec2.destroy();
    clients.elb.destroy();
  }
}

async function ec2Resources(client: ec2.EC2Client) {
  const [vpcs, dhcpOptions, subnets, gateways, routeTables, groups, rules, keyPairs, interfaces, volumes] =
    await Promise.all([
      client.send(new ec2.DescribeVpcsCommand({})),
      client.send(new ec2.DescribeDhcpOptionsCommand({})),
      client.send(new ec2.DescribeSubnetsCommand({})),
      client.send(new ec2.DescribeInternetGatewaysCommand({})),
      client.send(new ec2.DescribeRouteTablesCommand({})),
      client.send(new ec2.DescribeSecurityGroupsCommand({})),
      client.send(new ec2.DescribeSecurityGroupRulesCommand({})),
      client.send(new ec2.DescribeKeyPairsCommand({})),
      client.send(new ec2.DescribeNetworkInterfacesCommand({})),
      client.send(new ec2.DescribeVolumesCommand({})),
    ]);
  return {
    vpcs: await Promise.all((vpcs.Vpcs ?? []).map((vpc) => withDnsAttributes(client, vpc))),
    dhcpOptions: dhcpOptions.DhcpOptions ?? [],
    subnets: subnets.Subnets ?? [],
    internetGateways: gateways.InternetGateways ?? [],
    routeTables: routeTables.RouteTables ?? [],
    securityGroups: groups.SecurityGroups ?? [],
    securityGroupRules: rules.SecurityGroupRules ?? [],
    keyPairs: keyPairs.KeyPairs ?? [],
    networkInterfaces: interfaces.NetworkInterfaces ?? [],
    volumes: volumes.Volumes ?? [],
  };
}

async function withDnsAttributes(client: ec2.EC2Client, vpc: ec2.Vpc) {
  const ask = (Attribute: ec2.VpcAttributeName) =>
    client.send(new ec2.DescribeVpcAttributeCommand({ VpcId: vpc.VpcId, Attribute }));
  const [support, hostnames] = await Promise.all([ask("enableDnsSupport"), ask("enableDnsHostnames")]);
  return {
    ...vpc,
    dnsSupport: support.EnableDnsSupport?.Value,
    dnsHostnames: hostnames.EnableDnsHostnames?.Value,
  };
}

async function withUserData(client: ec2.EC2Client, instance: ec2.Instance) {
  const { UserData } = await client.send(
    new ec2.DescribeInstanceAttributeCommand({ InstanceId: instance.InstanceId, Attribute: "userData" }),
  );
  return { ...instance, userData: Buffer.from(UserData?.Value ?? "", "base64").toString() };
}

async function withListeners(client: elb.ElasticLoadBalancingV2Client, balancer: elb.LoadBalancer) {
  const { Listeners = [] } = await client.send(
    new elb.DescribeListenersCommand({ LoadBalancerArn: balancer.LoadBalancerArn }),
  );
  return { ...balancer, listeners: Listeners };
}

async function withTargets(client: elb.ElasticLoadBalancingV2Client, group: elb.TargetGroup) {
  const { TargetHealthDescriptions = [] } = await client.send(
    new elb.DescribeTargetHealthCommand({ TargetGroupArn: group.TargetGroupArn }),
  );
  const states = TargetHealthDescriptions.map(
    ({ Target, TargetHealth }) => [`${Target?.Id}:${Target?.Port}`, TargetHealth?.State ?? ""] as const,
  );
  const health = Object.fromEntries(states.sort(([a], [b]) => (a < b ? -1 : 1)));
  return { ...group, targets: Object.keys(health), health };
}

/** A change of an instance, as a person makes it in AWS's console. */
export interface InstanceChange {
  readonly id: string;
  readonly region: string;
  readonly change: "stop" | "start" | "reboot" | "terminate";
}

/** Changes an instance through the API. @param socket - the emulator's socket file */
export async function changeInstance(socket: string, { id, region, change }: InstanceChange): Promise<void> {
  const client = new ec2.EC2Client(clientConfiguration(socket, region));
  const request = { InstanceIds: [id] };
  const calls = {
    stop: () => client.send(new ec2.StopInstancesCommand(request)),
    start: () => client.send(new ec2.StartInstancesCommand(request)),
    reboot: () => client.send(new ec2.RebootInstancesCommand(request)),
    terminate: () => client.send(new ec2.TerminateInstancesCommand(request)),
  };
  await calls[change]().finally(() => client.destroy());
}
