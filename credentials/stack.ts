import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { npmRun } from "../model/commands";
import { UserError } from "../model/user-error";
import { NAME, NODES, OUTPUTS } from "./outputs";
import { readRegularFile } from "./regular-file";
import { DEFAULT_WORKSPACE, stateFiles } from "./states";
import { currentWorkspace, readOutput, readOutputs } from "./terraform";

/** Permission bits as people write them: `0600`. */
export function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}

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
 * Reads the deployed cluster from its state, with any backend and workspace: Terraform finds the state.
 * @param synthesized - the folder that synthesis writes, `cdktf.out`
 * @param stackName - the name of the stack @default - the only one
 * @throws UserError if no stack is synthesized or deployed, if an output is invalid, or if the backend does not answer
 */
export function readStack(synthesized: string, stackName?: string): ReadStack {
  const { name, folder } = findStack(synthesized, stackName);
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new UserError(`${folder} must be the stack's folder, as \`npm run synth\` writes it, got: no folder`);
  }
  const outputs = readOutputs(folder);
  const workspace = currentWorkspace(folder);
  const files = stateFiles(folder, workspace).filter(existsSync);
  if (Object.keys(outputs).length === 0) throw notDeployed(name, workspace, files);
  const known = knownOutputs(name, outputs);
  return {
    cluster: {
      name,
      publicAddress: known.kubernetes_public_address,
      serviceAddress: known.kubernetes_service_address,
      nodes: known.nodes,
      sshPrivateKey: known.ssh_private_key,
      pemFiles: known.pem_files,
      encryptionKey: known.encryption_key,
    },
    warnings: files.flatMap((file) => {
      const mode = statSync(file).mode & 0o777;
      return (mode & 0o077) === 0
        ? []
        : [`${file} contains every key, and other users can access it (mode ${octal(mode)}): run chmod 600 on it`];
    }),
  };
}

/**
 * The machines' addresses in the state, if they can be known in some time.
 * @param timeLimit - in milliseconds @default - 10 seconds
 * @returns undefined if no stack with this name is synthesized, initialized and deployed here
 */
export async function deployedNodes(
  synthesized: string,
  stackName: string,
  timeLimit = 10_000,
): Promise<DeployedCluster["nodes"] | undefined> {
  try {
    return NODES.safeParse(await readOutput(findStack(synthesized, stackName).folder, "nodes", timeLimit)).data;
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}

/** The error for a state without outputs. Terraform takes an empty file for a state without anything. */
function notDeployed(name: string, workspace: string, files: readonly string[]): UserError {
  const empty = files.find((file) => !file.endsWith(".backup") && statSync(file).size === 0);
  if (empty !== undefined) {
    return new UserError(
      `${empty} is empty, probably because an apply was killed: docs/recovery.md explains how to restore it`,
    );
  }
  const where = workspace === DEFAULT_WORKSPACE ? "" : ` of the workspace ${workspace}`;
  return new UserError(`${name} is not deployed, its state${where} has no outputs: run \`${npmRun("deploy")}\``);
}

/** A synthesized stack. */
interface Stack {
  readonly name: string;
  /** The folder in which Terraform runs. */
  readonly folder: string;
}

/** The stacks in cdktf's manifest. */
const MANIFEST = z.object({
  stacks: z.record(z.string(), z.object({ name: z.string(), workingDirectory: z.string() })),
});

/**
 * Finds a synthesized stack: the one with the given name, or the only one.
 * @param option - the option that named the folder, for the error
 * @throws UserError if no stack is synthesized, if `stackName` does not select exactly one, or if the manifest leads out of
 *   the folder
 */
export function findStack(synthesized: string, stackName?: string, option = "--from"): Stack {
  const stacks = stacksOf(synthesized, option);
  const [stack, ...more] = stacks.filter(({ name }) => stackName === undefined || name === stackName);
  if (stack === undefined || more.length > 0) {
    const names = stacks.map(({ name }) => name).join(", ");
    throw new UserError(`'--stack' must be a stack in ${synthesized} (${names}), got: ${stackName ?? "none"}`);
  }
  const { name, workingDirectory } = stack;
  // The name becomes that of the credentials folder, and Terraform runs in the other folder.
  if (!NAME.safeParse(name).success || workingDirectory !== `stacks/${name}`) {
    throw new UserError(
      `${join(synthesized, "manifest.json")} must have stacks with plain names in stacks/NAME, got: ${name} in ${workingDirectory}`,
    );
  }
  return { name, folder: join(synthesized, workingDirectory) };
}

/** The synthesized stacks. */
function stacksOf(synthesized: string, option: string): { readonly name: string; readonly workingDirectory: string }[] {
  try {
    return Object.values(MANIFEST.parse(JSON.parse(readRegularFile(join(synthesized, "manifest.json")))).stacks);
  } catch {
    throw new UserError(`'${option}' must be a folder that \`npm run synth\` wrote, got: ${synthesized}`);
  }
}

/** Checks the needed outputs. @throws UserError if one is missing, or does not have this project's format */
export function knownOutputs(name: string, outputs: Readonly<Record<string, unknown>>): z.infer<typeof OUTPUTS> {
  const { data, error } = OUTPUTS.safeParse(outputs);
  if (data !== undefined) return data;
  const [
    {
      path: [output, ...path],
      message,
    },
  ] = error.issues as [z.core.$ZodIssue];
  throw new UserError(
    outputs[output as string] === undefined
      ? `the deployed ${name} has no output ${String(output)}: \`${npmRun("deploy")}\` adds it`
      : `the deployed ${name} has an invalid output: ${[output, ...path].join(".")}: ${message}`,
  );
}
