import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Running, start } from "../cloud/program";

/** A folder of its own in which real Terraform runs, asking nobody for providers or versions. */
export class TerraformFolder {
  /** Its path. */
  readonly path = mkdtempSync(join(tmpdir(), "terraform-"));

  /** @param under - what Terraform is started through @default - nothing */
  constructor(private readonly under: readonly string[] = []) {}

  /** Writes the configuration, in the place of the one before. */
  configure(json: object): void {
    writeFileSync(join(this.path, "main.tf.json"), JSON.stringify(json, null, 1));
  }

  /** Starts Terraform. */
  start(...args: string[]): Running {
    const env = { ...process.env, TF_CLI_CONFIG_FILE: "/dev/null", CHECKPOINT_DISABLE: "1", TF_IN_AUTOMATION: "1" };
    return start([...this.under, "terraform", ...args], { cwd: this.path, env });
  }

  /**
   * Runs Terraform to its end.
   * @returns what it wrote
   * @throws Error with what it wrote, unless it succeeds
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
