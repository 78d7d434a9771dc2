/**
 * `npm run synth`, `npm run deploy`, `npm run diff` and `npm run destroy`. Terraform itself runs in the foreground, because
 * cdktf's CLI clears the terminal, drops the end of a failed run's output, and ends before Terraform on Ctrl-C.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { findStack } from "../credentials/stack";
import { terraformEnvironment, terraformIsMissing, terraformProgram } from "../model/terraform";
import { UserError } from "../model/user-error";
import { appOf, outputOf } from "../review/base";
import { foreground, ignoringHangup, parseOptions, print, printError, runProgram, unknownWord } from "./program";

const PROJECT = join(__dirname, "..");

/** The commands that run Terraform: the command of Terraform, and the description for `--help`. */
const COMMANDS: Readonly<Record<string, { readonly terraform: string; readonly purpose: string }>> = {
  deploy: { terraform: "apply", purpose: "shows the changes, asks, and makes them" },
  diff: { terraform: "plan", purpose: "shows the changes that a deploy would make" },
  destroy: { terraform: "destroy", purpose: "destroys the cluster, after a question" },
};

const USAGE = `npm run synth [-- --output FOLDER]      writes the cluster's Terraform JSON
${Object.entries(COMMANDS)
  .map(([name, { terraform, purpose }]) =>
    `npm run ${name} [-- options]`.padEnd(38).concat(`${purpose}: terraform ${terraform}`),
  )
  .join("\n")}

  --output FOLDER    the folder of the synthesized files (default: cdktf.out)
  --stack NAME       the stack to deploy, if the app has several
  --skip-synth       use the files in the folder as they are

All other options are Terraform's: npm run deploy -- -auto-approve -replace=aws_instance.worker-0
CLUSTER_SETTINGS names a file with settings. TERRAFORM_BINARY_NAME=tofu runs OpenTofu instead of Terraform.`;

async function main([name = "", ...args]: string[]): Promise<number> {
  if (name === "synth") {
    const { output } = parseOptions(args, { output: { type: "string" } }).values;
    return synthesize(output ?? outputOf(PROJECT));
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) throw new UserError(unknownWord("a command", name, ["synth", ...Object.keys(COMMANDS)]));
  checkTerraform();
  const { output = outputOf(PROJECT), stack, isSynthesized, rest } = ownOptions(args);
  const synthesized = isSynthesized ? 0 : await synthesize(output);
  if (synthesized !== 0) return synthesized;
  const { folder } = findStack(output, stack, "--output");
  if (name !== "destroy" && losesKubernetes(folder)) {
    printError(
      `${name}: warning: the state has a cluster with Kubernetes, and these settings have none: is CLUSTER_SETTINGS missing? (A deploy uninstalls nothing.)`,
    );
  }
  return runTerraform(folder, command.terraform, rest);
}

/** Whether the state in a local file has Kubernetes and the synthesized stack has not. */
function losesKubernetes(folder: string): boolean {
  const hasKubernetes = (steps: readonly string[]) => steps.includes("addons");
  try {
    const { terraform, resource } = JSON.parse(readFileSync(join(folder, "cdk.tf.json"), "utf8"));
    const path = terraform?.backend === undefined ? "terraform.tfstate" : terraform.backend.local.path;
    const { resources } = JSON.parse(readFileSync(resolve(folder, path), "utf8"));
    const inState = resources.flatMap(({ type, name }: { type: string; name: string }) =>
      type === "null_resource" ? [name] : [],
    );
    return hasKubernetes(inState) && !hasKubernetes(Object.keys(resource?.null_resource ?? {}));
  } catch {
    // No state yet, or another backend.
    return false;
  }
}

/** The options of this program, and the rest of the arguments, which are Terraform's. */
interface OwnOptions {
  readonly output?: string;
  readonly stack?: string;
  readonly isSynthesized: boolean;
  readonly rest: readonly string[];
}

/** Separates this program's options from Terraform's. @throws UserError if one has no value */
function ownOptions(args: readonly string[]): OwnOptions {
  const values: { output?: string; stack?: string } = {};
  const rest: string[] = [];
  const words = args.values();
  for (const word of words) {
    const [, name, inline] = /^--(output|stack)(?:=(.*))?$/s.exec(word) ?? [];
    if (name === "output" || name === "stack") {
      values[name] = inline ?? words.next().value;
      if (!values[name]) throw new UserError(`'--${name}' must have a value, got none`);
    } else if (rest.length === 0 && !word.startsWith("-") && !existsSync(word)) {
      throw new UserError(`options begin with '-', and '--stack NAME' selects a stack, got: ${word}`);
    } else {
      rest.push(word);
    }
  }
  const isSynthesized = rest.includes("--skip-synth");
  return { ...values, isSynthesized, rest: rest.filter((word) => word !== "--skip-synth") };
}

/** The parts of cdktf's manifest that this program reads. */
interface Manifest {
  readonly stacks: Readonly<
    Record<
      string,
      {
        readonly name: string;
        readonly synthesizedStackPath: string;
        readonly annotations: readonly { readonly level: string; readonly message: string }[];
      }
    >
  >;
}

/**
 * Synthesizes the app into a folder as cdktf's CLI does: warnings are printed, and the folders of other stacks are deleted
 * (the app refuses if one contains a state).
 * @returns the exit status of the app, which prints its errors
 */
async function synthesize(output: string): Promise<number> {
  const { command, env } = appOf(PROJECT, output);
  try {
    mkdirSync(output, { recursive: true });
  } catch (error) {
    throw new UserError(`'--output' must be a folder that can be made, got: ${output} (${(error as Error).message})`);
  }
  const status = await foreground(command, { cwd: PROJECT, env: { ...process.env, ...env } });
  if (status !== 0) return status;
  const { stacks }: Manifest = JSON.parse(readFileSync(join(output, "manifest.json"), "utf8"));
  const names = Object.values(stacks).map(({ name }) => name);
  for (const entry of readdirSync(join(output, "stacks"), { withFileTypes: true })) {
    if (entry.isDirectory() && !names.includes(entry.name))
      rmSync(join(output, "stacks", entry.name), { recursive: true });
  }
  for (const { annotations, synthesizedStackPath } of Object.values(stacks)) {
    for (const { level, message } of annotations) {
      if (level === "@cdktf/warn") printError(`warning: ${message}`);
    }
    print(`${join(output, synthesizedStackPath)} is written`);
  }
  return 0;
}

/** @throws UserError if there is no Terraform. Terraform itself refuses if it is too old. */
function checkTerraform(): void {
  const { error } = spawnSync(terraformProgram(), ["version"], {
    cwd: PROJECT,
    stdio: "ignore",
    env: terraformEnvironment(),
  });
  if (error !== undefined) throw new UserError(terraformIsMissing());
}

/**
 * Runs `init` and then a command in the folder of a stack. `init` takes the providers from a mirror, if one is configured.
 * The command outlives Ctrl-C, which Terraform hears once and by itself, SIGTERM, and the end of its terminal.
 * @returns the exit status of the first command that fails
 */
async function runTerraform(folder: string, name: string, args: readonly string[]): Promise<number> {
  const command = (...words: readonly string[]) => [terraformProgram(), `-chdir=${folder}`, ...words];
  const options = { cwd: PROJECT, env: terraformEnvironment() };
  const noColor = args.filter((word) => /^--?no-color$/.test(word));
  const initialized = await foreground(command("init", ...noColor), options);
  if (initialized !== 0) return initialized;
  let isInterrupted = false;
  process.once("SIGINT", () => {
    isInterrupted = true;
  });
  const status = await foreground(ignoringHangup(command(name, ...args)), options, ["SIGINT", "SIGTERM", "SIGHUP"]);
  if (isInterrupted && status === 1 && name !== "plan") {
    printError(
      "interrupted: the same command again continues, unless a machine stays stopped: docs/recovery.md#a-machine-that-stays-stopped",
    );
  }
  if (status > 128) {
    printError(
      `${terraformProgram()} was ended by signal ${status - 128}, before it could finish: docs/recovery.md has the next step`,
    );
  }
  return status;
}

runProgram({ name: process.argv[2] ?? "terraform", usage: USAGE, main });
