import { npmRun } from "../model/commands";
import { NODE_HOME as HOME } from "../model/layout";
import { NODE_USER } from "../model/names";
import { type CheckOptions, contentChecks, type Finding, modeProblems, type Read, readerOf, wrongMode } from "./check";
import { type DescribedCluster, ENCRYPTION_CONFIG, nodesOf } from "./files";
import { type MachineFile, machineFiles, type Place } from "./machine-files";
import { overSsh } from "./ssh";

/** A file on a machine. In lists, files in part 2's places come before those in the home folder. */
interface FoundFile {
  readonly file: MachineFile;
  readonly wanted: Place;
  readonly mode: number;
  readonly owner: string;
  /** Undefined if the file cannot be read. */
  readonly text?: string;
}

/** The time limit for the login to a machine and reading its files, in milliseconds. */
const TIME_LIMIT = 30_000;

/** The maximum size of all that a machine prints, in MiB. The files of a control plane machine have a tenth of it. */
const OUTPUT_LIMIT = 4;

/** Options of {@link checkNodes}. */
export interface NodeCheckOptions extends CheckOptions {
  /**
   * Returns the machines' addresses in the state, for a hint after a failed login; undefined if they are not known.
   * @default - no hint
   */
  readonly deployedNodes?: () => Promise<DescribedCluster["nodes"] | undefined>;
}

/**
 * Checks a cluster's files on its machines over ssh: in the home folders and where part 2 puts them, or where the apply puts
 * them if it installs Kubernetes. It checks whether a control plane accepts them, whether they are equal to the folder's files,
 * and who can read them. Logs in with the folder's ssh key. A
 * machine's host key is accepted at the first login and stored in `ssh/known_hosts`. A machine that does not answer in 30
 * seconds, or prints more than 4 MiB, is reported.
 * @returns the findings on each machine as soon as they are known; at the end those that depend on several machines
 */
export async function* checkNodes(
  folder: string,
  cluster: DescribedCluster,
  options: NodeCheckOptions,
): AsyncGenerator<readonly Finding[]> {
  const machines: Inspected[] = [];
  const running = new Map(
    Object.keys(cluster.nodes).map((name) => [name, inspect({ folder, cluster, name }, options.deployedNodes)]),
  );
  while (running.size > 0) {
    const machine = await Promise.race(running.values());
    running.delete(machine.name);
    machines.push(machine);
    yield findingsOn(machine, readerOf(folder), cluster, options);
  }
  yield machines.flatMap((machine) => lackingOf(machine, machines));
}

/** The findings that depend on one machine. */
function findingsOn(machine: Inspected, readFolder: Read, cluster: DescribedCluster, options: CheckOptions): Finding[] {
  const { name, files, found } = machine;
  if (typeof found === "string") return [{ path: name, problems: [`cannot be checked: ${found}`] }];
  return [
    ...files
      .filter((file, index) => file.needed === "always" && !has(machine, index))
      .map((file) => missingFile(name, file)),
    ...found.map((file): Finding => {
      const { problems, daysLeft } = checkFile(file, { found, readFolder, cluster }, options);
      return { path: `${name}:${file.wanted.place}`, ...(daysLeft !== undefined && { daysLeft }), problems };
    }),
  ];
}

/** The files that a machine lacks although others of its role have them, because a setting or a person copied them there. */
function lackingOf(machine: Inspected, machines: readonly Inspected[]): Finding[] {
  if (typeof machine.found === "string") return [];
  const peers = machines.filter(({ role }) => role === machine.role);
  return machine.files
    .filter(
      ({ needed }, index) => needed === "like-peers" && !has(machine, index) && peers.some((peer) => has(peer, index)),
    )
    .map((file) => missingFile(machine.name, file));
}

function missingFile(name: string, { missing: { place, problem } }: MachineFile): Finding {
  return { path: `${name}:${place}`, problems: [problem] };
}

/** A machine, and the folder that its files are compared with. */
interface Target {
  readonly folder: string;
  readonly cluster: DescribedCluster;
  /** The machine's Name tag. */
  readonly name: string;
}

/** The result of logging in to a machine. */
interface Inspected {
  readonly name: string;
  readonly role?: string;
  /** The files that it may have. All machines of a role have the same order. */
  readonly files: readonly MachineFile[];
  /** The files that it has, or the reason why it cannot be checked. */
  readonly found: readonly FoundFile[] | string;
}

async function inspect(target: Target, deployedNodes: NodeCheckOptions["deployedNodes"]): Promise<Inspected> {
  const { cluster, name } = target;
  const node = nodesOf(cluster).find((each) => each.name === name);
  const files = node === undefined ? [] : machineFiles(cluster, node);
  const role = node?.role;
  const isStopped = cluster.nodes[name]?.public_ip === "";
  const found = isStopped
    ? "it has no public address; it may be stopped"
    : await findFiles(target, files).catch((error: Error) => error.message);
  if (typeof found !== "string") return { name, role, files, found };
  return { name, role, files, found: `${found}${addressHint(target, await deployedNodes?.())}` };
}

/** A hint for a machine that cannot be reached, if the state has another address for it; else nothing. */
function addressHint({ cluster, name }: Target, deployed: DescribedCluster["nodes"] | undefined): string {
  if (deployed === undefined) return "";
  const address = deployed[name]?.public_ip;
  if (address === cluster.nodes[name]?.public_ip) return "";
  const inState = address === undefined ? "which has no such machine" : `which has ${address || "none"}`;
  return `; the address is not the state's, ${inState}: run \`${npmRun("credentials")}\``;
}

/** Whether a machine has the file at an index of its list. */
function has({ files, found }: Inspected, index: number): boolean {
  return typeof found !== "string" && found.some(({ file }) => file === files[index]);
}

/** The data that a machine's file is compared with. */
interface CheckContext {
  /** All files that were found on the machine. */
  readonly found: readonly FoundFile[];
  /** Reads the credentials folder. */
  readonly readFolder: Read;
  readonly cluster: DescribedCluster;
}

function checkFile(
  { file: { path, different }, wanted, text, mode, owner }: FoundFile,
  { found, readFolder, cluster }: CheckContext,
  options: CheckOptions,
): Pick<Finding, "daysLeft" | "problems"> {
  const { place, owners } = wanted;
  const access = [
    ...(wanted.isExact && mode !== wanted.mode ? [wrongMode(wanted.mode, mode)] : modeProblems(mode, wanted.mode)),
    ...(owners.includes(owner) ? [] : [`must belong to ${owners.join(" or ")}, got: ${owner}`]),
  ];
  if (text === undefined) return { problems: [...access, `cannot be read by ${NODE_USER}, and sudo needs a password`] };

  // A certificate must match the key in the same folder, and the CA in use on the machine. A kubeconfig must match the
  // credentials folder.
  const readMachine: Read = (other) =>
    (
      found.find(({ file, wanted }) => file.path === other && folderOf(wanted.place) === folderOf(place)) ??
      found.find(({ file }) => file.path === other)
    )?.text ?? readFolder(other);
  const isKubeconfig = path.startsWith("kubeconfigs/");
  const { problems = [], ...rest } =
    contentChecks(cluster, isKubeconfig ? readFolder : readMachine, options).get(path)?.(text) ?? {};
  const right = readFolder(path);
  // A kubeconfig may have the same content in another format.
  if (right === undefined || text === right || (isKubeconfig && problems.length === 0)) {
    return { ...rest, problems: [...access, ...problems] };
  }
  const isRightFileAtHome =
    path !== ENCRYPTION_CONFIG &&
    found.some((each) => each.file.path === path && each.wanted.place.startsWith(HOME) && each.text === right);
  const difference = isRightFileAtHome
    ? `differs from the credentials folder; the right file is in ${HOME}: move it here and restart the programs that read it`
    : different;
  return { ...rest, problems: [...access, ...problems, difference] };
}

function folderOf(place: string): string {
  return place.slice(0, place.lastIndexOf("/"));
}

/** Finds files on a machine. @throws Error with a message of one line if the login fails */
async function findFiles({ folder, cluster, name }: Target, files: readonly MachineFile[]): Promise<FoundFile[]> {
  const address = cluster.nodes[name]?.public_ip as string;
  const all = files.flatMap((file) => file.places.map((wanted) => ({ file, wanted })));
  // Root owns the keys that part 2 copies.
  const shell = "if sudo -n true 2>/dev/null; then exec sudo -n sh -s; else exec sh -s; fi";
  const script = `for file in ${all.map(({ wanted }) => wanted.place).join(" ")}; do
  [ -f "$file" ] && echo "$(stat -L -c '%a %U' "$file") $file $(base64 -w0 "$file" && echo =)"
done 2>/dev/null; true`;
  const login = { folder, cluster: cluster.name, address };
  let listed: string;
  try {
    listed = await overSsh(login, shell, { input: script, timeLimit: TIME_LIMIT, outputLimit: OUTPUT_LIMIT });
  } catch (error) {
    throw new Error(`${address}: ${(error as Error).message}`);
  }
  return listed.split("\n").flatMap((line) => {
    const [mode, owner, place, base64] = line.split(" ");
    const known = all.find(({ wanted }) => wanted.place === place);
    if (known === undefined) return [];
    return {
      ...known,
      mode: Number.parseInt(mode as string, 8),
      owner: owner as string,
      // The script adds an equals sign after the base64 text: it shows that the file was read to its end.
      ...(base64 && { text: Buffer.from(base64.slice(0, -1), "base64").toString() }),
    };
  });
}
