import { isDeepStrictEqual } from "node:util";
import {
  BUNDLE,
  readDistributionScript,
  SCRIPT_PATH,
  STAGING_SCRIPT,
  STAGING_SCRIPT_PATH,
} from "../model/distribution";
import { NODE_USER } from "../model/names";
import { type Arguments, type Configuration, withoutIndexes } from "./arguments";

/** A file of a distribution, with its content as the configuration has it. A folder has none; its path ends with a slash. */
export interface CopiedFile {
  readonly content: unknown;
  readonly mode: string;
  readonly owner: string;
}

/** The paths of the provisioners of a distribution. */
const STAGING_INLINE = "provisioner(first).remote-exec.inline";
/** The argument with the contents of a distribution's files. */
export const CONTENT = `provisioner(${BUNDLE}).file.content`;
const SCRIPT_INLINE = "provisioner(last).remote-exec.inline";

/** The values of a distribution that never differ. Every other value is a reason to report its commands. */
const FIXED: Readonly<Record<string, unknown>> = {
  [STAGING_INLINE]: STAGING_SCRIPT,
  [`provisioner(${BUNDLE}).file.destination`]: BUNDLE,
};
const FIXED_CONNECTION: Readonly<Record<string, unknown>> = {
  "connection.type": "ssh",
  "connection.user": NODE_USER,
  "connection.agent": "false",
  "connection.script_path": SCRIPT_PATH,
  "provisioner(first).remote-exec.connection.type": "ssh",
  "provisioner(first).remote-exec.connection.script_path": STAGING_SCRIPT_PATH,
};
/** The arguments with the contents and places of a distribution's files. */
export const BUNDLE_ARGUMENTS: readonly string[] = [CONTENT, SCRIPT_INLINE];
const FREE_CONNECTION = [
  "connection.host",
  "connection.private_key",
  "connection.timeout",
  "provisioner(first).remote-exec.connection.host",
];

/** An argument of a connection. */
const CONNECTION = /(^|\.)connection\./;

/**
 * Reads a resource that copies files as `FileDistribution` does.
 * @returns its files and folders by path, and its commands; undefined if any provisioner or connection differs from a distribution's
 */
export function readDistribution(
  block: Arguments,
): { readonly files: ReadonlyMap<string, CopiedFile>; readonly activate: readonly string[] } | undefined {
  const paths = [...block.keys()].filter((path) => /^(provisioner|connection)\b/.test(path));
  // The JSON of a plan does not contain connections.
  const hasConnections = paths.some((path) => CONNECTION.test(path));
  const fixed = { ...FIXED, ...(hasConnections ? FIXED_CONNECTION : {}) };
  const expected = [...Object.keys(fixed), ...BUNDLE_ARGUMENTS, ...(hasConnections ? FREE_CONNECTION : [])];
  const inline = block.get(SCRIPT_INLINE);
  const script = Array.isArray(inline) ? readDistributionScript(inline) : undefined;
  if (
    script === undefined ||
    // Both scripts and the bundle go to the same machine.
    block.get("connection.host") !== block.get("provisioner(first).remote-exec.connection.host") ||
    !isDeepStrictEqual([...paths].sort(), [...expected].sort()) ||
    !Object.entries(fixed).every(([path, value]) => isDeepStrictEqual(block.get(path), value))
  ) {
    return undefined;
  }
  // Each row of the script has one line in the bundle.
  const bundle = String(block.get(CONTENT)).split("\n");
  const files = script.files.map(({ path, mode, owner }, index) => {
    return [path, { content: bundle[index], mode, owner }] as const;
  });
  const folders = script.folders.map((path) => {
    return [`${path}/`, { content: undefined, mode: "0755", owner: "root" }] as const;
  });
  return { files: new Map<string, CopiedFile>([...folders, ...files]), activate: script.activate };
}

/** The reference to a machine's address. */
const MACHINE = /^\$\{(aws_instance\.[\w-]+)\.(public_ip|private_ip|public_dns|private_dns)\}$/;

/** The address of the machine to which a copy connects; undefined if it is none of the configuration. */
export function machineOf(block: Arguments, configuration: Configuration): string | undefined {
  const machine = MACHINE.exec(String(block.get("connection.host")))?.[1];
  return machine !== undefined && configuration.has(machine) ? machine : undefined;
}

/** The hosts of a resource's connections that are not machines of the configuration. */
export function foreignHosts(block: Arguments, configuration: Configuration): unknown[] {
  return [...block].flatMap(([path, host]) => {
    const name = withoutIndexes(path);
    if (!CONNECTION.test(name) || !/\.(host|bastion_host|proxy_host)$/.test(name)) return [];
    const machine = MACHINE.exec(String(host))?.[1];
    return machine !== undefined && configuration.has(machine) ? [] : [host];
  });
}
