import { identities, type ServerNames } from "../model/identities";
import { API_SERVER_PORT } from "../model/ports";

/** A user with a kubeconfig. */
export interface KubeconfigUser {
  /** The start of the names of its certificate's and its kubeconfig's files. */
  readonly fileName: string;
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
 * The users of a cluster that have a kubeconfig.
 * @param publicAddress - the load balancer's name
 */
export function kubeconfigUsers(publicAddress: string, names: ServerNames): KubeconfigUser[] {
  return identities(names).flatMap(({ fileName, commonName, kubeconfig }) =>
    kubeconfig === undefined
      ? []
      : [{ fileName, user: commonName, host: kubeconfig.apiServer === "local" ? "127.0.0.1" : publicAddress }],
  );
}

/** The content of a {@link kubeconfig}. */
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
