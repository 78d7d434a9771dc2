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
import { CredentialsError } from "../../credentials/stack";
import { deployedCluster, outputsOf } from "../../testing/deployed-cluster";
import { issueDefaultCluster, reissue } from "../../testing/issued-cluster";
import { synthesizeCluster } from "../../testing/synthesize";
import { type Computed, carryOutTls } from "../../testing/tls-resources";
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

/** Everything that is wrong, with the file. */
function faults(options: { now?: Date; days?: number } = {}): string[] {
  const findings = checkFolder(folder, { now: new Date(), days: 14, ...options });
  return findings.flatMap(({ path, faults }) => faults.map((fault) => `${path}: ${fault}`)).sort();
}

/** Changes a file's text. */
function change(path: string, from: RegExp | string, to: string): void {
  writeFileSync(at(path), readFileSync(at(path), "utf8").replace(from, to));
}

/** Writes what the outputs would say, were these the keys and certificates. */
function write(having: Computed): void {
  writeFolder(folder, credentialFiles(deployedCluster(TUTORIAL_NAME, outputsOf(json, having))), true);
}

/** The keys as they are, with certificates of another configuration: those at the given addresses. */
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

/** What is said of all certificates where the authority is not theirs. */
const UNSIGNED = [
  "master-kubernetes",
  ...[0, 1, 2].map((index) => `${TUTORIAL_NAME}-worker-${index}`),
  "kube-scheduler",
  "kube-proxy",
  "kube-controller-manager",
  "admin",
  "service-account",
].map((stem) => `ca-authority/${stem}.pem: is not signed by the authority in ca.pem`);

test("the unbroken set: nothing is wrong, and each certificate has its days", () => {
  write(computed);
  expect(faults()).toEqual([]);
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
    "no 127.0.0.1 for the API server",
    () => request("master-kubernetes", (block) => block.ip_addresses.splice(0, 1)),
    ["ca-authority/master-kubernetes.pem: lacks the name 127.0.0.1"],
  ],
  [
    "no first address of the service network",
    () =>
      request("master-kubernetes", (block) => {
        block.ip_addresses = block.ip_addresses.filter((address: string) => address !== "172.32.0.1");
      }),
    ["ca-authority/master-kubernetes.pem: lacks the name 172.32.0.1"],
  ],
  [
    "another name of the load balancer",
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
    "another address of a worker",
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
    "service accounts' certificate without uses: nobody shows it",
    () =>
      certificate("service-account", (block) => {
        block.allowed_uses = ["digital_signature"];
      }),
    [],
  ],
  [
    "the API server not as a client",
    () =>
      certificate("master-kubernetes", (block) => {
        block.allowed_uses = block.allowed_uses.filter((use: string) => use !== "client_auth");
      }),
    ["ca-authority/master-kubernetes.pem: lacks the use clientAuth"],
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
    [`ca-authority/${name.startsWith("worker") ? WORKER : name}.pem: lacks the use ${lacking}`],
  ]),
  [
    "no address of a control plane machine",
    () =>
      request("master-kubernetes", (block) => {
        block.ip_addresses = block.ip_addresses.filter((address: string) => address !== "172.31.0.11");
      }),
    ["ca-authority/master-kubernetes.pem: lacks the name 172.31.0.11"],
  ],
  [
    "a certificate that outlives its authority",
    () =>
      certificate("admin", (block) => {
        block.validity_period_hours = 50_000;
      }),
    ["ca-authority/admin.pem: outlives the authority in ca.pem"],
  ],
  [
    "no authority key identifier",
    async () => {
      // The authority's certificate without an identifier gives none to what it signs; that one is then put back.
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
    "addresses that are said to be names",
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
    "an authority that may not certify",
    () => reissued((resource) => delete resource.tls_self_signed_cert?.["ca-certificate"]?.is_ca_certificate, "ca"),
    ["ca-authority/ca.pem: may not sign certificates (basic constraints, key usage)"],
  ],
  [
    "an authority that may sign revocations alone",
    () =>
      reissued((resource) => {
        Object.assign(resource.tls_self_signed_cert?.["ca-certificate"] as Block, { allowed_uses: ["crl_signing"] });
      }, "ca"),
    ["ca-authority/ca.pem: may not sign certificates (basic constraints, key usage)", ...UNSIGNED],
  ],
  [
    "an authority of another name",
    () =>
      reissued((resource) => {
        const authority = resource.tls_self_signed_cert?.["ca-certificate"] as Block;
        authority.subject[0].organization = "other";
      }, "ca"),
    UNSIGNED,
  ],
])("%s", async (_what, having, expected) => {
  write(await having());
  expect(faults()).toEqual([...expected].sort());
});

test("an authority that was renewed with its key: certificates from before verify with it, and those after with the one before", async () => {
  const renewed = await reissued(() => {}, "ca");
  expect(renewed["tls_self_signed_cert.ca-certificate"]).not.toEqual(computed["tls_self_signed_cert.ca-certificate"]);
  write(renewed);
  expect(faults()).toEqual([]);

  const after = await reissue(json, renewed, /^tls_locally_signed_cert\./);
  // The renewed one ends some seconds later, and so may what it signs: the lifetimes of leaves are shorter anyway.
  write({
    ...after,
    "tls_self_signed_cert.ca-certificate": computed["tls_self_signed_cert.ca-certificate"] as Record<string, string>,
  });
  expect(faults()).toEqual([]);
});

test("an administrator of another authority", async () => {
  write(computed);
  const other = await issueDefaultCluster(json);
  writeFileSync(pem("admin.pem"), other["tls_locally_signed_cert.admin-certificate"]?.cert_pem as string);
  writeFileSync(pem("admin-key.pem"), other["tls_private_key.admin-private-key"]?.private_key_pem as string);
  expect(faults()).toEqual(
    [
      "ca-authority/admin.pem: is not signed by the authority in ca.pem",
      "ca-authority/admin.pem: names another authority key than ca.pem has",
      "kubeconfigs/admin.kubeconfig: client-certificate-data is not what lies in ca-authority",
      "kubeconfigs/admin.kubeconfig: client-key-data is not what lies in ca-authority",
    ].sort(),
  );
});

test("two keys that were swapped", () => {
  write(computed);
  renameSync(pem("service-account-key.pem"), at("aside"));
  renameSync(pem("admin-key.pem"), pem("service-account-key.pem"));
  renameSync(at("aside"), pem("admin-key.pem"));
  expect(faults()).toEqual(
    [
      "ca-authority/admin.pem: does not belong to ca-authority/admin-key.pem",
      "ca-authority/service-account.pem: does not belong to ca-authority/service-account-key.pem",
      "kubeconfigs/admin.kubeconfig: client-key-data is not what lies in ca-authority",
    ].sort(),
  );
});

test("days: what has ended, what soon will, and what has not begun", () => {
  write(computed);
  const after = (days: number) => new Date(Date.now() + days * 24 * 3_600_000);
  expect(faults({ now: after(340) })).toEqual([]);
  const soon = faults({ now: after(355) });
  expect(soon).toHaveLength(9);
  expect(soon).toContainEqual(expect.stringMatching(/^ca-authority\/master-kubernetes\.pem: ends in 9 days, on 20/));
  expect(faults({ now: after(355), days: 5 })).toEqual([]);
  expect(faults({ now: after(355), days: 9 })).toEqual([]);
  expect(faults({ now: after(355), days: 10 })).toHaveLength(9);
  const { notAfter } = readFacts(readFileSync(pem("admin.pem"), "utf8"));
  const then = faults({ now: notAfter, days: 0 });
  expect(then).toContain(`ca-authority/admin.pem: ended on ${notAfter.toISOString()}`);
  expect(faults({ now: after(366) })).toHaveLength(9);
  expect(faults({ now: after(366) })).toContainEqual(
    expect.stringMatching(/^ca-authority\/master-kubernetes\.pem: ended on 20/),
  );
  expect(faults({ now: after(-1) })).toHaveLength(10);
  expect(faults({ now: after(-1) })).toContainEqual(
    expect.stringMatching(/^ca-authority\/ca\.pem: is good only from 20/),
  );
});

test("files that are missing, are something else, or are open to others", () => {
  write(computed);
  rmSync(pem("kube-proxy.pem"));
  rmSync(at("encryption-config.yaml"));
  writeFileSync(pem("kube-scheduler.pem"), "nothing");
  writeFileSync(pem("kube-controller-manager-key.pem"), "nothing");
  writeFileSync(at("kubeconfigs/kube-proxy.kubeconfig"), "a: [");
  chmodSync(pem("ca-key.pem"), 0o640);
  chmodSync(at("ssh"), 0o755);
  chmodSync(folder, 0o750);
  expect(faults()).toEqual(
    [
      "ca-authority/ca-key.pem: must have mode 0600, got: 0640",
      "ca-authority/kube-scheduler.pem: is no certificate in PEM",
      "ca-authority/kube-proxy.pem: is missing",
      "ca-authority/kube-controller-manager-key.pem: is no private key in PEM",
      "kubeconfigs/kube-controller-manager.kubeconfig: client-key-data is not what lies in ca-authority",
      "kubeconfigs/kube-proxy.kubeconfig: is no YAML",
      "kubeconfigs/kube-scheduler.kubeconfig: client-certificate-data is not what lies in ca-authority",
      "encryption-config.yaml: is missing",
      ".: must have mode 0700, got: 0750",
      "ssh: must have mode 0700, got: 0755",
    ].sort(),
  );
});

test("of what else lies there, secrets that are open to others", () => {
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
  expect(faults().sort()).toEqual(
    [
      "before.yaml: must have mode 0600, got: 0644",
      "ca-authority/old-key.pem: must have mode 0600, got: 0644",
      "mine.kubeconfig: must have mode 0600, got: 0644",
    ].sort(),
  );
});

test("a kubeconfig of another server or user, and an encryption key that is too short", () => {
  write(computed);
  change("kubeconfigs/admin.kubeconfig", /server: .*/g, "server: https://127.0.0.1:6443");
  change("kubeconfigs/kube-proxy.kubeconfig", /system:kube-proxy/g, "admin");
  change("encryption-config.yaml", /secret: .*/g, "secret: c2hvcnQ=");
  expect(faults()).toEqual(
    [
      "kubeconfigs/admin.kubeconfig: server must be https://k8s-cluster-from-ground-up-0123456789abcdef.elb.eu-central-1.amazonaws.com:6443, got: https://127.0.0.1:6443",
      "kubeconfigs/kube-proxy.kubeconfig: user must be system:kube-proxy, got: admin",
      "encryption-config.yaml: resources.0.providers.0.aescbc.keys.0.secret: must be 32 bytes in base64",
    ].sort(),
  );
});

test("a kubeconfig whose current context leads elsewhere, or that trusts another authority", () => {
  write(computed);
  change("kubeconfigs/admin.kubeconfig", /current-context: .*/g, "current-context: nope");
  change(
    "kubeconfigs/kube-proxy.kubeconfig",
    /certificate-authority-data: .*/g,
    "certificate-authority-data: bm9uZQ==",
  );
  expect(faults()).toEqual(
    [
      `kubeconfigs/admin.kubeconfig: cluster must be ${TUTORIAL_NAME}, got: undefined`,
      "kubeconfigs/admin.kubeconfig: user must be admin, got: undefined",
      "kubeconfigs/admin.kubeconfig: server must be https://k8s-cluster-from-ground-up-0123456789abcdef.elb.eu-central-1.amazonaws.com:6443, got: undefined",
      "kubeconfigs/admin.kubeconfig: certificate-authority-data is missing",
      "kubeconfigs/admin.kubeconfig: client-certificate-data is missing",
      "kubeconfigs/admin.kubeconfig: client-key-data is missing",
      "kubeconfigs/kube-proxy.kubeconfig: certificate-authority-data is not what lies in ca-authority",
    ].sort(),
  );
});

const KEYS = "resources.0.providers.0.aescbc.keys.0";

test.each([
  ["encrypts something else", "- secrets", "- configmaps", "resources.0.resources: must hold secrets"],
  ["is of another version", "config.k8s.io/v1", "config.k8s.io/v2", "apiVersion: Invalid input"],
  ["is of another kind", "kind: Encryption", "kind: Decryption", "kind: Invalid input"],
  ["cannot read what is not encrypted", "  - identity: {}\n", "", "resources.0.providers: Too small"],
  [
    "names a resource twice",
    "- secrets",
    "- secrets\n  - secrets",
    "resources.0.resources: must name each resource once",
  ],
  [
    "names resources with stars",
    "- secrets",
    "- secrets\n  - '*.'",
    "resources.0.resources.1: must be a resource's name",
  ],
  ["names a resource in capitals", "- secrets", "- secrets\n  - ConfigMaps", "resources.0.resources.1: must be"],
  ["has a name that Kubernetes takes for no text", /name: .*/, "name: yes", `${KEYS}.name: Invalid input`],
  ["has a key without a name", "name:", "nmae:", `${KEYS}.name: Invalid input`],
  ["has a key with something unknown", "secret:", "length: 32\n        secret:", `${KEYS}: Unrecognized key`],
  ["has a key that is cut", /=$/m, "", `${KEYS}.secret: must be 32 bytes in base64`],
  [
    "has something that API servers do not know",
    "  - aescbc:",
    "  - timeout: 3s\n    aescbc:",
    "resources.0.providers.0: Unrec",
  ],
  ["is no YAML", "apiVersion", "[", "is no YAML"],
  ["is empty", /^.*$/s, "", "is empty"],
  ["is a list", /^.*$/s, "[]", "Invalid input"],
])("an encryption config that %s", (_what, from, to, fault) => {
  write(computed);
  change("encryption-config.yaml", from, to);
  expect(faults()[0]).toContain(`encryption-config.yaml: ${fault}`);
});

test.each([
  ["of another kind", "kind: Config", "kind: Foo", "kind: Invalid input"],
  ["of another version", "apiVersion: v1", "apiVersion: v9", "apiVersion: Invalid input"],
  [
    "that verifies nothing",
    "    server:",
    "    insecure-skip-tls-verify: true\n    server:",
    "cluster must not have insecure-skip-tls-verify",
  ],
  ["that goes another way", "    server:", "    proxy-url: http://a\n    server:", "cluster must not have proxy-url"],
  ["that is somebody else", /$/, "    as: system:anonymous\n", "user must not have as"],
  ["with a second certificate", /$/, "    client-certificate: /x\n", "user must not have client-certificate"],
  ["that has a user twice", /(users:\n)(.*)$/s, "$1$2$2", "users: must have each name once"],
  [
    "whose server is said of the user",
    /( {4}server: )(\S+)(.*)$/s,
    "$1https://evil$3    server: $2\n",
    "server must be",
  ],
  ["without users", /users:\n.*$/s, "", "users: Invalid input"],
  ["whose contexts are none", /contexts:\n.*?(?=current)/s, "contexts: 5\n", "contexts: Invalid input"],
  ["whose key is cut", /(client-key-data: .*)../, "$1", "client-key-data is not what lies in ca-authority"],
])("a kubeconfig %s", (_what, from, to, fault) => {
  write(computed);
  const path = "kubeconfigs/admin.kubeconfig";
  change(path, from, to);
  expect(faults()[0]).toContain(`${path}: ${fault}`);
});

test("a kubeconfig without a certificate, where there is none to hold it against", () => {
  write(computed);
  rmSync(pem("admin.pem"));
  change("kubeconfigs/admin.kubeconfig", /client-certificate-data: .*/, 'client-certificate-data: ""');
  expect(faults()).toEqual(
    ["ca-authority/admin.pem: is missing", "kubeconfigs/admin.kubeconfig: client-certificate-data is missing"].sort(),
  );
});

test("two certificates in the authority's file, which the controller manager refuses", () => {
  const ca = computed["tls_self_signed_cert.ca-certificate"] as Record<string, string>;
  write({ ...computed, "tls_self_signed_cert.ca-certificate": { ...ca, cert_pem: `${ca.cert_pem}${ca.cert_pem}` } });
  expect(faults()).toEqual(["ca-authority/ca.pem: must hold one certificate, got: 2"].sort());
});

describeSuite("OpenSSL's view of the certificates", () => {
  test("what openssl may sign with the authority's key: two groups, two names, an old hash", () => {
    write(computed);
    const issue = (stem: string, hash: string, subject: string) => {
      const request = ["req", "-new", "-key", pem(`${stem}-key.pem`), "-subj", subject, "-out", at("request")];
      execFileSync("openssl", request, { stdio: "pipe" });
      const extensions = "extendedKeyUsage=clientAuth\nkeyUsage=digitalSignature\nauthorityKeyIdentifier=keyid\n";
      writeFileSync(at("extensions"), extensions);
      const signed = ["-CA", pem("ca.pem"), "-CAkey", pem("ca-key.pem"), "-set_serial", "1", "-days", "100"];
      const files = ["-in", at("request"), "-extfile", at("extensions"), "-out", pem(`${stem}.pem`)];
      execFileSync("openssl", ["x509", "-req", `-${hash}`, ...signed, ...files], { stdio: "pipe" });
    };
    issue("admin", "sha256", "/O=system:masters/O=developers/CN=admin");
    issue("kube-scheduler", "sha256", "/O=system:kube-scheduler/CN=system:kube-scheduler/CN=admin");
    issue("kube-proxy", "sha1", "/O=system:node-proxier/CN=system:kube-proxy");
    expect(faults().filter((fault) => !fault.startsWith("kubeconfigs/"))).toEqual(
      [
        "ca-authority/kube-scheduler.pem: common name must be system:kube-scheduler, got: system:kube-scheduler, admin",
        "ca-authority/kube-proxy.pem: must be signed with SHA-256, got: SHA-1",
        "ca-authority/admin.pem: organization must be system:masters, got: system:masters, developers",
      ].sort(),
    );
  });
});

test("an authority that another has signed", async () => {
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
  expect(faults().filter((fault) => !fault.startsWith("kubeconfigs/"))).toEqual(
    ["ca-authority/ca.pem: is not signed by itself"].sort(),
  );
});

test("a certificate that another key of the same name and identifier has signed", async () => {
  write(computed);
  const forged = await reissue(json, computed, /\.(ca|admin)-/);
  // The forger's certificate would say the same of its authority, but for the identifier, which it copies.
  const key = computed["tls_private_key.ca-private-key"] as Record<string, string>;
  const own = forged["tls_private_key.ca-private-key"] as Record<string, string>;
  expect(own).not.toEqual(key);
  const signedByOther = await carryOutTls(
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
  expect(faults()).toEqual(["ca-authority/admin.pem: is not signed by the authority in ca.pem"].sort());
});

test("links, and what cannot be opened", () => {
  write(computed);
  renameSync(pem("admin.pem"), at("aside"));
  symlinkSync(at("aside"), pem("admin.pem"));
  expect(faults()).toEqual(["ca-authority/admin.pem: is a symbolic link"].sort());
  rmSync(pem("admin.pem"));
  mkdirSync(pem("admin.pem"));
  expect(faults()).toEqual(["ca-authority/admin.pem: cannot be read"].sort());
});

test("a folder below that is a link: what it leads to is not looked through", () => {
  write(computed);
  const elsewhere = mkdtempSync(join(tmpdir(), "elsewhere-"));
  try {
    renameSync(at(`ssh/${TUTORIAL_NAME}.id_rsa`), join(elsewhere, `${TUTORIAL_NAME}.id_rsa`));
    writeFileSync(join(elsewhere, "theirs"), "-----BEGIN PRIVATE KEY-----", { mode: 0o644 });
    rmSync(at("ssh"), { recursive: true });
    symlinkSync(elsewhere, at("ssh"));
    expect(faults()).toEqual(["ssh: is a symbolic link"].sort());
  } finally {
    rmSync(elsewhere, { recursive: true });
  }
});

test("what would never end: a pipe, and links that lead in a circle", () => {
  write(computed);
  rmSync(pem("kube-proxy.pem"));
  for (const path of [pem("kube-proxy.pem"), at("pipe")]) execFileSync("mkfifo", [path]);
  for (const path of [at("a"), at("b")]) symlinkSync(".", path);
  expect(faults()).toEqual(["ca-authority/kube-proxy.pem: cannot be read"].sort());
});

test("an ssh key that is none", () => {
  write(computed);
  const { publicKey } = generateKeyPairSync("ed25519");
  writeFileSync(at(`ssh/${TUTORIAL_NAME}.id_rsa`), publicKey.export({ type: "spki", format: "pem" }));
  expect(faults()).toEqual([`ssh/${TUTORIAL_NAME}.id_rsa: is no private key in PEM`].sort());
});

test.each([
  ["a machine's name that a shell would read otherwise", { nodes: { "a;reboot": { private_ip: "", public_ip: "" } } }],
  ["an address that is none", { nodes: { a: { private_ip: "", public_ip: "a b" } } }],
  ["a name with a path in it", { name: "../other" }],
])("%s: the description is not as it was written", (_what, change) => {
  write(computed);
  const description = JSON.parse(readFileSync(at("cluster.json"), "utf8"));
  writeFileSync(at("cluster.json"), JSON.stringify({ ...description, ...change }));
  expect(() => faults()).toThrow(/^'--out' must be .*, which has a cluster\.json that is not as it was written$/);
});

test("a machine that is stopped has no public address for its certificate to hold", () => {
  write(computed);
  change("cluster.json", "198.51.100.20", "");
  expect(faults()).toEqual([]);
});

test("a folder that is none is refused in one line", () => {
  const written = "'--out' must be a folder that `npm run credentials` has written";
  expect(() => faults()).toThrow(new CredentialsError(`${written}, got: ${folder}, which has no cluster.json`));
  const options = { now: new Date(), days: 0 };
  expect(() => checkFolder(at("none"), options)).toThrow(
    new CredentialsError(`${written}, got: ${at("none")}, which is not there`),
  );
});
