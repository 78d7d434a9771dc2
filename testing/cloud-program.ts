import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Ended, type Running, start } from "../cloud/program";

const PROJECT = join(__dirname, "..");

/** `npm run cloud` with a separate folder. */
export class CloudProgram {
  /** The folder of the cloud's files. */
  readonly folder = mkdtempSync(join(tmpdir(), "cloud-program-"));
  private readonly settingsFile = `${this.folder}.json`;

  constructor(settings: object = {}) {
    this.configure(settings);
  }

  /** Writes the cluster's settings. */
  configure(settings: object): void {
    writeFileSync(this.settingsFile, JSON.stringify(settings));
  }

  /** Runs a command to its end. */
  run(...args: readonly string[]): Promise<Ended> {
    return this.start(args).ended;
  }

  /** Starts a command. */
  start(args: readonly string[], options: { terminal?: boolean } = {}): Running {
    const env = { ...process.env, CLOUD_FOLDER: this.folder, CLUSTER_SETTINGS: this.settingsFile, CI: "true" };
    return start(["npm", "run", "--silent", "cloud", "--", ...args], { cwd: PROJECT, env, ...options });
  }

  /** The folder of the clusters' states. */
  get clusters(): string {
    return join(this.folder, "clusters");
  }

  /** The names of the files in its folder, sorted. */
  get files(): string[] {
    return readdirSync(this.folder).sort();
  }

  /** Deletes the folder and the settings. */
  remove(): void {
    for (const path of [this.folder, this.settingsFile]) rmSync(path, { recursive: true, force: true });
  }
}
