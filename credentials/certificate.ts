import "reflect-metadata";
import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import * as x509 from "@peculiar/x509";

/** What is checked of a certificate. */
export interface CertificateFacts {
  /** All of them, where there are several: programs differ in which they take. */
  readonly commonName: string;
  readonly organization: string;
  /** The hash that was signed: `SHA-256`. */
  readonly hash: string;
  /** DNS names, and addresses that are said to be such. */
  readonly names: readonly string[];
  readonly uses: readonly string[];
  /** Whether its basic constraints say that it is an authority. */
  readonly isAuthority: boolean;
  /** Whether it is an authority whose key may sign certificates. */
  readonly mayCertify: boolean;
  /** Whether its key may sign a handshake. */
  readonly maySign: boolean;
  readonly authorityKeyId?: string;
  readonly subjectKeyId?: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** For signatures and keys. */
  readonly x509: X509Certificate;
}

const USES: Readonly<Record<string, string>> = {
  [x509.ExtendedKeyUsage.serverAuth]: "serverAuth",
  [x509.ExtendedKeyUsage.clientAuth]: "clientAuth",
};

/** Reads a certificate. @throws Error where it is none */
export function readFacts(pem: string): CertificateFacts {
  const certificate = new x509.X509Certificate(pem);
  const isAuthority = certificate.getExtension(x509.BasicConstraintsExtension)?.ca === true;
  const usages = certificate.getExtension(x509.KeyUsagesExtension)?.usages ?? 0;
  const names = certificate.getExtension(x509.SubjectAlternativeNameExtension)?.names.toJSON() ?? [];
  return {
    commonName: certificate.subjectName.getField("CN").join(", "),
    organization: certificate.subjectName.getField("O").join(", "),
    hash: certificate.signatureAlgorithm.hash.name,
    names: names.filter(({ type, value }) => type === (isIP(value) ? "ip" : "dns")).map(({ value }) => value),
    uses: (certificate.getExtension(x509.ExtendedKeyUsageExtension)?.usages ?? []).map(
      (oid) => USES[String(oid)] ?? String(oid),
    ),
    isAuthority,
    mayCertify: isAuthority && (usages & x509.KeyUsageFlags.keyCertSign) !== 0,
    maySign: (usages & x509.KeyUsageFlags.digitalSignature) !== 0,
    authorityKeyId: certificate.getExtension(x509.AuthorityKeyIdentifierExtension)?.keyId,
    subjectKeyId: certificate.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId,
    notBefore: certificate.notBefore,
    notAfter: certificate.notAfter,
    x509: new X509Certificate(pem),
  };
}
