import { execFileSync } from "node:child_process";
import { cpSync, existsSync, readFileSync, rmSync } from "node:fs";
import { Agent } from "node:http";
import { join } from "node:path";
import { NodeHttpHandler } from "@smithy/node-http-handler";

/** Where the emulator, moto, is installed: a Python environment of its own, beside what else the cloud keeps. */
export const PYTHON_FOLDER = join(__dirname, "..", ".cloud", "python");

const REQUIREMENTS = join(__dirname, "requirements.txt");
/** The copy that says what is installed, written last. */
const INSTALLED = join(PYTHON_FOLDER, "requirements.txt");

/** Where the emulator listens in its network; Terraform's providers and the AWS CLI are told by AWS_ENDPOINT_URL. */
export const ENDPOINT_URL = "http://127.0.0.1:5000";

/** Whether the emulator is installed in the version that is asked for. */
export function isEmulatorInstalled(): boolean {
  return existsSync(INSTALLED) && readFileSync(INSTALLED).equals(readFileSync(REQUIREMENTS));
}

/**
 * Installs the emulator unless it is there.
 * @throws Error where Python or the package index is missing
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
 * How the emulator is started: it listens at {@link ENDPOINT_URL} and at a socket file, for programs elsewhere, and writes
 * what Terraform calls to a file.
 */
export function emulatorCommand(socket: string, calls: string): { command: readonly string[]; env: NodeJS.ProcessEnv } {
  return {
    command: [join(PYTHON_FOLDER, "bin/python"), join(__dirname, "emulator.py"), socket, calls],
    env: { PATH: process.env.PATH, MOTO_AMIS_PATH: join(__dirname, "images.json") },
  };
}

/** What a client of the AWS SDK is made with to talk to the emulator through its socket file. */
export function clientConfiguration(socket: string, region: string) {
  // The SDK asks for Node 22 from 2027 on; cdktf's CLI does not run there later than that.
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = "true";
  // Node's agents pass their options on to each connection, socketPath too, though the types do not say so.
  const httpAgent = new Agent({ keepAlive: true, socketPath: socket } as ConstructorParameters<typeof Agent>[0]);
  return {
    region,
    endpoint: "http://localhost",
    credentials: CREDENTIALS,
    requestHandler: new NodeHttpHandler({ httpAgent }),
  };
}

/** The emulator takes any. */
export const CREDENTIALS = { accessKeyId: "emulated", secretAccessKey: "emulated" };
