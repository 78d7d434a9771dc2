import { setTimeout as sleep } from "node:timers/promises";
import { ec2Hostname, internalDomain } from "../model/addressing";
import { updateHostsFile } from "./hosts-file";
import { changeInstance } from "./inventory";
import { LoadBalancers } from "./load-balancers";
import type { Machine, Machines } from "./machine/machine";
import type { Network } from "./network";
import { type CloudState, type Instance, StateReader, type VpcDescription } from "./state";
import { hostName, type Port, resolverAddress, type VpcState } from "./vpc/state";
import { Vpc } from "./vpc/vpc";

/** A running instance, and its machine. */
export interface RunningMachine {
  /** The instance's id. */
  readonly id: string;
  /** The instance's Name tag. */
  readonly name: string;
  /** Empty if it has none. */
  readonly publicIp: string;
  readonly privateIp: string;
  readonly machine: Machine;
}

/** The properties of {@link Reconciler}. */
export interface ReconcilerProps {
  /** The network outside of the VPCs. */
  readonly network: Network;
  /** The emulator's socket file. */
  readonly socket: string;
  readonly machines: Machines;
  /** The file in the format of /etc/hosts that gets the names of the load balancers. */
  readonly hosts: string;
  /** Receives a line for each action and each failure. */
  readonly log: (line: string) => void;
}

/** An instance that exists or has existed, and its machine. */
interface Slot {
  readonly vpc: string;
  /** The instance as the API has it; undefined if it is terminated. */
  wanted?: Instance;
  /** The number of reboots that the machine has made. */
  reboots: number;
  machine?: Machine;
  /** The id of the machine's network interface. */
  port?: string;
  /** The start, the stop or the reboot that is going on. */
  work?: Promise<void>;
}

/**
 * Makes machines, networks and load balancers follow the API. It reads the state of the emulated AWS after each change, and
 * changes what differs. A stopped instance loses its machine and keeps its disk; a terminated one loses both. The instance of
 * a machine that powers itself off is stopped.
 */
export class Reconciler {
  private readonly reader: StateReader;
  private readonly balancers: LoadBalancers;
  private readonly vpcs = new Map<string, Promise<Vpc>>();
  private readonly slots = new Map<string, Slot>();
  private state: CloudState = { version: 0, vpcs: [] };
  private applied = 0;
  private stopping = false;
  /** The number of changes of the targets' health of which the API does not know. */
  private healthChanges = 0;
  private readonly ended: Promise<void>;

  constructor(private readonly props: ReconcilerProps) {
    this.reader = new StateReader(props.socket);
    this.balancers = new LoadBalancers({ log: props.log, onHealth: () => this.followHealth() });
    this.ended = this.follow();
  }

  /** The running machines, sorted by name. */
  get running(): readonly RunningMachine[] {
    return [...this.slots]
      .flatMap(([id, { vpc, machine, wanted }]) => {
        const port = this.interfaceOf(vpc, wanted);
        if (machine === undefined || wanted === undefined || port === undefined) return [];
        return [{ id, name: wanted.name, publicIp: port.publicIp ?? "", privateIp: port.privateIp, machine }];
      })
      .sort((a, b) => a.name.localeCompare(b.name));
  }

  /** Waits until machines and networks match the API's current state. */
  async settled(): Promise<void> {
    const { version } = await this.reader.read();
    while (this.applied < version || [...this.slots.values()].some(({ work }) => work !== undefined)) await sleep(20);
  }

  /** Cuts a machine's power: nobody hears that it is gone. Then starts it again. */
  async restart({ id }: RunningMachine): Promise<void> {
    const slot = this.slots.get(id) as Slot;
    await this.work(id, slot, async () => {
      await this.detach(slot);
      await slot.machine?.powerOff();
      await this.start(id, slot);
    });
  }

  /** Ends everything. */
  async stop(): Promise<void> {
    this.stopping = true;
    this.reader.close();
    await this.ended;
    // Twice: the first ends starts that wait for a boot, the second the machines of starts that began meanwhile.
    await this.props.machines.close();
    await Promise.allSettled([...this.slots.values()].map(({ work }) => work));
    await this.props.machines.close();
    await this.balancers.end([]);
    for (const vpc of this.vpcs.values()) await (await vpc).close();
  }

  private async follow(): Promise<void> {
    while (!this.stopping) {
      try {
        this.state = await this.reader.read(this.state.version);
        await this.reconcile();
        this.applied = this.state.version;
      } catch (error) {
        if (this.stopping) return;
        this.props.log(`cannot follow the API: ${(error as Error).stack}`);
        await sleep(1000);
      }
    }
  }

  private async reconcile(): Promise<void> {
    const { vpcs } = this.state;
    await this.applyNetworks();
    await this.balancers.end(vpcs);
    await Promise.all(vpcs.map(async (each) => this.balancers.follow(await this.vpc(each), each)));
    const instances = new Map(vpcs.flatMap((vpc) => vpc.instances.map((each) => [each.id, { vpc: vpc.id, ...each }])));
    for (const [id, instance] of instances) {
      if (!this.slots.has(id)) this.slots.set(id, { vpc: instance.vpc, reboots: instance.reboots });
    }
    for (const [id, slot] of this.slots) {
      slot.wanted = instances.get(id);
      this.advance(id, slot);
    }
    for (const [id, vpc] of this.vpcs) {
      if (vpcs.some((each) => each.id === id) || [...this.slots.values()].some((slot) => slot.vpc === id)) continue;
      this.vpcs.delete(id);
      await (await vpc).close();
    }
  }

  /** Brings the networks and the names up to date. */
  private async applyNetworks(): Promise<void> {
    const { vpcs } = this.state;
    const names = await this.balancers.names(vpcs);
    await Promise.all(vpcs.map(async (each) => (await this.vpc(each)).apply(networkOf(each, names))));
    updateHostsFile(this.props.hosts, names);
  }

  /** Tells the API the health, one request after the other: a request that overtakes another one would leave an old health. */
  private async followHealth(): Promise<void> {
    this.healthChanges += 1;
    if (this.healthChanges > 1) return;
    while (this.healthChanges > 0 && !this.stopping) {
      const told = this.healthChanges;
      try {
        await this.reader.setHealth(await this.balancers.health());
        await this.applyNetworks();
        this.healthChanges -= told;
      } catch (error) {
        if (!this.stopping) this.props.log(`cannot tell the targets' health: ${(error as Error).message}`);
        await sleep(1000);
      }
    }
  }

  private vpc({ id }: VpcDescription): Promise<Vpc> {
    const { network, log } = this.props;
    const vpc = this.vpcs.get(id) ?? Vpc.open({ outside: network.path, id, log });
    this.vpcs.set(id, vpc);
    return vpc;
  }

  /** Does the next thing that a machine needs, unless something is being done with it. */
  private advance(id: string, slot: Slot): void {
    if (slot.work !== undefined || this.stopping) return;
    const { wanted, machine } = slot;
    const isWanted = wanted?.state === "running";
    if (machine === undefined && isWanted) this.work(id, slot, () => this.start(id, slot));
    else if (machine !== undefined && !isWanted) this.work(id, slot, () => this.takeDown(id, slot));
    else if (machine !== undefined && wanted !== undefined && wanted.reboots > slot.reboots) {
      this.work(id, slot, async () => {
        slot.reboots = wanted.reboots;
        machine.reboot();
      });
    } else if (machine === undefined && wanted === undefined) {
      this.slots.delete(id);
      this.props.machines.wipe(id);
    }
  }

  /** Does something with a machine, and then the next thing that it needs. */
  private work(id: string, slot: Slot, action: () => Promise<void>): Promise<void> {
    slot.work = action()
      .catch((error: Error) => {
        if (!this.stopping) this.props.log(`${slot.wanted?.name ?? id}: ${error.message}`);
        return sleep(1000);
      })
      .then(() => {
        slot.work = undefined;
        this.advance(id, slot);
      });
    return slot.work;
  }

  private async start(id: string, slot: Slot): Promise<void> {
    const description = this.state.vpcs.find((each) => each.id === slot.vpc);
    const port = this.interfaceOf(slot.vpc, slot.wanted);
    const { wanted } = slot;
    if (description === undefined || port === undefined || wanted === undefined) return;
    const vpc = await this.vpc(description);
    const machine = await this.props.machines.start({
      id,
      hostname: ec2Hostname(port.privateIp),
      domain: internalDomain(description.region),
      namespace: await vpc.attach(port.id),
      resolver: resolverAddress(description),
      memoryMiB: wanted.memoryMiB,
      userData: Buffer.from(wanted.userData, "base64").toString(),
      authorizedKeys: [wanted.publicKey],
    });
    slot.machine = machine;
    slot.port = port.id;
    slot.reboots = wanted.reboots;
    this.props.log(`${wanted.name} (${id}) runs at ${port.publicIp ?? port.privateIp}`);
    machine.ended.then(() => {
      slot.machine = undefined;
      if (slot.work === undefined) this.stopInstance(id, description.region);
    });
  }

  private async takeDown(id: string, slot: Slot): Promise<void> {
    const { machine, wanted } = slot;
    this.props.log(`${wanted?.name ?? id} (${id}) is ${wanted?.state ?? "terminated"}`);
    await (wanted === undefined ? machine?.powerOff() : machine?.stop());
    await this.detach(slot);
  }

  /** Takes a machine off the network. The next one with its interface has a network without the changes of its programs. */
  private async detach({ vpc, port }: Slot): Promise<void> {
    if (port !== undefined) await (await this.vpcs.get(vpc))?.detach(port);
  }

  /** Tells the API that a machine has powered itself off. */
  private async stopInstance(id: string, region: string): Promise<void> {
    if (this.stopping) return;
    await changeInstance(this.props.socket, { id, region, change: "stop" }).catch((error: Error) =>
      this.props.log(`${id}: ${error.message}`),
    );
  }

  private interfaceOf(vpc: string, instance: Instance | undefined) {
    const description = this.state.vpcs.find(({ id }) => id === vpc);
    return description?.interfaces.find(({ id }) => id === instance?.interface);
  }
}

/** A VPC's network, as the API describes it. */
function networkOf(vpc: VpcDescription, names: Readonly<Record<string, readonly string[]>>): VpcState {
  const { cidrs, region, dns, subnets, routeTables, securityGroups, interfaces, instances, loadBalancers } = vpc;
  const ofBalancers = loadBalancers.flatMap((balancer) => balancer.interfaces);
  const ports = interfaces.flatMap((each): Port[] => {
    const instance = instances.find((one) => one.interface === each.id);
    if (instance !== undefined) return [{ ...each, metadata: metadataOf(instance, each.privateIp, region) }];
    // A network load balancer without security groups lets everything pass, and sends with its own addresses only.
    return ofBalancers.includes(each.id) ? [{ ...each, sourceDestCheck: true, securityGroups: undefined }] : [];
  });
  return { cidrs, region, dns, subnets, routeTables, securityGroups, ports, names };
}

function metadataOf(instance: Instance, privateIp: string, region: string): Port["metadata"] {
  const { id, type, image, zone, userData, mac, keyName, publicKey, metadata } = instance;
  return {
    instanceId: id,
    hostname: hostName(privateIp, region),
    instanceType: type,
    ami: image,
    zone,
    userData: Buffer.from(userData, "base64").toString(),
    mac,
    keyName,
    publicKey,
    ...metadata,
  };
}
