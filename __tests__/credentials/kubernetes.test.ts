import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Block, TerraformJson } from "../../cloud/terraform-json";
import { readFacts } from "../../credentials/certificate";
import { checkFolder } from "../../credentials/check";
import { credentialFiles } from "../../credentials/files";
import { writeFolder } from "../../credentials/folder";
import { UserError } from "../../model/user-error";
import { TESTED } from "../../model/versions";
import { problemsIn } from "../../testing/checks";
import { deployedCluster, outputsOf } from "../../testing/deployed-cluster";
import { issueDefaultCluster, reissue } from "../../testing/issued-cluster";
import { synthesizeCluster } from "../../testing/synthesize";
import type { Computed } from "../../testing/tls-resources";
import { TUTORIAL_NAME } from "../../testing/tutorial";

/** The credentials of a cluster on which the apply installs Kubernetes: those of a second CA are among them. */

const FRONT_PROXY = [
  "front-proxy-ca.pem",
  "front-proxy-ca-key.pem",
  "front-proxy-client.pem",
  "front-proxy-client-key.pem",
];

const MACHINES = { controlPlane: { count: 1 }, workers: { count: 0 } };
const json = synthesizeCluster({ ...MACHINES, kubernetes: { version: TESTED.kubernetes } });
let computed: Computed;
let folder: string;

beforeAll(async () => {
  computed = await issueDefaultCluster(json);
});

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "credentials-"));
});

afterEach(() => rmSync(folder, { recursive: true }));

const pem = (name: string) => join(folder, "ca-authority", name);
const cluster = (of: TerraformJson = json, having = computed) => deployedCluster(TUTORIAL_NAME, outputsOf(of, having));

/** Writes the folder of a cluster with the given keys and certificates. */
function write(having: Computed = computed) {
  return writeFolder(folder, credentialFiles(cluster(json, having)), true);
}

/** All problems, each with its file. */
function problems(options: Parameters<typeof problemsIn>[1] = {}): string[] {
  return problemsIn(folder, options)
    .map((line) => line.replace("ca-authority/", ""))
    .sort();
}

/** Issues the certificates with the given names again, from a changed configuration. The keys stay. */
function reissued(change: (resource: TerraformJson["resource"]) => void, ...names: string[]): Promise<Computed> {
  const other: TerraformJson = JSON.parse(JSON.stringify(json));
  change(other.resource);
  return reissue(other, computed, new RegExp(`\\.(${names.join("|")})-(request|certificate)$`));
}

test("the second CA and its certificate are in the folder, the check has no problems, and cluster.json tells of them", () => {
  const { written } = write();
  expect(written).toEqual(expect.arrayContaining(FRONT_PROXY.map((name) => `ca-authority/${name}`)));
  expect(problems()).toEqual([]);
  expect(JSON.parse(readFileSync(join(folder, "cluster.json"), "utf8"))).toMatchObject({ kubernetes: true });
  const daysLeft = checkFolder(folder, { now: new Date(), days: 0 }).map((each) => [each.path, each.daysLeft]);
  expect(Object.fromEntries(daysLeft)).toMatchObject({
    "ca-authority/front-proxy-ca.pem": 1824,
    "ca-authority/front-proxy-client.pem": 364,
  });
});

test("a cluster without Kubernetes has no second CA, and cluster.json has no word of it", async () => {
  const without = synthesizeCluster(MACHINES);
  const files = credentialFiles(cluster(without, await issueDefaultCluster(without)));
  expect(Object.keys(files).filter((path) => path.includes("front-proxy"))).toEqual([]);
  expect(Object.keys(JSON.parse(files["cluster.json"] as string))).toEqual([
    "name",
    "publicAddress",
    "serviceAddress",
    "nodes",
  ]);
});

test.each(FRONT_PROXY)("a folder without %s has a problem, and outputs without it are refused", (name) => {
  write();
  rmSync(pem(name));
  expect(problems()).toEqual([`${name}: is missing`]);

  const { [name]: _, ...pemFiles } = cluster().pemFiles;
  expect(() => credentialFiles({ ...cluster(), pemFiles })).toThrow(
    new UserError(`the deployed ${TUTORIAL_NAME} lacks ${name}: \`npm run deploy\` adds it`),
  );
});

test("the files of the second CA are deleted when the cluster no longer has it", () => {
  write();
  const pemFiles = Object.entries(cluster().pemFiles).filter(([name]) => !FRONT_PROXY.includes(name));
  const files = credentialFiles({ ...cluster(), pemFiles: Object.fromEntries(pemFiles) });
  expect([...writeFolder(folder, files, false).removed].sort()).toEqual(
    FRONT_PROXY.map((name) => `ca-authority/${name}`).sort(),
  );
  expect(problems()).toEqual([]);
});

const leaf = (resource: TerraformJson["resource"]) =>
  resource.tls_locally_signed_cert?.["front-proxy-client-certificate"] as Block;

test.each<[string, () => Promise<Computed>, string[]]>([
  [
    "another common name",
    () =>
      reissued((resource) => {
        const request = resource.tls_cert_request?.["front-proxy-client-request"] as Block;
        request.subject[0].common_name = "front-proxy";
      }, "front-proxy-client"),
    ["front-proxy-client.pem: common name must be front-proxy-client, got: front-proxy"],
  ],
  [
    "a signature of the cluster's CA",
    () =>
      reissued((resource) => {
        Object.assign(leaf(resource), {
          ca_private_key_pem: "$" + "{tls_private_key.ca-private-key.private_key_pem}",
          ca_cert_pem: "$" + "{tls_self_signed_cert.ca-certificate.cert_pem}",
        });
      }, "front-proxy-client"),
    [
      "front-proxy-client.pem: has an authority key identifier that is not front-proxy-ca.pem's",
      "front-proxy-client.pem: is not signed by the CA in front-proxy-ca.pem",
    ],
  ],
  [
    "no client_auth",
    () =>
      reissued((resource) => {
        leaf(resource).allowed_uses = ["digital_signature", "server_auth"];
      }, "front-proxy-client"),
    ["front-proxy-client.pem: lacks the extended key usage clientAuth"],
  ],
  [
    "a longer lifetime than the second CA's",
    () =>
      reissued((resource) => {
        leaf(resource).validity_period_hours = 50_000;
      }, "front-proxy-client"),
    ["front-proxy-client.pem: expires after the CA certificate in front-proxy-ca.pem"],
  ],
  [
    "a second CA that may not sign",
    () =>
      reissued((resource) => {
        const ca = resource.tls_self_signed_cert?.["front-proxy-ca-certificate"] as Block;
        ca.allowed_uses = ["crl_signing"];
      }, "front-proxy-ca"),
    [
      "front-proxy-ca.pem: may not sign certificates (basic constraints, key usage)",
      "front-proxy-client.pem: is not signed by the CA in front-proxy-ca.pem",
    ],
  ],
])("the check reports exactly the problems of: %s", async (_case, having, expected) => {
  write(await having());
  expect(problems()).toEqual(expected);
});

test("a second CA that is the cluster's CA is reported, also if it signed the certificate", async () => {
  const having = await reissued((resource) => {
    Object.assign(leaf(resource), {
      ca_private_key_pem: "$" + "{tls_private_key.ca-private-key.private_key_pem}",
      ca_cert_pem: "$" + "{tls_self_signed_cert.ca-certificate.cert_pem}",
    });
  }, "front-proxy-client");
  write(having);
  for (const end of [".pem", "-key.pem"])
    writeFileSync(pem(`front-proxy-ca${end}`), readFileSync(pem(`ca${end}`), "utf8"));
  expect(problems()).toEqual(["front-proxy-ca.pem: must have another key than ca.pem"]);
});

test("a key that is not the certificate's, and the end of the lifetimes, are reported", () => {
  write();
  writeFileSync(pem("front-proxy-client-key.pem"), readFileSync(pem("front-proxy-ca-key.pem"), "utf8"));
  expect(problems()).toEqual(["front-proxy-client.pem: does not match ca-authority/front-proxy-client-key.pem"]);
  write();
  const ends = ["front-proxy-ca", "front-proxy-client"].map((name) => {
    const { notAfter } = readFacts(readFileSync(pem(`${name}.pem`), "utf8"));
    return [`${name}.pem: expired on ${notAfter.toISOString()}`, notAfter] as const;
  });
  for (const [problem, now] of ends) expect(problems({ now, days: 0 })).toContain(problem);
});
