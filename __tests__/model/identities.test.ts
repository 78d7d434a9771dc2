import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { addressesOf } from "../../cloud/terraform-json";
import { checkFolder } from "../../credentials/check";
import { credentialFiles } from "../../credentials/files";
import { writeFolder } from "../../credentials/folder";
import { CLIENTS, type Identity, identities, serverNames } from "../../model/identities";
import { nodeFiles } from "../../model/layout";
import { deployedCluster, outputsOf } from "../../testing/deployed-cluster";
import { issueDefaultCluster } from "../../testing/issued-cluster";
import { synthesizeCluster } from "../../testing/synthesize";
import { TUTORIAL_NAME } from "../../testing/tutorial";

const AUDITOR: Identity = {
  fileName: "auditor",
  commonName: "auditor",
  organization: "auditors",
  neededUses: ["clientAuth"],
  kubeconfig: { apiServer: "load-balancer" },
};

describe("a row that is added to the table of identities", () => {
  const folder = mkdtempSync(join(tmpdir(), "identities-"));
  const rows = CLIENTS as Identity[];

  beforeAll(() => {
    rows.push(AUDITOR);
  });
  afterAll(() => {
    rows.pop();
    rmSync(folder, { recursive: true });
  });

  test("adds Terraform resources, an output, credential files and their checks", async () => {
    const json = synthesizeCluster();
    expect(addressesOf(json).filter((address) => address.includes("auditor"))).toEqual([
      "tls_cert_request.auditor-request",
      "tls_locally_signed_cert.auditor-certificate",
      "tls_private_key.auditor-private-key",
    ]);
    expect(Object.keys(json.output.pem_files?.value)).toEqual(
      expect.arrayContaining(["auditor.pem", "auditor-key.pem"]),
    );

    const cluster = deployedCluster(TUTORIAL_NAME, outputsOf(json, await issueDefaultCluster(json)));
    const files = credentialFiles(cluster);
    expect(
      Object.keys(files)
        .filter((path) => path.includes("auditor"))
        .sort(),
    ).toEqual(["ca-authority/auditor-key.pem", "ca-authority/auditor.pem", "kubeconfigs/auditor.kubeconfig"]);
    const out = join(folder, "credentials");
    writeFolder(out, files, false);
    const findings = checkFolder(out, { now: new Date(), days: 14 });
    expect(findings.flatMap(({ problems }) => problems)).toEqual([]);
    expect(findings.filter(({ path }) => path.includes("auditor"))).toHaveLength(3);

    const { "auditor.pem": _lost, ...pemFiles } = cluster.pemFiles;
    expect(() => credentialFiles({ ...cluster, pemFiles })).toThrow(/lacks auditor\.pem/);
  });
});

test("every file of a role belongs to an existing identity", () => {
  const nodes = (["master", "worker"] as const).map((role) => ({
    role,
    id: `${role}-0`,
    name: `${TUTORIAL_NAME}-${role}-0`,
    hostname: "ip-172-31-0-10",
    privateIp: "172.31.0.10",
    publicIp: "203.0.113.10",
  }));
  const names = serverNames({ publicAddress: "nlb", serviceAddress: "172.32.0.1", nodes });
  const known = ["ca", ...identities(names).map(({ fileName }) => fileName)];
  const kubeconfigs = identities(names)
    .filter(({ kubeconfig }) => kubeconfig !== undefined)
    .map(({ fileName }) => fileName);
  for (const { source } of nodes.flatMap(nodeFiles)) {
    if (source.kind === "encryption-config") continue;
    expect(source.kind === "kubeconfig" ? kubeconfigs : known).toContain(source.identity);
  }
});
