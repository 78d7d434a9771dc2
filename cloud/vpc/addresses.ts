/** The name of the router's interface to the outside: the internet gateway. */
export const GATEWAY = "gateway";

/** The router's address on its link to the outside. */
export const GATEWAY_ADDRESS = "100.64.0.1";

/** The address of programs outside of every VPC, as machines see it. It is a documentation address (RFC 5737). */
export const OUTSIDE_ADDRESS = "198.51.100.1";

/** The metadata service's address, the same in each VPC. */
export const METADATA_ADDRESS = "169.254.169.254";

/** The resolver's second address, the same in each VPC. */
export const RESOLVER_ADDRESS = "169.254.169.253";

/** The beginning of the metadata service's answer with a session token. The firewall finds the answer by it. */
export const TOKEN_ANSWER = { status: "HTTP/1.1 200 OK\r\n", header: "X-Aws-Ec2-Metadata-Token-Ttl-Seconds" } as const;
