/** The TCP port of the Kubernetes API server. */
export const API_SERVER_PORT = 6443;

/**
 * The load balancer's health check of API servers, in seconds. The interval is the shortest that AWS allows, and the timeout must
 * not be longer.
 */
export const API_HEALTH_CHECK = {
  protocol: "HTTPS",
  matcher: "200-399",
  interval: 5,
  timeout: 4,
  healthyThreshold: 2,
  unhealthyThreshold: 2,
} as const;

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
