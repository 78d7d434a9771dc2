import { describedCluster, nodesOf } from "../credentials/files";
import { overSsh, SshError, type SshOptions } from "../credentials/ssh";
import { deployedNodes, findStack } from "../credentials/stack";
import { OPERATIONS } from "../kubernetes/machine";
import { npmRun } from "../model/commands";
import type { NodeFacts } from "../model/identities";
import type { NodeRole } from "../model/names";
import { UserError } from "../model/user-error";

/** Prints a line for a person. It may contain text from machines. */
export type Report = (line: string) => void;

/** A deployed cluster, and the folder with the key that logs in to its machines. */
export interface RunningCluster {
  readonly name: string;
  /** The credentials folder. */
  readonly folder: string;
  /** The machines of both roles, each role in the order of its indexes. */
  readonly machines: readonly NodeFacts[];
}

/** Options of {@link openCluster}. */
export interface OpenOptions {
  /** The credentials folder. @default - the one with the cluster's name */
  readonly credentials?: string;
  /** The folder that synthesis writes. */
  readonly from: string;
  /** The name of the stack. @default - the only one */
  readonly stack?: string;
  /** Whether the machines are those of the credentials folder, which may be of an earlier deploy. @default false */
  readonly isWithoutState?: boolean;
}

/**
 * Finds a deployed cluster with Kubernetes. The machines and their addresses are those in the state.
 * @throws UserError if there is no such folder, if the cluster was deployed without the setting `kubernetes`, or if the state
 * cannot be read within a minute
 */
export async function openCluster({
  credentials,
  from,
  stack,
  isWithoutState = false,
}: OpenOptions): Promise<RunningCluster> {
  const folder = credentials ?? findStack(from, stack).name;
  const described = describedCluster(folder, "--credentials");
  const { name, kubernetes } = described;
  if (kubernetes !== true) {
    throw new UserError(
      `${name} must have the setting 'kubernetes', got: a cluster without it (if it was added later, run \`${npmRun("credentials")}\`)`,
    );
  }
  const nodes = isWithoutState ? described.nodes : await deployedNodes(from, name, STATE_TIME_LIMIT);
  if (nodes === undefined) {
    throw new UserError(
      `the state of ${name} must be readable here, because it has the machines that exist, got: no outputs from \`terraform output\` in ${from} (--without-state takes the machines of ${folder}/cluster.json, which may be of an earlier deploy)`,
    );
  }
  return { name, folder, machines: nodesOf({ ...described, nodes }).sort((a, b) => indexOf(a) - indexOf(b)) };
}

/** The time limit for the state, in milliseconds. */
const STATE_TIME_LIMIT = 60_000;

function indexOf({ id }: NodeFacts): number {
  return Number(id.slice(id.indexOf("-") + 1));
}

/** The machines of a role, in the order of their indexes. */
export function ofRole({ machines }: RunningCluster, wanted: NodeRole): readonly NodeFacts[] {
  return machines.filter(({ role }) => role === wanted);
}

/** A step on a machine that failed: earlier steps may have changed something. */
export class StepError extends UserError {
  constructor(
    readonly machine: NodeFacts,
    override readonly cause: SshError,
  ) {
    super(onMachine(machine, cause.message));
  }

  /** Whether the machine did not answer, so that it is not known how far the step went. */
  get isSilent(): boolean {
    return this.cause.failure === "silent";
  }
}

/** A command that could not go on after it had changed something. */
export class PartlyDone extends UserError {}

/** A line about a machine. Those of its scripts begin with its id already. */
function onMachine({ id }: NodeFacts, line: string): string {
  return line.startsWith(`${id}: `) ? line : `${id}: ${line}`;
}

/** Options of {@link asRoot}. */
interface StepOptions extends Omit<SshOptions, "onLine" | "onError"> {
  /** Prints each line of the command's output and errors as it comes. @default - the output is returned */
  readonly report?: Report;
  /** Prints each line of the command's errors as it comes. @default - that of `report` */
  readonly reportErrors?: Report;
}

/**
 * Runs a command on a machine as root.
 * @returns its output
 * @throws StepError if the machine does not answer, or if the command fails
 */
export async function asRoot(
  { name, folder }: RunningCluster,
  machine: NodeFacts,
  command: string,
  { report, reportErrors = report, ...options }: StepOptions = {},
): Promise<string> {
  const { publicIp: address } = machine;
  try {
    if (address === "") throw new SshError("silent", "it has no public address; it may be stopped");
    return await overSsh({ folder, cluster: name, address }, `sudo -n ${command}`, {
      ...options,
      onLine: report && ((line) => report(onMachine(machine, line))),
      onError: reportErrors && ((line) => reportErrors(onMachine(machine, line))),
    });
  } catch (error) {
    if (error instanceof SshError) throw new StepError(machine, error);
    throw error;
  }
}

/** The time limit for a question to a machine, in milliseconds. */
const TIME_LIMIT = 30_000;

/**
 * Asks a machine whether it answers.
 * @returns the error if it does not
 * @throws StepError if it answers but the login is refused, or if sudo needs a password
 */
export async function whySilent(cluster: RunningCluster, machine: NodeFacts): Promise<StepError | undefined> {
  try {
    await asRoot(cluster, machine, "true", { timeLimit: TIME_LIMIT });
    return undefined;
  } catch (error) {
    if (error instanceof StepError && error.isSilent) return error;
    throw error;
  }
}

/** The state of a control plane machine. */
export interface ControlPlaneState {
  readonly machine: NodeFacts;
  /** Whether its member of etcd answers, with a quorum or alone. */
  readonly etcd: "quorum" | "alone" | "none";
  /** Whether its API server is ready. */
  readonly isApiReady: boolean;
  /** Its data of etcd: its own, those of a restore that has not ended, or none. */
  readonly data: "own" | "restored" | "none";
  /** Whether a deploy has copied the machine's files. */
  readonly hasFiles: boolean;
  /** The error if the machine could not be asked. */
  readonly error?: StepError;
}

/** The line of `control-plane.sh state`. */
const STATE =
  /^etcd=(?<etcd>quorum|alone|none) api=(?<api>ready|none) data=(?<data>own|restored|none) files=(?<files>complete|none)$/m;

/** The state of a machine that cannot be asked. */
const UNKNOWN = { etcd: "none", isApiReady: false, data: "none", hasFiles: false } as const;

/** Asks all control plane machines for their states, side by side. */
export function controlPlaneStates(cluster: RunningCluster): Promise<ControlPlaneState[]> {
  return Promise.all(
    ofRole(cluster, "master").map(async (machine): Promise<ControlPlaneState> => {
      try {
        const line = await asRoot(cluster, machine, OPERATIONS.controlPlane("state"), { timeLimit: TIME_LIMIT });
        const { groups } = STATE.exec(line) ?? {};
        if (groups === undefined) return { machine, ...UNKNOWN };
        const { etcd, data } = groups as unknown as Pick<ControlPlaneState, "etcd" | "data">;
        return { machine, etcd, data, isApiReady: groups.api === "ready", hasFiles: groups.files === "complete" };
      } catch (error) {
        if (error instanceof StepError) return { machine, ...UNKNOWN, error };
        throw error;
      }
    }),
  );
}

/** The states in words, for a message. */
export function inWords(states: readonly ControlPlaneState[]): string {
  const words = { quorum: "etcd has a quorum", alone: "etcd answers without a quorum", none: "etcd does not answer" };
  return states.map(({ machine, etcd, error }) => error?.message ?? `${machine.id}: ${words[etcd]}`).join("; ");
}
