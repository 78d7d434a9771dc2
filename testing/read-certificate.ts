import "reflect-metadata";
import { createHash, createPublicKey } from "node:crypto";
import { AsnConvert } from "@peculiar/asn1-schema";
import { Certificate, type Name } from "@peculiar/asn1-x509";
import * as x509 from "@peculiar/x509";

/** Every field of a certificate except the random and time-dependent ones: serial number, key and dates. */
export interface CertificateFields {
  /** 3 for X.509 v3. */
  readonly version: number;
  readonly signature: string;
  readonly key: string;
  /** `C=UK` and so on, in the order of encoding, each with its string type. */
  readonly subject: readonly string[];
  readonly issuer: readonly string[];
  readonly hours: number;
  readonly keyUsage: readonly string[];
  readonly extendedKeyUsage: readonly string[];
  readonly isCa: boolean;
  readonly pathLength: number | null;
  /** The names of the critical extensions. */
  readonly critical: readonly string[];
  /** Whether the subject key identifier is the SHA-1 of the key's bits. */
  readonly subjectKeyIdIsHashOfKey: boolean;
  readonly authorityKeyId: string | null;
  readonly subjectKeyId: string | null;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
}

const EXTENSIONS: Record<string, string> = {
  "2.5.29.15": "keyUsage",
  "2.5.29.37": "extendedKeyUsage",
  "2.5.29.19": "basicConstraints",
  "2.5.29.14": "subjectKeyId",
  "2.5.29.35": "authorityKeyId",
  "2.5.29.17": "subjectAltName",
};

const ATTRIBUTES: Record<string, string> = {
  "2.5.4.6": "C",
  "2.5.4.8": "ST",
  "2.5.4.7": "L",
  "2.5.4.10": "O",
  "2.5.4.11": "OU",
  "2.5.4.3": "CN",
};

const SIGNATURES: Record<string, string> = { "1.2.840.113549.1.1.11": "sha256WithRSAEncryption" };

const EXTENDED_KEY_USAGES: Record<string, string> = {
  [x509.ExtendedKeyUsage.serverAuth]: "serverAuth",
  [x509.ExtendedKeyUsage.clientAuth]: "clientAuth",
};

/**
 * Reads a certificate.
 * @throws Error on an unknown extension
 */
export function readCertificate(pem: string): CertificateFields {
  const certificate = new x509.X509Certificate(pem);
  const { tbsCertificate } = AsnConvert.parse(certificate.rawData, Certificate);
  for (const { type } of certificate.extensions) {
    if (EXTENSIONS[type] === undefined) throw new Error(`unknown extension ${type}`);
  }
  const usage = certificate.getExtension(x509.KeyUsagesExtension)?.usages ?? 0;
  const constraints = certificate.getExtension(x509.BasicConstraintsExtension);
  const names = certificate.getExtension(x509.SubjectAlternativeNameExtension)?.names.toJSON() ?? [];
  const subjectKeyId = certificate.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId ?? null;
  const { n, e } = createPublicKey(pem).export({ format: "jwk" });

  return {
    version: tbsCertificate.version + 1,
    signature: SIGNATURES[tbsCertificate.signature.algorithm] ?? tbsCertificate.signature.algorithm,
    key: `RSA-${Buffer.from(n as string, "base64url").length * 8} e=${Buffer.from(e as string, "base64url").readUIntBE(0, 3)}`,
    subject: encodedName(tbsCertificate.subject),
    issuer: encodedName(tbsCertificate.issuer),
    hours: (certificate.notAfter.getTime() - certificate.notBefore.getTime()) / 3_600_000,
    keyUsage: Object.entries(x509.KeyUsageFlags)
      .filter(([, flag]) => typeof flag === "number" && (usage & flag) !== 0)
      .map(([name]) => name),
    extendedKeyUsage: [...(certificate.getExtension(x509.ExtendedKeyUsageExtension)?.usages ?? [])].map(
      (oid) => EXTENDED_KEY_USAGES[String(oid)] ?? String(oid),
    ),
    isCa: constraints?.ca ?? false,
    pathLength: constraints?.pathLength ?? null,
    critical: [...certificate.extensions].flatMap(({ critical, type }) =>
      critical ? [EXTENSIONS[type] as string] : [],
    ),
    subjectKeyIdIsHashOfKey: subjectKeyId === sha1(tbsCertificate.subjectPublicKeyInfo.subjectPublicKey),
    authorityKeyId: certificate.getExtension(x509.AuthorityKeyIdentifierExtension)?.keyId ?? null,
    subjectKeyId,
    dnsNames: names.filter(({ type }) => type === "dns").map(({ value }) => value),
    ipAddresses: names.filter(({ type }) => type === "ip").map(({ value }) => value),
  };
}

/** The parts of a name in the order of encoding, each with its string type. */
function encodedName(name: Name): string[] {
  return [...name].flatMap((set) =>
    [...set].map(({ type, value }) => {
      const [kind, text] = Object.entries(value).find(([, content]) => content !== undefined) as [string, string];
      return `${ATTRIBUTES[type] ?? type}=${text} ${kind}`;
    }),
  );
}

function sha1(bytes: ArrayBuffer): string {
  return createHash("sha1").update(Buffer.from(bytes)).digest("hex");
}
