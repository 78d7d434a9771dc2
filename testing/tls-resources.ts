import "reflect-metadata";
import { createPrivateKey, createPublicKey, generateKeyPair, randomBytes, webcrypto } from "node:crypto";
import { promisify } from "node:util";
import * as x509 from "@peculiar/x509";
import { argumentsOf, type Block, resourcesOf, type TerraformJson } from "../cloud/terraform-json";

/** The computed attributes of resources, by Terraform address. */
export type Computed = Record<string, Record<string, string>>;

const HOUR = 3_600_000;
const SUBJECT_ALTERNATIVE_NAME = "2.5.29.17";
const RSA = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };

/** The key usages of this project, by the tls provider's names. */
const KEY_USAGES: Record<string, x509.KeyUsageFlags> = {
  digital_signature: x509.KeyUsageFlags.digitalSignature,
  key_encipherment: x509.KeyUsageFlags.keyEncipherment,
  cert_signing: x509.KeyUsageFlags.keyCertSign,
  crl_signing: x509.KeyUsageFlags.cRLSign,
};
const EXTENDED_KEY_USAGES: Record<string, x509.ExtendedKeyUsage> = {
  server_auth: x509.ExtendedKeyUsage.serverAuth,
  client_auth: x509.ExtendedKeyUsage.clientAuth,
};

/** The parts of a subject in the order in which the tls provider encodes them. */
const SUBJECT_ORDER: readonly (readonly [argument: string, attribute: string])[] = [
  ["country", "C"],
  ["province", "ST"],
  ["locality", "L"],
  ["organization", "O"],
  ["organizational_unit", "OU"],
  ["common_name", "CN"],
];

/** Computes a resource's attributes from its arguments, like the tls provider 4.1.0. */
type Compute = (args: Block) => Promise<Record<string, string>>;

/** The known resource types: their arguments, and the function that computes their attributes. */
const RESOURCE_TYPES: readonly (readonly [
  type: string,
  known: Record<string, "needed" | "optional">,
  compute: Compute,
])[] = [
  ["tls_private_key", { algorithm: "needed", rsa_bits: "optional" }, privateKey],
  [
    "tls_self_signed_cert",
    {
      private_key_pem: "needed",
      subject: "needed",
      allowed_uses: "needed",
      validity_period_hours: "needed",
      early_renewal_hours: "optional",
      is_ca_certificate: "optional",
      set_subject_key_id: "optional",
    },
    selfSignedCert,
  ],
  [
    "tls_cert_request",
    { private_key_pem: "needed", subject: "needed", dns_names: "optional", ip_addresses: "optional" },
    certRequest,
  ],
  [
    "tls_locally_signed_cert",
    {
      cert_request_pem: "needed",
      ca_private_key_pem: "needed",
      ca_cert_pem: "needed",
      allowed_uses: "needed",
      validity_period_hours: "needed",
      early_renewal_hours: "optional",
      set_subject_key_id: "optional",
    },
    locallySignedCert,
  ],
];

/**
 * Issues real keys and certificates for the `tls_*` resources of synthesized JSON. It reads only the JSON.
 * @param json - the synthesized JSON
 * @param known - the attributes of other resources, and those of existing `tls_*` resources
 * @returns `known`, with the attributes of every `tls_*` resource added
 * @throws Error on an unknown argument, use or part of a subject, and on an unknown reference
 */
export async function issueTls(json: TerraformJson, known: Computed): Promise<Computed> {
  const computed: Computed = { ...known };
  for (const [type, knownArguments, compute] of RESOURCE_TYPES) {
    await Promise.all(
      Object.entries(resourcesOf(json, type)).map(async ([name, block]) => {
        const address = `${type}.${name}`;
        const args = argumentsOf(block);
        for (const argument of Object.keys(args)) {
          if (!Object.hasOwn(knownArguments, argument)) throw new Error(`${address}: unknown argument ${argument}`);
        }
        for (const [argument, presence] of Object.entries(knownArguments)) {
          if (presence === "needed" && args[argument] === undefined) throw new Error(`${address}: no ${argument}`);
        }
        computed[address] ??= await compute(resolveReferences(args, computed) as Block);
      }),
    );
  }
  const unknownType = Object.keys(json.resource).find(
    (type) => type.startsWith("tls_") && !RESOURCE_TYPES.some(([known]) => known === type),
  );
  if (unknownType !== undefined) throw new Error(`unknown type ${unknownType}`);
  return computed;
}

/** Replaces each `${type.name.attribute}` in a value with the attribute's value. */
export function resolveReferences(value: unknown, computed: Computed): unknown {
  if (Array.isArray(value)) return value.map((element) => resolveReferences(element, computed));
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, resolveReferences(inner, computed)]));
  }
  if (typeof value !== "string") return value;
  return value.replace(/\$\{([\w-]+\.[\w-]+)\.([\w-]+)\}/g, (reference, address, attribute) => {
    const found = computed[address]?.[attribute];
    if (found === undefined) throw new Error(`${reference} refers to nothing known`);
    return found;
  });
}

async function privateKey({ algorithm, rsa_bits }: Block): Promise<Record<string, string>> {
  if (algorithm === "ED25519") {
    const { privateKey, publicKey } = await promisify(generateKeyPair)("ed25519");
    return {
      private_key_pem: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
      public_key_pem: publicKey.export({ type: "spki", format: "pem" }).toString(),
    };
  }
  if (algorithm !== "RSA") throw new Error(`unknown algorithm ${algorithm}`);
  const { privateKey, publicKey } = await promisify(generateKeyPair)("rsa", { modulusLength: rsa_bits });
  return {
    // PKCS#1, which cfssl writes too.
    private_key_pem: privateKey.export({ type: "pkcs1", format: "pem" }).toString(),
    public_key_openssh: `${openSshPublicKey(publicKey.export({ format: "jwk" }))}\n`,
  };
}

async function selfSignedCert(args: Block): Promise<Record<string, string>> {
  const subject = subjectName(args.subject);
  const { publicKey, signingKey } = await importKey(args.private_key_pem);
  const certificate = await x509.X509CertificateGenerator.create({
    ...validity(args.validity_period_hours),
    subject,
    issuer: subject,
    publicKey,
    signingKey,
    signingAlgorithm: RSA,
    extensions: await commonExtensions(args, publicKey),
  });
  return { cert_pem: `${certificate.toString("pem")}\n` };
}

async function certRequest(args: Block): Promise<Record<string, string>> {
  const { publicKey, signingKey } = await importKey(args.private_key_pem);
  const names: x509.JsonGeneralNames = [
    ...(args.dns_names ?? []).map((value: string) => ({ type: "dns" as const, value })),
    ...(args.ip_addresses ?? []).map((value: string) => ({ type: "ip" as const, value })),
  ];
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: subjectName(args.subject),
    keys: { publicKey, privateKey: signingKey },
    signingAlgorithm: RSA,
    extensions: names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)],
  });
  return { cert_request_pem: `${request.toString("pem")}\n` };
}

async function locallySignedCert(args: Block): Promise<Record<string, string>> {
  const request = new x509.Pkcs10CertificateRequest(args.cert_request_pem);
  const ca = new x509.X509Certificate(args.ca_cert_pem);
  const { signingKey } = await importKey(args.ca_private_key_pem);
  const publicKey = await request.publicKey.export();
  const authorityKeyId = ca.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId;
  const names = request.extensions.find(({ type }) => type === SUBJECT_ALTERNATIVE_NAME);
  const certificate = await x509.X509CertificateGenerator.create({
    ...validity(args.validity_period_hours),
    subject: request.subjectName.toJSON(),
    issuer: ca.subjectName.toJSON(),
    publicKey,
    signingKey,
    signingAlgorithm: RSA,
    extensions: [
      ...(await commonExtensions(args, publicKey)),
      ...(authorityKeyId === undefined ? [] : [new x509.AuthorityKeyIdentifierExtension(authorityKeyId)]),
      ...(names === undefined ? [] : [new x509.SubjectAlternativeNameExtension(names.rawData)]),
    ],
  });
  return { cert_pem: `${certificate.toString("pem")}\n` };
}

async function commonExtensions(args: Block, publicKey: webcrypto.CryptoKey): Promise<x509.Extension[]> {
  let usages = 0;
  const extended: x509.ExtendedKeyUsage[] = [];
  for (const use of args.allowed_uses as string[]) {
    if (KEY_USAGES[use] !== undefined) usages |= KEY_USAGES[use];
    else if (EXTENDED_KEY_USAGES[use] !== undefined) extended.push(EXTENDED_KEY_USAGES[use]);
    else throw new Error(`unknown use ${use}`);
  }
  return [
    new x509.KeyUsagesExtension(usages, true),
    ...(extended.length === 0 ? [] : [new x509.ExtendedKeyUsageExtension(extended)]),
    new x509.BasicConstraintsExtension(args.is_ca_certificate === true, undefined, true),
    ...(args.set_subject_key_id === true ? [await x509.SubjectKeyIdentifierExtension.create(publicKey)] : []),
  ];
}

function subjectName([subject, ...others]: Block[]): x509.JsonName {
  if (subject === undefined || others.length > 0) throw new Error("expected one subject");
  const unknown = Object.keys(subject).find((part) => !SUBJECT_ORDER.some(([argument]) => argument === part));
  if (unknown !== undefined) throw new Error(`unknown part of a subject: ${unknown}`);
  return SUBJECT_ORDER.filter(([argument]) => subject[argument] !== undefined).map(([argument, attribute]) => ({
    [attribute]: [subject[argument]],
  }));
}

function validity(hours: number): { serialNumber: string; notBefore: Date; notAfter: Date } {
  const notBefore = new Date(Math.floor(Date.now() / 1000) * 1000);
  // The first byte must be below 0x80: otherwise the serial number is negative.
  const serial = randomBytes(16);
  serial[0] = (serial[0] as number) & 0x7f;
  return {
    serialNumber: serial.toString("hex"),
    notBefore,
    notAfter: new Date(notBefore.getTime() + hours * HOUR),
  };
}

async function importKey(pem: string): Promise<{ publicKey: webcrypto.CryptoKey; signingKey: webcrypto.CryptoKey }> {
  const key = createPrivateKey(pem);
  const spki = createPublicKey(key).export({ type: "spki", format: "der" });
  return {
    signingKey: await webcrypto.subtle.importKey("pkcs8", key.export({ type: "pkcs8", format: "der" }), RSA, true, [
      "sign",
    ]),
    publicKey: await webcrypto.subtle.importKey("spki", spki, RSA, true, ["verify"]),
  };
}

/** The format of RFC 4253, section 6.6: name, exponent and modulus, each after its length. */
function openSshPublicKey({ e, n }: webcrypto.JsonWebKey): string {
  const field = (bytes: Buffer) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  };
  const number = (base64url: string) => Buffer.concat([Buffer.from([0]), Buffer.from(base64url, "base64url")]);
  const blob = [Buffer.from("ssh-rsa"), Buffer.from(e as string, "base64url"), number(n as string)].map(field);
  return `ssh-rsa ${Buffer.concat(blob).toString("base64")}`;
}
