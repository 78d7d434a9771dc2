import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";

/** Why credentials cannot be had, or written; in one line. */
export class CredentialsError extends Error {}

/** How much of what Terraform complains of is told, in characters. */
const GIST_LENGTH = 300;

/** Permission bits as people write them: `0600`. */
export function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}

/** A deployed cluster, as its stack's outputs say. */
export interface DeployedCluster {
  readonly name: string;
  /** The load balancer's name. */
  readonly publicAddress: string;
  /** The address at which pods reach the API servers. */
  readonly serviceAddress: string;
  /** By Name tag. */
  readonly nodes: Readonly<Record<string, { readonly private_ip: string; readonly public_ip: string }>>;
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
  // A state that would be here and is not needs no Terraform to be missed.
  const outputs = stateFile !== undefined && !existsSync(stateFile) ? {} : readOutputs(folder);
  if (Object.keys(outputs).length === 0) {
    throw new CredentialsError(
      `${stack.name} is not deployed: its state has no outputs; \`npm run deploy\` makes them`,
    );
  }
  const output = <T>(name: string): T => {
    if (outputs[name] === undefined) {
      throw new CredentialsError(`the deployed ${stack.name} has no output ${name}: \`npm run deploy\` adds it`);
    }
    return outputs[name].value as T;
  };
  return {
    cluster: {
      name: stack.name,
      publicAddress: output("kubernetes_public_address"),
      serviceAddress: output("kubernetes_service_address"),
      nodes: output("nodes"),
      sshPrivateKey: output("ssh_private_key"),
      pemFiles: output("pem_files"),
      encryptionKey: output("encryption_key"),
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
  throw new CredentialsError(`terraform: ${gist.slice(0, GIST_LENGTH) || `status ${status}`}`);
}

/** The files in which a local backend keeps the state, and the state before; none of another backend. */
function stateFiles(folder: string): string[] {
  const { terraform } = JSON.parse(readFileSync(join(folder, "cdk.tf.json"), "utf8"));
  const path = terraform?.backend?.local?.path;
  if (path === undefined) return [];
  const file = resolve(folder, path);
  return [file, `${file}.backup`];
}
