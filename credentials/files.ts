import { createHash } from "node:crypto";
import { existsSync, lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { encryptionConfig } from "../kubernetes/encryption-config";
import { apiServer, type KubeconfigUser, kubeconfig, kubeconfigUsers } from "../kubernetes/kubeconfig";
import { ec2Hostname } from "../model/addressing";
import { identities, type NodeFacts, type ServerNames, serverNames } from "../model/identities";
import { CA, ENCRYPTION_CONFIG_FILE, FILE_NAMES } from "../model/layout";
import { roleOf } from "../model/names";
import { CredentialsError, type DeployedCluster, NAME, NODES } from "./stack";

/** The names in the servers' certificates of a cluster. */
export function serverNamesOf(cluster: DescribedCluster): ServerNames {
  return serverNames({ ...cluster, nodes: nodesOf(cluster) });
}

/** The users of a cluster that have a kubeconfig. */
export function usersOf(cluster: DescribedCluster): KubeconfigUser[] {
  return kubeconfigUsers(cluster.publicAddress, serverNamesOf(cluster));
}

/** The machines of a cluster; not those whose names have no role in them. */
export function nodesOf({ name: clusterName, nodes }: DescribedCluster): NodeFacts[] {
  return Object.entries(nodes).flatMap(([name, { private_ip, public_ip }]) => {
    const id = name.slice(clusterName.length + 1);
    const role = roleOf(id);
    if (role === undefined || !name.startsWith(`${clusterName}-`)) return [];
    return [{ name, id, role, hostname: ec2Hostname(private_ip), privateIp: private_ip, publicIp: public_ip }];
  });
}

/** What a folder says of its cluster, in {@link DESCRIPTION}: nothing secret. */
export type DescribedCluster = Pick<DeployedCluster, "name" | "publicAddress" | "serviceAddress" | "nodes">;

/** The file that says which cluster a folder is of. */
export const DESCRIPTION = "cluster.json";

const DESCRIBED = z.object({ name: NAME, publicAddress: z.string(), serviceAddress: z.string(), nodes: NODES });

/** The cluster that a folder is of. @throws CredentialsError where it does not say */
export function describedCluster(folder: string): DescribedCluster {
  try {
    return DESCRIBED.parse(JSON.parse(readFileSync(join(folder, DESCRIPTION), "utf8")));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const fault =
      code === "ENOENT"
        ? `has no ${DESCRIPTION}`
        : code === undefined
          ? `has a ${DESCRIPTION} that is not as it was written`
          : `cannot be read: ${(error as Error).message}`;
    throw new CredentialsError(
      `'--out' must be a folder that \`npm run credentials\` has written, got: ${folder}, which ${existsSync(folder) ? fault : "is not there"}`,
    );
  }
}

/** The folder of all pairs, from which part 2 copies. */
export const PAIRS = "ca-authority";

const KUBECONFIGS = "kubeconfigs";

const SSH = "ssh";

/** The folders in it. */
export const FOLDERS = [PAIRS, KUBECONFIGS, SSH];

/** Where a certificate and its key are. */
export function pairPaths(stem: string): readonly [certificate: string, key: string] {
  return [`${PAIRS}/${FILE_NAMES.certificate(stem)}`, `${PAIRS}/${FILE_NAMES.key(stem)}`];
}

/** Where a user's kubeconfig is. */
export function kubeconfigPath(stem: string): string {
  return `${KUBECONFIGS}/${FILE_NAMES.kubeconfig(stem)}`;
}

/** Where the key that opens a cluster's machines is. */
export function sshKeyPath(clusterName: string): string {
  return `${SSH}/${clusterName}.id_rsa`;
}

/** The file with the key that encrypts secrets in etcd. */
export const ENCRYPTION_CONFIG = ENCRYPTION_CONFIG_FILE;

/** What keeps git from taking the folder in. */
export const GIT_IGNORE = ".gitignore";

/** Whether there is a folder, and not a link to one. */
export function isFolder(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** The paths of the files in a folder and in its {@link FOLDERS}; neither links nor what they lead to. */
export function filesIn(folder: string): string[] {
  return ["", ...FOLDERS]
    .filter((below) => isFolder(join(folder, below)))
    .flatMap((below) =>
      readdirSync(join(folder, below), { withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map(({ name }) => join(below, name)),
    )
    .sort();
}

/** The files that are named after a cluster or its workers, so that another cluster's do not take their places. */
export function namedFiles(cluster: DescribedCluster): string[] {
  return [
    sshKeyPath(cluster.name),
    ...serverNamesOf(cluster).kubelets.flatMap(({ name }) => [...pairPaths(name), kubeconfigPath(name)]),
  ];
}

/** The name that EncryptionKey gives a key. */
function encryptionKeyName(base64: string): string {
  return `key-${createHash("sha256").update(base64).digest("hex").slice(0, 8)}`;
}

/** The stems of the pairs that a cluster has. */
function pairsOf(cluster: DescribedCluster): string[] {
  return [CA, ...identities(serverNamesOf(cluster)).map(({ fileName }) => fileName)];
}

/** All that a folder holds, by path. @throws CredentialsError where the cluster lacks a certificate or key */
export function credentialFiles(cluster: DeployedCluster): Record<string, string> {
  const { name, publicAddress, serviceAddress, nodes, sshPrivateKey, pemFiles, encryptionKey } = cluster;
  for (const file of pairsOf(cluster).flatMap((stem) => [FILE_NAMES.certificate(stem), FILE_NAMES.key(stem)])) {
    if (pemFiles[file] === undefined) {
      throw new CredentialsError(`the deployed ${name} lacks ${file}: \`npm run deploy\` completes it`);
    }
  }
  const base64 = (file: string) => Buffer.from(pemFiles[file] as string).toString("base64");
  const description: DescribedCluster = { name, publicAddress, serviceAddress, nodes };
  return {
    // Nothing in here is for a repository, wherever the folder lies.
    [GIT_IGNORE]: "*\n",
    [DESCRIPTION]: `${JSON.stringify(description, null, 2)}\n`,
    [sshKeyPath(name)]: sshPrivateKey,
    ...Object.fromEntries(Object.entries(pemFiles).map(([file, content]) => [`${PAIRS}/${file}`, content])),
    ...Object.fromEntries(
      usersOf(cluster).map(({ fileName: stem, user, host }) => [
        kubeconfigPath(stem),
        kubeconfig({
          clusterName: name,
          server: apiServer(host),
          user,
          authority: base64(FILE_NAMES.certificate(CA)),
          certificate: base64(FILE_NAMES.certificate(stem)),
          key: base64(FILE_NAMES.key(stem)),
        }),
      ]),
    ),
    [ENCRYPTION_CONFIG]: encryptionConfig({ name: encryptionKeyName(encryptionKey), base64: encryptionKey }),
  };
}
