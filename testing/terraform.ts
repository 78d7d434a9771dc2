import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Running, start } from "../cloud/program";
import { terraformProgram } from "../model/terraform";

/** A new folder in which real Terraform runs, without requests for providers or newer versions. */
export class TerraformFolder {
  /** The folder's path. */
  readonly path = mkdtempSync(join(tmpdir(), "terraform-"));

  /** @param prefix - a command prefix for Terraform @default - none */
  constructor(private readonly prefix: readonly string[] = []) {}

  /** Writes the configuration, and replaces the previous one. */
  configure(json: object): void {
    writeFileSync(join(this.path, "main.tf.json"), JSON.stringify(json, null, 1));
  }

  /** Starts Terraform. */
  start(...args: string[]): Running {
    const env = { ...process.env, TF_CLI_CONFIG_FILE: "/dev/null", CHECKPOINT_DISABLE: "1", TF_IN_AUTOMATION: "1" };
    return start([...this.prefix, terraformProgram(), ...args], { cwd: this.path, env });
  }

  /**
   * Runs Terraform to its end.
   * @returns its output
   * @throws Error with its output if it fails
   */
  async run(...args: string[]): Promise<string> {
    const { status, output } = await this.start(...args).ended;
    if (status !== 0) throw new Error(`terraform ${args.join(" ")}: status ${status}\n${output}`);
    return output;
  }

  /** Removes the folder. */
  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
