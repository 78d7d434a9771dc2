import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { z } from "zod";

/** Why credentials cannot be had, or written; in one line. */
export class CredentialsError extends Error {}

/** How much of what Terraform complains of is told, in characters. */
const GIST_LENGTH = 300;

/** Permission bits as people write them: `0600`. */
export function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}

/** A name as clusters, machines and files have them; it comes into paths, and onto machines into scripts. */
export const NAME = z.string().regex(/^[\w][\w.-]*$/, "must be a plain name");

const ADDRESS = z.string().regex(/^[\d.]*$/, "must be an address");

/** Machines' addresses by Name tag. */
export const NODES = z.record(NAME, z.object({ private_ip: ADDRESS, public_ip: ADDRESS }));

/** A key for secrets in etcd. */
export const ENCRYPTION_KEY = z.string().regex(/^[A-Za-z0-9+/]{43}=$/, "must be 32 bytes in base64");

/** What the stack's outputs say, as far as it is needed. */
const OUTPUTS = z.object({
  kubernetes_public_address: z.string().min(1),
  kubernetes_service_address: ADDRESS.min(1),
  nodes: NODES,
  ssh_private_key: z.string().min(1),
  pem_files: z.record(NAME, z.string().min(1)),
  encryption_key: ENCRYPTION_KEY,
});

/** A deployed cluster, as its stack's outputs say. */
export interface DeployedCluster {
  readonly name: string;
  /** The load balancer's name. */
  readonly publicAddress: string;
  /** The address at which pods reach the API servers. */
  readonly serviceAddress: string;
  /** By Name tag. */
  readonly nodes: Readonly<z.infer<typeof NODES>>;
  readonly sshPrivateKey: string;
  /** Every certificate and key in PEM, by the name of its file. */
  readonly pemFiles: Readonly<Record<string, string>>;
  /** 32 bytes in base64. */
  readonly encryptionKey: string;
}

/** A deployed cluster, and what its owner should hear of. */
export interface ReadStack {
  readonly cluster: DeployedCluster;
  readonly warnings: readonly string[];
}

/**
 * Reads what is deployed, whatever the backend.
 * @param synthesized - the folder that synthesis writes, `cdktf.out`
 * @param stackName - which stack @default - the only one
 * @throws CredentialsError where nothing is synthesized or deployed, or the backend does not answer
 */
export function readStack(synthesized: string, stackName?: string): ReadStack {
  const stack = findStack(synthesized, stackName);
  const folder = join(synthesized, stack.workingDirectory);
  const [stateFile] = stateFiles(folder);
  if (stateFile !== undefined && statSync(stateFile, { throwIfNoEntry: false })?.size === 0) {
    throw new CredentialsError(
      `${stateFile} is empty, as an apply that was killed may leave it: docs/recovery.md brings it back`,
    );
  }
  // A state that would be here and is not needs no Terraform to be missed.
  const outputs = stateFile !== undefined && !existsSync(stateFile) ? {} : readOutputs(folder);
  if (Object.keys(outputs).length === 0) {
    throw new CredentialsError(
      `${stack.name} is not deployed: its state has no outputs; \`npm run deploy\` makes them`,
    );
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
          : [`${file} holds every key, and others may read it: mode ${octal(mode)}, chmod 600 it`];
      }),
  };
}

interface Stack {
  readonly name: string;
  readonly workingDirectory: string;
}

/**
 * Finds a synthesized stack: that of the name, or the only one.
 * @throws CredentialsError where nothing is synthesized, or it is not said which
 */
export function findStack(synthesized: string, stackName?: string): Stack {
  const stacks = stacksOf(synthesized);
  const [stack, ...more] = stacks.filter(({ name }) => stackName === undefined || name === stackName);
  if (stack !== undefined && more.length === 0) return stack;
  const names = stacks.map(({ name }) => name).join(", ");
  throw new CredentialsError(`'--stack' must be one of those in ${synthesized}: ${names}, got: ${stackName ?? "none"}`);
}

/** The stacks that are synthesized. */
function stacksOf(synthesized: string): Stack[] {
  try {
    return Object.values(JSON.parse(readFileSync(join(synthesized, "manifest.json"), "utf8")).stacks);
  } catch {
    throw new CredentialsError(`'--from' must be a folder that \`npm run synth\` has written, got: ${synthesized}`);
  }
}

type Outputs = Readonly<Record<string, { readonly value: unknown }>>;

/** The outputs that are needed. @throws CredentialsError where one is missing, or is not as this project writes it */
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
  throw new CredentialsError(
    values[output as string] === undefined
      ? `the deployed ${name} has no output ${String(output)}: \`npm run deploy\` adds it`
      : `the deployed ${name} has an output that is not as this project writes it: ${[output, ...path].join(".")}: ${message}`,
  );
}

function readOutputs(folder: string): Outputs {
  const first = terraform(folder, "output", "-json");
  // Terraform's words for a folder in which init has not run, or for another backend.
  const uninitialized = /terraform init|Backend initialization required|Initialization required/i.test(first.stderr);
  if (first.status !== 0 && uninitialized) succeeded(terraform(folder, "init", "-input=false"));
  return JSON.parse(succeeded(first.status === 0 ? first : terraform(folder, "output", "-json")));
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

/** What a program wrote that succeeded. @throws CredentialsError with the gist of what one that failed wrote */
function succeeded({ status, stdout, stderr, error }: Ended): string {
  if (error !== undefined) {
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    throw new CredentialsError(missing ? "terraform is missing: install Terraform 1.11 or later" : error.message);
  }
  if (status === 0) return stdout;
  const lines = stderr.split("\n").map((line) => line.replace(/^[│╷╵\s]+/, "").trim());
  // The first of its errors.
  const [, gist = lines.join(" ")] = /Error: (.*?)(?= Error: |$)/.exec(lines.filter(Boolean).join(" ")) ?? [];
  const said = gist.length > GIST_LENGTH ? `${gist.slice(0, GIST_LENGTH)} …` : gist;
  throw new CredentialsError(`terraform: ${said || `status ${status}`}`);
}

/**
 * The files in which a local backend keeps the state, and the state before; none of another backend.
 * @throws CredentialsError where the stack's folder is gone
 */
function stateFiles(folder: string): string[] {
  let path: string | undefined;
  try {
    path = JSON.parse(readFileSync(join(folder, "cdk.tf.json"), "utf8")).terraform?.backend?.local?.path;
  } catch (error) {
    throw new CredentialsError(
      `the stack's folder must be as \`npm run synth\` has written it: ${(error as Error).message}`,
    );
  }
  if (path === undefined) return [];
  const file = resolve(folder, path);
  return [file, `${file}.backup`];
}
