import { kubeletUser } from "../constructs";
import { ec2Hostname } from "../constructs/addressing";
import { encryptionConfig } from "../constructs/encryption-config";
import { kubeconfig } from "../constructs/kubeconfig";
import type { DeployedCluster } from "./stack";

/** The API server as its own machine reaches it. */
const HERE = "127.0.0.1";

const PORT = 6443;

/** Who gets a kubeconfig: the stem of its certificate, which the file is named after too. */
export interface KubeconfigUser {
  readonly stem: string;
  /** The common name of its certificate. */
  readonly user: string;
  /** Where it reaches the API server. */
  readonly server: string;
}

/** The users of part 2: those on control plane machines reach the API server there, all others the load balancer. */
export function kubeconfigUsers({ publicAddress, nodes, name }: DescribedCluster): KubeconfigUser[] {
  const row = (stem: string, user: string, host: string) => ({ stem, user, server: `https://${host}:${PORT}` });
  return [
    row("admin", "admin", publicAddress),
    row("kube-controller-manager", "system:kube-controller-manager", HERE),
    row("kube-proxy", "system:kube-proxy", publicAddress),
    row("kube-scheduler", "system:kube-scheduler", HERE),
    ...workers({ name, nodes }).map((worker) =>
      row(worker, kubeletUser(ec2Hostname(nodes[worker]?.private_ip as string)), publicAddress),
    ),
  ];
}

/** The Name tags of the workers. */
export function workers({ name, nodes }: Pick<DescribedCluster, "name" | "nodes">): string[] {
  return Object.keys(nodes).filter((node) => node.startsWith(`${name}-worker-`));
}

/** What a folder says of its cluster, in {@link DESCRIPTION}: nothing secret. */
export type DescribedCluster = Pick<DeployedCluster, "name" | "publicAddress" | "serviceAddress" | "nodes">;

/** The file that says which cluster a folder is of. */
export const DESCRIPTION = "cluster.json";

/** The folder of all pairs, from which part 2 copies. */
export const PAIRS = "ca-authority";

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
      kubeconfigUsers(cluster).map(({ stem, user, server }) => [
        `kubeconfigs/${stem}.kubeconfig`,
        kubeconfig({
          clusterName: name,
          server,
          user,
          authority: base64("ca.pem"),
          certificate: base64(`${stem}.pem`),
          key: base64(`${stem}-key.pem`),
        }),
      ]),
    ),
    "encryption-config.yaml": encryptionConfig(encryptionKey),
  };
}
