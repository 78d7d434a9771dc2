/** `npm run cloud`: an emulated AWS with an ssh host for each instance, in which a cluster can be deployed and tried. */
import { type SpawnOptions, spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ClusterFolder, cloudEnvironment, privately, type Script, toItsEnd } from "../cloud/cluster-folder";
import { EmulatedCloud } from "../cloud/emulated-cloud";
import { ENDPOINT_URL, installEmulator } from "../cloud/emulator";
import { takeInventory } from "../cloud/inventory";
import { start } from "../cloud/program";
import { installProviders } from "../cloud/providers";
import { missing, type Requirement } from "../cloud/requirements";
import { UserError } from "../model/user-error";
import { runProgram, unknownWord } from "./program";

const PROJECT = join(__dirname, "..");
/** The folder with the files of a cloud. Tests set another folder. */
const FOLDER = process.env.CLOUD_FOLDER ?? join(PROJECT, ".cloud");
const LOG = join(FOLDER, "cloud.log");
/** The file with the process id and the socket of the running cloud. */
const UP = join(FOLDER, "up.json");
/** Folders of installed programs, which `down` does not delete. */
const KEPT = ["python", "providers", "kubernetes"];

/** The limit for starting or ending a cloud, in milliseconds. */
const PATIENCE = 30_000;

interface Up {
  readonly pid: number;
  readonly socket: string;
  readonly inside: readonly string[];
}

const COMMANDS: Record<string, { readonly usage: string; readonly run: (args: string[]) => Promise<number> }> = {
  up: { usage: "up               starts the cloud", run: up },
  status: { usage: "status           prints the state of the cloud and its machines", run: status },
  deploy: { usage: "deploy           runs cdktf deploy in the cloud", run: deploy },
  diff: { usage: "diff             runs cdktf diff in the cloud", run: (args) => script("diff", args) },
  ssh: { usage: "ssh NAME ...     logs in to a machine, such as worker-0, or runs a command on it", run: ssh },
  exec: {
    usage: "exec PROGRAM ... runs a program, such as terraform or aws, in the cloud and in the stack's folder",
    run: exec,
  },
  credentials: {
    usage: "credentials ...  runs npm run credentials in the cloud, with the folder .cloud/credentials",
    run: credentials,
  },
  destroy: { usage: "destroy          runs cdktf destroy in the cloud", run: (args) => script("destroy", args) },
  down: { usage: "down             ends the cloud and deletes everything in it", run: down },
};

/** The commands without arguments. */
const WITHOUT_ARGUMENTS = ["up", "status", "down"];

const USAGE = [
  "npm run cloud -- COMMAND    an emulated AWS, in which a cluster can be deployed and tried",
  "",
  ...Object.values(COMMANDS).map(({ usage }) => `  npm run cloud -- ${usage}`),
].join("\n");

async function main([name = "", ...args]: string[]): Promise<number> {
  // Started by `up`, in the background.
  if (name === "serve") return serve();
  if (name === "help" || (WITHOUT_ARGUMENTS.includes(name) && args.includes("--help"))) {
    console.log(USAGE);
    return 0;
  }
  if (name === "") throw new UserError(`a command is missing\n${USAGE}`);
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (name.startsWith("-")) throw new UserError(unknownWord("an option", name, ["--help"]));
  if (command === undefined) throw new UserError(unknownWord("a command", name, Object.keys(COMMANDS)));
  if (WITHOUT_ARGUMENTS.includes(name) && args.length > 0) {
    throw new UserError(`${name} takes no arguments, got: ${args.join(" ")}`);
  }
  return command.run(args);
}

async function up(): Promise<number> {
  need("sshd", "root with network namespaces", "Python 3 with venv", "Terraform 1.11");
  if (await runningCloud()) throw new UserError("it is already running: npm run cloud -- status");
  mkdirSync(FOLDER, { recursive: true, mode: 0o700 });
  forget();
  say("Installing the emulator, moto, unless it is installed ...");
  installEmulator();
  const log = openSync(LOG, "a", 0o600);
  const server = spawn(process.execPath, [...process.execArgv, __filename, "serve"], {
    cwd: PROJECT,
    detached: true,
    stdio: ["ignore", log, log],
  });
  server.unref();
  await patiently(async () => (await runningCloud()) !== undefined || server.exitCode !== null);
  if (server.exitCode !== null) throw new UserError(`it did not start, see its log: ${LOG}`);
  say("The cloud is up. Now:");
  say("  npm run cloud -- deploy          the cluster of your settings; takes about a minute and a half");
  say("  npm run cloud -- ssh worker-0    a shell on a machine");
  say("  npm run cloud -- status");
  say("  npm run cloud -- destroy         and then: npm run cloud -- down");
  return 0;
}

/** Runs the cloud, in the background, until a signal ends it. */
async function serve(): Promise<number> {
  const cloud = await EmulatedCloud.open(LOG);
  const { socket, network } = cloud;
  writeFileSync(`${UP}.new`, JSON.stringify({ pid: process.pid, socket, inside: network.inside } satisfies Up));
  renameSync(`${UP}.new`, UP);
  await new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.once(signal, resolve);
  });
  await cloud.close();
  return 0;
}

async function down(): Promise<number> {
  if (existsSync(UP) && !(await runningCloud())) {
    forget();
    say("The cloud was not running. Its files are removed.");
    return 0;
  }
  const { pid } = await theCloud();
  process.kill(pid, "SIGTERM");
  await patiently(() => !existsSync(`/proc/${pid}`));
  forget();
  say("The cloud is down.");
  return 0;
}

async function status(): Promise<number> {
  const cloud = await theCloud();
  say(`The cloud is up. Its API is ${ENDPOINT_URL}, in a separate network; its log is ${LOG}`);
  const machines = await machinesIn(cloud);
  if (machines.length === 0) say("No machines: npm run cloud -- deploy");
  for (const { name, state, privateIp, publicIp } of machines) {
    say([name.padEnd(40), state.padEnd(8), privateIp.padEnd(15), publicIp].join(" ").trimEnd());
  }
  return 0;
}

async function deploy(args: string[]): Promise<number> {
  const cloud = await theCloud();
  const folder = new ClusterFolder(FOLDER);
  const synthesized = await run(folder.script("synth"), { cwd: PROJECT });
  if (synthesized !== 0) return synthesized;
  if (folder.stateFile === undefined) {
    throw new UserError(`'backend' must be local, with a path in the project's folder, for a cluster in the cloud`);
  }
  say("Installing the providers, unless they are installed ...");
  await installProviders(folder.json);
  // If there is a lock file, cdktf does not need a registry.
  const init = [...cloud.inside, ...privately("terraform", "init", "-input=false", "-no-color")];
  const { status, output } = await start(init, { cwd: folder.stackFolder, env: cloudEnvironment() }).ended;
  if (status !== 0) throw new UserError(`terraform init failed:\n${output}`);
  return inside(cloud, toItsEnd(folder.script("deploy", "--skip-synth", ...args)));
}

async function script(name: Script, args: string[]): Promise<number> {
  return inside(await theCloud(), toItsEnd(theCluster().script(name, ...args)));
}

async function ssh([wanted = "", ...command]: string[]): Promise<number> {
  const cloud = await theCloud();
  const folder = theCluster();
  const machines = (await machinesIn(cloud)).filter(({ publicIp }) => publicIp !== "");
  const machine = machines.find(({ name }) => [name, name.replace(`${folder.clusterName}-`, "")].includes(wanted));
  if (machine === undefined) {
    const names = machines.map(({ name }) => name.replace(`${folder.clusterName}-`, "")).join(", ");
    throw new UserError(`the machine must be a running one (${names || "none"}), got: '${wanted}'`);
  }
  const key = join(FOLDER, "id_rsa");
  rmSync(key, { force: true });
  writeFileSync(key, privateKey(folder), { mode: 0o600 });
  const knownHosts = `UserKnownHostsFile=${join(FOLDER, "known_hosts")}`;
  const options = ["-i", key, "-o", knownHosts, "-o", "StrictHostKeyChecking=accept-new", "-o", "LogLevel=ERROR"];
  return inside(cloud, ["ssh", ...options, `ubuntu@${machine.publicIp}`, ...command]);
}

function privateKey(folder: ClusterFolder): string {
  try {
    return folder.output("ssh_private_key");
  } catch {
    throw new UserError(
      `${folder.stateFile} contains no ssh key: run \`npm run cloud -- deploy\`, or see docs/recovery.md`,
    );
  }
}

async function exec(command: string[]): Promise<number> {
  if (command.length === 0) throw new UserError("a program is needed: npm run cloud -- exec terraform plan");
  const cwd = isSynthesized() ? theCluster().stackFolder : PROJECT;
  return inside(await theCloud(), privately(...command), cwd);
}

/** The files have the same names as those of the real cluster, so they are in a separate folder. */
async function credentials(args: string[]): Promise<number> {
  theCluster();
  const options = ["--from", join(FOLDER, "cdktf.out"), "--out", join(FOLDER, "credentials")];
  return inside(await theCloud(), ["npm", "run", "--silent", "credentials", "--", ...options, ...args]);
}

/** The instances of the cluster's region. */
async function machinesIn({ socket }: Up) {
  if (!isSynthesized()) return [];
  const { instances } = await takeInventory(socket, new ClusterFolder(FOLDER).region);
  return instances
    .map(({ InstanceId = "", Tags, State, PrivateIpAddress, PublicIpAddress }) => ({
      name: Tags?.find(({ Key }) => Key === "Name")?.Value ?? InstanceId,
      state: State?.Name ?? "",
      privateIp: PrivateIpAddress ?? "",
      publicIp: PublicIpAddress ?? "",
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The folder of the cluster that was deployed. */
function theCluster(): ClusterFolder {
  if (!isSynthesized()) throw new UserError("nothing is deployed: npm run cloud -- deploy");
  return new ClusterFolder(FOLDER);
}

function isSynthesized(): boolean {
  return existsSync(join(FOLDER, "cdktf.out", "manifest.json"));
}

async function theCloud(): Promise<Up> {
  const cloud = await runningCloud();
  if (cloud === undefined) throw new UserError("it is not up: npm run cloud -- up");
  return cloud;
}

/** The running cloud, if there is one. A killed cloud leaves its file, but only a running cloud answers at its socket. */
async function runningCloud(): Promise<Up | undefined> {
  if (!existsSync(UP)) return undefined;
  const cloud: Up = JSON.parse(readFileSync(UP, "utf8"));
  const answers = await new Promise((resolve) => {
    const socket = connect(cloud.socket, () => resolve(true)).on("error", () => resolve(false));
    socket.unref().end();
  });
  return answers ? cloud : undefined;
}

/** Removes the files of a cloud that has ended. */
function forget(): void {
  // A cloud that was killed has not removed its socket.
  if (existsSync(UP)) rmSync(dirname(JSON.parse(readFileSync(UP, "utf8")).socket), { recursive: true, force: true });
  for (const name of readdirSync(FOLDER).filter((name) => !KEPT.includes(name))) {
    rmSync(join(FOLDER, name), { recursive: true });
  }
}

function need(...needed: Requirement[]): void {
  const lacks = missing(needed).map(({ requirement, get }) => `${requirement} is missing: ${get}`);
  if (lacks.length > 0) throw new UserError(lacks.join("\ncloud: "));
}

function inside(cloud: Up, command: readonly string[], cwd = PROJECT): Promise<number> {
  return run([...cloud.inside, ...command], { cwd, env: cloudEnvironment() });
}

/** Runs a program in the foreground. Ctrl-C ends that program and not this one, which then returns its exit status. */
async function run(command: readonly string[], options: SpawnOptions): Promise<number> {
  const [program, ...args] = command as [string, ...string[]];
  const ignore = () => {};
  process.on("SIGINT", ignore);
  const child = spawn(program, args, { ...options, stdio: "inherit" });
  const status = await new Promise<number>((resolve, reject) => {
    child.on("error", reject).on("exit", (code) => resolve(code ?? 1));
  });
  process.off("SIGINT", ignore);
  return status;
}

async function patiently(happened: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + PATIENCE;
  while (!(await happened())) {
    if (Date.now() > deadline) throw new UserError(`it takes longer than ${PATIENCE / 1000} s, see its log: ${LOG}`);
    await sleep(100);
  }
}

function say(line: string): void {
  console.log(line);
}

runProgram({ name: "cloud", usage: USAGE, main, helpAnywhere: false });
