import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { NODE_HOME as HOME, type NodeFile, nodeFiles } from "../model/layout";
import { NODE_USER } from "../model/names";
import { type CheckOptions, contentChecks, type Finding, modeFaults, type Read, readerOf } from "./check";
import { type DescribedCluster, ENCRYPTION_CONFIG, kubeconfigPath, nodesOf, pairPaths, sshKeyPath } from "./files";

/** The path in a folder of credentials of a machine's file. */
function pathOf({ source }: NodeFile): string {
  if (source.kind === "encryption-config") return ENCRYPTION_CONFIG;
  if (source.kind === "kubeconfig") return kubeconfigPath(source.identity);
  return pairPaths(source.identity)[source.kind === "certificate" ? 0 : 1];
}

/** A file that was found on a machine; those in use come before those at home. */
interface Found {
  /** Its path in a folder of credentials. */
  readonly path: string;
  /** Where it lies. */
  readonly place: string;
  readonly mode: number;
  readonly owner: string;
  /** Undefined where it cannot be read. */
  readonly text?: string;
}

/**
 * Looks over ssh at what the machines have of a cluster's files, at home and where part 2 puts them: whether a control
 * plane would take it, whether it is what the folder has, and who may read it. Logs in with the folder's key; a
 * machine's host key is taken on first sight and remembered in `ssh/known_hosts`.
 */
export async function checkNodes(folder: string, cluster: DescribedCluster, options: CheckOptions): Promise<Finding[]> {
  const machines = await Promise.all(Object.keys(cluster.nodes).map((name) => visit({ folder, cluster, name })));
  return machines.flatMap((machine) => {
    const { name, files, found } = machine;
    if (typeof found === "string") return [{ path: name, faults: [`cannot be looked at: ${found}`] }];
    const surroundings = { found, ours: readerOf(folder), cluster };
    const peers = machines.filter(({ role }) => role === machine.role);
    const isMissing = ({ setting, places }: NodeFile, index: number) =>
      !has(machine, index) &&
      // What has no place is for a person, who may want it on one machine alone.
      (setting === undefined || (places.length > 0 && peers.some((peer) => has(peer, index))));
    return [
      ...files.filter(isMissing).map(({ fileName, places, setting }) => {
        const fault = `is missing, there and where part 2 puts it (${places.join(", ")})`;
        const peersHaveIt = setting !== undefined ? "; other machines have theirs: docs/part-2.md" : "";
        return { path: `${name}:${HOME}/${fileName}`, faults: [`${fault}${peersHaveIt}`] };
      }),
      ...found.map((file): Finding => {
        const { faults, daysLeft } = checkFile(file, surroundings, options);
        return { path: `${name}:${file.place}`, ...(daysLeft !== undefined && { daysLeft }), faults };
      }),
    ];
  });
}

/** A machine, and the folder that it is held against. */
interface Target {
  readonly folder: string;
  readonly cluster: DescribedCluster;
  /** The machine's Name tag. */
  readonly name: string;
}

/** A machine that was looked at. */
interface Visited {
  readonly name: string;
  readonly role?: string;
  /** The files that it may have; those of a role are in the same order on all its machines. */
  readonly files: readonly NodeFile[];
  /** Those that it has, or why it cannot be looked at. */
  readonly found: readonly Found[] | string;
}

async function visit(target: Target): Promise<Visited> {
  const { cluster, name } = target;
  const role = nodesOf(cluster).find((node) => node.name === name)?.role;
  const files = role === undefined ? [] : nodeFiles({ role, name });
  const isStopped = cluster.nodes[name]?.public_ip === "";
  const found = isStopped
    ? "it has no public address, as a machine that is stopped"
    : await look(target, files).catch((error: Error) => error.message);
  return { name, role, files, found };
}

/** Whether a machine has the file of an index. */
function has({ files, found }: Visited, index: number): boolean {
  return typeof found !== "string" && found.some(({ path }) => path === pathOf(files[index] as NodeFile));
}

/** What a file of a machine is held against. */
interface Surroundings {
  /** Everything that was found on the machine. */
  readonly found: readonly Found[];
  /** Gives what the folder has. */
  readonly ours: Read;
  readonly cluster: DescribedCluster;
}

function checkFile(
  { path, place, text, mode, owner }: Found,
  { found, ours, cluster }: Surroundings,
  options: CheckOptions,
): Pick<Finding, "daysLeft" | "faults"> {
  const isAtHome = place.startsWith(HOME);
  const isCertificate = path.endsWith(".pem") && !path.endsWith("-key.pem");
  const owners = isAtHome ? [NODE_USER] : [NODE_USER, "root"];
  const access = [
    ...modeFaults(mode, isCertificate ? 0o644 : 0o600),
    ...(owners.includes(owner) ? [] : [`must belong to ${owners.join(" or ")}, got: ${owner}`]),
  ];
  if (text === undefined) return { faults: [...access, `cannot be read as ${NODE_USER}, and sudo asks`] };

  // A pair belongs together where it lies, and its authority is the one in use. Kubeconfigs hold what the folder has.
  const nearby: Read = (other) =>
    (
      found.find((file) => file.path === other && folderOf(file.place) === folderOf(place)) ??
      found.find((file) => file.path === other)
    )?.text ?? ours(other);
  const isKubeconfig = path.startsWith("kubeconfigs/");
  const { faults = [], ...rest } =
    contentChecks(cluster, isKubeconfig ? ours : nearby, options).get(path)?.(text) ?? {};
  const wanted = ours(path);
  // A kubeconfig may say the same in other words.
  if (wanted === undefined || text === wanted || (isKubeconfig && faults.length === 0)) {
    return { ...rest, faults: [...access, ...faults] };
  }
  const isNewAtHome = found.some((file) => file.path === path && file.place.startsWith(HOME) && file.text === wanted);
  return { ...rest, faults: [...access, ...faults, differenceOf(path, isNewAtHome)] };
}

/** What is said of a file that is another than the folder's. */
function differenceOf(path: string, isNewAtHome: boolean): string {
  // What was encrypted with a key is lost without it.
  if (path === ENCRYPTION_CONFIG)
    return "is not the folder's: keep it, and see docs/certificates.md, Another key for secrets";
  if (!isNewAtHome && path.startsWith("kubeconfigs/")) {
    return "is not the folder's: bring that to the machine, or run `npm run credentials` anew (docs/part-2.md)";
  }
  return isNewAtHome
    ? `is not the folder's, which lies in ${HOME}: put that in its place, and restart what reads it`
    : "is not the folder's: apply again, or run `npm run credentials` anew";
}

function folderOf(place: string): string {
  return place.slice(0, place.lastIndexOf("/"));
}

/** Finds files on a machine. @throws Error where it cannot log in, in one line */
async function look({ folder, cluster, name }: Target, files: readonly NodeFile[]): Promise<Found[]> {
  const address = cluster.nodes[name]?.public_ip as string;
  const wanted = files.flatMap((file) =>
    [...file.places, `${HOME}/${file.fileName}`].map((place) => ({ path: pathOf(file), place })),
  );
  // Part 2 copies keys as root.
  const shell = "if sudo -n true 2>/dev/null; then exec sudo -n sh -s; else exec sh -s; fi";
  const script = `for file in ${wanted.map(({ place }) => place).join(" ")}; do
  [ -f "$file" ] && echo "$(stat -L -c '%a %U' "$file") $file $(base64 -w0 "$file" && echo =)"
done 2>/dev/null; true`;
  const running = promisify(execFile)("ssh", [...sshOptions(folder, cluster.name), `${NODE_USER}@${address}`, shell]);
  running.child.stdin?.on("error", () => {}).end(script);
  let listed: string;
  try {
    listed = (await running).stdout;
  } catch (error) {
    const said = (error as { stderr?: string }).stderr?.trim().split("\n").at(-1);
    const hint = /host key verification failed/i.test(said ?? "")
      ? ` (of a machine that was replaced: ssh-keygen -R ${address} -f '${join(folder, "ssh/known_hosts")}')`
      : "";
    throw new Error(`${address}: ${said || (error as Error).message}${hint}`);
  }
  return listed.split("\n").flatMap((line) => {
    const [mode, owner, place, base64] = line.split(" ");
    const path = wanted.find((each) => each.place === place)?.path;
    if (path === undefined) return [];
    return {
      path,
      place: place as string,
      mode: Number.parseInt(mode as string, 8),
      owner: owner as string,
      // An equals sign more than base64 has says that it was read to its end.
      ...(base64 && { text: Buffer.from(base64.slice(0, -1), "base64").toString() }),
    };
  });
}

function sshOptions(folder: string, cluster: string): string[] {
  // In what is a list of files, and takes %h and its like, to ssh.
  const quoted = (path: string) => `"${join(folder, path).replaceAll("%", "%%")}"`;
  return [
    ...["-o", `IdentityFile=${quoted(sshKeyPath(cluster))}`],
    ...["-o", `UserKnownHostsFile=${quoted("ssh/known_hosts")}`],
    ...["-o", "StrictHostKeyChecking=accept-new", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"],
    ...["-o", "IdentityAgent=none", "-o", "ConnectTimeout=10", "-o", "LogLevel=ERROR"],
    // A machine that hangs is given up.
    ...["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"],
  ];
}
