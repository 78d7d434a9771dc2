import { CertRequest } from "@cdktf/provider-tls/lib/cert-request";
import { LocallySignedCert } from "@cdktf/provider-tls/lib/locally-signed-cert";
import { PrivateKey } from "@cdktf/provider-tls/lib/private-key";
import { SelfSignedCert } from "@cdktf/provider-tls/lib/self-signed-cert";
import { Construct } from "constructs";
import { LIMITS, mustBe } from "../model/formats";
import { API_SERVICE_NAMES, CLIENTS } from "../model/identities";
import {
  lifetimeProblems,
  type PkiLifetimes,
  RENEWAL_HOURS,
  resolveLifetimes,
  VALIDITY_HOURS,
} from "../model/lifetimes";
import { kubeletUser } from "../model/names";
import { assertProp, assertWholeNumber } from "./assertions";
import type { PemFile } from "./file-distribution";

/** What all certificates' subjects have in common, and the organization where Kubernetes gives it no meaning. */
export interface PkiSubject {
  /** C: a country code of two capital letters. @default "UK", as in the tutorial; ISO 3166-1 has GB */
  readonly country?: string;
  /** ST, at most 64 characters. @default "London" */
  readonly province?: string;
  /** L, at most 64 characters. @default "England" */
  readonly locality?: string;
  /** O of the authority, the API server and the service accounts, at most 64 characters. @default "Kubernetes" */
  readonly organization?: string;
  /** OU, at most 64 characters. @default "DAREY.IO DEVOPS" */
  readonly organizationalUnit?: string;
}

/** A machine whose kubelet gets a certificate. */
export interface KubeletIdentity {
  /** Where it stands in this construct's tree, `worker-0`. @default - its name */
  readonly id?: string;
  /** The stem of its files, `k8s-cluster-from-ground-up-worker-0`. */
  readonly name: string;
  /** Its host name without domain, which is the node's name in Kubernetes. */
  readonly hostname: string;
  /** The addresses at which it is reached. */
  readonly ipAddresses: readonly string[];
}

/** What a {@link ClusterPki} needs to know. */
export interface ClusterPkiProps {
  /** @default - the tutorial's */
  readonly subject?: PkiSubject;
  /** @default - the tutorial's */
  readonly lifetimes?: PkiLifetimes;
  /** Where the API server is reached, beside 127.0.0.1 and the names of its service. */
  readonly apiServer: { readonly dnsNames: readonly string[]; readonly ipAddresses: readonly string[] };
  /** The machines with a kubelet. */
  readonly kubelets: readonly KubeletIdentity[];
}

/** A certificate with its key. */
export interface CertificateAndKey {
  /** The certificate, PEM. */
  readonly certificatePem: string;
  /** The key, PKCS#1 in PEM; a secret. */
  readonly privateKeyPem: string;
}

/** The subject's fields where none are given: the tutorial's. */
export const DEFAULT_SUBJECT: Required<PkiSubject> = {
  country: "UK",
  province: "London",
  locality: "England",
  organization: "Kubernetes",
  organizationalUnit: "DAREY.IO DEVOPS",
};

/** One certificate of the table below. */
interface CertificateRow {
  /** Its place in the tree. */
  readonly id: string;
  /** The stem of its files. */
  readonly name: string;
  readonly commonName: string;
  /** @default - the subject's, where Kubernetes gives it no meaning */
  readonly organization?: string;
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
}

/**
 * Every certificate that the authority signs: common name (the user), organization (the group) and names. All have the
 * same key, uses and lifetime.
 */
function certificateTable({ apiServer, kubelets }: ClusterPkiProps): CertificateRow[] {
  return [
    {
      id: "master-kubernetes",
      name: "master-kubernetes",
      commonName: "kubernetes",
      dnsNames: [...apiServer.dnsNames, ...API_SERVICE_NAMES],
      ipAddresses: ["127.0.0.1", ...apiServer.ipAddresses],
    },
    ...kubelets.map(({ id, name, hostname, ipAddresses }) => ({
      id: id ?? name,
      name,
      commonName: kubeletUser(hostname),
      organization: "system:nodes",
      dnsNames: [hostname],
      ipAddresses,
    })),
    ...Object.entries(CLIENTS).map(([name, client]) => ({ id: name, name, ...client })),
  ];
}

/** What cfssl calls signing, key encipherment, server auth and client auth. etcd's peers need both of the latter. */
const LEAF_USES = ["digital_signature", "key_encipherment", "server_auth", "client_auth"];

/**
 * The certificate authority of a cluster and every certificate it signs, as the tutorial makes them with cfssl. Keys
 * are made when the stack is applied and live in Terraform's state alone.
 *
 * @throws Error on a subject beyond X.509's limits, lifetimes that do not fit each other, or a kubelet named as another
 *   certificate
 */
export class ClusterPki extends Construct {
  /** The authority. */
  readonly certificateAuthority: CertificateAndKey;
  /** The certificates it signed, by the stems of their files. */
  readonly certificates: Readonly<Record<string, CertificateAndKey>>;
  private readonly kubelets: readonly string[];

  constructor(scope: Construct, id: string, props: ClusterPkiProps) {
    super(scope, id);
    const subject = resolveSubject(props.subject ?? {});
    const lifetimes = resolveLifetimes(props.lifetimes ?? {});
    checkSubject(subject);
    checkLifetimes(lifetimes);
    const names = ["ca", ...certificateTable(props).map(({ name }) => name)];
    names.forEach((name, index) => {
      if (names.indexOf(name) < index)
        throw new Error(mustBe("kubelets", "named differently from all certificates", name));
    });

    this.kubelets = props.kubelets.map(({ name }) => name);
    this.certificateAuthority = this.addAuthority(subject, lifetimes);
    this.certificates = Object.fromEntries(
      certificateTable(props).map((row) => [
        row.name,
        this.addCertificate(row, { ...subject, organization: row.organization ?? subject.organization }, lifetimes),
      ]),
    );
  }

  /** What the tutorial puts onto a control plane machine. */
  get controlPlaneFiles(): PemFile[] {
    return [
      ...pemFiles("ca", this.certificateAuthority),
      ...this.filesOf("service-account"),
      ...this.filesOf("master-kubernetes"),
    ];
  }

  /**
   * What the tutorial puts onto a worker.
   * @param name - the kubelet's name
   * @throws Error where there is no kubelet of this name
   */
  workerFiles(name: string): PemFile[] {
    if (!this.kubelets.includes(name)) throw new Error(mustBe("name", `one of ${this.kubelets.join(", ")}`, name));
    return [...pemFiles("ca", this.certificateAuthority).filter((file) => !file.secret), ...this.filesOf(name)];
  }

  /** Every file: the authority's pair and all that it signed. */
  get files(): PemFile[] {
    return [
      ...pemFiles("ca", this.certificateAuthority),
      ...Object.keys(this.certificates).flatMap((name) => this.filesOf(name)),
    ];
  }

  private filesOf(name: string): PemFile[] {
    return pemFiles(name, this.certificates[name] as CertificateAndKey);
  }

  private addAuthority(subject: Required<PkiSubject>, lifetimes: Required<PkiLifetimes>): CertificateAndKey {
    const scope = new Construct(this, "ca");
    const { privateKeyPem } = rsaKey(scope);
    const { certPem: certificatePem } = new SelfSignedCert(scope, "certificate", {
      privateKeyPem,
      subject: [{ ...subject, commonName: "Kubernetes" }],
      isCaCertificate: true,
      // OpenSSL compares names without case, so that to it the CA (Kubernetes) and the API server (kubernetes) have
      // one name. The identifiers tell them apart; the provider copies this one into what the CA signs.
      setSubjectKeyId: true,
      allowedUses: ["cert_signing", "crl_signing"],
      validityPeriodHours: lifetimes.caValidityHours,
      earlyRenewalHours: lifetimes.caEarlyRenewalHours || undefined,
    });
    return { certificatePem, privateKeyPem };
  }

  private addCertificate(
    row: CertificateRow,
    subject: Required<PkiSubject>,
    lifetimes: Required<PkiLifetimes>,
  ): CertificateAndKey {
    const scope = new Construct(this, row.id);
    const { privateKeyPem } = rsaKey(scope);
    const { certRequestPem } = new CertRequest(scope, "request", {
      privateKeyPem,
      subject: [{ ...subject, commonName: row.commonName }],
      dnsNames: row.dnsNames && [...row.dnsNames],
      ipAddresses: row.ipAddresses && [...row.ipAddresses],
    });
    const { certPem: certificatePem } = new LocallySignedCert(scope, "certificate", {
      certRequestPem,
      caPrivateKeyPem: this.certificateAuthority.privateKeyPem,
      caCertPem: this.certificateAuthority.certificatePem,
      setSubjectKeyId: true,
      allowedUses: LEAF_USES,
      validityPeriodHours: lifetimes.validityHours,
      earlyRenewalHours: lifetimes.earlyRenewalHours || undefined,
    });
    return { certificatePem, privateKeyPem };
  }
}

function pemFiles(name: string, { certificatePem, privateKeyPem }: CertificateAndKey): PemFile[] {
  return [
    { name: `${name}.pem`, content: certificatePem, secret: false },
    { name: `${name}-key.pem`, content: privateKeyPem, secret: true },
  ];
}

function rsaKey(scope: Construct): PrivateKey {
  return new PrivateKey(scope, "private-key", { algorithm: "RSA", rsaBits: 2048 });
}

function resolveSubject(given: PkiSubject): Required<PkiSubject> {
  const present = Object.entries(given).filter(([, value]) => value !== undefined);
  return { ...DEFAULT_SUBJECT, ...Object.fromEntries(present) };
}

function checkSubject({ country, ...fields }: Required<PkiSubject>): void {
  assertProp("subject.country", LIMITS.country, country);
  for (const [field, value] of Object.entries(fields)) assertProp(`subject.${field}`, LIMITS.subjectField, value);
}

function checkLifetimes(lifetimes: Required<PkiLifetimes>): void {
  for (const [name, hours] of Object.entries(lifetimes)) {
    assertWholeNumber(`lifetimes.${name}`, name.includes("Renewal") ? RENEWAL_HOURS : VALIDITY_HOURS, hours);
  }
  const [problem] = lifetimeProblems(lifetimes);
  if (problem !== undefined) throw new Error(mustBe(`lifetimes.${problem.name}`, problem.allowed, problem.got));
}
