import type { NodeRole } from "../model/names";
import { type Configuration, once, withoutKeys } from "./arguments";
import { type Action, type Changes, changedLeaves, type ResourceChange } from "./changes";
import { versionChanges } from "./installation";
import { machineIdOf, machinesOf } from "./siblings";
import { type Step, stepOf } from "./steps";

// The effects of a change on a cluster with Kubernetes that runs: its machines come, go and get other versions.

/** The step that starts the programs of a machine, if it is at an address. */
function programsStep(address: string): Step | undefined {
  const step = stepOf(address);
  return step?.kind === "kubernetes" ? step : undefined;
}

/** The changes of machines, by the ids of the machines. */
const machineChanges = once(({ resources }: Changes): ReadonlyMap<string | undefined, ResourceChange> => {
  const machines = resources.filter(({ type, action }) => type === "aws_instance" && action !== "clean-up");
  return new Map(machines.map((change) => [machineIdOf(change.address), change]));
});

/** A machine on which Kubernetes ran before a change. */
interface RunningMachine {
  readonly id: string;
  readonly role: NodeRole;
  /** The Terraform address of the instance if it changes. */
  readonly address?: string;
  /** The action on the instance. */
  readonly action: Action;
}

/**
 * The machines on which Kubernetes ran before a change. A plan has no configuration before: there, a machine has a step that is
 * not created.
 */
const runningMachines = once((changes: Changes): readonly RunningMachine[] => {
  const { resources, before, after = new Map(), isSecondCluster } = changes;
  if (isSecondCluster === true) return [];
  const changed = new Map(resources.map(({ address, action }) => [withoutKeys(address), action]));
  const planned = [...new Set([...after.keys(), ...changed.keys()])].filter((each) => changed.get(each) !== "create");
  return [...(before?.keys() ?? planned)].flatMap((each) => {
    const step = programsStep(each);
    if (step === undefined) return [];
    const { address, action = "none" } = machineChanges(changes).get(step.id) ?? {};
    return [{ id: step.id, role: step.role, address, action }];
  });
});

/** Whether a machine of the control plane remains or is new. */
function hasControlPlane(changes: Changes): boolean {
  return [...machinesOf(changes.after ?? new Map()).values()].some(
    ({ id, role }) => role === "master" && machineChanges(changes).get(id)?.action !== "destroy",
  );
}

/** Machines of a role that a change removes from a cluster that stays. */
export interface Removal {
  readonly role: NodeRole;
  /** The ids of the machines, in the order of the configuration. */
  readonly ids: readonly string[];
  /** The command that takes them out of the cluster before the deploy. The last one leaves first. */
  readonly command: string;
}

/** The machines that a change removes from a cluster that stays: the workers, then the control plane. */
export function removals(changes: Changes): readonly Removal[] {
  if (!hasControlPlane(changes)) return [];
  const gone = runningMachines(changes).filter(({ action }) => action === "destroy");
  return (["worker", "master"] as const).flatMap((role) => {
    const ids = gone.filter((machine) => machine.role === role).map(({ id }) => id);
    return ids.length === 0 ? [] : [{ role, ids, command: `npm run cluster -- remove ${ids.join(" ")}` }];
  });
}

/** Members of etcd that go, or stop, at once. */
export interface LostQuorum {
  /** The Terraform addresses of the machines. */
  readonly addresses: readonly string[];
  /** The number of members before. */
  readonly members: number;
  /** The number of the machines that are only stopped and started, so that they keep their data. */
  readonly stopped: number;
  /** The number of other members that may fail. Negative: the others have no quorum. */
  readonly spare: number;
  /** Whether any of them is replaced. */
  readonly isReplaced: boolean;
  /** The command that takes those out of the cluster before which do not come back. @default - all come back */
  readonly command?: string;
}

/**
 * The members of etcd that a change replaces or destroys, if they are too many at once: several; or a replaced one of an even
 * number or a single one; or more destroyed ones than a minority. With those that it stops and starts, if together they are more
 * than a minority of several. Terraform changes all machines of a plan at the same time.
 */
export const lostQuorum = once((changes: Changes): LostQuorum | undefined => {
  const members = runningMachines(changes).filter(({ role }) => role === "master");
  const gone = members.filter(({ action }) => action === "replace" || action === "destroy");
  const isReplaced = gone.some(({ action }) => action === "replace");
  const minority = Math.ceil(members.length / 2) - 1;
  const isEven = members.length % 2 === 0;
  const isSafe = gone.length === 0 || (gone.length === 1 && minority > 0 && !(isReplaced && isEven));
  const restarted = members.filter(({ action }) => action === "restart");
  const isStopped = restarted.length > 0 && members.length > 1 && gone.length + restarted.length > minority;
  const stopped = isStopped ? restarted : [];
  if (isSafe && !isStopped) return undefined;
  return {
    addresses: [...gone, ...stopped].flatMap(({ address }) => address ?? []),
    members: members.length,
    stopped: stopped.length,
    spare: members.length - gone.length - (Math.floor(members.length / 2) + 1),
    isReplaced,
    command: removals(changes).find(({ role }) => role === "master")?.command,
  };
});

/** The effect of lost members of etcd, and what a person can do before, in sentences. */
export function quorumNotes(changes: Changes): string[] {
  const lost = lostQuorum(changes);
  if (lost === undefined) return [];
  const { addresses, members, stopped, spare, isReplaced, command } = lost;
  const gone = addresses.length - stopped;
  return [
    ...(gone > 0 ? [quorumInWords(members, gone, spare)] : []),
    ...(stopped > 0
      ? [
          `${stopped} of ${members} members stop at the same time, so the API servers do not answer until enough of them run again; they keep their data`,
          `To stop one machine after the other, run \`terraform apply -target=${addresses.at(-1)}\` for each before, and wait until the load balancer has it again`,
        ]
      : []),
    ...(isReplaced && gone > 1 ? ["Replace one machine per deploy"] : []),
    ...(isReplaced && (members === 1 || members % 2 === 0)
      ? ["Add control plane machines in a deploy before: an odd number of at least 3 survives the replacement of one"]
      : []),
    ...(command === undefined
      ? []
      : [`Before the deploy, run \`${command}\`; this page cannot know whether that was done`]),
  ];
}

function quorumInWords(members: number, gone: number, spare: number): string {
  if (gone === members) return `No member is left of ${members}, so all data of etcd are lost`;
  const start = `Without ${gone} of ${members} members, etcd`;
  if (spare < 0) return `${start} has no quorum, and the API servers do not answer`;
  return `${start} has no quorum ${spare === 0 ? "after the next failure" : `after ${spare + 1} more failures`}`;
}

/** Another version of Kubernetes or etcd on a machine that stays. */
export interface Upgrade {
  /** The address of the step that replaces the programs. */
  readonly address: string;
  readonly name: "kubernetes" | "etcd";
  readonly before: string;
  readonly after: string;
  /** Whether the machine's script refuses it: another minor version, or an earlier version. */
  readonly isRefused: boolean;
}

/** The changes of versions that a change makes in the programs of machines that stay, and in the triggers of their steps. */
export const upgrades = once((changes: Changes): readonly Upgrade[] => {
  const versions = versionChanges(changes);
  const found = changes.resources.flatMap((change): Upgrade[] => {
    const step = programsStep(change.address);
    if (step === undefined || change.action !== "replace" || isMade(step.id, changes)) return [];
    const triggers = new Map(changedLeaves(change).map((leaf) => [leaf.path, leaf]));
    return (["kubernetes", "etcd"] as const).flatMap((name) => {
      const isPart = ({ id, program }: (typeof versions)[number]) =>
        id === step.id && program.startsWith(name === "etcd" ? "etcd" : "kube");
      return [...versions.filter(isPart), triggers.get(`triggers.${name}`)].flatMap((each) => {
        const { before, after } = each ?? {};
        if (typeof before !== "string" || typeof after !== "string" || before === after) return [];
        return [{ address: change.address, name, before, after, isRefused: isRefused(before, after) }];
      });
    });
  });
  return [...new Map(found.map((each) => [JSON.stringify(each), each])).values()];
});

/** Whether a machine is created or replaced, so that nothing has run on it. */
function isMade(id: string, changes: Changes): boolean {
  return ["create", "replace"].includes(machineChanges(changes).get(id)?.action ?? "none");
}

/** A version of three numbers. */
const VERSION = /^(\d+\.\d+)\.(\d+)$/;

/** Whether `node.sh` refuses the step from a version to another: it takes only later patches of the same minor version. */
function isRefused(before: string, after: string): boolean {
  const [[, minor, patch] = [], [, otherMinor, otherPatch] = []] = [
    VERSION.exec(before) ?? [],
    VERSION.exec(after) ?? [],
  ];
  return minor === undefined || minor !== otherMinor || Number(otherPatch) < Number(patch);
}

/** A machine that leaves or joins a cluster that runs. */
export interface Movement {
  readonly id: string;
  readonly effect: keyof typeof MOVEMENTS;
}

/** The ways in which a machine leaves and joins: in words, and whether all machines of a role do it at the same time. */
export const MOVEMENTS = {
  drained: { text: "drained before the programs are replaced, and uncordoned afterwards", isAtOnce: false },
  "joins-etcd": { text: "a new member of etcd with an API server", isAtOnce: false },
  "replaces-member": {
    text: "a new member of etcd in the place of the lost one; the other members send it the data",
    isAtOnce: false,
  },
  "joins-nodes": { text: "a new node", isAtOnce: true },
  "replaces-node": {
    text: "a new node in the place of the earlier one, which is not drained: its pods are deleted",
    isAtOnce: true,
  },
} as const satisfies Readonly<Record<string, { readonly text: string; readonly isAtOnce: boolean }>>;

/** The programs of a worker at whose replacement it is drained, as `worker.sh` has them. */
const DRAINED = ["kubelet", "containerd", "runc"];

/** The drains and joins by a change, in the order of the machines. */
export function movements(changes: Changes): readonly Movement[] {
  const running = new Map(runningMachines(changes).map((machine) => [machine.id, machine]));
  if (running.size === 0) return [];
  const versions = versionChanges(changes);
  return changes.resources.flatMap((change): Movement[] => {
    const step = programsStep(change.address);
    if (step === undefined || !["create", "replace"].includes(change.action)) return [];
    const { id, role } = step;
    const isNode = role === "worker";
    const machine = running.get(id);
    if (machine === undefined)
      return isMade(id, changes) ? [{ id, effect: isNode ? "joins-nodes" : "joins-etcd" }] : [];
    if (machine.action === "replace") {
      if (isNode) return [{ id, effect: "replaces-node" }];
      // Without a quorum, no machine can join.
      return (lostQuorum(changes)?.spare ?? 0) < 0 ? [] : [{ id, effect: "replaces-member" }];
    }
    if (!isNode) return [];
    const leaves = new Map(changedLeaves(change).map((leaf) => [leaf.path, leaf]));
    const hasOther = (trigger: string) => {
      const { before, after } = leaves.get(`triggers.${trigger}`) ?? {};
      return typeof before === "string" && before !== after;
    };
    const isReplaced = versions.some(
      (each) => each.id === id && each.before !== undefined && DRAINED.includes(each.program),
    );
    return isReplaced || ["kubernetes", "containerd", "runc"].some(hasOther) ? [{ id, effect: "drained" }] : [];
  });
}

/**
 * The largest number of workers that a configuration changes at one time: those whose steps wait for the same others. 0 without
 * workers.
 */
export const waveSize = once((configuration: Configuration): number => {
  const waves = new Map<string, number>();
  for (const [address, block] of configuration) {
    if (programsStep(address)?.role !== "worker") continue;
    const others = [block.get("depends_on") ?? []].flat().filter((each) => stepOf(String(each))?.kind !== "pems");
    const wave = others.map(String).sort().join();
    waves.set(wave, (waves.get(wave) ?? 0) + 1);
  }
  return Math.max(0, ...waves.values());
});

/** The number of workers that a change reaches at one time, in a sentence; none without workers. */
export function waveNotes({ after = new Map() }: Changes): string[] {
  const size = waveSize(after);
  return size === 0 ? [] : [size === 1 ? "Workers: one at a time" : `Workers: ${size} at a time`];
}
