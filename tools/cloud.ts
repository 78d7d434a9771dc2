/** `npm run cloud`: an emulated AWS with a real ssh host behind each machine, to deploy a cluster in and play with it. */
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
import { installProviders, NoProvidersError } from "../cloud/providers";
import { missing, type Requirement } from "../cloud/requirements";

const PROJECT = join(__dirname, "..");
/** Where a cloud keeps what is its own; another one than the usual is for tests. */
const FOLDER = process.env.CLOUD_FOLDER ?? join(PROJECT, ".cloud");
const LOG = join(FOLDER, "cloud.log");
/** What a cloud that is up says about itself. */
const UP = join(FOLDER, "up.json");
/** What a cloud leaves for the next one: programs that were installed. */
const KEPT = ["python", "providers", "kubernetes"];

/** How long a cloud may take to come up or go down, in milliseconds. */
const PATIENCE = 30_000;

interface Up {
  readonly pid: number;
  readonly socket: string;
  readonly inside: readonly string[];
}

/** Ends the program with one line and status 1. */
class Refusal extends Error {}

const COMMANDS: Record<string, { readonly usage: string; readonly run: (args: string[]) => Promise<number> }> = {
  up: { usage: "up               starts the cloud", run: up },
  status: { usage: "status           says what is in it", run: status },
  deploy: { usage: "deploy           cdktf deploy, in it", run: deploy },
  diff: { usage: "diff             cdktf diff, in it", run: (args) => script("diff", args) },
  ssh: { usage: "ssh NAME ...     logs in to a machine, worker-0 or so, or runs a command there", run: ssh },
  exec: { usage: "exec PROGRAM ... runs terraform, aws or anything else in it, in the stack's folder", run: exec },
  credentials: {
    usage: "credentials ...  npm run credentials, in it, into .cloud/credentials; check --nodes looks at them",
    run: credentials,
  },
  destroy: { usage: "destroy          cdktf destroy, in it", run: (args) => script("destroy", args) },
  down: { usage: "down             ends the cloud, and all that was deployed in it", run: down },
};

/** The commands that stand alone. */
const ALONE = ["up", "status", "down"];

async function main([name = "", ...args]: string[]): Promise<number> {
  if (name === "serve") return serve();
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command !== undefined) {
    if (ALONE.includes(name) && args.length > 0)
      throw new Refusal(`${name} takes no arguments, got: ${args.join(" ")}`);
    return command.run(args);
  }
  const usages = Object.values(COMMANDS).map(({ usage }) => `  npm run cloud -- ${usage}`);
  if (["help", "--help", "-h"].includes(name)) {
    say(usages.join("\n"));
    return 0;
  }
  throw new Refusal([`a command is needed, got: '${name}'`, ...usages].join("\n"));
}

async function up(): Promise<number> {
  need("sshd", "root with network namespaces", "Python 3 with venv", "Terraform 1.11");
  if (await whatIsUp()) throw new Refusal("it is up already: npm run cloud -- status");
  mkdirSync(FOLDER, { recursive: true, mode: 0o700 });
  forget();
  say("Installing the emulator, moto, unless it is there ...");
  installEmulator();
  const log = openSync(LOG, "a", 0o600);
  const server = spawn(process.execPath, [...process.execArgv, __filename, "serve"], {
    cwd: PROJECT,
    detached: true,
    stdio: ["ignore", log, log],
  });
  server.unref();
  await patiently(async () => (await whatIsUp()) !== undefined || server.exitCode !== null);
  if (server.exitCode !== null) throw new Refusal(`it did not come up: ${LOG} says why`);
  say("The cloud is up. Now:");
  say("  npm run cloud -- deploy          the cluster of your settings; about a minute and a half");
  say("  npm run cloud -- ssh worker-0    what it has put there");
  say("  npm run cloud -- status");
  say("  npm run cloud -- destroy         and then: npm run cloud -- down");
  return 0;
}

/** What runs in the background. */
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
  if (existsSync(UP) && !(await whatIsUp())) {
    forget();
    say("The cloud had ended by itself. What it left is removed.");
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
  say(`The cloud is up: its API is ${ENDPOINT_URL} in a network of its own, its log ${LOG}`);
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
    throw new Refusal(`'backend' must be local, with a path in the project's folder, for a cluster in the cloud`);
  }
  say("Installing the providers, unless they are there ...");
  await installProviders(folder.json);
  // With a lock file there, cdktf asks no registry for one.
  const init = [...cloud.inside, ...privately("terraform", "init", "-input=false", "-no-color")];
  const { status, output } = await start(init, { cwd: folder.stackFolder, env: cloudEnvironment() }).ended;
  if (status !== 0) throw new Refusal(`terraform init failed:\n${output}`);
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
    throw new Refusal(`the machine must be one of those that run: ${names || "none"}, got: '${wanted}'`);
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
    throw new Refusal(`there is no key in ${folder.stateFile}: npm run cloud -- deploy, or docs/recovery.md`);
  }
}

async function exec(command: string[]): Promise<number> {
  if (command.length === 0) throw new Refusal("a program is needed: npm run cloud -- exec terraform plan");
  const cwd = isSynthesized() ? theCluster().stackFolder : PROJECT;
  return inside(await theCloud(), privately(...command), cwd);
}

/** Their names are those of the real cluster's, so they go into a folder of their own. */
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
  if (!isSynthesized()) throw new Refusal("nothing is deployed: npm run cloud -- deploy");
  return new ClusterFolder(FOLDER);
}

function isSynthesized(): boolean {
  return existsSync(join(FOLDER, "cdktf.out", "manifest.json"));
}

async function theCloud(): Promise<Up> {
  const cloud = await whatIsUp();
  if (cloud === undefined) throw new Refusal("it is not up: npm run cloud -- up");
  return cloud;
}

/** The cloud that is up, if one is: a file may outlive it, its socket answers only while it lives. */
async function whatIsUp(): Promise<Up | undefined> {
  if (!existsSync(UP)) return undefined;
  const cloud: Up = JSON.parse(readFileSync(UP, "utf8"));
  const answers = await new Promise((resolve) => {
    const socket = connect(cloud.socket, () => resolve(true)).on("error", () => resolve(false));
    socket.unref().end();
  });
  return answers ? cloud : undefined;
}

/** Removes what belongs to a cloud that is gone. */
function forget(): void {
  // A cloud that was killed has not removed its socket.
  if (existsSync(UP)) rmSync(dirname(JSON.parse(readFileSync(UP, "utf8")).socket), { recursive: true, force: true });
  for (const name of readdirSync(FOLDER).filter((name) => !KEPT.includes(name))) {
    rmSync(join(FOLDER, name), { recursive: true });
  }
}

function need(...needed: Requirement[]): void {
  const lacks = missing(needed).map(({ requirement, get }) => `${requirement} is missing: ${get}`);
  if (lacks.length > 0) throw new Refusal(lacks.join("\ncloud: "));
}

function inside(cloud: Up, command: readonly string[], cwd = PROJECT): Promise<number> {
  return run([...cloud.inside, ...command], { cwd, env: cloudEnvironment() });
}

/** Runs a program in the foreground. Its signals are its own: Ctrl-C reaches it, and this ends with it. */
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
    if (Date.now() > deadline) throw new Refusal(`it takes longer than ${PATIENCE / 1000} s: ${LOG}`);
    await sleep(100);
  }
}

function say(line: string): void {
  console.log(line);
}

// Whoever reads may stop reading.
process.stdout.on("error", () => process.exit());

main(process.argv.slice(2)).then(
  (status) => {
    process.exitCode = status;
  },
  (error: Error) => {
    if (!(error instanceof Refusal || error instanceof NoProvidersError)) throw error;
    console.error(`cloud: ${error.message}`);
    process.exitCode = 1;
  },
);
