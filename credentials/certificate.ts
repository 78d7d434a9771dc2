import "reflect-metadata";
import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import * as x509 from "@peculiar/x509";

/** The fields of a certificate that the checks read. */
export interface CertificateFacts {
  /** All common names, separated by commas: programs differ in which one they use. */
  readonly commonName: string;
  /** All organizations, separated by commas. */
  readonly organization: string;
  /** The hash algorithm of the signature: `SHA-256`. */
  readonly hash: string;
  /** DNS names of type `dns`, and addresses of type `ip`. */
  readonly names: readonly string[];
  readonly uses: readonly string[];
  /** Whether its basic constraints mark it as a CA certificate. */
  readonly isCa: boolean;
  /** Whether it is a CA certificate whose key may sign certificates. */
  readonly mayCertify: boolean;
  /** Whether its key may sign a handshake. */
  readonly maySign: boolean;
  readonly authorityKeyId?: string;
  readonly subjectKeyId?: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** The parsed certificate, to verify signatures and keys. */
  readonly x509: X509Certificate;
}

const USES: Readonly<Record<string, string>> = {
  [x509.ExtendedKeyUsage.serverAuth]: "serverAuth",
  [x509.ExtendedKeyUsage.clientAuth]: "clientAuth",
};

/** Reads a certificate. @throws Error if the text is not a PEM certificate */
export function readFacts(pem: string): CertificateFacts {
  const certificate = new x509.X509Certificate(pem);
  const isCa = certificate.getExtension(x509.BasicConstraintsExtension)?.ca === true;
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
    isCa,
    mayCertify: isCa && (usages & x509.KeyUsageFlags.keyCertSign) !== 0,
    maySign: (usages & x509.KeyUsageFlags.digitalSignature) !== 0,
    authorityKeyId: certificate.getExtension(x509.AuthorityKeyIdentifierExtension)?.keyId,
    subjectKeyId: certificate.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId,
    notBefore: certificate.notBefore,
    notAfter: certificate.notAfter,
    x509: new X509Certificate(pem),
  };
}
