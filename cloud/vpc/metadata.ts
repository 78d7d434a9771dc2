import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { createServer, type Server } from "node:http";
import { TOKEN_ANSWER } from "./addresses";
import type { Metadata } from "./state";

/** A machine, as the metadata service tells it. */
export interface MetadataMachine extends Metadata {
  readonly region: string;
  readonly privateIp: string;
  readonly publicIp?: string;
  readonly mac: string;
  readonly subnetCidr: string;
  readonly vpcCidrs: readonly string[];
}

/** A request to the metadata service. The names of headers are in lower case, as in Node. */
export interface MetadataRequest {
  readonly method: string;
  /** The path with its query. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

/** An answer of the metadata service. */
export interface MetadataAnswer {
  readonly status: number;
  readonly body: string;
  readonly type?: string;
  /** The lifetime of the session token in the body, in seconds. @default - the body is no token */
  readonly tokenSeconds?: number;
}

/** The versions of the service's tree, which are equal here. */
const VERSIONS = ["1.0", "2009-04-04", "2016-09-02", "2018-09-24", "2019-10-01", "2020-10-27", "2021-03-23", "latest"];

/** The lifetimes that a session token may have, in seconds. */
const TOKEN_SECONDS = { min: 1, max: 21600 };

const TOKEN_PATH = "/latest/api/token";
const TOKEN_HEADER = "x-aws-ec2-metadata-token";
const TTL_HEADER = "x-aws-ec2-metadata-token-ttl-seconds";

const REASONS: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
};

/** A folder or value of the service's tree. A value that the machine does not have is undefined, and is not listed. */
type Tree = string | undefined | { readonly [name: string]: Tree };

/** A function that answers the requests of machines. Its session tokens belong to one machine, and expire. */
export function metadataService(now: () => number = Date.now) {
  const key = randomBytes(32);
  /** A token: the time of its expiry (6 bytes, in milliseconds), 4 random bytes and a signature, 56 characters as in EC2. */
  const signature = (content: Buffer, machine: Metadata) =>
    createHmac("sha256", key).update(content).update(machine.instanceId).digest();
  const newToken = (seconds: number, machine: Metadata): string => {
    const content = randomBytes(10);
    content.writeUIntBE(now() + seconds * 1000, 0, 6);
    return Buffer.concat([content, signature(content, machine)]).toString("base64url");
  };
  const isValid = (token: string, machine: Metadata): boolean => {
    const bytes = Buffer.from(token, "base64url");
    if (bytes.length !== 42) return false;
    const content = bytes.subarray(0, 10);
    return timingSafeEqual(bytes.subarray(10), signature(content, machine)) && content.readUIntBE(0, 6) > now();
  };

  return ({ method, url, headers }: MetadataRequest, machine: MetadataMachine | undefined): MetadataAnswer => {
    if (machine === undefined) return failure(404);
    if (!machine.enabled) return failure(403);
    const path = url.replace(/[?#].*$/, "");
    if (path === TOKEN_PATH) {
      if (method !== "PUT") return failure(405);
      // A request that came through a proxy, perhaps from somebody else.
      if (headers["x-forwarded-for"] !== undefined) return failure(403);
      const seconds = wholeNumber(headers[TTL_HEADER]);
      if (!(seconds >= TOKEN_SECONDS.min && seconds <= TOKEN_SECONDS.max)) return failure(400);
      return { status: 200, body: newToken(seconds, machine), tokenSeconds: seconds };
    }
    if (method !== "GET" && method !== "HEAD") return failure(405);
    const token = headers[TOKEN_HEADER];
    if (token === undefined ? machine.tokens === "required" : !isValid(String(token), machine)) return failure(401);
    return lookUp(path, machine);
  };
}

/**
 * Starts the metadata service.
 * @param machineAt - the machine with a private address. The router's firewall lets only a machine's own address pass.
 */
export function listen(address: string, machineAt: (ip: string) => MetadataMachine | undefined): Promise<Server> {
  const answer = metadataService();
  const server = createServer(({ method = "", url = "/", headers, socket }, response) => {
    const { status, body, type, tokenSeconds } = answer(
      { method, url, headers },
      machineAt(socket.remoteAddress ?? ""),
    );
    // The firewall finds answers with a token by their first header.
    if (tokenSeconds !== undefined) response.setHeader(TOKEN_ANSWER.header, String(tokenSeconds));
    response.setHeader("Content-Type", type ?? "text/plain");
    response.setHeader("Content-Length", Buffer.byteLength(body));
    response.setHeader("Server", "EC2ws");
    response.writeHead(status);
    response.end(method === "HEAD" ? undefined : body);
  });
  return new Promise((resolve, reject) => server.once("error", reject).listen(80, address, () => resolve(server)));
}

/** The value at a path, or the list of a folder, in which folders end with a slash. */
function lookUp(path: string, machine: MetadataMachine): MetadataAnswer {
  const [version = "", ...names] = path.replace(/^\/+/, "").split("/");
  if (version === "") return { status: 200, body: VERSIONS.join("\n") };
  if (!VERSIONS.includes(version)) return failure(404);
  const tree = metadataTree(machine);
  // User data is also found with a slash behind it, as the tutorial types it.
  const isFolderPath = names.at(-1) === "" && names[0] !== "user-data";
  const found = names
    .filter(Boolean)
    .reduce<Tree>(
      (place, name) => (typeof place === "object" && Object.hasOwn(place, name) ? place[name] : undefined),
      tree,
    );
  if (found === undefined || (typeof found === "string" && isFolderPath)) return failure(404);
  if (typeof found === "string") {
    return { status: 200, body: found, ...(names[0] === "user-data" && { type: "application/octet-stream" }) };
  }
  const keys = names.filter(Boolean).join("/") === "meta-data/public-keys";
  const list = keys ? [`0=${machine.keyName}`] : listOf(found);
  return { status: 200, body: list.join("\n") };
}

function listOf(folder: { readonly [name: string]: Tree }): string[] {
  const present = Object.entries(folder).filter(([, value]) => value !== undefined);
  return present.map(([name, value]) => (typeof value === "object" ? `${name}/` : name)).sort();
}

/** Everything that the service tells a machine. */
function metadataTree(machine: MetadataMachine): { readonly [name: string]: Tree } {
  const { keyName, mac, privateIp, publicIp, publicHostname, hostname, vpcCidrs } = machine;
  const groups = machine.securityGroups?.join("\n");
  return {
    dynamic: { "instance-identity": { document: identityDocument(machine) } },
    "meta-data": {
      "ami-id": machine.ami,
      "ami-launch-index": "0",
      hostname,
      "instance-id": machine.instanceId,
      "instance-life-cycle": "on-demand",
      "instance-type": machine.instanceType,
      "local-hostname": hostname,
      "local-ipv4": privateIp,
      mac,
      network: {
        interfaces: {
          macs: {
            [mac]: {
              "device-number": "0",
              "local-hostname": hostname,
              "local-ipv4s": privateIp,
              mac,
              "public-hostname": publicHostname,
              "public-ipv4s": publicIp,
              "security-groups": groups,
              "subnet-ipv4-cidr-block": machine.subnetCidr,
              "vpc-ipv4-cidr-block": vpcCidrs[0],
              "vpc-ipv4-cidr-blocks": vpcCidrs.join("\n"),
            },
          },
        },
      },
      placement: { "availability-zone": machine.zone, region: machine.region },
      "public-hostname": publicHostname,
      "public-ipv4": publicIp,
      "public-keys": keyName === undefined ? undefined : { 0: { "openssh-key": machine.publicKey } },
      "security-groups": groups,
      services: { domain: "amazonaws.com", partition: "aws" },
    },
    "user-data": machine.userData || undefined,
  };
}

function identityDocument(machine: MetadataMachine): string {
  const document = {
    accountId: machine.accountId ?? "000000000000",
    architecture: machine.architecture ?? "x86_64",
    availabilityZone: machine.zone,
    billingProducts: null,
    devpayProductCodes: null,
    marketplaceProductCodes: null,
    imageId: machine.ami ?? null,
    instanceId: machine.instanceId,
    instanceType: machine.instanceType,
    kernelId: null,
    pendingTime: machine.launchTime ?? null,
    privateIp: machine.privateIp,
    ramdiskId: null,
    region: machine.region,
    version: "2017-09-30",
  };
  return JSON.stringify(document, null, 2);
}

/** A header's whole number; NaN if it is none. */
function wholeNumber(header: string | readonly string[] | undefined): number {
  return typeof header === "string" && /^\d+$/.test(header) ? Number(header) : Number.NaN;
}

/** An error page, as EC2 writes it. */
function failure(status: number): MetadataAnswer {
  const title = `${status} - ${REASONS[status]}`;
  const body = `<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>${title}</title>
 </head>
 <body>
  <h1>${title}</h1>
 </body>
</html>
`;
  return { status, body, type: "text/html" };
}
