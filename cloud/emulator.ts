import { execFileSync, spawnSync } from "node:child_process";
import { chownSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { Agent } from "node:http";
import { dirname, join } from "node:path";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { UserError } from "../model/user-error";

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
 * Installs the emulator unless it is installed. Only files with the hashes of requirements.txt are installed, and none of
 * them runs meanwhile. pip runs as the owner of the project's folder, and as root only if root owns it or if the owner
 * cannot run Python.
 * @throws UserError if the package index cannot be reached, or has other files
 */
export function installEmulator(): void {
  if (isEmulatorInstalled()) return;
  rmSync(PYTHON_FOLDER, { recursive: true, force: true });
  mkdirSync(PYTHON_FOLDER, { recursive: true, mode: 0o700 });
  const user = installer();
  for (const folder of [dirname(PYTHON_FOLDER), PYTHON_FOLDER]) chownSync(folder, user.uid, user.gid);
  // Its home is the target, because the owner may not read root's configuration and cache.
  const env = { ...process.env, ...(user.uid !== 0 && { HOME: PYTHON_FOLDER }) };
  const run = (program: string, ...args: string[]) =>
    execFileSync(program, args, { ...user, env, stdio: ["ignore", "ignore", "pipe"] });
  const pip = ["install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--requirement", REQUIREMENTS];
  try {
    run("python3", "-m", "venv", PYTHON_FOLDER);
    run(join(PYTHON_FOLDER, "bin/pip"), ...pip);
  } catch (error) {
    rmSync(PYTHON_FOLDER, { recursive: true });
    const lines = String((error as { stderr?: Buffer }).stderr ?? (error as Error).message)
      .trim()
      .split("\n");
    const reason = lines.find((line) => line.startsWith("ERROR: ")) ?? lines.at(-1);
    throw new UserError(`moto cannot be installed from the Python package index: ${reason}`);
  }
  cpSync(REQUIREMENTS, INSTALLED);
}

/** The user who installs the emulator. */
function installer(): { readonly uid: number; readonly gid: number } {
  const { uid, gid } = statSync(join(__dirname, ".."));
  const canRun = spawnSync("python3", ["-c", ""], { uid, gid, stdio: "ignore" }).status === 0;
  return canRun ? { uid, gid } : { uid: process.getuid?.() as number, gid: process.getgid?.() as number };
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
