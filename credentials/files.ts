import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { ec2Hostname } from "../constructs/addressing";
import { encryptionConfig } from "../constructs/encryption-config";
import { apiServer, type KubeconfigUser, kubeconfig, kubeconfigUsers } from "../constructs/kubeconfig";
import { CredentialsError, type DeployedCluster } from "./stack";

/** Who has a kubeconfig in a cluster. */
export function usersOf(cluster: DescribedCluster): KubeconfigUser[] {
  const hostname = (worker: string) => ec2Hostname(cluster.nodes[worker]?.private_ip as string);
  return kubeconfigUsers(
    cluster.publicAddress,
    machinesOf(cluster, "worker").map((worker) => ({ name: worker, hostname: hostname(worker) })),
  );
}

/** The Name tags of the machines of a role. */
export function machinesOf({ name, nodes }: DescribedCluster, role: "master" | "worker"): string[] {
  return Object.keys(nodes).filter((node) => node.startsWith(`${name}-${role}-`));
}

/** What a folder says of its cluster, in {@link DESCRIPTION}: nothing secret. */
export type DescribedCluster = Pick<DeployedCluster, "name" | "publicAddress" | "serviceAddress" | "nodes">;

/** The file that says which cluster a folder is of. */
export const DESCRIPTION = "cluster.json";

/** A name as clusters and machines have them; it comes into paths, and onto machines into scripts. */
const NAME = z.string().regex(/^[\w][\w.-]*$/);

const ADDRESS = z.string().regex(/^[\d.]*$/);

const DESCRIBED = z.object({
  name: NAME,
  publicAddress: z.string(),
  serviceAddress: z.string(),
  nodes: z.record(NAME, z.object({ private_ip: ADDRESS, public_ip: ADDRESS })),
});

/** The cluster that a folder is of. @throws CredentialsError where it does not say */
export function describedCluster(folder: string): DescribedCluster {
  try {
    return DESCRIBED.parse(JSON.parse(readFileSync(join(folder, DESCRIPTION), "utf8")));
  } catch (error) {
    throw new CredentialsError(
      `'--out' must be a folder that \`npm run credentials\` has written, got: ${folder} (${error instanceof z.ZodError ? `${DESCRIPTION} is not as it was written` : (error as Error).message})`,
    );
  }
}

/** The folder of all pairs, from which part 2 copies. */
export const PAIRS = "ca-authority";

/** The folders in it. */
export const FOLDERS = [PAIRS, "kubeconfigs", "ssh"];

/** The file with the key that encrypts secrets in etcd. */
export const ENCRYPTION_CONFIG = "encryption-config.yaml";

/** The files that are named after a cluster or its workers, so that another cluster's do not take their places. */
export function namedFiles(cluster: DescribedCluster): string[] {
  return [
    `ssh/${cluster.name}.id_rsa`,
    ...machinesOf(cluster, "worker").flatMap((worker) => [
      `${PAIRS}/${worker}.pem`,
      `${PAIRS}/${worker}-key.pem`,
      `kubeconfigs/${worker}.kubeconfig`,
    ]),
  ];
}

/** The name that EncryptionKey gives a key. */
function encryptionKeyName(base64: string): string {
  return `key-${createHash("sha256").update(base64).digest("hex").slice(0, 8)}`;
}

/** All that a folder holds, by path. */
export function credentialFiles(cluster: DeployedCluster): Record<string, string> {
  const { name, publicAddress, serviceAddress, nodes, sshPrivateKey, pemFiles, encryptionKey } = cluster;
  const base64 = (file: string) => Buffer.from(pemFiles[file] ?? "").toString("base64");
  const description: DescribedCluster = { name, publicAddress, serviceAddress, nodes };
  return {
    // Nothing in here is for a repository, wherever the folder lies.
    ".gitignore": "*\n",
    [DESCRIPTION]: `${JSON.stringify(description, null, 2)}\n`,
    [`ssh/${name}.id_rsa`]: sshPrivateKey,
    ...Object.fromEntries(Object.entries(pemFiles).map(([file, content]) => [`${PAIRS}/${file}`, content])),
    ...Object.fromEntries(
      usersOf(cluster).map(({ stem, user, host }) => [
        `kubeconfigs/${stem}.kubeconfig`,
        kubeconfig({
          clusterName: name,
          server: apiServer(host),
          user,
          authority: base64("ca.pem"),
          certificate: base64(`${stem}.pem`),
          key: base64(`${stem}-key.pem`),
        }),
      ]),
    ),
    [ENCRYPTION_CONFIG]: encryptionConfig({ name: encryptionKeyName(encryptionKey), base64: encryptionKey }),
  };
}
