/** The TCP port of the Kubernetes API server. */
export const API_SERVER_PORT = 6443;

/** The ports of etcd, TCP: the first for clients, the last for other members. */
export const ETCD_PORTS = [2379, 2380] as const;

/**
 * The first and the last port of services of type NodePort, TCP: the default of kube-apiserver.
 * @see https://kubernetes.io/docs/concepts/services-networking/service/#type-nodeport
 */
export const NODE_PORTS = [30000, 32767] as const;

/** The port of ssh, TCP. */
export const SSH_PORT = 22;

/** The CIDR of all IPv4 addresses. */
export const ANYWHERE = "0.0.0.0/0";
