import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { IN_CLOUD } from "../model/commands";
import { UserError } from "../model/user-error";
import { CREDENTIALS, ENDPOINT_URL, PYTHON_FOLDER } from "./emulator";
import { CLI_CONFIG } from "./providers";
import { resourcesOf, type TerraformJson } from "./terraform-json";

/** The name of an npm script of the project that works on a cluster. */
export type Script = "synth" | "diff" | "deploy" | "destroy";

/** The parts of a deployed cluster's state that a login needs. */
export interface ClusterState {
  /** The Name tags of its machines. */
  readonly machines: readonly string[];
  /** The regions of its machines. */
  readonly regions: readonly string[];
  /** Undefined if the first deploy was interrupted. */
  readonly sshKey?: string;
}

/**
 * A folder with the synthesized files of one cluster and its state, separate from those in the project's folder. If another
 * cluster is synthesized into it, the state of the previous one stays.
 */
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

  /** Whether the cluster's settings have `kubernetes`. */
  get hasKubernetes(): boolean {
    return "addons" in resourcesOf(this.json, "null_resource");
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

  /** The states of all clusters that were deployed from this folder. States that cannot be read are left out. */
  get states(): ClusterState[] {
    return readdirSync(this.path)
      .filter((name) => name.endsWith(".tfstate"))
      .flatMap((name) => {
        try {
          const { outputs, resources } = JSON.parse(readFileSync(join(this.path, name), "utf8"));
          const instances: { attributes: { arn: string } }[] = resources.flatMap(
            (each: { type: string; instances: object[] }) => (each.type === "aws_instance" ? each.instances : []),
          );
          return {
            machines: Object.keys(outputs.nodes?.value ?? {}),
            // arn:aws:ec2:eu-central-1:123456789012:instance/i-0123456789abcdef0
            regions: instances.map(({ attributes }) => attributes.arn.split(":")[3] as string),
            sshKey: outputs.ssh_private_key?.value,
          };
        } catch {
          return [];
        }
      });
  }

  /** The folder for synthesized files. The default path of the state file, relative to it, leads to {@link path}. */
  get outputFolder(): string {
    return join(this.path, "cdktf.out");
  }

  private read(name: string) {
    const file = join(this.outputFolder, name);
    try {
      return JSON.parse(readFileSync(file, "utf8"));
    } catch (error) {
      throw new UserError(`${file} must be as synthesis wrote it: ${(error as Error).message}`);
    }
  }
}

/** The command that runs another one so that other users cannot read the files it writes, as in the project's npm scripts. */
export function privately(...command: readonly string[]): readonly string[] {
  return ["sh", "-c", 'umask 077 && exec "$@"', "sh", ...command];
}

/** Runs a command, and ends after every process that it started. Ctrl-C and SIGTERM do not end it. */
const TO_ITS_END = `
# A trap that does something, because the command would inherit that signals are ignored.
trap : INT TERM
"$@"
status=$?
turns=0
# This shell is the first process of its namespace: /proc contains the command's processes, and no others.
while set -- /proc/[0-9]* && [ $# -gt 1 ]; do
  turns=$((turns + 1))
  [ $turns -ne 10 ] || echo "cloud: waiting for Terraform, which completes its current operations and saves the state" >&2
  sleep 0.2
done
exit $status
`;

/**
 * The command that runs an npm script in the cloud, and then waits for the end of Terraform. On a hangup, npm ends at once, but
 * Terraform still works. If the first process of its namespace ended, the kernel would kill Terraform while it writes the state.
 */
export function toItsEnd(command: readonly string[]): readonly string[] {
  return ["sh", "-c", TO_ITS_END, "sh", ...command];
}

/**
 * The environment of programs in the cloud: the emulator's address instead of AWS, the installed providers, the AWS CLI in
 * the PATH, and nothing about the user's own accounts.
 * @param region - the region of the AWS CLI @default - none
 */
export function cloudEnvironment(region?: string): NodeJS.ProcessEnv {
  const { PATH, ...rest } = process.env;
  return {
    ...Object.fromEntries(Object.entries(rest).filter(([name]) => !/^(AWS|TF)_/.test(name))),
    PATH: `${PATH}:${join(PYTHON_FOLDER, "bin")}`,
    ...(region !== undefined && { AWS_REGION: region, AWS_DEFAULT_REGION: region }),
    [IN_CLOUD]: "yes",
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
