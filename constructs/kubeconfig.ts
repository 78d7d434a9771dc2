/** What a {@link kubeconfig} says. */
export interface KubeconfigProps {
  /** The cluster's name. */
  readonly clusterName: string;
  /** The API server, `https://host:6443`. */
  readonly server: string;
  /** The user's name in the file; who it is to the API server, its certificate says. */
  readonly user: string;
  /** The authority's certificate, PEM in base64. */
  readonly authority: string;
  /** The user's certificate, PEM in base64. */
  readonly certificate: string;
  /** The user's key, PEM in base64; a secret. */
  readonly key: string;
}

/** A kubeconfig with embedded certificates and a context `default`, as `kubectl config` writes it: a secret. */
export function kubeconfig({ clusterName, server, user, authority, certificate, key }: KubeconfigProps): string {
  return `apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: ${authority}
    server: ${server}
  name: ${clusterName}
contexts:
- context:
    cluster: ${clusterName}
    user: ${user}
  name: default
current-context: default
kind: Config
preferences: {}
users:
- name: ${user}
  user:
    client-certificate-data: ${certificate}
    client-key-data: ${key}
`;
}
