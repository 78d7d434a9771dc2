import { spawnSync } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeSuite } from "../../cloud/requirements";
import { resourcesOf, type TerraformJson } from "../../cloud/terraform-json";
import { ClusterPki, type ClusterPkiProps } from "../../constructs/index";
import { TESTED } from "../../model/versions";
import { AWS_ATTRIBUTES, issueDefaultCluster, MACHINES } from "../../testing/issued-cluster";
import { type CertificateFields, readCertificate } from "../../testing/read-certificate";
import { synthesizeCluster, synthesizeConstructs } from "../../testing/synthesize";
import { type Computed, issueTls } from "../../testing/tls-resources";
import { type TutorialCertificate, tutorialCertificates } from "../../testing/tutorial";

/** The tutorial's certificates, by their names in Terraform. */
const { ca: TUTORIAL_CA, ...TUTORIAL } = tutorialCertificates({
  loadBalancer: AWS_ATTRIBUTES["aws_lb.load-balancer"]?.dns_name as string,
  publicIp: (worker) => MACHINES[worker]?.publicIp as string,
});

describe("certificates of the default cluster", () => {
  const json = synthesizeCluster();
  let computed: Computed;

  beforeAll(async () => {
    computed = await issueDefaultCluster(json);
  });

  const pem = (address: string) => computed[address]?.cert_pem as string;
  const caPem = () => pem("tls_self_signed_cert.ca-certificate");
  const leafPem = (name: string) => pem(`tls_locally_signed_cert.${name}-certificate`);

  test("are those of the CA and nine identities", () => {
    expect(Object.keys(resourcesOf(json, "tls_self_signed_cert"))).toEqual(["ca-certificate"]);
    expect(Object.keys(resourcesOf(json, "tls_locally_signed_cert")).sort()).toEqual(
      Object.keys(TUTORIAL)
        .map((name) => `${name}-certificate`)
        .sort(),
    );
  });

  test("the CA's certificate has the tutorial's fields", () => {
    expect(readCertificate(caPem())).toEqual<CertificateFields>({
      ...(TUTORIAL_CA as TutorialCertificate),
      authorityKeyId: null,
      subjectKeyId: expect.any(String),
    });
  });

  test.each(Object.entries(TUTORIAL))("%s has the tutorial's fields", (name, expected) => {
    expect(readCertificate(leafPem(name))).toEqual<CertificateFields>({
      ...expected,
      authorityKeyId: readCertificate(caPem()).subjectKeyId,
      subjectKeyId: expect.any(String),
    });
  });

  test.each(Object.keys(TUTORIAL))("%s is signed by the CA and belongs to its key, which is PKCS#1", (name) => {
    const ca = new X509Certificate(caPem());
    const certificate = new X509Certificate(leafPem(name));
    const key = computed[`tls_private_key.${name}-private-key`]?.private_key_pem as string;

    expect(certificate.checkIssued(ca)).toBe(true);
    expect(certificate.verify(ca.publicKey)).toBe(true);
    expect(certificate.checkPrivateKey(createPrivateKey(key))).toBe(true);
    expect(key).toMatch(/^-----BEGIN RSA PRIVATE KEY-----\n/);
  });

  describeSuite("OpenSSL's view of the certificates", () => {
    const folder = mkdtempSync(join(tmpdir(), "pki-"));
    afterAll(() => rmSync(folder, { recursive: true }));

    function verify(ca: string, certificate: string): string {
      const [caFile, leafFile] = ["ca.pem", "leaf.pem"].map((name) => join(folder, name)) as [string, string];
      writeFileSync(caFile, ca);
      writeFileSync(leafFile, certificate);
      const { stdout, stderr } = spawnSync("openssl", ["verify", "-x509_strict", "-CAfile", caFile, leafFile], {
        encoding: "utf8",
      });
      return (stdout + stderr).replaceAll(folder, "");
    }

    test.each(Object.keys(TUTORIAL))("%s chains to the CA", (name) => {
      expect(verify(caPem(), leafPem(name))).toBe("/leaf.pem: OK\n");
    });

    test("without key identifiers, OpenSSL takes the API server's certificate for self-signed: its name and the CA's differ only in case", async () => {
      const without: TerraformJson = JSON.parse(JSON.stringify(json).replaceAll('"set_subject_key_id":true,', ""));
      const keys = Object.entries(computed).filter(([address]) => address.startsWith("tls_private_key."));
      const bare = await issueTls(without, { ...AWS_ATTRIBUTES, ...Object.fromEntries(keys) });
      const certificate = bare["tls_locally_signed_cert.master-kubernetes-certificate"]?.cert_pem as string;
      const ca = bare["tls_self_signed_cert.ca-certificate"]?.cert_pem as string;

      expect(new X509Certificate(certificate).checkIssued(new X509Certificate(ca))).toBe(true);
      expect(verify(ca, certificate)).toContain("error 18 at 0 depth lookup: self-signed certificate");
    });
  });
});

describe("the second CA of a cluster with Kubernetes", () => {
  const json = synthesizeCluster({ kubernetes: { version: TESTED.kubernetes } });
  const subject = (commonName: string) => [
    ...["C=UK", "ST=London", "L=England", "O=Kubernetes", "OU=DAREY.IO DEVOPS"].map(
      (part) => `${part} printableString`,
    ),
    `CN=${commonName} printableString`,
  ];
  let pems: Record<"ca" | "frontProxyCa" | "client" | "clientKey" | "admin", string>;

  beforeAll(async () => {
    const computed = await issueDefaultCluster(json);
    const pem = (address: string) => computed[address]?.cert_pem as string;
    pems = {
      ca: pem("tls_self_signed_cert.ca-certificate"),
      frontProxyCa: pem("tls_self_signed_cert.front-proxy-ca-certificate"),
      client: pem("tls_locally_signed_cert.front-proxy-client-certificate"),
      clientKey: computed["tls_private_key.front-proxy-client-private-key"]?.private_key_pem as string,
      admin: pem("tls_locally_signed_cert.admin-certificate"),
    };
  });

  test("has the fields of the first, except its name", () => {
    expect(readCertificate(pems.frontProxyCa)).toEqual<CertificateFields>({
      ...(TUTORIAL_CA as TutorialCertificate),
      subject: subject("front-proxy-ca"),
      issuer: subject("front-proxy-ca"),
      authorityKeyId: null,
      subjectKeyId: expect.any(String),
    });
  });

  test("signs the API server's certificate for extension API servers, which names only the API server", () => {
    const { subjectKeyId } = readCertificate(pems.frontProxyCa);
    expect(readCertificate(pems.client)).toMatchObject({
      subject: subject("front-proxy-client"),
      issuer: subject("front-proxy-ca"),
      authorityKeyId: subjectKeyId,
      hours: 8760,
      extendedKeyUsage: expect.arrayContaining(["clientAuth"]),
      isCa: false,
      dnsNames: [],
      ipAddresses: [],
    });
    expect(new X509Certificate(pems.client).checkPrivateKey(createPrivateKey(pems.clientKey))).toBe(true);
  });

  describeSuite("OpenSSL's view of the certificates", () => {
    test.each<["ca" | "frontProxyCa", "client" | "admin", boolean]>([
      ["frontProxyCa", "client", true],
      ["ca", "client", false],
      ["frontProxyCa", "admin", false],
      ["ca", "admin", true],
    ])("%s as the only CA in trust, and %s's certificate: accepted is %s", (ca, certificate, isAccepted) => {
      const folder = mkdtempSync(join(tmpdir(), "pki-"));
      try {
        const [caFile, leafFile] = ["ca.pem", "leaf.pem"].map((name) => join(folder, name)) as [string, string];
        writeFileSync(caFile, pems[ca]);
        writeFileSync(leafFile, pems[certificate]);
        const args = ["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", caFile, leafFile];
        expect(spawnSync("openssl", args).status === 0).toBe(isAccepted);
      } finally {
        rmSync(folder, { recursive: true });
      }
    });
  });
});

describe("ClusterPki in the user's own stack", () => {
  const LIFETIMES = { caValidityHours: 43800, validityHours: 8760 };
  const PROPS: ClusterPkiProps = {
    apiServer: { dnsNames: ["api.example.com"], ipAddresses: ["10.0.0.10"] },
    kubelets: [{ name: "node-a", hostname: "a", ipAddresses: ["10.0.0.20"] }],
    subject: { country: "DE" },
    lifetimes: LIFETIMES,
  };

  function synthesizePki(props: Partial<ClusterPkiProps> = {}): TerraformJson {
    return synthesizeConstructs((scope) => {
      new ClusterPki(scope, "pki", { ...PROPS, ...props });
    });
  }

  /** The certificates, by the start of their file names. */
  async function issue(props: Partial<ClusterPkiProps> = {}): Promise<Record<string, CertificateFields>> {
    const computed = await issueTls(synthesizePki(props), {});
    return Object.fromEntries(
      Object.entries(computed).flatMap(([address, { cert_pem }]) => {
        const name = /\.pki_(.+)_certificate_/.exec(address)?.[1];
        return name === undefined || cert_pem === undefined ? [] : [[name, readCertificate(cert_pem)]];
      }),
    );
  }

  test("certificates have the given subject, except groups, and the given lifetimes", async () => {
    const certificates = await issue({
      subject: { country: "DE", organization: "Ours", organizationalUnit: undefined },
      lifetimes: { caValidityHours: 100, validityHours: 10 },
    });
    expect(certificates.ca).toMatchObject({ hours: 100, subject: expect.arrayContaining(["O=Ours printableString"]) });
    expect(certificates["node-a"]).toMatchObject({
      hours: 10,
      subject: expect.arrayContaining([
        "C=DE printableString",
        "O=system:nodes printableString",
        "CN=system:node:a printableString",
      ]),
    });
    expect(certificates["node-a"]?.subject.filter((field) => field.startsWith("OU="))).toEqual([]);
    expect(certificates["master-kubernetes"]).toMatchObject({
      dnsNames: expect.arrayContaining(["api.example.com", "kubernetes.default.svc"]),
      ipAddresses: ["127.0.0.1", "10.0.0.10"],
    });
  });

  test("early renewal is off by default, and the CA's is by default the lifetime of the other certificates", () => {
    const earlyRenewals = (props: Partial<ClusterPkiProps>) =>
      ["tls_self_signed_cert", "tls_locally_signed_cert"].map((type) => [
        ...new Set(Object.values(resourcesOf(synthesizePki(props), type)).map((block) => block.early_renewal_hours)),
      ]);
    expect(earlyRenewals({})).toEqual([[undefined], [undefined]]);
    expect(earlyRenewals({ lifetimes: { ...LIFETIMES, earlyRenewalHours: 720 } })).toEqual([[8760], [720]]);
    expect(earlyRenewals({ lifetimes: { ...LIFETIMES, earlyRenewalHours: 720, caEarlyRenewalHours: 9000 } })).toEqual([
      [9000],
      [720],
    ]);
  });

  test("pair returns one certificate with its key, and files returns all", () => {
    synthesizeConstructs((scope) => {
      const pki = new ClusterPki(scope, "pki", PROPS);
      expect(pki.pair("ca")).toBe(pki.certificateAuthority);
      expect(pki.files["node-a-key.pem"]).toBe(pki.certificates["node-a"]?.privateKeyPem);
      expect(Object.keys(pki.files).filter((name) => !name.endsWith("-key.pem"))).toEqual([
        "ca.pem",
        "master-kubernetes.pem",
        "node-a.pem",
        "kube-scheduler.pem",
        "kube-proxy.pem",
        "kube-controller-manager.pem",
        "admin.pem",
        "service-account.pem",
      ]);
      expect(() => pki.pair("node-b")).toThrow(
        /^'name' must be one of ca, master-kubernetes, node-a, .*, service-account, got: "node-b"$/,
      );
    });
  });

  test("with frontProxy, pair and files also have the second CA's, after the others", () => {
    synthesizeConstructs((scope) => {
      const pki = new ClusterPki(scope, "pki", { ...PROPS, frontProxy: true });
      const without = new ClusterPki(scope, "without", PROPS);
      expect(Object.keys(pki.files)).toEqual([
        ...Object.keys(without.files),
        "front-proxy-ca.pem",
        "front-proxy-ca-key.pem",
        "front-proxy-client.pem",
        "front-proxy-client-key.pem",
      ]);
      expect(pki.files["front-proxy-client.pem"]).toBe(pki.pair("front-proxy-client").certificatePem);
      expect(pki.pair("front-proxy-ca")).not.toEqual(pki.certificateAuthority);
      // The cluster's CA does not sign it.
      expect(Object.keys(pki.certificates)).toEqual(Object.keys(without.certificates));
      expect(() => without.pair("front-proxy-ca")).toThrow(/^'name' must be one of ca, .*, got: "front-proxy-ca"$/);
    });
  });

  test.each<[string, Partial<ClusterPkiProps>, string]>([
    ...["front-proxy-ca", "front-proxy-client"].map((name): [string, Partial<ClusterPkiProps>, string] => [
      `a kubelet with the name ${name}`,
      { kubelets: [{ id: "w", name, hostname: "a", ipAddresses: [] }] },
      `'kubelets' must be a list without the names of other certificates, got: "${name}"`,
    ]),
    [
      "a country code of three letters",
      { subject: { country: "GBR" } },
      `'subject.country' must be a country code of two capital letters, such as UK, got: "GBR"`,
    ],
    [
      "a subject field that is too long",
      { subject: { locality: "x".repeat(65) } },
      `'subject.locality' must be 1 to 64 visible characters, none of them a backslash, and without \${, %{, #{ and &{, got: "${"x".repeat(65)}"`,
    ],
    [
      "a lifetime of 0 hours",
      { lifetimes: { ...LIFETIMES, validityHours: 0 } },
      "'lifetimes.validityHours' must be a whole number from 1 to 876000, got: 0",
    ],
    [
      "a lifetime longer than the CA's",
      { lifetimes: { ...LIFETIMES, validityHours: 43801 } },
      "'lifetimes.validityHours' must be at most 'lifetimes.caValidityHours', 43800, got: 43801",
    ],
    [
      "a kubelet with the name of the administrator's certificate",
      { kubelets: [{ id: "w", name: "admin", hostname: "a", ipAddresses: [] }] },
      `'kubelets' must be a list without the names of other certificates, got: "admin"`,
    ],
    [
      "an early renewal as long as the lifetime",
      { lifetimes: { ...LIFETIMES, earlyRenewalHours: 8760 } },
      "'lifetimes.earlyRenewalHours' must be less than 'lifetimes.validityHours', 8760, got: 8760",
    ],
  ])("%s is refused", (_name, props, message) => {
    expect(() => synthesizePki(props)).toThrow(new Error(message));
  });
});

describe("the test helper that issues certificates for tls resources refuses", () => {
  const KEY = { tls_private_key: { k: { algorithm: "RSA", rsa_bits: 2048 } } };
  const request = (args: object) => ({
    resource: {
      ...KEY,
      tls_cert_request: { r: { private_key_pem: "$" + "{tls_private_key.k.private_key_pem}", ...args } },
    },
  });
  const SUBJECT = [{ common_name: "a" }];

  test.each<[string, object, string]>([
    ["an unknown argument", request({ subject: SUBJECT, uris: ["a:b"] }), "tls_cert_request.r: unknown argument uris"],
    [
      "an unknown part of a subject",
      request({ subject: [{ street_address: "a" }] }),
      "unknown part of a subject: street_address",
    ],
    ["a missing argument", request({}), "tls_cert_request.r: no subject"],
    ["an unknown type", { resource: { tls_other: { o: {} } } }, "unknown type tls_other"],
    [
      "an unknown algorithm",
      { resource: { tls_private_key: { k: { algorithm: "ECDSA", rsa_bits: 1 } } } },
      "unknown algorithm ECDSA",
    ],
    [
      "a reference to an unknown resource",
      request({ subject: SUBJECT, dns_names: ["$" + "{aws_lb.a.dns_name}"] }),
      "$" + "{aws_lb.a.dns_name} refers to nothing known",
    ],
  ])("%s", async (_name, json, message) => {
    await expect(issueTls(json as TerraformJson, {})).rejects.toThrow(message);
  });
});
