import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { start } from "../program";

/** The user id and the group id of the image's accounts. */
const ROOT = 0;
const UBUNTU = 1000;

/** The types of host keys that `ssh_keys` may contain. */
const KEY_TYPES = ["rsa", "ecdsa", "ed25519"] as const;

/** The properties of {@link prepareDisk}. */
export interface FirstBootProps {
  /** The host name, unless the user data has another. */
  readonly hostname: string;
  /** The user data, not in base64. */
  readonly userData: string;
  /** The lines of `authorized_keys` of the account `ubuntu`. */
  readonly authorizedKeys: readonly string[];
}

/**
 * Writes the files of a new machine to its disk: the host name, host keys for ssh, and the keys that log in to `ubuntu`.
 *
 * User data that begins with the line `#cloud-config` is read as cloud-init reads it. These keys are honoured:
 * - `hostname`, `fqdn`: the host name is the first label of `hostname`, otherwise of `fqdn`.
 * - `ssh_keys`: the host keys `rsa_private`, `rsa_public`, `ecdsa_private`, `ecdsa_public`, `ed25519_private` and
 *   `ed25519_public`. The machine has only these. A public key that is absent is computed.
 *
 * Other keys, and user data in another format, are ignored, such as the tutorial's `name=worker-0|pod-cidr=172.20.0.0/24`.
 *
 * @param disk - the machine's layer over the shared root
 * @param log - receives a line if the user data is not YAML, or a value is not a text
 */
export async function prepareDisk(disk: string, props: FirstBootProps, log: (line: string) => void): Promise<void> {
  const config = cloudConfig(props.userData, log);
  const name = text(config, "hostname", log) ?? text(config, "fqdn", log) ?? props.hostname;
  const hostname = name.split(".", 1)[0] as string;
  // The folders have the owners and modes of the root's: they take the place of these.
  makeFolder(disk, 0o755, ROOT);
  makeFolder(join(disk, "etc"), 0o755, ROOT);
  writeFile(join(disk, "etc/hostname"), hostname, 0o644, ROOT);
  makeFolder(join(disk, "etc/ssh"), 0o755, ROOT);
  const hostKeys = isMapping(config.ssh_keys) ? config.ssh_keys : undefined;
  await Promise.all(
    KEY_TYPES.map(async (type) => {
      const file = join(disk, `etc/ssh/ssh_host_${type}_key`);
      if (hostKeys === undefined) return makeHostKey(type, file, hostname);
      const key = text(hostKeys, `${type}_private`, log);
      if (key === undefined) return;
      writeFile(file, key, 0o600, ROOT);
      const publicKey = text(hostKeys, `${type}_public`, log) ?? (await publicKeyOf(file, `${type}_private`, log));
      if (publicKey !== undefined) writeFile(`${file}.pub`, publicKey, 0o644, ROOT);
    }),
  );
  makeFolder(join(disk, "home"), 0o755, ROOT);
  makeFolder(join(disk, "home/ubuntu"), 0o750, UBUNTU);
  makeFolder(join(disk, "home/ubuntu/.ssh"), 0o700, UBUNTU);
  writeFile(join(disk, "home/ubuntu/.ssh/authorized_keys"), props.authorizedKeys.join("\n"), 0o600, UBUNTU);
}

function cloudConfig(userData: string, log: (line: string) => void): Record<string, unknown> {
  if (userData.split("\n", 1)[0]?.trim() !== "#cloud-config") return {};
  try {
    const config: unknown = parse(userData) ?? {};
    if (isMapping(config)) return config;
    log("the user data is ignored: it is not a mapping");
  } catch (error) {
    log(`the user data is ignored: ${(error as Error).message.split("\n", 1)[0]}`);
  }
  return {};
}

/** The text of a key; undefined if the key is absent, or if its value is no text. */
function text(config: Record<string, unknown>, key: string, log: (line: string) => void): string | undefined {
  const value = config[key];
  if (typeof value === "string" && value.trim() !== "") return value;
  if (value !== undefined) log(`${key} in the user data is ignored: it must be a text`);
  return undefined;
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

async function makeHostKey(type: string, file: string, hostname: string): Promise<void> {
  const { status, output } = await start([
    "ssh-keygen",
    "-q",
    "-t",
    type,
    "-N",
    "",
    "-C",
    `root@${hostname}`,
    "-f",
    file,
  ]).ended;
  if (status !== 0) throw new Error(`ssh-keygen: ${output}`);
}

async function publicKeyOf(file: string, key: string, log: (line: string) => void): Promise<string | undefined> {
  const { status, output } = await start(["ssh-keygen", "-y", "-P", "", "-f", file]).ended;
  if (status === 0) return output;
  log(`${key} in the user data is a private key that ssh-keygen cannot read`);
  return undefined;
}

/** Creates a folder. The mode does not depend on the umask of this process. */
function makeFolder(path: string, mode: number, owner: number): void {
  mkdirSync(path, { recursive: true });
  chmodSync(path, mode);
  chownSync(path, owner, owner);
}

/** Writes a text file, with a newline at its end. */
function writeFile(path: string, content: string, mode: number, owner: number): void {
  writeFileSync(path, `${content.trimEnd()}\n`, { mode });
  chmodSync(path, mode);
  chownSync(path, owner, owner);
}
