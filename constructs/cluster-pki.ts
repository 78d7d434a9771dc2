import { CertRequest } from "@cdktf/provider-tls/lib/cert-request";
import { LocallySignedCert } from "@cdktf/provider-tls/lib/locally-signed-cert";
import { PrivateKey } from "@cdktf/provider-tls/lib/private-key";
import { SelfSignedCert } from "@cdktf/provider-tls/lib/self-signed-cert";
import { Construct } from "constructs";
import { LIMITS, mustBe } from "../model/formats";
import {
  FRONT_PROXY,
  FRONT_PROXY_CA,
  FRONT_PROXY_CLIENT,
  type Identity,
  identities,
  type ServerNames,
} from "../model/identities";
import { CA, FILE_NAMES } from "../model/layout";
import {
  lifetimeProblems,
  type PkiLifetimes,
  RENEWAL_HOURS,
  resolveLifetimes,
  VALIDITY_HOURS,
} from "../model/lifetimes";
import { assertProp, assertWholeNumber } from "./assertions";

/** The subject of all certificates, without the common name. A field that is not set is not in the certificates. */
export interface PkiSubject {
  /** C: a country code of two capital letters. */
  readonly country?: string;
  /** ST, at most 64 characters. */
  readonly province?: string;
  /** L, at most 64 characters. */
  readonly locality?: string;
  /** O of the CA and of certificates without a Kubernetes group, at most 64 characters. */
  readonly organization?: string;
  /** OU, at most 64 characters. */
  readonly organizationalUnit?: string;
}

/** Properties of a {@link ClusterPki}. */
export interface ClusterPkiProps extends ServerNames {
  /** Subject of all certificates. */
  readonly subject: PkiSubject;
  /** Lifetimes of the certificates. */
  readonly lifetimes: PkiLifetimes;
  /** Whether there is a second CA, with the certificate that API servers present to extension API servers. @default false */
  readonly frontProxy?: boolean;
}

/** A certificate with its key. */
export interface CertificateAndKey {
  /** The certificate, PEM. */
  readonly certificatePem: string;
  /** The key, PKCS#1 in PEM; a secret. */
  readonly privateKeyPem: string;
}

/** The key usages that cfssl calls signing, key encipherment, server auth and client auth. etcd's peers need the last two. */
const LEAF_USES = ["digital_signature", "key_encipherment", "server_auth", "client_auth"];

/**
 * The certificate authority (CA) of a cluster and every certificate that it signs, as the tutorial creates them with cfssl.
 * The apply creates the keys. They are stored only in Terraform's state.
 *
 * @throws Error if the subject exceeds X.509's limits, if lifetimes conflict with each other, or if a kubelet has the name of
 *   another certificate
 */
export class ClusterPki extends Construct {
  /** The CA. */
  readonly certificateAuthority: CertificateAndKey;
  /** The certificates that the CA signs, by the start of their file names. */
  readonly certificates: Readonly<Record<string, CertificateAndKey>>;
  private readonly frontProxy: Readonly<Record<string, CertificateAndKey>> = {};

  constructor(scope: Construct, id: string, props: ClusterPkiProps) {
    super(scope, id);
    const { subject } = props;
    const lifetimes = resolveLifetimes(props.lifetimes);
    const rows = identities(props);
    checkSubject(subject);
    checkLifetimes(lifetimes);
    const names = [CA, FRONT_PROXY_CA, FRONT_PROXY_CLIENT, ...rows.map(({ fileName }) => fileName)];
    names.forEach((name, index) => {
      if (names.indexOf(name) < index)
        throw new Error(mustBe("kubelets", "a list without the names of other certificates", name));
    });

    this.certificateAuthority = this.addCa(CA, { ...subject, commonName: "Kubernetes" }, lifetimes);
    this.certificates = Object.fromEntries(
      rows.map((row) => [
        row.fileName,
        this.addCertificate(
          row,
          { ...subject, organization: row.organization ?? subject.organization },
          lifetimes,
          this.certificateAuthority,
        ),
      ]),
    );
    if (props.frontProxy) {
      const authority = this.addCa(FRONT_PROXY_CA, { ...subject, commonName: FRONT_PROXY_CA }, lifetimes);
      this.frontProxy = {
        [FRONT_PROXY_CA]: authority,
        [FRONT_PROXY_CLIENT]: this.addCertificate(FRONT_PROXY, subject, lifetimes, authority),
      };
    }
  }

  /**
   * The certificate and the key of an identity.
   * @param name - the start of the file names: `ca`, a key of {@link certificates}, or, with `frontProxy`, `front-proxy-ca` or
   *   `front-proxy-client`
   * @throws Error if there is no such certificate
   */
  pair(name: string): CertificateAndKey {
    const pair = this.pairs[name];
    if (pair === undefined) throw new Error(mustBe("name", `one of ${Object.keys(this.pairs).join(", ")}`, name));
    return pair;
  }

  /** All certificates and keys in PEM, by file name: those of the CA and of every identity. */
  get files(): Readonly<Record<string, string>> {
    return Object.fromEntries(
      Object.entries(this.pairs).flatMap(([name, { certificatePem, privateKeyPem }]) => [
        [FILE_NAMES.certificate(name), certificatePem],
        [FILE_NAMES.key(name), privateKeyPem],
      ]),
    );
  }

  private get pairs(): Readonly<Record<string, CertificateAndKey>> {
    return { [CA]: this.certificateAuthority, ...this.certificates, ...this.frontProxy };
  }

  private addCa(
    fileName: string,
    subject: PkiSubject & { readonly commonName: string },
    lifetimes: Required<PkiLifetimes>,
  ): CertificateAndKey {
    const scope = new Construct(this, fileName);
    const { privateKeyPem } = rsaKey(scope);
    const { certPem: certificatePem } = new SelfSignedCert(scope, "certificate", {
      privateKeyPem,
      subject: [subject],
      isCaCertificate: true,
      // OpenSSL ignores case when it compares names, so the CA (Kubernetes) and the API server (kubernetes) have the same
      // name for it. The key identifiers distinguish them. The provider copies the CA's identifier into the certificates
      // that the CA signs.
      setSubjectKeyId: true,
      allowedUses: ["cert_signing", "crl_signing"],
      validityPeriodHours: lifetimes.caValidityHours,
      earlyRenewalHours: lifetimes.caEarlyRenewalHours || undefined,
    });
    return { certificatePem, privateKeyPem };
  }

  private addCertificate(
    row: Identity,
    subject: PkiSubject,
    lifetimes: Required<PkiLifetimes>,
    authority: CertificateAndKey,
  ): CertificateAndKey {
    const scope = new Construct(this, row.id ?? row.fileName);
    const { privateKeyPem } = rsaKey(scope);
    const { certRequestPem } = new CertRequest(scope, "request", {
      privateKeyPem,
      subject: [{ ...subject, commonName: row.commonName }],
      dnsNames: row.dnsNames && [...row.dnsNames],
      ipAddresses: row.ipAddresses && [...row.ipAddresses],
    });
    const { certPem: certificatePem } = new LocallySignedCert(scope, "certificate", {
      certRequestPem,
      caPrivateKeyPem: authority.privateKeyPem,
      caCertPem: authority.certificatePem,
      setSubjectKeyId: true,
      allowedUses: LEAF_USES,
      validityPeriodHours: lifetimes.validityHours,
      earlyRenewalHours: lifetimes.earlyRenewalHours || undefined,
    });
    return { certificatePem, privateKeyPem };
  }
}

function rsaKey(scope: Construct): PrivateKey {
  return new PrivateKey(scope, "private-key", { algorithm: "RSA", rsaBits: 2048 });
}

function checkSubject({ country, ...fields }: PkiSubject): void {
  if (country !== undefined) assertProp("subject.country", LIMITS.country, country);
  for (const [field, value] of Object.entries(fields)) {
    if (value !== undefined) assertProp(`subject.${field}`, LIMITS.subjectField, value);
  }
}

function checkLifetimes(lifetimes: Required<PkiLifetimes>): void {
  for (const [name, hours] of Object.entries(lifetimes)) {
    assertWholeNumber(`lifetimes.${name}`, name.includes("Renewal") ? RENEWAL_HOURS : VALIDITY_HOURS, hours);
  }
  const [problem] = lifetimeProblems(lifetimes, "lifetimes.");
  if (problem !== undefined) throw new Error(mustBe(problem.name, problem.allowed, problem.got));
}
