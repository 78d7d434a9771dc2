import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import type { NodeFacts } from "../model/identities";
import { UserError } from "../model/user-error";
import { asRoot, type Report, type RunningCluster, StepError } from "./machines";

/** The folder on a machine in which each command has a folder for its snapshots while it runs. */
const SNAPSHOTS = "/var/lib/kubernetes/state/snapshots";

/** The path of a command's folder for snapshots on machines. */
export function snapshotFolder(): string {
  return `${SNAPSHOTS}/${timestamp()}-${randomBytes(4).toString("hex")}`;
}

/** Makes a folder for snapshots, which only root can enter, and deletes those of commands that were interrupted a day ago. */
export async function makeFolder(cluster: RunningCluster, machine: NodeFacts, folder: string): Promise<void> {
  const deleteOld = `find ${SNAPSHOTS} -mindepth 1 -maxdepth 1 -mmin +1440 -exec rm -rf {} +`;
  await asRoot(cluster, machine, `sh -c 'install -d -m 0700 ${SNAPSHOTS} ${folder} && ${deleteOld}'`);
}

/** Deletes paths on a machine. A failure is only reported. */
export async function discard(
  cluster: RunningCluster,
  machine: NodeFacts,
  paths: string,
  report: Report,
): Promise<void> {
  try {
    await asRoot(cluster, machine, `rm -rf ${paths}`);
  } catch (error) {
    if (!(error instanceof StepError)) throw error;
    report(`${error.message}: ${paths} may be left there`);
  }
}

/** The SHA-256 of a file. */
export async function sumOf(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(file)) hash.update(piece);
  return hash.digest("hex");
}

/** Compares a file on a machine with a SHA-256. @throws UserError if it has another one */
export async function checkSum(cluster: RunningCluster, machine: NodeFacts, path: string, sum: string): Promise<void> {
  const [got] = (await asRoot(cluster, machine, `sha256sum ${path}`)).split(" ");
  if (got !== sum) throw new UserError(`${machine.id}: the copy of the snapshot is not complete`);
}

/** The time in UTC as a part of names: `20261128T203000Z`. */
export function timestamp(): string {
  return new Date().toISOString().replace(/[-:]|\.\d+/g, "");
}
