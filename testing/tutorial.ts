import { execFileSync } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { join } from "node:path";
import type { Host } from "./host";
import type { CertificateFields } from "./read-certificate";

/** The tutorial's name for the cluster and for most of its resources. */
export const TUTORIAL_NAME = "k8s-cluster-from-ground-up";

/** A certificate's fields without the key identifiers of its own key and the CA's. */
export type TutorialCertificate = Omit<CertificateFields, "subjectKeyId" | "authorityKeyId">;

/** The names and addresses in the tutorial's certificates that AWS assigns. */
export interface AssignedByAws {
  /** The load balancer's name. */
  readonly loadBalancer: string;
  /** The public address of `worker-0` and so on. */
  readonly publicIp: (worker: string) => string;
}

/** The fields that all certificates share. */
const COMMON = {
  version: 3,
  signature: "sha256WithRSAEncryption",
  key: "RSA-2048 e=65537",
  issuer: subject("Kubernetes", "Kubernetes"),
  pathLength: null,
  critical: ["keyUsage", "basicConstraints"],
  subjectKeyIdIsHashOfKey: true,
  dnsNames: [],
  ipAddresses: [],
};

const LEAF = {
  ...COMMON,
  hours: 8760,
  keyUsage: ["digitalSignature", "keyEncipherment"],
  extendedKeyUsage: ["serverAuth", "clientAuth"],
  isCa: false,
};

/** The CA's certificate, as `ca`, and the tutorial's nine others, by their names in Terraform. */
export function tutorialCertificates({ loadBalancer, publicIp }: AssignedByAws): Record<string, TutorialCertificate> {
  const leaf = (commonName: string, organization: string, names: Partial<TutorialCertificate> = {}) => ({
    ...LEAF,
    subject: subject(commonName, organization),
    ...names,
  });
  const kubelet = (index: number) =>
    leaf(`system:node:ip-172-31-0-2${index}`, "system:nodes", {
      dnsNames: [`ip-172-31-0-2${index}`],
      ipAddresses: [publicIp(`worker-${index}`), `172.31.0.2${index}`],
    });
  return {
    ca: {
      ...COMMON,
      subject: COMMON.issuer,
      hours: 43800,
      keyUsage: ["keyCertSign", "cRLSign"],
      extendedKeyUsage: [],
      isCa: true,
    },
    "master-kubernetes": leaf("kubernetes", "Kubernetes", {
      dnsNames: [
        "ip-172-31-0-10",
        "ip-172-31-0-11",
        "ip-172-31-0-12",
        "ip-172-31-0-10.eu-central-1.compute.internal",
        "ip-172-31-0-11.eu-central-1.compute.internal",
        "ip-172-31-0-12.eu-central-1.compute.internal",
        loadBalancer,
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster",
        "kubernetes.default.svc.cluster.local",
      ],
      ipAddresses: ["127.0.0.1", "172.31.0.10", "172.31.0.11", "172.31.0.12", "172.32.0.1"],
    }),
    "kube-scheduler": leaf("system:kube-scheduler", "system:kube-scheduler"),
    "kube-proxy": leaf("system:kube-proxy", "system:node-proxier"),
    "kube-controller-manager": leaf("system:kube-controller-manager", "system:kube-controller-manager"),
    "worker-0": kubelet(0),
    "worker-1": kubelet(1),
    "worker-2": kubelet(2),
    admin: leaf("admin", "system:masters"),
    "service-account": leaf("service-accounts", "Kubernetes"),
  };
}

/** A subject in the tutorial's order; every part is a PrintableString. */
function subject(commonName: string, organization: string): string[] {
  return ["C=UK", "ST=London", "L=England", `O=${organization}`, "OU=DAREY.IO DEVOPS", `CN=${commonName}`].map(
    (part) => `${part} printableString`,
  );
}

const MASTER_FILES = {
  "ca-key.pem": "0600",
  "ca.pem": "0644",
  "master-kubernetes-key.pem": "0600",
  "master-kubernetes.pem": "0644",
  "service-account-key.pem": "0600",
  "service-account.pem": "0644",
};

/** The files that the tutorial copies to a machine, with their modes. @param id - `master-0`, `worker-0` and so on */
export function tutorialFiles(id: string): Record<string, string> {
  if (id.startsWith("master")) return MASTER_FILES;
  const name = `${TUTORIAL_NAME}-${id}`;
  return { "ca.pem": "0644", [`${name}-key.pem`]: "0600", [`${name}.pem`]: "0644" };
}

/** Expects exactly the tutorial's files on a machine. Each certificate must match the CA and its key. */
export function expectTutorialFiles(host: Host, id: string): void {
  const files = host.files();
  expect(Object.fromEntries(Object.entries(files).map(([name, { mode, owner }]) => [name, { mode, owner }]))).toEqual(
    Object.fromEntries(Object.entries(tutorialFiles(id)).map(([name, mode]) => [name, { mode, owner: host.ubuntu }])),
  );
  for (const name of Object.keys(files).filter((file) => !file.endsWith("-key.pem"))) {
    execFileSync("openssl", ["verify", "-x509_strict", "-CAfile", join(host.home, "ca.pem"), join(host.home, name)], {
      stdio: "pipe",
    });
    const keyName = name.replace(".pem", "-key.pem");
    if (files[keyName] === undefined) continue;
    const key = createPrivateKey(host.read(keyName));
    expect(new X509Certificate(host.read(name)).checkPrivateKey(key)).toBe(true);
  }
}
