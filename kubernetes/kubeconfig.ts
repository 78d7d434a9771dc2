import { CLIENTS } from "../model/identities";
import { kubeletUser } from "../model/names";
import { API_SERVER_PORT } from "../model/ports";

/** Someone who has a kubeconfig. */
export interface KubeconfigUser {
  /** The stem of the certificate's file, which the kubeconfig is named after too. */
  readonly stem: string;
  /** The common name of the certificate. */
  readonly user: string;
  /** The host at which the API server is reached. */
  readonly host: string;
}

/** The address of an API server at a host. */
export function apiServer(host: string): string {
  return `https://${host}:${API_SERVER_PORT}`;
}

/**
 * The users of part 2. The controller manager and the scheduler reach the API server on their own machine, all others
 * the load balancer.
 * @param publicAddress - the load balancer's name
 * @param kubelets - the names of workers, and their host names
 */
export function kubeconfigUsers(
  publicAddress: string,
  kubelets: readonly { readonly name: string; readonly hostname: string }[],
): KubeconfigUser[] {
  const client = (stem: string, host: string) => ({ stem, user: CLIENTS[stem]?.commonName as string, host });
  return [
    client("admin", publicAddress),
    client("kube-controller-manager", "127.0.0.1"),
    client("kube-proxy", publicAddress),
    client("kube-scheduler", "127.0.0.1"),
    ...kubelets.map(({ name, hostname }) => ({ stem: name, user: kubeletUser(hostname), host: publicAddress })),
  ];
}

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

/**
 * A kubeconfig with embedded certificates and a context `default`, as `kubectl config` writes it: a secret. Names are
 * quoted, since YAML takes a cluster's name like 2024 or no for something else.
 */
export function kubeconfig({ clusterName, server, user, authority, certificate, key }: KubeconfigProps): string {
  const [cluster, name] = [JSON.stringify(clusterName), JSON.stringify(user)];
  return `apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: ${authority}
    server: ${server}
  name: ${cluster}
contexts:
- context:
    cluster: ${cluster}
    user: ${name}
  name: default
current-context: default
kind: Config
preferences: {}
users:
- name: ${name}
  user:
    client-certificate-data: ${certificate}
    client-key-data: ${key}
`;
}
