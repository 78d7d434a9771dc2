import { OPERATIONS } from "../kubernetes/machine";
import { npmRun } from "../model/commands";
import type { NodeFacts } from "../model/identities";
import type { NodeRole } from "../model/names";
import { UserError } from "../model/user-error";
import {
  asRoot,
  controlPlaneStates,
  inWords,
  ofRole,
  PartlyDone,
  type Report,
  type RunningCluster,
  StepError,
  whySilent,
} from "./machines";

/** The setting with the number of machines of each role. */
const COUNTS: Readonly<Record<NodeRole, string>> = { master: "controlPlane.count", worker: "workers.count" };

/**
 * Takes the last machines of a role out of the cluster, so that the count in the settings can be made smaller: drains a worker and
 * deletes its Node, or removes a control plane machine's member of etcd and stops its programs. One machine after the other, the
 * last one first. It can be repeated.
 * @param names - ids, Name tags or host names
 * @throws UserError if other machines, or all control plane machines, are named, or if no control plane machine can do it
 * @throws StepError if a step on a machine fails
 * @throws PartlyDone if it cannot go on after the first machine
 */
export async function remove(cluster: RunningCluster, names: readonly string[], report: Report): Promise<void> {
  const machines = removable(cluster, names);
  for (const [index, machine] of machines.entries()) {
    try {
      await (machine.role === "worker" ? removeWorker : removeControlPlane)(cluster, machine, report);
    } catch (error) {
      if (index === 0 || !(error instanceof UserError) || error instanceof StepError) throw error;
      throw new PartlyDone(error.message);
    }
    report(`${machine.id}: out of the cluster`);
  }
  const [{ role }] = machines as [NodeFacts];
  report(`Now set ${COUNTS[role]} to ${ofRole(cluster, role).length - machines.length}, and run: ${npmRun("deploy")}`);
}

/** The machines with the names, the last one first. @throws UserError if they cannot be removed */
function removable(cluster: RunningCluster, names: readonly string[]): NodeFacts[] {
  const isNamed = ({ id, name, hostname }: NodeFacts) => [id, name, hostname].some((each) => names.includes(each));
  const ends = (["worker", "master"] as const).map((role) => ofRole(cluster, role).slice(-names.length));
  const found = ends.find((machines) => machines.length === names.length && machines.every(isNamed));
  if (found === undefined) {
    const allowed = ends.map((machines) => machines.map(({ id }) => id).join(" ")).join(" or ");
    throw new UserError(
      `'NAME' must be the last machine of a role, or the last ones, because a smaller count takes them away: ${allowed}, got: ${names.join(" ")}`,
    );
  }
  const [{ role }] = found as [NodeFacts];
  if (role === "master" && ofRole(cluster, role).length === found.length) {
    throw new UserError(`${names.join(" ")}: the last control plane machine cannot be removed: ${npmRun("destroy")}`);
  }
  return found.toReversed();
}

async function removeWorker(cluster: RunningCluster, worker: NodeFacts, report: Report): Promise<void> {
  const [silent, states] = await Promise.all([whySilent(cluster, worker), controlPlaneStates(cluster)]);
  const control = states.find(({ isApiReady }) => isApiReady)?.machine;
  if (control === undefined) throw new UserError(`no API server is ready: ${inWords(states)}`);
  const { hostname } = worker;
  // A node may run although its machine cannot be reached. One that is not ready is not drained.
  await asRoot(cluster, control, OPERATIONS.cluster("drain", hostname), { report });
  if (silent === undefined) await asRoot(cluster, worker, OPERATIONS.worker("retire"), { report });
  else report(`${silent.message}: its kubelet is not stopped`);
  await asRoot(cluster, control, OPERATIONS.cluster("forget", hostname), { report });
}

async function removeControlPlane(cluster: RunningCluster, machine: NodeFacts, report: Report): Promise<void> {
  const silent = await whySilent(cluster, machine);
  if (silent === undefined) {
    await asRoot(cluster, machine, OPERATIONS.controlPlane("retire"), { report });
    return;
  }
  report(`${silent.message}: its member of etcd is removed on another machine`);
  const states = await controlPlaneStates(cluster);
  const other = states.find(({ etcd }) => etcd === "quorum")?.machine;
  if (other === undefined) throw new UserError(`the member of ${machine.id} cannot be removed: ${inWords(states)}`);
  await asRoot(cluster, other, OPERATIONS.removeMember(machine.hostname), { report });
}
