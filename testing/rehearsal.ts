import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual, stripVTControlCharacters } from "node:util";
import { ClusterFolder, cloudEnvironment, privately, toItsEnd } from "../cloud/cluster-folder";
import { EmulatedCloud } from "../cloud/emulated-cloud";
import type { Machine } from "../cloud/instance-hosts";
import { type Inventory, takeInventory } from "../cloud/inventory";
import { type Ended, type Running, start } from "../cloud/program";
import { installProviders } from "../cloud/providers";
import type { FileStatus } from "../cloud/ssh-hosts";
import { TUTORIAL_NAME } from "./tutorial";

const PROJECT = join(__dirname, "..");

/** The region of the clusters that are rehearsed: the default. */
export const REGION = "eu-central-1";

/** A machine at one moment. */
interface MachineMoment {
  /** Which machine it is, and since when it runs: its instance's id and its public address. */
  readonly run: string;
  /** How often somebody has logged in in this run. */
  readonly sessions: number;
  /** The files in its home. */
  readonly files: Record<string, FileStatus>;
}

/** What an action changed, each list sorted. */
export interface Changes {
  /** The addresses of the resources that Terraform says to have made, changed or destroyed. */
  readonly resources: string[];
  /** The machines that somebody has logged in to. */
  readonly visited: string[];
  /** The machines that are new, or in whose home a file was written, moved or removed. */
  readonly rewritten: string[];
}

/** A cluster that is deployed and changed in a cloud of its own, as a person does it. */
export class Rehearsal {
  private constructor(
    /** Where it is deployed. */
    readonly cloud: EmulatedCloud,
    /** The cluster's folder. */
    readonly folder: ClusterFolder,
  ) {}

  /** All that any program has written in it. */
  readonly said: string[] = [];

  /** Opens a cloud, and prepares a cluster in a folder. */
  static async begin(settings: object = {}): Promise<Rehearsal> {
    const folder = new ClusterFolder(mkdtempSync(join(tmpdir(), "rehearsal-")));
    const cloud = await EmulatedCloud.open(join(folder.path, "cloud.log"));
    const rehearsal = new Rehearsal(cloud, folder);
    mkdirSync(rehearsal.temporaryFolder);
    await rehearsal.configure(settings);
    await installProviders(folder.json);
    await rehearsal.terraform("init", "-no-color");
    return rehearsal;
  }

  /** Synthesizes the cluster with settings. */
  async configure(settings: object): Promise<void> {
    writeFileSync(this.settingsFile, JSON.stringify(settings));
    await this.succeed(this.folder.script("synth"), PROJECT);
  }

  /** Runs one of the project's scripts to its end, in the cloud. */
  npm(...args: Parameters<ClusterFolder["script"]>): Promise<string> {
    return this.succeed(toItsEnd(this.folder.script(...args)), PROJECT);
  }

  /** Runs a program where Terraform runs, and keeps what it writes, which may be secret, out of {@link said}. */
  async quietly(...command: readonly string[]): Promise<string> {
    const before = this.said.length;
    const output = await this.here(...command);
    this.said.splice(before);
    return output;
  }

  /** Starts one of the project's scripts, in the cloud. */
  startNpm(...args: Parameters<ClusterFolder["script"]>): Running {
    return this.start(this.folder.script(...args), PROJECT);
  }

  /** Runs Terraform to its end, in the cloud. */
  terraform(...args: readonly string[]): Promise<string> {
    return this.here("terraform", ...args);
  }

  /** Runs a program to its end, in the cloud, in the folder where Terraform runs. */
  here(...command: readonly string[]): Promise<string> {
    return this.succeed(privately(...command), this.folder.stackFolder);
  }

  /** Applies, and asks nothing. */
  apply(...args: readonly string[]): Promise<string> {
    return this.terraform("apply", "-auto-approve", "-no-color", ...args);
  }

  /** Runs one of the programs in tools/ to its end, in the cloud. */
  tool(name: string, ...args: readonly string[]): Promise<Ended> {
    return this.start([join(PROJECT, "tools", name), ...args], PROJECT).ended;
  }

  /** Starts Terraform itself, which signals then reach, in the cloud. */
  startTerraform(...args: readonly string[]): Running {
    return this.start(privately("terraform", ...args), this.folder.stackFolder);
  }

  /** Starts a program in the cloud. */
  start(command: readonly string[], cwd: string): Running {
    const env = {
      ...cloudEnvironment(),
      CI: "true",
      CLUSTER_SETTINGS: this.settingsFile,
      AWS_DEFAULT_REGION: REGION,
      TMPDIR: this.temporaryFolder,
    };
    const onOutput = (text: string) => this.said.push(text);
    return start([...this.cloud.network.inside, ...command], { cwd, env, onOutput });
  }

  /** The machine behind `master-0`, `worker-0` and so on. */
  machine(id: string): Machine {
    const machine = this.cloud.instanceHosts.machines.find(({ name }) => name === `${TUTORIAL_NAME}-${id}`);
    if (machine === undefined) throw new Error(`${id} does not run`);
    return machine;
  }

  /** All that AWS has. */
  inventory(): Promise<Inventory> {
    return takeInventory(this.cloud.socket, REGION);
  }

  /**
   * What an action changes.
   * @param action - gives back what Terraform wrote
   */
  async changesOf(action: () => Promise<string>): Promise<Changes> {
    const before = await this.machinesNow();
    const output = await action();
    const after = await this.machinesNow();
    const machines = Object.entries(after).map(([id, machine]) => {
      const old = before[id];
      const visitsBefore = old?.run === machine.run ? old.sessions : 0;
      return { id, visited: machine.sessions > visitsBefore, rewritten: !isDeepStrictEqual(old?.files, machine.files) };
    });
    const actions = stripVTControlCharacters(output).matchAll(/(\S+): (?:Creating|Modifying|Destroying)\.\.\./g);
    return {
      resources: [...new Set([...actions].map(([, address]) => address as string))].sort(),
      visited: machines.flatMap(({ id, visited }) => (visited ? [id] : [])),
      rewritten: machines.flatMap(({ id, rewritten }) => (rewritten ? [id] : [])),
    };
  }

  /** The machines that run, by their ids in Terraform. */
  private async machinesNow(): Promise<Record<string, MachineMoment>> {
    await this.cloud.instanceHosts.settled();
    return Object.fromEntries(
      this.cloud.instanceHosts.machines.map(({ name, id, publicIp, host }) => [
        name.slice(TUTORIAL_NAME.length + 1),
        { run: `${id} at ${publicIp}`, sessions: host.sessions, files: host.files() },
      ]),
    );
  }

  /** Ends it all, and removes the folder. */
  async end(): Promise<void> {
    await this.cloud.close();
    rmSync(this.folder.path, { recursive: true, force: true });
  }

  private async succeed(command: readonly string[], cwd: string): Promise<string> {
    const { status, output } = await this.start(command, cwd).ended;
    if (status !== 0) throw new Error(`${command.join(" ")}: status ${status}\n${output}`);
    return output;
  }

  /** Where programs put their temporary files. */
  get temporaryFolder(): string {
    return join(this.folder.path, "tmp");
  }

  private get settingsFile(): string {
    return join(this.folder.path, "settings.json");
  }
}
