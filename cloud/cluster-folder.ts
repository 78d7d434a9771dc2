import { mkdirSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { CREDENTIALS, ENDPOINT_URL, PYTHON_FOLDER } from "./emulator";
import { CLI_CONFIG } from "./providers";
import type { TerraformJson } from "./terraform-json";

/** The name of an npm script of the project that works on a cluster. */
export type Script = "synth" | "diff" | "deploy" | "destroy";

/** A folder with one cluster: its synthesized files and its state, separate from those of other clusters. */
export class ClusterFolder {
  /** @param path - the folder. It is created if it does not exist. */
  constructor(readonly path: string) {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  }

  /** The command that runs an npm script on this folder. Run it in the project's folder. */
  script(name: Script, ...args: readonly string[]): readonly string[] {
    return ["npm", "run", "--silent", name, "--", "--output", this.outputFolder, ...args];
  }

  /** The cluster's name. */
  get clusterName(): string {
    return Object.keys(this.read("manifest.json").stacks)[0] as string;
  }

  /** The folder in which Terraform runs. */
  get stackFolder(): string {
    return join(this.outputFolder, "stacks", this.clusterName);
  }

  /** The synthesized JSON. */
  get json(): TerraformJson {
    return this.read(join("stacks", this.clusterName, "cdk.tf.json"));
  }

  /** The cluster's region. */
  get region(): string {
    return this.json.provider.aws?.[0]?.region;
  }

  /** The state file; undefined if the state is not in this folder. */
  get stateFile(): string | undefined {
    const { local } = this.json.terraform.backend;
    const file = resolve(this.stackFolder, local?.path ?? "");
    return local === undefined || relative(this.path, file).startsWith("..") ? undefined : file;
  }

  /** The parsed state file. */
  get state() {
    return JSON.parse(readFileSync(this.stateFile as string, "utf8"));
  }

  /** The value of an output, from the state. */
  output(name: string) {
    return this.state.outputs[name].value;
  }

  /** The folder for synthesized files. The default path of the state file, relative to it, leads to {@link path}. */
  private get outputFolder(): string {
    return join(this.path, "cdktf.out");
  }

  private read(name: string) {
    return JSON.parse(readFileSync(join(this.outputFolder, name), "utf8"));
  }
}

/** The command that runs another one so that other users cannot read the files it writes, as in the project's npm scripts. */
export function privately(...command: readonly string[]): readonly string[] {
  return ["sh", "-c", 'umask 077 && exec "$@"', "sh", ...command];
}

/**
 * The command that runs a command of cdktf and then waits for the end of Terraform. On Ctrl-C, cdktf ends at once, but
 * Terraform may still be running. It would be killed together with the first process in the cloud, while it writes.
 */
export function toItsEnd(command: readonly string[]): readonly string[] {
  const wait =
    "for _ in $(seq 300); do ls -l /proc/[0-9]*/exe 2>/dev/null | grep -q '/terraform$' || break; sleep 0.2; done";
  return ["sh", "-c", `"$@"; status=$?; ${wait}; exit $status`, "sh", ...command];
}

/**
 * The environment of programs in the cloud: the emulator's address instead of AWS, the installed providers, the AWS CLI in
 * the PATH, and nothing about the user's own accounts.
 */
export function cloudEnvironment(): NodeJS.ProcessEnv {
  const { PATH, ...rest } = process.env;
  return {
    ...Object.fromEntries(Object.entries(rest).filter(([name]) => !/^(AWS|TF)_/.test(name))),
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
