import { UserError } from "../../model/user-error";
import "reflect-metadata";
import { execFileSync } from "node:child_process";
import { generateKeyPairSync, webcrypto } from "node:crypto";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";
import { describeSuite } from "../../cloud/requirements";
import type { Block, TerraformJson } from "../../cloud/terraform-json";
import { readFacts } from "../../credentials/certificate";
import { checkFolder } from "../../credentials/check";
import { credentialFiles } from "../../credentials/files";
import { writeFolder } from "../../credentials/folder";
import { problemsIn } from "../../testing/checks";
import { deployedCluster, outputsOf } from "../../testing/deployed-cluster";
import { issueDefaultCluster, reissue } from "../../testing/issued-cluster";
import { synthesizeCluster } from "../../testing/synthesize";
import { type Computed, issueTls } from "../../testing/tls-resources";
import { TUTORIAL_NAME } from "../../testing/tutorial";

const WORKER = `${TUTORIAL_NAME}-worker-0`;
const json = synthesizeCluster();
let computed: Computed;
let folder: string;

beforeAll(async () => {
  computed = await issueDefaultCluster(json);
});

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "credentials-"));
});

afterEach(() => rmSync(folder, { recursive: true }));

const at = (path: string) => join(folder, path);
const pem = (name: string) => at(`ca-authority/${name}`);

/** All problems, each with its file. */
const problems = (options?: Parameters<typeof problemsIn>[1]) => problemsIn(folder, options);

/** Replaces text in a file. */
function change(path: string, from: RegExp | string, to: string): void {
  writeFileSync(at(path), readFileSync(at(path), "utf8").replace(from, to));
}

/** Writes the credentials folder of a cluster with the given keys and certificates. */
function write(having: Computed): void {
  writeFolder(folder, credentialFiles(deployedCluster(TUTORIAL_NAME, outputsOf(json, having))), true);
}

/** Issues the certificates with the given names again, from a changed configuration. The keys stay. */
async function reissued(
  change: (resource: Record<string, Record<string, Block>>) => void,
  ...names: string[]
): Promise<Computed> {
  const other: TerraformJson = JSON.parse(JSON.stringify(json));
  change(other.resource);
  return reissue(other, computed, new RegExp(`\\.(${names.join("|")})-(request|certificate)$`));
}

const request = (name: string, change: (block: Block) => void) =>
  reissued((resource) => change(resource.tls_cert_request?.[`${name}-request`] as Block), name);
const certificate = (name: string, change: (block: Block) => void) =>
  reissued((resource) => change(resource.tls_locally_signed_cert?.[`${name}-certificate`] as Block), name);

/** The problems of all certificates if another CA signed them. */
const UNSIGNED = [
  "master-kubernetes",
  ...[0, 1, 2].map((index) => `${TUTORIAL_NAME}-worker-${index}`),
  "kube-scheduler",
  "kube-proxy",
  "kube-controller-manager",
  "admin",
  "service-account",
].map((fileName) => `ca-authority/${fileName}.pem: is not signed by the CA in ca.pem`);

test("a correct folder has no problems, and each certificate has its remaining days", () => {
  write(computed);
  expect(problems()).toEqual([]);
  const days = Object.fromEntries(
    checkFolder(folder, { now: new Date(), days: 0 }).map(({ path, daysLeft }) => [path, daysLeft]),
  );
  expect(days).toMatchObject({
    "ca-authority/ca.pem": 1824,
    "ca-authority/admin.pem": 364,
    "ca-authority/admin-key.pem": undefined,
  });
});

test.each<[string, () => Promise<Computed>, string[]]>([
  [
    "the API server's certificate without 127.0.0.1",
    () => request("master-kubernetes", (block) => block.ip_addresses.splice(0, 1)),
    ["ca-authority/master-kubernetes.pem: lacks the name 127.0.0.1"],
  ],
  [
    "the API server's certificate without the first address of the service network",
    () =>
      request("master-kubernetes", (block) => {
        block.ip_addresses = block.ip_addresses.filter((address: string) => address !== "172.32.0.1");
      }),
    ["ca-authority/master-kubernetes.pem: lacks the name 172.32.0.1"],
  ],
  [
    "the API server's certificate without the load balancer's name",
    () =>
      request("master-kubernetes", (block) => {
        block.dns_names = block.dns_names.filter((name: string) => !name.includes("aws_lb"));
      }),
    [
      "ca-authority/master-kubernetes.pem: lacks the name k8s-cluster-from-ground-up-0123456789abcdef.elb.eu-central-1.amazonaws.com",
    ],
  ],
  [
    "another organization for a worker",
    () =>
      request("worker-0", (block) => {
        block.subject[0].organization = "nodes";
      }),
    [`ca-authority/${WORKER}.pem: organization must be system:nodes, got: nodes`],
  ],
  [
    "another address for a worker",
    () => request("worker-0", (block) => block.ip_addresses.splice(0, 1, "198.51.100.99")),
    [`ca-authority/${WORKER}.pem: lacks the name 198.51.100.20`],
  ],
  ...["kube-proxy", "kube-scheduler"].map((name): [string, () => Promise<Computed>, string[]] => [
    `another common name for ${name}`,
    () =>
      request(name, (block) => {
        block.subject[0].common_name = name;
      }),
    [`ca-authority/${name}.pem: common name must be system:${name}, got: ${name}`],
  ]),
  ...["kube-proxy", "kube-scheduler", "kube-controller-manager"].map(
    (name): [string, () => Promise<Computed>, string[]] => [
      `another organization for ${name}`,
      () =>
        request(name, (block) => {
          block.subject[0].organization = "other";
        }),
      [
        `ca-authority/${name}.pem: organization must be ${name === "kube-proxy" ? "system:node-proxier" : `system:${name}`}, got: other`,
      ],
    ],
  ),
  [
    "another organization for the administrator",
    () =>
      request("admin", (block) => {
        block.subject[0].organization = "admins";
      }),
    ["ca-authority/admin.pem: organization must be system:masters, got: admins"],
  ],
  [
    "the service accounts' certificate without uses, which it does not need: no program presents it",
    () =>
      certificate("service-account", (block) => {
        block.allowed_uses = ["digital_signature"];
      }),
    [],
  ],
  [
    "the API server's certificate without client_auth",
    () =>
      certificate("master-kubernetes", (block) => {
        block.allowed_uses = block.allowed_uses.filter((use: string) => use !== "client_auth");
      }),
    ["ca-authority/master-kubernetes.pem: lacks the extended key usage clientAuth"],
  ],
  ...(
    [
      ["worker-0", "server_auth", "serverAuth"],
      ["worker-0", "client_auth", "clientAuth"],
      ["kube-proxy", "client_auth", "clientAuth"],
      ["admin", "client_auth", "clientAuth"],
    ] as const
  ).map(([name, use, lacking]): [string, () => Promise<Computed>, string[]] => [
    `${name} without ${use}`,
    () =>
      certificate(name, (block) => {
        block.allowed_uses = block.allowed_uses.filter((each: string) => each !== use);
      }),
    [`ca-authority/${name.startsWith("worker") ? WORKER : name}.pem: lacks the extended key usage ${lacking}`],
  ]),
  [
    "the API server's certificate without the address of a control plane machine",
    () =>
      request("master-kubernetes", (block) => {
        block.ip_addresses = block.ip_addresses.filter((address: string) => address !== "172.31.0.11");
      }),
    ["ca-authority/master-kubernetes.pem: lacks the name 172.31.0.11"],
  ],
  [
    "a certificate that expires after the CA's",
    () =>
      certificate("admin", (block) => {
        block.validity_period_hours = 50_000;
      }),
    ["ca-authority/admin.pem: expires after the CA certificate in ca.pem"],
  ],
  [
    "a certificate without authority key identifier",
    async () => {
      // A CA certificate without an identifier adds none to the certificates that it signs. The usual CA certificate is then
      // restored.
      const without = await reissued(
        (resource) => delete resource.tls_self_signed_cert?.["ca-certificate"]?.set_subject_key_id,
        "ca",
        "admin",
      );
      return {
        ...without,
        "tls_self_signed_cert.ca-certificate": computed["tls_self_signed_cert.ca-certificate"] as Record<
          string,
          string
        >,
      };
    },
    ["ca-authority/admin.pem: has no authority key identifier"],
  ],
  [
    "addresses in the list of DNS names",
    () =>
      request("worker-0", (block) => {
        block.dns_names = [...block.dns_names, ...block.ip_addresses];
        block.ip_addresses = [];
      }),
    [
      `ca-authority/${WORKER}.pem: lacks the name 172.31.0.20`,
      `ca-authority/${WORKER}.pem: lacks the name 198.51.100.20`,
    ],
  ],
  [
    "a CA certificate that may not sign certificates",
    () => reissued((resource) => delete resource.tls_self_signed_cert?.["ca-certificate"]?.is_ca_certificate, "ca"),
    ["ca-authority/ca.pem: may not sign certificates (basic constraints, key usage)"],
  ],
  [
    "a CA certificate that may sign only revocation lists",
    () =>
      reissued((resource) => {
        Object.assign(resource.tls_self_signed_cert?.["ca-certificate"] as Block, { allowed_uses: ["crl_signing"] });
      }, "ca"),
    ["ca-authority/ca.pem: may not sign certificates (basic constraints, key usage)", ...UNSIGNED],
  ],
  [
    "a CA with another name",
    () =>
      reissued((resource) => {
        const ca = resource.tls_self_signed_cert?.["ca-certificate"] as Block;
        ca.subject[0].organization = "other";
      }, "ca"),
    UNSIGNED,
  ],
])("the check reports exactly the problems of: %s", async (_case, having, expected) => {
  write(await having());
  expect(problems()).toEqual([...expected].sort());
});

test("a CA certificate that is renewed with the same key: certificates signed before verify with it, and certificates signed after it verify with the previous one", async () => {
  const renewed = await reissued(() => {}, "ca");
  expect(renewed["tls_self_signed_cert.ca-certificate"]).not.toEqual(computed["tls_self_signed_cert.ca-certificate"]);
  write(renewed);
  expect(problems()).toEqual([]);

  const after = await reissue(json, renewed, /^tls_locally_signed_cert\./);
  // The renewed CA certificate expires some seconds later, and so may its certificates; their lifetimes are shorter anyway.
  write({
    ...after,
    "tls_self_signed_cert.ca-certificate": computed["tls_self_signed_cert.ca-certificate"] as Record<string, string>,
  });
  expect(problems()).toEqual([]);
});

test("an administrator's certificate from another CA is reported", async () => {
  write(computed);
  const other = await issueDefaultCluster(json);
  writeFileSync(pem("admin.pem"), other["tls_locally_signed_cert.admin-certificate"]?.cert_pem as string);
  writeFileSync(pem("admin-key.pem"), other["tls_private_key.admin-private-key"]?.private_key_pem as string);
  expect(problems()).toEqual(
    [
      "ca-authority/admin.pem: is not signed by the CA in ca.pem",
      "ca-authority/admin.pem: has an authority key identifier that is not ca.pem's",
      "kubeconfigs/admin.kubeconfig: client-certificate-data differs from the file in ca-authority",
      "kubeconfigs/admin.kubeconfig: client-key-data differs from the file in ca-authority",
    ].sort(),
  );
});

test("two swapped keys are reported", () => {
  write(computed);
  renameSync(pem("service-account-key.pem"), at("aside"));
  renameSync(pem("admin-key.pem"), pem("service-account-key.pem"));
  renameSync(at("aside"), pem("admin-key.pem"));
  expect(problems()).toEqual(
    [
      "ca-authority/admin.pem: does not match ca-authority/admin-key.pem",
      "ca-authority/service-account.pem: does not match ca-authority/service-account-key.pem",
      "kubeconfigs/admin.kubeconfig: client-key-data differs from the file in ca-authority",
    ].sort(),
  );
});

test("certificates that have expired, expire soon or are not yet valid are reported", () => {
  write(computed);
  const after = (days: number) => new Date(Date.now() + days * 24 * 3_600_000);
  expect(problems({ now: after(340) })).toEqual([]);
  const soon = problems({ now: after(355) });
  expect(soon).toHaveLength(9);
  expect(soon).toContainEqual(expect.stringMatching(/^ca-authority\/master-kubernetes\.pem: expires in 9 days, on 20/));
  expect(problems({ now: after(355), days: 5 })).toEqual([]);
  expect(problems({ now: after(355), days: 9 })).toEqual([]);
  expect(problems({ now: after(355), days: 10 })).toHaveLength(9);
  const { notAfter } = readFacts(readFileSync(pem("admin.pem"), "utf8"));
  const then = problems({ now: notAfter, days: 0 });
  expect(then).toContain(`ca-authority/admin.pem: expired on ${notAfter.toISOString()}`);
  expect(problems({ now: after(366) })).toHaveLength(9);
  expect(problems({ now: after(366) })).toContainEqual(
    expect.stringMatching(/^ca-authority\/master-kubernetes\.pem: expired on 20/),
  );
  expect(problems({ now: after(-1) })).toHaveLength(10);
  expect(problems({ now: after(-1) })).toContainEqual(
    expect.stringMatching(/^ca-authority\/ca\.pem: is not valid before 20/),
  );
});

test("missing and invalid files, and files that other users can read, are reported", () => {
  write(computed);
  rmSync(pem("kube-proxy.pem"));
  rmSync(at("encryption-config.yaml"));
  writeFileSync(pem("kube-scheduler.pem"), "nothing");
  writeFileSync(pem("kube-controller-manager-key.pem"), "nothing");
  writeFileSync(at("kubeconfigs/kube-proxy.kubeconfig"), "a: [");
  chmodSync(pem("ca-key.pem"), 0o640);
  chmodSync(at("ssh"), 0o755);
  chmodSync(folder, 0o750);
  expect(problems()).toEqual(
    [
      "ca-authority/ca-key.pem: must have mode 0600, got: 0640",
      "ca-authority/kube-scheduler.pem: is not a PEM certificate",
      "ca-authority/kube-proxy.pem: is missing",
      "ca-authority/kube-controller-manager-key.pem: is not a PEM private key",
      "kubeconfigs/kube-controller-manager.kubeconfig: client-key-data differs from the file in ca-authority",
      "kubeconfigs/kube-proxy.kubeconfig: is not YAML",
      "kubeconfigs/kube-scheduler.kubeconfig: client-certificate-data differs from the file in ca-authority",
      "encryption-config.yaml: is missing",
      ".: must have mode 0700, got: 0750",
      "ssh: must have mode 0700, got: 0755",
    ].sort(),
  );
});

test("other files are reported only if they are secrets that other users can read", () => {
  write(computed);
  for (const [path, text] of [
    ["ca-authority/old-key.pem", "-----BEGIN EC PRIVATE KEY-----"],
    ["mine.kubeconfig", "client-key-data: YQ=="],
    ["before.yaml", 'kind: "EncryptionConfiguration"'],
    ["ssh/closed.id_rsa", "-----BEGIN OPENSSH PRIVATE KEY-----"],
    ["notes.txt", "nothing secret"],
  ] as const) {
    writeFileSync(at(path), text);
    chmodSync(at(path), path.includes("closed") ? 0o600 : 0o644);
  }
  expect(problems().sort()).toEqual(
    [
      "before.yaml: must have mode 0600, got: 0644",
      "ca-authority/old-key.pem: must have mode 0600, got: 0644",
      "mine.kubeconfig: must have mode 0600, got: 0644",
    ].sort(),
  );
});

test("a kubeconfig with another server or user, and a short encryption key, are reported", () => {
  write(computed);
  change("kubeconfigs/admin.kubeconfig", /server: .*/g, "server: https://127.0.0.1:6443");
  change("kubeconfigs/kube-proxy.kubeconfig", /system:kube-proxy/g, "admin");
  change("encryption-config.yaml", /secret: .*/g, "secret: c2hvcnQ=");
  expect(problems()).toEqual(
    [
      "kubeconfigs/admin.kubeconfig: server must be https://k8s-cluster-from-ground-up-0123456789abcdef.elb.eu-central-1.amazonaws.com:6443, got: https://127.0.0.1:6443",
      "kubeconfigs/kube-proxy.kubeconfig: user must be system:kube-proxy, got: admin",
      "encryption-config.yaml: resources.0.providers.0.aescbc.keys.0.secret: must be 32 bytes in base64",
    ].sort(),
  );
});

test("a kubeconfig with an unknown current context, or with another CA, is reported", () => {
  write(computed);
  change("kubeconfigs/admin.kubeconfig", /current-context: .*/g, "current-context: nope");
  change(
    "kubeconfigs/kube-proxy.kubeconfig",
    /certificate-authority-data: .*/g,
    "certificate-authority-data: bm9uZQ==",
  );
  expect(problems()).toEqual(
    [
      `kubeconfigs/admin.kubeconfig: cluster must be ${TUTORIAL_NAME}, got: undefined`,
      "kubeconfigs/admin.kubeconfig: user must be admin, got: undefined",
      "kubeconfigs/admin.kubeconfig: server must be https://k8s-cluster-from-ground-up-0123456789abcdef.elb.eu-central-1.amazonaws.com:6443, got: undefined",
      "kubeconfigs/admin.kubeconfig: certificate-authority-data is missing",
      "kubeconfigs/admin.kubeconfig: client-certificate-data is missing",
      "kubeconfigs/admin.kubeconfig: client-key-data is missing",
      "kubeconfigs/kube-proxy.kubeconfig: certificate-authority-data differs from the file in ca-authority",
    ].sort(),
  );
});

const KEYS = "resources.0.providers.0.aescbc.keys.0";

test.each([
  ["does not encrypt secrets", "- secrets", "- configmaps", "resources.0.resources: must include secrets"],
  ["has another version", "config.k8s.io/v1", "config.k8s.io/v2", "apiVersion: Invalid input"],
  ["has another kind", "kind: Encryption", "kind: Decryption", "kind: Invalid input"],
  ["cannot read unencrypted secrets", "  - identity: {}\n", "", "resources.0.providers: Too small"],
  [
    "names a resource twice",
    "- secrets",
    "- secrets\n  - secrets",
    "resources.0.resources: each resource must appear once",
  ],
  [
    "names resources with wildcards",
    "- secrets",
    "- secrets\n  - '*.'",
    "resources.0.resources.1: must be a resource name",
  ],
  ["names a resource in capitals", "- secrets", "- secrets\n  - ConfigMaps", "resources.0.resources.1: must be"],
  ["has a key name that YAML 1.1 reads as a boolean", /name: .*/, "name: yes", `${KEYS}.name: Invalid input`],
  ["has a key without a name", "name:", "nmae:", `${KEYS}.name: Invalid input`],
  ["has a key with an unknown field", "secret:", "length: 32\n        secret:", `${KEYS}: Unrecognized key`],
  ["has a truncated key", /=$/m, "", `${KEYS}.secret: must be 32 bytes in base64`],
  [
    "has a field that API servers do not know",
    "  - aescbc:",
    "  - timeout: 3s\n    aescbc:",
    "resources.0.providers.0: Unrec",
  ],
  ["is not YAML", "apiVersion", "[", "is not YAML"],
  ["is empty", /^.*$/s, "", "is empty"],
  ["is a list", /^.*$/s, "[]", "Invalid input"],
])("an encryption config that %s is reported", (_case, from, to, problem) => {
  write(computed);
  change("encryption-config.yaml", from, to);
  expect(problems()[0]).toContain(`encryption-config.yaml: ${problem}`);
});

test.each([
  ["with another kind", "kind: Config", "kind: Foo", "kind: Invalid input"],
  ["with another version", "apiVersion: v1", "apiVersion: v9", "apiVersion: Invalid input"],
  [
    "that does not verify the server",
    "    server:",
    "    insecure-skip-tls-verify: true\n    server:",
    "cluster must not have insecure-skip-tls-verify",
  ],
  ["that uses a proxy", "    server:", "    proxy-url: http://a\n    server:", "cluster must not have proxy-url"],
  ["that impersonates another user", /$/, "    as: system:anonymous\n", "user must not have as"],
  ["with a second certificate", /$/, "    client-certificate: /x\n", "user must not have client-certificate"],
  ["with a duplicate user", /(users:\n)(.*)$/s, "$1$2$2", "users: each name must appear once"],
  [
    "with the server's address under the user",
    /( {4}server: )(\S+)(.*)$/s,
    "$1https://evil$3    server: $2\n",
    "server must be",
  ],
  ["without users", /users:\n.*$/s, "", "users: Invalid input"],
  ["whose contexts are not a list", /contexts:\n.*?(?=current)/s, "contexts: 5\n", "contexts: Invalid input"],
  ["with a truncated key", /(client-key-data: .*)../, "$1", "client-key-data differs from the file in ca-authority"],
])("a kubeconfig %s is reported", (_case, from, to, problem) => {
  write(computed);
  const path = "kubeconfigs/admin.kubeconfig";
  change(path, from, to);
  expect(problems()[0]).toContain(`${path}: ${problem}`);
});

test("a kubeconfig without a certificate is reported, even if the certificate's file is missing too", () => {
  write(computed);
  rmSync(pem("admin.pem"));
  change("kubeconfigs/admin.kubeconfig", /client-certificate-data: .*/, 'client-certificate-data: ""');
  expect(problems()).toEqual(
    ["ca-authority/admin.pem: is missing", "kubeconfigs/admin.kubeconfig: client-certificate-data is missing"].sort(),
  );
});

test("two certificates in the CA's file are reported, because the controller manager refuses them", () => {
  const ca = computed["tls_self_signed_cert.ca-certificate"] as Record<string, string>;
  write({ ...computed, "tls_self_signed_cert.ca-certificate": { ...ca, cert_pem: `${ca.cert_pem}${ca.cert_pem}` } });
  expect(problems()).toEqual(["ca-authority/ca.pem: must contain one certificate, got: 2"].sort());
});

describeSuite("OpenSSL's view of the certificates", () => {
  test("certificates with two groups, two names or a weak hash are reported", () => {
    write(computed);
    const issue = (fileName: string, hash: string, subject: string) => {
      const request = ["req", "-new", "-key", pem(`${fileName}-key.pem`), "-subj", subject, "-out", at("request")];
      execFileSync("openssl", request, { stdio: "pipe" });
      const extensions = "extendedKeyUsage=clientAuth\nkeyUsage=digitalSignature\nauthorityKeyIdentifier=keyid\n";
      writeFileSync(at("extensions"), extensions);
      const signed = ["-CA", pem("ca.pem"), "-CAkey", pem("ca-key.pem"), "-set_serial", "1", "-days", "100"];
      const files = ["-in", at("request"), "-extfile", at("extensions"), "-out", pem(`${fileName}.pem`)];
      execFileSync("openssl", ["x509", "-req", `-${hash}`, ...signed, ...files], { stdio: "pipe" });
    };
    issue("admin", "sha256", "/O=system:masters/O=developers/CN=admin");
    issue("kube-scheduler", "sha256", "/O=system:kube-scheduler/CN=system:kube-scheduler/CN=admin");
    issue("kube-proxy", "sha1", "/O=system:node-proxier/CN=system:kube-proxy");
    expect(problems().filter((problem) => !problem.startsWith("kubeconfigs/"))).toEqual(
      [
        "ca-authority/kube-scheduler.pem: common name must be system:kube-scheduler, got: system:kube-scheduler, admin",
        "ca-authority/kube-proxy.pem: must be signed with SHA-256, got: SHA-1",
        "ca-authority/admin.pem: organization must be system:masters, got: system:masters, developers",
      ].sort(),
    );
  });
});

test("a CA certificate that another key has signed is reported", async () => {
  write(computed);
  const algorithm = {
    name: "RSASSA-PKCS1-v1_5",
    hash: "SHA-256",
    publicExponent: new Uint8Array([1, 0, 1]),
    modulusLength: 2048,
  };
  const { privateKey: signingKey } = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const ours = new x509.X509Certificate(readFileSync(pem("ca.pem"), "utf8"));
  const { subject, issuer, publicKey, extensions, notBefore, notAfter } = ours;
  const signed = await x509.X509CertificateGenerator.create({
    subject,
    issuer,
    publicKey,
    extensions,
    notBefore,
    notAfter,
    signingKey,
    signingAlgorithm: algorithm,
  });
  writeFileSync(pem("ca.pem"), signed.toString("pem"));
  expect(problems().filter((problem) => !problem.startsWith("kubeconfigs/"))).toEqual(
    ["ca-authority/ca.pem: is not self-signed"].sort(),
  );
});

test("a certificate from a CA with the same name and identifier, but another key, is reported", async () => {
  write(computed);
  const forged = await reissue(json, computed, /\.(ca|admin)-/);
  // The forged certificate has the same issuer as the real one. It also copies the real CA's key identifier.
  const key = computed["tls_private_key.ca-private-key"] as Record<string, string>;
  const own = forged["tls_private_key.ca-private-key"] as Record<string, string>;
  expect(own).not.toEqual(key);
  const signedByOther = await issueTls(
    JSON.parse(
      JSON.stringify(json)
        .replaceAll("tls_private_key.ca-private-key.private_key_pem", "tls_private_key.other-key.private_key_pem")
        .replace(/("ca-certificate".*?)tls_private_key\.other-key/, "$1tls_private_key.ca-private-key"),
    ),
    {
      ...Object.fromEntries(
        Object.entries(computed).filter(([address]) => address !== "tls_locally_signed_cert.admin-certificate"),
      ),
      "tls_private_key.other-key": own,
    },
  );
  write(signedByOther);
  expect(problems()).toEqual(["ca-authority/admin.pem: is not signed by the CA in ca.pem"].sort());
});

test("a link or a folder in the place of a file is reported", () => {
  write(computed);
  renameSync(pem("admin.pem"), at("aside"));
  symlinkSync(at("aside"), pem("admin.pem"));
  expect(problems()).toEqual(["ca-authority/admin.pem: is a symbolic link"].sort());
  rmSync(pem("admin.pem"));
  mkdirSync(pem("admin.pem"));
  expect(problems()).toEqual(["ca-authority/admin.pem: cannot be read"].sort());
});

test("a subfolder that is a link is reported, and its target is not read", () => {
  write(computed);
  const elsewhere = mkdtempSync(join(tmpdir(), "elsewhere-"));
  try {
    renameSync(at(`ssh/${TUTORIAL_NAME}.id_rsa`), join(elsewhere, `${TUTORIAL_NAME}.id_rsa`));
    writeFileSync(join(elsewhere, "theirs"), "-----BEGIN PRIVATE KEY-----", { mode: 0o644 });
    rmSync(at("ssh"), { recursive: true });
    symlinkSync(elsewhere, at("ssh"));
    expect(problems()).toEqual(["ssh: is a symbolic link"].sort());
  } finally {
    rmSync(elsewhere, { recursive: true });
  }
});

test("pipes and circular links do not block the check", () => {
  write(computed);
  rmSync(pem("kube-proxy.pem"));
  for (const path of [pem("kube-proxy.pem"), at("pipe")]) execFileSync("mkfifo", [path]);
  for (const path of [at("a"), at("b")]) symlinkSync(".", path);
  expect(problems()).toEqual(["ca-authority/kube-proxy.pem: cannot be read"].sort());
});

test("an invalid ssh key is reported", () => {
  write(computed);
  const { publicKey } = generateKeyPairSync("ed25519");
  writeFileSync(at(`ssh/${TUTORIAL_NAME}.id_rsa`), publicKey.export({ type: "spki", format: "pem" }));
  expect(problems()).toEqual([`ssh/${TUTORIAL_NAME}.id_rsa: is not a PEM private key`].sort());
});

test.each([
  ["a machine's name with a shell's special characters", { nodes: { "a;reboot": { private_ip: "", public_ip: "" } } }],
  ["an invalid address", { nodes: { a: { private_ip: "", public_ip: "a b" } } }],
  ["a name with a path in it", { name: "../other" }],
])("%s makes cluster.json invalid", (_case, change) => {
  write(computed);
  const description = JSON.parse(readFileSync(at("cluster.json"), "utf8"));
  writeFileSync(at("cluster.json"), JSON.stringify({ ...description, ...change }));
  expect(() => problems()).toThrow(/^'--out' must be .*, which has an invalid cluster\.json$/);
});

test("the certificate of a stopped machine needs no public address", () => {
  write(computed);
  change("cluster.json", "198.51.100.20", "");
  expect(problems()).toEqual([]);
});

test("a folder that is not a credentials folder is refused in one line", () => {
  const written = "'--out' must be a folder that `npm run credentials` wrote";
  expect(() => problems()).toThrow(new UserError(`${written}, got: ${folder}, which has no cluster.json`));
  const options = { now: new Date(), days: 0 };
  expect(() => checkFolder(at("none"), options)).toThrow(
    new UserError(`${written}, got: ${at("none")}, which does not exist`),
  );
});
