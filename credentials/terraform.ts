import { execFile, spawnSync } from "node:child_process";
import { promisify } from "node:util";
import { z } from "zod";
import { terraformEnvironment, terraformIsMissing, terraformProgram } from "../model/terraform";
import { UserError } from "../model/user-error";

/** The maximum length of another program's error in a message, in characters. */
export const ERROR_LENGTH = 300;

/** The maximum length of Terraform's output, in MiB. A large cluster has less than one. */
const OUTPUT_LENGTH = 64;

/** The outputs of a stack, as `terraform output -json` prints them. */
const OUTPUTS = z.record(z.string(), z.object({ value: z.unknown() }));

/** Reads the values of all outputs of a stack. @throws UserError if Terraform fails or does not print them */
export function readOutputs(folder: string): Readonly<Record<string, unknown>> {
  const first = run(folder, "output", "-json");
  // Terraform's messages if init has not run in a folder, or if the backend has changed.
  const uninitialized = /terraform init|Backend initialization required|Initialization required/i.test(first.stderr);
  if (first.status !== 0 && uninitialized) outputOf(run(folder, "init", "-input=false"));
  const text = outputOf(first.status === 0 ? first : run(folder, "output", "-json"));
  const { data } = OUTPUTS.safeParse(parsed(text));
  if (data === undefined) {
    throw new UserError(
      `terraform must print its outputs as JSON, got: ${cut(text.trim(), 60) || "nothing"} (if it is a wrapper, such as hashicorp/setup-terraform's, turn it off: terraform_wrapper: false)`,
    );
  }
  return Object.fromEntries(Object.entries(data).map(([name, { value }]) => [name, value]));
}

/**
 * Reads the value of one output. `init` is not run.
 * @param timeLimit - in milliseconds
 * @returns undefined if Terraform does not print it in this time
 */
export async function readOutput(folder: string, name: string, timeLimit: number): Promise<unknown> {
  try {
    const args = argumentsIn(folder, "output", "-json", name);
    return parsed(
      (await promisify(execFile)(terraformProgram(), args, { env: environment(), timeout: timeLimit })).stdout,
    );
  } catch {
    return undefined;
  }
}

/** The name of the workspace in use. @throws UserError if Terraform fails */
export function currentWorkspace(folder: string): string {
  return outputOf(run(folder, "workspace", "show")).trim();
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly error?: Error;
}

function run(folder: string, ...args: readonly string[]): Ended {
  return spawnSync(terraformProgram(), argumentsIn(folder, ...args), {
    encoding: "utf8",
    maxBuffer: OUTPUT_LENGTH * 2 ** 20,
    env: environment(),
  });
}

function argumentsIn(folder: string, ...args: readonly string[]): string[] {
  return [`-chdir=${folder}`, ...args, "-no-color"];
}

function environment(): NodeJS.ProcessEnv {
  return { ...terraformEnvironment(), TF_IN_AUTOMATION: "1" };
}

/** The messages for a program that could not run to its end, by the code of the error. */
const FAILURES: Readonly<Record<string, () => string>> = {
  ENOENT: terraformIsMissing,
  ENOBUFS: () => `${terraformProgram()}: it printed more than ${OUTPUT_LENGTH} MiB`,
};

/** The output of a program. @throws UserError with the start of its error message if it failed */
function outputOf({ status, stdout, stderr, error }: Ended): string {
  if (error !== undefined) {
    throw new UserError(FAILURES[(error as NodeJS.ErrnoException).code ?? ""]?.() ?? error.message);
  }
  if (status === 0) return stdout;
  const lines = stderr.split("\n").map((line) => line.replace(/^[│╷╵\s]+/, "").trim());
  // The first of its errors.
  const [, firstError = lines.join(" ")] = /Error: (.*?)(?= Error: |$)/.exec(lines.filter(Boolean).join(" ")) ?? [];
  throw new UserError(`${terraformProgram()}: ${cut(firstError, ERROR_LENGTH) || `status ${status}`}`);
}

/** A text that is cut after a number of characters. */
export function cut(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length)} …` : text;
}
