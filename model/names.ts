/** What a machine is for; the tutorial's word for a control plane node is master. */
export type NodeRole = "master" | "worker";

/** A node's name in Terraform and its Name tag in EC2, which go together. */
export function nodeName(clusterName: string, role: NodeRole, index: number): { id: string; name: string } {
  const id = `${role}-${index}`;
  return { id, name: `${clusterName}-${id}` };
}

/** The role in a node's id: `master` in `master-0`; undefined where there is none. */
export function roleOf(id: string): NodeRole | undefined {
  return /^(master|worker)-\d+$/.exec(id)?.[1] as NodeRole | undefined;
}

/** The user as which a node's kubelet is known to the API server; the node authorizer insists on this form. */
export function kubeletUser(hostname: string): string {
  return `system:node:${hostname}`;
}

/** The user that Ubuntu's images open to the key pair. */
export const NODE_USER = "ubuntu";
