import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DescribeSubnetsCommand, EC2Client, GetSubnetCidrReservationsCommand } from "@aws-sdk/client-ec2";
import { clientConfiguration } from "../../cloud/emulator";
import type { Inventory } from "../../cloud/inventory";
import { shellBlocks } from "../../testing/documented";
import { REGION, Rehearsal } from "../../testing/rehearsal";
import { story } from "../../testing/story";

/** One machine has the lowest address that EC2 assigns, which the emulated load balancer draws if nobody else has it. */
const SETTINGS = { controlPlane: { count: 1, firstHostNumber: 4 }, workers: { count: 1 } };
const MASTER = "172.31.0.4";
const RESERVATIONS = ["172-31-0-0-25", "172-31-0-128-26", "172-31-0-192-27"].map(
  (range) => `aws_ec2_subnet_cidr_reservation.reservation-${range}`,
);

let rehearsal: Rehearsal;
let initialInventory: Inventory;

beforeAll(async () => {
  rehearsal = await Rehearsal.begin(SETTINGS);
  initialInventory = await rehearsal.inventory();
});

afterAll(() => rehearsal?.end());

/** Changes the synthesized JSON into that of a program without reservations. */
async function configureWithoutReservations(settings: object): Promise<void> {
  await rehearsal.configure(settings);
  const file = join(rehearsal.folder.stackFolder, "cdk.tf.json");
  const json = JSON.parse(readFileSync(file, "utf8"));
  expect(Object.keys(json.resource.aws_ec2_subnet_cidr_reservation)).toHaveLength(RESERVATIONS.length);
  delete json.resource.aws_ec2_subnet_cidr_reservation;
  const balancer = json.resource.aws_lb["load-balancer"];
  balancer.depends_on = balancer.depends_on.filter((address: string) => !RESERVATIONS.includes(address));
  writeFileSync(file, JSON.stringify(json));
}

/** The addresses of the load balancer in its subnets. */
async function loadBalancerAddresses(): Promise<(string | undefined)[]> {
  const { networkInterfaces } = await rehearsal.inventory();
  return networkInterfaces
    .filter(({ Description }) => Description?.startsWith("ELB net/"))
    .map(({ PrivateIpAddress }) => PrivateIpAddress);
}

/** The reserved ranges of the cluster's subnet, as AWS reports them. */
async function reservedRanges(): Promise<string[]> {
  const client = new EC2Client(clientConfiguration(rehearsal.cloud.socket, REGION));
  const { Subnets = [] } = await client.send(new DescribeSubnetsCommand({}));
  const SubnetId = Subnets.find(({ CidrBlock }) => CidrBlock === "172.31.0.0/24")?.SubnetId;
  const { SubnetIpv4CidrReservations = [] } = await client.send(new GetSubnetCidrReservationsCommand({ SubnetId }));
  client.destroy();
  return SubnetIpv4CidrReservations.map(({ Cidr, ReservationType }) => `${Cidr} ${ReservationType}`).sort();
}

story({
  "without reservations, AWS draws a machine's address for the load balancer, and the machine is refused": async () => {
    await configureWithoutReservations(SETTINGS);
    await rehearsal.apply("-target=aws_lb.load-balancer");
    expect(await loadBalancerAddresses()).toEqual([MASTER]);

    const { status, output } = await rehearsal.startTerraform("apply", "-auto-approve", "-no-color").ended;
    expect(status).toBe(1);
    expect(output).toContain("with aws_instance.master-0,");
    expect(output).toContain(`InvalidIPAddress.InUse: Address ${MASTER} is in use.`);
  },

  "with reservations, a new load balancer gets another address, and the machine is made": async () => {
    await rehearsal.configure(SETTINGS);
    const [find, replace] = shellBlocks("recovery.md", "An address that something else has") as [string, string];
    expect(await rehearsal.here("sh", "-ec", find.replaceAll("172.31.0.23", MASTER))).toMatch(/^ELB net\//);
    const output = await rehearsal.here("sh", "-ec", `yes yes | { ${replace} }`);
    expect(output).toMatch(/aws_instance.master-0.*: Creation complete/);
    expect(await reservedRanges()).toEqual([
      "172.31.0.0/25 explicit",
      "172.31.0.128/26 explicit",
      "172.31.0.192/27 explicit",
    ]);
    expect(await loadBalancerAddresses()).toEqual(["172.31.0.224"]);
    expect(await rehearsal.terraform("plan", "-detailed-exitcode", "-no-color")).toContain("No changes.");
  },

  "a cluster without reservations gets them in place": async () => {
    const nothing = { visited: [], rewritten: [] };
    await configureWithoutReservations(SETTINGS);
    expect(await rehearsal.changesOf(() => rehearsal.apply())).toEqual({ ...nothing, resources: RESERVATIONS });
    expect(await reservedRanges()).toEqual([]);
    await rehearsal.configure(SETTINGS);
    expect(await rehearsal.changesOf(() => rehearsal.apply())).toEqual({ ...nothing, resources: RESERVATIONS });
    expect(await rehearsal.terraform("plan", "-detailed-exitcode", "-no-color")).toContain("No changes.");
  },

  "an additional worker changes no reservation": async () => {
    await rehearsal.configure({ ...SETTINGS, workers: { count: 2 } });
    const { resources, visited } = await rehearsal.changesOf(() => rehearsal.apply());
    expect(visited).toEqual(["worker-1"]);
    expect(resources).toContain("aws_instance.worker-1");
    expect(resources.filter((address) => RESERVATIONS.includes(address))).toEqual([]);
  },

  "destroy leaves no reservation and no interface": async () => {
    await rehearsal.terraform("destroy", "-auto-approve", "-no-color");
    expect(await rehearsal.inventory()).toEqual(initialInventory);
  },
});
