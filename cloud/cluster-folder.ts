import { mkdirSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { CREDENTIALS, ENDPOINT_URL, PYTHON_FOLDER } from "./emulator";
import { CLI_CONFIG } from "./providers";
import type { TerraformJson } from "./terraform-json";

/** One of the project's npm scripts that people work on a cluster with. */
export type Script = "synth" | "diff" | "deploy" | "destroy";

/** A folder with a cluster in it, apart from any other: what was synthesized, and the state. */
export class ClusterFolder {
  /** @param path - the folder, made when it is not there */
  constructor(readonly path: string) {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  }

  /** The command that runs one of the project's npm scripts on this folder, from the project's. */
  script(name: Script, ...args: readonly string[]): readonly string[] {
    return ["npm", "run", "--silent", name, "--", "--output", this.outputFolder, ...args];
  }

  /** The cluster's name. */
  get clusterName(): string {
    return Object.keys(this.read("manifest.json").stacks)[0] as string;
  }

  /** Where Terraform runs. */
  get stackFolder(): string {
    return join(this.outputFolder, "stacks", this.clusterName);
  }

  /** What was synthesized. */
  get json(): TerraformJson {
    return this.read(join("stacks", this.clusterName, "cdk.tf.json"));
  }

  /** The region that it is for. */
  get region(): string {
    return this.json.provider.aws?.[0]?.region;
  }

  /** The file with the state; undefined where it is not kept in this folder. */
  get stateFile(): string | undefined {
    const { local } = this.json.terraform.backend;
    const file = resolve(this.stackFolder, local?.path ?? "");
    return local === undefined || relative(this.path, file).startsWith("..") ? undefined : file;
  }

  /** The state, as Terraform keeps it. */
  get state() {
    return JSON.parse(readFileSync(this.stateFile as string, "utf8"));
  }

  /** The value of an output, from the state. */
  output(name: string) {
    return this.state.outputs[name].value;
  }

  /** What is synthesized goes here; from here the default state file is in {@link path}. */
  private get outputFolder(): string {
    return join(this.path, "cdktf.out");
  }

  private read(name: string) {
    return JSON.parse(readFileSync(join(this.outputFolder, name), "utf8"));
  }
}

/** Runs a command with what it writes closed to others, as the project's npm scripts do. */
export function privately(...command: readonly string[]): readonly string[] {
  return ["sh", "-c", 'umask 077 && exec "$@"', "sh", ...command];
}

/**
 * Runs a command of cdktf, and waits at its end for the Terraform that it may have left: on Ctrl-C cdktf ends at once, and
 * with the first process in the cloud all that it started would end, in the middle of whatever it writes.
 */
export function toItsEnd(command: readonly string[]): readonly string[] {
  const wait =
    "for _ in $(seq 300); do ls -l /proc/[0-9]*/exe 2>/dev/null | grep -q '/terraform$' || break; sleep 0.2; done";
  return ["sh", "-c", `"$@"; status=$?; ${wait}; exit $status`, "sh", ...command];
}

/**
 * What programs in the cloud find in their environment: the emulator in AWS's place, the providers that are installed,
 * the AWS CLI, and nothing of the user's own accounts.
 */
export function cloudEnvironment(): NodeJS.ProcessEnv {
  const { PATH, ...own } = process.env;
  return {
    ...Object.fromEntries(Object.entries(own).filter(([name]) => !/^(AWS|TF)_/.test(name))),
    PATH: `${PATH}:${join(PYTHON_FOLDER, "bin")}`,
    AWS_ENDPOINT_URL: ENDPOINT_URL,
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    AWS_EC2_METADATA_DISABLED: "true",
    AWS_CONFIG_FILE: "/dev/null",
    AWS_SHARED_CREDENTIALS_FILE: "/dev/null",
    TF_CLI_CONFIG_FILE: CLI_CONFIG,
    CHECKPOINT_DISABLE: "1",
  };
}
