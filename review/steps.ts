import { CLUSTER_COMMANDS, machineCommands } from "../kubernetes/machine";
import { type NodeRole, roleOf } from "../model/names";
import { nameOf } from "./arguments";

/** A copy of this project, as its address names it. */
export interface Step {
  readonly kind: StepKind;
  /** The id of the machine, `worker-0`. */
  readonly id: string;
  readonly role: NodeRole;
  /** Whether a resource has the name `name` in the same cluster. */
  readonly isNamed: (resource: string, name: string) => boolean;
}

/** The kinds of copies. All but `pems` belong to the installation of Kubernetes. */
export type StepKind = "programs" | "quorum" | "pems" | "etcd" | "join" | "kubernetes" | "addons" | "check";

/** The name of a copy. In a stack of its own, cdktf adds a prefix and a hash. */
const STEP =
  /^((?:\w+_)?)(?:(pems|programs|quorum|etcd|join|kubernetes)-((?:master|worker)-\d+)|(addons|check))(_[0-9A-F]{8})?$/;

/** The machine on which the steps run that are once in a cluster. */
const FIRST = "master-0";

/** The copy of this project at an address; undefined if it has another name. */
export function stepOf(address: string): Step | undefined {
  const [match, prefix = "", kind, id = FIRST, once, hash] = STEP.exec(nameOf(address)) ?? [];
  const role = roleOf(id);
  if (match === undefined || role === undefined) return undefined;
  const isNamed = (resource: string, name: string) =>
    hash === undefined
      ? resource === name
      : resource.startsWith(prefix) &&
        new RegExp(`(^|_)${name.replace(/-(certificate|private-key)$/, "_$1")}_[0-9A-F]{8}$`).test(resource);
  return { kind: (kind ?? once) as StepKind, id, role, isNamed };
}

const BY_HAND = "a machine on which a person installed Kubernetes, versions that are not the next ones";

/** The check before anything changes on a machine, in words. */
const REFUSALS: Readonly<Record<NodeRole, string>> = {
  master: `refuses ${BY_HAND}, and a change while too few members of etcd answer`,
  worker: `refuses ${BY_HAND}`,
};

/** The start of a machine's programs, in words. */
const STARTS: Readonly<Record<NodeRole, string>> = {
  master: "starts the control plane if it does not run",
  worker: "starts containerd if it does not run, and pulls images",
};

/** The use of changed files and programs, in words. */
const CONVERGES: Readonly<Record<NodeRole, string>> = {
  master:
    "joins etcd's cluster if the machine has no data, restarts each program whose files or version have changed, and waits until it is healthy",
  worker:
    "restarts each program whose files or version have changed, and waits until it is healthy; for another version, the node is drained before",
};

/** The commands of this project on machines, in words. */
const WORDS: ReadonlyMap<string, string> = new Map([
  ...(["master", "worker"] as const).flatMap((role) => {
    const { refuse, agree, fetch, prepare, configure, start, join, converge } = machineCommands(role);
    return [
      [refuse, REFUSALS[role]],
      [agree, "refuses a change while etcd has lost its quorum"],
      [fetch, "downloads programs, and checks their sums"],
      [prepare, "makes the programs' users and folders"],
      [configure, "makes systemd and the kernel read the new files"],
      [start, STARTS[role]],
      ...(role === "worker"
        ? [[join, "starts the node if it has never run, and waits until it is ready"] as const]
        : []),
      [converge, CONVERGES[role]],
    ] as const;
  }),
  [CLUSTER_COMMANDS.addons, "applies the manifests of cluster DNS and of the access to kubelets"],
  [
    CLUSTER_COMMANDS.check,
    "deletes the Nodes of removed workers, and runs a pod on each worker, which must reach a service",
  ],
]);

/** A command of this project in words; another command as it is. */
export function commandInWords(command: string): string {
  return WORDS.get(command) ?? command;
}

/**
 * The commands that are not those of this project. Such a command runs only scripts of this project, whose contents are compared
 * as files.
 */
export function otherCommands(commands: readonly string[]): string[] {
  return commands.filter((command) => !WORDS.has(command));
}
