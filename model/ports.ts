/** The TCP port of the Kubernetes API server. */
export const API_SERVER_PORT = 6443;

/** The CIDR of all IPv4 addresses. */
export const ANYWHERE = "0.0.0.0/0";
