import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual, stripVTControlCharacters } from "node:util";
import { ClusterFolder, cloudEnvironment, privately, toItsEnd } from "../cloud/cluster-folder";
import { EmulatedCloud } from "../cloud/emulated-cloud";
import { type Inventory, takeInventory } from "../cloud/inventory";
import { type Ended, type Running, start } from "../cloud/program";
import { installProviders } from "../cloud/providers";
import type { RunningMachine } from "../cloud/reconciler";
import { terraformProgram } from "../model/terraform";
import type { FileStatus } from "./host";
import { MachineHost } from "./machine-host";
import { TUTORIAL_NAME } from "./tutorial";

const PROJECT = join(__dirname, "..");

/** The region of the rehearsed clusters. It is the default of the settings. */
export const REGION = "eu-central-1";

/** The state of a machine at one time. */
interface MachineSnapshot {
  /** The instance's id and its public address. A new machine or a restarted one has another value. */
  readonly run: string;
  /** The number of logins in this run. */
  readonly sessions: number;
  /** The files in its home. */
  readonly files: Record<string, FileStatus>;
}

/** The changes of an action. Each list is sorted. */
export interface Changes {
  /** The addresses of the resources that Terraform reports as created, changed or destroyed. */
  readonly resources: string[];
  /** The machines with new logins. */
  readonly visited: string[];
  /** The new machines, and those with a written, moved or deleted file in the home folder. */
  readonly rewritten: string[];
}

/** A cluster that a test deploys and changes in a separate emulated cloud, with the commands that a person uses. */
export class Rehearsal {
  private constructor(
    /** The cloud of the cluster. */
    readonly cloud: EmulatedCloud,
    /** The cluster's folder. */
    readonly folder: ClusterFolder,
  ) {}

  /** The output of every started program. */
  readonly printed: string[] = [];

  /**
   * Opens a cloud, and synthesizes and initializes a cluster in a new folder.
   * @param options.mirror - the folder with the files that machines download @default - none
   */
  static async begin(settings: object = {}, { mirror }: { readonly mirror?: string } = {}): Promise<Rehearsal> {
    const folder = new ClusterFolder(mkdtempSync(join(tmpdir(), "rehearsal-")));
    const cloud = await EmulatedCloud.open({ log: join(folder.path, "cloud.log"), mirror });
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

  /** Runs cdktf's CLI on the synthesized files to its end, in the cloud. */
  cdktf(...args: readonly string[]): Promise<string> {
    const command = ["npx", "cdktf", ...args, "--skip-synth", "--output", this.folder.outputFolder];
    return this.succeed(toItsEnd(privately(...command)), PROJECT);
  }

  /** Runs a program in Terraform's folder. Its output may be secret, so it is not added to {@link printed}. */
  async quietly(...command: readonly string[]): Promise<string> {
    const before = this.printed.length;
    const output = await this.here(...command);
    this.printed.splice(before);
    return output;
  }

  /** Starts one of the project's scripts, in the cloud. */
  startNpm(...args: Parameters<ClusterFolder["script"]>): Running {
    return this.start(this.folder.script(...args), PROJECT);
  }

  /** Runs Terraform to its end, in the cloud. */
  terraform(...args: readonly string[]): Promise<string> {
    return this.here(terraformProgram(), ...args);
  }

  /** Runs a program to its end, in the cloud, in Terraform's folder. */
  here(...command: readonly string[]): Promise<string> {
    return this.succeed(privately(...command), this.folder.stackFolder);
  }

  /** Applies without a question. */
  apply(...args: readonly string[]): Promise<string> {
    return this.terraform("apply", "-auto-approve", "-no-color", ...args);
  }

  /** Runs one of the programs in tools/ to its end, in the cloud. */
  tool(name: string, ...args: readonly string[]): Promise<Ended> {
    return this.start([join(PROJECT, "tools", name), ...args], PROJECT).ended;
  }

  /** Starts Terraform in the cloud, without npm or cdktf in between, so that a signal reaches it. */
  startTerraform(...args: readonly string[]): Running {
    return this.start(privately(terraformProgram(), ...args), this.folder.stackFolder);
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
    const onOutput = (text: string) => this.printed.push(text);
    return start([...this.cloud.network.inside, ...command], { cwd, env, onOutput });
  }

  /** A running machine. @param id - `master-0`, `worker-0` and so on */
  machine(id: string): RunningMachine & { readonly host: MachineHost } {
    const running = this.cloud.machines.running.find(({ name }) => name === `${TUTORIAL_NAME}-${id}`);
    if (running === undefined) throw new Error(`${id} does not run`);
    return { ...running, host: new MachineHost(running.machine) };
  }

  /** Everything in AWS's region. */
  inventory(): Promise<Inventory> {
    return takeInventory(this.cloud.socket, REGION);
  }

  /**
   * Runs an action and finds its changes.
   * @param action - returns Terraform's output
   */
  async changesOf(action: () => Promise<string>): Promise<Changes> {
    const before = await this.snapshots();
    const output = await action();
    const after = await this.snapshots();
    const machines = Object.entries(after).map(([id, machine]) => {
      const previous = before[id];
      const sessionsBefore = previous?.run === machine.run ? previous.sessions : 0;
      return {
        id,
        visited: machine.sessions > sessionsBefore,
        rewritten: !isDeepStrictEqual(previous?.files, machine.files),
      };
    });
    const actions = stripVTControlCharacters(output).matchAll(/(\S+): (?:Creating|Modifying|Destroying)\.\.\./g);
    return {
      resources: [...new Set([...actions].map(([, address]) => address as string))].sort(),
      visited: machines.flatMap(({ id, visited }) => (visited ? [id] : [])),
      rewritten: machines.flatMap(({ id, rewritten }) => (rewritten ? [id] : [])),
    };
  }

  /** The running machines, by their names in Terraform. */
  private async snapshots(): Promise<Record<string, MachineSnapshot>> {
    await this.cloud.machines.settled();
    return Object.fromEntries(
      this.cloud.machines.running.map(({ name, id, publicIp, machine }) => {
        const host = new MachineHost(machine);
        return [
          name.slice(TUTORIAL_NAME.length + 1),
          { run: `${id} at ${publicIp}`, sessions: host.sessions, files: host.files() },
        ];
      }),
    );
  }

  /** Ends the cloud, and deletes the folder. */
  async end(): Promise<void> {
    await this.cloud.close();
    rmSync(this.folder.path, { recursive: true, force: true });
  }

  private async succeed(command: readonly string[], cwd: string): Promise<string> {
    const { status, output } = await this.start(command, cwd).ended;
    if (status !== 0) throw new Error(`${command.join(" ")}: status ${status}\n${output}`);
    return output;
  }

  /** The folder of the programs' temporary files. */
  get temporaryFolder(): string {
    return join(this.folder.path, "tmp");
  }

  private get settingsFile(): string {
    return join(this.folder.path, "settings.json");
  }
}
