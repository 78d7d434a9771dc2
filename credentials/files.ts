import { createHash } from "node:crypto";
import { existsSync, lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { encryptionConfig } from "../kubernetes/encryption-config";
import { apiServer, type KubeconfigUser, kubeconfig, kubeconfigUsers } from "../kubernetes/kubeconfig";
import { ec2Hostname } from "../model/addressing";
import { npmRun } from "../model/commands";
import {
  FRONT_PROXY,
  FRONT_PROXY_CA,
  type Identity,
  identities,
  type NodeFacts,
  type ServerNames,
  serverNames,
} from "../model/identities";
import { CA, ENCRYPTION_CONFIG_FILE, FILE_NAMES, sshKeyPath } from "../model/layout";
import { ENCRYPTION_KEY_DIGITS, encryptionKeyName, roleOf } from "../model/names";
import { UserError } from "../model/user-error";
import { ADDRESS, HOST, NAME, NODES } from "./outputs";
import { readRegularFile } from "./regular-file";
import type { DeployedCluster } from "./stack";

/** The names in the server certificates of a cluster. */
export function serverNamesOf(cluster: DescribedCluster): ServerNames {
  return serverNames({ ...cluster, nodes: nodesOf(cluster) });
}

/** The users of a cluster that have a kubeconfig. */
export function usersOf(cluster: DescribedCluster): KubeconfigUser[] {
  return kubeconfigUsers(cluster.publicAddress, serverNamesOf(cluster));
}

/** The machines of a cluster, without those whose names contain no role. */
export function nodesOf({ name: clusterName, nodes }: DescribedCluster): NodeFacts[] {
  return Object.entries(nodes).flatMap(([name, { private_ip, public_ip }]) => {
    const id = name.slice(clusterName.length + 1);
    const role = roleOf(id);
    if (role === undefined || !name.startsWith(`${clusterName}-`)) return [];
    return [{ name, id, role, hostname: ec2Hostname(private_ip), privateIp: private_ip, publicIp: public_ip }];
  });
}

/** The facts of a cluster in {@link DESCRIPTION}. None of them is secret. */
export interface DescribedCluster extends Pick<DeployedCluster, "name" | "publicAddress" | "serviceAddress" | "nodes"> {
  /** Present if the apply installs Kubernetes on the machines. The cluster then has a second CA, {@link FRONT_PROXY_CA}. */
  readonly kubernetes?: true;
}

/** The file that describes the cluster of a folder. */
export const DESCRIPTION = "cluster.json";

const DESCRIBED = z.object({
  name: NAME,
  publicAddress: HOST,
  serviceAddress: ADDRESS,
  kubernetes: z.literal(true).optional(),
  nodes: NODES,
});

/**
 * Reads the description of a folder's cluster.
 * @param option - the option that selects the folder, for messages
 * @throws UserError if it is missing or invalid
 */
export function describedCluster(folder: string, option = "--out"): DescribedCluster {
  try {
    return DESCRIBED.parse(JSON.parse(readRegularFile(join(folder, DESCRIPTION))));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const problem =
      code === "ENOENT"
        ? `has no ${DESCRIPTION}`
        : code === undefined
          ? `has an invalid ${DESCRIPTION}`
          : `cannot be read: ${(error as Error).message}`;
    throw new UserError(
      `'${option}' must be a folder that \`npm run credentials\` wrote, got: ${folder}, which ${existsSync(folder) ? problem : "does not exist"}`,
    );
  }
}

/** The folder of all certificates and keys, from which part 2 copies. */
export const PAIRS = "ca-authority";

const KUBECONFIGS = "kubeconfigs";

/** The subfolders of a credentials folder. */
export const FOLDERS = [PAIRS, KUBECONFIGS, "ssh"];

/** The mode of each file of a credentials folder. */
export const FILE_MODE = 0o600;

/** The mode of a credentials folder and its subfolders. */
export const FOLDER_MODE = 0o700;

/** The paths of a certificate and its key in a credentials folder. */
export function pairPaths(fileName: string): readonly [certificate: string, key: string] {
  return [`${PAIRS}/${FILE_NAMES.certificate(fileName)}`, `${PAIRS}/${FILE_NAMES.key(fileName)}`];
}

/** The path of a user's kubeconfig in a credentials folder. */
export function kubeconfigPath(fileName: string): string {
  return `${KUBECONFIGS}/${FILE_NAMES.kubeconfig(fileName)}`;
}

/** The file with the key that encrypts secrets in etcd. */
export const ENCRYPTION_CONFIG = ENCRYPTION_CONFIG_FILE;

/** The file that makes git ignore the folder. */
export const GIT_IGNORE = ".gitignore";

/** Whether a path is a folder. A link to a folder is not one. */
export function isFolder(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** The paths of the regular files in a folder and in its {@link FOLDERS}. Links are not followed. */
export function filesIn(folder: string): string[] {
  return ["", ...FOLDERS]
    .filter((subfolder) => isFolder(join(folder, subfolder)))
    .flatMap((subfolder) =>
      readdirSync(join(folder, subfolder), { withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map(({ name }) => join(subfolder, name)),
    )
    .sort();
}

/**
 * The files that not every cluster has, because their names contain a cluster's or worker's name, or because they are the
 * second CA's. Another cluster's files do not overwrite them.
 */
export function ownFiles(cluster: DescribedCluster): string[] {
  return [
    sshKeyPath(cluster.name),
    ...(cluster.kubernetes ? FRONT_PROXY_PAIRS.flatMap(pairPaths) : []),
    ...serverNamesOf(cluster).kubelets.flatMap(({ name }) => [...pairPaths(name), kubeconfigPath(name)]),
  ];
}

/** The start of the file names of the second CA's certificate and of the one that it signs. */
const FRONT_PROXY_PAIRS = [FRONT_PROXY_CA, FRONT_PROXY.fileName];

/** A CA, and the certificates that it signs. */
export interface Authority {
  /** The start of the CA's file names. */
  readonly ca: string;
  readonly identities: readonly Identity[];
}

/** The CAs of a cluster: first the one that signs every certificate except the second CA's. */
export function authoritiesOf(cluster: DescribedCluster): readonly Authority[] {
  return [
    { ca: CA, identities: identities(serverNamesOf(cluster)) },
    ...(cluster.kubernetes ? [{ ca: FRONT_PROXY_CA, identities: [FRONT_PROXY] }] : []),
  ];
}

/** The file names of a certificate and its key. */
function pemNames(fileName: string): string[] {
  return [FILE_NAMES.certificate(fileName), FILE_NAMES.key(fileName)];
}

/**
 * The content of every file of a credentials folder, by path.
 * @throws UserError if a certificate or key is missing
 */
export function credentialFiles(cluster: DeployedCluster): Record<string, string> {
  const { name, publicAddress, serviceAddress, nodes, sshPrivateKey, pemFiles, encryptionKey } = cluster;
  // Only an apply that installs Kubernetes makes the second CA. An interrupted one may have made a part of it.
  const hasSecondCa = FRONT_PROXY_PAIRS.flatMap(pemNames).some((file) => pemFiles[file] !== undefined);
  const description: DescribedCluster = {
    name,
    publicAddress,
    serviceAddress,
    ...(hasSecondCa && { kubernetes: true }),
    nodes,
  };
  const pairs = authoritiesOf(description).flatMap(({ ca, identities }) => [
    ca,
    ...identities.map(({ fileName }) => fileName),
  ]);
  const missing = pairs.flatMap(pemNames).find((file) => pemFiles[file] === undefined);
  if (missing !== undefined) {
    throw new UserError(`the deployed ${name} lacks ${missing}: \`${npmRun("deploy")}\` adds it`);
  }
  const base64 = (file: string) => Buffer.from(pemFiles[file] as string).toString("base64");
  const digits = createHash("sha256").update(encryptionKey).digest("hex").slice(0, ENCRYPTION_KEY_DIGITS);
  return {
    // No file of the folder belongs in a repository.
    [GIT_IGNORE]: "*\n",
    [DESCRIPTION]: `${JSON.stringify(description, null, 2)}\n`,
    [sshKeyPath(name)]: sshPrivateKey,
    ...Object.fromEntries(Object.entries(pemFiles).map(([file, content]) => [`${PAIRS}/${file}`, content])),
    ...Object.fromEntries(
      usersOf(cluster).map(({ fileName, user, host }) => [
        kubeconfigPath(fileName),
        kubeconfig({
          clusterName: name,
          server: apiServer(host),
          user,
          ca: base64(FILE_NAMES.certificate(CA)),
          certificate: base64(FILE_NAMES.certificate(fileName)),
          key: base64(FILE_NAMES.key(fileName)),
        }),
      ]),
    ),
    [ENCRYPTION_CONFIG]: encryptionConfig({ name: encryptionKeyName(digits), base64: encryptionKey }),
  };
}
