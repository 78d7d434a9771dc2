/** The port of the Kubernetes API server, TCP. */
export const API_SERVER_PORT = 6443;

/** Every IPv4 address there is. */
export const ANYWHERE = "0.0.0.0/0";
