import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { z } from "zod";
import { UserError } from "../model/user-error";

/** The maximum length of Terraform's error in a message, in characters. */
const ERROR_LENGTH = 300;

/** Permission bits as people write them: `0600`. */
export function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}

/** A name of a cluster, machine or file. Paths and scripts contain it, so it has no special characters. */
export const NAME = z.string().regex(/^[\w][\w.-]*$/, "must be a plain name");

const ADDRESS = z.string().regex(/^[\d.]*$/, "must be an address");

/** The machines' addresses by Name tag. */
export const NODES = z.record(NAME, z.object({ private_ip: ADDRESS, public_ip: ADDRESS }));

/** A key for secrets in etcd. */
export const ENCRYPTION_KEY = z.string().regex(/^[A-Za-z0-9+/]{43}=$/, "must be 32 bytes in base64");

/** The outputs of the stack that are needed. */
const OUTPUTS = z.object({
  kubernetes_public_address: z.string().min(1),
  kubernetes_service_address: ADDRESS.min(1),
  nodes: NODES,
  ssh_private_key: z.string().min(1),
  pem_files: z.record(NAME, z.string().min(1)),
  encryption_key: ENCRYPTION_KEY,
});

/** A deployed cluster, from its stack's outputs. */
export interface DeployedCluster {
  readonly name: string;
  /** The load balancer's name. */
  readonly publicAddress: string;
  /** The address at which pods reach the API servers. */
  readonly serviceAddress: string;
  /** The machines' addresses by Name tag. */
  readonly nodes: Readonly<z.infer<typeof NODES>>;
  readonly sshPrivateKey: string;
  /** Every certificate and key in PEM, by file name. */
  readonly pemFiles: Readonly<Record<string, string>>;
  /** The key for secrets in etcd: 32 bytes in base64. */
  readonly encryptionKey: string;
}

/** A deployed cluster, and warnings for its owner. */
export interface ReadStack {
  readonly cluster: DeployedCluster;
  readonly warnings: readonly string[];
}

/**
 * Reads the deployed cluster from its state, with any backend.
 * @param synthesized - the folder that synthesis writes, `cdktf.out`
 * @param stackName - the name of the stack @default - the only one
 * @throws UserError if no stack is synthesized or deployed, or if the backend does not answer
 */
export function readStack(synthesized: string, stackName?: string): ReadStack {
  const stack = findStack(synthesized, stackName);
  const folder = join(synthesized, stack.workingDirectory);
  const [stateFile] = stateFiles(folder);
  if (stateFile !== undefined && statSync(stateFile, { throwIfNoEntry: false })?.size === 0) {
    throw new UserError(
      `${stateFile} is empty, probably because an apply was killed: docs/recovery.md explains how to restore it`,
    );
  }
  // If a local state file is missing, there are no outputs; Terraform is not needed to find that out.
  const outputs = stateFile !== undefined && !existsSync(stateFile) ? {} : readOutputs(folder);
  if (Object.keys(outputs).length === 0) {
    throw new UserError(`${stack.name} is not deployed, its state has no outputs: run \`npm run deploy\``);
  }
  const known = knownOutputs(stack.name, outputs);
  return {
    cluster: {
      name: stack.name,
      publicAddress: known.kubernetes_public_address,
      serviceAddress: known.kubernetes_service_address,
      nodes: known.nodes,
      sshPrivateKey: known.ssh_private_key,
      pemFiles: known.pem_files,
      encryptionKey: known.encryption_key,
    },
    warnings: stateFiles(folder)
      .filter(existsSync)
      .flatMap((file) => {
        const mode = statSync(file).mode & 0o777;
        return (mode & 0o077) === 0
          ? []
          : [`${file} contains every key, and other users can access it (mode ${octal(mode)}): run chmod 600 on it`];
      }),
  };
}

interface Stack {
  readonly name: string;
  readonly workingDirectory: string;
}

/**
 * Finds a synthesized stack: the one with the given name, or the only one.
 * @throws UserError if no stack is synthesized, or if `stackName` does not select exactly one
 */
export function findStack(synthesized: string, stackName?: string): Stack {
  const stacks = stacksOf(synthesized);
  const [stack, ...more] = stacks.filter(({ name }) => stackName === undefined || name === stackName);
  if (stack !== undefined && more.length === 0) return stack;
  const names = stacks.map(({ name }) => name).join(", ");
  throw new UserError(`'--stack' must be a stack in ${synthesized} (${names}), got: ${stackName ?? "none"}`);
}

/** The synthesized stacks. */
function stacksOf(synthesized: string): Stack[] {
  try {
    return Object.values(JSON.parse(readFileSync(join(synthesized, "manifest.json"), "utf8")).stacks);
  } catch {
    throw new UserError(`'--from' must be a folder that \`npm run synth\` wrote, got: ${synthesized}`);
  }
}

type Outputs = Readonly<Record<string, { readonly value: unknown }>>;

/** Checks the needed outputs. @throws UserError if one is missing, or does not have this project's format */
function knownOutputs(name: string, outputs: Outputs): z.infer<typeof OUTPUTS> {
  const values = Object.fromEntries(Object.entries(outputs).map(([output, { value }]) => [output, value]));
  const { data, error } = OUTPUTS.safeParse(values);
  if (data !== undefined) return data;
  const [
    {
      path: [output, ...path],
      message,
    },
  ] = error.issues as [z.core.$ZodIssue];
  throw new UserError(
    values[output as string] === undefined
      ? `the deployed ${name} has no output ${String(output)}: \`npm run deploy\` adds it`
      : `the deployed ${name} has an invalid output: ${[output, ...path].join(".")}: ${message}`,
  );
}

function readOutputs(folder: string): Outputs {
  const first = terraform(folder, "output", "-json");
  // Terraform's messages if init has not run in a folder, or if the backend has changed.
  const uninitialized = /terraform init|Backend initialization required|Initialization required/i.test(first.stderr);
  if (first.status !== 0 && uninitialized) outputOf(terraform(folder, "init", "-input=false"));
  return JSON.parse(outputOf(first.status === 0 ? first : terraform(folder, "output", "-json")));
}

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly error?: Error;
}

function terraform(folder: string, ...args: readonly string[]): Ended {
  return spawnSync("terraform", [`-chdir=${folder}`, ...args, "-no-color"], {
    encoding: "utf8",
    maxBuffer: 64 * 2 ** 20,
    env: { ...process.env, CHECKPOINT_DISABLE: "1", TF_IN_AUTOMATION: "1" },
  });
}

/** The output of a program. @throws UserError with the start of its error message if it failed */
function outputOf({ status, stdout, stderr, error }: Ended): string {
  if (error !== undefined) {
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    throw new UserError(missing ? "terraform is missing: install Terraform 1.11 or later" : error.message);
  }
  if (status === 0) return stdout;
  const lines = stderr.split("\n").map((line) => line.replace(/^[│╷╵\s]+/, "").trim());
  // The first of its errors.
  const [, firstError = lines.join(" ")] = /Error: (.*?)(?= Error: |$)/.exec(lines.filter(Boolean).join(" ")) ?? [];
  const message = firstError.length > ERROR_LENGTH ? `${firstError.slice(0, ERROR_LENGTH)} …` : firstError;
  throw new UserError(`terraform: ${message || `status ${status}`}`);
}

/**
 * The files in which a local backend stores the state and its backup; empty for another backend.
 * @throws UserError if the stack's folder does not exist
 */
function stateFiles(folder: string): string[] {
  let path: string | undefined;
  try {
    path = JSON.parse(readFileSync(join(folder, "cdk.tf.json"), "utf8")).terraform?.backend?.local?.path;
  } catch (error) {
    throw new UserError(`the stack's folder must be as \`npm run synth\` wrote it: ${(error as Error).message}`);
  }
  if (path === undefined) return [];
  const file = resolve(folder, path);
  return [file, `${file}.backup`];
}
