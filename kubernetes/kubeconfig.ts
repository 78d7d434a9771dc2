import { identities, type ServerNames } from "../model/identities";
import { API_SERVER_PORT } from "../model/ports";
import { quoted, value } from "./yaml";

/** A user with a kubeconfig. */
export interface KubeconfigUser {
  /** The start of the file names of the certificate and the kubeconfig. */
  readonly fileName: string;
  /** The common name of the certificate. */
  readonly user: string;
  /** The host of the API server. */
  readonly host: string;
}

/** The URL of the API server on a host. */
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

/** Properties of a {@link kubeconfig}. */
export interface KubeconfigProps {
  /** The cluster's name. */
  readonly clusterName: string;
  /** The URL of the API server, `https://host:6443`. */
  readonly server: string;
  /** The user's name in the file. The API server takes the user from the certificate. */
  readonly user: string;
  /** The CA's certificate, PEM in base64. */
  readonly ca: string;
  /** The user's certificate, PEM in base64. */
  readonly certificate: string;
  /** The user's key, PEM in base64; a secret. */
  readonly key: string;
}

/**
 * A kubeconfig with embedded certificates and a context `default`, as `kubectl config` writes it. It is a secret. No
 * value can add a field.
 */
export function kubeconfig({ clusterName, server, user, ca, certificate, key }: KubeconfigProps): string {
  const [cluster, name] = [quoted(clusterName), quoted(user)];
  return `apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: ${value(ca)}
    server: ${value(server)}
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
    client-certificate-data: ${value(certificate)}
    client-key-data: ${value(key)}
`;
}
