import { ec2Hostname, isAddress } from "../model/addressing";
import {
  FRONT_PROXY_CA,
  FRONT_PROXY_CLIENT,
  type Identity,
  identities,
  type NodeFacts,
  serverNames,
} from "../model/identities";
import { CA } from "../model/layout";
import type { NodeRole } from "../model/names";
import { type Arguments, type Configuration, nameOf, typeOf } from "./arguments";
import { KNOWN_LATER } from "./changes";
import { machinesOf, withoutHash } from "./siblings";

/** A certificate request after a change. */
export interface Request {
  readonly address: string;
  /** A value by its path without indexes; undefined if it is not set. */
  readonly value: (path: string) => unknown;
  /** Whether values are those of a plan, which has addresses in place of references. */
  readonly isPlanned: boolean;
}

/** The place of a service network's address among those of the API server: it is a setting. */
const SERVICE_ADDRESSES = 1;

/** The domain of private host names in a region. */
export const INTERNAL_DOMAIN = /(?:^|\.)(ec2|[a-z0-9-]+\.compute)\.internal$/;

/** Whether a resource has a name of this project. In a stack of its own, cdktf adds a prefix and a hash. */
export function isNamed(address: string, name: string): boolean {
  return new RegExp(`(^|_)${name}(_[0-9A-F]{8})?$`).test(nameOf(address));
}

/** The certificate of a cluster with Kubernetes that another CA signs. */
const FRONT_PROXY: Identity = {
  fileName: FRONT_PROXY_CLIENT,
  commonName: FRONT_PROXY_CLIENT,
  neededUses: ["clientAuth"],
};

/** The certificates of a configuration, with the names that they may have. */
function identitiesOf(configuration: Configuration): readonly Identity[] {
  const nodes = [...machinesOf(configuration).values()].flatMap(({ address, id, role, privateIp }): NodeFacts[] => {
    if (privateIp === undefined) return [];
    const hostname = ec2Hostname(privateIp);
    return [{ id, name: id, role: role as NodeRole, hostname, privateIp, publicIp: `\${${address}.public_ip}` }];
  });
  const [balancer] = [...configuration.keys()].filter((address) => typeOf(address) === "aws_lb");
  const names = serverNames({ publicAddress: `\${${balancer}.dns_name}`, serviceAddress: "127.0.0.1", nodes });
  return [...identities(names), FRONT_PROXY];
}

/** Whether a resource is the certificate of the CA for extension API servers, or the key of this CA. */
export function isFrontProxyCa(address: string): boolean {
  return isNamed(address, `${FRONT_PROXY_CA}[-_](certificate|private-key)`);
}

/** Whether a CA's certificate is that of the CA for extension API servers, for its own key. */
export function isKnownFrontProxyCa(address: string, configuration: Configuration): boolean {
  return (
    isFrontProxyCa(address) &&
    [...configuration.keys()].filter((other) => typeOf(other) === typeOf(address) && isFrontProxyCa(other)).length ===
      1 &&
    hasOwnKey(address, configuration)
  );
}

/**
 * Whether a request is one of this project: the user, the group, the names, the addresses and the key belong to its name, and
 * no other request has this name.
 */
export function isKnownRequest({ address, value, isPlanned }: Request, configuration: Configuration): boolean {
  const identity = identitiesOf(configuration).find(({ id, fileName }) =>
    isNamed(address, `${id ?? fileName}-request`),
  );
  if (identity === undefined) return false;
  const organization = String(value("subject.organization") ?? "");
  const list = (path: string) => [value(path) ?? []].flat().map(String);
  const isServer = (identity.dnsNames ?? []).length > 0;
  const isOther = (known: readonly string[] = []) => {
    return (name: string) => !known.includes(name) && !(isPlanned && isServer && name === KNOWN_LATER);
  };
  const dnsNames = list("dns_names")
    .filter(isOther(identity.dnsNames))
    .filter((name) => !(INTERNAL_DOMAIN.test(name) && identity.dnsNames?.includes(name.split(".")[0] as string)));
  const ipAddresses = list("ip_addresses").filter(isOther(identity.ipAddresses));
  // In a plan, the load balancer's name and a machine's public address are no references.
  const planned = isPlanned && isServer ? 1 : 0;
  const isApiServer = identity.id === undefined && isServer;
  return (
    String(value("subject.common_name") ?? "") === identity.commonName &&
    // Without a group of its own, a certificate has the subject's organization, which must be no group of Kubernetes.
    (identity.organization === undefined
      ? !organization.startsWith("system:")
      : organization === identity.organization) &&
    dnsNames.length <= (isApiServer ? planned : 0) &&
    ipAddresses.length <= (isApiServer ? SERVICE_ADDRESSES : planned) &&
    (isPlanned || ipAddresses.every(isAddress)) &&
    hasOwnKey(address, configuration)
  );
}

/** Whether a request, or a CA's certificate, is for the key of the same name. A configuration without it has no expressions. */
function hasOwnKey(address: string, configuration: Configuration): boolean {
  const key = configuration.get(address)?.get("private_key_pem");
  if (key === undefined) return !configuration.has(address);
  const [, name = ""] =
    /^\$\{(?:module\.[\w.-]+\.)?tls_private_key\.([\w-]+)\.private_key_pem\}$/.exec(String(key)) ?? [];
  return withoutHash(name) === withoutHash(nameOf(address)).replace(/(request|certificate)$/, "private-key");
}

/** The uses of every certificate of this project, except the CA's. */
const USES = ["digital_signature", "key_encipherment", "server_auth", "client_auth"];

/** Whether a certificate is the one that the CA for extension API servers signs. */
function isByFrontProxy(address: string): boolean {
  return isNamed(address, `${FRONT_PROXY_CLIENT}[-_]certificate`);
}

/** The references of such a certificate to its CA: to the certificate and to the key. */
const FRONT_PROXY_REFERENCES = new RegExp(
  String.raw`(tls_self_signed_cert|tls_private_key)\.(\w*?)${FRONT_PROXY_CA}(?=[-_](certificate|private-key)[._])`,
  "g",
);

/**
 * Whether a certificate is signed as every other: by the same CA, for the same time, for the same uses, for the request of the
 * same name. One certificate is signed by the CA for extension API servers.
 */
export function isKnownCertificate(address: string, configuration: Configuration): boolean {
  const block = configuration.get(address) ?? new Map();
  const request = /^\$\{(?:module\.[\w.-]+\.)?tls_cert_request\.([\w-]+)\.cert_request_pem\}$/;
  const [, name = ""] = request.exec(String(block.get("cert_request_pem"))) ?? [];
  const others = [...configuration].filter(([other]) => typeOf(other) === "tls_locally_signed_cert");
  const signed = ([each, arguments_]: readonly [string, Arguments]) => {
    const text = JSON.stringify([...arguments_].filter(([path]) => path !== "cert_request_pem").sort());
    return isByFrontProxy(each) ? text.replaceAll(FRONT_PROXY_REFERENCES, `$1.$2${CA}`) : text;
  };
  const sameCa = (text: string) => text.replaceAll(/_[0-9A-F]{8}(?=\.)/g, "");
  return (
    withoutHash(name) === withoutHash(nameOf(address)).replace(/certificate$/, "request") &&
    [block.get("allowed_uses") ?? []].flat().every((use) => USES.includes(String(use))) &&
    (!isByFrontProxy(address) || [...JSON.stringify([...block]).matchAll(FRONT_PROXY_REFERENCES)].length === 2) &&
    others.every((other) =>
      isByFrontProxy(other[0]) === isByFrontProxy(address)
        ? signed(other) === signed([address, block])
        : sameCa(signed(other)) === sameCa(signed([address, block])),
    )
  );
}
