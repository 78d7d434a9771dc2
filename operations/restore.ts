import { randomBytes } from "node:crypto";
import { createReadStream, statSync } from "node:fs";
import { initialCluster, OPERATIONS } from "../kubernetes/machine";
import { npmRun } from "../model/commands";
import type { NodeFacts } from "../model/identities";
import { UserError } from "../model/user-error";
import { checkSum, discard, makeFolder, snapshotFolder, sumOf, timestamp } from "./copies";
import { asRoot, controlPlaneStates, inWords, ofRole, type Report, type RunningCluster, StepError } from "./machines";

/** The folder on a machine with unpacked data that are not in use. */
const UNPACKED = "/var/lib/etcd/restored";

/**
 * Puts a snapshot in the place of etcd's data, on all control plane machines, as a new cluster of etcd. Nothing is stopped before
 * the snapshot is unpacked on each machine. If no data could be replaced, the control planes are started again. The earlier
 * data stay on each machine, under another name. It can be repeated.
 * @param replace - also if etcd has a quorum, or if a majority of the machines has data
 * @throws UserError if the file is missing or empty, if a machine does not answer or has no files yet, or without `replace`
 * @throws StepError if a step on a machine fails
 */
export async function restore(cluster: RunningCluster, file: string, replace: boolean, report: Report): Promise<void> {
  const sum = await checkFile(file);
  await checkMachines(cluster, replace);
  const masters = ofRole(cluster, "master");
  const members = initialCluster(masters);
  const folder = snapshotFolder();
  const token = `restored-${timestamp()}-${randomBytes(4).toString("hex")}`;
  const onEach: OnEach = (command) => onAll(masters, (machine) => asRoot(cluster, machine, command, { report }));
  try {
    throwFirst(
      await onAll(masters, async (machine) => {
        const uploaded = await upload(cluster, machine, folder, file, sum);
        // The programs of a new machine are not in use yet.
        await asRoot(cluster, machine, `sh -c 'command -v etcdutl >/dev/null || ${OPERATIONS.link}'`, { report });
        await asRoot(cluster, machine, OPERATIONS.unpack(uploaded, token, members), { report });
      }),
    );
    // The upload may have taken long.
    await checkMachines(cluster, replace);
    await replaceData(onEach, report);
    throwFirst(await onEach(OPERATIONS.controlPlane("start")));
    for (const machine of masters) await asRoot(cluster, machine, OPERATIONS.controlPlane("converge"), { report });
  } finally {
    await Promise.all(masters.map((machine) => discard(cluster, machine, `${folder} ${UNPACKED}`, report)));
  }
  report(`${cluster.name}: restored. Now run: ${npmRun("deploy")}`);
}

/** Checks the local file. @returns its SHA-256 @throws UserError if it is not a file with content */
async function checkFile(file: string): Promise<string> {
  const refused = (problem: string) =>
    new UserError(`'FILE' must be a snapshot of etcd, got: ${file}, which ${problem}`);
  const status = statSync(file, { throwIfNoEntry: false });
  if (status === undefined) throw refused("does not exist");
  if (!status.isFile()) throw refused("is no regular file");
  if (status.size === 0) throw refused("is empty");
  try {
    return await sumOf(file);
  } catch (error) {
    throw refused(`cannot be read: ${(error as Error).message}`);
  }
}

/** @throws UserError if a control plane machine does not answer or has no files, or without `replace` */
async function checkMachines(cluster: RunningCluster, replace: boolean): Promise<void> {
  const states = await controlPlaneStates(cluster);
  const missing = states.filter(({ error }) => error !== undefined);
  if (missing.length > 0) {
    throw new UserError(
      `all control plane machines must answer (\`${npmRun("deploy")}\` replaces those that are gone), got: ${inWords(missing)}`,
    );
  }
  const working = states.filter(({ etcd }) => etcd === "quorum");
  if (working.length > 0 && !replace) {
    throw new UserError(
      `'--replace' is needed while etcd has a quorum, because all changes since the snapshot are lost; ${inWords(working)}`,
    );
  }
  const withData = states.filter(({ data }) => data === "own").map(({ machine }) => machine.id);
  if (withData.length > states.length / 2 && !replace) {
    throw new UserError(
      `'--replace' is needed while most control plane machines have data of etcd, because all changes since the snapshot are lost; got: data on ${withData.join(", ")}: start etcd there (\`systemctl start etcd\`), and look at \`journalctl --unit etcd\``,
    );
  }
  const withoutFiles = states.filter(({ hasFiles }) => !hasFiles).map(({ machine }) => machine.id);
  if (withoutFiles.length === 0) return;
  for (const { machine, hasFiles } of states) if (hasFiles) await asRoot(cluster, machine, OPERATIONS.abandon);
  throw new UserError(
    `all control plane machines must have their files, got: none on ${withoutFiles.join(", ")}. Run \`${npmRun("deploy")}\`, which copies them and ends with an error at etcd; then repeat this command`,
  );
}

/** Copies the file to a machine. @returns its path there */
async function upload(
  cluster: RunningCluster,
  machine: NodeFacts,
  folder: string,
  file: string,
  sum: string,
): Promise<string> {
  const uploaded = `${folder}/restore.db`;
  await makeFolder(cluster, machine, folder);
  await asRoot(cluster, machine, `sh -c 'umask 077; cat >${uploaded}'`, { input: createReadStream(file) });
  await checkSum(cluster, machine, uploaded, sum);
  return uploaded;
}

/**
 * Stops all control planes and replaces their data. If no data were replaced, the control planes are started again.
 * @throws UserError if a machine cannot be stopped, or if its data cannot be replaced
 */
async function replaceData(onEach: OnEach, report: Report): Promise<void> {
  const stopped = await onEach(OPERATIONS.controlPlane("stop"));
  const replaced = stopped.some(isError) ? [] : await onEach(OPERATIONS.replace);
  if (![...stopped, ...replaced].some(isError)) return;
  // On a machine that did not answer, the data may be the new ones.
  if (replaced.every((end) => end instanceof StepError && !end.isSilent)) {
    report("no data were replaced; the control planes are started again");
    await onEach(OPERATIONS.controlPlane("start"));
  } else {
    report("some data were replaced, and no control plane runs: repeat the command");
  }
  throwFirst([...stopped, ...replaced]);
}

/** The ends of a step on machines: errors, or undefined where it succeeded. */
type Ends = readonly (UserError | undefined)[];

/** Runs a command on all control plane machines. */
type OnEach = (command: string) => Promise<Ends>;

/** Runs a step on machines side by side, and waits until all of them have ended. */
function onAll(machines: readonly NodeFacts[], step: (machine: NodeFacts) => Promise<unknown>): Promise<Ends> {
  return Promise.all(
    machines.map(async (machine) => {
      try {
        await step(machine);
      } catch (error) {
        if (error instanceof UserError) return error;
        throw error;
      }
    }),
  );
}

function isError(end: UserError | undefined): boolean {
  return end !== undefined;
}

/** @throws the first error */
function throwFirst(ends: Ends): void {
  const error = ends.find(isError);
  if (error !== undefined) throw error;
}
