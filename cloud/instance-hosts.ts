import { setTimeout as sleep } from "node:timers/promises";
import {
  DescribeInstancesCommand,
  DescribeKeyPairsCommand,
  DescribeRegionsCommand,
  EC2Client,
  type Instance,
} from "@aws-sdk/client-ec2";
import { clientConfiguration } from "./emulator";
import type { SshHost, SshNetwork } from "./ssh-hosts";

/** The pause between two polls of the API, in milliseconds. */
const POLL_INTERVAL = 300;

/** The number of polls in which every region is polled at least once. */
const ROUND = 20;

/** A running instance, and its host. */
export interface Machine {
  /** The instance's id. */
  readonly id: string;
  /** The instance's Name tag. */
  readonly name: string;
  readonly publicIp: string;
  readonly privateIp: string;
  readonly host: SshHost;
}

/** The properties of {@link InstanceHosts}. */
export interface InstanceHostsProps {
  /** The network of the hosts. */
  readonly network: SshNetwork;
  /** The emulator's socket file. */
  readonly socket: string;
  /** Receives a line for each action and each failure. */
  readonly log: (line: string) => void;
}

/**
 * Gives each running instance of the emulated EC2 a real ssh host. It polls the API and starts a host for each running
 * instance. A stopped instance loses its host and keeps its disk. A terminated instance loses its disk.
 */
export class InstanceHosts {
  private readonly running = new Map<string, Machine & { readonly region: string }>();
  /** The instances that have a disk, and their regions. */
  private readonly disks = new Map<string, string>();
  private readonly clients = new Map<string, EC2Client>();
  private polls = 0;
  private stopping = false;
  private readonly ended: Promise<void>;

  constructor(private readonly props: InstanceHostsProps) {
    this.ended = this.poll();
  }

  /** The running instances with a host, sorted by name. */
  get machines(): readonly Machine[] {
    return [...this.running.values()].sort((a, b) => a.name.localeCompare(b.name));
  }

  /** Waits until the hosts match the API's current answer. */
  async settled(): Promise<void> {
    // Two polls: the current one may have begun before the API's last change.
    for (const target = this.polls + 2; this.polls < target; ) await sleep(POLL_INTERVAL / 10);
  }

  /** Starts a machine's host again. The previous host may be running or stopped. */
  async restart({ id }: Machine): Promise<void> {
    const { host, region } = this.running.get(id) as Machine & { region: string };
    await host.stop();
    const instance = (await this.instances(region)).find(({ InstanceId }) => InstanceId === id);
    await this.start(region, instance as Instance);
  }

  /** Ends the polling and all hosts. */
  async stop(): Promise<void> {
    this.stopping = true;
    await this.ended;
    await Promise.all([...this.running.values()].map(({ host }) => host.stop()));
    for (const client of this.clients.values()) client.destroy();
  }

  private async poll(): Promise<void> {
    const { Regions = [] } = await this.client("us-east-1").send(new DescribeRegionsCommand({}));
    const regions = Regions.map(({ RegionName }) => RegionName as string);
    for (; !this.stopping; this.polls++) {
      // Regions with machines are polled each time, the others in turn.
      const turn = regions.filter((_, index) => index % ROUND === this.polls % ROUND);
      for (const region of new Set([...this.disks.values(), ...turn])) {
        await this.reconcile(region).catch((error: Error) => this.props.log(`${region}: ${error.message}`));
      }
      await sleep(POLL_INTERVAL);
    }
  }

  private async reconcile(region: string): Promise<void> {
    const instances = await this.instances(region);
    const state = (id: string) => instances.find(({ InstanceId }) => InstanceId === id)?.State?.Name ?? "terminated";
    const address = (id: string) => instances.find(({ InstanceId }) => InstanceId === id)?.PublicIpAddress;

    const machines = [...this.running.values()].filter((machine) => machine.region === region);
    const down = machines.filter(({ id, publicIp }) => state(id) !== "running" || address(id) !== publicIp);
    await Promise.all(down.map((machine) => this.takeDown(machine, state(machine.id))));
    for (const [id, regionOfDisk] of this.disks) {
      if (regionOfDisk !== region || state(id) !== "terminated") continue;
      this.props.network.wipe(id);
      this.disks.delete(id);
    }
    const up = instances.filter(
      ({ InstanceId, PublicIpAddress, KeyName, State }) =>
        State?.Name === "running" && PublicIpAddress && KeyName && !this.running.has(InstanceId as string),
    );
    await Promise.all(up.map((instance) => this.start(region, instance)));
  }

  private async start(region: string, instance: Instance): Promise<void> {
    const { KeyPairs } = await this.client(region).send(
      new DescribeKeyPairsCommand({ KeyNames: [instance.KeyName as string], IncludePublicKey: true }),
    );
    const authorizedKey = KeyPairs?.[0]?.PublicKey as string;
    const id = instance.InstanceId as string;
    const publicIp = instance.PublicIpAddress as string;
    const privateIp = instance.PrivateIpAddress as string;
    const name = instance.Tags?.find(({ Key }) => Key === "Name")?.Value ?? id;
    this.disks.set(id, region);
    const host = await this.props.network.start({ name: id, addresses: [publicIp, privateIp], authorizedKey });
    this.running.set(id, { id, name, publicIp, privateIp, host, region });
    this.props.log(`${name} (${id}) runs at ${publicIp}`);
  }

  private async takeDown({ id, name, host }: Machine, state: string): Promise<void> {
    await host.stop();
    this.running.delete(id);
    this.props.log(`${name} (${id}) is ${state}`);
  }

  private async instances(region: string): Promise<Instance[]> {
    const { Reservations = [] } = await this.client(region).send(new DescribeInstancesCommand({}));
    return Reservations.flatMap(({ Instances = [] }) => Instances);
  }

  private client(region: string): EC2Client {
    const client = this.clients.get(region) ?? new EC2Client(clientConfiguration(this.props.socket, region));
    this.clients.set(region, client);
    return client;
  }
}
