/** The role of a machine. The tutorial calls a control plane node a master. */
export type NodeRole = "master" | "worker";

/** The id (name in Terraform) and the name (Name tag in EC2) of a node. */
export function nodeName(clusterName: string, role: NodeRole, index: number): { id: string; name: string } {
  const id = `${role}-${index}`;
  return { id, name: `${clusterName}-${id}` };
}

/** The role in a node's id: `master` in `master-0`; undefined if the id has no role. */
export function roleOf(id: string): NodeRole | undefined {
  return /^(master|worker)-\d+$/.exec(id)?.[1] as NodeRole | undefined;
}

/** The user name of a node's kubelet at the API server. The node authorizer requires this form. */
export function kubeletUser(hostname: string): string {
  return `system:node:${hostname}`;
}

/** The number of hexadecimal digits in the name of an encryption key. */
export const ENCRYPTION_KEY_DIGITS = 8;

/**
 * The name of a key that encrypts secrets in etcd. Each key needs another name.
 * @param digits - the first {@link ENCRYPTION_KEY_DIGITS} digits of the SHA-256 of the key in base64
 */
export function encryptionKeyName(digits: string): string {
  return `key-${digits}`;
}

/** The user of Ubuntu's images that logs in with the key pair. */
export const NODE_USER = "ubuntu";
