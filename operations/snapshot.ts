import { randomBytes } from "node:crypto";
import { createWriteStream, existsSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";
import { OPERATIONS } from "../kubernetes/machine";
import type { NodeFacts } from "../model/identities";
import { UserError } from "../model/user-error";
import { checkSum, discard, makeFolder, snapshotFolder, sumOf, timestamp } from "./copies";
import { asRoot, controlPlaneStates, inWords, type Report, type RunningCluster } from "./machines";

/** The description of a snapshot, as etcdutl prints it. */
const STATUS = z.object({ revision: z.number(), totalKey: z.number(), totalSize: z.number() });

/**
 * Writes all data of etcd to a file of mode 0600. They come from the first control plane machine with a quorum. If there is none,
 * they come from the first one whose member still answers: it may lack the last changes.
 * @param file - the path @default - NAME-etcd-DATE.db in the current folder, with the time in UTC
 * @throws UserError if the file exists, if its folder does not exist, or if no member of etcd answers
 * @throws StepError if a step on a machine fails
 */
export async function snapshot(cluster: RunningCluster, file: string | undefined, report: Report): Promise<void> {
  const target = file ?? `${cluster.name}-etcd-${timestamp()}.db`;
  checkNew(target);
  if (statSync(dirname(target), { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new UserError(`'--out' must be a file in a folder that exists, got: ${target}`);
  }
  const states = await controlPlaneStates(cluster);
  const source = states.find(({ etcd }) => etcd === "quorum") ?? states.find(({ etcd }) => etcd === "alone");
  if (source === undefined) throw new UserError(`no member of etcd answers: ${inWords(states)}`);
  const { machine } = source;
  if (source.etcd === "alone") {
    report(`${machine.id}: etcd answers without a quorum; the snapshot may lack the last changes`);
  }
  const folder = snapshotFolder();
  const remote = `${folder}/snapshot.db`;
  await makeFolder(cluster, machine, folder);
  try {
    const status = statusOf(await asRoot(cluster, machine, OPERATIONS.snapshot(remote), { reportErrors: report }));
    if (status === undefined) throw new UserError(`${machine.id}: etcdutl must describe the snapshot in JSON`);
    await fetch(cluster, machine, remote, target);
    const { revision, totalKey, totalSize } = status;
    report(
      `${target}: revision ${revision}, ${totalKey} keys, ${(totalSize / 2 ** 20).toFixed(1)} MiB, from ${machine.id}`,
    );
  } finally {
    await discard(cluster, machine, folder, report);
  }
}

/** @throws UserError if a path exists */
function checkNew(target: string): void {
  if (existsSync(target)) throw new UserError(`'--out' must be a new file, got: ${target}, which exists`);
}

function statusOf(text: string): z.infer<typeof STATUS> | undefined {
  try {
    return STATUS.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** Copies a file from a machine. The target appears when it is complete. @throws UserError if it cannot be written, or has another sum */
async function fetch(cluster: RunningCluster, machine: NodeFacts, remote: string, target: string): Promise<void> {
  const incomplete = `${target}.incomplete-${randomBytes(4).toString("hex")}`;
  try {
    const into = createWriteStream(incomplete, { flags: "wx", mode: 0o600, flush: true });
    await asRoot(cluster, machine, `cat ${remote}`, { into });
    await checkSum(cluster, machine, remote, await sumOf(incomplete));
    checkNew(target);
    renameSync(incomplete, target);
  } finally {
    rmSync(incomplete, { force: true });
  }
}
