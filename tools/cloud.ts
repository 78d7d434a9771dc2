/** `npm run cloud`: an emulated AWS with a machine for each instance, in which a cluster can be deployed and tried. */
import { spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { delimiter, dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ClusterFolder, cloudEnvironment, privately, type Script, toItsEnd } from "../cloud/cluster-folder";
import { readMachines, serveMachines } from "../cloud/control";
import { EmulatedCloud } from "../cloud/emulated-cloud";
import { ENDPOINT_URL, installEmulator } from "../cloud/emulator";
import { changeInstance, type InstanceChange, takeInventory } from "../cloud/inventory";
import { Machines } from "../cloud/machine/machine";
import { installRoot } from "../cloud/machine/root";
import { download } from "../cloud/mirror/download";
import { mirrorProblems } from "../cloud/mirror/release-files";
import { start } from "../cloud/program";
import { installProviders } from "../cloud/providers";
import { MACHINES, missing, type Requirement } from "../cloud/requirements";
import { OUTSIDE_ADDRESS } from "../cloud/vpc/addresses";
import { SSH_PORT } from "../model/ports";
import { UserError } from "../model/user-error";
import { foreground, ignoringHangup, parseOptions, runProgram, unknownWord } from "./program";

const PROJECT = join(__dirname, "..");
/** The folder with the files of a cloud. Tests set another folder. */
const FOLDER = process.env.CLOUD_FOLDER ?? join(PROJECT, ".cloud");
const LOG = join(FOLDER, "cloud.log");
/** The file with the process id and the socket of the running cloud. */
const UP = join(FOLDER, "up.json");
/** The folder of the deployed clusters: their synthesized files and their states. */
const CLUSTERS = join(FOLDER, "clusters");
/** The folder of the machines' disks. */
const DISKS = join(FOLDER, "disks");
/** The folder for `credentials`. */
const CREDENTIALS = join(FOLDER, "credentials");
/** The key and the known hosts of `ssh`. */
const SSH_KEY = join(FOLDER, "id_rsa");
const KNOWN_HOSTS = join(FOLDER, "known_hosts");

/** Everything that a cloud writes and `down` deletes. Other files in the folder are the user's, or installed programs. */
const CLOUD_FILES = [UP, LOG, CLUSTERS, CREDENTIALS, SSH_KEY, KNOWN_HOSTS, `${KNOWN_HOSTS}.old`];

/** The limit for starting or ending a cloud, in milliseconds. */
const TIME_LIMIT = 90_000;

interface Up {
  readonly pid: number;
  readonly socket: string;
  /** The command prefix that starts a program in the cloud. */
  readonly inside: readonly string[];
  /** The socket at which the cloud's program answers questions about machines. */
  readonly control: string;
  /** The folder with the files that machines download. @default - none */
  readonly mirror?: string;
}

const COMMANDS: Record<string, { readonly usage: string; readonly run: (args: string[]) => Promise<number> }> = {
  up: { usage: "up [--mirror DIR] starts the cloud; machines download the files in DIR", run: up },
  download: { usage: "download DIR URL ... downloads files into a folder for up --mirror", run: downloadFiles },
  status: { usage: "status           prints the state of the cloud and its machines", run: status },
  deploy: { usage: "deploy           runs npm run deploy in the cloud", run: deploy },
  diff: { usage: "diff             runs npm run diff in the cloud", run: (args) => runScript("diff", args) },
  ssh: { usage: "ssh NAME ...     logs in to a machine, such as worker-0, or runs a command on it", run: ssh },
  exec: {
    usage: "exec PROGRAM ... runs a program, such as terraform or aws, in the cloud and in the stack's folder",
    run: exec,
  },
  credentials: {
    usage: "credentials ...  runs npm run credentials in the cloud, with the folder .cloud/credentials",
    run: credentials,
  },
  cluster: {
    usage: "cluster ...      runs npm run cluster in the cloud; files are relative to the project's folder",
    run: cluster,
  },
  kubectl: {
    usage: "kubectl ...      runs kubectl in the cloud, as the administrator of the deployed cluster",
    run: kubectl,
  },
  conformance: {
    usage: "conformance ...  runs npm run conformance in the cloud, on the deployed cluster",
    run: conformance,
  },
  stop: {
    usage: "stop NAME        stops a machine, as a person does in AWS's console",
    run: (args) => inConsole("stop", args),
  },
  start: { usage: "start NAME       starts a stopped machine", run: (args) => inConsole("start", args) },
  reboot: { usage: "reboot NAME      reboots a machine", run: (args) => inConsole("reboot", args) },
  terminate: {
    usage: "terminate NAME   terminates a machine, with its disk",
    run: (args) => inConsole("terminate", args),
  },
  logs: { usage: "logs NAME ...    prints a machine's journal; options are journalctl's", run: logs },
  destroy: { usage: "destroy          runs npm run destroy in the cloud", run: (args) => runScript("destroy", args) },
  down: { usage: "down             ends the cloud and deletes everything in it", run: down },
};

/** The commands without arguments. */
const WITHOUT_ARGUMENTS = ["status", "down"];

const USAGE = [
  "npm run cloud -- COMMAND    an emulated AWS, in which a cluster can be deployed and tried",
  "",
  ...Object.values(COMMANDS).map(({ usage }) => `  npm run cloud -- ${usage}`),
].join("\n");

async function main([name = "", ...args]: string[]): Promise<number> {
  // Started by `up`, in the background.
  if (name === "serve") return serve(args[0]);
  if (name === "help" || (["up", ...WITHOUT_ARGUMENTS].includes(name) && args.includes("--help"))) {
    console.log(USAGE);
    return 0;
  }
  if (name === "") throw new UserError("a command is missing", ...USAGE.split("\n"));
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (name.startsWith("-")) throw new UserError(unknownWord("an option", name, ["--help"]));
  if (command === undefined) throw new UserError(unknownWord("a command", name, Object.keys(COMMANDS)));
  if (WITHOUT_ARGUMENTS.includes(name) && args.length > 0) {
    throw new UserError(`${name} takes no arguments, got: ${args.join(" ")}`);
  }
  return command.run(args);
}

async function up(args: string[]): Promise<number> {
  const { mirror } = parseOptions(args, { mirror: { type: "string" } }).values;
  if (mirror !== undefined && !statSync(mirror, { throwIfNoEntry: false })?.isDirectory()) {
    throw new UserError(`'--mirror' must be a folder with HOST/PATH for each file, got: ${mirror}`);
  }
  // Without root, the checks of mounts and control groups fail too, and their remedies would not help.
  checkRequirements("root with network namespaces");
  checkRequirements(...MACHINES, "Python 3 with venv", "Terraform 1.11");
  mkdirSync(FOLDER, { recursive: true, mode: 0o700 });
  lockFolder();
  if (await findCloud()) throw new UserError("it is already running: npm run cloud -- status");
  removeCloudFiles();
  console.log("Installing the emulator, moto, unless it is installed ...");
  installEmulator();
  await installRoot(console.log);
  const log = openSync(LOG, "a", 0o600);
  const server = spawn(
    process.execPath,
    [...process.execArgv, __filename, "serve", ...(mirror === undefined ? [] : [resolve(mirror)])],
    {
      cwd: PROJECT,
      detached: true,
      stdio: ["ignore", log, log],
    },
  );
  server.unref();
  try {
    await waitUntil(async () => (await findCloud()) !== undefined || server.exitCode !== null);
  } catch (error) {
    server.kill();
    throw error;
  }
  if (server.exitCode !== null) throw new UserError(`it did not start, see its log: ${LOG}`);
  console.log(`The cloud is up. Now:
  npm run cloud -- deploy          the cluster of your settings; takes about a minute and a half
  npm run cloud -- ssh worker-0    a shell on a machine
  npm run cloud -- status
  npm run cloud -- destroy         and then: npm run cloud -- down`);
  return 0;
}

/** Fills a folder for the mirror. It needs the internet, and neither root nor a cloud. */
async function downloadFiles([folder, ...addresses]: string[]): Promise<number> {
  if (folder === undefined || addresses.length === 0) {
    throw new UserError("a folder and addresses are needed: npm run cloud -- download DIR https://HOST/PATH ...");
  }
  for (const address of addresses) console.log(await download(folder, address));
  return 0;
}

/**
 * Locks the folder until the end of this process, so that only one cloud starts or ends in it at a time.
 * @throws UserError if another process has locked it
 */
function lockFolder(): void {
  const folder = openSync(FOLDER, "r");
  // The lock belongs to the open folder. It outlives the program that takes it, and nothing of it stays on the disk.
  const { status } = spawnSync("flock", ["--exclusive", "--nonblock", "3"], {
    stdio: ["ignore", "ignore", "ignore", folder],
  });
  if (status !== 0) throw new UserError("another `up` or `down` is running: wait for its end");
}

/** Runs the cloud, in the background, until a signal ends it. */
async function serve(mirror?: string): Promise<number> {
  const cloud = await EmulatedCloud.open({ log: LOG, disks: DISKS, mirror });
  const { socket, network } = cloud;
  const control = join(dirname(socket), "control.sock");
  await serveMachines(control, () => cloud.machines.running);
  const up: Up = { pid: process.pid, socket, inside: network.inside, control, mirror };
  writeFileSync(`${UP}.new`, JSON.stringify(up));
  renameSync(`${UP}.new`, UP);
  const signalled = new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.once(signal, resolve);
  });
  await Promise.race([signalled, cloud.apiEnded.then(() => console.error("the API has ended, so the cloud ends"))]);
  await cloud.close();
  return 0;
}

async function down(): Promise<number> {
  if (readUp() === undefined) {
    console.log("The cloud is not up.");
    return 0;
  }
  lockFolder();
  const cloud = await findCloud();
  if (cloud !== undefined) {
    process.kill(cloud.pid, "SIGTERM");
    await waitUntil(() => !existsSync(`/proc/${cloud.pid}`));
  }
  removeCloudFiles();
  console.log(cloud === undefined ? "The cloud was not running. Its files are removed." : "The cloud is down.");
  return 0;
}

async function status(): Promise<number> {
  const cloud = await runningCloud();
  console.log(`The cloud is up. Its API is ${ENDPOINT_URL}, in a separate network; its log is ${LOG}`);
  const [inventories, running] = await Promise.all([inventoriesOf(cloud), readMachines(cloud.control)]);
  const machines = machinesIn(inventories);
  if (machines.length === 0) console.log("No machines: npm run cloud -- deploy");
  const lines = machines.map(async ({ id, name, state, privateIp, publicIp }) => {
    const memory = running.find((each) => each.id === id)?.memory;
    const used = memory && `${mebibytes(memory.used)} of ${mebibytes(memory.limit)} MiB`;
    const ssh = publicIp === "" ? "" : (await answers(cloud, publicIp, SSH_PORT)) ? "ssh" : "no ssh";
    const columns = [name.padEnd(40), state.padEnd(8), privateIp.padEnd(15), publicIp.padEnd(15), ssh.padEnd(6), used];
    return columns.join(" ").trimEnd();
  });
  for (const line of await Promise.all(lines)) console.log(line);
  for (const { target, health } of targetsIn(inventories)) console.log(`${target.padEnd(40)} ${health}`);
  return 0;
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 2 ** 20);
}

/** Whether a program listens at an address of the cloud, and the security groups let the internet connect to it. */
async function answers({ inside }: Up, address: string, port: number): Promise<boolean> {
  const connect = ["timeout", "2", "bash", "-c", `exec 3<>/dev/tcp/${address}/${port}`];
  return (await start([...inside, ...connect]).ended).status === 0;
}

/** Changes a machine through the API. */
async function inConsole(change: InstanceChange["change"], args: readonly string[]): Promise<number> {
  const cloud = await runningCloud();
  const { id, region, name, state } = await machineNamed(cloud, args);
  if (change === "reboot" && state !== "running") {
    throw new UserError(`${name} is ${state}: npm run cloud -- start ${args[0]}`);
  }
  await changeInstance(cloud.socket, { id, region, change });
  console.log(`${name}: ${change} was called; npm run cloud -- status`);
  return 0;
}

/** Prints a machine's journal. */
async function logs([wanted = "", ...options]: string[]): Promise<number> {
  const cloud = await runningCloud();
  const { id, name } = await machineNamed(cloud, [wanted]);
  const machine = (await readMachines(cloud.control)).find((each) => each.id === id);
  if (machine === undefined) throw new UserError(`${name} does not run: npm run cloud -- start ${wanted}`);
  return foreground([...machine.command, "journalctl", "--no-pager", ...options], { cwd: PROJECT });
}

async function deploy(args: string[]): Promise<number> {
  const status = await runScript("deploy", args);
  if (status === 0) {
    console.log("The addresses above exist only in the emulated cloud. Log in with: npm run cloud -- ssh worker-0");
    if (deployedCluster().hasKubernetes) console.log("Use Kubernetes with: npm run cloud -- kubectl get nodes");
  }
  return status;
}

/**
 * Synthesizes the cluster, and runs a script of the project on it in the cloud. Terraform in it outlives Ctrl-C, SIGTERM and
 * a closed terminal.
 */
async function runScript(name: Script, args: readonly string[]): Promise<number> {
  const cloud = await runningCloud();
  if (name !== "deploy") deployedCluster();
  const folder = new ClusterFolder(CLUSTERS);
  const synthesized = await foreground(folder.script("synth"), { cwd: PROJECT });
  if (synthesized !== 0) return synthesized;
  if (folder.stateFile === undefined) {
    throw new UserError(`'backend' must be local, with a path in the project's folder, for a cluster in the cloud`);
  }
  if (name === "deploy") checkMirror(cloud, folder);
  console.log("Installing the providers, unless they are installed ...");
  await installProviders(folder.json);
  // The hangup would end unshare, and everything in the cloud that unshare started.
  const command = ignoringHangup([...cloud.inside, ...toItsEnd(folder.script(name, "--skip-synth", ...args))]);
  return foreground(command, { cwd: PROJECT, env: cloudEnvironment() }, ["SIGINT", "SIGTERM", "SIGHUP"]);
}

/** @throws UserError if the machines would download files from hosts that the cloud does not have, or files that they refuse */
function checkMirror({ mirror }: Up, folder: ClusterFolder): void {
  if (!folder.hasKubernetes) return;
  const how = "docs/rehearsal.md#a-cluster-with-kubernetes";
  if (mirror === undefined) {
    throw new UserError(
      `a cluster with 'kubernetes' needs a cloud with a mirror: npm run cloud -- down, and then up --mirror DIR (${how})`,
    );
  }
  const [address, json] = [`http://${OUTSIDE_ADDRESS}`, JSON.stringify(folder.json)];
  if (!json.includes(`${address}/`)) {
    throw new UserError(`'kubernetes.downloads' must be the cloud's mirror, ${address}, got: another address (${how})`);
  }
  const problems = mirrorProblems(mirror, address, json);
  if (problems.length === 0) return;
  throw new UserError(...problems, `${how} has the steps; files of your own build need 'kubernetes.checksums'`);
}

async function ssh([wanted = "", ...command]: string[]): Promise<number> {
  const cloud = await runningCloud();
  const machine = await machineNamed(cloud, [wanted], ({ publicIp }) => publicIp !== "");
  const { states } = deployedCluster();
  const key = states.find(({ machines }) => machines.includes(machine.name))?.sshKey;
  if (key === undefined) {
    throw new UserError(
      `no state in ${CLUSTERS} contains the ssh key of ${machine.name}: run \`npm run cloud -- deploy\`, or see docs/recovery.md`,
    );
  }
  rmSync(SSH_KEY, { force: true });
  writeFileSync(SSH_KEY, key, { mode: 0o600 });
  // The internet gateway drops what no rule allows.
  const timeout = ["-o", "ConnectTimeout=10"];
  const knownHosts = ["-o", `UserKnownHostsFile=${KNOWN_HOSTS}`, "-o", "StrictHostKeyChecking=accept-new"];
  const options = ["-i", SSH_KEY, ...timeout, ...knownHosts, "-o", "LogLevel=ERROR"];
  return inside(cloud, ["ssh", ...options, `ubuntu@${machine.publicIp}`, ...command]);
}

async function exec(command: string[]): Promise<number> {
  if (command.length === 0) throw new UserError("a program is needed: npm run cloud -- exec terraform plan");
  const cloud = await runningCloud();
  if (!isSynthesized()) return inside(cloud, privately(...command));
  const { stackFolder, region } = deployedCluster();
  return inside(cloud, privately(...command), { cwd: stackFolder, region });
}

/** The files have the same names as those of the real cluster, so they are in a separate folder. */
async function credentials(args: string[]): Promise<number> {
  return foreground([...credentialsCommand(await runningCloud()), ...args], { cwd: PROJECT, env: cloudEnvironment() });
}

/** The command that writes the credentials of the deployed cluster. @throws UserError if there is none */
function credentialsCommand({ inside }: Up): string[] {
  deployedCluster();
  const options = ["--from", join(CLUSTERS, "cdktf.out"), "--out", CREDENTIALS];
  return [...inside, "npm", "run", "--silent", "credentials", "--", ...options];
}

/** Writes the credentials. Each time before they are used, because another cluster may have been deployed since. */
async function writeCredentials(cloud: Up): Promise<void> {
  const { status, output } = await start(credentialsCommand(cloud), { cwd: PROJECT, env: cloudEnvironment() }).ended;
  if (status !== 0) throw new UserError("the credentials cannot be read:", ...output.trim().split("\n"));
}

async function cluster(args: string[]): Promise<number> {
  const cloud = await runningCloud();
  await writeCredentials(cloud);
  const options = ["--from", join(CLUSTERS, "cdktf.out"), "--credentials", CREDENTIALS];
  return inside(cloud, ["npm", "run", "--silent", "cluster", "--", ...args, ...options]);
}

/**
 * Runs kubectl in the cloud with the administrator's kubeconfig. Programs with this name in the PATH come first, then those of
 * the mirror.
 */
async function kubectl(args: string[]): Promise<number> {
  const cloud = await runningCloud();
  const kubeconfig = await administratorsKubeconfig(cloud);
  const program = kubectlOf(cloud);
  if (program === undefined) {
    throw new UserError(
      "kubectl is missing: install it from https://kubernetes.io/docs/tasks/tools/, or run npm run cloud -- ssh master-0 sudo kubectl --kubeconfig /var/lib/kubernetes/admin.kubeconfig --server https://127.0.0.1:6443 ...",
    );
  }
  // With the option before the command, kubectl takes a misspelled command for a plugin's.
  return inside(cloud, ["env", `KUBECONFIG=${kubeconfig}`, program, ...args], { cwd: process.env.INIT_CWD });
}

/** Writes the credentials of a cluster with Kubernetes. @returns the path of the administrator's kubeconfig */
async function administratorsKubeconfig(cloud: Up): Promise<string> {
  const { clusterName, hasKubernetes } = deployedCluster();
  if (!hasKubernetes)
    throw new UserError(`${clusterName} must have the setting 'kubernetes', got: a cluster without it`);
  await writeCredentials(cloud);
  return join(CREDENTIALS, "kubeconfigs", "admin.kubeconfig");
}

/** Runs Kubernetes' conformance tests on the deployed cluster. Programs and images are those of the mirror, if there is one. */
async function conformance(args: string[]): Promise<number> {
  const cloud = await runningCloud();
  const options = ["--kubeconfig", await administratorsKubeconfig(cloud)];
  if (cloud.mirror !== undefined) {
    options.push("--programs", join(cloud.mirror, "conformance"), "--registry", `http://${OUTSIDE_ADDRESS}`);
  }
  return inside(cloud, ["npm", "run", "--silent", "conformance", "--", ...options, ...args]);
}

/** The path of kubectl, or its name if it is in the PATH; undefined if there is none. */
function kubectlOf({ mirror }: Up): string | undefined {
  const inPath = (process.env.PATH ?? "").split(delimiter).some((folder) => existsSync(join(folder, "kubectl")));
  if (inPath) return "kubectl";
  const releases = mirror === undefined ? "" : join(mirror, "dl.k8s.io");
  const versions = existsSync(releases) ? readdirSync(releases).sort().reverse() : [];
  return versions
    .map((version) => join(releases, version, "bin", "linux", "amd64", "kubectl"))
    .find((path) => existsSync(path));
}

/**
 * The machine with a name: the whole name, or the name within the cluster that was synthesized last.
 * @throws UserError if there is none, or if the arguments are not one name
 */
async function machineNamed(
  cloud: Up,
  [wanted = "", ...more]: readonly string[],
  isAllowed?: (machine: CloudMachine) => boolean,
): Promise<CloudMachine> {
  const { clusterName } = deployedCluster();
  if (more.length > 0) throw new UserError(`one machine is needed, got also: ${more.join(" ")}`);
  const all = machinesIn(await inventoriesOf(cloud));
  if (all.length === 0) throw new UserError("there are no machines: npm run cloud -- deploy");
  const machines = all.filter(isAllowed ?? (() => true));
  const shortName = (name: string) => name.replace(`${clusterName}-`, "");
  const machine = machines.find(({ name }) => [name, shortName(name)].includes(wanted));
  if (machine !== undefined) return machine;
  const names = machines.map(({ name }) => shortName(name)).join(", ");
  const allowed = isAllowed ? "a running one" : "one of the cloud's";
  throw new UserError(`the machine must be ${allowed} (${names || "none"}), got: '${wanted}'`);
}

type CloudMachine = ReturnType<typeof machinesIn>[number];

/** The resources in each region of the deployed clusters. */
async function inventoriesOf({ socket }: Up) {
  if (!isSynthesized()) return [];
  const { region, states } = deployedCluster();
  const regions = [...new Set([region, ...states.flatMap((state) => state.regions)])];
  return Promise.all(regions.map(async (each) => ({ region: each, ...(await takeInventory(socket, each)) })));
}

type Inventories = Awaited<ReturnType<typeof inventoriesOf>>;

/** The instances, sorted by name. */
function machinesIn(inventories: Inventories) {
  return inventories
    .flatMap(({ region, instances }) =>
      instances.map(({ InstanceId = "", Tags, State, PrivateIpAddress, PublicIpAddress }) => ({
        id: InstanceId,
        region,
        name: Tags?.find(({ Key }) => Key === "Name")?.Value ?? InstanceId,
        state: State?.Name ?? "",
        privateIp: PrivateIpAddress ?? "",
        publicIp: PublicIpAddress ?? "",
      })),
    )
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The targets of load balancers. */
function targetsIn(inventories: Inventories): { readonly target: string; readonly health: string }[] {
  return inventories.flatMap(({ targetGroups }) =>
    targetGroups.flatMap(({ TargetGroupName, health }) =>
      Object.entries(health).map(([target, state]) => ({ target: `${TargetGroupName} ${target}`, health: state })),
    ),
  );
}

/** The folder of the cluster that was synthesized last. @throws UserError if there is none */
function deployedCluster(): ClusterFolder {
  if (!isSynthesized()) throw new UserError("nothing is deployed: npm run cloud -- deploy");
  return new ClusterFolder(CLUSTERS);
}

function isSynthesized(): boolean {
  return existsSync(join(CLUSTERS, "cdktf.out", "manifest.json"));
}

const NOT_UP = "it is not up: npm run cloud -- up";
const NOT_YOURS = 'the cloud is another user\'s: run this as root, sudo env "PATH=$PATH" npm run cloud -- ...';

/** The running cloud. @throws UserError if there is none */
async function runningCloud(): Promise<Up> {
  const cloud = await findCloud();
  if (cloud === undefined) throw new UserError(NOT_UP);
  return cloud;
}

/**
 * The running cloud, if there is one. A killed cloud leaves its file, but only a running cloud answers at its socket.
 * @throws UserError if it is another user's
 */
async function findCloud(): Promise<Up | undefined> {
  const cloud = readUp();
  if (cloud === undefined) return undefined;
  const answers = await new Promise((resolve, reject) => {
    const failed = ({ code }: NodeJS.ErrnoException) =>
      code === "EACCES" ? reject(new UserError(NOT_YOURS)) : resolve(false);
    const socket = connect(cloud.socket, () => resolve(true)).on("error", failed);
    socket.unref().end();
  });
  return answers ? cloud : undefined;
}

/** The content of {@link UP}; undefined if there is none. @throws UserError if it is another user's */
function readUp(): Up | undefined {
  try {
    return JSON.parse(readFileSync(UP, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EACCES") throw new UserError(NOT_YOURS);
    return undefined;
  }
}

/** Removes the files of a cloud that has ended. */
function removeCloudFiles(): void {
  // A cloud that was killed has not removed its socket.
  const socket = readUp()?.socket;
  if (socket !== undefined) rmSync(dirname(socket), { recursive: true, force: true });
  Machines.clean(DISKS);
  for (const path of CLOUD_FILES) rmSync(path, { recursive: true, force: true });
}

/** Checks that this machine meets requirements. @throws UserError with a line for each that it does not meet */
function checkRequirements(...needed: Requirement[]): void {
  const lacks = missing(needed).map(({ requirement, get }) => `${requirement} is missing: ${get}`);
  const [first, ...more] = lacks;
  if (first !== undefined) throw new UserError(first, ...more.map((line) => `cloud: ${line}`));
}

/** Runs a program in the cloud and in the foreground. @param where.region - the region of the AWS CLI @default - none */
function inside(
  cloud: Up,
  command: readonly string[],
  { cwd = PROJECT, region }: { readonly cwd?: string; readonly region?: string } = {},
): Promise<number> {
  return foreground([...cloud.inside, ...command], { cwd, env: cloudEnvironment(region) });
}

async function waitUntil(happened: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + TIME_LIMIT;
  while (!(await happened())) {
    if (Date.now() > deadline) throw new UserError(`it takes longer than ${TIME_LIMIT / 1000} s, see its log: ${LOG}`);
    await sleep(100);
  }
}

runProgram({ name: "cloud", usage: USAGE, main, helpAnywhere: false });
