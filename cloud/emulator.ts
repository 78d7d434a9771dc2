import { execFileSync } from "node:child_process";
import { cpSync, existsSync, readFileSync, rmSync } from "node:fs";
import { Agent } from "node:http";
import { join } from "node:path";
import { NodeHttpHandler } from "@smithy/node-http-handler";

/** The folder of the emulator, moto: a separate Python environment next to the cloud's other files. */
export const PYTHON_FOLDER = join(__dirname, "..", ".cloud", "python");

const REQUIREMENTS = join(__dirname, "requirements.txt");
/** A copy of the requirements that are installed. It is written last, so it proves a complete installation. */
const INSTALLED = join(PYTHON_FOLDER, "requirements.txt");

/** The emulator's URL in its network. Terraform's providers and the AWS CLI read it from AWS_ENDPOINT_URL. */
export const ENDPOINT_URL = "http://127.0.0.1:5000";

/** Whether the required version of the emulator is installed. */
export function isEmulatorInstalled(): boolean {
  return existsSync(INSTALLED) && readFileSync(INSTALLED).equals(readFileSync(REQUIREMENTS));
}

/**
 * Installs the emulator unless it is installed.
 * @throws Error if Python is missing or the package index cannot be reached
 */
export function installEmulator(): void {
  if (isEmulatorInstalled()) return;
  rmSync(PYTHON_FOLDER, { recursive: true, force: true });
  const run = (program: string, ...args: string[]) =>
    execFileSync(program, args, { stdio: ["ignore", "ignore", "pipe"] });
  run("python3", "-m", "venv", PYTHON_FOLDER);
  run(
    join(PYTHON_FOLDER, "bin/pip"),
    "install",
    "--quiet",
    "--disable-pip-version-check",
    "--requirement",
    REQUIREMENTS,
  );
  cpSync(REQUIREMENTS, INSTALLED);
}

/**
 * The command that starts the emulator, and its environment. The emulator listens at {@link ENDPOINT_URL}, and at a socket
 * file for programs outside of its network.
 * @param socket - the path of the socket file
 * @param calls - the path of the file to which the emulator writes Terraform's calls
 */
export function emulatorCommand(socket: string, calls: string): { command: readonly string[]; env: NodeJS.ProcessEnv } {
  return {
    command: [join(PYTHON_FOLDER, "bin/python"), join(__dirname, "emulator.py"), socket, calls],
    env: { PATH: process.env.PATH, MOTO_AMIS_PATH: join(__dirname, "images.json") },
  };
}

/** The configuration with which a client of the AWS SDK calls the emulator through its socket file. */
export function clientConfiguration(socket: string, region: string) {
  // The SDK warns that it needs Node 22 from 2027 on. cdktf's CLI does not run on a Node later than that.
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = "true";
  // Node's agents pass all options to each connection, also socketPath, but the types do not declare it.
  const httpAgent = new Agent({ keepAlive: true, socketPath: socket } as ConstructorParameters<typeof Agent>[0]);
  return {
    region,
    endpoint: "http://localhost",
    credentials: CREDENTIALS,
    requestHandler: new NodeHttpHandler({ httpAgent }),
  };
}

/** Credentials for the emulator, which accepts any. */
export const CREDENTIALS = { accessKeyId: "emulated", secretAccessKey: "emulated" };
